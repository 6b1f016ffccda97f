// Checks of a ratchet tree that somebody else sent (RFC 9420 sections 7.9.2 and 12.4.3.1).
#include "mls/key_package.hpp"
#include "mls/ratchet_tree.hpp"

#include <algorithm>
#include <string_view>

namespace discord::mls {

using namespace tree_math;

namespace {

std::string_view as_text(const Bytes& bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool all_different(std::vector<std::string_view>& values) {
  std::sort(values.begin(), values.end());
  return std::adjacent_find(values.begin(), values.end()) == values.end();
}

}  // namespace

bool RatchetTree::keys_are_unique() const {
  std::vector<std::string_view> encryption;
  std::vector<std::string_view> signature;
  encryption.reserve(slots_.size());
  signature.reserve(leaf_count());
  for (const Slot& slot : slots_) {
    if (slot.leaf) {
      encryption.push_back(as_text(slot.leaf->encryption_key));
      signature.push_back(as_text(slot.leaf->signature_key));
    } else if (slot.parent) {
      encryption.push_back(as_text(slot.parent->encryption_key));
    }
  }
  return all_different(encryption) && all_different(signature);
}

// Ascending leaves below the node that are not blank.
bool RatchetTree::has_ordered_unmerged(NodeIndex node) const {
  const auto& unmerged = slots_[node].parent->unmerged_leaves;
  for (std::size_t i = 0; i < unmerged.size(); ++i) {
    if ((i > 0 && unmerged[i - 1] >= unmerged[i]) || !leaf(unmerged[i]) ||
        !is_below(node_of(unmerged[i]), node)) {
      return false;
    }
  }
  return true;
}

// Each is listed at every node in between that is not blank. All lists are in order.
bool RatchetTree::has_consistent_unmerged(NodeIndex node) const {
  for (const LeafIndex index : slots_[node].parent->unmerged_leaves) {
    for (NodeIndex at = tree_math::parent(node_of(index)); at != node; at = tree_math::parent(at)) {
      if (slots_[at].parent) {
        const auto& between = slots_[at].parent->unmerged_leaves;
        if (!std::binary_search(between.begin(), between.end(), index)) {
          return false;
        }
      }
    }
  }
  return true;
}

// RFC 9420 section 7.9.2, one side: exactly one node of the child's resolution is not unmerged at
// `node`, and it carries the parent hash.
bool RatchetTree::is_parent_of(NodeIndex node, NodeIndex child, NodeIndex sibling) const {
  const auto& unmerged = slots_[node].parent->unmerged_leaves;
  std::optional<NodeIndex> descendant;
  std::size_t merged_below = 0;
  for (const NodeIndex at : resolution(child)) {
    const bool is_unmerged =
        is_leaf(at) && std::binary_search(unmerged.begin(), unmerged.end(), at / 2);
    if (!is_unmerged) {
      descendant = at;
      ++merged_below;
    }
  }
  if (merged_below != 1) {
    return false;
  }
  // All unmerged leaves below the child are in its resolution: has_consistent_unmerged saw to that.
  const Slot& slot = slots_[*descendant];
  const Bytes& carried = slot.parent ? slot.parent->parent_hash : slot.leaf->parent_hash;
  return equal_tags(carried, parent_hash(node, sibling));
}

bool RatchetTree::has_valid_parent_hash(NodeIndex node) const {
  const NodeIndex l = left(node);
  const NodeIndex r = right(node);
  return is_parent_of(node, l, r) || is_parent_of(node, r, l);
}

std::optional<Error> RatchetTree::validate(ByteSpan group_id,
                                           const Extensions& group_extensions) const {
  for (NodeIndex node = 1; node < slots_.size(); node += 2) {
    if (slots_[node].parent && !has_ordered_unmerged(node)) {
      return Error::invalid_tree;
    }
  }
  for (NodeIndex node = 1; node < slots_.size(); node += 2) {
    if (slots_[node].parent && !has_consistent_unmerged(node)) {
      return Error::invalid_tree;
    }
  }
  for (NodeIndex node = 1; node < slots_.size(); node += 2) {
    if (slots_[node].parent) {
      if (!has_valid_parent_hash(node)) {
        return Error::bad_parent_hash;
      }
      if (!is_public_key(slots_[node].parent->encryption_key)) {
        return Error::bad_key;
      }
    }
  }
  if (!keys_are_unique()) {
    return Error::duplicate_key;
  }
  // Signatures last: they cost the most.
  for (LeafIndex index = 0; index < leaf_count(); ++index) {
    const LeafPointer& node = leaf(index);
    if (!node) {
      continue;
    }
    if (const auto error = check_leaf(*node, group_extensions)) {
      return error;
    }
    if (!verify_leaf_signature(*node, group_id, index)) {
      return Error::bad_signature;
    }
  }
  return std::nullopt;
}

}  // namespace discord::mls
