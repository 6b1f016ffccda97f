// The server with end-to-end encryption, over real sockets.
#include "dave_client.hpp"
#include "raw_client.hpp"
#include "server.hpp"

#include <gtest/gtest.h>
#include <cmath>

using namespace discord;
using namespace discord::loopback;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr const char* gcm = "aead_aes256_gcm_rtpsize";
constexpr std::uint64_t channel = 12;

PcmPtr tone() {
  auto pcm = std::make_shared<Pcm>();
  for (int i = 0; i < sample_rate; ++i) {
    pcm->samples.push_back(static_cast<std::int16_t>(8000 * std::sin(0.04 * i)));
  }
  return pcm;
}

Time clock_now() {
  return Time(std::chrono::steady_clock::now().time_since_epoch());
}

// A client that takes part in the encryption, and keeps what it could open.
class Listener {
 public:
  struct Frame {
    std::uint32_t ssrc;
    std::uint16_t sequence;
    dave::FrameOutcome outcome;
    Bytes opus;
  };

  Listener(Server& server, const Credentials& who)
      : dave(who.user_id, channel, 5), server_(server), who_(who) {
    raw.on_text = [this](const json& m) {
      if (m["op"] == 5) {
        users[m["d"]["ssrc"]] = std::stoull(m["d"]["user_id"].get<std::string>());
      }
      dave.receive_text(m, clock_now());
      answer();
    };
    raw.on_binary = [this](ByteSpan bytes) {
      dave.receive_binary(bytes, clock_now());
      answer();
    };
  }
  bool join() {
    dave.begin(clock_now());
    return raw.connect("ws://" + server_.endpoint() + "/?v=8") && raw.join(who_, gcm);
  }
  void answer() {
    for (const SpeakerMember::Reply& reply : dave.take_replies()) {
      if (reply.op == 26 || reply.op == 28) {
        Bytes bytes{static_cast<std::uint8_t>(reply.op)};
        bytes.insert(bytes.end(), reply.body.begin(), reply.body.end());
        raw.send_binary(bytes);
      } else {
        raw.send(DaveClient::to_text(reply));
      }
    }
  }
  // Takes part until `done`; false when that takes ten seconds.
  bool listen_until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) {
        return false;
      }
      while (g_main_context_iteration(nullptr, FALSE)) {
      }
      if (auto packet = raw.try_audio(5)) {
        hear({packet->header.ssrc, packet->header.sequence, dave::FrameOutcome::no_key,
              std::move(packet->payload)});
      }
      dave.on_timer(clock_now());
      answer();
      for (Frame& frame : std::exchange(waiting, {})) {
        hear(std::move(frame));
      }
    }
    return true;
  }
  void hear(Frame frame) {
    if (frame.opus.empty()) {
      return;
    }
    const auto user = users.find(frame.ssrc);
    const auto opened = dave.open(user == users.end() ? 0 : user->second, frame.opus, clock_now());
    frame.outcome = opened.outcome;
    if (frame.outcome == dave::FrameOutcome::no_user ||
        frame.outcome == dave::FrameOutcome::no_key) {
      waiting.push_back(std::move(frame));
      return;
    }
    if (opened.deliverable()) {
      frame.opus.resize(opened.plain.size());
    }
    heard[{frame.ssrc, frame.sequence}] = std::move(frame);
  }
  bool settled() {
    const Status s = server_.status();
    return s.dave.settled && dave.encryption.epoch == s.dave.epoch &&
           dave.encryption.version == s.dave.version && !dave.session.recovering();
  }

  RawClient raw;
  DaveClient dave;
  std::map<std::uint32_t, std::uint64_t> users;
  std::map<std::pair<std::uint32_t, std::uint16_t>, Frame> heard;
  std::vector<Frame> waiting;

 private:
  Server& server_;
  Credentials who_;
};

