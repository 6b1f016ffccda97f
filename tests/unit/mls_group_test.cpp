// Groups that live: founding, adding, removing, rejoining, losing races, in random order.
#include "mls_forge.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;
using namespace discord::mls::rig;

TEST(MlsGroup, FoundingIsAGroupOfOne) {
  Crowd crowd(1);
  const Group& group = crowd.group(0);
  EXPECT_EQ(group.epoch(), 0u);
  EXPECT_EQ(group.own_leaf(), 0u);
  EXPECT_EQ(to_hex(group.group_id()), "0102030405060708");
  ASSERT_EQ(group.members().size(), 1u);
  EXPECT_EQ(group.members()[0].identity, name_bytes(100));
  EXPECT_TRUE(group.confirmed_transcript_hash().empty());
  EXPECT_EQ(group.member(1), std::nullopt);
  EXPECT_EQ(group.exporter("l", {}, 16).size(), 16u);
  EXPECT_EQ(group.exporter("l", {}, 8160).size(), 8160u);
  EXPECT_TRUE(group.exporter("l", {}, 8161).empty());
  ASSERT_NE(find_extension(group.extensions(), extension_external_senders), nullptr);
  EXPECT_EQ(*parse_external_senders(group.extensions()[0].data),
            std::vector{crowd.service.sender()});
}

TEST(MlsGroup, EveryoneAgreesAfterTheFirstCommit) {
  for (const std::size_t size : {2, 3, 5, 8, 17}) {
    Crowd crowd(size);
    crowd.expect_agreement();
    EXPECT_EQ(crowd.group(0).members().size(), size);
    EXPECT_EQ(crowd.group(0).epoch(), 1u);
  }
}

TEST(MlsGroup, AddsAloneNeedNoPath) {
  Crowd crowd(3);
  Party late(7, crowd.random);
  crowd.propose(crowd.service.add(1, late.package));
  const auto made = crowd.group(1).commit(crowd.random);
  ASSERT_TRUE(made.ok());
  const auto commit = std::get<Commit>(parse_public_message(made->commit)->content);
  EXPECT_FALSE(commit.path);
  ASSERT_EQ(commit.proposals.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<ProposalRef>(commit.proposals[0]));
  ASSERT_TRUE(made->welcome);
  const auto staged = crowd.group(0).stage(made->commit);
  ASSERT_TRUE(staged.ok());
  EXPECT_EQ(staged->epoch, 2u);
  EXPECT_EQ(staged->committer, 1u);
  EXPECT_FALSE(staged->own);
  ASSERT_EQ(staged->added.size(), 1u);
  EXPECT_EQ(staged->added[0].identity, name_bytes(7));
  EXPECT_EQ(staged->members_after().size(), 4u);
  EXPECT_EQ(crowd.group(0).epoch(), 1u) << "staging changes nothing";
}

// Every founder is leaf 0 of its own group, so only the bytes tell whose commit it is.
TEST(MlsGroup, OwnCommitIsRecognisedByItsBytes) {
  TestRandom random;
  Service service(random);
  Party a(1, random), b(2, random);
  service.found(a, random);
  service.found(b, random);
  ASSERT_TRUE(queue(*a.group, service.add(0, b.package)));
  ASSERT_TRUE(queue(*b.group, service.add(0, a.package)));
  const auto from_a = a.group->commit(random);
  const auto from_b = b.group->commit(random);
  EXPECT_EQ(a.group->stage(from_b->commit).error(), Error::bad_membership_tag);
  const auto staged = a.group->stage(from_a->commit);
  ASSERT_TRUE(staged.ok());
  EXPECT_TRUE(staged->own);
  EXPECT_EQ(a.group->epoch(), 0u);
  EXPECT_EQ(a.group->apply(*staged), std::nullopt);
  ASSERT_TRUE(join(b, *from_a->welcome));
  EXPECT_TRUE(a.group->epoch_authenticator() == b.group->epoch_authenticator());
  EXPECT_FALSE(a.group->has_pending_commit());
  EXPECT_TRUE(a.group->proposals().empty());
  // Once applied, neither the staged commit nor its bytes are good for anything.
  EXPECT_EQ(a.group->apply(*staged), Error::wrong_epoch);
  EXPECT_EQ(a.group->stage(from_a->commit).error(), Error::wrong_epoch);
}

