#include "voice_rig.hpp"

#include "transport/cipher.hpp"

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;

TEST(VoiceSession, WholeHandshake) {
  Rig r;
  r.session.start(r.now, r.out);
  EXPECT_EQ(r.last<OpenWebSocket>().url, "wss://voice1.discord.media:2048/?v=8");
  EXPECT_TRUE(r.sent(0).empty()) << "nothing may be sent before the WebSocket is open";

  r.open();
  const auto identify = r.sent(0);
  ASSERT_EQ(identify.size(), 1u);
  EXPECT_EQ(identify[0]["d"], (nlohmann::json{{"server_id", "2000"},
                                              {"user_id", "1000"},
                                              {"session_id", "session-a"},
                                              {"token", "token-a"},
                                              {"max_dave_protocol_version", 0}}));
  EXPECT_EQ(r.count<SendText>(), 0u) << "the token only travels in SendSecretText";

  r.hello();
  r.ready();
  EXPECT_EQ(r.session.state(), State::Discovering);
  EXPECT_EQ(r.session.ssrc(), 77u);
  EXPECT_EQ(r.last<OpenUdp>().address, "203.0.113.9");
  EXPECT_EQ(r.last<OpenUdp>().port, 50001);
  const auto request = rtp::make_discovery_request(77);
  EXPECT_EQ(r.last<SendDatagram>().bytes, Bytes(request.begin(), request.end()));

  r.discovery_reply();
  ASSERT_EQ(r.sent(1).size(), 1u);
  EXPECT_EQ(
      r.sent(1)[0]["d"],
      (nlohmann::json{
          {"protocol", "udp"},
          {"data",
           {{"address", "198.51.100.4"}, {"port", 40404}, {"mode", "aead_aes256_gcm_rtpsize"}}}}));

  r.description();
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.last<UseKey>().mode, transport::Mode::aead_aes256_gcm_rtpsize);
  EXPECT_EQ(r.last<UseKey>().key.view()[31], 31);
  ASSERT_EQ(r.sent(5).size(), 1u);
  EXPECT_EQ(r.sent(5)[0]["d"], (nlohmann::json{{"speaking", 0}, {"delay", 0}, {"ssrc", 77}}));
  const auto progress = r.all<Progress>();
  EXPECT_EQ(std::count_if(progress.begin(), progress.end(), [](auto& p) { return p.done; }), 1);
}

TEST(VoiceSession, ReadyBeforeHello) {
  Rig r;
  r.identify();
  r.ready();
  r.hello();
  r.discovery_reply();
  r.description();
  EXPECT_EQ(r.session.state(), State::Connected);
}

TEST(VoiceSession, NoHelloAtAllStillBeats) {
  Rig r;
  r.identify();
  r.ready();
  r.discovery_reply();
  r.description();
  r.advance(14s);
  EXPECT_EQ(r.sent(3).size(), 1u);
}

TEST(VoiceSession, TheModeOfTheDescriptionCountsNotTheOneAskedFor) {
  Rig r;
  r.identify();
  r.ready();
  r.discovery_reply();
  r.description("aead_xchacha20_poly1305_rtpsize");
  EXPECT_EQ(r.last<UseKey>().mode, transport::Mode::aead_xchacha20_poly1305_rtpsize);
  EXPECT_EQ(r.session.mode(), transport::Mode::aead_xchacha20_poly1305_rtpsize);
}

TEST(VoiceSession, AsksForXChaChaWhenAesIsNotWantedOrNotListed) {
  Rig unwanted(Options{.prefer_aes = false});
  unwanted.identify();
  unwanted.ready();
  unwanted.discovery_reply();
  EXPECT_EQ(unwanted.sent(1).at(0)["d"]["data"]["mode"], "aead_xchacha20_poly1305_rtpsize");

  for (const char* modes : {"null", "[]", "[\"other\",null,3]", "7"}) {
    Rig r;
    r.identify();
    r.text(std::string(R"({"op":2,"d":{"ssrc":77,"ip":"203.0.113.9","port":50001,"modes":)") +
           modes + "}}");
    r.discovery_reply();
    EXPECT_EQ(r.sent(1).at(0)["d"]["data"]["mode"], "aead_xchacha20_poly1305_rtpsize") << modes;
  }
}