class EncryptedServer : public testing::Test {
 protected:
  void run(const std::function<void(Options&)>& change = [](Options&) {}) {
    Options o;
    o.seed = 7;
    o.dave.delivery.version = 1;
    CallOptions call;
    call.guild_id = 11;
    call.channel_id = channel;
    call.lead = 20ms;
    for (const std::uint64_t user : {101, 102, 103}) {
      TalkerOptions t;
      t.speaker.user_id = user;
      t.speaker.name = "Tester";
      t.speaker.spurts = {{tone(), Duration{0}, 0, 0}};
      t.speaker.repeat = 1s;
      t.announce = user == 101 ? Announce::early : Announce::normal;
      call.talkers.push_back(std::move(t));
    }
    o.calls.push_back(std::move(call));
    change(o);
    server = std::make_unique<Server>(std::move(o));
    ASSERT_FALSE(server->start());
    listener = std::make_unique<Listener>(*server, server->credentials());
  }
  json command(json c) {
    const json answer = server->command(c);
    EXPECT_TRUE(answer["ok"]) << answer;
    return answer;
  }
  bool hear_some(std::size_t count = 60) {
    const std::size_t before = listener->heard.size();
    return listener->listen_until([&] { return listener->heard.size() >= before + count; });
  }
  // Holds what was heard against what was sent. Whatever the truth calls openable was opened, and
  // nothing else.
  void compare() {
    command({{"do", "pause"}, {"ms", 60000}});
    listener->listen_until([&] { return !listener->raw.has_datagram(); });
    std::size_t openable = 0;
    for (const SpeakerTruth& t : server->truth()) {
      for (const FrameRecord& r : t.records) {
        if (!r.delivered() || r.kind == Packet::Kind::padding) {
          continue;
        }
        const auto heard = listener->heard.find({r.ssrc, r.sequence});
        if (r.openable) {
          ++openable;
          ASSERT_NE(heard, listener->heard.end())
              << "user " << t.user_id << " epoch " << r.epoch << " group " << r.group;
          EXPECT_LE(heard->second.outcome, dave::FrameOutcome::passthrough)
              << dave::to_string(heard->second.outcome) << " epoch " << r.epoch;
          EXPECT_EQ(heard->second.opus, r.opus);
        } else if (heard != listener->heard.end()) {
          EXPECT_GT(heard->second.outcome, dave::FrameOutcome::passthrough)
              << "protection " << static_cast<int>(r.protection);
        }
      }
    }
    EXPECT_GT(openable, 30u);
    EXPECT_EQ(listener->raw.not_authentic, 0u);
    for (const std::string& complaint : server->status().complaints) {
      ADD_FAILURE() << complaint;
    }
  }

  std::unique_ptr<Server> server;
  std::unique_ptr<Listener> listener;
};

}  // namespace

TEST_F(EncryptedServer, SaysVersionOneAndTakesTheClientIntoTheGroup) {
  run();
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  ASSERT_TRUE(hear_some());
  const DaveTruth truth = server->dave();
  EXPECT_EQ(truth.members.size(), 4u);
  EXPECT_EQ(truth.codes.back().code, listener->dave.encryption.privacy_code);
  EXPECT_EQ(truth.members, listener->dave.encryption.members);
  compare();
  json summary = server->truth_summary()["calls"][0];
  EXPECT_EQ(summary["dave"]["version"], 1);
  EXPECT_EQ(summary["dave"]["codes"].back()["privacy_code"],
            listener->dave.encryption.privacy_code);
  EXPECT_GT(summary["speakers"][0]["sealed"], 0);
}

TEST_F(EncryptedServer, OpensEverythingThroughJoinsAndLeaves) {
  run();
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(hear_some());
  command({{"do", "leave"}, {"user_id", "102"}});
  ASSERT_TRUE(hear_some());
  TalkerOptions late;
  late.speaker.user_id = 104;
  late.speaker.spurts = {{tone(), Duration{0}, 0, 0}};
  server->add_speaker(late);
  ASSERT_TRUE(hear_some());
  command({{"do", "rejoin"}, {"user_id", "102"}});
  ASSERT_TRUE(hear_some(150));
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  EXPECT_EQ(server->status().dave.members, 5u);
  compare();
}

TEST_F(EncryptedServer, FoundsWithTheClientWhoeverWins) {
  for (const Prefer prefer : {Prefer::clients, Prefer::speakers}) {
    run([&](Options& o) {
      o.dave.delivery.prefer = prefer;
      o.dave.delivery.found_with_client = true;
    });
    ASSERT_TRUE(listener->join());
    ASSERT_TRUE(hear_some());
    const DaveCounters c = server->status().dave;
    EXPECT_EQ(c.client_commits, prefer == Prefer::clients ? 1u : 0u);
    compare();
  }
}

TEST_F(EncryptedServer, SurvivesDamageRevocationRestartAndRemoval) {
  run();
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  command({{"do", "dave-spoil"}, {"what", "commit"}});
  command({{"do", "leave"}, {"user_id", "102"}});
  ASSERT_TRUE(hear_some());
  ASSERT_TRUE(listener->listen_until(
      [&] { return listener->settled() && server->status().dave.recoveries == 1; }));
  command({{"do", "dave-revoke"}, {"user_id", "101"}, {"ms", 50}});
  ASSERT_TRUE(listener->listen_until(
      [&] { return listener->settled() && server->status().dave.revoked == 1; }));
  const std::uint64_t epochs = server->status().dave.epochs;
  command({{"do", "dave-remove"}});
  ASSERT_TRUE(listener->listen_until(
      [&] { return listener->settled() && server->status().dave.epochs == epochs + 2; }));
  command({{"do", "dave-restart"}});
  ASSERT_TRUE(listener->listen_until(
      [&] { return listener->settled() && server->status().dave.group == 2; }));
  ASSERT_TRUE(hear_some());
  compare();
}

TEST_F(EncryptedServer, EmptiesAndRefills) {
  run();
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(hear_some());
  command({{"do", "empty"}});
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  EXPECT_EQ(server->status().dave.members, 0u);
  command({{"do", "refill"}});
  ASSERT_TRUE(hear_some());
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  EXPECT_EQ(server->status().dave.group, 2u);
  compare();
}

