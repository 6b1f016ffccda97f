// What the gateway tells of guilds: who may join where, outages, and what people are called.
#include "gateway_rig.hpp"

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;
using gateway::SeatFailed;
using gateway::SeatName;
using gateway::SeatNotice;
using gateway::SeatSuspended;
using nlohmann::json;

namespace {

bool joins(std::uint64_t channel, json guild) {
  GatewayRig r;
  r.connect();
  r.event("GUILD_CREATE", std::move(guild));
  r.gateway.join(GatewayRig::wish(channel), r.now, r.out);
  return r.count<SeatFailed>() == 0 && r.count_sent(4) == 1;
}

}  // namespace

TEST(GatewayPermissions, MoveMembersEntersAFullChannel) {
  json guild = GatewayRig::guild_json();
  guild["roles"][0]["permissions"] =
      std::to_string(permission::view_channel | permission::connect | permission::move_members);
  EXPECT_TRUE(joins(GatewayRig::full_channel, guild));
}

TEST(GatewayPermissions, OverwritesInTheirOrder) {
  using P = std::uint64_t;
  constexpr P view = permission::view_channel, connect = permission::connect;
  const auto with = [](std::vector<json> overwrites, json own_roles = json::array({"2001"})) {
    json guild = GatewayRig::guild_json();
    guild["channels"][0]["permission_overwrites"] = std::move(overwrites);
    guild["members"][0]["roles"] = std::move(own_roles);
    return joins(GatewayRig::channel_id, guild);
  };
  const auto o = GatewayRig::overwrite;
  EXPECT_TRUE(with({}));
  EXPECT_FALSE(with({o(2000, 0, 0, connect)}));
  EXPECT_TRUE(with({o(2000, 0, 0, connect), o(2001, 0, connect, 0)})) << "a role takes it back";
  EXPECT_TRUE(with({o(2001, 0, connect, 0), o(2000, 0, 0, connect)})) << "whatever the order";
  EXPECT_FALSE(with({o(2000, 0, 0, connect), o(2001, 0, connect, 0)}, json::array()))
      << "only a role the bot has";
  EXPECT_FALSE(with({o(2001, 0, 0, view)}));
  EXPECT_TRUE(with({o(2001, 0, 0, view), o(GatewayRig::own, 1, view, 0)})) << "the bot itself wins";
  EXPECT_FALSE(with({o(2001, 0, connect, 0), o(GatewayRig::own, 1, 0, connect)}));
  EXPECT_TRUE(with({o(11, 1, 0, connect)})) << "somebody else's";
}

TEST(GatewayPermissions, AllowOfOneRoleBeatsDenyOfAnother) {
  json guild = GatewayRig::guild_json();
  guild["roles"].push_back({{"id", "2002"}, {"permissions", "0"}});
  guild["members"][0]["roles"] = {"2001", "2002"};
  guild["channels"][0]["permission_overwrites"] = {
      GatewayRig::overwrite(2001, 0, permission::connect, 0),
      GatewayRig::overwrite(2002, 0, 0, permission::connect)};
  EXPECT_TRUE(joins(GatewayRig::channel_id, guild));
}

TEST(GatewayPermissions, AdministratorsAndOwnersMayAll) {
  json guild = GatewayRig::guild_json();
  guild["members"][0]["roles"] = {"2001"};
  guild["roles"][1]["permissions"] = std::to_string(permission::administrator);
  EXPECT_TRUE(joins(GatewayRig::hidden_channel, guild));
  EXPECT_TRUE(joins(GatewayRig::full_channel, guild));
  guild = GatewayRig::guild_json();
  guild["owner_id"] = std::to_string(GatewayRig::own);
  EXPECT_TRUE(joins(GatewayRig::locked_channel, guild));
}

TEST(GatewayPermissions, FollowTheirChanges) {
  GatewayRig r;
  r.connect();
  r.guild();
  json channel = GatewayRig::channel(3000, 2, "General", 0,
                                     {GatewayRig::overwrite(2000, 0, 0, permission::connect)});
  channel["guild_id"] = "2000";
  r.event("CHANNEL_UPDATE", channel);
  const Guild* guild = r.gateway.guild(2000);
  EXPECT_EQ(guild->join_problem(900, 3000), JoinProblem::NoConnect);
  r.event("GUILD_ROLE_UPDATE",
          {{"guild_id", "2000"}, {"role", {{"id", "2001"}, {"permissions", "8"}}}});
  json member = GatewayRig::member(900, nullptr, nullptr, "bot", true, {"2001"});
  member["guild_id"] = "2000";
  r.event("GUILD_MEMBER_UPDATE", member);
  EXPECT_EQ(guild->join_problem(900, 3000), std::nullopt);
  r.event("GUILD_ROLE_DELETE", {{"guild_id", "2000"}, {"role_id", "2001"}});
  EXPECT_EQ(guild->join_problem(900, 3000), JoinProblem::NoConnect);
  r.event("GUILD_UPDATE", {{"id", "2000"}, {"name", "New"}, {"owner_id", "900"}});
  EXPECT_EQ(guild->join_problem(900, 3000), std::nullopt);
  EXPECT_EQ(guild->name(), "New");
  r.event("CHANNEL_DELETE", {{"guild_id", "2000"}, {"id", "3000"}});
  EXPECT_EQ(guild->join_problem(900, 3000), JoinProblem::NoSuchChannel);
}