TEST(VoiceSession, UnknownModeStopsWithASentenceThatNamesIt) {
  Rig r;
  r.identify();
  r.ready();
  r.discovery_reply();
  r.description("rot13\"\n");
  EXPECT_EQ(r.session.state(), State::Failed);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::UnsupportedMode);
  EXPECT_NE(r.last<Fail>().message.find("rot13??"), std::string::npos);
  EXPECT_EQ(r.count<UseKey>(), 0u);
}

TEST(VoiceSession, DaveThatWasNotOfferedStops) {
  Rig r;
  r.identify();
  r.ready();
  r.discovery_reply();
  r.description("aead_aes256_gcm_rtpsize", 1);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::DaveRequired);
  EXPECT_EQ(r.count<UseKey>(), 0u);
}

// kord#1008: everything between Ready and the session description was thrown away.
TEST(VoiceSession, MessagesBeforeTheDescriptionAreKept) {
  Rig r;
  r.identify();
  r.hello();
  r.text(R"({"op":11,"d":{"user_ids":["5","6","1000"]},"seq":1})");
  r.ready();
  r.text(R"({"op":18,"d":{"user_id":"5","flags":null},"seq":2})");
  r.text(R"({"op":20,"d":{"user_id":"5","platform":1},"seq":3})");
  r.text(R"({"op":5,"d":{"user_id":"5","ssrc":50,"speaking":1},"seq":4})");
  r.text(
      R"({"op":12,"d":{"user_id":"6","audio_ssrc":60,"video_ssrc":61,"streams":[{"ssrc":61,"rtx_ssrc":62,"active":true}]},"seq":5})");
  r.text(R"({"op":13,"d":{"user_id":"5"},"seq":6})");
  EXPECT_EQ(r.session.ssrcs().user_of(50), 5u);
  EXPECT_EQ(r.session.ssrcs().user_of(60), 6u);
  EXPECT_TRUE(r.session.ssrcs().is_video(61));
  EXPECT_TRUE(r.session.ssrcs().is_video(62));
  EXPECT_EQ(r.count<UserJoined>(), 2u) << "the own user is nobody who joins";
  EXPECT_EQ(r.last<UserLeft>().user, 5u);
  const auto info = r.all<UserInfo>();
  ASSERT_EQ(info.size(), 3u);
  EXPECT_FALSE(info[0].flags);
  EXPECT_EQ(info[1].platform, 1);
  EXPECT_EQ(info[2].video, true);
  EXPECT_EQ(r.session.last_seq(), 6);
  r.advance(1s);
  EXPECT_EQ(r.last<RetireSsrc>().ssrc, 50u);
}

TEST(VoiceSession, DescriptionBeforeDiscoveryIsDoneIsKept) {
  Rig r;
  r.identify();
  r.ready();
  r.description();
  EXPECT_EQ(r.session.state(), State::Discovering);
  r.discovery_reply();
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.sent(1).size(), 1u);
}

TEST(VoiceSession, DescriptionWithoutReadyIsCountedOnly) {
  Rig r;
  r.identify();
  r.description();
  EXPECT_EQ(r.session.state(), State::Identifying);
  EXPECT_EQ(r.count<UseKey>(), 0u);
  EXPECT_EQ(r.session.counters().unexpected, 1u);
}

TEST(VoiceSession, NewKeyInTheMiddleOfTheCallIsTaken) {
  Rig r;
  r.connect();
  r.description("aead_xchacha20_poly1305_rtpsize");
  EXPECT_EQ(r.count<UseKey>(), 2u);
  EXPECT_EQ(r.sent(5).size(), 1u) << "Speaking is sent once";
}

TEST(VoiceSession, SecondReadyAndUncalledForResumedAreCountedOnly) {
  Rig r;
  r.connect();
  r.ready();
  r.text(R"({"op":9,"d":null})");
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.count<OpenUdp>(), 1u);
  EXPECT_EQ(r.session.counters().unexpected, 2u);
  EXPECT_EQ(r.session.counters().resumes, 0u);
}

// Sequence numbers ------------------------------------------------------------------------------

