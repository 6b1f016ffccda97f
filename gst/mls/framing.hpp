// Public messages: what their signatures and tags cover, and making them (RFC 9420 section 6).
#pragma once

#include "mls/types.hpp"

namespace discord::mls {

// FramedContent of a proposal or commit with empty authenticated data.
Bytes frame(ByteSpan group_id, std::uint64_t epoch, const Sender& sender, const Proposal& proposal);
Bytes frame(ByteSpan group_id, std::uint64_t epoch, const Sender& sender, const Commit& commit);

// What the signature covers; `group_context` is empty for an external sender.
Bytes signed_content(ByteSpan framed_content, ByteSpan group_context);
// `confirmation_tag` only with a commit.
Hash make_membership_tag(const Secret32& membership_key, ByteSpan signed_content,
                         ByteSpan signature, const std::optional<Hash>& confirmation_tag);
// The whole MLSMessage.
Bytes assemble(ByteSpan framed_content, ByteSpan signature,
               const std::optional<Hash>& confirmation_tag,
               const std::optional<Hash>& membership_tag);

// Verifies the membership tag (senders of type member) and then the signature.
std::optional<Error> authenticate(const PublicMessage& message, ByteSpan encoded_group_context,
                                  const Secret32& membership_key, ByteSpan signature_key);

// RFC 9420 section 5.2, of a public message that holds a proposal.
ProposalRef proposal_ref(ByteSpan framed_content, ByteSpan signature);

// A proposal as a delivery service sends it: MLSMessage from external sender number `sender`.
Result<Bytes, Error> make_external_proposal(const KeyPair& key, std::uint32_t sender,
                                            ByteSpan group_id, std::uint64_t epoch,
                                            const Proposal& proposal);

}  // namespace discord::mls
