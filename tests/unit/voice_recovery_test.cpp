#include "voice/backoff.hpp"
#include "voice_rig.hpp"

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;

// Resume ----------------------------------------------------------------------------------------

TEST(VoiceRecovery, ResumeWithReplayBeforeAndAfterResumed) {
  for (const bool before : {true, false}) {
    Rig r;
    r.connect();
    const Generation media = r.session.media_generation();
    r.close(std::nullopt);
    EXPECT_EQ(r.session.state(), State::Reconnecting);
    r.open();
    r.hello();
    const auto replay = [&] {
      r.text(R"({"op":5,"d":{"user_id":"5","ssrc":50,"speaking":1},"seq":7})");
      r.session.on_binary(r.session.socket_generation(), Bytes{0, 8, 27, 1}, r.now, r.out);
    };
    if (before) {
      replay();
    }
    r.text(R"({"op":9,"d":null})");
    if (!before) {
      replay();
    }
    EXPECT_EQ(r.session.state(), State::Connected);
    EXPECT_EQ(r.session.ssrcs().user_of(50), 5u);
    EXPECT_EQ(r.session.last_seq(), 8);
    EXPECT_EQ(r.session.media_generation(), media);
    EXPECT_EQ(r.last<MapSsrc>().generation, media);
    EXPECT_NE(r.session.socket_generation(), media);
    EXPECT_EQ(r.count<ForgetAll>(), 1u);
    EXPECT_EQ(r.count<UseKey>(), 1u);
    EXPECT_EQ(r.count<OpenUdp>(), 1u);
    EXPECT_EQ(r.session.counters().resumes, 1u);
  }
}

TEST(VoiceRecovery, PingsGoOnWhileResuming) {
  Rig r;
  r.connect();
  r.close(1006);
  const auto before = r.count<SendDatagram>();
  r.advance(6s);
  EXPECT_EQ(r.count<SendDatagram>(), before + 1);
}

TEST(VoiceRecovery, ResumeBacksOffAndEndsInOneFailThatNamesTheValues) {
  Rig r;
  r.connect();
  std::vector<Duration> waits;
  r.close(1006);
  while (r.session.state() == State::Reconnecting && waits.size() < 10) {
    const Time from = r.now;
    const auto opened = r.count<OpenWebSocket>();
    r.socket_error(SocketError::Handshake);
    if (r.session.state() != State::Reconnecting) {
      break;
    }
    while (r.count<OpenWebSocket>() == opened) {
      r.advance(100ms);
    }
    waits.push_back(r.now - from);
  }
  EXPECT_EQ(waits, (std::vector<Duration>{1s, 2s, 5s})) << "after the first, which is at once";
  ASSERT_EQ(r.count<Fail>(), 1u);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::StaleCredentials);
  for (const char* name : {"endpoint", "session-id", "token"}) {
    EXPECT_NE(r.last<Fail>().message.find(name), std::string::npos) << name;
  }
  EXPECT_EQ(r.count<CloseUdp>(), 1u);
  EXPECT_FALSE(r.session.next_deadline());
}

// A server that was back waited up to five seconds for us.
TEST(VoiceRecovery, AServerThatIsBackIsNoticedWithin400Milliseconds) {
  Rig r;
  r.connect();
  const auto states = r.count<StateChanged>();
  const auto progress = r.count<Progress>();
  r.close(1006);
  const Time lost = r.now;
  while (r.now - lost < 25s) {
    const auto opened = r.count<OpenWebSocket>();
    r.socket_error(SocketError::Unreachable);
    ASSERT_EQ(r.session.state(), State::Reconnecting);
    r.advance(359ms);
    ASSERT_EQ(r.count<OpenWebSocket>(), opened) << "that would be too often";
    r.advance(41ms);
    ASSERT_EQ(r.count<OpenWebSocket>(), opened + 1);
  }
  EXPECT_EQ(r.count<StateChanged>(), states + 1) << "one message for one outage";
  EXPECT_EQ(r.count<Progress>(), progress + 1);
  r.open();
  r.hello();
  r.text(R"({"op":9,"d":null})");
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.count<UseKey>(), 1u) << "resumed";
}

