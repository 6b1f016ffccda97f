// What a DAVE delivery service knows of one group: who sits on which leaf, and what it has
// proposed. It holds no secret of the group. docs/protocol/dave.md "The group".
#pragma once

#include "base/result.hpp"
#include "mls/framing.hpp"
#include "mls/key_package.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace discord::loopback {

// A key package that somebody offered (opcode 26), found good.
struct OfferedPackage {
  std::uint64_t user = 0;
  mls::KeyPackage key_package;
  mls::Hash ref{};  // by which a Welcome names its receiver
};

// Why a body of a client is not acceptable.
struct BodyFault {
  bool undecodable = false;  // not even the right shape
  std::string text;
};

// Body of opcode 26: a bare KeyPackage of this user, as narrow as the real service wants it.
Result<OfferedPackage, BodyFault> read_key_package(std::uint64_t user, ByteSpan body);

// A proposal that is under way to the members.
struct Proposed {
  mls::ProposalRef ref{};
  Bytes message;
  std::uint64_t user = 0;  // added, or sitting on the leaf that is removed
  mls::LeafIndex leaf = 0;
  std::optional<OfferedPackage> package;  // of an Add

  bool is_add() const noexcept { return package.has_value(); }
};

// Body of opcode 28, taken apart.
struct CommitBody {
  std::uint64_t committer = 0;
  Bytes commit;             // MLSMessage
  Bytes welcome;            // bare; empty without one
  std::uint64_t epoch = 0;  // it was made in
  mls::Sender sender;
  Bytes group_id;
  std::set<mls::ProposalRef> refs;
  std::shared_ptr<const mls::LeafNode> path_leaf;  // null without a path
  std::set<mls::Hash> welcomed;                    // references of key packages
};
// References only, at most one Welcome, nothing behind it.
Result<CommitBody, BodyFault> read_commit_welcome(std::uint64_t committer, ByteSpan body);

class DeliveryGroup {
 public:
  struct Leaf {
    std::uint64_t user = 0;
    Bytes signature_key;
  };

  DeliveryGroup(std::uint64_t channel, mls::KeyPair key);

  // Body of opcode 25.
  Bytes external_sender() const;

  bool founded() const noexcept { return !leaves_.empty(); }
  // 0 before the founding.
  std::uint64_t epoch() const noexcept { return epoch_; }
  // Counts the groups that were founded.
  std::uint64_t serial() const noexcept { return serial_; }
  const std::vector<std::optional<Leaf>>& leaves() const noexcept { return leaves_; }
  std::optional<mls::LeafIndex> leaf_of(std::uint64_t user) const noexcept;
  std::vector<std::uint64_t> users() const;

  // Signed for the present epoch, which before the founding is everybody's own epoch 0.
  Proposed propose_add(const OfferedPackage& package) const;
  Proposed propose_remove(mls::LeafIndex leaf) const;

  // What speaks against making this the next epoch, given that it has to commit exactly `wanted`.
  // Tags and encryption only members can judge.
  std::optional<std::string> check(const CommitBody& commit,
                                   const std::vector<Proposed>& wanted) const;
  // Follows a commit that was found good. `founder_key` matters before the founding only.
  void advance(const CommitBody& commit, const std::vector<Proposed>& wanted, ByteSpan founder_key);
  // Everybody is out.
  void dissolve() noexcept;

 private:
  Proposed propose(mls::Proposal proposal) const;

  Bytes group_id_;
  mls::KeyPair key_;
  std::vector<std::optional<Leaf>> leaves_;  // trailing ones are occupied
  std::uint64_t epoch_ = 0;
  std::uint64_t serial_ = 0;
};

}  // namespace discord::loopback
