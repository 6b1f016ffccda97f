// Every refusal of proposals and commits has its reason and changes nothing.
#include "mls_forge.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;
using namespace discord::mls::rig;

namespace {

// Refused for this reason, with the group as it was.
void expect_refused(const Result<StagedCommit, Error>& staged, Error reason) {
  ASSERT_FALSE(staged.ok());
  EXPECT_STREQ(to_string(staged.error()), to_string(reason));
}

// Five members and an outsider; an Add of the outsider and a Remove of leaf 3 are queued.
struct Stage : testing::Test {
  Stage() : crowd(5), outsider(7, crowd.random) {
    crowd.propose(crowd.service.add(1, outsider.package));
    crowd.propose(crowd.service.remove(1, 3));
  }
  Bytes changed(const std::function<void(Commit&)>& change) {
    return forge::changed_commit(crowd.group(0), crowd.random, change);
  }
  void refuse(ByteSpan message, Error reason) {
    const Hash before = crowd.group(1).state_digest();
    expect_refused(crowd.group(1).stage(message), reason);
    EXPECT_EQ(crowd.group(1).state_digest(), before);
  }
  // The path's leaf, changed and signed anew.
  Bytes changed_leaf(const std::function<void(LeafNode&)>& change) {
    return changed([&](Commit& commit) {
      LeafNode leaf = *commit.path->leaf;
      change(leaf);
      commit.path->leaf = std::make_shared<const LeafNode>(*sign_leaf(
          std::move(leaf), crowd.parties[0]->identity.signature_key, crowd.service.group_id, 0));
    });
  }
  Crowd crowd;
  Party outsider;
};
using MlsCommitRefused = Stage;
using MlsProposalRefused = Stage;

}  // namespace

TEST_F(MlsCommitRefused, TruncatedOrChangedAnywhere) {
  const auto made = crowd.group(0).commit(crowd.random);
  ASSERT_TRUE(made.ok());
  const Hash before = crowd.group(1).state_digest();
  for (std::size_t cut = 0; cut < made->commit.size(); ++cut) {
    EXPECT_FALSE(crowd.group(1).stage(ByteSpan(made->commit).first(cut)).ok()) << cut;
  }
  Bytes bytes = made->commit;
  for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 3) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    EXPECT_FALSE(crowd.group(1).stage(bytes).ok()) << bit;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
  }
  bytes.push_back(0);
  refuse(bytes, Error::malformed);
  EXPECT_EQ(crowd.group(1).state_digest(), before);
  EXPECT_TRUE(process(crowd.group(1), made->commit));
}

TEST_F(MlsCommitRefused, OfAnotherGroupOrEpoch) {
  const auto made = crowd.group(0).commit(crowd.random);
  Bytes other = made->commit;
  other[5] ^= 1;
  refuse(other, Error::wrong_group);
  other = made->commit;
  other[20] ^= 1;
  refuse(other, Error::wrong_epoch);
  EXPECT_TRUE(process(crowd.group(1), made->commit));
  EXPECT_EQ(crowd.group(1).stage(made->commit).error(), Error::wrong_epoch);
}

TEST_F(MlsCommitRefused, FromTheWrongSender) {
  const Commit commit;
  refuse(forge::seal_commit(crowd.group(0), commit, {}, Sender{SenderType::member, 6}),
         Error::wrong_sender);
  refuse(forge::seal_commit(crowd.group(0), commit, {}, Sender{SenderType::member, 60000}),
         Error::wrong_sender);
  refuse(forge::seal_commit(crowd.group(0), commit, {}, Sender{SenderType::member, 2}),
         Error::bad_signature);
  for (const auto type :
       {SenderType::external, SenderType::new_member_commit, SenderType::new_member_proposal}) {
    Bytes bytes = forge::seal_commit(crowd.group(0), commit, {}, Sender{type, 0});
    bytes.resize(bytes.size() - 33);  // no membership tag from those
    refuse(bytes, Error::wrong_sender);
  }
  refuse(crowd.service.remove(1, 2), Error::unsupported_message);
}

