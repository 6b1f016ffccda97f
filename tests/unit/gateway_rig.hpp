// A main gateway client, the time it lives in, and Discord's side of it, for tests.
#pragma once

#include "voice/main_gateway.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace discord::voice {

struct GatewayRig {
  using json = nlohmann::json;
  static constexpr std::uint64_t own = 900, guild_id = 2000, channel_id = 3000,
                                 other_channel = 3001, stage_channel = 3002, text_channel = 3003,
                                 full_channel = 3004, locked_channel = 3005, hidden_channel = 3006;

  explicit GatewayRig(gateway::Options options = good_options())
      : gateway(std::move(options), [this] { return nonce++; }) {}

  static gateway::Options good_options() { return {SecretString("bot-token"), "", {}, {}}; }
  static gateway::Wish wish(std::uint64_t channel = channel_id) {
    return {guild_id, channel, true, false, false};
  }

  void advance(Duration d) {
    const Time end = now + d;
    while (const Deadline next = gateway.next_deadline()) {
      if (*next > end) {
        break;
      }
      now = std::max(now, *next);
      gateway.on_timer(now, out);
      for (; seen < out.size(); ++seen) {
        const auto* a = std::get_if<SendText>(&out[seen]);
        if (answer_heartbeats && a != nullptr && a->text.starts_with(R"({"op":1,)")) {
          text({{"op", 11}});
        }
      }
    }
    now = end;
  }
  void raw(const std::string& t) { gateway.on_text(gateway.socket_generation(), t, now, out); }
  void text(const json& j) { raw(j.dump()); }
  void event(const char* t, json d) {
    text({{"op", 0}, {"s", ++seq}, {"t", t}, {"d", std::move(d)}});
  }
  void open() { gateway.on_socket_open(gateway.socket_generation(), now, out); }
  void close(std::optional<std::uint16_t> code, std::string_view reason = {}) {
    gateway.on_socket_closed(gateway.socket_generation(), code, reason, now, out);
  }
  // Until the next connection is opened, for at most two minutes.
  void wait_for_socket() {
    const std::size_t before = count<OpenWebSocket>();
    const Time end = now + std::chrono::minutes(2);
    while (count<OpenWebSocket>() == before && now < end) {
      advance(std::chrono::milliseconds(100));
    }
    EXPECT_EQ(count<OpenWebSocket>(), before + 1);
  }
  void hello() { text({{"op", 10}, {"d", {{"heartbeat_interval", 41250}}}}); }
  void ready(std::vector<std::uint64_t> guilds = {guild_id}) {
    json list = json::array();
    for (const std::uint64_t id : guilds) {
      list.push_back({{"id", std::to_string(id)}, {"unavailable", true}});
    }
    event("READY", {{"v", 10},
                    {"user", {{"id", std::to_string(own)}, {"username", "bot"}, {"bot", true}}},
                    {"session_id", "main-session"},
                    {"resume_gateway_url", "wss://gateway-us-east1-b.discord.gg"},
                    {"application", {{"id", "901"}, {"flags", 0}}},
                    {"guilds", list}});
  }
  static json overwrite(std::uint64_t id, int type, std::uint64_t allow, std::uint64_t deny) {
    return {{"id", std::to_string(id)},
            {"type", type},
            {"allow", std::to_string(allow)},
            {"deny", std::to_string(deny)}};
  }
  static json channel(std::uint64_t id, int type, const char* name, int limit = 0,
                      json overwrites = json::array()) {
    return {{"id", std::to_string(id)},
            {"type", type},
            {"name", name},
            {"user_limit", limit},
            {"permission_overwrites", std::move(overwrites)}};
  }
  static json member(std::uint64_t user, const json& nick, const json& global, const char* name,
                     bool bot = false, json roles = json::array()) {
    return {
        {"user",
         {{"id", std::to_string(user)}, {"username", name}, {"global_name", global}, {"bot", bot}}},
        {"nick", nick},
        {"roles", std::move(roles)}};
  }
  static json voice_state(std::uint64_t user, std::uint64_t channel) {
    return {{"user_id", std::to_string(user)},
            {"channel_id", channel != 0 ? json(std::to_string(channel)) : json()},
            {"session_id", "session-of-" + std::to_string(user)},
            {"deaf", false},
            {"mute", false},
            {"self_deaf", false},
            {"self_mute", false}};
  }
  static json guild_json() {
    const std::uint64_t both = permission::view_channel | permission::connect;
    return {
        {"id", std::to_string(guild_id)},
        {"name", "Guild"},
        {"owner_id", "1"},
        {"unavailable", false},
        {"roles",
         {{{"id", std::to_string(guild_id)}, {"permissions", std::to_string(both)}},
          {{"id", "2001"}, {"permissions", "0"}}}},
        {"channels",
         {channel(channel_id, 2, "General"), channel(other_channel, 2, "Other"),
          channel(stage_channel, 13, "Stage"), channel(text_channel, 0, "text"),
          channel(full_channel, 2, "Full", 1),
          channel(locked_channel, 2, "Locked", 0, {overwrite(guild_id, 0, 0, permission::connect)}),
          channel(hidden_channel, 2, "Hidden", 0,
                  {overwrite(guild_id, 0, 0, permission::view_channel)})}},
        {"members",
         {member(own, nullptr, nullptr, "bot", true), member(11, "Nick", "Global", "user"),
          member(12, nullptr, "Global", "user"), member(13, nullptr, nullptr, "user", true)}},
        {"voice_states", {voice_state(11, full_channel)}}};
  }
  void guild() { event("GUILD_CREATE", guild_json()); }
  void own_state(std::uint64_t channel, const char* session = "voice-session", bool deaf = false) {
    json d = voice_state(own, channel);
    d["guild_id"] = std::to_string(guild_id);
    d["session_id"] = session;
    d["deaf"] = deaf;
    event("VOICE_STATE_UPDATE", std::move(d));
  }
  void server(const char* token = "voice-token", const json& endpoint = "v1.discord.media:2048") {
    event("VOICE_SERVER_UPDATE",
          {{"guild_id", std::to_string(guild_id)}, {"token", token}, {"endpoint", endpoint}});
  }
  void connect(std::vector<std::uint64_t> guilds = {guild_id}) {
    gateway.start(now, calendar, out);
    open();
    hello();
    ready(std::move(guilds));
  }
  // Connected and seated.
  gateway::SeatId sit() {
    connect();
    guild();
    const gateway::SeatId seat = gateway.join(wish(), now, out);
    own_state(channel_id);
    server();
    EXPECT_EQ(count<gateway::SeatCredentials>(), 1u);
    return seat;
  }
  // After a lost connection: the next one, resumed.
  void resume() {
    open();
    hello();
    event("RESUMED", nullptr);
  }

