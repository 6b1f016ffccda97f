// Welcomes and ratchet trees that must not be believed.
#include "mls_forge.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;
using namespace discord::mls::rig;

namespace {

struct MlsWelcomeRefused : testing::Test {
  // Leaves 0, 1, 2 and 4 of eight; the tree has keys above leaf 0, and leaf 4 is unmerged at the
  // root.
  MlsWelcomeRefused() : crowd(4), receiver(7, crowd.random) {
    commit(crowd.service.remove(1, 3));
    crowd.parties[3]->group.reset();
    Party& late = *crowd.parties[3];
    late.renew(crowd.random);
    crowd.parties.push_back(std::make_unique<Party>(55, crowd.random));
    commit(crowd.service.add(2, late.package));
    EXPECT_TRUE(join(late, last_welcome));
    commit(crowd.service.add(3, crowd.parties[4]->package));
    EXPECT_TRUE(join(*crowd.parties[4], last_welcome));
    commit(crowd.service.add(4, receiver.package));
    EXPECT_TRUE(join(receiver, last_welcome));
    crowd.expect_agreement();
  }
  void commit(ByteSpan proposal) {
    crowd.propose(proposal);
    const auto made = crowd.group(0).commit(crowd.random);
    ASSERT_TRUE(made.ok());
    last_welcome = made->welcome.value_or(Bytes{});
    for (auto& party : crowd.parties) {
      if (party->group && !party->group->removes_self()) {
        ASSERT_TRUE(process(*party->group, made->commit));
      }
    }
  }
  Result<Group, Error> try_join(ByteSpan welcome) {
    return Group::join(receiver.identity, receiver.package, welcome);
  }
  std::string outcome(const std::function<void(forge::WelcomeParts&)>& change) {
    const auto joined =
        try_join(forge::changed_welcome(crowd.group(0), receiver.package, crowd.random, change));
    return joined ? "good" : to_string(joined.error());
  }
  // With another tree, whose hash the context names.
  std::string outcome_of_tree(const std::function<void(std::vector<Bytes>&)>& change) {
    return outcome([&](forge::WelcomeParts& parts) {
      std::vector<Bytes> nodes = split(parts.tree);
      change(nodes);
      Writer out;
      out.vector([&](Writer& w) {
        for (const Bytes& node : nodes) {
          w.raw(node);
        }
      });
      parts.tree = out.take();
      auto tree = RatchetTree::parse(parts.tree);
      if (tree) {
        parts.info.context.tree_hash = to_bytes(tree->update_hashes());
      }
    });
  }
  // The encoded optional<Node>s of a tree.
  static std::vector<Bytes> split(ByteSpan bytes) {
    std::vector<Bytes> out;
    Reader outer(bytes);
    Reader in(outer.opaque());
    while (!in.at_end()) {
      const ByteSpan before = in.rest();
      if (in.optional()) {
        if (in.u8() == 1) {
          read_leaf_node(in);
        } else {
          in.opaque();
          in.opaque();
          in.opaque();
        }
      }
      out.push_back(to_bytes(Reader::consumed(before, in.rest())));
    }
    EXPECT_TRUE(in.ok());
    return out;
  }
  static Bytes parent_node(ByteSpan key, ByteSpan hash, const std::vector<LeafIndex>& unmerged) {
    Writer out;
    out.u8(1);
    out.u8(2);
    out.opaque(key);
    out.opaque(hash);
    out.vector([&](Writer& w) {
      for (const LeafIndex leaf : unmerged) {
        w.u32(leaf);
      }
    });
    return out.take();
  }
  Crowd crowd;
  Party receiver;
  Bytes last_welcome;
};

}  // namespace

TEST_F(MlsWelcomeRefused, TruncatedOrChangedAnywhere) {
  for (std::size_t cut = 0; cut < last_welcome.size(); ++cut) {
    EXPECT_FALSE(try_join(ByteSpan(last_welcome).first(cut)).ok()) << cut;
  }
  Bytes bytes = last_welcome;
  for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 17) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    EXPECT_FALSE(try_join(bytes).ok()) << bit;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
  }
  bytes.push_back(0);
  EXPECT_EQ(try_join(bytes).error(), Error::malformed);
  bytes[1] = 1;
  EXPECT_EQ(try_join(bytes).error(), Error::unsupported_suite);
  EXPECT_TRUE(try_join(last_welcome).ok());
}

