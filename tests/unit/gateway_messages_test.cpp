#include "gateway_rig.hpp"

using namespace discord;
using namespace discord::voice;
using nlohmann::json;

namespace {

gateway::Message read(const json& j) {
  auto parsed = gateway::parse(j.dump());
  EXPECT_TRUE(parsed.ok());
  return std::move(parsed).value();
}

template <class T> T body(const json& j) {
  gateway::Message message = read(j);
  T* found = std::get_if<T>(&message.body);
  EXPECT_NE(found, nullptr) << j.dump() << " became alternative " << message.body.index();
  return found != nullptr ? std::move(*found) : T{};
}

json dispatch(const char* event, json d, json s = 7) {
  return {{"op", 0}, {"t", event}, {"s", std::move(s)}, {"d", std::move(d)}};
}

bool malformed(const json& j) {
  return std::holds_alternative<gateway::Malformed>(read(j).body);
}

}  // namespace

TEST(GatewayMessages, WhatIsNoMessageIsRefusedByKind) {
  using E = MessageError;
  const std::pair<std::string, E> cases[] = {
      {"", E::NotJson},
      {"{", E::NotJson},
      {"nonsense", E::NotJson},
      {"[]", E::NotObject},
      {"7", E::NotObject},
      {"{}", E::NoOpcode},
      {R"({"op":"0"})", E::NoOpcode},
      {R"({"op":1.5})", E::NoOpcode},
      {R"({"op":null})", E::NoOpcode},
      {std::string(40, '['), E::TooDeep},
      {std::string(max_message_size + 1, ' '), E::TooLarge},
  };
  for (const auto& [text, error] : cases) {
    const auto parsed = gateway::parse(text);
    ASSERT_FALSE(parsed.ok()) << text.substr(0, 50);
    EXPECT_EQ(parsed.error(), error) << text.substr(0, 50);
  }
}

