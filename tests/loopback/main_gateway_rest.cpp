// The REST calls that client libraries make on their way into a voice channel, to post what they
// recorded, and to answer slash commands.
#include "main_gateway.hpp"

#include <filesystem>
#include <fstream>

namespace discord::loopback {

using nlohmann::json;

namespace {

constexpr std::size_t keep = 1000;  // of what is posted and answered

HttpAnswer not_found() {
  return {404, {{"message", "404: Not Found"}, {"code", 0}}};
}

json content_of(const HttpRequest& request) {
  json said = json::parse(request.content, nullptr, false);
  return said.is_discarded() ? json() : said;
}

// What somebody said, whatever it is said to.
std::string text_of(const json& said) {
  const json content = said.is_object() ? said.value("content", json()) : json();
  return content.is_string() ? content.get<std::string>() : std::string();
}

}  // namespace

json MainGateway::message_json(std::uint64_t guild, std::uint64_t channel, json author,
                               std::string content, json attachments) {
  return {{"id", std::to_string(next_message_++)},
          {"channel_id", std::to_string(channel)},
          {"guild_id", std::to_string(guild)},
          {"content", std::move(content)},
          {"author", std::move(author)},
          {"timestamp", "2026-01-01T00:00:00.000000+00:00"},
          {"edited_timestamp", nullptr},
          {"tts", false},
          {"mention_everyone", false},
          {"mentions", json::array()},
          {"mention_roles", json::array()},
          {"attachments", std::move(attachments)},
          {"embeds", json::array()},
          {"pinned", false},
          {"components", json::array()},
          {"type", 0}};
}

// A message in a channel, with its files.
json MainGateway::posted(const HttpRequest& request, std::uint64_t guild, std::uint64_t channel) {
  const std::string content = text_of(content_of(request));
  json files = json::array();
  json attachments = json::array();
  for (const auto& [name, bytes] : request.files) {
    json file = {{"name", name}, {"size", bytes.size()}};
    const std::string id = std::to_string(next_message_++);
    if (!options_.posted_folder.empty()) {
      // The name is the client's; a folder in it must not lead anywhere.
      const auto path = std::filesystem::path(options_.posted_folder) /
                        (id + "-" + std::filesystem::path(name).filename().string());
      std::ofstream(path, std::ios::binary) << bytes;
      file["path"] = path.string();
    }
    files.push_back(std::move(file));
    const std::string url = "https://cdn.invalid/attachments/" + id + "/" + name;
    attachments.push_back(
        {{"id", id}, {"filename", name}, {"size", bytes.size()}, {"url", url}, {"proxy_url", url}});
  }
  if (counters_.posted.size() < keep) {
    counters_.posted.push_back(
        {{"channel_id", std::to_string(channel)}, {"content", content}, {"files", files}});
  }
  return message_json(guild, channel, bot_json(), content, std::move(attachments));
}

// The answers to slash commands: at once, or later in place of "thinking". Their address is the
// proof that they may be given.
HttpAnswer MainGateway::answer_interaction(const std::string& path, const HttpRequest& request) {
  const json said = content_of(request);
  const auto answered = [&](const json& message) {
    if (counters_.answers.size() < keep) {
      counters_.answers.push_back(text_of(message));
    }
  };
  if (path.starts_with("/interactions/")) {
    if (said.is_object() && said.value("type", 0) == 4) {
      answered(said.value("data", json()));
    }
    return {204, nullptr};
  }
  if (path.starts_with("/webhooks/" + std::to_string(options_.bot_user) + "/")) {
    const std::uint64_t guild = host_.guilds().front();
    answered(said);
    return {200, message_json(guild, first_channel_[guild] + guild_channel::text, bot_json(),
                              text_of(said), json::array())};
  }
  return not_found();
}

// The bot says which slash commands it has.
json MainGateway::register_commands(const HttpRequest& request) {
  json commands = content_of(request);
  for (json& command : commands) {
    command["id"] = std::to_string(next_message_++);
    command["application_id"] = std::to_string(options_.bot_user);
    command["version"] = "1";
    command.emplace("default_member_permissions", nullptr);
  }
  return commands;
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
  if (HttpAnswer answer = answer_interaction(path, request); answer.status != 404) {
    return answer;
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
  if (path == "/applications/" + std::to_string(options_.bot_user) + "/commands" &&
      request.method == "PUT") {
    return {200, register_commands(request)};
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
        return {200, posted(request, guild, first_channel_[guild] + offset)};
      }
      if (path == channel + "/typing" && request.method == "POST") {
        return {204, nullptr};
      }
    }
  }
  return not_found();
}

}  // namespace discord::loopback