TEST_F(MlsWelcomeRefused, ForSomebodyElse) {
  Party other(8, crowd.random);
  EXPECT_EQ(Group::join(other.identity, other.package, last_welcome).error(), Error::not_for_us);
  EXPECT_EQ(Group::join(other.identity, receiver.package, last_welcome).error(), Error::bad_key);
  // Addressed to a package of which the tree knows nothing.
  EXPECT_EQ(Group::join(other.identity, other.package,
                        forge::changed_welcome(crowd.group(0), other.package, crowd.random))
                .error(),
            Error::not_for_us);
}

TEST_F(MlsWelcomeRefused, ForItsGroupInfo) {
  using Parts = forge::WelcomeParts;
  EXPECT_EQ(outcome({}), "good");
  EXPECT_EQ(outcome([](Parts& p) { p.good_signature = false; }), "bad-signature");
  EXPECT_EQ(outcome([](Parts& p) { p.good_tag = false; }), "bad-confirmation-tag");
  EXPECT_EQ(outcome([](Parts& p) { p.info.signer = 1; }), "bad-signature");
  EXPECT_EQ(outcome([](Parts& p) { p.info.signer = 6; }), "wrong-sender");
  EXPECT_EQ(outcome([](Parts& p) { p.info.signer = 1u << 31; }), "wrong-sender");
  EXPECT_EQ(outcome([](Parts& p) { p.info.context.tree_hash[0] ^= 1; }), "bad-tree-hash");
  EXPECT_EQ(outcome([](Parts& p) { p.tree.clear(); }), "missing-tree");
  EXPECT_EQ(outcome([](Parts& p) {
              p.info.extensions.push_back({extension_ratchet_tree, {}});
            }),
            "malformed");
  EXPECT_EQ(outcome([](Parts& p) {
              p.info.context.extensions.push_back({77, {}});
            }),
            "unsupported-extension");
  EXPECT_EQ(outcome([](Parts& p) { p.info.context.extensions[0].data = {9}; }), "malformed");
  EXPECT_EQ(outcome([](Parts& p) { p.secrets.path_secret = Secret32(); }), "bad-update-path");
  EXPECT_EQ(outcome([](Parts& p) { p.info.context.group_id = {1}; }), "bad-signature")
      << "leaves that came by a commit name the group";
}

TEST_F(MlsWelcomeRefused, WithoutATreeUnlessGivenBeside) {
  Bytes tree;
  const Bytes bare = forge::changed_welcome(crowd.group(0), receiver.package, crowd.random,
                                            [&](forge::WelcomeParts& parts) {
                                              tree = parts.tree;
                                              parts.tree.clear();
                                            });
  EXPECT_EQ(try_join(bare).error(), Error::missing_tree);
  EXPECT_TRUE(Group::join(receiver.identity, receiver.package, bare, {}, ByteSpan(tree)).ok());
  EXPECT_EQ(
      Group::join(receiver.identity, receiver.package, bare, {}, ByteSpan(tree).first(9)).error(),
      Error::malformed);
}

TEST_F(MlsWelcomeRefused, ForTheShapeOfItsTree) {
  using Nodes = std::vector<Bytes>;
  EXPECT_EQ(outcome_of_tree([](Nodes&) {}), "good");
  EXPECT_EQ(outcome_of_tree([](Nodes& n) { n.push_back({0}); }), "invalid-tree");
  EXPECT_EQ(outcome_of_tree([](Nodes& n) { n.clear(); }), "invalid-tree");
  EXPECT_EQ(outcome_of_tree([](Nodes& n) { std::swap(n[0], n[3]); }), "invalid-tree");
  EXPECT_EQ(outcome_of_tree([](Nodes& n) { n[0][1] = 3; }), "malformed");
  EXPECT_EQ(outcome_of_tree([](Nodes& n) { n[0][0] = 2; }), "malformed");
  EXPECT_EQ(outcome_of_tree([](Nodes& n) { n.assign(2048, Bytes{0}); }), "too-large");
  // A right half without leaves: the root alone stands after the left one.
  EXPECT_EQ(outcome_of_tree([](Nodes& n) {
              n.resize(7);
              n.push_back(parent_node(Bytes(65, 4), {}, {}));
            }),
            "invalid-tree");
}

