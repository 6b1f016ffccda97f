#include "server.hpp"
#include "raw_client.hpp"

#include "rtp/discovery.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <set>

using namespace discord;
using namespace discord::loopback;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr const char* gcm = "aead_aes256_gcm_rtpsize";

PcmPtr tone(double seconds, double hz) {
  auto pcm = std::make_shared<Pcm>();
  const auto frames = static_cast<std::size_t>(seconds * sample_rate);
  for (std::size_t i = 0; i < frames; ++i) {
    pcm->samples.push_back(static_cast<std::int16_t>(
        8000 * std::sin(2 * M_PI * hz * static_cast<double>(i) / sample_rate)));
  }
  return pcm;
}

TalkerOptions talker(std::uint64_t user, double seconds, Announce announce) {
  TalkerOptions t;
  t.speaker.user_id = user;
  t.speaker.name = "Tester";
  t.speaker.spurts = {{tone(seconds, 300), Duration{0}, 0, 0}};
  t.announce = announce;
  return t;
}

Options options() {
  Options o;
  o.seed = 7;
  CallOptions call;
  call.guild_id = 11;
  call.channel_id = 12;
  call.lead = 20ms;
  call.talkers = {talker(101, 0.4, Announce::early), talker(102, 0.4, Announce::normal),
                  talker(103, 0.4, Announce::late)};
  o.calls.push_back(std::move(call));
  return o;
}

class LoopbackServer : public testing::Test {
 protected:
  void run(Options o) {
    server = std::make_unique<Server>(std::move(o));
    const auto failed = server->start();
    ASSERT_FALSE(failed) << *failed;
    url = "ws://" + server->endpoint() + "/?v=8";
  }
  // Connects, sends `m` instead of anything sensible, returns the close code.
  int close_after(const json& m) {
    RawClient c;
    EXPECT_TRUE(c.connect(url));
    c.send(m);
    return c.await_close();
  }
  json identify_with(const char* key, json value) {
    RawClient c;
    json m = c.identify_message(server->credentials());
    m["d"][key] = std::move(value);
    return m;
  }

  std::unique_ptr<Server> server;
  std::string url;
};

}  // namespace

TEST_F(LoopbackServer, GivesAnAuthenticPacketToAClientThatDoesEverythingRight) {
  run(options());
  for (const char* mode : {gcm, "aead_xchacha20_poly1305_rtpsize"}) {
    RawClient c;
    ASSERT_TRUE(c.connect(url));
    ASSERT_TRUE(c.join(server->add_client(), mode));
    const auto packet = c.await_audio();
    ASSERT_TRUE(packet) << mode;
    EXPECT_EQ(packet->header.payload_type, 120);
    EXPECT_EQ(c.not_authentic, 0u);
    if (mode == gcm) {
      EXPECT_TRUE(packet->header.extension);
      EXPECT_TRUE(packet->extension.audio_level);
      EXPECT_EQ(packet->extension.speaker, 2);
    }
  }
}

TEST_F(LoopbackServer, AnnouncesSomeSpeakersBeforeTheSessionDescription) {
  run(options());
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  const json normal = c.await(5);
  ASSERT_FALSE(normal.is_null());
  EXPECT_EQ(normal["d"]["user_id"], "102");
  std::vector<int> ops;
  std::vector<int> seqs;
  bool null_platform = false;
  for (const json& m : c.messages) {
    ops.push_back(m["op"]);
    if (m.contains("seq")) {
      seqs.push_back(m["seq"]);
    }
    null_platform = null_platform || (m["op"] == 20 && m["d"]["platform"].is_null());
  }
  EXPECT_TRUE(c.messages[0]["d"]["heartbeat_interval"].is_number_float());
  EXPECT_FALSE(c.messages[0].contains("seq"));
  const auto at = [&](int op) { return std::find(ops.begin(), ops.end(), op) - ops.begin(); };
  EXPECT_LT(at(2), at(11));
  EXPECT_LT(at(5), at(4));
  EXPECT_LT(at(18), at(4));
  EXPECT_LT(at(99), at(4));
  EXPECT_TRUE(null_platform);
  ASSERT_GT(seqs.size(), 8u);
  EXPECT_EQ(seqs[0], 65530);
  EXPECT_EQ(seqs[5], 65535);
  EXPECT_EQ(seqs[6], 0) << "the counter must wrap through 0 while a client joins";
}