TEST(MlsGroup, ACommitWithoutItsStateIsRefused) {
  Crowd crowd(2);
  Party late(7, crowd.random);
  crowd.propose(crowd.service.add(1, late.package));
  const auto made = crowd.group(0).commit(crowd.random);
  crowd.group(0).discard_pending_commit();
  EXPECT_EQ(crowd.group(0).stage(made->commit).error(), Error::own_message);
}

TEST(MlsGroup, RemovedMembersAreTold) {
  Crowd crowd(4);
  crowd.propose(crowd.service.remove(1, 2));
  EXPECT_TRUE(crowd.group(2).removes_self());
  EXPECT_FALSE(crowd.group(1).removes_self());
  EXPECT_EQ(crowd.group(2).commit(crowd.random).error(), Error::removes_committer);
  const auto made = crowd.group(3).commit(crowd.random);
  ASSERT_TRUE(made.ok());
  EXPECT_FALSE(made->welcome);
  const auto staged = crowd.group(2).stage(made->commit);
  ASSERT_TRUE(staged.ok());
  EXPECT_TRUE(staged->self_removed);
  EXPECT_TRUE(staged->members_after().empty());
  EXPECT_EQ(crowd.group(2).apply(*staged), Error::wrong_epoch);
  crowd.parties[2]->group.reset();
  for (const std::size_t i : {0, 1, 3}) {
    EXPECT_TRUE(process(crowd.group(i), made->commit));
  }
  crowd.expect_agreement();
  EXPECT_EQ(crowd.group(0).member(2), std::nullopt);
}

// The last one left still commits with a path, which nobody can check.
TEST(MlsGroup, AloneAfterARemove) {
  Crowd crowd(2);
  crowd.propose(crowd.service.remove(1, 1));
  const auto made = crowd.group(0).commit(crowd.random);
  ASSERT_TRUE(made.ok());
  const auto commit = std::get<Commit>(parse_public_message(made->commit)->content);
  ASSERT_TRUE(commit.path);
  EXPECT_TRUE(commit.path->nodes.empty());
  EXPECT_TRUE(process(crowd.group(0), made->commit));
  EXPECT_EQ(crowd.group(0).members().size(), 1u);
  // And can add again.
  crowd.parties[1]->group.reset();
  crowd.parties[1]->renew(crowd.random);
  EXPECT_TRUE(queue(crowd.group(0), crowd.service.add(2, crowd.parties[1]->package)));
  const auto again = crowd.group(0).commit(crowd.random);
  EXPECT_TRUE(process(crowd.group(0), again->commit));
  EXPECT_TRUE(join(*crowd.parties[1], *again->welcome));
  crowd.expect_agreement();
}

// As after a failed welcome: removed and added in one commit, with the same signature key.
TEST(MlsGroup, RemoveAndAddOfTheSameMember) {
  Crowd crowd(5);
  Party& back = *crowd.parties[3];
  back.renew(crowd.random);
  back.group.reset();
  crowd.propose(crowd.service.add(1, back.package));
  crowd.propose(crowd.service.remove(1, 3));
  const auto made = crowd.group(1).commit(crowd.random);
  ASSERT_TRUE(made.ok()) << to_string(made.error());
  for (const std::size_t i : {0, 1, 2, 4}) {
    EXPECT_TRUE(process(crowd.group(i), made->commit));
  }
  EXPECT_TRUE(join(back, *made->welcome));
  crowd.expect_agreement();
  EXPECT_EQ(back.group->own_leaf(), 3u) << "the leftmost blank leaf";
}