TEST(GatewayOutage, IsWaitedOut) {
  GatewayRig r;
  r.sit();
  r.event("GUILD_DELETE", {{"id", "2000"}, {"unavailable", true}});
  EXPECT_EQ(r.count<SeatNotice>(), 1u);
  r.advance(3600s);
  EXPECT_EQ(r.count<SeatFailed>(), 0u);
  json guild = GatewayRig::guild_json();
  guild["voice_states"].push_back(GatewayRig::voice_state(GatewayRig::own, 3000));
  r.event("GUILD_CREATE", guild);
  EXPECT_EQ(r.count<SeatSuspended>(), 0u) << "the call went on";
  r.event("GUILD_DELETE", {{"id", "2000"}, {"unavailable", true}});
  r.guild();
  EXPECT_EQ(r.count<SeatSuspended>(), 1u) << "the outage put the bot out";
  EXPECT_EQ(r.count_sent(4), 2u);
}

TEST(GatewayNames, AreToldWhenKnownAndWhenTheyChange) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.want_name(seat, 11, r.now, r.out);
  ASSERT_EQ(r.count<SeatName>(), 1u);
  EXPECT_EQ(r.last<SeatName>().name, "Nick");
  EXPECT_FALSE(r.last<SeatName>().bot);
  r.gateway.want_name(seat, 13, r.now, r.out);
  EXPECT_TRUE(r.last<SeatName>().bot);
  json d = GatewayRig::voice_state(11, 3000);
  d["guild_id"] = "2000";
  d["member"] = GatewayRig::member(11, "Renamed", nullptr, "user");
  r.event("VOICE_STATE_UPDATE", d);
  EXPECT_EQ(r.last<SeatName>().name, "Renamed");
  r.event("VOICE_STATE_UPDATE", d);
  EXPECT_EQ(r.count<SeatName>(), 3u) << "once a change";
  d["user_id"] = "12";
  d["member"] = GatewayRig::member(12, "Not asked for", nullptr, "user");
  r.event("VOICE_STATE_UPDATE", d);
  EXPECT_EQ(r.count<SeatName>(), 3u);
}

TEST(GatewayNames, UnknownOnesAreRequestedTogether) {
  GatewayRig r;
  const auto seat = r.sit();
  for (std::uint64_t user = 501; user <= 650; ++user) {
    r.gateway.want_name(seat, user, r.now, r.out);
  }
  EXPECT_EQ(r.count_sent(8), 0u);
  r.advance(200ms);
  ASSERT_EQ(r.count_sent(8), 2u) << "at most 100 a request";
  EXPECT_EQ(r.sent(8)[0]["d"]["user_ids"].size() + r.sent(8)[1]["d"]["user_ids"].size(), 150u);
  r.event("GUILD_MEMBERS_CHUNK",
          {{"guild_id", "2000"}, {"members", {GatewayRig::member(501, "Late", nullptr, "u")}}});
  EXPECT_EQ(r.last<SeatName>().user, 501u);
  r.gateway.want_name(seat, 501, r.now, r.out);
  r.advance(60s);
  EXPECT_EQ(r.count_sent(8), 2u);
}

TEST(GatewayNames, TheVoiceStateUsuallyComesBeforeTheRequest) {
  GatewayRig r;
  const auto seat = r.sit();
  r.gateway.want_name(seat, 700, r.now, r.out);
  json d = GatewayRig::voice_state(700, 3000);
  d["guild_id"] = "2000";
  d["member"] = GatewayRig::member(700, nullptr, nullptr, "plain");
  r.event("VOICE_STATE_UPDATE", d);
  EXPECT_EQ(r.last<SeatName>().name, "plain");
  r.advance(1s);
  EXPECT_EQ(r.count_sent(8), 0u);
}
