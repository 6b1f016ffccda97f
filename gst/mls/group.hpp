// A member's view of one group: proposals in, commits in and out, secrets out (RFC 9420 sections 8,
// 11 and 12). An epoch is an immutable value; an operation builds the next one and swaps it in, so
// a refusal changes nothing.
#pragma once

#include "mls/key_package.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace discord::mls {

struct Epoch;        // everything of one epoch; private to the room
struct GroupAccess;  // makes a group from an epoch, in tests

struct Member {
  LeafIndex leaf = 0;
  Bytes identity;
  Bytes signature_key;
  friend bool operator==(const Member&, const Member&) = default;
};

// What a group accepts beyond the safest.
struct GroupOptions {
  bool allow_inline_proposals = false;  // proposals by value in commits of others
  bool allow_member_proposals = false;  // proposals sent by members
};

// An authentic proposal for the current epoch of a group.
struct ReceivedProposal {
  ProposalRef ref{};
  Sender sender;
  Proposal proposal;
  std::uint64_t epoch = 0;

  const Add* add() const noexcept { return std::get_if<Add>(&proposal); }
  const Remove* remove() const noexcept { return std::get_if<Remove>(&proposal); }
};

// What `Group::commit` sends.
struct MadeCommit {
  Bytes commit;                  // MLSMessage
  std::optional<Bytes> welcome;  // bare Welcome; present exactly when somebody is added
};

// A commit that was found good, before anything changed. `removed` are leaves and members of the
// epoch before, `added` of the one after.
struct StagedCommit {
  std::uint64_t epoch = 0;  // after it
  LeafIndex committer = 0;
  bool own = false;           // our pending commit came back
  bool self_removed = false;  // we are out: there is no next epoch for us
  std::vector<Member> added;
  std::vector<Member> removed;

  // Who is in the group after it; empty when we are out.
  std::vector<Member> members_after() const;

  std::shared_ptr<const Epoch> base;  // the epoch it was staged on
  std::shared_ptr<const Epoch> next;  // null when we are out
};

class Group {
 public:
  // A group of one at epoch 0. `extensions` are those of the GroupContext (for example
  // `make_external_senders`). The leaf is that of `own`, signed by `identity`.
  static Result<Group, Error> create(const Identity& identity, const OwnKeyPackage& own,
                                     ByteSpan group_id, Extensions extensions, RandomSource& random,
                                     GroupOptions options = {});

  // Joins by a bare Welcome that carries the tree, or with `ratchet_tree` (the data of such an
  // extension) given separately. Who may be in the group is for the caller to judge before keeping
  // the result.
  static Result<Group, Error> join(const Identity& identity, const OwnKeyPackage& own,
                                   ByteSpan welcome, GroupOptions options = {},
                                   std::optional<ByteSpan> ratchet_tree = std::nullopt);

  // Authenticates a proposal (MLSMessage with PublicMessage) and, for an Add, its key package;
  // changes nothing. The caller judges who is to be added or removed, then calls `queue`.
  Result<ReceivedProposal, Error> check_proposal(ByteSpan message) const;
  // The same for the first of several messages back to back; `rest` becomes what follows it. The
  // bounds of a message that cannot be parsed are unknown, so a `malformed` or `unsupported_*`
  // error leaves `rest` as it was.
  Result<ReceivedProposal, Error> check_next_proposal(ByteSpan& rest) const;

  // Remembers it, in order of arrival. Refuses what was queued already, is of another epoch, or
  // would be one more than `max_queued`.
  std::optional<Error> queue(ReceivedProposal proposal);
  static constexpr std::size_t max_queued = max_proposals;
  // Bytes of one proposal message; a longer one is refused, so that the queue is bounded.
  static constexpr std::size_t max_proposal_size = 8192;
  // Forgets a queued proposal; `unknown_proposal` when there is none. Drops the pending commit.
  std::optional<Error> revoke(const ProposalRef& ref);
  const std::vector<ReceivedProposal>& proposals() const noexcept { return queue_; }
  // Whether a queued Remove is for our own leaf: then `commit` refuses.
  bool removes_self() const noexcept;
  void clear_proposals() noexcept;

  // Makes a commit over all queued proposals and keeps the epoch it leads to aside, in place of an
  // earlier one. With Removes, or `force_path`, it carries a path. The group does not advance.
  Result<MadeCommit, Error> commit(RandomSource& random, bool force_path = false);
  bool has_pending_commit() const noexcept { return pending_.has_value(); }
  void discard_pending_commit() noexcept { pending_.reset(); }
  // Whether this is our pending commit, byte for byte.
  bool is_pending_commit(ByteSpan message) const noexcept;
  // Forgets the queue and keeps the pending commit: all that is needed to follow it.
  void keep_only_commit() noexcept { std::vector<ReceivedProposal>().swap(queue_); }

  // Judges a commit (MLSMessage) against the current epoch; changes nothing. Our pending commit is
  // recognised by its bytes.
  Result<StagedCommit, Error> stage(ByteSpan message) const;
  // Makes the staged epoch the current one and clears queue and pending commit. `wrong_epoch` when
  // the group has moved on since, or when it removes us.
  std::optional<Error> apply(StagedCommit staged);

  ByteSpan group_id() const noexcept;
  std::uint64_t epoch() const noexcept;
  LeafIndex own_leaf() const noexcept;
  const Extensions& extensions() const noexcept;
  std::vector<Member> members() const;
  // Member on this leaf; nothing when it is blank or outside the tree.
  std::optional<Member> member(LeafIndex leaf) const;
  // RFC 9420 section 8.5; `length` is at most 8160, more gives an empty result.
  SecretBytes exporter(std::string_view label, ByteSpan context, std::size_t length) const;
  const Secret32& epoch_authenticator() const noexcept;
  // Parts of the epoch that two members can compare.
  ByteSpan tree_hash() const noexcept;
  ByteSpan confirmed_transcript_hash() const noexcept;

  // A digest of everything the group holds, secrets, queue and pending commit included: equal
  // digests mean that nothing changed.
  Hash state_digest() const;

 private:
  friend struct GroupAccess;
  struct Pending {
    Bytes commit;
    StagedCommit staged;
  };
  Group(std::shared_ptr<const Epoch> epoch, GroupOptions options) noexcept
      : epoch_(std::move(epoch)), options_(options) {}

  std::shared_ptr<const Epoch> epoch_;
  GroupOptions options_;
  std::vector<ReceivedProposal> queue_;
  std::optional<Pending> pending_;
};

}  // namespace discord::mls
