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

HttpAnswer not_found() {
  return {404, {{"message", "404: Not Found"}, {"code", 0}}};
}

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

// REST, as far as client libraries go on their way into a voice channel and to post what they
// recorded.
HttpAnswer MainGateway::request(const HttpRequest& request) {
  ++counters_.requests;
  std::string path = request.path;
  for (const char* prefix : {"/api/v10", "/api/v9", "/api"}) {
    if (path.starts_with(prefix)) {
      path = path.substr(std::string_view(prefix).size());
      break;
    }
  }
  const std::string endpoint = host_.voice_endpoint(request.tls);
  const std::string gateway = request.tls ? "wss://" + endpoint : endpoint;
  if (path == "/gateway") {
    return {200, {{"url", gateway}}};
  }
  if (request.authorization != "Bot " + options_.bot_token) {
    return {401, {{"message", "401: Unauthorized"}, {"code", 0}}};
  }
  if (path == "/gateway/bot") {
    return {200,
            {{"url", gateway},
             {"shards", 1},
             {"session_start_limit",
              {{"total", 1000},
               {"remaining", 1000 - static_cast<int>(counters_.identified % 1000)},
               {"reset_after", 86400000},
               {"max_concurrency", 1}}}}};
  }
  if (path == "/users/@me") {
    return {200, bot_json()};
  }
  if (path == "/oauth2/applications/@me" || path == "/applications/@me") {
    return {200,
            {{"id", std::to_string(options_.bot_user)},
             {"name", "loopback-bot"},
             {"icon", nullptr},
             {"description", ""},
             {"bot_public", true},
             {"bot_require_code_grant", false},
             {"verify_key", std::string(64, '0')},
             {"flags", 0},
             {"owner", user_json(800000000000000009u, "owner", false)},
             {"team", nullptr}}};
  }
  for (const std::uint64_t guild : host_.guilds()) {
    const std::string id = std::to_string(guild);
    if (path == "/guilds/" + id) {
      return {200, guild_json(guild)};
    }
    if (path == "/guilds/" + id + "/channels") {
      return {200, guild_json(guild)["channels"]};
    }
    for (std::uint64_t offset = 0; offset < guild_channel::count; ++offset) {
      const std::string channel = "/channels/" + std::to_string(first_channel_[guild] + offset);
      if (path == channel) {
        return {200, channel_json(guild, offset)};
      }
      if (path == channel + "/messages" && request.method == "POST") {
        const json said = json::parse(request.content, nullptr, false);
        json files = json::array();
        json attachments = json::array();
        for (const auto& [name, size] : request.files) {
          files.push_back({{"name", name}, {"size", size}});
          attachments.push_back({{"id", std::to_string(next_message_++)},
                                 {"filename", name},
                                 {"size", size},
                                 {"url", gateway + "/attachments/" + name},
                                 {"proxy_url", gateway + "/attachments/" + name}});
        }
        const json content = said.is_object() ? said.value("content", json("")) : json("");
        if (counters_.posted.size() < 1000) {
          counters_.posted.push_back(
              {{"channel_id", std::to_string(first_channel_[guild] + offset)},
               {"content", content},
               {"files", files}});
        }
        return {200,
                {{"id", std::to_string(next_message_++)},
                 {"channel_id", std::to_string(first_channel_[guild] + offset)},
                 {"guild_id", id},
                 {"content", content.is_string() ? content : json("")},
                 {"author", bot_json()},
                 {"timestamp", "2026-01-01T00:00:00.000000+00:00"},
                 {"edited_timestamp", nullptr},
                 {"tts", false},
                 {"mention_everyone", false},
                 {"mentions", json::array()},
                 {"mention_roles", json::array()},
                 {"attachments", attachments},
                 {"embeds", json::array()},
                 {"pinned", false},
                 {"components", json::array()},
                 {"type", 0}}};
      }
      if (path == channel + "/typing" && request.method == "POST") {
        return {204, nullptr};
      }
    }
  }
  return not_found();
}

}  // namespace discord::loopback
