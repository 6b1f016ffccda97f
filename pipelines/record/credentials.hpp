// How a recorder gets into a call.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace recorder {

// What discordvoicesrc needs; empty or 0 where nothing was said.
struct Credentials {
  std::string endpoint;
  std::string session_id;
  std::string token;  // only from JSON, never from the arguments, which everybody can read
  std::string token_file;
  std::string bot_token_file;
  std::string gateway_url;
  std::string tls_ca_file;
  std::uint64_t user_id = 0;
  std::uint64_t guild_id = 0;
  std::uint64_t channel_id = 0;

  bool empty() const { return endpoint.empty() && bot_token_file.empty(); }
  // Fills in what `object` names ("endpoint", "session_id", "token", "token_file",
  // "bot_token_file", "gateway_url", "tls_ca_file", "user_id", "guild_id", "channel_id"; ids are
  // strings, since JavaScript's numbers lose their last digits). The error is a sentence.
  std::optional<std::string> take(const nlohmann::json& object);
  // What is missing for a call, as names; empty when all is there.
  std::vector<std::string> missing() const;
};

// A snowflake: decimal digits, not 0.
std::optional<std::uint64_t> parse_id(const std::string& text);

}  // namespace recorder