TEST(VoiceRecovery, ASessionNobodyListensForIsGivenUpAfterHalfAMinute) {
  Options options;
  options.can_renew = true;
  Rig r(options);
  r.connect();
  r.close(1006);
  const Time lost = r.now;
  while (r.session.state() == State::Reconnecting && r.now - lost < 60s) {
    r.socket_error(SocketError::Unreachable);
    r.advance(400ms);
  }
  EXPECT_EQ(r.session.state(), State::AwaitingCredentials);
  EXPECT_GE(r.now - lost, 30s);
  EXPECT_LE(r.now - lost, 31s);
  EXPECT_EQ(r.count<NeedCredentials>(), 1u);
  // The server that is named next may not be there yet, either.
  r.session.renew(good_credentials(), r.now, r.out);
  for (int i = 0; i < 20; ++i) {
    const auto opened = r.count<OpenWebSocket>();
    r.socket_error(SocketError::Unreachable);
    r.advance(400ms);
    ASSERT_EQ(r.count<OpenWebSocket>(), opened + 1);
  }
}

TEST(VoiceRecovery, TwoHeartbeatsShowThatAConnectionHolds) {
  EXPECT_EQ(stable_after(13750ms), 27500ms);
  EXPECT_EQ(stable_after(41250ms), 30s);
  EXPECT_EQ(stable_after(1ms), 250ms) << "a server cannot ask to be stormed";
}

TEST(VoiceRecovery, ServerThatAcceptsAndDropsInACircleIsNotTriedForEver) {
  Rig r;
  r.connect();
  int rounds = 0;
  while (r.session.state() != State::Failed && rounds < 50) {
    ++rounds;
    r.close(1006);
    r.advance(5s);
    r.open();
    r.text(R"({"op":9})");
  }
  EXPECT_EQ(rounds, 5);
}

TEST(VoiceRecovery, TriesAreForgottenAfterAStableTime) {
  Rig r;
  r.connect();
  for (int i = 0; i < 20; ++i) {
    r.stay(60s);
    r.close(1006);
    ASSERT_EQ(r.session.state(), State::Reconnecting);
    r.open();
    r.hello();
    r.text(R"({"op":9})");
    ASSERT_EQ(r.session.state(), State::Connected) << i;
  }
}

TEST(VoiceRecovery, ResumeThatIsNotAnsweredIsTriedAgain) {
  Rig r;
  r.connect();
  r.close(1006);
  r.open();
  r.hello();
  r.advance(10s);
  EXPECT_EQ(r.last<CloseWebSocket>().code, 4000);
  r.advance(1s);
  EXPECT_EQ(r.count<OpenWebSocket>(), 3u);
}

TEST(VoiceRecovery, LossBeforeTheDescriptionIdentifiesAgain) {
  Rig r;
  r.identify();
  r.ready();
  r.text(R"({"op":11,"d":{"user_ids":["5"]},"seq":3})");
  r.close(1006);
  EXPECT_EQ(r.count<CloseUdp>(), 1u);
  r.open();
  EXPECT_EQ(r.sent(0).size(), 2u);
  EXPECT_TRUE(r.sent(7).empty());
  EXPECT_EQ(r.session.last_seq(), -1);
  EXPECT_EQ(r.count<ForgetAll>(), 2u);
  EXPECT_FALSE(r.session.ssrcs().is_present(5));
}

// Time-outs -------------------------------------------------------------------------------------

