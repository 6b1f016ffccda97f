// What the main gateway and REST say of users, guilds and channels.
#include "main_gateway.hpp"

#include <algorithm>

namespace discord::loopback {

using nlohmann::json;

namespace {

constexpr std::uint64_t view_channel = 1u << 10;
constexpr std::uint64_t send_messages = 1u << 11;
constexpr std::uint64_t connect = 1u << 20;
constexpr std::uint64_t full_guests = 800000000000000001u;  // who sits in the full channel

}  // namespace

json MainGateway::user_json(std::uint64_t user, const std::string& name, bool bot) const {
  return {{"id", std::to_string(user)}, {"username", name},
          {"global_name", nullptr},     {"discriminator", "0"},
          {"avatar", nullptr},          {"bot", bot},
          {"public_flags", 0},          {"avatar_decoration", nullptr}};
}

json MainGateway::bot_json() const {
  json user = user_json(options_.bot_user, "loopback-bot", true);
  user["verified"] = true;
  user["mfa_enabled"] = false;
  user["email"] = nullptr;
  user["flags"] = 0;
  return user;
}

json MainGateway::member_json(std::uint64_t, std::uint64_t user, const std::string& name,
                              bool bot) const {
  const auto nick = nicks_.find(user);
  return {{"user", user_json(user, name, bot)},
          {"nick", nick != nicks_.end() && !nick->second.empty() ? json(nick->second) : json()},
          {"roles", json::array()},
          {"joined_at", "2026-01-01T00:00:00.000000+00:00"},
          {"premium_since", nullptr},
          {"avatar", nullptr},
          {"communication_disabled_until", nullptr},
          {"pending", false},
          {"flags", 0},
          {"deaf", false},
          {"mute", false}};
}

json MainGateway::state_json(std::uint64_t guild) {
  const Place place = places_.contains(guild) ? places_[guild] : Place{};
  const Session* session = session_at(place.session);
  return {{"guild_id", std::to_string(guild)},
          {"channel_id", place.channel != 0 ? json(std::to_string(place.channel)) : json()},
          {"user_id", std::to_string(options_.bot_user)},
          {"member", member_json(guild, options_.bot_user, "loopback-bot", true)},
          {"session_id", session != nullptr ? session->id : ""},
          {"deaf", place.deaf},
          {"mute", false},
          {"self_deaf", place.self_deaf},
          {"self_mute", place.self_mute},
          {"self_video", false},
          {"suppress", false},
          {"request_to_speak_timestamp", nullptr}};
}

bool MainGateway::joinable(std::uint64_t guild, std::uint64_t channel) {
  const std::uint64_t first = first_channel_[guild];
  return channel >= first && channel < first + guild_channel::count &&
         channel != first + guild_channel::text && channel != first + guild_channel::full &&
         channel != first + guild_channel::locked && channel != first + guild_channel::hidden;
}

json MainGateway::channel_json(std::uint64_t guild, std::uint64_t offset) {
  static constexpr std::array<const char*, guild_channel::count> names = {
      "General", "Other", "Stage", "text", "Full", "Locked", "Hidden"};
  const bool text = offset == guild_channel::text;
  json overwrites = json::array();
  const std::uint64_t deny = offset == guild_channel::locked   ? connect
                             : offset == guild_channel::hidden ? view_channel
                                                               : 0;
  if (deny != 0) {
    overwrites.push_back({{"id", std::to_string(guild)},
                          {"type", 0},
                          {"allow", "0"},
                          {"deny", std::to_string(deny)}});
  }
  return {{"id", std::to_string(first_channel_[guild] + offset)},
          {"guild_id", std::to_string(guild)},
          {"type", text                             ? 0
                   : offset == guild_channel::stage ? 13
                                                    : 2},
          {"name", names[offset]},
          {"position", offset},
          {"parent_id", nullptr},
          {"nsfw", false},
          {"topic", nullptr},
          {"last_message_id", nullptr},
          {"rate_limit_per_user", 0},
          {"bitrate", 64000},
          {"user_limit", offset == guild_channel::full ? 1 : 0},
          {"rtc_region", nullptr},
          {"permission_overwrites", overwrites}};
}

// Somebody uses a slash command of the bot in the text channel.
json MainGateway::interaction_json(std::uint64_t guild, const MainHost::Person& who,
                                   const json& command) {
  json options = json::array();
  const json given = command.value("options", json::object());
  for (const auto& [name, value] : given.items()) {
    options.push_back({{"name", name}, {"type", 3}, {"value", value}});
  }
  json member = member_json(guild, who.user, who.name, false);
  member["permissions"] = std::to_string(view_channel | send_messages | connect);
  json channel = channel_json(guild, guild_channel::text);
  channel["permissions"] = member["permissions"];
  return {{"id", std::to_string(next_message_++)},
          {"application_id", std::to_string(options_.bot_user)},
          {"type", 2},
          {"token", "interaction-" + std::to_string(next_message_++)},
          {"version", 1},
          {"locale", "en-US"},
          {"guild_id", std::to_string(guild)},
          {"channel_id", channel["id"]},
          {"app_permissions", member["permissions"]},
          {"channel", channel},
          {"entitlements", json::array()},
          {"member", member},
          {"data",
           {{"id", std::to_string(next_message_++)},
            {"name", command.value("name", "")},
            {"type", 1},
            {"options", options}}}};
}

json MainGateway::guild_json(std::uint64_t guild) {
  json channels = json::array();
  for (std::uint64_t offset = 0; offset < guild_channel::count; ++offset) {
    channels.push_back(channel_json(guild, offset));
  }
  json members = {member_json(guild, options_.bot_user, "loopback-bot", true)};
  json states = json::array();
  const auto state = [](std::uint64_t user, std::uint64_t channel, const std::string& session) {
    return json{{"user_id", std::to_string(user)},
                {"channel_id", std::to_string(channel)},
                {"session_id", session},
                {"deaf", false},
                {"mute", false},
                {"self_deaf", false},
                {"self_mute", false},
                {"self_video", false},
                {"suppress", false},
                {"request_to_speak_timestamp", nullptr}};
  };
  for (const MainHost::Person& person : host_.people(guild)) {
    if (!options_.nameless) {
      members.push_back(member_json(guild, person.user, person.name, person.bot));
    }
    states.push_back(state(person.user, host_.call_channel(guild), "of-somebody-else"));
  }
  states.push_back(
      state(full_guests, first_channel_[guild] + guild_channel::full, "of-somebody-else"));
  if (places_.contains(guild)) {
    json own = state_json(guild);
    own.erase("guild_id");
    own.erase("member");
    states.push_back(own);
  }
  json out = {{"id", std::to_string(guild)},
              {"name", "Loopback"},
              {"icon", nullptr},
              {"splash", nullptr},
              {"owner_id", "800000000000000009"},
              {"region", "loopback"},
              {"afk_channel_id", nullptr},
              {"afk_timeout", 300},
              {"verification_level", 0},
              {"default_message_notifications", 0},
              {"explicit_content_filter", 0},
              {"mfa_level", 0},
              {"nsfw_level", 0},
              {"premium_tier", 0},
              {"premium_subscription_count", 0},
              {"premium_progress_bar_enabled", false},
              {"preferred_locale", "en-US"},
              {"system_channel_id", nullptr},
              {"system_channel_flags", 0},
              {"rules_channel_id", nullptr},
              {"features", json::array()},
              {"emojis", json::array()},
              {"stickers", json::array()},
              {"threads", json::array()},
              {"presences", json::array()},
              {"stage_instances", json::array()},
              {"guild_scheduled_events", json::array()},
              {"joined_at", "2026-01-01T00:00:00.000000+00:00"},
              {"large", false},
              {"unavailable", false},
              {"member_count", members.size()},
              {"roles",
               {{{"id", std::to_string(guild)},
                 {"name", "@everyone"},
                 {"permissions", std::to_string(view_channel | send_messages | connect)},
                 {"position", 0},
                 {"color", 0},
                 {"hoist", false},
                 {"managed", false},
                 {"mentionable", false},
                 {"flags", 0}}}},
              {"channels", channels},
              {"members", members},
              {"voice_states", states}};
  if (options_.ballast > 0) {
    out["presences"].push_back({{"status", std::string(options_.ballast, 'x')}});
  }
  return out;
}

}  // namespace discord::loopback