TEST(GatewayMessages, SequenceIsOptionalAndMayBeZero) {
  EXPECT_EQ(read({{"op", 11}}).seq, std::nullopt);
  EXPECT_EQ(read({{"op", 11}, {"s", nullptr}}).seq, std::nullopt);
  EXPECT_EQ(read({{"op", 11}, {"s", "7"}}).seq, std::nullopt);
  EXPECT_EQ(read({{"op", 11}, {"s", 0}}).seq, 0u);
  EXPECT_EQ(read({{"op", 11}, {"s", 5'000'000'000}}).seq, 5'000'000'000u);
}

TEST(GatewayMessages, ControlOpcodes) {
  EXPECT_EQ(
      body<gateway::Hello>({{"op", 10}, {"d", {{"heartbeat_interval", 41250}}}}).heartbeat_interval,
      std::chrono::milliseconds(41250));
  EXPECT_TRUE(body<gateway::InvalidSession>({{"op", 9}, {"d", true}}).resumable);
  EXPECT_FALSE(body<gateway::InvalidSession>({{"op", 9}, {"d", false}}).resumable);
  EXPECT_FALSE(body<gateway::InvalidSession>({{"op", 9}, {"d", nullptr}}).resumable);
  body<gateway::Reconnect>({{"op", 7}, {"d", nullptr}});
  body<gateway::HeartbeatRequest>({{"op", 1}});
  body<gateway::HeartbeatAck>({{"op", 11}});
  EXPECT_EQ(body<gateway::Unknown>({{"op", 99}}).op, 99);
  for (const json& interval : {json(), json("41250"), json(0), json(-1), json::object()}) {
    EXPECT_TRUE(malformed({{"op", 10}, {"d", {{"heartbeat_interval", interval}}}})) << interval;
  }
  EXPECT_TRUE(malformed({{"op", 0}, {"d", {}}})) << "a dispatch without a name";
  body<gateway::Ignored>(dispatch("TYPING_START", {{"a", 1}}));
}

TEST(GatewayMessages, Ready) {
  const auto ready = body<gateway::Ready>(
      dispatch("READY", {{"user", {{"id", "5"}}},
                         {"session_id", "s"},
                         {"resume_gateway_url", nullptr},
                         {"guilds", {{{"id", "1"}}, {{"id", 2}}, 3, {{"id", "4"}}}}}));
  EXPECT_EQ(ready.user, 5u);
  EXPECT_EQ(ready.application, 5u);
  EXPECT_EQ(ready.resume_url, "");
  EXPECT_EQ(ready.guilds, (std::vector<std::uint64_t>{1, 4}));
  EXPECT_TRUE(malformed(dispatch("READY", nullptr)));
  EXPECT_TRUE(malformed(dispatch("READY", {{"session_id", "s"}})));
  EXPECT_TRUE(malformed(dispatch("READY", {{"user", {{"id", "5"}}}, {"session_id", ""}})));
  EXPECT_TRUE(malformed(dispatch("READY", {{"user", {{"id", 5}}}, {"session_id", "s"}})));
}

TEST(GatewayMessages, NamesComeFromNickThenGlobalThenUser) {
  const auto guild = body<gateway::GuildCreate>(dispatch("GUILD_CREATE", GatewayRig::guild_json()));
  ASSERT_EQ(guild.members.size(), 4u);
  EXPECT_EQ(guild.members[1].name, "Nick");
  EXPECT_EQ(guild.members[2].name, "Global");
  EXPECT_EQ(guild.members[3].name, "user");
  EXPECT_TRUE(guild.members[3].bot);
  EXPECT_EQ(guild.channels.size(), 7u);
  EXPECT_EQ(guild.skipped, 0u);
}

TEST(GatewayMessages, LongNamesAreCutBetweenCharacters) {
  std::string name;
  for (int i = 0; i < 200; ++i) {
    name += "ä";
  }
  name = "x" + name;
  json guild = GatewayRig::guild_json();
  guild["members"] = {GatewayRig::member(11, name, nullptr, "u")};
  const auto read_back = body<gateway::GuildCreate>(dispatch("GUILD_CREATE", guild));
  EXPECT_EQ(read_back.members[0].name, name.substr(0, 255));
}

TEST(GatewayMessages, BrokenPartsOfAGuildAreCountedAndTheRestIsRead) {
  json guild = GatewayRig::guild_json();
  guild["channels"].push_back({{"id", "x"}, {"type", 2}});
  guild["channels"].push_back(7);
  guild["roles"].push_back(nullptr);
  guild["members"].push_back({{"user", nullptr}});
  guild["voice_states"].push_back({{"user_id", "1"}, {"channel_id", 5}});
  guild["emojis"] = json::array({1, 2, 3});
  const auto read_back = body<gateway::GuildCreate>(dispatch("GUILD_CREATE", guild));
  EXPECT_EQ(read_back.skipped, 5u);
  EXPECT_EQ(read_back.channels.size(), 7u);
  EXPECT_TRUE(malformed(dispatch("GUILD_CREATE", {{"id", 7}})));
  const auto empty = body<gateway::GuildCreate>(dispatch(
      "GUILD_CREATE", {{"id", "7"}, {"channels", "none"}, {"unavailable", true}, {"name", 3}}));
  EXPECT_TRUE(empty.unavailable);
  EXPECT_TRUE(empty.channels.empty());
}

TEST(GatewayMessages, VoiceStates) {
  json d = GatewayRig::voice_state(11, 3000);
  d["guild_id"] = "2000";
  d["member"] = {{"nick", "N"}, {"roles", json::array()}};  // the user stands beside it
  const auto state = body<gateway::VoiceState>(dispatch("VOICE_STATE_UPDATE", d));
  EXPECT_EQ(state.channel, 3000u);
  ASSERT_TRUE(state.member);
  EXPECT_EQ(state.member->name, "N");
  d.erase("member");
  d["channel_id"] = nullptr;
  const auto left = body<gateway::VoiceState>(dispatch("VOICE_STATE_UPDATE", d));
  EXPECT_EQ(left.channel, 0u);
  EXPECT_FALSE(left.member) << "eris#1525, hikari#2038: it may be missing";
  d["channel_id"] = 3000;
  EXPECT_TRUE(malformed(dispatch("VOICE_STATE_UPDATE", d)));
  EXPECT_TRUE(malformed(dispatch("VOICE_STATE_UPDATE", json::array())));
}

TEST(GatewayMessages, VoiceServers) {
  const auto server = body<gateway::VoiceServer>(
      dispatch("VOICE_SERVER_UPDATE", {{"guild_id", "1"}, {"token", "t"}, {"endpoint", "h:2048"}}));
  EXPECT_EQ(server.endpoint, "h:2048");
  EXPECT_EQ(server.token.reveal(), "t");
  const auto gone = body<gateway::VoiceServer>(
      dispatch("VOICE_SERVER_UPDATE", {{"guild_id", "1"}, {"token", "t"}, {"endpoint", nullptr}}));
  EXPECT_EQ(gone.endpoint, "");
  EXPECT_TRUE(malformed(dispatch("VOICE_SERVER_UPDATE", {{"token", "t"}, {"endpoint", "h"}})));
  EXPECT_TRUE(malformed(dispatch("VOICE_SERVER_UPDATE", {{"guild_id", "1"}, {"endpoint", "h"}})));
  EXPECT_TRUE(malformed(dispatch("VOICE_SERVER_UPDATE", nullptr)));
}

TEST(GatewayMessages, SmallChanges) {
  EXPECT_EQ(body<gateway::GuildDelete>(dispatch("GUILD_DELETE", {{"id", "7"}})).unavailable, false);
  EXPECT_TRUE(
      body<gateway::GuildDelete>(dispatch("GUILD_DELETE", {{"id", "7"}, {"unavailable", true}}))
          .unavailable);
  EXPECT_EQ(
      body<gateway::GuildUpdate>(dispatch("GUILD_UPDATE", {{"id", "7"}, {"owner_id", "8"}})).owner,
      8u);
  json channel = GatewayRig::channel(5, 2, "c", 3);
  channel["guild_id"] = "7";
  EXPECT_EQ(body<gateway::ChannelChanged>(dispatch("CHANNEL_UPDATE", channel)).channel.user_limit,
            3);
  EXPECT_EQ(
      body<gateway::ChannelDeleted>(dispatch("CHANNEL_DELETE", {{"id", "5"}, {"guild_id", "7"}}))
          .id,
      5u);
  EXPECT_EQ(body<gateway::RoleChanged>(
                dispatch("GUILD_ROLE_UPDATE",
                         {{"guild_id", "7"}, {"role", {{"id", "9"}, {"permissions", "8"}}}}))
                .role.permissions,
            8u);
  EXPECT_EQ(body<gateway::RoleDeleted>(
                dispatch("GUILD_ROLE_DELETE", {{"guild_id", "7"}, {"role_id", "9"}}))
                .id,
            9u);
  json member = GatewayRig::member(11, "N", nullptr, "u");
  member["guild_id"] = "7";
  EXPECT_EQ(body<gateway::MembersChanged>(dispatch("GUILD_MEMBER_UPDATE", member)).members[0].name,
            "N");
  EXPECT_EQ(body<gateway::MembersChanged>(
                dispatch("GUILD_MEMBERS_CHUNK", {{"guild_id", "7"}, {"members", {member, 1}}}))
                .members.size(),
            1u);
  for (const char* event :
       {"GUILD_DELETE", "GUILD_UPDATE", "CHANNEL_UPDATE", "CHANNEL_CREATE", "CHANNEL_DELETE",
        "GUILD_ROLE_CREATE", "GUILD_ROLE_DELETE", "GUILD_MEMBER_ADD", "GUILD_MEMBERS_CHUNK"}) {
    EXPECT_TRUE(malformed(dispatch(event, nullptr))) << event;
    EXPECT_TRUE(malformed(dispatch(event, {{"id", 5}, {"guild_id", 7}}))) << event;
  }
}

// A guild of many people is megabytes, of which a bot needs little.
TEST(GatewayMessages, AGuildOfThreeMebibytesIsRead) {
  json guild = GatewayRig::guild_json();
  for (int i = 0; i < 6000; ++i) {
    guild["members"].push_back(GatewayRig::member(100'000 + static_cast<std::uint64_t>(i),
                                                  "Nick " + std::to_string(i), "Global", "user"));
    guild["presences"].push_back({{"user", {{"id", std::to_string(i + 1)}}},
                                  {"status", "online"},
                                  {"activities", {{{"name", std::string(500, 'x')}}}}});
  }
  const std::string text = dispatch("GUILD_CREATE", guild).dump();
  ASSERT_GT(text.size(), 3u << 20);
  auto parsed = gateway::parse(text);
  ASSERT_TRUE(parsed.ok());
  const auto& read_back = std::get<gateway::GuildCreate>(parsed.value().body);
  EXPECT_EQ(read_back.members.size(), 6004u);
  EXPECT_EQ(read_back.members.back().name, "Nick 5999");
}

TEST(GatewayMessages, WhatIsSent) {
  const SecretString token("a\"b");
  EXPECT_EQ(json::parse(gateway::build_identify(token, std::nullopt).reveal())["d"]["intents"],
            129);
  EXPECT_FALSE(
      json::parse(gateway::build_identify(token, std::nullopt).reveal())["d"].contains("shard"));
  const json sharded =
      json::parse(gateway::build_identify(token, gateway::Shard{1, 4}).reveal())["d"];
  EXPECT_EQ(sharded["shard"], json({1, 4}));
  EXPECT_EQ(sharded["token"], "a\"b");
  EXPECT_EQ(json::parse(gateway::build_resume(token, "s", 9).reveal()),
            (json{{"op", 6}, {"d", {{"token", "a\"b"}, {"session_id", "s"}, {"seq", 9}}}}));
  EXPECT_EQ(gateway::build_heartbeat(std::nullopt), R"({"op":1,"d":null})");
  EXPECT_EQ(gateway::build_heartbeat(0), R"({"op":1,"d":0})");
  EXPECT_EQ(
      json::parse(gateway::build_voice_state(1, 2, true, false)),
      (json{
          {"op", 4},
          {"d",
           {{"guild_id", "1"}, {"channel_id", "2"}, {"self_mute", true}, {"self_deaf", false}}}}));
  EXPECT_TRUE(
      json::parse(gateway::build_voice_state(1, 0, true, true))["d"]["channel_id"].is_null());
  EXPECT_EQ(json::parse(gateway::build_request_members(1, {2, 3}))["d"]["user_ids"],
            json({"2", "3"}));
}

TEST(GatewayMessages, Shards) {
  EXPECT_EQ(gateway::parse_shard("0/1"), (gateway::Shard{0, 1}));
  EXPECT_EQ(gateway::parse_shard("3,16"), (gateway::Shard{3, 16}));
  for (const char* wrong :
       {"", "0", "1/1", "2/1", "/", "0/", "0/0", "a/b", "0/1x", "-1/2", " 0/1"}) {
    EXPECT_FALSE(gateway::parse_shard(wrong)) << wrong;
  }
}

TEST(GatewayMessages, TheTokenGoesToDiscordOrWhereTheUserSays) {
  EXPECT_TRUE(gateway::trusted_host("wss://gateway-us-east1-b.discord.gg", ""));
  EXPECT_TRUE(gateway::trusted_host("wss://discord.gg", ""));
  EXPECT_TRUE(gateway::trusted_host("ws://127.0.0.1:9", "ws://127.0.0.1:80"));
  for (const char* url :
       {"", "wss://evil.example", "wss://evildiscord.gg", "wss://discord.gg.evil.example",
        "ws://gateway.discord.gg", "wss://discord.gg@evil.example", "https://discord.gg"}) {
    EXPECT_FALSE(gateway::trusted_host(url, "")) << url;
  }
  EXPECT_FALSE(gateway::trusted_host("ws://127.0.0.1:9", ""));
}
