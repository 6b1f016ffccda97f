#include "mls/framing.hpp"

namespace discord::mls {
namespace {

template <class Content>
Bytes frame_content(ByteSpan group_id, std::uint64_t epoch, const Sender& sender,
                    std::uint8_t content_type, const Content& content) {
  Writer out;
  out.opaque(group_id);
  out.u64(epoch);
  write(out, sender);
  out.opaque({});  // authenticated_data
  out.u8(content_type);
  write(out, content);
  return out.take();
}

// FramedContentAuthData.
void write_auth(Writer& out, ByteSpan signature, ByteSpan confirmation_tag, bool is_commit) {
  out.opaque(signature);
  if (is_commit) {
    out.opaque(confirmation_tag);
  }
}

Hash membership_mac(const Secret32& membership_key, ByteSpan signed_bytes, ByteSpan signature,
                    ByteSpan confirmation_tag, bool is_commit) {
  Writer input;
  input.reserve(signed_bytes.size() + 128);
  input.raw(signed_bytes);
  write_auth(input, signature, confirmation_tag, is_commit);
  return hmac_sha256(membership_key.view(), input.view());
}

ByteSpan view_of(const std::optional<Hash>& hash) noexcept {
  return hash ? ByteSpan(*hash) : ByteSpan();
}

}  // namespace

Bytes frame(ByteSpan group_id, std::uint64_t epoch, const Sender& sender,
            const Proposal& proposal) {
  return frame_content(group_id, epoch, sender, content_type_proposal, proposal);
}

Bytes frame(ByteSpan group_id, std::uint64_t epoch, const Sender& sender, const Commit& commit) {
  return frame_content(group_id, epoch, sender, content_type_commit, commit);
}

Bytes signed_content(ByteSpan framed_content, ByteSpan group_context) {
  Writer out;
  out.reserve(framed_content.size() + group_context.size() + 4);
  out.u16(protocol_version);
  out.u16(wire_format_public_message);
  out.raw(framed_content);
  out.raw(group_context);
  return out.take();
}

Hash make_membership_tag(const Secret32& membership_key, ByteSpan signed_bytes, ByteSpan signature,
                         const std::optional<Hash>& confirmation_tag) {
  return membership_mac(membership_key, signed_bytes, signature, view_of(confirmation_tag),
                        confirmation_tag.has_value());
}

Bytes assemble(ByteSpan framed_content, ByteSpan signature,
               const std::optional<Hash>& confirmation_tag,
               const std::optional<Hash>& membership_tag) {
  Writer out;
  out.u16(protocol_version);
  out.u16(wire_format_public_message);
  out.raw(framed_content);
  write_auth(out, signature, view_of(confirmation_tag), confirmation_tag.has_value());
  if (membership_tag) {
    out.opaque(*membership_tag);
  }
  return out.take();
}

std::optional<Error> authenticate(const PublicMessage& message, ByteSpan encoded_group_context,
                                  const Secret32& membership_key, ByteSpan signature_key) {
  const bool is_member = message.sender.type == SenderType::member;
  const Bytes content =
      signed_content(message.framed_content, is_member ? encoded_group_context : ByteSpan());
  // The tag first: it costs a hundredth of the signature.
  if (is_member) {
    const Hash expected =
        membership_mac(membership_key, content, message.signature, message.confirmation_tag,
                       std::holds_alternative<Commit>(message.content));
    if (!equal_tags(expected, message.membership_tag)) {
      return Error::bad_membership_tag;
    }
  }
  if (!verify_with_label(signature_key, "FramedContentTBS", content, message.signature)) {
    return Error::bad_signature;
  }
  return std::nullopt;
}

ProposalRef proposal_ref(ByteSpan framed_content, ByteSpan signature) {
  Writer content;
  content.u16(wire_format_public_message);
  content.raw(framed_content);
  content.opaque(signature);
  return ref_hash("MLS 1.0 Proposal Reference", content.view());
}

Result<Bytes, Error> make_external_proposal(const KeyPair& key, std::uint32_t sender,
                                            ByteSpan group_id, std::uint64_t epoch,
                                            const Proposal& proposal) {
  const Bytes framed = frame(group_id, epoch, {SenderType::external, sender}, proposal);
  const auto signature = sign_with_label(key, "FramedContentTBS", signed_content(framed, {}));
  if (!signature) {
    return Failure{signature.error()};
  }
  return assemble(framed, *signature, std::nullopt, std::nullopt);
}

}  // namespace discord::mls