TEST_F(MlsCommitRefused, WithBadTagsOrSignature) {
  const auto made = crowd.group(0).commit(crowd.random);
  Bytes bytes = made->commit;
  bytes.back() ^= 1;
  refuse(bytes, Error::bad_membership_tag);
  refuse(changed([](Commit&) {}), Error::bad_confirmation_tag);

  const PublicMessage message = *parse_public_message(made->commit);
  const Epoch& epoch = GroupAccess::epoch(crowd.group(0));
  Bytes signature = message.signature;
  signature.back() ^= 1;
  Hash tag{};
  std::copy(message.confirmation_tag.begin(), message.confirmation_tag.end(), tag.begin());
  const Bytes content = signed_content(message.framed_content, epoch.encoded_context);
  refuse(assemble(message.framed_content, signature, tag,
                  make_membership_tag(epoch.secrets.membership_key, content, signature, tag)),
         Error::bad_signature);
}

TEST_F(MlsCommitRefused, ForItsProposals) {
  refuse(changed([](Commit& c) { std::get<ProposalRef>(c.proposals[0])[0] ^= 1; }),
         Error::unknown_proposal);
  refuse(changed([](Commit& c) { c.proposals[1] = c.proposals[0]; }), Error::duplicate_proposal);
  refuse(changed([](Commit& c) { c.proposals[1] = Proposal{Remove{3}}; }), Error::inline_proposal);
  refuse(changed([](Commit& c) { c.path.reset(); }), Error::missing_path);
  refuse(changed([](Commit& c) { c = Commit{}; }), Error::missing_path);
  // The same leaf by two proposals; a leaf that the first one emptied.
  crowd.propose(crowd.service.propose(1, Remove{3}));
  const ProposalRef second = crowd.group(1).proposals().back().ref;
  refuse(forge::seal_commit(crowd.group(0),
                            Commit{{crowd.group(1).proposals()[1].ref, second}, std::nullopt}),
         Error::invalid_proposals);
  crowd.propose(crowd.service.remove(1, 0));
  refuse(forge::seal_commit(crowd.group(0),
                            Commit{{crowd.group(1).proposals().back().ref}, std::nullopt}),
         Error::removes_committer);
}

TEST_F(MlsCommitRefused, ThatAddsAKeyTwice) {
  Party twin(outsider.identity, crowd.random);
  crowd.propose(crowd.service.add(1, twin.package));
  const auto& queue = crowd.group(1).proposals();
  refuse(forge::seal_commit(crowd.group(0), Commit{{queue[0].ref, queue[2].ref}, std::nullopt}),
         Error::duplicate_key);
  const Hash before = crowd.group(0).state_digest();
  EXPECT_EQ(crowd.group(0).commit(crowd.random).error(), Error::duplicate_key);
  EXPECT_EQ(crowd.group(0).state_digest(), before);
}

TEST_F(MlsCommitRefused, ForTheShapeOfItsPath) {
  refuse(changed([](Commit& c) { c.path->nodes.pop_back(); }), Error::bad_update_path);
  refuse(changed([](Commit& c) { c.path->nodes.push_back(c.path->nodes[0]); }),
         Error::bad_update_path);
  refuse(changed([](Commit& c) { c.path->nodes[0].encrypted_path_secrets.pop_back(); }),
         Error::bad_update_path);
  refuse(changed([](Commit& c) {
           auto& secrets = c.path->nodes[1].encrypted_path_secrets;
           secrets.push_back(secrets[0]);
         }),
         Error::bad_update_path);
  refuse(changed([](Commit& c) { c.path->nodes[0].public_key[9] ^= 1; }), Error::bad_key);
  refuse(changed([](Commit& c) { c.path->nodes[0].public_key.clear(); }), Error::bad_key);
}

TEST_F(MlsCommitRefused, ForTheSecretsOfItsPath) {
  // Leaf 1 is the copath of the lowest step.
  refuse(changed([](Commit& c) { c.path->nodes[0].encrypted_path_secrets[0].ciphertext[0] ^= 1; }),
         Error::cannot_decrypt);
  refuse(changed([](Commit& c) { c.path->nodes[0].encrypted_path_secrets[0].kem_output[5] ^= 1; }),
         Error::cannot_decrypt);
  refuse(changed([](Commit& c) { c.path->nodes[0].encrypted_path_secrets[0] = {}; }),
         Error::cannot_decrypt);
}

