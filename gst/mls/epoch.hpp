// One epoch of a group as a value, and the steps that lead to the next; private to the room.
#pragma once

#include "mls/group.hpp"
#include "mls/key_schedule.hpp"
#include "mls/update_path.hpp"

namespace discord::mls {

struct Epoch {
  Identity identity;
  GroupContext context;
  Bytes encoded_context;
  RatchetTree tree;
  LeafIndex own = 0;
  PrivateKeys keys;
  EpochSecrets secrets;
  Hash interim_transcript_hash{};
  std::vector<ExternalSender> external_senders;
};

Member member_of(LeafIndex leaf, const LeafNode& node);
std::vector<Member> members_of(const RatchetTree& tree);
Hash digest_of(const Epoch& epoch);

// External senders of a group's extensions; none without such an extension.
Result<std::vector<ExternalSender>, Error> external_senders_of(const Extensions& extensions);

// What a list of proposals did to a tree.
struct Applied {
  std::vector<LeafIndex> added_leaves;  // in the order of `added_packages`
  std::vector<const KeyPackage*> added_packages;
  std::vector<Member> added;
  std::vector<Member> removed;
  bool self_removed = false;
};

// Removes first, then Adds (RFC 9420 section 12.3). `tree` is scratch after a refusal.
Result<Applied, Error> apply_proposals(RatchetTree& tree,
                                       const std::vector<const Proposal*>& proposals,
                                       LeafIndex committer, LeafIndex own);

// GroupContext under which path secrets are encrypted: the new epoch's, but for the transcript
// hash.
Bytes provisional_context(const Epoch& before, const RatchetTree& tree);

struct NextEpoch {
  std::shared_ptr<const Epoch> epoch;
  Secret32 joiner_secret;
  Hash confirmation_tag;
};

// The epoch after `before`, by a commit with this FramedContent and signature. `keys` replace those
// of the nodes they name; keys of nodes that are blank now are dropped.
NextEpoch next_epoch(const Epoch& before, RatchetTree tree, PrivateKeys keys,
                     const Secret32& commit_secret, ByteSpan framed_content, ByteSpan signature);

// The epoch a Welcome leads to, once its secrets are open.
Result<std::shared_ptr<const Epoch>, Error> join_epoch(const Identity& identity,
                                                       const OwnKeyPackage& own,
                                                       const Welcome& welcome,
                                                       const GroupSecrets& group_secrets,
                                                       const Secret32& psk_secret,
                                                       std::optional<ByteSpan> ratchet_tree);

}  // namespace discord::mls
