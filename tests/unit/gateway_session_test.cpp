// The connection of the main gateway: identify, heartbeats, resume, what survives a restart.
#include "gateway_rig.hpp"

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;
using nlohmann::json;

TEST(GatewaySession, ConnectsIdentifiesAndIsReady) {
  GatewayRig r;
  r.gateway.start(r.now, r.calendar, r.out);
  EXPECT_EQ(r.last<OpenWebSocket>().url, "wss://gateway.discord.gg/?v=10&encoding=json");
  r.open();
  EXPECT_TRUE(r.sent(2).empty()) << "after Hello";
  r.hello();
  ASSERT_EQ(r.count_sent(2), 1u);
  EXPECT_EQ(r.sent(2)[0]["d"]["token"], "bot-token");
  r.ready();
  EXPECT_EQ(r.gateway.state(), gateway::State::Ready);
  EXPECT_EQ(r.gateway.own_user(), GatewayRig::own);
}

TEST(GatewaySession, SettingsAreCheckedBeforeAnythingIsSent) {
  const auto sentence = [](gateway::Options options) { return gateway::problems(options); };
  EXPECT_EQ(sentence({SecretString(""), "", {}, {}}),
            "The bot cannot be started: bot-token is missing.");
  EXPECT_EQ(sentence({SecretString("a b"), "", {}, {}}),
            "The bot cannot be started: bot-token contains characters that cannot be part of one.");
  EXPECT_EQ(sentence({SecretString("t"), "ws://example.com", {}, {}}),
            "The bot cannot be started: gateway-url asks for plain ws://, which is accepted only "
            "for 127.0.0.0/8 and [::1] because the token would travel readable; use wss://.");
  GatewayRig r({SecretString(""), "", {}, {}});
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.gateway.start(r.now, r.calendar, r.out);
  EXPECT_EQ(r.last<gateway::SeatFailed>().kind, FailKind::Settings);
  EXPECT_EQ(r.count<OpenWebSocket>(), 0u);
}

TEST(GatewaySession, FirstHeartbeatIsSpreadAndAllCarryTheLastSequence) {
  GatewayRig r;
  r.gateway.start(r.now, r.calendar, r.out);
  r.open();
  r.nonce = 250;
  r.hello();
  r.answer_heartbeats = false;
  r.advance(10s);
  EXPECT_TRUE(r.sent(1).empty());
  r.advance(400ms);
  ASSERT_EQ(r.count_sent(1), 1u) << "a quarter of 41.25 s";
  EXPECT_TRUE(r.sent(1)[0]["d"].is_null());
  r.text({{"op", 11}});
  r.ready();
  r.text({{"op", 1}});
  ASSERT_EQ(r.count_sent(1), 2u) << "asked for";
  EXPECT_EQ(r.sent(1)[1]["d"], 1);
}

TEST(GatewaySession, AZombieIsDroppedAndResumed) {
  GatewayRig r;
  r.sit();
  r.answer_heartbeats = false;
  r.advance(90s);
  EXPECT_EQ(r.gateway.counters().zombies, 1u);
  EXPECT_EQ(r.last<CloseWebSocket>().code, 4000);
  r.resume();
  ASSERT_EQ(r.count_sent(6), 1u);
  EXPECT_EQ(r.sent(6)[0]["d"],
            (json{{"token", "bot-token"}, {"session_id", "main-session"}, {"seq", 4}}));
  EXPECT_EQ(r.count<gateway::SeatSuspended>(), 0u);
}

TEST(GatewaySession, Opcode7IsResumedAtOnce) {
  GatewayRig r;
  r.sit();
  r.text({{"op", 7}, {"d", nullptr}});
  EXPECT_EQ(r.last<CloseWebSocket>().code, 4000);
  EXPECT_EQ(r.count<OpenWebSocket>(), 2u);
  r.resume();
  EXPECT_EQ(r.gateway.state(), gateway::State::Ready);
  EXPECT_EQ(r.count_sent(2), 1u);
}

// A server that says it after every Resumed must not be asked in a circle without pause.
TEST(GatewaySession, Opcode7InACircleIsSlowedDown) {
  GatewayRig r;
  r.sit();
  r.text({{"op", 7}, {"d", nullptr}});
  r.resume();
  for (int i = 0; i < 10; ++i) {
    r.text({{"op", 7}, {"d", nullptr}});
    r.wait_for_socket();
    r.resume();
  }
  r.text({{"op", 7}, {"d", nullptr}});
  const std::size_t sockets = r.count<OpenWebSocket>();
  r.advance(59s);
  EXPECT_EQ(r.count<OpenWebSocket>(), sockets);
}

