// One user in one end-to-end encrypted call: what DAVE adds to an MLS group (docs/protocol.md
// "DAVE group"). Bodies of opcodes in, bodies of opcodes out; a refusal changes nothing.
#pragma once

#include "dave/media_keys.hpp"
#include "mls/group.hpp"

#include <deque>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

namespace discord::dave {

using UserSet = std::unordered_set<std::uint64_t>;

enum class MemberError {
  mls,                    // refused by the group; see `cause`
  malformed,              // the body around the MLS messages
  no_external_sender,     // nothing can be founded or joined before opcode 25
  no_group,               // neither pending nor established
  no_key_package,         // a Welcome, but no package of ours is out
  established,            // not while in an established group
  stale,                  // of an epoch that is over: replayed, to be ignored
  not_for_pending,        // a commit that others have to process, while we wait for a Welcome
  unrecognised_user,      // an Add of somebody the call has not announced
  duplicate_user,         // one user on two leaves
  bad_identity,           // a credential that is no user id
  wrong_channel,          // another group than this call's
  wrong_extensions,       // the group has not exactly our external sender
  wrong_proposal_sender,  // a proposal that does not come from the external sender
  changed_signature_key,  // the committer came back with another key or identity
};
const char* to_string(MemberError error) noexcept;

struct MemberFailure {
  MemberError kind;
  std::optional<mls::Error> cause;
};
// A word or two, for logs.
std::string describe(const MemberFailure& failure);

struct GroupMember {
  std::uint64_t user = 0;
  Bytes signature_key;
};

enum class CommitOutcome {
  advanced,  // in a new epoch
  removed,   // we are out, and have no group any more
};

// Not for two threads at once. `random` outlives the member.
class Member {
 public:
  Member(std::uint64_t user, std::uint64_t channel, mls::KeyPair signature_key,
         mls::RandomSource& random);

  // Opcode 25. Kept over `start_over`; a pending group is founded anew with it.
  std::optional<MemberFailure> set_external_sender(ByteSpan body);
  bool has_external_sender() const noexcept { return external_sender_.has_value(); }

  // Becomes a pending member with a new key package (the body of opcode 26) and, as soon as the
  // external sender is known, a group of its own.
  Result<Bytes, MemberFailure> start_over();
  // The same with a package made elsewhere, for this user and signature key.
  Result<Bytes, MemberFailure> start_over(mls::OwnKeyPackage package);
  // No group, no key package.
  void leave() noexcept;

  // Opcode 27: `operation` 0 append, 1 revoke; `list` the vector behind it. Returns the body of
  // opcode 28, or nothing when there is nothing (left) to commit, or the Remove is our own. A body
  // that only repeats what is queued gives the same bytes again.
  Result<std::optional<Bytes>, MemberFailure> proposals(std::uint8_t operation, ByteSpan list,
                                                        const UserSet& recognised);
  // Opcode 29 behind the transition id.
  Result<CommitOutcome, MemberFailure> commit(ByteSpan message);
  // Opcode 30 behind the transition id. Users outside the recognised set do not spoil it, because
  // somebody may just have left.
  std::optional<MemberFailure> welcome(ByteSpan body);

  bool established() const noexcept { return established_; }
  bool pending() const noexcept { return !established_ && key_package_.has_value(); }
  std::uint64_t user() const noexcept { return user_; }

  // Of the established group; 0 and empty without one.
  std::uint64_t epoch() const noexcept;
  std::vector<GroupMember> members() const;
  std::string privacy_code() const;
  // Where the frames of this user start from.
  std::optional<BaseSecret> base_secret(std::uint64_t user) const;
  // The senders of the current epoch, apart from ourselves.
  std::vector<SenderKey> sender_keys() const;
  const mls::KeyPair& signature_key() const noexcept { return identity_.signature_key; }
  // Equal digests: nothing that decides about the future has changed.
  mls::Hash state_digest() const;

 private:
  // Commits of ours that may still be announced, on the current epoch: each opcode 27 makes a new
  // one, and when many join at once dozens are under way. What one costs is bounded: it shares the
  // nodes of its tree.
  static constexpr std::size_t max_sent_commits = 64;

  Result<mls::Group, MemberFailure> found(const mls::OwnKeyPackage& package,
                                          const mls::ExternalSender& sender) const;
  void enter(mls::Group group);
  void forget_commits() noexcept;
  std::optional<MemberFailure> check_roster(const std::vector<mls::Member>& roster) const;
  std::optional<MemberFailure> check_proposal(const mls::Group& group,
                                              const mls::ReceivedProposal& proposal,
                                              const UserSet& recognised) const;
  Result<std::optional<Bytes>, MemberFailure> commit_queued(mls::Group group);
  std::optional<mls::Group> own_commit(ByteSpan message) const;
  bool older_than_group(ByteSpan message) const;

  std::uint64_t user_;
  Bytes group_id_;
  mls::Identity identity_;
  mls::RandomSource& random_;
  std::optional<mls::ExternalSender> external_sender_;
  std::optional<mls::OwnKeyPackage> key_package_;
  std::optional<mls::Group> group_;
  bool established_ = false;
  Bytes last_commit_welcome_;
  std::deque<mls::Group> sent_;  // earlier states with a pending commit that went out, newest last
};

}  // namespace discord::dave
