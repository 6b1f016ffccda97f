// A whole end-to-end encrypted call in memory, on invented time: the delivery service, speakers and
// clients, for tests that want the same every time.
#pragma once

#include "dave_call.hpp"
#include "dave_client.hpp"

#include <gtest/gtest.h>

namespace discord::loopback {

class DaveRig {
 public:
  static constexpr std::uint64_t channel = 927310423890473011;

  DaveRig() : DaveRig(encrypted()) {}
  explicit DaveRig(DaveOptions options, std::uint64_t seed = 1)
      : call(options, channel, seed), seed_(seed) {}

  static DaveOptions encrypted(Prefer prefer = Prefer::mixed) {
    DaveOptions o;
    o.delivery.version = 1;
    o.delivery.prefer = prefer;
    return o;
  }

  void add_speaker(std::uint64_t user) {
    tell_joined(user);
    speakers.insert(user);
    call.speaker_joined(user, now);
    exchange();
  }
  DaveClient& add_client(std::uint64_t user, bool settle = true) {
    tell_joined(user);
    auto& c = clients[user] =
        std::make_unique<DaveClient>(user, channel, derive_seed(seed_, "rig", made_++));
    c->begin(now);
    std::vector<std::uint64_t> everybody(speakers.begin(), speakers.end());
    for (const auto& [other, client] : clients) {
      everybody.push_back(other);
    }
    c->joined(everybody);
    call.client_joined(user, now);
    c->described(call.version(), now);
    call.client_described(user, now);
    if (settle) {
      exchange();
    }
    return *c;
  }
  void leave(std::uint64_t user) {
    speakers.erase(user);
    clients.erase(user);
    for (auto& [other, client] : clients) {
      client->left(user);
    }
    call.left(user, now);
    exchange();
  }

  // Delivers one message for clients, or the answers of one client; false when there is nothing.
  bool step() {
    for (DaveMessage& m : call.take_messages()) {
      log.push_back(std::to_string(m.to) + ":" + std::to_string(m.op));
      pending_.push_back(std::move(m));
    }
    if (!pending_.empty()) {
      const DaveMessage m = std::move(pending_.front());
      pending_.pop_front();
      if (const auto client = clients.find(m.to); client != clients.end()) {
        client->second->receive(m, now);
      }
      return true;
    }
    for (auto& [user, client] : clients) {
      const auto replies = client->take_replies();
      for (const SpeakerMember::Reply& reply : replies) {
        log.push_back("from " + std::to_string(user) + ":" + std::to_string(reply.op));
        if (reply.op == 26 || reply.op == 28) {
          last_bodies[reply.op] = reply.body;
          if (const auto refused = call.client_binary(user, reply.op, reply.body, now)) {
            refusals.push_back(*refused);
          }
        } else {
          call.client_text(user, reply.op, reply.transition_id, now);
        }
      }
      if (!replies.empty()) {
        return true;
      }
    }
    return false;
  }
  // Until nobody has anything to say.
  void exchange() {
    while (step()) {
      if (talking) {
        talk();
      }
    }
  }
  // Lets time pass, from deadline to deadline.
  void run(Duration span) {
    const Time end = now + span;
    for (;;) {
      exchange();
      Deadline next = call.next_deadline();
      for (const auto& [user, client] : clients) {
        next = earlier(next, client->session.next_deadline());
      }
      if (!next || *next > end) {
        break;
      }
      now = std::max(now, *next);
      call.advance(now);
      for (auto& [user, client] : clients) {
        client->on_timer(now);
      }
    }
    now = end;
  }

  // Every speaker says one frame, and every client opens what it has the keys for, and nothing
  // else.
  void talk() {
    for (const std::uint64_t speaker : speakers) {
      Packet packet;
      packet.payload = {0x78, 1, 2, 3, static_cast<std::uint8_t>(frames), 5, 6, 7};
      const Bytes plain = packet.payload;
      call.seal(speaker, packet, now);
      ++frames;
      ++said[packet.protection];
      if (packet.protection == Protection::unsent) {
        continue;
      }
      for (auto& [user, client] : clients) {
        hear(*client, speaker, packet, plain);
      }
    }
    retry();
  }
  void talk(int times) {
    for (int i = 0; i < times; ++i) {
      talk();
    }
  }