TEST(VoiceRecovery, EachStepThatIsNotAnsweredIsNamed) {
  const auto run = [](int steps, std::string_view word) {
    Rig r;
    r.session.start(r.now, r.out);
    if (steps > 0) {
      r.open();
      r.hello();
    }
    if (steps > 1) {
      r.ready();
      r.discovery_reply();
    }
    r.advance(9999ms);
    EXPECT_EQ(r.count<Fail>(), 0u) << word;
    r.advance(1ms);
    ASSERT_EQ(r.count<Fail>(), 1u) << word;
    EXPECT_EQ(r.last<Fail>().kind, FailKind::Timeout);
    EXPECT_NE(r.last<Fail>().message.find(word), std::string::npos) << r.last<Fail>().message;
    EXPECT_EQ(r.count<CloseWebSocket>(), 1u);
  };
  run(0, "WebSocket");
  run(1, "Ready");
  run(2, "session description");
}

TEST(VoiceRecovery, ErrorsOfTheFirstConnection) {
  Rig tls;
  tls.session.start(tls.now, tls.out);
  tls.socket_error(SocketError::Tls);
  EXPECT_EQ(tls.last<Fail>().kind, FailKind::Tls) << "trying again cannot help";
  EXPECT_EQ(tls.last<Fail>().debug, "library text");

  Rig none;
  none.session.start(none.now, none.out);
  none.socket_error(SocketError::NoTls);
  EXPECT_EQ(none.last<Fail>().kind, FailKind::Tls);
  EXPECT_NE(none.last<Fail>().message.find("package glib-networking"), std::string::npos);

  Rig timeout;
  timeout.session.start(timeout.now, timeout.out);
  timeout.socket_error(SocketError::Timeout);
  EXPECT_EQ(timeout.last<Fail>().kind, FailKind::Timeout);

  for (const auto error : {SocketError::Unreachable, SocketError::Handshake}) {
    Rig r;
    r.session.start(r.now, r.out);
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(r.count<Fail>(), 0u);
      r.socket_error(error);
      r.advance(5s);
    }
    EXPECT_EQ(r.last<Fail>().kind, FailKind::Unreachable);
    EXPECT_EQ(r.count<OpenWebSocket>(), 5u);
    EXPECT_NE(r.last<Fail>().message.find("voice1.discord.media:2048"), std::string::npos);
  }
}

TEST(VoiceRecovery, BadCredentialsNeverReachTheNetwork) {
  Credentials c = good_credentials();
  c.token = SecretString();
  Rig r({}, c);
  r.session.start(r.now, r.out);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::Settings);
  EXPECT_EQ(r.count<OpenWebSocket>(), 0u);
}

// Generations, stop, renew ----------------------------------------------------------------------

// disgo#603: late callbacks of the old connection corrupted the new one.
TEST(VoiceRecovery, EventsOfOlderGenerationsAreIgnored) {
  Rig r;
  r.connect();
  const Generation old = r.session.socket_generation();
  r.session.renew(good_credentials(), r.now, r.out);
  r.open();
  ASSERT_NE(r.session.socket_generation(), old);
  const std::size_t actions = r.out.size();
  r.session.on_text(old, R"({"op":11,"d":{"user_ids":["9"]},"seq":5})", r.now, r.out);
  r.session.on_binary(old, Bytes{0, 1, 25}, r.now, r.out);
  r.session.on_socket_open(old, r.now, r.out);
  r.session.on_socket_closed(old, 4014, "", r.now, r.out);
  r.session.on_socket_error(old, SocketError::Tls, "", r.now, r.out);
  r.session.on_datagram(old, *rtp::make_discovery_reply(77, "198.51.100.4", 1), r.now, r.out);
  r.session.on_udp_failed(old, "", r.now, r.out);
  EXPECT_EQ(r.out.size(), actions);
  EXPECT_EQ(r.session.last_seq(), -1);
  EXPECT_EQ(r.session.counters().stale, 7u);
  EXPECT_EQ(r.session.state(), State::Identifying);
}

TEST(VoiceRecovery, EventsBeforeTheSocketIsOpenAndASecondOpenAreCounted) {
  Rig r;
  r.session.start(r.now, r.out);
  r.ready();
  r.session.on_binary(r.session.socket_generation(), Bytes{0, 1, 25}, r.now, r.out);
  r.open();
  r.open();
  EXPECT_EQ(r.session.counters().unexpected, 3u);
  EXPECT_EQ(r.sent(0).size(), 1u);
}

