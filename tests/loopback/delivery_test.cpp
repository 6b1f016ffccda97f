// The delivery service with members around it, in memory.
#include "dave_rig.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::loopback;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t ada = 101, ben = 102, cyn = 103, client = 900, other_client = 901;

void three(DaveRig& rig) {
  for (const std::uint64_t user : {ada, ben, cyn}) {
    rig.add_speaker(user);
  }
}

}  // namespace

TEST(Delivery, WelcomesAClientIntoAGroupOfSpeakers) {
  DaveRig rig;
  three(rig);
  EXPECT_EQ(rig.call.service().counters().members, 3u);
  DaveClient& c = rig.add_client(client);
  rig.run(3s);
  EXPECT_EQ(c.received, (std::vector<int>{25, 30, 22}));
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, ThePreferredFounderWins) {
  for (const Prefer prefer : {Prefer::clients, Prefer::speakers}) {
    DaveOptions o = DaveRig::encrypted(prefer);
    o.delivery.found_with_client = true;
    DaveRig rig(o);
    three(rig);
    EXPECT_EQ(rig.call.service().counters().members, 0u);
    DaveClient& c = rig.add_client(client);
    rig.run(3s);
    const DaveCounters n = rig.call.service().counters();
    if (prefer == Prefer::clients) {
      EXPECT_EQ(c.received, (std::vector<int>{25, 27, 29}));
      EXPECT_EQ(n.client_commits, 1u);
      EXPECT_EQ(n.lost_commits, 0u);
    } else {
      EXPECT_EQ(c.received, (std::vector<int>{25, 27, 30}));
      EXPECT_EQ(n.client_commits, 0u);
      EXPECT_EQ(n.lost_commits, 1u) << "the client founded a group of its own in vain";
    }
    rig.expect_agreement();
    EXPECT_TRUE(rig.complaints().empty());
  }
}

TEST(Delivery, NobodyWaitsForEverForThePreferredCommitter) {
  DaveOptions o = DaveRig::encrypted(Prefer::clients);
  DaveRig rig(o);
  three(rig);
  rig.add_client(client);
  rig.run(1s);
  // The client goes deaf: what it is sent from now on is not processed.
  auto deaf = std::move(rig.clients.at(client));
  rig.clients.erase(client);
  const std::uint64_t before = rig.call.service().group().epoch();
  rig.speakers.erase(cyn);
  rig.call.left(cyn, rig.now);
  rig.run(900ms);
  EXPECT_EQ(rig.call.service().group().epoch(), before);
  rig.run(200ms);
  EXPECT_EQ(rig.call.service().group().epoch(), before + 1);
  EXPECT_EQ(rig.call.service().counters().unready, 0u);
  rig.run(2s);
  EXPECT_EQ(rig.call.service().counters().unready, 1u) << "opcode 22 came without its word";
  EXPECT_EQ(rig.complaints().size(), 1u);
}

TEST(Delivery, AChurningCallLosesNoFrameThatCouldBeOpened) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    DaveRig rig(DaveRig::encrypted(), seed);
    rig.talking = true;
    Random random(seed);
    rig.add_client(client);
    rig.add_client(other_client);
    for (int i = 0; i < 60; ++i) {
      const std::uint64_t user = ada + random.below(6);
      if (random.below(12) == 0) {
        const std::uint64_t who = random.below(2) == 0 ? client : other_client;
        if (rig.clients.contains(who)) {
          rig.leave(who);
        } else {
          rig.add_client(who);
        }
      } else if (rig.speakers.contains(user)) {
        rig.leave(user);
        if (random.below(2) == 0) {
          rig.add_speaker(user);  // before its leaf is gone
        }
      } else {
        rig.add_speaker(user);
      }
      rig.talk();
      rig.run(random.below(2) == 0 ? 0ms : 1500ms);
    }
    for (const std::uint64_t user : {client, other_client}) {
      if (!rig.clients.contains(user)) {
        rig.add_client(user);
      }
    }
    rig.run(5s);
    SCOPED_TRACE("seed " + std::to_string(seed));
    rig.expect_agreement();
    const DaveCounters n = rig.call.service().counters();
    EXPECT_GT(n.epochs, 40u);
    EXPECT_GT(n.client_commits, 0u);
    EXPECT_LT(n.client_commits, n.epochs);
    for (const std::string& complaint : rig.complaints()) {
      ADD_FAILURE() << complaint;
    }
  }
}

