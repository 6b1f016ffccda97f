// The ratchet_tree of a GroupInfo: whatever parses must survive everything a group does with it.
#include "mls/ratchet_tree.hpp"

#include <algorithm>
#include <cstdlib>

using namespace discord;
using namespace discord::mls;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  auto parsed = RatchetTree::parse(bytes);
  if (!parsed.ok()) {
    return 0;
  }
  RatchetTree& tree = *parsed;
  Writer out;
  tree.write(out);
  if (!std::equal(bytes.begin(), bytes.end(), out.view().begin(), out.view().end())) {
    std::abort();
  }
  tree.update_hashes();
  const bool valid = !tree.validate(Bytes{1, 2, 3}, {}).has_value();
  std::optional<LeafIndex> member;
  for (LeafIndex i = 0; i < tree.leaf_count(); ++i) {
    if (tree.leaf(i)) {
      member = i;
    }
  }
  if (!member) {
    std::abort();  // a tree without members is not one
  }
  // Unmerged leaves are anything until a tree is valid, so nothing else looks at it before.
  if (!valid) {
    return 0;
  }
  const auto path = tree.filtered_path(*member);
  for (const auto& step : path) {
    for (const NodeIndex node : tree.resolution(step.copath)) {
      if (node >= tree.size() || tree.is_blank(node)) {
        std::abort();
      }
    }
  }
  RatchetTree changed = tree;
  static_cast<void>(changed.add(tree.leaf(*member)));
  changed.set_path(*member, changed.filtered_path(*member),
                   std::vector<Bytes>(changed.filtered_path(*member).size(), Bytes{1}));
  changed.update_hashes();
  changed.remove(*member);
  changed.update_hashes();
  return 0;
}