TEST(GatewaySession, InvalidSessionThatMayBeResumedIsResumedAfterAPause) {
  GatewayRig r;
  r.sit();
  r.close(1006);
  r.open();
  r.hello();
  r.text({{"op", 9}, {"d", true}});
  r.advance(999ms);
  EXPECT_EQ(r.count<OpenWebSocket>(), 2u);
  r.advance(5s);
  r.resume();
  EXPECT_EQ(r.count_sent(6), 2u);
  EXPECT_EQ(r.count_sent(2), 1u);
}

TEST(GatewaySession, InvalidSessionIsIdentifiedAnewAfterOneToFiveSeconds) {
  for (const std::uint64_t random : {1000u, 2000u, 4000u}) {
    GatewayRig r;
    r.sit();
    r.advance(60s);
    r.close(1006);
    r.open();
    r.hello();
    r.nonce = random;
    r.text({{"op", 9}, {"d", false}});
    const Duration wait = 1s + std::chrono::milliseconds(random);
    r.advance(wait - 1ms);
    EXPECT_EQ(r.count<OpenWebSocket>(), 2u);
    r.advance(2ms);
    EXPECT_EQ(r.count<OpenWebSocket>(), 3u);
    EXPECT_NE(r.last<OpenWebSocket>().url.find("//gateway.discord.gg"), std::string::npos);
    r.open();
    r.hello();
    EXPECT_EQ(r.count_sent(2), 2u);
  }
}

TEST(GatewaySession, BeforeAnythingWorkedItGivesUpWithASentence) {
  GatewayRig r;
  const auto seat = r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.gateway.start(r.now, r.calendar, r.out);
  for (int i = 0; i < 5; ++i) {
    r.gateway.on_socket_error(r.gateway.socket_generation(), SocketError::Unreachable, "text\n",
                              r.now, r.out);
    r.advance(10s);
  }
  ASSERT_EQ(r.count<gateway::SeatFailed>(), 1u);
  EXPECT_EQ(r.last<gateway::SeatFailed>().seat, seat);
  EXPECT_EQ(r.last<gateway::SeatFailed>().message,
            "Discord's gateway cannot be reached; check the network, the firewall and "
            "gateway-url.");
  EXPECT_EQ(r.count<OpenWebSocket>(), 5u);
}

TEST(GatewaySession, TlsThatIsRefusedAtTheStartIsNotTriedAgain) {
  for (const SocketError error : {SocketError::Tls, SocketError::NoTls}) {
    GatewayRig r;
    r.gateway.join(GatewayRig::wish(), r.now, r.out);
    r.gateway.start(r.now, r.calendar, r.out);
    r.gateway.on_socket_error(r.gateway.socket_generation(), error, "", r.now, r.out);
    EXPECT_EQ(r.last<gateway::SeatFailed>().kind, FailKind::Tls);
  }
}

TEST(GatewaySession, ASilentServerIsGivenUp) {
  GatewayRig r;
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.gateway.start(r.now, r.calendar, r.out);
  r.advance(120s);
  EXPECT_EQ(r.last<gateway::SeatFailed>().kind, FailKind::Timeout);
}

TEST(GatewaySession, OnceItHasWorkedItNeverGivesUp) {
  GatewayRig r;
  r.sit();
  r.advance(60s);
  r.close(1006);
  for (int i = 0; i < 100; ++i) {
    r.gateway.on_socket_error(r.gateway.socket_generation(), SocketError::Unreachable, "", r.now,
                              r.out);
    r.wait_for_socket();
  }
  EXPECT_EQ(r.count<gateway::SeatFailed>(), 0u);
  r.resume();
  EXPECT_EQ(r.gateway.state(), gateway::State::Ready);
}

// After a longer outage Discord was back for up to a minute before we were.
TEST(GatewaySession, AGatewayThatIsBackIsNoticedWithin400Milliseconds) {
  GatewayRig r;
  r.sit();
  r.advance(60s);
  const auto states = r.count<gateway::StateChanged>();
  r.close(1006);
  const auto refused = [&] {
    r.gateway.on_socket_error(r.gateway.socket_generation(), SocketError::Unreachable, "", r.now,
                              r.out);
  };
  const Time lost = r.now;
  while (r.now - lost < 4min) {
    const auto opened = r.count<OpenWebSocket>();
    refused();
    r.advance(359ms);
    ASSERT_EQ(r.count<OpenWebSocket>(), opened) << "that would be too often";
    r.advance(41ms);
    ASSERT_EQ(r.count<OpenWebSocket>(), opened + 1);
  }
  EXPECT_LE(r.count<gateway::StateChanged>(), states + 3) << "lost, connecting, waiting";
  while (r.now - lost < 10min) {
    refused();
    r.wait_for_socket();
  }
  const auto opened = r.count<OpenWebSocket>();
  refused();
  r.advance(30s);
  EXPECT_EQ(r.count<OpenWebSocket>(), opened) << "after five minutes the pauses grow";
  r.wait_for_socket();
  r.resume();
  EXPECT_EQ(r.gateway.state(), gateway::State::Ready);
  EXPECT_EQ(r.gateway.counters().identifies, 1u);
}