// Sealed properly, but not the secret that the public keys come from.
TEST_F(MlsCommitRefused, WhenSecretsAndKeysDiffer) {
  refuse(
      changed([&](Commit& c) {
        const Epoch& before = GroupAccess::epoch(crowd.group(1));
        RatchetTree tree = before.tree;
        const auto& queue = crowd.group(1).proposals();
        const auto applied = apply_proposals(tree, {&queue[0].proposal, &queue[1].proposal}, 0, 1);
        ASSERT_TRUE(merge_path(tree, 0, *c.path, applied->added_leaves, crowd.service.group_id,
                               before.context.extensions)
                        .ok());
        c.path->nodes[0].encrypted_path_secrets[0] =
            *encrypt_with_label(tree.encryption_key(node_of(1)), "UpdatePathNode",
                                provisional_context(before, tree), Secret32().view(), crowd.random);
      }),
      Error::bad_update_path);
}

TEST_F(MlsCommitRefused, ForItsLeaf) {
  refuse(changed([](Commit& c) {
           LeafNode leaf = *c.path->leaf;
           leaf.signature.back() ^= 1;
           c.path->leaf = std::make_shared<const LeafNode>(leaf);
         }),
         Error::bad_signature);
  refuse(changed_leaf([](LeafNode& l) { l.parent_hash[0] ^= 1; }), Error::bad_parent_hash);
  refuse(changed_leaf([](LeafNode& l) { l.parent_hash.clear(); }), Error::bad_parent_hash);
  refuse(changed_leaf([](LeafNode& l) { l.source = LeafSource::update; }), Error::invalid_leaf);
  refuse(changed_leaf([](LeafNode& l) { l.source = LeafSource::key_package; }),
         Error::invalid_leaf);
  refuse(changed_leaf([](LeafNode& l) { l.credential.identity.push_back(0); }),
         Error::invalid_leaf);
  refuse(changed_leaf([&](LeafNode& l) {
           l.signature_key = to_bytes(outsider.identity.signature_key.public_key());
         }),
         Error::invalid_leaf);
  refuse(changed_leaf([&](LeafNode& l) {
           l.encryption_key = crowd.parties[0]->package.key_package.leaf->encryption_key;
         }),
         Error::invalid_leaf);
  refuse(changed_leaf([&](LeafNode& l) {
           l.encryption_key = crowd.parties[1]->package.key_package.leaf->encryption_key;
         }),
         Error::duplicate_key);
  refuse(changed_leaf([](LeafNode& l) { l.encryption_key[7] ^= 1; }), Error::bad_key);
  refuse(changed_leaf([](LeafNode& l) { l.capabilities.credentials.clear(); }),
         Error::invalid_leaf);
}

TEST_F(MlsProposalRefused, TruncatedOrChangedAnywhere) {
  Party other(8, crowd.random);
  const Hash before = crowd.group(0).state_digest();
  for (const Bytes& message : {crowd.service.add(1, other.package), crowd.service.remove(1, 2)}) {
    for (std::size_t cut = 0; cut < message.size(); ++cut) {
      EXPECT_FALSE(crowd.group(0).check_proposal(ByteSpan(message).first(cut)).ok()) << cut;
    }
    Bytes bytes = message;
    for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 5) {
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
      EXPECT_FALSE(crowd.group(0).check_proposal(bytes).ok()) << bit;
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    }
    bytes.push_back(0);
    EXPECT_EQ(crowd.group(0).check_proposal(bytes).error(), Error::malformed);
  }
  EXPECT_EQ(crowd.group(0).state_digest(), before);
}

TEST_F(MlsProposalRefused, ForWhereItComesFromAndGoes) {
  const Group& group = crowd.group(0);
  Service stranger(crowd.random);
  EXPECT_EQ(group.check_proposal(stranger.remove(1, 2)).error(), Error::bad_signature);
  EXPECT_EQ(group.check_proposal(crowd.service.remove(0, 2)).error(), Error::wrong_epoch);
  EXPECT_EQ(group.check_proposal(crowd.service.remove(2, 2)).error(), Error::wrong_epoch);
  stranger.group_id[0] ^= 1;
  EXPECT_EQ(group.check_proposal(stranger.remove(1, 2)).error(), Error::wrong_group);
  EXPECT_EQ(group
                .check_proposal(*make_external_proposal(crowd.service.key, 1,
                                                        crowd.service.group_id, 1, Remove{2}))
                .error(),
            Error::wrong_sender);
  EXPECT_EQ(group.check_proposal(forge::member_proposal(crowd.group(1), Remove{2})).error(),
            Error::wrong_sender);
  EXPECT_EQ(group.check_proposal(forge::seal_commit(crowd.group(1), Commit{})).error(),
            Error::unsupported_message);
  EXPECT_EQ(group.check_proposal(crowd.service.remove(1, 6)).error(), Error::invalid_proposals);
  EXPECT_EQ(group.check_proposal(crowd.service.remove(1, 1u << 31)).error(),
            Error::invalid_proposals);
}

