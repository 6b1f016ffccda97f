// Credentials that somebody else brings: waiting for them, putting their halves together, giving
// up.
#include "voice/credential_updates.hpp"
#include "voice_rig.hpp"

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;

TEST(VoiceSuspend, InPlaceOfAStartWaitsForCredentials) {
  Rig r(Options{.can_renew = true}, {});
  r.session.suspend("Waiting.", 60s, r.now, r.out);
  EXPECT_EQ(r.session.state(), State::AwaitingCredentials);
  EXPECT_EQ(r.count<OpenWebSocket>(), 0u);
  r.advance(59s);
  EXPECT_EQ(r.count<NeedCredentials>(), 0u) << "nobody is asked";
  r.session.renew(good_credentials(), r.now, r.out);
  EXPECT_EQ(r.count<OpenWebSocket>(), 1u);
  r.open();
  EXPECT_EQ(r.sent(0).size(), 1u);
}

TEST(VoiceSuspend, EndsWhenNothingComes) {
  Rig r(Options{.can_renew = true}, {});
  r.session.suspend("Waiting for a server.", 60s, r.now, r.out);
  r.advance(61s);
  ASSERT_EQ(r.count<Fail>(), 1u);
  EXPECT_EQ(r.last<Fail>().message,
            "Waiting for a server. Nothing came for too long; start again.");
}

TEST(VoiceSuspend, ClosesACallAndTheNextOneIsNew) {
  Rig r(Options{.can_renew = true});
  r.connect();
  r.session.suspend("Moved.", 60s, r.now, r.out);
  EXPECT_EQ(r.count<CloseUdp>(), 1u);
  EXPECT_EQ(r.last<CloseWebSocket>().code, 1000);
  r.session.renew(good_credentials(), r.now, r.out);
  r.open();
  EXPECT_EQ(r.sent(0).size(), 2u);
  EXPECT_TRUE(r.sent(7).empty()) << "never resumed";
}

// A close and the news of what caused it are one change.
TEST(VoiceSuspend, AfterACloseIsNotToldASecondTime) {
  Rig r(Options{.can_renew = true, .ask_after_move = true});
  r.connect();
  r.out.clear();
  r.close(4014);
  EXPECT_EQ(r.count<StateChanged>(), 1u);
  r.session.suspend("The session at Discord's gateway is a new one.", 90s, r.now, r.out);
  EXPECT_EQ(r.count<StateChanged>(), 1u);
  r.advance(89s);
  EXPECT_EQ(r.count<NeedCredentials>(), 0u) << "they come by themselves now";
  r.advance(2s);
  ASSERT_EQ(r.count<Fail>(), 1u);
  EXPECT_EQ(r.last<Fail>().message.find("The session at Discord's gateway is a new one."), 0u);
}

TEST(VoiceSuspend, AfterTheEndItDoesNothing) {
  Rig r;
  r.connect();
  r.session.give_up(FailKind::Removed, "Removed.", "", r.now, r.out);
  r.session.suspend("Moved.", 60s, r.now, r.out);
  EXPECT_EQ(r.session.state(), State::Failed);
}

TEST(VoiceGiveUp, IsOneFailWithTheSentence) {
  Rig r;
  r.connect();
  r.session.give_up(FailKind::Removed, "Removed.", "why", r.now, r.out);
  r.session.give_up(FailKind::Full, "Full.", "", r.now, r.out);
  ASSERT_EQ(r.count<Fail>(), 1u);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::Removed);
  EXPECT_EQ(r.last<Fail>().message, "Removed.");
  EXPECT_EQ(r.count<CloseUdp>(), 1u);
}

// A bot hears of kicks from its main gateway; when that says nothing, the bot still belongs there.
TEST(VoiceMove, ABotAsksWhenNoMoveShows) {
  for (const std::uint16_t code : {4014, 4022}) {
    Rig r(Options{.can_renew = true, .ask_after_move = true});
    r.connect();
    r.close(code);
    r.advance(9s);
    EXPECT_EQ(r.count<NeedCredentials>(), 0u);
    r.advance(2s);
    EXPECT_EQ(r.count<NeedCredentials>(), 1u);
    EXPECT_EQ(r.count<Fail>(), 0u);
    r.advance(61s);
    EXPECT_EQ(r.count<Fail>(), 1u);
  }
}

TEST(VoiceHints, A4006BeforeAnythingWorkedMayBeAWrongId) {
  Rig r;
  r.identify();
  r.close(4006);
  EXPECT_NE(r.last<Fail>().message.find("user-id, guild-id and channel-id"), std::string::npos);
  Rig later;
  later.connect();
  later.close(4006);
  EXPECT_EQ(later.last<Fail>().message.find("guild-id"), std::string::npos);
}

TEST(VoiceHints, ASilentPortMayBeOneWithoutTls) {
  Rig r;
  r.session.start(r.now, r.out);
  r.advance(11s);
  EXPECT_NE(r.last<Fail>().message.find("TLS handshake"), std::string::npos);
  Credentials plain = good_credentials();
  plain.endpoint = "ws://127.0.0.1:80";
  Rig other({}, plain);
  other.session.start(other.now, other.out);
  other.advance(11s);
  EXPECT_EQ(other.last<Fail>().message.find("TLS"), std::string::npos);
}

TEST(CredentialUpdates, TheHalvesOfAJoinComeInEitherOrder) {
  const Time now = time_from_ns(0);
  CredentialUpdates a({"", "", SecretString(), 1, 2, 3});
  EXPECT_FALSE(a.state("s"));
  EXPECT_TRUE(a.server("e", SecretString("t"), now));
  const Credentials taken = a.take();
  EXPECT_EQ(taken.endpoint, "e");
  EXPECT_EQ(taken.session_id, "s");
  EXPECT_EQ(taken.token.reveal(), "t");
  EXPECT_EQ(taken.channel_id, 3u);

  CredentialUpdates b({"", "", SecretString(), 1, 2, 3});
  EXPECT_FALSE(b.server("e", SecretString("t"), now));
  EXPECT_EQ(b.due(), std::nullopt) << "there is no session it could go with";
  EXPECT_TRUE(b.state("s"));
}

TEST(CredentialUpdates, AServerAloneGoesWithTheOldSessionAfterAMoment) {
  const Time now = time_from_ns(0);
  CredentialUpdates u({"e", "s", SecretString("t"), 1, 2, 3});
  EXPECT_FALSE(u.server("e2", SecretString("t2"), now));
  ASSERT_EQ(u.due(), now + CredentialUpdates::grace);
  EXPECT_EQ(u.take().session_id, "s");
  EXPECT_EQ(u.due(), std::nullopt);
}

TEST(CredentialUpdates, AServerThatIsGoneIsWaitedFor) {
  const Time now = time_from_ns(0);
  CredentialUpdates u({"e", "s", SecretString("t"), 1, 2, 3});
  EXPECT_FALSE(u.server("e2", SecretString("t2"), now));
  EXPECT_FALSE(u.server("", SecretString(), now));
  EXPECT_EQ(u.due(), std::nullopt);
  EXPECT_FALSE(u.state("s2"));
  u.set_channel(4);
  EXPECT_TRUE(u.server("e3", SecretString("t3"), now));
  EXPECT_EQ(u.take().channel_id, 4u);
}