TEST(GatewaySession, AResumeAddressElsewhereIsNotTrusted) {
  GatewayRig r;
  r.gateway.start(r.now, r.calendar, r.out);
  r.open();
  r.hello();
  r.event("READY", {{"user", {{"id", "900"}}},
                    {"session_id", "s"},
                    {"resume_gateway_url", "wss://evil.example"},
                    {"guilds", json::array()}});
  r.close(1006);
  EXPECT_EQ(r.last<OpenWebSocket>().url, "wss://gateway.discord.gg/?v=10&encoding=json");
}

TEST(GatewaySession, EventsOfAnOldConnectionAreIgnored) {
  GatewayRig r;
  r.sit();
  const Generation old = r.gateway.socket_generation();
  r.text({{"op", 7}});
  r.gateway.on_text(old, R"({"op":9,"d":false})", r.now, r.out);
  r.gateway.on_socket_closed(old, 4004, "", r.now, r.out);
  EXPECT_EQ(r.gateway.counters().stale, 2u);
  r.resume();
  EXPECT_EQ(r.gateway.state(), gateway::State::Ready);
}

TEST(GatewaySession, GarbageIsCountedAndChangesNothing) {
  GatewayRig r;
  r.sit();
  for (const char* text : {"", "null", "[[", R"({"op":0,"t":"READY","d":{}})", R"({"op":77})",
                           R"({"op":0,"t":5,"d":null})"}) {
    r.raw(text);
  }
  EXPECT_EQ(r.gateway.state(), gateway::State::Ready);
  EXPECT_EQ(r.gateway.counters().unknown_opcodes, 1u);
  std::uint64_t malformed = 0;
  for (const std::uint64_t n : r.gateway.counters().malformed) {
    malformed += n;
  }
  EXPECT_EQ(malformed, 5u);
}

// Discord closes a connection that sends more than 120 messages a minute.
TEST(GatewaySession, NeverSendsMoreThanDiscordAllows) {
  GatewayRig r;
  const auto seat = r.sit();
  for (int i = 0; i < 300; ++i) {
    gateway::Wish wish = GatewayRig::wish();
    wish.self_mute = i % 2 == 0 ? false : true;
    r.gateway.change(seat, wish, r.now, r.out);
  }
  EXPECT_EQ(r.count_sent(4), 110u);
  r.advance(61s);
  EXPECT_EQ(r.count_sent(4), 220u);
  r.advance(60s);
  EXPECT_EQ(r.count_sent(4), 301u);
}

// --- over restarts of the process ---

TEST(GatewayRestart, TheSessionIsResumedAndNothingIsIdentified) {
  GatewayRig first;
  first.sit();
  first.gateway.stop(first.now, first.out);
  EXPECT_TRUE(first.asked().is_null()) << "out of the channel";
  EXPECT_EQ(first.last<CloseWebSocket>().code, 4000) << "1000 would end the session";
  const gateway::Saved saved = first.last<gateway::SaveSession>().saved;
  EXPECT_EQ(saved.session_id, "main-session");

  gateway::Options options = GatewayRig::good_options();
  options.saved = saved;
  GatewayRig second(std::move(options));
  second.gateway.join(GatewayRig::wish(), second.now, second.out);
  second.gateway.start(second.now, second.calendar + 5, second.out);
  EXPECT_NE(second.last<OpenWebSocket>().url.find("us-east1"), std::string::npos);
  second.open();
  second.hello();
  EXPECT_EQ(second.count_sent(2), 0u);
  ASSERT_EQ(second.count_sent(6), 1u);
  EXPECT_EQ(second.sent(6)[0]["d"]["seq"], saved.seq);
  second.event("RESUMED", nullptr);
  EXPECT_TRUE(second.asked().is_null()) << "an earlier process may still sit there";
  second.own_state(0);
  EXPECT_EQ(second.asked(), "3000");
  second.own_state(GatewayRig::channel_id);
  second.server();
  EXPECT_EQ(second.last<gateway::SeatCredentials>().credentials.user_id, GatewayRig::own);
}

TEST(GatewayRestart, WhoWasInNoChannelIsNotWaitedForLong) {
  gateway::Options options = GatewayRig::good_options();
  options.saved = {"main-session", "", 5, GatewayRig::own, 901, {}};
  GatewayRig r(std::move(options));
  r.gateway.join(GatewayRig::wish(), r.now, r.out);
  r.gateway.start(r.now, r.calendar, r.out);
  r.resume();
  r.advance(1s);
  EXPECT_EQ(r.asked(), "3000");
}