TEST(VoiceRecovery, StopInEveryState) {
  const std::vector<std::pair<State, std::function<void(Rig&)>>> ways = {
      {State::Idle, [](Rig&) {}},
      {State::Connecting, [](Rig& r) { r.session.start(r.now, r.out); }},
      {State::Identifying, [](Rig& r) { r.identify(); }},
      {State::Discovering,
       [](Rig& r) {
         r.identify();
         r.ready();
       }},
      {State::Selecting,
       [](Rig& r) {
         r.identify();
         r.ready();
         r.discovery_reply();
       }},
      {State::Connected, [](Rig& r) { r.connect(); }},
      {State::Reconnecting,
       [](Rig& r) {
         r.connect();
         r.close(1006);
         r.socket_error(SocketError::Unreachable);
       }},
      {State::AwaitingCredentials,
       [](Rig& r) {
         r.connect();
         r.close(4006);
       }},
      {State::Failed,
       [](Rig& r) {
         r.connect();
         r.close(4017);
       }},
  };
  for (const auto& [state, reach] : ways) {
    Rig r(Options{.can_renew = true});
    reach(r);
    ASSERT_EQ(r.session.state(), state);
    const auto open_udp = r.count<OpenUdp>() - r.count<CloseUdp>();
    r.session.stop(r.now, r.out);
    EXPECT_EQ(r.session.state(), State::Stopped);
    EXPECT_EQ(r.last<StateChanged>().state, State::Stopped);
    EXPECT_EQ(r.count<OpenUdp>(), r.count<CloseUdp>()) << to_string(state) << " " << open_udp;
    EXPECT_FALSE(r.session.next_deadline()) << to_string(state);
    if (state == State::Connected || state == State::Identifying) {
      EXPECT_EQ(r.last<CloseWebSocket>().code, 1000);
    }
    const std::size_t actions = r.out.size();
    r.session.start(r.now, r.out);
    r.session.stop(r.now, r.out);
    r.session.renew(good_credentials(), r.now, r.out);
    r.open();
    r.ready();
    r.close(1006);
    r.discovery_reply();
    r.session.on_timer(r.now + 100s, r.out);
    EXPECT_EQ(r.out.size(), actions) << to_string(state);
  }
}

TEST(VoiceRecovery, RenewMakesAWholeNewConnection) {
  Rig r;
  r.connect();
  r.text(R"({"op":5,"d":{"user_id":"5","ssrc":50},"seq":7})");
  Credentials moved = good_credentials();
  moved.endpoint = "voice2.discord.media:443";
  moved.token = SecretString("token-b");
  r.session.renew(moved, r.now, r.out);
  EXPECT_EQ(r.last<CloseWebSocket>().code, 1000);
  EXPECT_EQ(r.count<CloseUdp>(), 1u);
  EXPECT_EQ(r.last<OpenWebSocket>().url, "wss://voice2.discord.media:443/?v=8");
  r.open();
  EXPECT_EQ(r.last<ForgetAll>().generation, r.session.socket_generation());
  EXPECT_EQ(r.sent(0).back()["d"]["token"], "token-b");
  EXPECT_EQ(r.session.last_seq(), -1);
  EXPECT_FALSE(r.session.ssrcs().user_of(50));
  r.hello();
  r.ready();
  r.discovery_reply();
  r.description();
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.last<UseKey>().generation, r.session.media_generation());
}

TEST(VoiceRecovery, RenewGoesOnAfterAFail) {
  Rig r;
  r.connect();
  r.close(4006);
  ASSERT_EQ(r.session.state(), State::Failed);
  r.session.renew(good_credentials(), r.now, r.out);
  EXPECT_EQ(r.session.state(), State::Connecting);
}