TEST_F(MlsProposalRefused, QueueTakesEachOnceAndOnlyForItsEpoch) {
  Group& group = crowd.group(0);
  const auto again = group.proposals()[0];
  const Hash before = group.state_digest();
  EXPECT_EQ(group.queue(again), Error::duplicate_proposal);
  ReceivedProposal old = again;
  old.epoch = 0;
  old.ref[0] ^= 1;
  EXPECT_EQ(group.queue(old), Error::wrong_epoch);
  EXPECT_EQ(group.state_digest(), before);
  for (std::uint32_t i = 0; group.proposals().size() < Group::max_queued; ++i) {
    ReceivedProposal other{{}, {}, Remove{2}, 1};
    store_be32(other.ref.data(), i);
    ASSERT_EQ(group.queue(other), std::nullopt);
  }
  ReceivedProposal one_more{{}, {}, Remove{2}, 1};
  one_more.ref.back() = 1;
  EXPECT_EQ(group.queue(one_more), Error::too_large);
}

TEST_F(MlsProposalRefused, MessagesBackToBack) {
  const Group& group = crowd.group(0);
  Bytes all = crowd.service.remove(1, 1);
  const std::size_t first = all.size();
  const Bytes bad = crowd.service.remove(1, 6);
  all.insert(all.end(), bad.begin(), bad.end());
  const Bytes last = crowd.service.remove(1, 2);
  all.insert(all.end(), last.begin(), last.end());
  ByteSpan rest = all;
  EXPECT_TRUE(group.check_next_proposal(rest).ok());
  EXPECT_EQ(rest.size(), all.size() - first);
  EXPECT_EQ(group.check_next_proposal(rest).error(), Error::invalid_proposals);
  EXPECT_TRUE(group.check_next_proposal(rest).ok()) << "a refused one is passed over";
  EXPECT_TRUE(rest.empty());
  rest = ByteSpan(all).first(9);
  EXPECT_EQ(group.check_next_proposal(rest).error(), Error::malformed);
  EXPECT_EQ(rest.size(), 9u);
}