TEST(MlsGroup, RevokingTakesBackAProposalAndThePendingCommit) {
  Crowd crowd(3);
  Party x(7, crowd.random), y(8, crowd.random);
  crowd.propose(crowd.service.add(1, x.package));
  Group& group = crowd.group(0);
  const ProposalRef first = group.proposals()[0].ref;
  ASSERT_TRUE(group.commit(crowd.random).ok());
  crowd.propose(crowd.service.add(1, y.package));
  EXPECT_TRUE(group.has_pending_commit()) << "one more proposal does not spoil it";
  EXPECT_EQ(group.revoke(first), std::nullopt);
  EXPECT_FALSE(group.has_pending_commit());
  const Hash before = group.state_digest();
  EXPECT_EQ(group.revoke(first), Error::unknown_proposal);
  EXPECT_EQ(group.state_digest(), before);
  const auto made = group.commit(crowd.random);
  ASSERT_TRUE(made->welcome);
  EXPECT_TRUE(process(crowd.group(1), made->commit)) << "who still holds the other one";
  EXPECT_TRUE(process(crowd.group(0), made->commit));
  EXPECT_TRUE(join(y, *made->welcome));
  EXPECT_EQ(x.group, std::nullopt);
  EXPECT_EQ(group.members(), y.group->members());
}

TEST(MlsGroup, NothingToCommit) {
  Crowd crowd(2);
  EXPECT_EQ(crowd.group(0).commit(crowd.random).error(), Error::no_proposals);
  // Unless a fresh path is wanted for its own sake.
  const auto made = crowd.group(0).commit(crowd.random, true);
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(process(crowd.group(1), made->commit));
  EXPECT_TRUE(process(crowd.group(0), made->commit));
  crowd.expect_agreement();
}

TEST(MlsGroup, WithoutRandomnessNothingChanges) {
  Crowd crowd(3);
  Party late(7, crowd.random);
  crowd.propose(crowd.service.add(1, late.package));
  crowd.propose(crowd.service.remove(1, 2));
  Group& group = crowd.group(0);
  ASSERT_TRUE(group.commit(crowd.random).ok());
  const Hash before = group.state_digest();
  crowd.random.broken = true;
  EXPECT_EQ(group.commit(crowd.random).error(), Error::no_randomness);
  EXPECT_EQ(group.state_digest(), before);
  EXPECT_EQ(KeyPair::generate(crowd.random).error(), Error::no_randomness);
  EXPECT_EQ(make_key_package(late.identity, crowd.random).error(), Error::no_randomness);
  EXPECT_EQ(Group::create(late.identity, late.package, {}, crowd.service.extensions(), crowd.random)
                .error(),
            Error::no_randomness);
}

// Leaf 1 is refilled after leaf 2 was added: unmerged leaves must stay in order, or tree hashes
// part.
TEST(MlsGroup, RefilledLeafBelowALaterOne) {
  Crowd crowd(4);
  const auto everyone_processes = [&](ByteSpan commit, std::size_t except = 99) {
    for (std::size_t i = 0; i < crowd.parties.size(); ++i) {
      if (crowd.parties[i]->group && i != except) {
        ASSERT_TRUE(process(crowd.group(i), commit));
      }
    }
  };
  // Blank leaves 1 and 2, then let leaf 0 give the root a key.
  crowd.propose(crowd.service.remove(1, 1));
  crowd.propose(crowd.service.remove(1, 2));
  auto made = crowd.group(0).commit(crowd.random);
  crowd.parties[1]->group.reset();
  crowd.parties[2]->group.reset();
  everyone_processes(made->commit);
  // Two separate adds fill 1 and 2.
  for (const std::size_t who : {1, 2}) {
    crowd.parties[who]->renew(crowd.random);
    crowd.propose(crowd.service.add(crowd.group(0).epoch(), crowd.parties[who]->package));
    made = crowd.group(0).commit(crowd.random);
    everyone_processes(made->commit);
    ASSERT_TRUE(join(*crowd.parties[who], *made->welcome));
    crowd.expect_agreement();
  }
  const Epoch& epoch = GroupAccess::epoch(crowd.group(0));
  EXPECT_EQ(epoch.tree.parent(3)->unmerged_leaves, (std::vector<LeafIndex>{1, 2}));
  RatchetTree tree = epoch.tree;
  // Emptied by hand: a Remove would blank the root as well.
  Party other(9, crowd.random);
  tree.set_leaf(1, nullptr);
  EXPECT_EQ(*tree.add(other.package.key_package.leaf), 1u);
  EXPECT_TRUE(std::is_sorted(tree.parent(3)->unmerged_leaves.begin(),
                             tree.parent(3)->unmerged_leaves.end()));
}

