// Commits and Welcomes that cannot be followed: the way back into the group, or the end.
#include "dave_call_rig.hpp"

using namespace discord;
using namespace discord::dave;
using namespace discord::dave::rig;

TEST(DaveRecovery, InvalidCommitAndRecovery) {
  Gateway g;
  join_many(g, 1, 4);
  g.settle();
  Media media(g);
  media.round();
  g.join(5);
  g.collect();
  g.propose();
  auto winner = g.choose();
  g.spoiled = {winner.first == 2 ? 3u : 2u};
  const std::uint64_t victim = *g.spoiled.begin();
  g.announce(winner, g.spoiled);
  g.collect();
  ASSERT_EQ(g.invalid.size(), 1u);
  EXPECT_EQ(g.invalid[0], std::pair(victim, int{g.transition}));
  EXPECT_TRUE(g.client(victim).take_texts(23).empty());
  EXPECT_TRUE(g.packages.contains(victim)) << "a new key package at once";
  EXPECT_TRUE(g.client(victim).session.recovering());
  g.execute();
  media.round();
  g.spoiled.clear();
  g.settle();
  g.expect_agreement();
  EXPECT_FALSE(g.client(victim).session.recovering());
  media.round();
}

TEST(DaveRecovery, InvalidWelcomeAndRecovery) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  g.join(5);
  g.collect();
  g.propose();
  g.spoiled = {5};
  g.announce(g.choose(), g.spoiled);
  g.collect();
  ASSERT_EQ(g.invalid.size(), 1u);
  g.execute();
  g.spoiled.clear();
  g.settle();
  g.expect_agreement();
}

TEST(DaveRecovery, RecoveriesWaitLongerAndLonger) {
  Gateway g;
  join_many(g, 1, 2);
  g.settle();
  Client& c = g.client(1);
  std::vector<std::int64_t> seconds;
  Time last = g.now;
  // Never a commit nor a Welcome that is worth anything.
  while (!c.failure) {
    c.session.on_announce_commit(5, Bytes{1, 2, 3}, g.now, c.out);
    c.session.on_welcome(5, Bytes{1, 2, 3}, g.now, c.out);
    c.take();
    while (c.take_texts(31).empty() && !c.failure) {
      ASSERT_TRUE(c.session.next_deadline());
      g.advance(*c.session.next_deadline() - g.now);
    }
    if (!c.failure) {
      EXPECT_EQ(c.take_binaries(opcode_key_package).size(), 1u);
      seconds.push_back(std::chrono::duration_cast<std::chrono::seconds>(g.now - last).count());
      last = g.now;
    }
  }
  EXPECT_EQ(seconds, (std::vector<std::int64_t>{0, 1, 2, 4, 8, 16, 32, 60, 60, 60}));
  EXPECT_EQ(c.failure->kind, FailKind::group_lost);
  EXPECT_FALSE(c.session.next_deadline());
}

TEST(DaveRecovery, HundredBadCommitsEndInAWorkingGroup) {
  Gateway g;
  join_many(g, 1, 3);
  g.settle();
  Client& c = g.client(2);
  for (int i = 0; i < 100; ++i) {
    const Bytes bad(200, static_cast<std::uint8_t>(i));
    c.session.on_announce_commit(static_cast<std::uint16_t>(100 + i), bad, g.now, c.out);
    c.take();
    g.advance(20ms);
    g.collect();
    if (i % 10 == 9) {
      // The gateway takes it in again, and the next commit is bad once more.
      c.take_texts(23);
      g.settle();
    }
  }
  ASSERT_FALSE(c.failure);
  EXPECT_GT(g.invalid.size(), 1u);
  EXPECT_LT(g.invalid.size(), 12u) << "one at a time";
  for (int i = 0; i < 100 && (c.encryption.epoch == 0 || g.wants_change()); ++i) {
    g.advance(1s);
    c.take_texts(23);
    g.settle();
  }
  g.expect_agreement();
}

TEST(DaveRecovery, HundredBadWelcomesEndInOneError) {
  Gateway g;
  Client& c = g.join(1);
  unsigned failures = 0, asked = 0;
  for (int i = 0; i < 100; ++i) {
    c.failure.reset();
    const Bytes bad(200, static_cast<std::uint8_t>(i));
    c.session.on_welcome(static_cast<std::uint16_t>(1 + i), bad, g.now, c.out);
    c.take();
    failures += c.failure ? 1 : 0;
    asked += static_cast<unsigned>(c.take_texts(31).size());
    if (c.failure) {
      EXPECT_EQ(c.failure->kind, FailKind::group_lost);
      EXPECT_NE(c.failure->message.find("could not be entered"), std::string::npos);
    }
    g.advance(61s);
    asked += static_cast<unsigned>(c.take_texts(31).size());
  }
  EXPECT_EQ(failures, 1u);
  EXPECT_EQ(asked, max_recoveries);
}