// What a resumed session does not know, a new one does: it is worth one Identify to say why.
TEST(GatewayRestart, AnUnansweredJoinOpensANewSessionToSayWhy) {
  gateway::Options options = GatewayRig::good_options();
  options.saved = {"main-session", "", 5, GatewayRig::own, 901, {}};
  GatewayRig r(std::move(options));
  r.gateway.join(GatewayRig::wish(GatewayRig::locked_channel), r.now, r.out);
  r.gateway.start(r.now, r.calendar, r.out);
  r.resume();
  r.advance(17s);
  EXPECT_EQ(r.count<gateway::SeatFailed>(), 0u);
  r.open();
  r.hello();
  EXPECT_EQ(r.count_sent(2), 1u);
  r.ready();
  r.guild();
  EXPECT_EQ(r.last<gateway::SeatFailed>().kind, FailKind::NotAllowed);
}

// A service that dies and is started again every two seconds, and whose session is lost each time.
TEST(GatewayRestart, AServiceThatRestartsInALoopNeverBurnsTheBudget) {
  std::vector<std::int64_t> saved;
  std::vector<std::int64_t> identified;
  const std::int64_t begin = 1'800'000'000;
  for (std::int64_t now = begin; now < begin + 3 * 86'400; now += 2) {
    gateway::IdentifyBudget budget(saved);
    if (budget.earliest(now) <= now) {
      budget.note(now);
      identified.push_back(now);
      saved = budget.times();
    }
  }
  EXPECT_GE(identified.size(), 3 * 280u) << "it does come back";
  for (std::size_t i = 900; i < identified.size(); ++i) {
    EXPECT_GE(identified[i] - identified[i - 900], 86'400);
  }
  EXPECT_EQ(identified[1] - identified[0], 6) << "not punished at first (2 s steps)";
}

TEST(GatewayRestart, WhatWasSavedHoldsTheNextProcessBack) {
  gateway::Saved saved;
  std::int64_t calendar = 1'800'000'000;
  std::size_t waited = 0;
  for (int i = 0; i < 100; ++i, calendar += 2) {
    gateway::Options options = GatewayRig::good_options();
    options.saved.identifies = saved.identifies;
    GatewayRig r(std::move(options));
    r.gateway.start(r.now, calendar, r.out);
    if (r.count<OpenWebSocket>() == 0) {
      EXPECT_EQ(r.gateway.state(), gateway::State::Waiting);
      ++waited;
      continue;
    }
    r.open();
    r.hello();
    EXPECT_EQ(r.count_sent(2), 1u);
    saved = r.last<gateway::SaveSession>().saved;
  }
  EXPECT_GE(waited, 88u);
}

TEST(GatewayRestart, AClockThatWasSetBackDoesNotLockTheBotOut) {
  gateway::IdentifyBudget budget({2'000'000'000, 2'000'000'100});
  EXPECT_LE(budget.earliest(1'800'000'000), 1'800'000'005);
}

TEST(GatewayRestart, NineHundredADayIsTheLimit) {
  std::vector<std::int64_t> times;
  for (int i = 0; i < 900; ++i) {
    times.push_back(1'000'000 + i * 60);
  }
  gateway::IdentifyBudget budget(times);
  EXPECT_EQ(budget.earliest(times.back() + 4000), 1'000'000 + 86'400);
}

TEST(GatewayRestart, TheSequenceIsSavedNowAndThen) {
  GatewayRig r;
  r.sit();
  const std::size_t before = r.count<gateway::SaveSession>();
  r.advance(11s);
  EXPECT_EQ(r.count<gateway::SaveSession>(), before + 1);
  EXPECT_EQ(r.last<gateway::SaveSession>().saved.seq, r.seq);
  r.advance(60s);
  EXPECT_EQ(r.count<gateway::SaveSession>(), before + 1) << "nothing new";
}

TEST(GatewaySession, AThousandDropsLeaveVoiceAlone) {
  GatewayRig r;
  r.sit();
  for (int i = 0; i < 1000; ++i) {
    r.advance(40s);
    r.close(i % 2 == 0 ? std::optional<std::uint16_t>() : 1001);
    r.resume();
  }
  EXPECT_EQ(r.gateway.counters().resumes, 1000u);
  EXPECT_EQ(r.gateway.counters().identifies, 1u);
  EXPECT_EQ(r.count<gateway::SeatSuspended>(), 0u);
  EXPECT_EQ(r.count<gateway::SeatCredentials>(), 1u);
  EXPECT_EQ(r.count_sent(4), 1u);
}