// discord.js and JDA tested "truthy" and "> 0" and lost the number 0.
TEST(VoiceSession, SeqZeroIsANumber) {
  Rig r;
  r.connect();
  EXPECT_EQ(r.session.last_seq(), -1);
  r.text(R"({"op":99,"d":null,"seq":0})");
  EXPECT_EQ(r.session.last_seq(), 0);
  r.advance(14s);
  EXPECT_EQ(r.sent(3).back()["d"]["seq_ack"], 0);
}

TEST(VoiceSession, SeqWrapsAndTextAndBinaryShareIt) {
  Rig r;
  r.connect();
  r.text(R"({"op":11,"d":{"user_ids":[]},"seq":65534})");
  r.session.on_binary(r.session.socket_generation(), Bytes{0xFF, 0xFF, 25, 1, 2}, r.now, r.out);
  EXPECT_EQ(r.session.last_seq(), 65535);
  r.session.on_binary(r.session.socket_generation(), Bytes{0, 0, 27, 0}, r.now, r.out);
  EXPECT_EQ(r.session.last_seq(), 0);
  r.text(R"({"op":21,"d":{"transition_id":1,"protocol_version":1},"seq":1})");
  EXPECT_EQ(r.session.last_seq(), 1);
}

TEST(VoiceSession, MessagesWithoutSeqLeaveIt) {
  Rig r;
  r.connect();
  r.text(R"({"op":11,"d":{"user_ids":[]},"seq":9})");
  r.text(R"({"op":6,"d":{"t":1}})");
  r.text(R"({"op":6,"d":{"t":1},"seq":null})");
  EXPECT_EQ(r.session.last_seq(), 9);
  for (const char* bad : {"65536", "-1", "\"3\"", "3.5", "[]", "true"}) {
    r.text(std::string(R"({"op":6,"d":null,"seq":)") + bad + "}");
  }
  EXPECT_EQ(r.session.last_seq(), 9);
  EXPECT_EQ(r.session.counters().bad_seq, 6u);
}

TEST(VoiceSession, SeqOfUnusableMessagesStillCounts) {
  Rig r;
  r.connect();
  r.text(R"({"op":5,"d":{"user_id":3},"seq":12})");
  EXPECT_EQ(r.session.last_seq(), 12);
  EXPECT_EQ(r.session.counters().malformed[static_cast<std::size_t>(MessageError::BadField)], 1u);
}

// Heartbeats ------------------------------------------------------------------------------------

// interactions.py#1726: a text or fraction as t is answered with 4020.
TEST(VoiceSession, HeartbeatIsAnObjectWithAnInteger) {
  Rig r;
  r.connect();
  r.advance(13749ms);
  EXPECT_TRUE(r.sent(3).empty());
  r.advance(1ms);
  const auto beats = r.sent(3);
  ASSERT_EQ(beats.size(), 1u);
  ASSERT_TRUE(beats[0]["d"]["t"].is_number_unsigned());
  EXPECT_LT(beats[0]["d"]["t"].get<std::uint64_t>(), std::uint64_t{1} << 53);
  EXPECT_EQ(beats[0]["d"]["seq_ack"], -1);
}

TEST(VoiceSession, AcknowledgementGivesTheRoundTrip) {
  Rig r;
  r.connect();
  r.advance(13750ms);
  const auto t = r.sent(3).back()["d"]["t"].get<std::uint64_t>();
  r.advance(40ms);
  r.text(R"({"op":6,"d":{"t":1}})");
  EXPECT_FALSE(r.session.heartbeat_rtt()) << "not the number that was sent";
  r.text(R"({"op":6,"d":{"t":)" + std::to_string(t) + "}}");
  EXPECT_EQ(r.session.heartbeat_rtt(), 40ms);
}

TEST(VoiceSession, ServerMayAskForAHeartbeat) {
  Rig r;
  r.connect();
  r.text(R"({"op":3,"d":null})");
  EXPECT_EQ(r.sent(3).size(), 1u);
}

TEST(VoiceSession, AnsweredHeartbeatsKeepTheConnection) {
  Rig r;
  r.connect();
  r.stay(300s);
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.count<OpenWebSocket>(), 1u);
}