TEST_F(LoopbackServer, HoldsBackALateAnnouncementButNotTheMedia) {
  run(options());
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  const std::uint32_t late = server->truth()[2].ssrc;
  std::optional<RawClient::Received> packet;
  do {
    packet = c.await_audio();
  } while (packet && packet->header.ssrc != late);
  ASSERT_TRUE(packet);
  for (const json& m : c.messages) {
    EXPECT_FALSE(m["op"] == 5 && m["d"]["ssrc"] == late);
  }
  EXPECT_TRUE(server->command({{"do", "announce"}, {"user_id", "103"}})["ok"]);
  json m;
  do {
    m = c.await(5);
  } while (!m.is_null() && m["d"]["user_id"] != "103");
  ASSERT_FALSE(m.is_null());
  EXPECT_EQ(m["d"]["ssrc"], late);
}

TEST_F(LoopbackServer, SendsNoMediaBeforeOpcode5) {
  run(options());
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  c.send(c.identify_message(server->credentials()));
  const json ready = c.await(2);
  ASSERT_FALSE(ready.is_null());
  ASSERT_TRUE(server->wait([](const Status& s) { return s.identified == 1; }, 5s));
  EXPECT_EQ(server->status().packets, 0u);
  EXPECT_FALSE(server->status().finished);
}

TEST_F(LoopbackServer, TruthSaysWhatWasSent) {
  Options o = options();
  o.calls[0].network.loss = 20;
  o.calls[0].network.duplicate = 10;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  ASSERT_TRUE(server->wait([](const Status& s) { return s.finished; }, 10s));
  std::map<std::pair<std::uint32_t, std::uint16_t>, Bytes> got;
  unsigned datagrams = 0;
  unsigned expected = 0;
  const auto truth = server->truth();
  for (const SpeakerTruth& t : truth) {
    EXPECT_EQ(t.packets, t.delivered + t.lost);
    EXPECT_GT(t.lost, 0u);
    EXPECT_GT(t.spurts.at(0).start_ns, 0);
    for (const FrameRecord& r : t.records) {
      expected += r.copies;
    }
  }
  while (datagrams < expected) {
    const auto p = c.await_audio();
    ASSERT_TRUE(p) << "after " << datagrams << " of " << expected;
    got[{p->header.ssrc, p->header.sequence}] = p->payload;
    ++datagrams;
  }
  for (const SpeakerTruth& t : truth) {
    for (const FrameRecord& r : t.records) {
      const auto it = got.find({r.ssrc, r.sequence});
      ASSERT_EQ(it != got.end(), r.delivered());
      if (it != got.end()) {
        EXPECT_EQ(it->second, r.opus);
      }
    }
  }
}

TEST_F(LoopbackServer, RefusesWhatTheRealOneRefuses) {
  run(options());
  EXPECT_EQ(close_after({{"op", 77}, {"d", nullptr}}), 4001);
  EXPECT_EQ(close_after({{"d", nullptr}}), 4002);
  EXPECT_EQ(close_after({{"op", 1}, {"d", json::object()}}), 4003);
  EXPECT_EQ(close_after({{"op", 5}, {"d", json::object()}}), 4003);
  EXPECT_EQ(close_after(identify_with("token", "wrong")), 4004);
  EXPECT_EQ(close_after(identify_with("token", 5)), 4002);
  EXPECT_EQ(close_after(identify_with("session_id", "wrong")), 4006);
  EXPECT_EQ(close_after(identify_with("user_id", "1")), 4006);
  EXPECT_EQ(close_after(identify_with("server_id", "1")), 4006);
  EXPECT_EQ(close_after(identify_with("server_id", 11)), 4002) << "snowflakes are strings";
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  c.send_text("{");
  EXPECT_EQ(c.await_close(), 4002);
  ASSERT_TRUE(c.connect("ws://" + server->endpoint() + "/"));
  EXPECT_EQ(c.await_close(), 4012);
  ASSERT_TRUE(c.connect("ws://" + server->endpoint() + "/?v=3"));
  EXPECT_EQ(c.await_close(), 4012);
}

