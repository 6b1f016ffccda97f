#include "mls/update_path.hpp"

#include "mls/hpke.hpp"

#include <algorithm>

namespace discord::mls {

using tree_math::is_below;
using tree_math::is_leaf;

namespace {

constexpr std::string_view path_label = "UpdatePathNode";

Result<KeyPair, Error> node_key(const Secret32& path_secret) {
  return derive_key_pair(derive_secret(path_secret.view(), "node").view());
}

Secret32 next_secret(const Secret32& path_secret) {
  return derive_secret(path_secret.view(), "path");
}

// Who gets a step's secret: the copath's resolution without those who only join now.
std::vector<NodeIndex> recipients(const RatchetTree& tree, NodeIndex copath,
                                  const std::vector<LeafIndex>& added) {
  std::vector<NodeIndex> out = tree.resolution(copath);
  if (!added.empty()) {
    out.erase(std::remove_if(out.begin(), out.end(),
                             [&](NodeIndex node) {
                               return is_leaf(node) && std::find(added.begin(), added.end(),
                                                                 node / 2) != added.end();
                             }),
              out.end());
  }
  return out;
}

Bytes to_bytes(ByteSpan bytes) {
  return Bytes(bytes.begin(), bytes.end());
}

}  // namespace

Result<OwnPath, Error> make_path(RatchetTree& tree, LeafIndex own, const KeyPair& signature_key,
                                 ByteSpan group_id, RandomSource& random) {
  OwnPath out;
  out.steps = tree.filtered_path(own);
  SecretBytes start(Secret32::size);
  if (!random.fill(start.writable())) {
    return Failure{Error::no_randomness};
  }
  Secret32 secret(start.view().first<Secret32::size>());
  std::vector<Bytes> public_keys;
  for (const RatchetTree::PathStep& step : out.steps) {
    auto key = node_key(secret);
    if (!key) {
      return Failure{key.error()};
    }
    public_keys.push_back(to_bytes(key->public_key()));
    out.keys.emplace(step.node, std::move(*key));
    out.secrets.push_back(secret);
    secret = next_secret(secret);
  }
  out.commit_secret = secret;

  auto leaf_key = KeyPair::generate(random);
  if (!leaf_key) {
    return Failure{leaf_key.error()};
  }
  LeafNode leaf = *tree.leaf(own);
  leaf.encryption_key = to_bytes(leaf_key->public_key());
  leaf.source = LeafSource::commit;
  leaf.parent_hash = tree.set_path(own, out.steps, std::move(public_keys));
  auto signed_leaf = sign_leaf(std::move(leaf), signature_key, group_id, own);
  if (!signed_leaf) {
    return Failure{signed_leaf.error()};
  }
  out.leaf = std::make_shared<const LeafNode>(std::move(*signed_leaf));
  out.keys.emplace(node_of(own), std::move(*leaf_key));
  tree.set_leaf(own, out.leaf);
  tree.update_hashes();
  return out;
}

Result<UpdatePath, Error> encrypt_path(const RatchetTree& tree, const OwnPath& path,
                                       ByteSpan group_context, const std::vector<LeafIndex>& added,
                                       RandomSource& random) {
  UpdatePath out;
  out.leaf = path.leaf;
  for (std::size_t i = 0; i < path.steps.size(); ++i) {
    UpdatePathNode node;
    node.public_key = tree.encryption_key(path.steps[i].node);
    for (const NodeIndex to : recipients(tree, path.steps[i].copath, added)) {
      auto sealed = encrypt_with_label(tree.encryption_key(to), path_label, group_context,
                                       path.secrets[i].view(), random);
      if (!sealed) {
        return Failure{sealed.error()};
      }
      node.encrypted_path_secrets.push_back(std::move(*sealed));
    }
    out.nodes.push_back(std::move(node));
  }
  return out;
}

Result<std::vector<RatchetTree::PathStep>, Error> merge_path(RatchetTree& tree, LeafIndex sender,
                                                             const UpdatePath& path,
                                                             const std::vector<LeafIndex>& added,
                                                             ByteSpan group_id,
                                                             const Extensions& group_extensions) {
  const LeafNode& before = *tree.leaf(sender);
  if (path.leaf->source != LeafSource::commit ||
      path.leaf->encryption_key == before.encryption_key ||
      path.leaf->signature_key != before.signature_key ||
      path.leaf->credential != before.credential) {
    return Failure{Error::invalid_leaf};
  }
  if (const auto error = check_leaf(*path.leaf, group_extensions)) {
    return Failure{*error};
  }
  auto steps = tree.filtered_path(sender);
  if (steps.size() != path.nodes.size()) {
    return Failure{Error::bad_update_path};
  }
  std::vector<Bytes> public_keys;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (path.nodes[i].encrypted_path_secrets.size() !=
        recipients(tree, steps[i].copath, added).size()) {
      return Failure{Error::bad_update_path};
    }
    if (!is_public_key(path.nodes[i].public_key)) {
      return Failure{Error::bad_key};
    }
    public_keys.push_back(path.nodes[i].public_key);
  }
  if (path.leaf->parent_hash != tree.set_path(sender, steps, std::move(public_keys))) {
    return Failure{Error::bad_parent_hash};
  }
  if (!verify_leaf_signature(*path.leaf, group_id, sender)) {
    return Failure{Error::bad_signature};
  }
  tree.set_leaf(sender, path.leaf);
  if (!tree.keys_are_unique()) {
    return Failure{Error::duplicate_key};
  }
  tree.update_hashes();
  return steps;
}

Result<PathSecrets, Error> decrypt_path(const RatchetTree& tree,
                                        const std::vector<RatchetTree::PathStep>& steps,
                                        const UpdatePath& path, const std::vector<LeafIndex>& added,
                                        LeafIndex own, const PrivateKeys& keys,
                                        ByteSpan group_context) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (!is_below(node_of(own), steps[i].copath)) {
      continue;
    }
    // Our leaf, or the topmost of our ancestors: whichever of them the resolution names.
    const auto to = recipients(tree, steps[i].copath, added);
    for (std::size_t j = 0; j < to.size(); ++j) {
      const auto key = keys.find(to[j]);
      if (key == keys.end()) {
        continue;
      }
      const auto opened = decrypt_with_label(key->second, path_label, group_context,
                                             path.nodes[i].encrypted_path_secrets[j]);
      if (!opened || opened->size() != Secret32::size) {
        return Failure{Error::cannot_decrypt};
      }
      return derive_path(tree, steps, i, Secret32(opened->view().first<Secret32::size>()));
    }
    break;
  }
  return Failure{Error::cannot_decrypt};
}

Result<PathSecrets, Error> derive_path(const RatchetTree& tree,
                                       const std::vector<RatchetTree::PathStep>& steps,
                                       std::size_t first, const Secret32& path_secret) {
  PathSecrets out;
  Secret32 secret = path_secret;
  for (std::size_t i = first; i < steps.size(); ++i) {
    if (tree.is_blank(steps[i].node)) {
      return Failure{Error::bad_update_path};
    }
    auto key = node_key(secret);
    if (!key) {
      return Failure{key.error()};
    }
    if (!equal_tags(key->public_key(), tree.encryption_key(steps[i].node))) {
      return Failure{Error::bad_update_path};
    }
    out.keys.emplace(steps[i].node, std::move(*key));
    secret = next_secret(secret);
  }
  out.commit_secret = secret;
  return out;
}

}  // namespace discord::mls