  template <class A> std::vector<A> all() const {
    std::vector<A> found;
    for (const gateway::Action& action : out) {
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
    return found.empty() ? A{} : found.back();
  }
  std::vector<json> sent(int op) const {
    std::vector<json> found;
    for (const gateway::Action& action : out) {
      json j;
      if (const auto* a = std::get_if<SendText>(&action)) {
        j = json::parse(a->text);
      } else if (const auto* b = std::get_if<SendSecretText>(&action)) {
        j = json::parse(b->text.reveal());
      } else {
        continue;
      }
      if (j.at("op") == op) {
        found.push_back(std::move(j));
      }
    }
    return found;
  }
  std::size_t count_sent(int op) const { return sent(op).size(); }
  // The channel that op 4 asked for last; null for leaving.
  json asked() const {
    const auto list = sent(4);
    EXPECT_FALSE(list.empty());
    return list.empty() ? json() : list.back()["d"]["channel_id"];
  }

  std::uint64_t nonce = 500;
  std::uint64_t seq = 0;
  std::int64_t calendar = 1'800'000'000;
  bool answer_heartbeats = true;
  std::size_t seen = 0;  // of `out`, for heartbeats
  Time now = time_from_ns(1'000'000'000);
  gateway::Out out;
  MainGateway gateway;
};

}  // namespace discord::voice