TEST_F(LoopbackServer, RefusesAHeartbeatThatIsNotVersion8) {
  run(options());
  for (const json& d : {json{{"t", 1.5}, {"seq_ack", -1}}, json{{"t", "1"}, {"seq_ack", -1}},
                        json{{"t", 1}}, json(1), json{{"t", 1}, {"seq_ack", nullptr}}}) {
    EXPECT_EQ(close_after({{"op", 3}, {"d", d}}), 4020) << d;
  }
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  c.send({{"op", 3}, {"d", {{"t", 1234}, {"seq_ack", -1}}}});
  EXPECT_EQ(c.await(6)["d"]["t"], 1234);
  c.send(c.identify_message(server->credentials()));
  ASSERT_FALSE(c.await(99).is_null());
  c.send({{"op", 3}, {"d", {{"t", 5}, {"seq_ack", 65531}}}});
  EXPECT_FALSE(c.await(6).is_null());
  c.send({{"op", 3}, {"d", {{"t", 6}, {"seq_ack", 4000}}}});
  EXPECT_FALSE(c.await(6).is_null());
  EXPECT_TRUE(server->wait([](const Status& s) { return s.complaints.size() == 1; }, 5s))
      << "an acknowledgement of nothing is noticed";
  c.send({{"op", 3}, {"d", {{"t", 1.0}, {"seq_ack", 0}}}});
  EXPECT_EQ(c.await_close(), 4020);
}

TEST_F(LoopbackServer, RefusesMistakesAfterIdentify) {
  Options o = options();
  o.session.modes = {transport::Mode::aead_xchacha20_poly1305_rtpsize};
  run(o);
  const auto after_identify = [&](const json& m) {
    RawClient c;
    EXPECT_TRUE(c.connect(url));
    const json identify = c.identify_message(server->add_client());
    c.send(identify);
    EXPECT_FALSE(c.await(2).is_null());
    c.send(m.is_null() ? identify : m);
    return c.await_close();
  };
  const auto select = [](json data, const char* protocol = "udp") {
    return json{{"op", 1}, {"d", {{"protocol", protocol}, {"data", std::move(data)}}}};
  };
  EXPECT_EQ(after_identify(json()), 4005);
  EXPECT_EQ(after_identify({{"op", 8}, {"d", nullptr}}), 4001);
  EXPECT_EQ(after_identify(select({{"address", "127.0.0.1"}, {"port", 1}, {"mode", gcm}})), 4016);
  EXPECT_EQ(
      after_identify(select(
          {{"address", "localhost"}, {"port", 1}, {"mode", "aead_xchacha20_poly1305_rtpsize"}})),
      4020);
  EXPECT_EQ(after_identify(select(json::object(), "webrtc")), 4012);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  c.send(c.identify_message(server->add_client()));
  ASSERT_FALSE(c.await(2).is_null());
  const std::string text = R"({"op":3})";
  c.send_binary(as_bytes(text));
  EXPECT_EQ(c.await_close(), 4002) << "JSON in a binary frame";
}

TEST_F(LoopbackServer, DemandsEndToEndEncryptionOnRequest) {
  Options o = options();
  o.session.require_dave = true;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  c.send(c.identify_message(server->credentials(), 0));
  EXPECT_EQ(c.await_close(), 4017);
  json m = c.identify_message(server->credentials());
  m["d"].erase("max_dave_protocol_version");
  EXPECT_EQ(close_after(m), 4017);
  ASSERT_TRUE(c.connect(url));
  c.send(c.identify_message(server->credentials(), 1));
  EXPECT_FALSE(c.await(2).is_null());
}