TEST(VoiceRecovery, CredentialsThatNeverComeEndInOneFail) {
  Rig r(Options{.can_renew = true});
  r.connect();
  r.close(4006);
  EXPECT_EQ(r.count<NeedCredentials>(), 1u);
  r.advance(59s);
  EXPECT_EQ(r.count<Fail>(), 0u);
  r.advance(1s);
  ASSERT_EQ(r.count<Fail>(), 1u);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::StaleCredentials);
}

// eris#255: 4006 answered with hundreds of tries.
TEST(VoiceRecovery, RejoinsAreBoundedAndBackOff) {
  Rig r(Options{.can_renew = true});
  r.identify();
  std::vector<Duration> waits;
  for (int i = 0; i < 20 && r.session.state() != State::Failed; ++i) {
    const auto asked = r.count<NeedCredentials>();
    const Time from = r.now;
    r.close(4006);
    while (r.count<NeedCredentials>() == asked && r.session.state() != State::Failed) {
      r.advance(500ms);
    }
    if (r.session.state() != State::Failed) {
      waits.push_back(r.now - from);
      r.session.renew(good_credentials(), r.now, r.out);
      r.open();
    }
  }
  EXPECT_EQ(waits, (std::vector<Duration>{0s, 2s, 5s, 10s, 30s}));
  EXPECT_EQ(r.count<Fail>(), 1u);
}

TEST(VoiceRecovery, ResumeThatIsRefusedIsNotTriedAgain) {
  Rig r;
  r.connect();
  r.close(1006);
  r.open();
  r.close(4006);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::StaleCredentials);
  r.advance(600s);
  EXPECT_EQ(r.sent(7).size(), 1u);
}

TEST(VoiceRecovery, ALongCallBeforeDoesNotMakeTheTriesEndless) {
  Rig r;
  r.connect();
  r.stay(120s);
  r.close(1006);
  int tries = 0;
  while (r.session.state() == State::Reconnecting && tries < 50) {
    ++tries;
    r.socket_error(SocketError::Handshake);
    r.advance(5s);
  }
  EXPECT_EQ(tries, 4);
  EXPECT_EQ(r.count<Fail>(), 1u);
}

TEST(VoiceRecovery, RejoinsAreForgottenAfterAStableTime) {
  Rig r(Options{.can_renew = true});
  r.connect();
  for (std::size_t i = 1; i <= 20; ++i) {
    r.stay(60s);
    r.close(4006);
    ASSERT_EQ(r.count<NeedCredentials>(), i) << "asked at once, days apart as it is";
    r.session.renew(good_credentials(), r.now, r.out);
    r.open();
    r.hello();
    r.ready();
    r.discovery_reply();
    r.description();
    ASSERT_EQ(r.session.state(), State::Connected);
  }
}

TEST(VoiceRecovery, DiscoveryReplyOfTheFormerMediaConnectionIsStale) {
  Rig r;
  r.connect();
  const Generation old = r.session.media_generation();
  r.session.renew(good_credentials(), r.now, r.out);
  r.open();
  r.ready();
  r.session.on_datagram(old, *rtp::make_discovery_reply(77, "198.51.100.4", 1), r.now, r.out);
  r.session.on_udp_failed(old, "", r.now, r.out);
  EXPECT_EQ(r.session.state(), State::Discovering);
  EXPECT_EQ(r.session.counters().stale, 2u);
}

// A network that takes the UDP path away in a call that has worked is worth new values.
TEST(VoiceRecovery, LaterFailuresOfAHandshakeAskForNewValues) {
  for (const bool discovery : {true, false}) {
    Rig r(Options{.can_renew = true});
    r.connect();
    r.session.renew(good_credentials(), r.now, r.out);
    r.open();
    if (discovery) {
      r.ready();
    }
    r.advance(10s);
    EXPECT_EQ(r.session.state(), State::AwaitingCredentials);
    EXPECT_EQ(r.count<NeedCredentials>(), 1u);
    EXPECT_EQ(r.count<Fail>(), 0u);
  }
}