TEST(Delivery, ALoneMemberGetsANewGroup) {
  DaveRig rig;
  three(rig);
  DaveClient& c = rig.add_client(client);
  rig.run(1s);
  const std::uint64_t group = rig.call.service().counters().group;
  for (const std::uint64_t user : {ada, ben, cyn}) {
    rig.leave(user);
    rig.run(1s);
  }
  EXPECT_EQ(c.received.at(c.received.size() - 2), 24);
  EXPECT_EQ(c.received.back(), 21);
  EXPECT_EQ(c.encryption.version, 1);
  EXPECT_EQ(c.encryption.epoch, 0u);
  EXPECT_TRUE(c.encryption.privacy_code.empty());
  three(rig);
  rig.run(3s);
  EXPECT_EQ(rig.call.service().counters().group, group + 1);
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, SomebodyWhoComesBackBeforeItsLeafIsGoneIsExchangedInOneCommit) {
  DaveOptions o = DaveRig::encrypted();
  o.delivery.execute_delay = 500ms;
  DaveRig rig(o);
  three(rig);
  rig.add_client(client);
  rig.run(5s);
  rig.add_speaker(104);  // its transition holds up what follows
  const std::uint64_t epoch = rig.call.service().group().epoch();
  rig.leave(ada);
  rig.add_speaker(ada);
  EXPECT_EQ(rig.call.service().group().epoch(), epoch);
  rig.run(5s);
  EXPECT_EQ(rig.call.service().group().epoch(), epoch + 1);
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, ARevokedProposalLeavesNoTrace) {
  DaveRig rig;
  three(rig);
  DaveClient& c = rig.add_client(client);
  rig.run(1s);
  const std::uint64_t epoch = rig.call.service().group().epoch();
  ASSERT_FALSE(rig.call.service().propose_and_revoke(ben, 200ms, rig.now));
  rig.call.advance(rig.now);
  rig.run(100ms);
  EXPECT_EQ(c.received.back(), 27);
  EXPECT_EQ(rig.call.service().group().epoch(), epoch) << "nobody's commit counts before";
  rig.run(1s);
  EXPECT_EQ(c.received.back(), 27) << "the revocation";
  EXPECT_EQ(rig.call.service().group().epoch(), epoch);
  EXPECT_EQ(rig.call.service().counters().revoked, 1u);
  rig.expect_agreement();

  // An Add that came before the revoked Remove is committed, with its Welcome.
  ASSERT_FALSE(rig.call.service().propose_and_revoke(ben, 200ms, rig.now));
  rig.add_speaker(104);
  rig.run(3s);
  EXPECT_EQ(rig.call.service().group().epoch(), epoch + 1);
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, ADamagedCommitIsFollowedByRemoveAndAddInOneCommit) {
  DaveRig rig(DaveRig::encrypted(Prefer::speakers));
  three(rig);
  DaveClient& c = rig.add_client(client);
  rig.run(1s);
  c.received.clear();
  const std::uint64_t epoch = rig.call.service().group().epoch();
  rig.call.service().spoil_commits(1);
  rig.leave(ben);
  rig.run(3s);
  EXPECT_EQ(c.received, (std::vector<int>{27, 29, 22, 30, 22}));
  EXPECT_EQ(rig.call.service().group().epoch(), epoch + 2);
  EXPECT_EQ(rig.call.service().counters().recoveries, 1u);
  EXPECT_EQ(rig.call.service().counters().spoilt, 1u);
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, ADamagedWelcomeIsFollowedByAnother) {
  DaveRig rig;
  three(rig);
  rig.call.service().spoil_welcomes(2);
  DaveClient& c = rig.add_client(client);
  rig.run(10s);
  EXPECT_EQ(std::count(c.received.begin(), c.received.end(), 30), 3);
  EXPECT_EQ(rig.call.service().counters().recoveries, 2u);
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, WhenNobodyCanCommitEverybodyStartsOver) {
  // The only other member is the one that could take the client in again, and leaves.
  DaveRig rig(DaveRig::encrypted(Prefer::speakers));
  rig.add_speaker(ada);
  rig.add_client(client);
  rig.add_client(other_client);
  rig.run(3s);
  rig.call.service().spoil_commits(2);
  rig.leave(ada);
  rig.add_speaker(ben);
  rig.run(5s);
  rig.expect_agreement();
}