TEST_F(LoopbackServer, ResumesAfterALostSocketAndReplaysWhatWasMissed) {
  for (const bool resumed_first : {false, true}) {
    Options o = options();
    o.session.resumed_first = resumed_first;
    o.calls[0].talkers[0].speaker.repeat = 1s;
    run(o);
    const Credentials who = server->credentials();
    RawClient c;
    ASSERT_TRUE(c.connect(url));
    ASSERT_TRUE(c.join(who, gcm));
    ASSERT_TRUE(c.await_audio());
    ASSERT_FALSE(c.await(5).is_null());
    const int ack = c.messages.back()["seq"];
    ASSERT_TRUE(server->command({{"do", "drop-socket"}})["ok"]);
    EXPECT_EQ(c.await_close(), 1006);
    ASSERT_TRUE(server->wait([](const Status& s) { return s.sockets_now == 0; }, 5s));
    ASSERT_TRUE(c.await_audio()) << "media goes on without the socket";
    ASSERT_TRUE(server->command({{"do", "leave"}, {"user_id", "102"}})["ok"]);

    ASSERT_TRUE(c.connect(url));
    const std::size_t before = c.messages.size();
    c.send({{"op", 7},
            {"d",
             {{"server_id", "11"},
              {"session_id", who.session_id},
              {"token", who.token},
              {"seq_ack", ack}}}});
    ASSERT_FALSE(c.await(resumed_first ? 13 : 9).is_null());
    std::vector<int> ops;
    for (std::size_t i = before; i < c.messages.size(); ++i) {
      ops.push_back(c.messages[i]["op"]);
    }
    EXPECT_EQ(ops, resumed_first ? (std::vector<int>{8, 9, 13}) : (std::vector<int>{8, 13, 9}));
    EXPECT_EQ(server->status().resumed, 1u);
    ASSERT_TRUE(c.await_audio());

    // Old credentials with Identify instead of Resume are refused.
    EXPECT_EQ(close_after(c.identify_message(who)), 4006);
  }
}

TEST_F(LoopbackServer, RefusesToResumeWhatItNoLongerHas) {
  Options o = options();
  o.session.resend_limit = 4;
  run(o);
  const Credentials who = server->credentials();
  const auto resume = [&](json seq_ack) {
    return json{{"op", 7},
                {"d",
                 {{"server_id", "11"},
                  {"session_id", who.session_id},
                  {"token", who.token},
                  {"seq_ack", std::move(seq_ack)}}}};
  };
  EXPECT_EQ(close_after(resume(-1)), 4006) << "no session yet";
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(who, gcm));
  ASSERT_FALSE(c.await(5).is_null());
  ASSERT_TRUE(server->command({{"do", "drop-socket"}})["ok"]);
  EXPECT_EQ(c.await_close(), 1006);
  EXPECT_EQ(close_after(resume(65530)), 4006) << "the messages after 65530 are gone";
}

TEST_F(LoopbackServer, ClosesOnCommandAndForgetsTheSession) {
  run(options());
  const Credentials who = server->credentials();
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(who, gcm));
  ASSERT_TRUE(server->command({{"do", "close"}, {"code", 4014}})["ok"]);
  EXPECT_EQ(c.await_close(), 4014);
  EXPECT_EQ(close_after(c.identify_message(who)), 4006);

  const json moved = server->command({{"do", "move"}});
  ASSERT_TRUE(moved["ok"]);
  EXPECT_NE(moved["credentials"]["token"], who.token);
  ASSERT_TRUE(c.connect(url));
  EXPECT_TRUE(c.join(server->credentials(), gcm));
}

TEST_F(LoopbackServer, AnswersOnlyCleanDiscovery) {
  Options o = options();
  o.udp.drop_discovery = 1;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm)) << "the second try is answered";
  EXPECT_EQ(server->status().udp.discovery, 2u);
  auto request = rtp::make_discovery_request(c.ssrc);
  request[20] = 1;
  c.send_datagram(request);
  EXPECT_TRUE(server->wait([](const Status& s) { return s.udp.bad_discovery == 1; }, 5s));
  c.send_datagram(rtp::make_discovery_request(c.ssrc + 77));
  EXPECT_TRUE(server->wait([](const Status& s) { return s.strangers == 1; }, 5s));
}