TEST_F(MlsProposalRefused, ForItsKeyPackage) {
  const OwnKeyPackage& own = outsider.package;
  const KeyPair& key = outsider.identity.signature_key;
  const auto reason = [&](const std::function<void(LeafNode&)>& leaf,
                          const std::function<void(KeyPackage&)>& package = {}) {
    const auto checked = crowd.group(0).check_proposal(
        crowd.service.propose(1, Add{forge::changed_package(own, key, leaf, package)}));
    return std::string(checked ? "good" : to_string(checked.error()));
  };
  EXPECT_EQ(reason({}), "good");
  EXPECT_EQ(reason({}, [](KeyPackage& p) { p.init_key = p.leaf->encryption_key; }),
            "invalid-key-package");
  EXPECT_EQ(reason([](LeafNode& l) { l.source = LeafSource::update; }), "invalid-key-package");
  EXPECT_EQ(reason([](LeafNode& l) { l.source = LeafSource::commit; }), "invalid-key-package");
  EXPECT_EQ(reason({},
                   [](KeyPackage& p) {
                     p.extensions.push_back({99, {}});
                   }),
            "invalid-key-package");
  EXPECT_EQ(reason({}, [](KeyPackage& p) { p.init_key[8] ^= 1; }), "bad-key");
  EXPECT_EQ(reason([](LeafNode& l) { l.encryption_key[8] ^= 1; }), "bad-key");
  EXPECT_EQ(reason([](LeafNode& l) { l.encryption_key.pop_back(); }), "bad-key");
  EXPECT_EQ(reason([](LeafNode& l) { l.signature_key[8] ^= 1; }), "bad-signature");
  EXPECT_EQ(reason([](LeafNode& l) { l.capabilities.versions = {2}; }), "invalid-leaf");
  EXPECT_EQ(reason([](LeafNode& l) { l.capabilities.cipher_suites = {1, 3}; }), "invalid-leaf");
  EXPECT_EQ(reason([](LeafNode& l) { l.capabilities.credentials = {2}; }), "invalid-leaf");
  EXPECT_EQ(reason([](LeafNode& l) { l.extensions.push_back({99, {}}); }), "invalid-leaf");
  EXPECT_EQ(reason([](LeafNode& l) {
              l.extensions.push_back({99, {}});
              l.capabilities.extensions.push_back(99);
            }),
            "good");
  EXPECT_EQ(reason([](LeafNode& l) {
              l.extensions.assign(2, {99, {}});
              l.capabilities.extensions.push_back(99);
            }),
            "malformed");
  // Values nobody knows are welcome in lists (RFC 9420 section 13.5); lifetimes are not our
  // business.
  EXPECT_EQ(reason([](LeafNode& l) {
              l.capabilities.versions.push_back(0x0A0A);
              l.capabilities.cipher_suites.insert(l.capabilities.cipher_suites.begin(), 0x1A1A);
              l.capabilities.extensions.push_back(0x2A2A);
              l.capabilities.proposals.push_back(0x3A3A);
              l.lifetime = {~std::uint64_t{0}, 0};
            }),
            "good");
  EXPECT_EQ(reason([](LeafNode& l) { l.credential.identity.assign(9000, 1); }), "too-large");
  KeyPackage bad = own.key_package;
  bad.signature.back() ^= 1;
  EXPECT_EQ(crowd.group(0).check_proposal(crowd.service.propose(1, Add{bad})).error(),
            Error::bad_signature);
  LeafNode leaf = *own.key_package.leaf;
  leaf.signature.back() ^= 1;
  EXPECT_EQ(reason({}, [&](KeyPackage& p) { p.leaf = std::make_shared<const LeafNode>(leaf); }),
            "bad-signature");
}

// An extension of the group that a newcomer does not support, and demands it does not meet.
TEST(MlsProposalRefusedByExtensions, OfTheGroup) {
  TestRandom random;
  Service service(random);
  Party founder(1, random), other(2, random);
  const auto found = [&](Extension extension) {
    Extensions extensions = service.extensions();
    extensions.push_back(std::move(extension));
    OwnKeyPackage own = founder.package;
    own.key_package =
        forge::changed_package(own, founder.identity.signature_key, [](LeafNode& leaf) {
          leaf.capabilities.extensions = {77, 78};
          leaf.capabilities.proposals = {9};
        });
    return Group::create(founder.identity, own, service.group_id, extensions, random);
  };
  auto group = found({77, {}});
  ASSERT_TRUE(group.ok());
  EXPECT_EQ(group->check_proposal(service.add(0, other.package)).error(),
            Error::unsupported_extension);
  for (const char* required : {"02004d0000", "0002000900"}) {
    group = found({extension_required_capabilities, *from_hex(required)});
    ASSERT_TRUE(group.ok()) << required;
    EXPECT_EQ(group->check_proposal(service.add(0, other.package)).error(),
              Error::unsupported_extension);
  }
  group = found({extension_required_capabilities, *from_hex("020005020003020001")});
  ASSERT_TRUE(group.ok());
  EXPECT_TRUE(group->check_proposal(service.add(0, other.package)).ok());
  for (const char* malformed : {"", "0000", "00000000", "0000020002", "0000010001"}) {
    EXPECT_EQ(found({extension_required_capabilities, *from_hex(malformed)}).error(),
              Error::unsupported_extension)
        << malformed;
  }
  EXPECT_EQ(Group::create(founder.identity, founder.package, service.group_id,
                          {{extension_external_senders, {1}}}, random)
                .error(),
            Error::malformed);
  EXPECT_EQ(Group::create(other.identity, founder.package, service.group_id, {}, random).error(),
            Error::bad_key);
  const auto bare = Group::create(founder.identity, founder.package, service.group_id, {}, random);
  EXPECT_EQ(bare->check_proposal(service.remove(0, 0)).error(), Error::wrong_sender)
      << "a group without external senders";
}
