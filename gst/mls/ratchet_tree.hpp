// The public half of the ratchet tree (RFC 9420 sections 4 and 7). Nodes are immutable and shared,
// so a copy of a tree costs two words a node; tree hashes are cached beside them.
#pragma once

#include "mls/tree_math.hpp"
#include "mls/types.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace discord::mls {

struct ParentNode {
  Bytes encryption_key;
  Bytes parent_hash;
  std::vector<LeafIndex> unmerged_leaves;  // ascending
};

constexpr NodeIndex node_of(LeafIndex leaf) noexcept {
  return 2 * leaf;
}

class RatchetTree {
 public:
  using LeafPointer = std::shared_ptr<const LeafNode>;
  using ParentPointer = std::shared_ptr<const ParentNode>;

  // A node of a filtered direct path and its child that is not on the path.
  struct PathStep {
    NodeIndex node;
    NodeIndex copath;
  };

  // A tree of one.
  explicit RatchetTree(LeafPointer leaf);
  // The data of a ratchet_tree extension. Checks the shape only; see `validate`.
  static Result<RatchetTree, Error> parse(ByteSpan bytes);
  // The same form, trailing blanks cut off.
  void write(Writer& out) const;

  // Blank leaves included: a power of two, at most `max_leaves`.
  std::size_t leaf_count() const noexcept { return (slots_.size() + 1) / 2; }
  std::size_t size() const noexcept { return slots_.size(); }
  NodeIndex root() const noexcept { return tree_math::root(leaf_count()); }
  // Null when blank or outside the tree.
  const LeafPointer& leaf(LeafIndex leaf) const noexcept;
  const ParentPointer& parent(NodeIndex node) const noexcept { return slots_[node].parent; }
  bool is_blank(NodeIndex node) const noexcept {
    return !slots_[node].leaf && !slots_[node].parent;
  }
  // Of a node that is not blank.
  const Bytes& encryption_key(NodeIndex node) const noexcept;

  // RFC 9420 section 7.7. `too_large` when the tree is full.
  Result<LeafIndex, Error> add(LeafPointer leaf);
  // RFC 9420 section 7.8; the leaf is not blank. Halves the tree as long as its right half is
  // blank.
  void remove(LeafIndex leaf);
  // Puts the keys of an update path in place: the leaf, its filtered direct path and blanks for the
  // rest of the direct path. `keys` stand in the order of `path`. Returns the parent hash that the
  // leaf has to carry (RFC 9420 section 7.9).
  Bytes set_path(LeafIndex leaf, const std::vector<PathStep>& path, std::vector<Bytes> keys);
  void set_leaf(LeafIndex leaf, LeafPointer node);

  // RFC 9420 section 4.1.1: the nodes that cover everybody below, in order.
  std::vector<NodeIndex> resolution(NodeIndex node) const;
  // RFC 9420 section 4.1.2, from the leaf's parent to the root.
  std::vector<PathStep> filtered_path(LeafIndex leaf) const;

  // RFC 9420 section 7.8. Brings the cache up to date, and so may not run beside a reader.
  const Hash& update_hashes();
  // Of the whole tree or of a subtree; `update_hashes` has run since the last change.
  const Hash& hash(NodeIndex node) const noexcept { return slots_[node].hash; }
  const Hash& tree_hash() const noexcept { return hash(root()); }

  // Checks everything of RFC 9420 section 12.4.3.1 that concerns the tree but the hash: unmerged
  // leaves, parent hashes, leaves and their signatures, uniqueness of keys. Needs up-to-date
  // hashes.
  std::optional<Error> validate(ByteSpan group_id, const Extensions& group_extensions) const;
  // Whether no key for encryption, and no key for signing, stands twice.
  bool keys_are_unique() const;

 private:
  struct Slot {
    LeafPointer leaf;
    ParentPointer parent;
    Hash hash{};
    bool hashed = false;
  };

  RatchetTree() = default;
  void blank(NodeIndex node);
  // Marks the hashes of a node and of everything above as stale.
  void touch(NodeIndex node);
  bool is_empty_below(NodeIndex node) const noexcept;
  void hash_below(NodeIndex node);
  void collect_resolution(NodeIndex node, std::vector<NodeIndex>& out) const;
  // Tree hash of a subtree as it was before `without` (ascending) were added.
  Hash original_hash(NodeIndex node, const std::vector<LeafIndex>& without) const;
  Hash parent_hash(NodeIndex node, NodeIndex sibling) const;
  bool has_ordered_unmerged(NodeIndex node) const;
  bool has_consistent_unmerged(NodeIndex node) const;
  bool has_valid_parent_hash(NodeIndex node) const;
  bool is_parent_of(NodeIndex node, NodeIndex child, NodeIndex sibling) const;

  std::vector<Slot> slots_;
};

}  // namespace discord::mls