TEST(VoiceSession, ZombieIsClosedWithACodeThatKeepsTheSessionAndResumed) {
  Rig r;
  r.connect();
  r.text(R"({"op":11,"d":{"user_ids":[]},"seq":41})");
  r.advance(3 * 13750ms);
  EXPECT_EQ(r.sent(3).size(), 2u);
  EXPECT_EQ(r.last<CloseWebSocket>().code, 4000);
  EXPECT_EQ(r.session.counters().zombies, 1u);
  EXPECT_EQ(r.count<OpenWebSocket>(), 2u);
  EXPECT_EQ(r.count<CloseUdp>(), 0u) << "media goes on";
  r.open();
  ASSERT_EQ(r.sent(7).size(), 1u);
  EXPECT_EQ(r.sent(7)[0]["d"], (nlohmann::json{{"server_id", "2000"},
                                               {"session_id", "session-a"},
                                               {"token", "token-a"},
                                               {"seq_ack", 41}}));
  EXPECT_EQ(r.sent(0).size(), 1u);
}

// Discovery -------------------------------------------------------------------------------------

TEST(VoiceSession, DiscoveryIsRepeatedEverySecondThenFailsWithOneSentence) {
  Rig r;
  r.identify();
  r.ready();
  EXPECT_EQ(r.count<SendDatagram>(), 1u);
  r.advance(5s);
  EXPECT_EQ(r.count<SendDatagram>(), 6u);
  EXPECT_EQ(r.count<Fail>(), 0u);
  r.advance(1s);
  ASSERT_EQ(r.count<Fail>(), 1u);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::UdpBlocked);
  EXPECT_NE(r.last<Fail>().message.find("203.0.113.9:50001"), std::string::npos);
  EXPECT_EQ(r.count<CloseUdp>(), 1u);
  EXPECT_EQ(r.count<SendDatagram>(), 6u);
}

TEST(VoiceSession, DiscoveryGoesOnAfterALostReply) {
  Rig r;
  r.identify();
  r.ready();
  r.advance(2500ms);
  r.discovery_reply();
  EXPECT_EQ(r.session.state(), State::Selecting);
}

TEST(VoiceSession, ForeignDatagramsDoNotDisturbDiscovery) {
  Rig r;
  r.identify();
  r.ready();
  r.discovery_reply(78);
  r.datagram(Bytes{});
  r.datagram(Bytes(74, 0));
  r.datagram(Bytes{0x80, 0x78, 1, 2, 3, 4, 5, 6});
  r.datagram(rtp::make_discovery_request(77));
  EXPECT_EQ(r.session.state(), State::Discovering);
  EXPECT_EQ(r.session.counters().foreign_datagrams, 5u);
  r.discovery_reply();
  EXPECT_EQ(r.session.state(), State::Selecting);
}

TEST(VoiceSession, LateDiscoveryRepliesAreIgnoredQuietly) {
  Rig r;
  r.connect();
  r.discovery_reply();
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.sent(1).size(), 1u);
  EXPECT_EQ(r.session.counters().late_discovery, 1u);
}

TEST(VoiceSession, UdpSocketThatCannotBeOpenedIsUdpBlocked) {
  Rig r;
  r.identify();
  r.ready();
  r.session.on_udp_failed(r.session.media_generation(), "EMFILE", r.now, r.out);
  EXPECT_EQ(r.last<Fail>().kind, FailKind::UdpBlocked);
  EXPECT_EQ(r.last<Fail>().debug, "EMFILE");
}

// Keepalive -------------------------------------------------------------------------------------

// discord.js#9185: every connection died after 60 s because an answer was waited for.
TEST(VoiceSession, PingsEveryFiveSecondsWhateverIsAnswered) {
  Rig r;
  r.connect();
  const auto before = r.count<SendDatagram>();
  r.stay(600s);
  EXPECT_EQ(r.session.state(), State::Connected);
  ASSERT_EQ(r.count<SendDatagram>(), before + 120);
  EXPECT_EQ(r.last<SendDatagram>().bytes, (Bytes{0x13, 0x37, 0xCA, 0xFE, 0, 0, 0, 120}));
  EXPECT_FALSE(r.session.ping_rtt());
}

TEST(VoiceSession, PingAnswerGivesTheRoundTrip) {
  Rig r;
  r.connect();
  r.advance(5s);
  r.now += 30ms;
  r.datagram(Bytes{0x13, 0x37, 0xF0, 0x0D, 0, 0, 0, 9});
  EXPECT_FALSE(r.session.ping_rtt()) << "an answer to nothing we sent";
  r.datagram(Bytes{0x13, 0x37, 0xF0, 0x0D, 0, 0, 0, 1});
  EXPECT_EQ(r.session.ping_rtt(), 30ms);
}

