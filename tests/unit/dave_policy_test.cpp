// What a session does when the call is, becomes, or ceases to be unencrypted; and when frames
// cannot be opened any more.
#include "dave_rig.hpp"

using namespace discord;
using namespace discord::dave;
using namespace discord::dave::rig;

namespace {

const Bytes plain{0x78, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};

struct Call3 : Gateway {
  explicit Call3(bool is_stage) {
    stage = is_stage;
    for (std::uint64_t id = 1; id <= 3; ++id) {
      join(id);
    }
    settle();
  }
  void prepare_downgrade(std::uint16_t id) {
    for (Client* c : present()) {
      c->session.on_prepare_transition(id, 0, now, c->out);
      c->take();
    }
  }
  void execute_for_all(std::uint16_t id) {
    for (Client* c : present()) {
      c->session.on_execute_transition(id, now, c->out);
      c->take();
    }
  }
};

}  // namespace

TEST(DavePolicy, VersionZeroFromTheStartIsTakenAndSaid) {
  Gateway g;
  g.version = 0;
  Client& c = g.join(1);
  EXPECT_FALSE(c.failure);
  EXPECT_EQ(c.encryption.version, 0);
  EXPECT_FALSE(c.opener.active());
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::passthrough);
  EXPECT_EQ(c.hear(0, plain), FrameOutcome::passthrough) << "no user needed";
  EXPECT_TRUE(c.binaries.empty()) << "no key package";
}

TEST(DavePolicy, RequiredRefusesVersionZero) {
  Gateway g;
  g.version = 0;
  Client& c = g.join(1, false, Policy::required);
  ASSERT_TRUE(c.failure);
  EXPECT_EQ(c.failure->kind, FailKind::version_refused);
  EXPECT_TRUE(c.opener.active()) << "or frames would pass unopened";
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::not_a_frame) << "and nothing is heard any more";
  c.session.on_session_description(1, g.now, c.out);
  EXPECT_TRUE(c.out.empty()) << "nothing after the failure";
}

TEST(DavePolicy, OffOffersNothing) {
  Gateway g;
  g.version = 0;
  Client& c = g.join(1, false, Policy::off);
  EXPECT_EQ(c.session.offered_version(), 0);
  EXPECT_FALSE(c.failure);
  g.version = 1;
  Client& d = g.join(2, false, Policy::off);
  ASSERT_TRUE(d.failure);
  EXPECT_EQ(d.failure->kind, FailKind::version_refused);
}

TEST(DavePolicy, UnknownVersionIsRefused) {
  Gateway g;
  g.version = 2;
  Client& c = g.join(1);
  ASSERT_TRUE(c.failure);
  EXPECT_NE(c.failure->message.find("version 2"), std::string::npos);
}

TEST(DavePolicy, NothingPassesBeforeTheSessionDescription) {
  TestRandom random;
  Client c(1, random);
  c.session.begin({1, channel, false}, c.now, c.out);
  c.take();
  EXPECT_TRUE(c.opener.active());
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::not_a_frame);
}

TEST(DavePolicy, DowngradeInTheMiddleEndsTheCall) {
  Call3 g(false);
  g.prepare_downgrade(40);
  for (Client* c : g.present()) {
    EXPECT_FALSE(c->failure);
    EXPECT_TRUE(c->take_texts(23).empty()) << "not agreed to";
    EXPECT_EQ(c->hear(2, plain), FrameOutcome::not_a_frame);
  }
  EXPECT_EQ(g.client(1).hear(2, g.client(2).seal(plain)), FrameOutcome::opened)
      << "still encrypted";
  g.execute_for_all(40);
  for (Client* c : g.present()) {
    ASSERT_TRUE(c->failure);
    EXPECT_EQ(c->failure->kind, FailKind::downgrade_refused);
    EXPECT_TRUE(c->opener.active()) << "or frames would pass unopened until the end";
    EXPECT_EQ(c->hear(2, plain), FrameOutcome::not_a_frame);
  }
}

TEST(DavePolicy, DowngradeByTransitionZeroEndsTheCall) {
  Call3 g(false);
  g.prepare_downgrade(0);
  EXPECT_TRUE(g.client(1).failure);
}

