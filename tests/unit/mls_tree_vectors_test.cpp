// The working group's vectors about ratchet trees.
#include "mls/hpke.hpp"
#include "mls/key_schedule.hpp"
#include "mls/update_path.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;
using rig::bytes_of;

namespace {

Bytes written(const RatchetTree& tree) {
  Writer out;
  tree.write(out);
  return out.take();
}

}  // namespace

// These exist for suite 1 only: the hash is the same and keys are opaque, so all it takes is to
// name our suite in the key package.
TEST(MlsTreeVectors, Operations) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/tree-operations.json");
  int done = 0;
  for (const auto& v : vectors) {
    auto tree = RatchetTree::parse(bytes_of(v["tree_before"]));
    ASSERT_TRUE(tree.ok());
    EXPECT_EQ(to_hex(written(*tree)), v["tree_before"]);
    EXPECT_EQ(to_hex(tree->update_hashes()), v["tree_hash_before"]);
    Bytes bytes = bytes_of(v["proposal"]);
    if (load_be16(bytes.data()) == proposal_add) {
      store_be16(bytes.data() + 4, cipher_suite);
    }
    Reader in(bytes);
    const Proposal proposal = read_proposal(in);
    if (!in.ok()) {
      EXPECT_EQ(in.error(), Error::unsupported_proposal);
      continue;
    }
    if (const auto* add = std::get_if<Add>(&proposal)) {
      ASSERT_TRUE(tree->add(add->key_package.leaf).ok());
    } else {
      tree->remove(std::get<Remove>(proposal).leaf);
    }
    EXPECT_EQ(to_hex(tree->update_hashes()), v["tree_hash_after"]);
    EXPECT_EQ(to_hex(written(*tree)), v["tree_after"]);
    ++done;
  }
  EXPECT_GE(done, 4);
}

TEST(MlsTreeVectors, Validation) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/tree-validation.json");
  for (const auto& v : vectors) {
    const Bytes bytes = bytes_of(v["tree"]);
    auto tree = RatchetTree::parse(bytes);
    ASSERT_TRUE(tree.ok()) << to_string(tree.error());
    EXPECT_EQ(to_hex(written(*tree)), to_hex(bytes));
    tree->update_hashes();
    ASSERT_EQ(tree->size(), v["tree_hashes"].size());
    for (NodeIndex i = 0; i < tree->size(); ++i) {
      EXPECT_EQ(to_hex(tree->hash(i)), v["tree_hashes"][i]);
      EXPECT_EQ(tree->resolution(i), v["resolutions"][i].get<std::vector<NodeIndex>>());
    }
    const auto error = tree->validate(bytes_of(v["group_id"]), {});
    EXPECT_EQ(error, std::nullopt) << to_string(*error);
    EXPECT_TRUE(tree->validate(bytes_of("00"), {}) == Error::bad_signature ||
                [&] {  // unless no leaf came by a commit
                  for (LeafIndex i = 0; i < tree->leaf_count(); ++i) {
                    if (tree->leaf(i) && tree->leaf(i)->source != LeafSource::key_package) {
                      return false;
                    }
                  }
                  return true;
                }());
  }
}

TEST(MlsTreeVectors, TreeKem) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/treekem.json");
  for (const auto& v : vectors) {
    const auto parsed = RatchetTree::parse(bytes_of(v["ratchet_tree"]));
    ASSERT_TRUE(parsed.ok());
    GroupContext context;
    context.group_id = bytes_of(v["group_id"]);
    context.epoch = v["epoch"];
    context.confirmed_transcript_hash = bytes_of(v["confirmed_transcript_hash"]);

    std::map<LeafIndex, PrivateKeys> keys;
    std::map<LeafIndex, KeyPair> signers;
    for (const auto& leaf : v["leaves_private"]) {
      const auto index = leaf["index"].get<LeafIndex>();
      PrivateKeys& own = keys[index];
      own.emplace(node_of(index), *KeyPair::from_private(bytes_of(leaf["encryption_priv"])));
      for (const auto& secret : leaf["path_secrets"]) {
        own.emplace(
            secret["node"].get<NodeIndex>(),
            *derive_key_pair(derive_secret(bytes_of(secret["path_secret"]), "node").view()));
      }
      for (const auto& [node, key] : own) {
        EXPECT_EQ(to_hex(key.public_key()), to_hex(parsed->encryption_key(node)));
      }
      signers.emplace(index, *KeyPair::from_private(bytes_of(leaf["signature_priv"])));
    }

    for (const auto& update : v["update_paths"]) {
      const auto sender = update["sender"].get<LeafIndex>();
      const Bytes bytes = bytes_of(update["update_path"]);
      Reader in(bytes);
      const UpdatePath path = read_update_path(in);
      in.finish();
      ASSERT_TRUE(in.ok());
      EXPECT_EQ(to_hex(encode(path)), to_hex(bytes));
      RatchetTree tree = *parsed;
      const auto steps = merge_path(tree, sender, path, {}, context.group_id, {});
      ASSERT_TRUE(steps.ok()) << to_string(steps.error());
      EXPECT_EQ(to_hex(tree.tree_hash()), update["tree_hash_after"]);
      context.tree_hash = bytes_of(update["tree_hash_after"]);
      const Bytes encoded = encode(context);
      for (const auto& [leaf, own] : keys) {
        if (leaf == sender) {
          continue;
        }
        const auto opened = decrypt_path(tree, *steps, path, {}, leaf, own, encoded);
        ASSERT_TRUE(opened.ok()) << to_string(opened.error());
        EXPECT_EQ(to_hex(opened->commit_secret.view()), update["commit_secret"]);
        const auto first =
            derive_key_pair(derive_secret(bytes_of(update["path_secrets"][leaf]), "node").view());
        EXPECT_TRUE(std::any_of(opened->keys.begin(), opened->keys.end(), [&](const auto& entry) {
          return to_hex(entry.second.public_key()) == to_hex(first->public_key());
        }));
      }

      // And a path of our own from the same sender opens for everybody else.
      rig::TestRandom random(sender);
      RatchetTree ours = *parsed;
      const auto made = make_path(ours, sender, signers.at(sender), context.group_id, random);
      ASSERT_TRUE(made.ok());
      GroupContext own_context = context;
      own_context.tree_hash.assign(ours.tree_hash().begin(), ours.tree_hash().end());
      const Bytes own_encoded = encode(own_context);
      const auto encrypted = encrypt_path(ours, *made, own_encoded, {}, random);
      ASSERT_TRUE(encrypted.ok());
      RatchetTree theirs = *parsed;
      const auto merged = merge_path(theirs, sender, *encrypted, {}, context.group_id, {});
      ASSERT_TRUE(merged.ok()) << to_string(merged.error());
      EXPECT_EQ(theirs.tree_hash(), ours.tree_hash());
      for (const auto& [leaf, own] : keys) {
        if (leaf != sender) {
          const auto opened = decrypt_path(theirs, *merged, *encrypted, {}, leaf, own, own_encoded);
          ASSERT_TRUE(opened.ok());
          EXPECT_TRUE(opened->commit_secret == made->commit_secret);
        }
      }
    }
  }
}