TEST(Delivery, UpgradesAndDowngradesACall) {
  DaveOptions o = DaveRig::encrypted(Prefer::speakers);
  o.delivery.version = 0;
  DaveRig rig(o);
  rig.talking = true;
  three(rig);
  DaveClient& c = rig.add_client(client);
  rig.run(1s);
  EXPECT_TRUE(c.received.empty()) << "not even an external sender";
  rig.talk(3);
  EXPECT_EQ(rig.plain_heard, 9u);
  EXPECT_EQ(rig.opened, 0u);

  ASSERT_FALSE(rig.call.service().set_version(1, rig.now));
  rig.call.advance(rig.now);
  rig.run(3s);
  EXPECT_EQ(c.received, (std::vector<int>{25, 24, 27, 30, 22}));
  rig.expect_agreement();

  ASSERT_FALSE(rig.call.service().set_version(0, rig.now));
  rig.call.advance(rig.now);
  rig.run(3s);
  EXPECT_EQ(c.received.at(c.received.size() - 2), 21);
  EXPECT_EQ(c.received.back(), 22);
  EXPECT_EQ(c.encryption.version, 0);
  EXPECT_EQ(rig.call.service().counters().version, 0);
  const std::uint64_t before = rig.plain_heard;
  rig.talk(3);
  EXPECT_EQ(rig.plain_heard - before, 9u);

  ASSERT_FALSE(rig.call.service().set_version(1, rig.now));
  rig.call.advance(rig.now);
  rig.run(3s);
  rig.expect_agreement();
  EXPECT_EQ(rig.said[Protection::unsent], 0u) << "somebody always had a way to speak";
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, EarlySpeakersUseNewKeysBeforeOpcode22) {
  for (const bool early : {false, true}) {
    DaveOptions o = DaveRig::encrypted();
    o.delivery.execute_delay = 1s;
    o.speakers.early_epoch = early ? std::optional<Duration>(100ms) : std::nullopt;
    DaveRig rig(o);
    three(rig);
    rig.run(5s);
    DaveClient& c = rig.add_client(client);
    EXPECT_EQ(c.received.back(), 30) << "opcode 22 is still to come";
    rig.talk(2);
    EXPECT_EQ(rig.opened, 0u);
    rig.run(150ms);
    rig.talk(2);
    EXPECT_EQ(rig.opened, early ? 6u : 0u) << "else they still speak in an epoch before the client";
    rig.run(5s);
    EXPECT_EQ(c.received.back(), 22);
    rig.expect_agreement();
  }
}

TEST(Delivery, RestartsWithANewGroupWhileTheOldKeysAreStillInUse) {
  DaveRig rig;
  rig.talking = true;
  three(rig);
  DaveClient& c = rig.add_client(client);
  rig.run(3s);
  c.received.clear();
  ASSERT_FALSE(rig.call.service().restart(rig.now));
  rig.call.advance(rig.now);
  rig.run(3s);
  EXPECT_EQ(c.received.front(), 24);
  EXPECT_EQ(c.received.back(), 22) << "a transition that is acknowledged";
  EXPECT_EQ(rig.call.service().counters().group, 2u);
  EXPECT_EQ(rig.said[Protection::unsent], 0u) << "nobody fell silent";
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, AMemberThatIsPutOutComesBackWithANewKeyPackage) {
  DaveRig rig;
  three(rig);
  DaveClient& c = rig.add_client(client);
  rig.run(3s);
  const std::uint64_t packages = rig.call.service().counters().key_packages;
  c.received.clear();
  ASSERT_FALSE(rig.call.service().remove(client, rig.now));
  rig.call.advance(rig.now);
  rig.run(3s);
  EXPECT_EQ(c.received, (std::vector<int>{27, 29, 22, 30, 22}));
  EXPECT_EQ(rig.call.service().counters().key_packages, packages + 1);
  rig.expect_agreement();
  EXPECT_TRUE(rig.complaints().empty());
}

TEST(Delivery, TheSameSeedGivesTheSameCall) {
  const auto play = [](std::uint64_t seed) {
    DaveOptions o = DaveRig::encrypted();
    o.delivery.found_with_client = true;
    DaveRig rig(o, seed);
    three(rig);
    rig.add_client(client);
    for (const std::uint64_t user : {ada, ben}) {
      rig.run(2s);
      rig.leave(user);
      rig.add_speaker(user);
    }
    rig.run(3s);
    return rig.log;
  };
  EXPECT_EQ(play(4), play(4));
  EXPECT_NE(play(4), play(5)) << "others win";
}

// ---- refusals -----------------------------------------------------------------------------------

namespace {

class DeliveryRefuses : public testing::Test {
 protected:
  void SetUp() override {
    three(rig);
    rig.add_client(client);
    rig.run(3s);
    rig.complaints();
    good_package = rig.last_bodies.at(26);
  }
  std::optional<DaveRefusal> package(Bytes body) {
    return rig.call.client_binary(client, 26, body, rig.now);
  }
  std::optional<DaveRefusal> commit(Bytes body) {
    return rig.call.client_binary(client, 28, body, rig.now);
  }
  // A commit of the client over the departure of a speaker, held back.
  Bytes held_commit() {
    rig.call.service().options().prefer = Prefer::clients;
    rig.speakers.erase(cyn);
    rig.clients.at(client)->left(cyn);
    rig.call.left(cyn, rig.now);
    for (const DaveMessage& m : rig.call.take_messages()) {
      rig.clients.at(client)->receive(m, rig.now);
    }
    for (const SpeakerMember::Reply& reply : rig.clients.at(client)->take_replies()) {
      if (reply.op == 28) {
        return reply.body;
      }
    }
    ADD_FAILURE() << "no commit";
    return {};
  }
  std::string complaint() {
    const auto all = rig.complaints();
    return all.empty() ? std::string() : all.back();
  }