TEST_F(EncryptedServer, SwitchesTheEncryptionOnAndOff) {
  run([](Options& o) { o.dave.delivery.version = 0; });
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(hear_some());
  EXPECT_EQ(listener->dave.opener.count(dave::FrameOutcome::opened), 0u);
  command({{"do", "dave-upgrade"}});
  ASSERT_TRUE(listener->listen_until(
      [&] { return listener->settled() && server->status().dave.version == 1; }));
  ASSERT_TRUE(hear_some());
  EXPECT_GT(listener->dave.opener.count(dave::FrameOutcome::opened), 0u);
  command({{"do", "dave-downgrade"}});
  ASSERT_TRUE(listener->listen_until(
      [&] { return listener->settled() && server->status().dave.version == 0; }));
  ASSERT_TRUE(hear_some());
  compare();
}

TEST_F(EncryptedServer, HostileFramesAreCountedAndDoNotOpen) {
  run([](Options& o) {
    o.dave.speakers.passthrough = 5;
    o.noise.forged_frames = 40;
    o.noise.replayed_frames = 40;
  });
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  ASSERT_TRUE(hear_some(200));
  SpeakerTruth sum;
  for (const SpeakerTruth& t : server->truth()) {
    sum.passthrough += t.passthrough;
    sum.forged += t.forged;
    sum.replayed += t.replayed;
  }
  EXPECT_GT(sum.passthrough, 0u);
  EXPECT_GT(sum.forged, 0u);
  EXPECT_GT(sum.replayed, 0u);
  using dave::FrameOutcome;
  EXPECT_GT(listener->dave.opener.count(FrameOutcome::bad_tag), 0u);
  EXPECT_GT(listener->dave.opener.count(FrameOutcome::replayed), 0u);
  EXPECT_GT(listener->dave.opener.count(FrameOutcome::not_a_frame), 0u);
  compare();
}

TEST_F(EncryptedServer, EarlyEpochsOpenBeforeOpcode22) {
  run([](Options& o) {
    o.dave.delivery.execute_delay = 400ms;
    o.dave.speakers.early_epoch = 100ms;
  });
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(hear_some());
  command({{"do", "leave"}, {"user_id", "102"}});
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  ASSERT_TRUE(hear_some());
  compare();
}

TEST_F(EncryptedServer, ClosesWhoSendsWhatIsNoMessage) {
  run();
  const auto close_after = [&](Bytes bytes) {
    RawClient c;
    EXPECT_TRUE(c.connect("ws://" + server->endpoint() + "/?v=8"));
    EXPECT_TRUE(c.join(server->add_client(), gcm));
    c.send_binary(bytes);
    return c.await_close();
  };
  EXPECT_EQ(close_after({26, 1, 2, 3}), 4002);
  EXPECT_EQ(close_after({28, 1, 2, 3}), 4002);
  SeededRandom random(3);
  const auto package =
      mls::make_key_package({*mls::KeyPair::generate(random), Bytes(8, 1)}, random);
  Bytes stranger{26};
  stranger.insert(stranger.end(), package->encoded.begin(), package->encoded.end());
  EXPECT_EQ(close_after(stranger), 4020) << "a key package of another user";
  EXPECT_EQ(server->status().complaints.size(), 3u);
  EXPECT_EQ(server->status().dave.refused, 3u);
  RawClient c;
  ASSERT_TRUE(c.connect("ws://" + server->endpoint() + "/?v=8"));
  ASSERT_TRUE(c.join(server->add_client(), gcm));
  c.send({{"op", 23}, {"d", {{"transition_id", "7"}}}});
  EXPECT_EQ(c.await_close(), 4002);
}

TEST_F(EncryptedServer, BinaryMessagesAreNumberedAndReplayed) {
  run();
  ASSERT_TRUE(listener->join());
  ASSERT_TRUE(listener->listen_until([&] { return listener->settled(); }));
  const auto& all = listener->raw.sequences;
  ASSERT_GT(all.size(), 10u);
  for (std::size_t i = 1; i < all.size(); ++i) {
    EXPECT_EQ(all[i], static_cast<std::uint16_t>(all[i - 1] + 1)) << "text and binary together";
  }
  const std::uint16_t last = all.back();
  command({{"do", "drop-socket"}});
  ASSERT_TRUE(server->wait([](const Status& s) { return s.sockets_now == 0; }, 5s));
  command({{"do", "leave"}, {"user_id", "102"}});
  const Credentials who = server->credentials();
  ASSERT_TRUE(listener->raw.connect("ws://" + server->endpoint() + "/?v=8"));
  listener->raw.send({{"op", 7},
                      {"d",
                       {{"server_id", "11"},
                        {"session_id", who.session_id},
                        {"token", who.token},
                        {"seq_ack", last}}}});
  ASSERT_TRUE(listener->listen_until(
      [&] { return listener->settled() && server->status().dave.members == 3; }));
  ASSERT_TRUE(hear_some());
  compare();
}
