// Tree hashes and parent hashes of ratchet_tree.hpp (RFC 9420 sections 7.8 and 7.9).
#include "mls/ratchet_tree.hpp"

#include <algorithm>

namespace discord::mls {

using namespace tree_math;

namespace {

Hash hash_leaf(LeafIndex index, const LeafNode* leaf) {
  Writer input;
  input.reserve(512);
  input.u8(1);
  input.u32(index);
  input.u8(leaf != nullptr ? 1 : 0);
  if (leaf != nullptr) {
    write(input, *leaf);
  }
  return sha256(input.view());
}

Hash hash_parent(const ParentNode* node, const std::vector<LeafIndex>& without,
                 const Hash& left_hash, const Hash& right_hash) {
  Writer input;
  input.reserve(256);
  input.u8(2);
  input.u8(node != nullptr ? 1 : 0);
  if (node != nullptr) {
    input.opaque(node->encryption_key);
    input.opaque(node->parent_hash);
    input.vector([&](Writer& leaves) {
      for (const LeafIndex leaf : node->unmerged_leaves) {
        if (!std::binary_search(without.begin(), without.end(), leaf)) {
          leaves.u32(leaf);
        }
      }
    });
  }
  input.opaque(left_hash);
  input.opaque(right_hash);
  return sha256(input.view());
}

}  // namespace

void RatchetTree::hash_below(NodeIndex node) {
  Slot& slot = slots_[node];
  if (slot.hashed) {
    return;
  }
  if (is_leaf(node)) {
    slot.hash = hash_leaf(node / 2, slot.leaf.get());
  } else {
    hash_below(left(node));
    hash_below(right(node));
    slot.hash =
        hash_parent(slot.parent.get(), {}, slots_[left(node)].hash, slots_[right(node)].hash);
  }
  slot.hashed = true;
}

const Hash& RatchetTree::update_hashes() {
  hash_below(root());
  return tree_hash();
}

Hash RatchetTree::original_hash(NodeIndex node, const std::vector<LeafIndex>& without) const {
  const auto from = std::lower_bound(without.begin(), without.end(),
                                     static_cast<LeafIndex>(first_below(node) / 2));
  if (from == without.end() || *from > last_below(node) / 2) {
    return slots_[node].hash;
  }
  if (is_leaf(node)) {
    return hash_leaf(node / 2, nullptr);
  }
  return hash_parent(slots_[node].parent.get(), without, original_hash(left(node), without),
                     original_hash(right(node), without));
}

Hash RatchetTree::parent_hash(NodeIndex node, NodeIndex sibling) const {
  const ParentNode& parent = *slots_[node].parent;
  Writer input;
  input.reserve(256);
  input.opaque(parent.encryption_key);
  input.opaque(parent.parent_hash);
  input.opaque(original_hash(sibling, parent.unmerged_leaves));
  return sha256(input.view());
}

}  // namespace discord::mls