TEST_F(LoopbackServer, AnswersPingsAndStopsMediaForASilentClient) {
  Options o = options();
  o.calls[0].talkers[0].speaker.repeat = 500ms;
  o.udp.media_timeout = 300ms;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  c.send_datagram(rtp::make_ping(0xAABBCCDD));
  std::optional<std::uint32_t> pong;
  while (!pong) {
    const auto d = c.await_datagram();
    ASSERT_TRUE(d);
    pong = rtp::parse_ping_reply(*d);
  }
  EXPECT_EQ(*pong, 0xAABBCCDD);
  ASSERT_TRUE(server->wait([](const Status& s) { return s.udp.held_back > 0; }, 5s))
      << "nothing heard for longer than the limit: media must stop";
  const auto sent = server->status().udp.media_sent;
  c.send_datagram(rtp::make_ping(2));
  EXPECT_TRUE(server->wait([&](const Status& s) { return s.udp.media_sent > sent; }, 5s));
}

TEST_F(LoopbackServer, NoiseIsWhatItClaims) {
  Options o = options();
  o.noise.video = true;
  o.noise.rtcp = 50ms;
  o.noise.forged = 50;
  o.calls[0].talkers[0].speaker.repeat = 500ms;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  int audio = 0;
  while (c.not_audio < 3 || c.rtcp < 3 || c.not_authentic < 3 || audio < 3) {
    ASSERT_TRUE(c.await_audio());
    ++audio;
  }
}

TEST_F(LoopbackServer, RejoinAndReuseOfAnSsrc) {
  Options o = options();
  for (TalkerOptions& t : o.calls[0].talkers) {
    t.speaker.repeat = 450ms;
  }
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  const std::uint32_t before = server->truth()[0].ssrc;
  ASSERT_TRUE(server->command({{"do", "leave"}, {"user_id", "101"}})["ok"]);
  EXPECT_EQ(c.await(13)["d"]["user_id"], "101");
  ASSERT_TRUE(server->command({{"do", "rejoin"}, {"user_id", "101"}})["ok"]);
  const std::uint32_t after = server->truth()[0].ssrc;
  EXPECT_NE(before, after);
  EXPECT_EQ(c.await(11)["d"]["user_ids"][0], "101");
  EXPECT_EQ(c.await(5)["d"]["ssrc"], after);
  ASSERT_TRUE(server->command({{"do", "reuse-ssrc"}, {"user_id", "102"}, {"of", "101"}})["ok"]);
  const json again = c.await(5);
  EXPECT_EQ(again["d"]["ssrc"], after);
  EXPECT_EQ(again["d"]["user_id"], "102");
  std::optional<RawClient::Received> p;
  do {
    p = c.await_audio();
  } while (p && p->header.ssrc != after);
  EXPECT_TRUE(p);
}

TEST_F(LoopbackServer, ABadCommandIsAnsweredNotObeyed) {
  Options o = options();
  o.script = {{0ms, {{"do", "rejoin"}, {"user_id", "101"}, {"announce", "yes"}}}};
  run(o);
  for (const json& command :
       {json("leave"), json{{"do", 5}}, json{{"do", "unknown"}}, json{{"do", "leave"}},
        json{{"do", "close"}, {"code", 17}}, json{{"do", "forge"}, {"count", 0}},
        json{{"do", "send"}}, json{{"do", "leave"}, {"guild_id", "999"}},
        json{{"do", "rejoin"}, {"user_id", "101"}, {"announce", "yes"}}}) {
    const json answer = server->command(command);
    EXPECT_FALSE(answer["ok"]) << command;
    EXPECT_FALSE(answer["error"].get<std::string>().empty());
  }
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  EXPECT_TRUE(c.await_audio()) << "a bad command in the script must not end the server";
}

TEST_F(LoopbackServer, TruthAndStatusOutliveTheServer) {
  run(options());
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  ASSERT_TRUE(c.await_audio());
  server->stop();
  EXPECT_EQ(server->status().identified, 1u);
  EXPECT_GT(
      server->truth()[0].delivered + server->truth()[1].delivered + server->truth()[2].delivered,
      0u);
  EXPECT_FALSE(server->command({{"do", "drop-socket"}})["ok"]);
  EXPECT_NE(c.await_close(), 0);
}

