// ratchet_tree.hpp: growing, shrinking, paths through blanks.
#include "mls/ratchet_tree.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::mls;

namespace {

RatchetTree::LeafPointer leaf(std::uint16_t number) {
  auto node = std::make_shared<LeafNode>();
  node->encryption_key = {static_cast<std::uint8_t>(number >> 8),
                          static_cast<std::uint8_t>(number)};
  node->signature_key = node->encryption_key;
  return node;
}

RatchetTree tree_of(std::uint16_t leaves) {
  RatchetTree tree(leaf(0));
  for (std::uint16_t i = 1; i < leaves; ++i) {
    EXPECT_EQ(*tree.add(leaf(i)), i);
  }
  tree.update_hashes();
  return tree;
}

std::vector<NodeIndex> nodes_of(const std::vector<RatchetTree::PathStep>& path) {
  std::vector<NodeIndex> out;
  for (const auto& step : path) {
    out.push_back(step.node);
  }
  return out;
}

Bytes written(const RatchetTree& tree) {
  Writer out;
  tree.write(out);
  return out.take();
}

}  // namespace

TEST(MlsTree, GrowsByDoublingUpToItsLimit) {
  RatchetTree tree = tree_of(5);
  EXPECT_EQ(tree.leaf_count(), 8u);
  EXPECT_EQ(tree.root(), 7u);
  tree = tree_of(1024);
  EXPECT_EQ(tree.leaf_count(), max_leaves);
  EXPECT_EQ(tree.add(leaf(1024)).error(), Error::too_large);
  tree.remove(77);
  EXPECT_EQ(*tree.add(leaf(1024)), 77u) << "the leftmost blank leaf";
}

TEST(MlsTree, ShrinksWhenItsRightHalfIsBlank) {
  RatchetTree tree = tree_of(9);
  EXPECT_EQ(tree.leaf_count(), 16u);
  tree.remove(2);
  EXPECT_EQ(tree.leaf_count(), 16u);
  tree.remove(8);
  EXPECT_EQ(tree.leaf_count(), 8u);
  tree.remove(4);
  tree.remove(5);
  tree.remove(6);
  EXPECT_EQ(tree.leaf_count(), 8u);
  tree.remove(7);
  EXPECT_EQ(tree.leaf_count(), 4u);
  tree.remove(3);
  EXPECT_EQ(tree.leaf_count(), 2u);
  tree.remove(1);
  EXPECT_EQ(tree.leaf_count(), 1u);
  EXPECT_EQ(tree.update_hashes(), tree_of(1).tree_hash());
  EXPECT_EQ(tree.leaf(1), nullptr);
  EXPECT_EQ(tree.leaf(60000), nullptr);
}

TEST(MlsTree, CachedHashesFollowEveryChange) {
  RatchetTree tree = tree_of(6);
  const auto expect_fresh = [&] {
    const Hash cached = tree.update_hashes();
    auto again = RatchetTree::parse(written(tree));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->update_hashes(), cached);
  };
  tree.remove(3);
  expect_fresh();
  const auto path = tree.filtered_path(0);
  tree.set_path(0, path, {{1}, {2}, {3}});
  expect_fresh();
  ASSERT_TRUE(tree.add(leaf(9)).ok());
  expect_fresh();
  EXPECT_EQ(tree.parent(3)->unmerged_leaves, std::vector<LeafIndex>{3});
  tree.set_leaf(5, leaf(77));
  expect_fresh();
  tree.remove(5);
  expect_fresh();
}

TEST(MlsTree, FilteredPathsSkipBlankSubtrees) {
  RatchetTree tree = tree_of(8);
  EXPECT_EQ(nodes_of(tree.filtered_path(0)), (std::vector<NodeIndex>{1, 3, 7}));
  tree.remove(1);
  EXPECT_EQ(nodes_of(tree.filtered_path(0)), (std::vector<NodeIndex>{3, 7}));
  tree.remove(2);
  tree.remove(3);
  EXPECT_EQ(nodes_of(tree.filtered_path(0)), (std::vector<NodeIndex>{7}));
  EXPECT_EQ(tree.resolution(3), std::vector<NodeIndex>{0});
  EXPECT_EQ(tree.resolution(7), (std::vector<NodeIndex>{0, 8, 10, 12, 14}));
  EXPECT_TRUE(tree.resolution(5).empty());
  // Filtered nodes that had keys lose them with the next path.
  tree.set_path(0, tree.filtered_path(0), {{1}});
  EXPECT_TRUE(tree.is_blank(1));
  EXPECT_TRUE(tree.is_blank(3));
  EXPECT_FALSE(tree.is_blank(7));
  EXPECT_TRUE(nodes_of(RatchetTree(leaf(0)).filtered_path(0)).empty());
}
