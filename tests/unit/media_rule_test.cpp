// Who is heard: the rule itself, and what Ingress and Receiver make of it.
#include "dave/sender_ratchet.hpp"
#include "media/receiver.hpp"
#include "media_rig.hpp"

using namespace discord;
using namespace discord::media;

namespace {

UserRule rule(std::string_view text, bool ignore_bots = true) {
  auto parsed = UserRule::parse(text, ignore_bots);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? *parsed : UserRule();
}

struct RuleCall : Call {
  void admit(std::uint64_t user, Admission admission, Time now = Time{}) {
    ingress.admit(user, admission, now, sink);
    check();
  }
  void need_users(bool needed, Time now = Time{}) {
    ingress.need_users(needed, now, sink);
    check();
  }
  std::size_t heard() const { return sink.audio_out.size(); }
};

}  // namespace

TEST(UserRule, EmptyHearsEverybodyButBots) {
  for (const char* text : {"", "  ,, \n"}) {
    EXPECT_EQ(rule(text).of(1, false, true), Admission::allowed);
    EXPECT_EQ(rule(text).of(1, true, true), Admission::denied);
    EXPECT_EQ(rule(text, false).of(1, true, true), Admission::allowed);
    EXPECT_FALSE(rule(text).needs_user());
  }
}

TEST(UserRule, NotKnownToBeABotWaitsOnlyWhereItWillBeTold) {
  EXPECT_EQ(UserRule().of(1, std::nullopt, true), Admission::undecided);
  EXPECT_EQ(UserRule().of(1, std::nullopt, false), Admission::allowed);
  EXPECT_EQ(rule("", false).of(1, std::nullopt, true), Admission::allowed);
}

TEST(UserRule, ListsOfThoseHeardAndOfThoseNot) {
  const UserRule only = rule("12, 34\t56");
  EXPECT_TRUE(only.needs_user());
  EXPECT_EQ(only.of(34, false, true), Admission::allowed);
  EXPECT_EQ(only.of(35, false, true), Admission::denied);
  const UserRule but = rule("-12,-34");
  EXPECT_TRUE(but.needs_user());
  EXPECT_EQ(but.of(34, false, true), Admission::denied);
  EXPECT_EQ(but.of(35, false, true), Admission::allowed);
  EXPECT_EQ(but.of(35, true, true), Admission::denied) << "bots are ignored beside a list";
  const UserRule both = rule("12 34 -34 -56");
  EXPECT_EQ(both.of(12, false, true), Admission::allowed);
  EXPECT_EQ(both.of(34, false, true), Admission::denied) << "the minus sign counts";
  EXPECT_EQ(both.of(78, false, true), Admission::denied);
}

TEST(UserRule, ABotThatIsAskedForIsHeard) {
  EXPECT_EQ(rule("12").of(12, true, true), Admission::allowed);
  EXPECT_EQ(rule("12").of(12, std::nullopt, true), Admission::allowed);
}

TEST(UserRule, WhatIsNoIdIsRefusedWithTheWord) {
  for (const char* text : {"Ada", "12x", "0", "-", "--1", "!5", "18446744073709551616", "1;2"}) {
    const auto parsed = UserRule::parse(std::string("7,") + text, true);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().find("\"" + std::string(text) + "\""), std::string::npos)
        << parsed.error();
  }
  EXPECT_TRUE(UserRule::parse("18446744073709551615", true).ok());
  std::string many;
  for (std::size_t i = 0; i <= UserRule::max_users; ++i) {
    many += std::to_string(i + 1) + ",";
  }
  EXPECT_FALSE(UserRule::parse(many, true).ok());
}

TEST(UserRule, IsEqualWhenItMeansTheSame) {
  EXPECT_EQ(rule("1,2,2"), rule(" 2 1 "));
  EXPECT_FALSE(rule("1") == rule("-1"));
  EXPECT_FALSE(rule("1") == rule("1", false));
}

