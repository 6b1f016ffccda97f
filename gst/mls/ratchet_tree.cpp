#include "mls/ratchet_tree.hpp"

#include <algorithm>
#include <bit>

namespace discord::mls {

using namespace tree_math;

namespace {

constexpr std::uint8_t node_type_leaf = 1;
constexpr std::uint8_t node_type_parent = 2;

RatchetTree::ParentPointer read_parent_node(Reader& in) {
  auto node = std::make_shared<ParentNode>();
  const ByteSpan key = in.opaque();
  node->encryption_key.assign(key.begin(), key.end());
  const ByteSpan hash = in.opaque();
  node->parent_hash.assign(hash.begin(), hash.end());
  Reader leaves = in.vector();
  while (!leaves.at_end()) {
    if (node->unmerged_leaves.size() == max_leaves) {
      leaves.fail(Error::too_large);
      break;
    }
    node->unmerged_leaves.push_back(leaves.u32());
  }
  in.join(leaves);
  return node;
}

}  // namespace

RatchetTree::RatchetTree(LeafPointer leaf) : slots_(1) {
  slots_[0].leaf = std::move(leaf);
}

Result<RatchetTree, Error> RatchetTree::parse(ByteSpan bytes) {
  if (bytes.size() > max_message_size) {
    return Failure{Error::too_large};
  }
  Reader in(bytes);
  Reader nodes = in.vector();
  RatchetTree tree;
  while (!nodes.at_end()) {
    const auto index = static_cast<NodeIndex>(tree.slots_.size());
    if (index == tree_math::node_count(max_leaves)) {
      nodes.fail(Error::too_large);
      break;
    }
    Slot slot;
    if (nodes.optional()) {
      const std::uint8_t type = nodes.u8();
      if (type != (is_leaf(index) ? node_type_leaf : node_type_parent)) {
        nodes.fail(type == node_type_leaf || type == node_type_parent ? Error::invalid_tree
                                                                      : Error::malformed);
      } else if (is_leaf(index)) {
        slot.leaf = read_leaf_node(nodes);
      } else {
        slot.parent = read_parent_node(nodes);
      }
    }
    tree.slots_.push_back(std::move(slot));
  }
  in.join(nodes);
  in.finish();
  if (!in.ok()) {
    return Failure{in.error()};
  }
  // RFC 9420 section 12.4.3.3: trailing blanks are cut off, so the last one may not be blank.
  if (tree.slots_.empty() || tree.is_blank(static_cast<NodeIndex>(tree.slots_.size() - 1))) {
    return Failure{Error::invalid_tree};
  }
  const std::size_t leaves = std::bit_ceil((tree.slots_.size() + 2) / 2);
  tree.slots_.resize(tree_math::node_count(leaves));
  if (std::none_of(tree.slots_.begin(), tree.slots_.end(),
                   [](const Slot& slot) { return slot.leaf != nullptr; }) ||
      (leaves > 1 && tree.is_empty_below(right(tree.root())))) {
    return Failure{Error::invalid_tree};
  }
  return tree;
}

void RatchetTree::write(Writer& out) const {
  std::size_t used = slots_.size();
  while (used > 0 && is_blank(static_cast<NodeIndex>(used - 1))) {
    --used;
  }
  out.reserve(out.view().size() + used * 300);
  out.vector([&](Writer& w) {
    for (std::size_t i = 0; i < used; ++i) {
      const Slot& slot = slots_[i];
      if (slot.leaf) {
        w.u8(1);
        w.u8(node_type_leaf);
        mls::write(w, *slot.leaf);
      } else if (slot.parent) {
        w.u8(1);
        w.u8(node_type_parent);
        w.opaque(slot.parent->encryption_key);
        w.opaque(slot.parent->parent_hash);
        w.vector([&](Writer& leaves) {
          for (const LeafIndex leaf : slot.parent->unmerged_leaves) {
            leaves.u32(leaf);
          }
        });
      } else {
        w.u8(0);
      }
    }
  });
}

const RatchetTree::LeafPointer& RatchetTree::leaf(LeafIndex leaf) const noexcept {
  static const LeafPointer none;
  return leaf < leaf_count() ? slots_[node_of(leaf)].leaf : none;
}

const Bytes& RatchetTree::encryption_key(NodeIndex node) const noexcept {
  const Slot& slot = slots_[node];
  return slot.leaf ? slot.leaf->encryption_key : slot.parent->encryption_key;
}

void RatchetTree::touch(NodeIndex node) {
  slots_[node].hashed = false;
  while (node != root()) {
    node = tree_math::parent(node);
    slots_[node].hashed = false;
  }
}

void RatchetTree::blank(NodeIndex node) {
  slots_[node].leaf.reset();
  slots_[node].parent.reset();
}

void RatchetTree::set_leaf(LeafIndex leaf, LeafPointer node) {
  slots_[node_of(leaf)].leaf = std::move(node);
  touch(node_of(leaf));
}

Result<LeafIndex, Error> RatchetTree::add(LeafPointer node) {
  LeafIndex index = 0;
  while (index < leaf_count() && slots_[node_of(index)].leaf) {
    ++index;
  }
  if (index == leaf_count()) {
    if (index == max_leaves) {
      return Failure{Error::too_large};
    }
    slots_.resize(tree_math::node_count(2 * leaf_count()));
  }
  set_leaf(index, std::move(node));
  for (NodeIndex at = node_of(index); at != root();) {
    at = tree_math::parent(at);
    if (slots_[at].parent) {
      auto changed = std::make_shared<ParentNode>(*slots_[at].parent);
      // In order: a blank leaf may be refilled below one that is listed already.
      auto& unmerged = changed->unmerged_leaves;
      unmerged.insert(std::lower_bound(unmerged.begin(), unmerged.end(), index), index);
      slots_[at].parent = std::move(changed);
    }
  }
  return index;
}

void RatchetTree::remove(LeafIndex leaf) {
  NodeIndex at = node_of(leaf);
  touch(at);
  blank(at);
  while (at != root()) {
    at = tree_math::parent(at);
    blank(at);
  }
  while (leaf_count() > 1 && is_empty_below(right(root()))) {
    slots_.resize(tree_math::node_count(leaf_count() / 2));
  }
}

Bytes RatchetTree::set_path(LeafIndex leaf, const std::vector<PathStep>& path,
                            std::vector<Bytes> keys) {
  update_hashes();  // of the copath, which the parent hashes below cover
  touch(node_of(leaf));
  for (NodeIndex at = node_of(leaf); at != root();) {
    at = tree_math::parent(at);
    blank(at);
  }
  Bytes above;
  for (std::size_t i = path.size(); i-- > 0;) {
    auto node = std::make_shared<ParentNode>();
    node->encryption_key = std::move(keys[i]);
    node->parent_hash = std::move(above);
    slots_[path[i].node].parent = std::move(node);
    // No leaf is unmerged at a node that is new, so the sibling's original hash is its present one.
    const Hash hash = parent_hash(path[i].node, path[i].copath);
    above.assign(hash.begin(), hash.end());
  }
  return above;
}

bool RatchetTree::is_empty_below(NodeIndex node) const noexcept {
  const auto from = slots_.begin() + static_cast<std::ptrdiff_t>(first_below(node));
  const auto to = slots_.begin() + static_cast<std::ptrdiff_t>(last_below(node)) + 1;
  return std::none_of(from, to, [](const Slot& slot) { return slot.leaf || slot.parent; });
}

void RatchetTree::collect_resolution(NodeIndex node, std::vector<NodeIndex>& out) const {
  if (!is_blank(node)) {
    out.push_back(node);
    if (slots_[node].parent) {
      for (const LeafIndex leaf : slots_[node].parent->unmerged_leaves) {
        out.push_back(node_of(leaf));
      }
    }
  } else if (!is_leaf(node)) {
    collect_resolution(left(node), out);
    collect_resolution(right(node), out);
  }
}

std::vector<NodeIndex> RatchetTree::resolution(NodeIndex node) const {
  std::vector<NodeIndex> out;
  collect_resolution(node, out);
  return out;
}

std::vector<RatchetTree::PathStep> RatchetTree::filtered_path(LeafIndex leaf) const {
  std::vector<PathStep> out;
  for (NodeIndex at = node_of(leaf); at != root();) {
    const NodeIndex copath = sibling(at);
    at = tree_math::parent(at);
    if (!is_empty_below(copath)) {
      out.push_back({at, copath});
    }
  }
  return out;
}

}  // namespace discord::mls