// Only a stage may be without, so that is what a call is which starts so.
TEST(DavePolicy, ACallThatStartedWithoutMayGoUpAndDownAgain) {
  Gateway g;
  g.version = 0;
  g.join(1);
  g.join(2);
  for (Client* p : g.present()) {
    p->session.on_prepare_epoch(1, 1, g.now, p->out);
    p->take();
  }
  g.upgrading = true;
  g.version = 1;
  g.collect();
  g.propose();
  g.announce(g.choose());
  g.execute();
  Client& c = g.client(1);
  EXPECT_EQ(c.encryption.version, 1);
  c.session.on_prepare_transition(50, 0, g.now, c.out);
  c.session.on_execute_transition(50, g.now, c.out);
  c.take();
  EXPECT_FALSE(c.failure);
  EXPECT_EQ(c.encryption.version, 0);
}

TEST(DavePolicy, RequiredRefusesADowngradeOnAStageToo) {
  Gateway g;
  g.stage = true;
  g.join(1, false, Policy::required);
  g.join(2);
  g.settle();
  Client& c = g.client(1);
  c.session.on_prepare_transition(7, 0, g.now, c.out);
  c.session.on_execute_transition(7, g.now, c.out);
  c.take();
  ASSERT_TRUE(c.failure);
  EXPECT_EQ(c.failure->kind, FailKind::downgrade_refused);
}

TEST(DavePolicy, StageGoesDownAndUpAgain) {
  Call3 g(true);
  Client& c = g.client(1);
  g.prepare_downgrade(40);
  EXPECT_EQ(c.take_texts(23), std::vector<int>{40});
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::passthrough) << "some are faster";
  EXPECT_EQ(c.hear(2, g.client(2).seal(plain)), FrameOutcome::opened) << "some are slower";
  EXPECT_EQ(c.encryption.version, 1);
  const Bytes last_sealed = g.client(2).seal(plain);
  g.execute_for_all(40);
  g.version = 0;
  g.leaves.clear();
  g.epoch = 0;
  EXPECT_EQ(c.encryption.version, 0);
  EXPECT_EQ(c.encryption.epoch, 0u);
  EXPECT_FALSE(c.session.send_state());
  EXPECT_EQ(c.hear(2, last_sealed), FrameOutcome::opened) << "under way";
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::passthrough);
  g.advance(10s);
  EXPECT_FALSE(c.opener.active());
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::passthrough);

  for (Client* p : g.present()) {
    p->take_texts(23);
    p->session.on_prepare_epoch(1, 1, g.now, p->out);
    p->take();
  }
  g.upgrading = true;
  g.version = 1;
  EXPECT_TRUE(c.opener.active());
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::passthrough) << "until the transition is executed";
  g.collect();
  g.propose();
  g.announce(g.choose());
  EXPECT_EQ(c.encryption.version, 0) << "not yet";
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::passthrough);
  EXPECT_FALSE(g.client(2).session.send_state());
  SendRatchet early(*g.client(2).session.member()->base_secret(2));
  Bytes room(100);
  const auto frame = early.seal(plain, {}, room);
  EXPECT_EQ(c.hear(2, Bytes(frame->begin(), frame->end())), FrameOutcome::opened);
  g.execute();
  g.expect_agreement();
  EXPECT_EQ(c.encryption.version, 1);
  EXPECT_EQ(c.hear(3, g.client(3).seal(plain)), FrameOutcome::opened);
  EXPECT_EQ(c.hear(3, plain), FrameOutcome::passthrough) << "the tail";
  g.advance(10s);
  EXPECT_EQ(c.hear(3, plain), FrameOutcome::not_a_frame);
}

TEST(DavePolicy, PreparedDowngradeThatNeverComesIsForgotten) {
  Call3 g(true);
  g.prepare_downgrade(40);
  Client& c = g.client(1);
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::passthrough);
  g.advance(downgrade_patience);
  EXPECT_EQ(c.hear(2, plain), FrameOutcome::not_a_frame);
  EXPECT_EQ(c.hear(2, g.client(2).seal(plain)), FrameOutcome::opened);
}

TEST(DavePolicy, VersionsThatWereNotOfferedAreNotFollowed) {
  Call3 g(false);
  Client& c = g.client(1);
  const mls::Hash before = c.session.member()->state_digest();
  c.session.on_prepare_transition(9, 2, g.now, c.out);
  c.session.on_prepare_epoch(2, 1, g.now, c.out);
  c.session.on_prepare_epoch(0, 1, g.now, c.out);
  c.take();
  EXPECT_TRUE(c.take_texts(23).empty());
  EXPECT_EQ(c.session.member()->state_digest(), before);
  EXPECT_EQ(c.notices.size(), 3u);
}