TEST(IngressRule, ADeniedUserLeavesNoTraceButACount) {
  RuleCall call;
  call.admit(10, Admission::denied);
  call.map(1, 10, Time{});
  call.map(2, 20, Time{});
  call.speak(1, 0, 5, Time{});
  call.speak(2, 0, 5, Time{});
  call.push({.ssrc = 1, .sequence = 9, .payload = silence}, Time(1s));
  call.push({.ssrc = 1, .sequence = 10, .payload = {}, .padding = 40}, Time(1s));
  EXPECT_EQ(call.heard(), 5u);
  EXPECT_TRUE(call.sink.padding_out.empty());
  EXPECT_EQ(call.ingress.nobody().denied, 7u);
  ASSERT_EQ(call.ingress.speakers().size(), 1u);
  EXPECT_EQ(call.ingress.speakers()[0].user_id, 20u);
  EXPECT_EQ(call.sink.said, std::vector<std::string>{"2/20+0"});
}

TEST(IngressRule, AForgedPacketOfADeniedUserIsNotAuthentic) {
  RuleCall call;
  call.admit(10, Admission::denied);
  call.map(1, 10, Time{});
  Bytes forged = call.seal({.ssrc = 1});
  forged[20] ^= 1;
  call.receive(std::move(forged), Time{});
  EXPECT_EQ(call.ingress.nobody().bad_tag, 1u);
  EXPECT_EQ(call.ingress.nobody().denied, 0u);
}

TEST(IngressRule, ReportsOfADeniedUserGoNowhere) {
  RuleCall call;
  call.admit(10, Admission::denied);
  call.map(9, 10, Time{});
  std::array<std::uint8_t, 8> report = {0x80, 201, 0, 1, 0, 0, 0, 9};
  Bytes sealed(call.server.sealed_size(report.size()));
  ASSERT_TRUE(call.server.seal_rtcp(report, 1, sealed).ok());
  call.receive(sealed, Time{});
  EXPECT_EQ(call.sink.rtcp_out, 0u);
  EXPECT_EQ(call.ingress.nobody().denied, 1u);
}

// The user is known only after packets have come, as it happens with every newcomer.
TEST(IngressRule, WhatWaitedForItsUserIsDroppedWhenThatIsDenied) {
  for (const bool encrypted : {false, true}) {
    RuleCall call;
    call.e2ee(encrypted);
    call.need_users(true);
    call.speak(1, 0, 5, Time{});
    EXPECT_EQ(call.ingress.ledger().held, 5u);
    call.admit(10, Admission::denied, Time(200ms));
    call.map(1, 10, Time(200ms));
    EXPECT_EQ(call.heard(), 0u);
    EXPECT_EQ(call.ingress.ledger().held, 0u);
    EXPECT_EQ(call.ingress.nobody().denied, 5u);
    EXPECT_TRUE(call.ingress.speakers().empty());
    EXPECT_TRUE(call.sink.said.empty());
  }
}

TEST(IngressRule, WhatWaitedForItsUserGoesOnWhenThatIsAllowed) {
  RuleCall call;
  call.need_users(true);
  call.speak(1, 0, 5, Time{});
  EXPECT_EQ(call.heard(), 0u);
  call.map(1, 10, Time(200ms));
  EXPECT_EQ(call.heard(), 5u);
}

TEST(IngressRule, WithAListSomebodyUnknownIsNotHeard) {
  RuleCall call;
  call.need_users(true);
  call.speak(1, 0, 2, Time{});
  call.timer(Time(3s));
  EXPECT_EQ(call.heard(), 0u);
  EXPECT_EQ(call.ingress.ledger().no_user, 2u);
  call.speak(1, 2, 1, Time(4s));
  EXPECT_EQ(call.ingress.ledger().no_user, 3u);
  call.need_users(false, Time(5s));
  call.speak(1, 3, 1, Time(5s));
  EXPECT_EQ(call.heard(), 1u) << "the list is gone";
}

TEST(IngressRule, ALiveChangeActsFromTheNextPacketOn) {
  RuleCall call;
  call.map(1, 10, Time{});
  call.speak(1, 0, 3, Time{});
  call.admit(10, Admission::denied, Time(60ms));
  EXPECT_EQ(call.sink.said, (std::vector<std::string>{"1/10+0", "1/10-60"})) << "speaks no more";
  call.speak(1, 3, 3, Time(60ms));
  EXPECT_EQ(call.heard(), 3u);
  ASSERT_EQ(call.ingress.speakers().size(), 1u);
  EXPECT_TRUE(call.ingress.speakers()[0].gone) << "what was heard before stays in the record";
  EXPECT_EQ(call.ingress.speakers()[0].ledger.received, 3u);
  call.admit(10, Admission::allowed, Time(120ms));
  call.speak(1, 6, 3, Time(120ms));
  EXPECT_EQ(call.heard(), 6u);
  EXPECT_EQ(call.sink.said.back(), "1/10+120");
  EXPECT_EQ(call.ingress.ledger().denied, 3u);
}