TEST_F(MlsWelcomeRefused, ForTheNodesOfItsTree) {
  using Nodes = std::vector<Bytes>;
  const RatchetTree& tree = GroupAccess::epoch(crowd.group(0)).tree;
  ASSERT_EQ(tree.leaf_count(), 8u);
  ASSERT_TRUE(tree.parent(3));
  const ParentNode node = *tree.parent(3);
  ASSERT_EQ(node.unmerged_leaves, std::vector<LeafIndex>{3});
  const auto with = [&](const Bytes& key, const Bytes& hash, std::vector<LeafIndex> unmerged) {
    return outcome_of_tree(
        [&](Nodes& nodes) { nodes[3] = parent_node(key, hash, std::move(unmerged)); });
  };
  EXPECT_EQ(with(node.encryption_key, node.parent_hash, {3}), "good");
  EXPECT_EQ(with(node.encryption_key, node.parent_hash, {}), "bad-parent-hash");
  EXPECT_EQ(with(node.encryption_key, node.parent_hash, {2, 3}), "bad-parent-hash");
  EXPECT_EQ(with(node.encryption_key, node.parent_hash, {3, 3}), "invalid-tree");
  EXPECT_EQ(with(node.encryption_key, node.parent_hash, {3, 2}), "invalid-tree");
  EXPECT_EQ(with(node.encryption_key, node.parent_hash, {4}), "invalid-tree") << "not below it";
  EXPECT_EQ(with(node.encryption_key, node.parent_hash, {1000000}), "invalid-tree");
  EXPECT_EQ(with(node.encryption_key, Bytes(32, 1), {3}), "bad-parent-hash");
  Bytes key = node.encryption_key;
  key[5] ^= 1;
  EXPECT_EQ(with(key, node.parent_hash, {3}), "bad-parent-hash");
  // A parent that no leaf vouches for, and one that leaves out a leaf unmerged above it.
  EXPECT_EQ(
      outcome_of_tree([&](Nodes& nodes) { nodes[5] = parent_node(node.encryption_key, {}, {3}); }),
      "bad-parent-hash");
  EXPECT_EQ(
      outcome_of_tree([&](Nodes& nodes) { nodes[5] = parent_node(node.encryption_key, {}, {}); }),
      "invalid-tree");
}

TEST_F(MlsWelcomeRefused, ForTheLeavesOfItsTree) {
  using Nodes = std::vector<Bytes>;
  const RatchetTree& tree = GroupAccess::epoch(crowd.group(0)).tree;
  const auto with_leaf = [&](LeafIndex index, LeafNode leaf) {
    return outcome_of_tree([&](Nodes& nodes) {
      Writer out;
      out.u8(1);
      out.u8(1);
      write(out, leaf);
      nodes[node_of(index)] = out.take();
    });
  };
  const KeyPair& key = crowd.parties[4]->identity.signature_key;
  const LeafNode good = *tree.leaf(4);
  EXPECT_EQ(with_leaf(4, good), "good");
  LeafNode leaf = good;
  leaf.signature.back() ^= 1;
  EXPECT_EQ(with_leaf(4, leaf), "bad-signature");
  leaf = good;
  leaf.capabilities.cipher_suites.clear();
  EXPECT_EQ(with_leaf(4, *sign_leaf(leaf, key, {}, 0)), "invalid-leaf");
  leaf = good;
  leaf.encryption_key = tree.leaf(1)->encryption_key;
  EXPECT_EQ(with_leaf(4, *sign_leaf(leaf, key, {}, 0)), "duplicate-key");
  leaf = good;
  leaf.encryption_key = tree.parent(3)->encryption_key;
  EXPECT_EQ(with_leaf(4, *sign_leaf(leaf, key, {}, 0)), "duplicate-key");
  leaf = good;
  leaf.signature_key = to_bytes(crowd.parties[1]->identity.signature_key.public_key());
  EXPECT_EQ(with_leaf(4, *sign_leaf(leaf, crowd.parties[1]->identity.signature_key, {}, 0)),
            "duplicate-key");
  leaf = good;
  leaf.encryption_key[4] ^= 1;
  EXPECT_EQ(with_leaf(4, *sign_leaf(leaf, key, {}, 0)), "bad-key");
  leaf = *receiver.package.key_package.leaf;
  leaf.lifetime.not_after = 5;
  EXPECT_EQ(with_leaf(receiver.group->own_leaf(),
                      *sign_leaf(leaf, receiver.identity.signature_key, {}, 0)),
            "not-for-us")
      << "our leaf has to be the very one we published";
}

