// Array-based binary trees (RFC 9420 appendix C): leaves at even places, parents at odd ones. The
// number of leaves is a power of two here, blank leaves included.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace discord::mls::tree_math {

using Node = std::uint32_t;

constexpr std::size_t node_count(std::size_t leaves) noexcept {
  return leaves == 0 ? 0 : 2 * leaves - 1;
}
// How many ones the index ends with; 0 for a leaf.
constexpr unsigned level(Node node) noexcept {
  return static_cast<unsigned>(std::countr_one(node));
}
constexpr bool is_leaf(Node node) noexcept {
  return (node & 1) == 0;
}
// `leaves` is not zero.
constexpr Node root(std::size_t leaves) noexcept {
  return static_cast<Node>(leaves - 1);
}

// `node` is not a leaf.
constexpr Node left(Node node) noexcept {
  return node ^ (Node{1} << (level(node) - 1));
}
constexpr Node right(Node node) noexcept {
  return node ^ (Node{3} << (level(node) - 1));
}

// `node` is not the root.
constexpr Node parent(Node node) noexcept {
  const unsigned k = level(node);
  return (node | (Node{1} << k)) & ~(Node{2} << k);
}
constexpr Node sibling(Node node) noexcept {
  const Node above = parent(node);
  return node < above ? right(above) : left(above);
}

// First and last node below `node`, itself included.
constexpr Node first_below(Node node) noexcept {
  return node - ((Node{1} << level(node)) - 1);
}
constexpr Node last_below(Node node) noexcept {
  return node + ((Node{1} << level(node)) - 1);
}
constexpr bool is_below(Node node, Node ancestor) noexcept {
  return node >= first_below(ancestor) && node <= last_below(ancestor);
}

constexpr Node common_ancestor(Node a, Node b) noexcept {
  while (!is_below(b, a)) {
    a = parent(a);
  }
  return a;
}

}  // namespace discord::mls::tree_math