TEST(IngressRule, AnUndecidedUserWaitsForTheDecision) {
  RuleCall call;
  call.admit(10, Admission::undecided);
  call.admit(20, Admission::undecided);
  call.map(1, 10, Time{});
  call.map(2, 20, Time{});
  call.speak(1, 0, 3, Time{});
  call.speak(2, 0, 3, Time{});
  EXPECT_EQ(call.heard(), 0u);
  EXPECT_EQ(call.ingress.ledger().held, 6u);
  call.admit(10, Admission::denied, Time(100ms));
  call.admit(20, Admission::allowed, Time(100ms));
  ASSERT_EQ(call.heard(), 3u);
  EXPECT_EQ(call.sink.audio_out[0].packet.ssrc, 2u);
  EXPECT_EQ(call.ingress.nobody().denied, 3u);
}

TEST(IngressRule, WhoStaysUndecidedIsHeardAfterTheHoldTime) {
  RuleCall call;
  call.admit(10, Admission::undecided);
  call.map(1, 10, Time{});
  call.speak(1, 0, 5, Time{});
  ASSERT_TRUE(call.ingress.next_deadline());
  call.timer(
      Time(2s));  // the first packet's time is over, those behind it need not wait for theirs
  ASSERT_EQ(call.heard(), 5u);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(call.sink.audio_out[i].packet.sequence & 0xFFFF, i);
  }
  call.speak(1, 5, 2, Time(2100ms));
  EXPECT_EQ(call.heard(), 7u) << "and does not wait again";
  call.admit(10, Admission::denied, Time(3s));
  call.speak(1, 7, 2, Time(3s));
  EXPECT_EQ(call.heard(), 7u) << "it is a bot after all";
}

TEST(IngressRule, SeveralThatWereDueAtOnceStayInOrder) {
  RuleCall call;
  call.admit(10, Admission::undecided);
  call.map(1, 10, Time{});
  call.speak(1, 0, 5, Time{});
  call.timer(Time(2050ms));
  ASSERT_EQ(call.heard(), 5u);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(call.sink.audio_out[i].packet.sequence & 0xFFFF, i);
  }
}

TEST(IngressRule, ANewConnectionForgetsWhoIsDenied) {
  RuleCall call;
  call.admit(10, Admission::denied);
  call.map(1, 10, Time{});
  call.ingress.forget_all(Time(1s), call.sink);
  call.map(1, 10, Time(1s));
  call.push({.ssrc = 1}, Time(1s));
  EXPECT_EQ(call.heard(), 1u) << "whoever knows the rule says it again";
}

// The SSRC of somebody denied may be given to somebody else, and back.
TEST(IngressRule, TheRuleIsOfTheUserNotOfTheSsrc) {
  RuleCall call;
  call.admit(10, Admission::denied);
  call.map(1, 10, Time{});
  call.speak(1, 0, 2, Time{});
  call.map(1, 20, Time(100ms));
  call.speak(1, 2, 2, Time(100ms));
  EXPECT_EQ(call.heard(), 2u);
  call.map(3, 10, Time(200ms));
  call.speak(3, 2, 2, Time(200ms));
  EXPECT_EQ(call.heard(), 2u);
  EXPECT_EQ(call.ingress.nobody().denied, 4u);
}

// A denied speaker must not push others out of the table, nor cost what a speaker costs.
TEST(IngressRule, DeniedUsersTakeNoPlace) {
  IngressConfig config;
  config.max_speakers = 1;
  RuleCall call{{Call(config)}};
  call.admit(10, Admission::denied);
  call.map(1, 10, Time{});
  call.map(2, 20, Time{});
  for (int i = 0; i < 10; ++i) {
    call.push({.ssrc = 2, .sequence = static_cast<std::uint16_t>(i)}, Time(i * 20ms));
    call.push({.ssrc = 1, .sequence = static_cast<std::uint16_t>(i)}, Time(i * 20ms));
  }
  EXPECT_EQ(call.heard(), 10u);
  EXPECT_EQ(call.ingress.ledger().evicted, 0u);
}