// A path secret that does not lead to the keys of the tree.
TEST_F(MlsWelcomeRefused, WhenThePathSecretIsNotTheTrees) {
  Party late(9, crowd.random);
  EXPECT_TRUE(queue(crowd.group(0), crowd.service.add(5, late.package)));
  const auto made = crowd.group(0).commit(crowd.random, true);
  ASSERT_TRUE(made->welcome);
  const auto joined = Group::join(late.identity, late.package, *made->welcome);
  ASSERT_TRUE(joined.ok());
  EXPECT_TRUE(process(crowd.group(0), made->commit));
  EXPECT_TRUE(joined->epoch_authenticator() == crowd.group(0).epoch_authenticator());
  const auto refused = Group::join(
      late.identity, late.package,
      forge::changed_welcome(crowd.group(0), late.package, crowd.random,
                             [](forge::WelcomeParts& p) { p.secrets.path_secret = Secret32(); }));
  EXPECT_EQ(refused.error(), Error::bad_update_path);
}

TEST(MlsKeyPackage, ImportChecksThatKeysBelongTogether) {
  TestRandom random;
  const Party party(1, random);
  const auto& own = party.package;
  const auto init = own.init_key.private_key().view();
  const auto leaf = own.encryption_key.private_key().view();
  const auto imported = import_key_package(own.encoded, init, leaf);
  ASSERT_TRUE(imported.ok());
  EXPECT_EQ(imported->encoded, own.encoded);
  EXPECT_EQ(import_key_package(own.encoded, leaf, init).error(), Error::bad_key);
  EXPECT_EQ(import_key_package(own.encoded, init, init).error(), Error::bad_key);
  EXPECT_EQ(import_key_package(ByteSpan(own.encoded).first(40), init, leaf).error(),
            Error::malformed);
}

// The shape that gateways of the field expect.
TEST(MlsKeyPackage, HasTheExpectedShape) {
  TestRandom random;
  const Party party(0x0102030405060708, random);
  const KeyPackage& package = party.package.key_package;
  EXPECT_EQ(check_key_package(package, {}), std::nullopt);
  EXPECT_NEAR(static_cast<double>(party.package.encoded.size()), 391.0, 6.0);
  EXPECT_EQ(to_hex(package.leaf->credential.identity), "0102030405060708");
  EXPECT_EQ(package.leaf->lifetime.not_before, 0u);
  EXPECT_EQ(package.leaf->lifetime.not_after, ~std::uint64_t{0});
  EXPECT_TRUE(package.extensions.empty());
  EXPECT_TRUE(package.leaf->extensions.empty());
  EXPECT_NE(package.init_key, package.leaf->encryption_key);
  const std::string hex = to_hex(party.package.encoded);
  EXPECT_EQ(hex.substr(0, 14), "00010002404104");
  EXPECT_NE(
      hex.find("00010801020304050607080200010200020000020001010000000000000000ffffffffffffffff"
               "00"),
      std::string::npos);
  EXPECT_EQ(encode(*parse_key_package(party.package.encoded)), party.package.encoded);
}