namespace {

// Rounds of random proposals with a random committer and a second one who loses the race.
void churn(std::uint64_t seed, std::size_t population, int rounds) {
  Crowd crowd(4, seed);
  TestRandom& random = crowd.random;
  for (std::size_t i = 4; i < population; ++i) {
    crowd.parties.push_back(std::make_unique<Party>(100 + i, random));
  }
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE(round);
    std::vector<std::size_t> inside;
    for (std::size_t i = 0; i < population; ++i) {
      if (crowd.parties[i]->group) {
        inside.push_back(i);
      }
    }
    const std::uint64_t epoch = crowd.group(inside[0]).epoch();
    const std::size_t committer = inside[random.below(inside.size())];
    std::vector<std::size_t> joining;
    std::vector<std::size_t> leaving;
    for (std::size_t i = 0; i < population; ++i) {
      Party& party = *crowd.parties[i];
      const bool is_in = party.group.has_value();
      const std::size_t dice = random.below(6);
      const bool comes_back = is_in && dice == 1;
      if (is_in && i != committer && dice <= 1) {
        crowd.propose(crowd.service.remove(epoch, party.group->own_leaf()));
        leaving.push_back(i);
      }
      if ((!is_in && dice <= 1) || (comes_back && i != committer)) {
        party.renew(random);
        crowd.propose(crowd.service.add(epoch, party.package));
        joining.push_back(i);
      }
    }
    if (!joining.empty() && random.below(4) == 0) {
      // The newest proposal is an Add if the last joiner came last; revoke it where it is one.
      const ReceivedProposal last = crowd.group(inside[0]).proposals().back();
      if (last.add() != nullptr &&
          last.add()->key_package.leaf->credential.identity ==
              crowd.parties[joining.back()]->identity.identity &&
          std::find(leaving.begin(), leaving.end(), joining.back()) == leaving.end()) {
        for (const std::size_t i : inside) {
          EXPECT_EQ(crowd.group(i).revoke(last.ref), std::nullopt);
        }
        joining.pop_back();
      }
    }
    if (crowd.group(committer).proposals().empty()) {
      continue;
    }
    const std::size_t loser = inside[random.below(inside.size())];
    if (loser != committer && !crowd.group(loser).removes_self()) {
      ASSERT_TRUE(crowd.group(loser).commit(random).ok());
    }
    const auto made = crowd.group(committer).commit(random, random.below(3) == 0);
    ASSERT_TRUE(made.ok()) << to_string(made.error());
    ASSERT_EQ(made->welcome.has_value(), !joining.empty());
    for (const std::size_t i : inside) {
      const auto staged = crowd.group(i).stage(made->commit);
      ASSERT_TRUE(staged.ok()) << to_string(staged.error());
      const bool goes = std::find(leaving.begin(), leaving.end(), i) != leaving.end();
      ASSERT_EQ(staged->self_removed, goes);
      if (goes) {
        crowd.parties[i]->group.reset();
      } else {
        ASSERT_EQ(crowd.group(i).apply(*staged), std::nullopt);
      }
    }
    for (const std::size_t i : joining) {
      ASSERT_TRUE(join(*crowd.parties[i], *made->welcome));
    }
    crowd.expect_agreement();
    // What a newcomer would check of this tree holds for everybody.
    const Epoch& now = GroupAccess::epoch(crowd.group(committer));
    ASSERT_EQ(now.tree.validate(now.context.group_id, now.context.extensions), std::nullopt);
  }
}

}  // namespace

TEST(MlsGroup, RandomChurnOfTen) {
  churn(3, 10, 30);
}
TEST(MlsGroup, RandomChurnOfTwenty) {
  churn(4, 20, 12);
}
TEST(MlsGroup, RandomChurnOfThree) {
  churn(5, 5, 60);
}
