// TreeKEM: making, encrypting, checking and opening update paths (RFC 9420 sections 7.4 to 7.6).
#pragma once

#include "mls/key_package.hpp"
#include "mls/ratchet_tree.hpp"

#include <map>

namespace discord::mls {

// Private keys by node: the own leaf and those ancestors whose secret was learnt.
using PrivateKeys = std::map<NodeIndex, KeyPair>;

// A path of our own.
struct OwnPath {
  std::vector<RatchetTree::PathStep> steps;
  std::vector<Secret32> secrets;  // one a step
  PrivateKeys keys;               // leaf and steps
  Secret32 commit_secret;
  std::shared_ptr<const LeafNode> leaf;
};

// Puts a fresh path for `own` into the tree, with a new leaf that keeps credential, signature key,
// capabilities and extensions.
Result<OwnPath, Error> make_path(RatchetTree& tree, LeafIndex own, const KeyPair& signature_key,
                                 ByteSpan group_id, RandomSource& random);

// Encrypts each secret to the copath, without the leaves in `added`. `group_context` is the
// provisional one: new epoch and tree hash, old confirmed transcript hash.
Result<UpdatePath, Error> encrypt_path(const RatchetTree& tree, const OwnPath& path,
                                       ByteSpan group_context, const std::vector<LeafIndex>& added,
                                       RandomSource& random);

// Checks the shape of somebody's path against the tree, puts it in place and checks its leaf and
// parent hashes. `tree` is scratch after a refusal.
Result<std::vector<RatchetTree::PathStep>, Error> merge_path(RatchetTree& tree, LeafIndex sender,
                                                             const UpdatePath& path,
                                                             const std::vector<LeafIndex>& added,
                                                             ByteSpan group_id,
                                                             const Extensions& group_extensions);

// What opening a path gives: our new ancestors' keys and the secret of the commit.
struct PathSecrets {
  PrivateKeys keys;
  Secret32 commit_secret;
};

// Opens our entry in a path that was merged into `tree`.
Result<PathSecrets, Error> decrypt_path(const RatchetTree& tree,
                                        const std::vector<RatchetTree::PathStep>& steps,
                                        const UpdatePath& path, const std::vector<LeafIndex>& added,
                                        LeafIndex own, const PrivateKeys& keys,
                                        ByteSpan group_context);

// Derives keys from the secret of `steps[first]` to the top; `bad_update_path` when one is not the
// key in the tree.
Result<PathSecrets, Error> derive_path(const RatchetTree& tree,
                                       const std::vector<RatchetTree::PathStep>& steps,
                                       std::size_t first, const Secret32& path_secret);

}  // namespace discord::mls