// Priming ---------------------------------------------------------------------------------------

TEST(VoiceSession, PrimeSpeaksFiveSealedSilenceFrames) {
  Rig r(Options{.prime = true});
  r.connect();
  ASSERT_EQ(r.sent(5).size(), 1u);
  EXPECT_EQ(r.sent(5)[0]["d"]["speaking"], 1);
  r.advance(79ms);
  EXPECT_EQ(r.count<SendDatagram>(), 1u + 4) << "discovery, and a frame each 20 ms";
  EXPECT_EQ(r.sent(5).size(), 1u);
  r.advance(21ms);
  ASSERT_EQ(r.sent(5).size(), 2u);
  EXPECT_EQ(r.sent(5)[1]["d"]["speaking"], 0);

  auto datagrams = r.all<SendDatagram>();
  ASSERT_EQ(datagrams.size(), 6u);
  transport::Cipher cipher(*r.session.mode(), r.last<UseKey>().key);
  std::optional<std::uint16_t> sequence;
  std::uint32_t timestamp = 0;
  for (std::size_t i = 1; i < datagrams.size(); ++i) {
    auto opened = cipher.open_rtp(datagrams[i].bytes);
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(Bytes(opened->payload.begin(), opened->payload.end()), (Bytes{0xF8, 0xFF, 0xFE}));
    EXPECT_EQ(opened->header.ssrc, 77u);
    EXPECT_EQ(opened->header.payload_type, 120);
    if (sequence) {
      EXPECT_EQ(opened->header.sequence, static_cast<std::uint16_t>(*sequence + 1));
      EXPECT_EQ(opened->header.timestamp, timestamp + 960);
    }
    sequence = opened->header.sequence;
    timestamp = opened->header.timestamp;
  }
  r.advance(1s);
  EXPECT_EQ(r.count<SendDatagram>(), 6u);
}

TEST(VoiceSession, PrimeGoesOnAfterAResume) {
  Rig r(Options{.prime = true});
  r.connect();
  r.close(1006);
  r.advance(200ms);
  EXPECT_EQ(r.sent(5).size(), 1u) << "no WebSocket to say it on";
  r.open();
  r.text(R"({"op":9})");
  r.advance(200ms);
  ASSERT_EQ(r.sent(5).size(), 2u);
  EXPECT_EQ(r.count<SendDatagram>(), 6u);
  EXPECT_EQ(r.last<SendText>().generation, r.session.socket_generation());
}

// Garbage ---------------------------------------------------------------------------------------

TEST(VoiceSession, GarbageIsCountedByCauseAndNeverFatal) {
  Rig r;
  r.connect();
  const auto malformed = [&](MessageError e) {
    return r.session.counters().malformed[static_cast<std::size_t>(e)];
  };
  r.text("");
  r.text("{");
  r.text("\xff\xfe");
  EXPECT_EQ(malformed(MessageError::NotJson), 3u);
  r.text("[]");
  r.text("null");
  EXPECT_EQ(malformed(MessageError::NotObject), 2u);
  r.text("{}");
  r.text(R"({"op":"5"})");
  r.text(R"({"op":1.5})");
  EXPECT_EQ(malformed(MessageError::NoOpcode), 3u);
  r.text(std::string(5000, '['));
  EXPECT_EQ(malformed(MessageError::TooDeep), 1u);
  r.session.on_binary(r.session.socket_generation(), Bytes{0, 1}, r.now, r.out);
  EXPECT_EQ(malformed(MessageError::Short), 1u);
  for (int op = 0; op < 40; ++op) {
    for (const char* d :
         {"null", "3", "\"x\"", "[]", "{}", "[[1]]", "true", "{\"user_id\":null}"}) {
      if (op == 3) {
        continue;  // asks for a heartbeat whatever it carries
      }
      r.text("{\"op\":" + std::to_string(op) + ",\"d\":" + d + "}");
    }
  }
  EXPECT_GT(r.session.counters().unknown_opcodes, 0u);
  EXPECT_EQ(r.session.state(), State::Connected);
  EXPECT_EQ(r.count<Fail>(), 0u);
}