  // Everybody is in the group, sees the same, and hears everything.
  void expect_agreement() {
    const DaveCounters c = call.service().counters();
    EXPECT_TRUE(c.settled);
    std::vector<std::uint64_t> everybody(speakers.begin(), speakers.end());
    for (const auto& [user, client] : clients) {
      everybody.push_back(user);
    }
    std::sort(everybody.begin(), everybody.end());
    EXPECT_EQ(call.service().group().users(), everybody);
    for (const auto& [user, client] : clients) {
      EXPECT_FALSE(client->failure) << *client->failure;
      EXPECT_EQ(client->encryption.version, 1);
      EXPECT_EQ(client->encryption.epoch, c.epoch);
      EXPECT_EQ(client->encryption.members, everybody);
      if (!speakers.empty()) {
        ASSERT_FALSE(call.codes().empty());
        EXPECT_EQ(client->encryption.privacy_code, call.codes().back().code);
        EXPECT_EQ(call.codes().back().members, everybody);
        EXPECT_EQ(call.codes().back().epoch, c.epoch);
      }
    }
    const std::uint64_t before = opened;
    talk(3);
    EXPECT_EQ(opened - before, 3 * speakers.size() * clients.size());
    EXPECT_EQ(mismatches, 0u) << first_mismatch;
    EXPECT_TRUE(waiting_.empty());
    EXPECT_TRUE(refusals.empty());
  }
  std::vector<std::string> complaints() { return call.take_complaints(); }

  DaveCall call;
  Time now = time_from_ns(5'000'000'000);
  std::set<std::uint64_t> speakers;
  std::map<std::uint64_t, std::unique_ptr<DaveClient>> clients;
  bool talking = false;  // between any two messages
  std::vector<std::string> log;
  std::map<int, Bytes> last_bodies;  // of opcodes 26 and 28, from any client
  std::vector<DaveRefusal> refusals;
  std::uint64_t frames = 0;
  std::uint64_t opened = 0;
  std::uint64_t plain_heard = 0;
  std::uint64_t mismatches = 0;
  std::string first_mismatch;
  std::map<Protection, std::uint64_t> said;

 private:
  struct Waiting {
    std::uint64_t client;
    std::uint64_t speaker;
    Packet packet;
    Bytes plain;
  };
  void tell_joined(std::uint64_t user) {
    for (auto& [other, client] : clients) {
      client->joined({user});
    }
  }
  void mismatch(const std::string& what) {
    first_mismatch = mismatches++ == 0 ? what : first_mismatch;
  }
  void hear(DaveClient& client, std::uint64_t speaker, const Packet& packet, const Bytes& plain) {
    Bytes frame = packet.payload;
    const dave::OpenedFrame result = client.open(speaker, frame, now);
    const std::string what = std::string(dave::to_string(result.outcome)) + ", speaker " +
                             std::to_string(speaker) + ", epoch " + std::to_string(packet.epoch);
    if (packet.protection != Protection::sealed) {
      plain_heard += result.outcome == dave::FrameOutcome::passthrough;
      return;
    }
    const bool keys = call.service().has_keys(client.user, packet.group, packet.epoch);
    if (result.outcome == dave::FrameOutcome::opened) {
      ++opened;
      if (!std::equal(plain.begin(), plain.end(), result.plain.begin(), result.plain.end())) {
        mismatch("other content");
      }
      if (!keys) {
        mismatch("opened without keys: " + what);
      }
    } else if (keys && result.outcome == dave::FrameOutcome::no_key) {
      waiting_.push_back({client.user, speaker, packet, plain});  // opcode 29 or 30 is under way
    } else if (keys) {
      mismatch("not opened: " + what);
    }
  }
  void retry() {
    for (Waiting& w : std::exchange(waiting_, {})) {
      const auto client = clients.find(w.client);
      if (client != clients.end() &&
          call.service().has_keys(w.client, w.packet.group, w.packet.epoch)) {
        hear(*client->second, w.speaker, w.packet, w.plain);
      }
    }
  }

  std::uint64_t seed_;
  std::uint64_t made_ = 0;
  std::deque<DaveMessage> pending_;
  std::vector<Waiting> waiting_;
};

}  // namespace discord::loopback