  DaveRig rig;
  Bytes good_package;
};

}  // namespace

TEST_F(DeliveryRefuses, KeyPackagesThatAreNone) {
  EXPECT_TRUE(package({})->undecodable);
  EXPECT_TRUE(package(Bytes(20, 0))->undecodable);
  Bytes longer = good_package;
  longer.push_back(0);
  EXPECT_TRUE(package(longer)->undecodable);
  Bytes wrapped{0, 1, 0, 5};  // MLSMessage, as some read the documentation
  wrapped.insert(wrapped.end(), good_package.begin(), good_package.end());
  EXPECT_TRUE(package(wrapped)->undecodable);
  EXPECT_EQ(rig.call.service().counters().refused, 4u);
}

TEST_F(DeliveryRefuses, KeyPackagesOfOthersAndUsedOnes) {
  EXPECT_NE(package(good_package)->text.find("before"), std::string::npos);
  Bytes forged = good_package;
  forged.back() ^= 1;
  EXPECT_FALSE(package(forged)->undecodable);
  SeededRandom random(3);
  const auto make = [&](std::uint64_t user) {
    Bytes id(8);
    store_be64(id.data(), user);
    return mls::make_key_package({*mls::KeyPair::generate(random), id}, random)->encoded;
  };
  EXPECT_NE(package(make(ada))->text.find("another user"), std::string::npos);
  EXPECT_FALSE(package(make(client))) << "good, but";
  EXPECT_NE(complaint().find("in the group"), std::string::npos);
}

TEST_F(DeliveryRefuses, CommitsThatAreNone) {
  const Bytes good = held_commit();
  EXPECT_TRUE(commit({})->undecodable);
  EXPECT_TRUE(commit(Bytes(good.begin(), good.end() - 1))->undecodable);
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_TRUE(commit(longer)->undecodable) << "neither a Welcome nor nothing";
  const std::uint64_t epoch = rig.call.service().group().epoch();
  EXPECT_FALSE(commit(good));
  EXPECT_EQ(rig.call.service().group().epoch(), epoch + 1);
}

TEST_F(DeliveryRefuses, CommitsOfTheWrongEpochGroupOrLeaf) {
  const Bytes good = held_commit();
  const std::uint64_t epoch = rig.call.service().group().epoch();
  const auto changed = [&](std::size_t at) {
    Bytes bytes = good;
    bytes.at(at) ^= 1;
    EXPECT_FALSE(commit(bytes));
    EXPECT_EQ(rig.call.service().group().epoch(), epoch);
    return complaint();
  };
  // version 2, wire format 2, length 1, group 8, epoch 8, sender type 1, leaf 4
  EXPECT_NE(changed(12).find("another group"), std::string::npos);
  EXPECT_NE(changed(14).find("does not exist"), std::string::npos) << "an epoch far ahead";
  EXPECT_NE(changed(25).find("leaf"), std::string::npos);
  EXPECT_FALSE(commit(good));
  EXPECT_EQ(rig.call.service().group().epoch(), epoch + 1);
  const std::uint64_t lost = rig.call.service().counters().lost_commits;
  EXPECT_FALSE(commit(good));
  EXPECT_EQ(rig.call.service().counters().lost_commits, lost + 1) << "late is no offence";
  EXPECT_EQ(complaint(), "");
}

TEST_F(DeliveryRefuses, ACommitWithoutTheWelcomeItNeeds) {
  rig.call.service().options().prefer = Prefer::clients;
  rig.clients.at(client)->joined({104});
  rig.speakers.insert(104);
  rig.call.speaker_joined(104, rig.now);
  for (const DaveMessage& m : rig.call.take_messages()) {
    rig.clients.at(client)->receive(m, rig.now);
  }
  const auto replies = rig.clients.at(client)->take_replies();
  ASSERT_EQ(replies.size(), 1u);
  const auto whole = read_commit_welcome(client, replies[0].body);
  ASSERT_TRUE(whole);
  EXPECT_FALSE(commit(whole->commit));
  EXPECT_NE(complaint().find("welcome"), std::string::npos);
  EXPECT_FALSE(commit(replies[0].body));
  rig.run(3s);
  rig.expect_agreement();
}

TEST_F(DeliveryRefuses, WordsAboutTransitionsThatNeverWere) {
  for (const int op : {23, 31}) {
    rig.call.client_text(client, op, 4711, rig.now);
    EXPECT_NE(complaint().find("4711"), std::string::npos) << op;
  }
  rig.call.client_text(client, 23, 0, rig.now);
  EXPECT_NE(complaint().find("transition 0"), std::string::npos);
  rig.expect_agreement();
}