TEST(DavePolicy, LaterEpochIsOnlyAChangeOfVersion) {
  Call3 g(false);
  Client& c = g.client(1);
  c.session.on_prepare_epoch(1, 5, g.now, c.out);
  c.take();
  EXPECT_TRUE(c.binaries.empty());
  EXPECT_EQ(c.encryption.epoch, 1u);
}

TEST(DavePolicy, NewExternalSenderIsIgnoredInAGroup) {
  Call3 g(false);
  Client& c = g.client(1);
  const mls::Hash before = c.session.member()->state_digest();
  Gateway other(99);
  c.session.on_external_sender(other.external_sender(), g.now, c.out);
  c.session.on_external_sender(Bytes{1, 2, 3}, g.now, c.out);
  EXPECT_EQ(c.session.member()->state_digest(), before);
}

TEST(DavePolicy, NewExternalSenderWhilePendingFoundsAnew) {
  Gateway g;
  Client& c = g.join(1);
  Gateway other(99);
  const mls::Hash before = c.session.member()->state_digest();
  c.session.on_external_sender(other.external_sender(), g.now, c.out);
  EXPECT_NE(c.session.member()->state_digest(), before);
  c.session.on_external_sender(g.external_sender(), g.now, c.out);
  g.join(2);
  g.settle();
  g.expect_agreement();
}

TEST(DavePolicy, WelcomeOfAnotherExternalSenderIsRefused) {
  Gateway g;
  Gateway other(99);
  g.join(1);
  g.join(2);
  g.settle();
  Client& c = g.join(3);
  c.session.on_external_sender(other.external_sender(), g.now, c.out);
  g.spoiled = {3};
  g.collect();
  g.propose();
  g.announce(g.choose());
  EXPECT_EQ(c.take_texts(31).size(), 1u);
  EXPECT_EQ(c.encryption.epoch, 0u);
}

TEST(DavePolicy, FramesThatCannotBeOpenedLeadToANewGroup) {
  Call3 g(false);
  g.join(4);
  g.settle();
  Client& c = g.client(1);
  Bytes bad = g.client(2).seal(plain);
  bad[0] ^= 1;
  for (int i = 0; i < 120; ++i) {
    EXPECT_EQ(c.hear(2, bad), FrameOutcome::bad_tag);
    g.advance(20ms);
  }
  const auto user = c.opener.take_recovery_request(g.now);
  ASSERT_EQ(user, 2u);
  c.session.on_undecryptable(*user, g.now, c.out);
  c.session.on_undecryptable(*user, g.now, c.out);
  c.take();
  EXPECT_EQ(c.take_texts(31), std::vector<int>{g.transition}) << "once";
  EXPECT_EQ(c.hear(3, g.client(3).seal(plain)), FrameOutcome::opened)
      << "the others are still heard meanwhile";
  g.settle();
  g.expect_agreement();
  c.session.on_undecryptable(2, g.now, c.out);
  c.take();
  EXPECT_TRUE(c.take_texts(31).empty()) << "within the minute";
  g.advance(60s);
  c.session.on_undecryptable(77, g.now, c.out);
  EXPECT_TRUE(c.out.empty()) << "no member";
  c.session.on_undecryptable(2, g.now, c.out);
  c.take();
  EXPECT_EQ(c.take_texts(31).size(), 1u);
}

TEST(DavePolicy, NoRandomnessIsSaid) {
  Gateway g;
  g.join(1);
  Client c(2, g.random);
  g.random.broken = true;
  c.session.begin({2, channel, false}, g.now, c.out);
  c.session.on_session_description(1, g.now, c.out);
  c.take();
  ASSERT_TRUE(c.failure);
  EXPECT_EQ(c.failure->kind, FailKind::no_randomness);
}

TEST(DavePolicy, NewConnectionStartsFromScratch) {
  Call3 g(false);
  Client& c = g.client(1);
  const EpochSerial before = c.session.send_state()->serial;
  const auto key = c.session.member()->signature_key().public_key();
  const Bytes old_key(key.begin(), key.end());
  c.session.begin({1, channel, false}, g.now, c.out);
  c.take();
  EXPECT_FALSE(c.opener.knows(2, g.now));
  EXPECT_FALSE(c.session.send_state());
  c.session.on_session_description(1, g.now, c.out);
  c.session.on_external_sender(g.external_sender(), g.now, c.out);
  c.session.on_users_joined(std::array<std::uint64_t, 3>{1, 2, 3});
  c.take();
  g.settle();
  g.expect_agreement();
  EXPECT_GT(c.session.send_state()->serial, before) << "serials never come twice";
  EXPECT_TRUE(std::ranges::equal(c.session.member()->signature_key().public_key(), old_key));
}