TEST_F(LoopbackServer, RelaysOneClientToAnother) {
  run(options());
  RawClient a;
  RawClient b;
  ASSERT_TRUE(a.connect(url));
  ASSERT_TRUE(b.connect(url));
  ASSERT_TRUE(a.join(server->credentials(), gcm));
  ASSERT_TRUE(b.join(server->add_client(), "aead_xchacha20_poly1305_rtpsize"));
  ASSERT_TRUE(server->wait([](const Status& s) { return s.speaking == 2; }, 5s));
  const std::uint8_t frame[3] = {0xF8, 0xFF, 0xFE};
  rtp::PacketParts parts;
  parts.header.payload_type = 120;
  parts.header.sequence = 9;
  parts.header.ssrc = a.ssrc;
  parts.payload = frame;
  Bytes out(200);
  auto sealed = a.cipher->seal_rtp(parts, 0, out);
  ASSERT_TRUE(sealed);
  a.send_datagram(*sealed);
  std::optional<RawClient::Received> p;
  do {
    p = b.await_audio();
  } while (p && p->header.ssrc != a.ssrc);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->header.sequence, 9);
}

TEST_F(LoopbackServer, ClosesAClientWithoutHeartbeat) {
  Options o = options();
  o.session.heartbeat_interval_ms = 50;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  c.send(c.identify_message(server->credentials()));
  EXPECT_EQ(c.await_close(), 4009);
}

TEST_F(LoopbackServer, SpeaksTlsWithACertificateThatVerifies) {
  Options o = options();
  o.tls = true;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect("wss://" + server->tls_endpoint() + "/?v=8", server->ca_file()));
  EXPECT_FALSE(c.await(8).is_null());
  RawClient stranger;
  EXPECT_FALSE(stranger.connect("wss://" + server->tls_endpoint() + "/?v=8"))
      << "the system does not know this CA";
}

TEST_F(LoopbackServer, TheOtherModeIsATrap) {
  Options o = options();
  o.session.other_mode = true;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  EXPECT_EQ(c.cipher->mode(), transport::Mode::aead_xchacha20_poly1305_rtpsize);
  EXPECT_TRUE(c.await_audio()) << "the mode in the session description is the one in use";
}

TEST_F(LoopbackServer, SeveralCallsKeepTheirSpeakersApart) {
  Options o = options();
  CallOptions second;
  second.guild_id = 21;
  second.channel_id = 22;
  second.lead = 20ms;
  second.talkers = {talker(201, 0.4, Announce::early)};
  o.calls.push_back(std::move(second));
  run(o);
  RawClient a;
  RawClient b;
  ASSERT_TRUE(a.connect(url));
  ASSERT_TRUE(b.connect(url));
  ASSERT_TRUE(a.join(server->credentials(11), gcm));
  ASSERT_TRUE(b.join(server->credentials(21), gcm));
  ASSERT_TRUE(server->wait([](const Status& s) { return s.finished; }, 10s));
  const std::uint32_t theirs = server->truth(21)[0].ssrc;
  for (int i = 0; i < 20; ++i) {
    const auto pa = a.await_audio();
    const auto pb = b.await_audio();
    ASSERT_TRUE(pa && pb);
    EXPECT_NE(pa->header.ssrc, theirs);
    EXPECT_EQ(pb->header.ssrc, theirs);
  }
}

TEST_F(LoopbackServer, StallHoldsAndPauseLoses) {
  Options o = options();
  o.calls[0].talkers[0].speaker.repeat = 450ms;
  run(o);
  RawClient c;
  ASSERT_TRUE(c.connect(url));
  ASSERT_TRUE(c.join(server->credentials(), gcm));
  ASSERT_TRUE(c.await_audio());
  ASSERT_TRUE(server->command({{"do", "pause"}, {"ms", 100}})["ok"]);
  EXPECT_TRUE(server->wait([](const Status& s) { return s.udp.held_back > 0; }, 5s));
  ASSERT_TRUE(server->command({{"do", "stall"}, {"ms", 100}})["ok"]);
  const auto sent = server->status().udp.media_sent;
  EXPECT_TRUE(server->wait([&](const Status& s) { return s.udp.media_sent > sent + 20; }, 5s));
}
