// A voice session, the time it lives in, and the other side of every connection, for tests.
#pragma once

#include "rtp/discovery.hpp"
#include "voice/session.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

namespace discord::voice {

inline Credentials good_credentials() {
  return {"voice1.discord.media:2048", "session-a", SecretString("token-a"), 1000, 2000, 3000};
}

struct Rig {
  explicit Rig(Options options = {}, Credentials credentials = good_credentials())
      : session(std::move(credentials), options, [this] { return nonce++; }) {}

  static constexpr std::uint32_t own_ssrc = 77;

  void advance(Duration d) {
    const Time end = now + d;
    while (const Deadline next = session.next_deadline()) {
      if (*next > end) {
        break;
      }
      now = std::max(now, *next);
      session.on_timer(now, out);
    }
    now = end;
  }
  void text(const std::string& t) { session.on_text(session.socket_generation(), t, now, out); }
  void close(std::optional<std::uint16_t> code, std::string_view reason = {}) {
    session.on_socket_closed(session.socket_generation(), code, reason, now, out);
  }
  void socket_error(SocketError error) {
    session.on_socket_error(session.socket_generation(), error, "library text", now, out);
  }
  void open() { session.on_socket_open(session.socket_generation(), now, out); }
  void datagram(ByteSpan bytes) {
    session.on_datagram(session.media_generation(), bytes, now, out);
  }
  void hello() { text(R"({"op":8,"d":{"v":8,"heartbeat_interval":13750.0}})"); }
  void ready() {
    text(R"({"op":2,"d":{"ssrc":77,"ip":"203.0.113.9","port":50001,"modes":)"
         R"(["aead_aes256_gcm_rtpsize","aead_xchacha20_poly1305_rtpsize"],"experiments":null}})");
  }
  void discovery_reply(std::uint32_t ssrc = own_ssrc) {
    datagram(*rtp::make_discovery_reply(ssrc, "198.51.100.4", 40404));
  }
  void description(const std::string& mode = "aead_aes256_gcm_rtpsize", int dave = 0) {
    nlohmann::json key = nlohmann::json::array();
    for (int i = 0; i < 32; ++i) {
      key.push_back(i);
    }
    text(nlohmann::json{
        {"op", 4}, {"d", {{"mode", mode}, {"secret_key", key}, {"dave_protocol_version", dave}}}}
             .dump());
  }
  void identify() {
    session.start(now, out);
    open();
  }
  void connect() {
    identify();
    hello();
    ready();
    discovery_reply();
    description();
    ASSERT_EQ(session.state(), State::Connected);
  }
  // Connected, and long enough for earlier failures to be forgotten; heartbeats are answered.
  void stay(Duration d) {
    const Time end = now + d;
    while (now < end) {
      advance(std::min<Duration>(std::chrono::seconds(5), end - now));
      text(R"({"op":6,"d":{"t":0}})");
    }
  }

  template <class A> std::vector<A> all() const {
    std::vector<A> found;
    for (const Action& action : out) {
      if (const A* a = std::get_if<A>(&action)) {
        found.push_back(*a);
      }
    }
    return found;
  }
  template <class A> std::size_t count() const { return all<A>().size(); }
  template <class A> A last() const {
    const auto found = all<A>();
    EXPECT_FALSE(found.empty());
    return found.back();
  }
  // The text messages with that opcode, secret ones included.
  std::vector<nlohmann::json> sent(int op) const {
    std::vector<nlohmann::json> found;
    for (const Action& action : out) {
      std::string content;
      if (const auto* a = std::get_if<SendText>(&action)) {
        content = a->text;
      } else if (const auto* b = std::get_if<SendSecretText>(&action)) {
        content = b->text.reveal();
      } else {
        continue;
      }
      auto json = nlohmann::json::parse(content);
      if (json.at("op") == op) {
        found.push_back(std::move(json));
      }
    }
    return found;
  }

  std::uint64_t nonce = 0xFFFF'FFFF'FFFF'0000u;
  Time now = time_from_ns(1'000'000'000);
  Out out;
  Session session;
};

}  // namespace discord::voice
