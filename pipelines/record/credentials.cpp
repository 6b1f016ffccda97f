// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/credentials.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace recorder {

std::optional<std::uint64_t> parse_id(const std::string& text) {
  std::uint64_t id = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, id);
  if (error != std::errc() || stop != end || id == 0) {
    return std::nullopt;
  }
  return id;
}

std::optional<std::string> Credentials::take(const nlohmann::json& object) {
  if (!object.is_object()) {
    return "Credentials must be a JSON object.";
  }
  const std::pair<const char*, std::string*> texts[] = {
      {"endpoint", &endpoint},
      {"session_id", &session_id},
      {"token", &token},
      {"token_file", &token_file},
      {"bot_token_file", &bot_token_file},
      {"gateway_url", &gateway_url},
      {"tls_ca_file", &tls_ca_file},
  };
  for (const auto& [key, into] : texts) {
    const auto value = object.find(key);
    if (value == object.end() || value->is_null()) {
      continue;
    }
    if (!value->is_string()) {
      return std::string("\"") + key + "\" must be a string.";
    }
    *into = value->get<std::string>();
  }
  const std::pair<const char*, std::uint64_t*> ids[] = {
      {"user_id", &user_id}, {"guild_id", &guild_id}, {"channel_id", &channel_id}};
  for (const auto& [key, into] : ids) {
    const auto value = object.find(key);
    if (value == object.end() || value->is_null()) {
      continue;
    }
    const auto id = value->is_string() ? parse_id(value->get<std::string>()) : std::nullopt;
    if (!id) {
      return std::string("\"") + key +
             "\" must be a string of digits; a number would lose its last ones.";
    }
    *into = *id;
  }
  return std::nullopt;
}

std::vector<std::string> Credentials::missing() const {
  std::vector<std::string> out;
  const auto need = [&](bool there, const char* name) {
    if (!there) {
      out.emplace_back(name);
    }
  };
  if (bot_token_file.empty()) {
    need(!endpoint.empty(), "endpoint");
    need(!session_id.empty(), "session-id");
    need(!token.empty() || !token_file.empty(), "token-file");
    need(user_id != 0, "user-id");
  }
  need(guild_id != 0, "guild-id");
  need(channel_id != 0, "channel-id");
  return out;
}

}  // namespace recorder
