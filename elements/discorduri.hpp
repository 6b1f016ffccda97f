// `discord://<guild>/<channel>[?output=<what>]`
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace discord {

struct DiscordUri {
  std::uint64_t guild = 0;
  std::uint64_t channel = 0;
  std::string output;  // empty where the URI does not say
};

struct ParsedUri {
  DiscordUri uri;
  // A sentence, empty when the URI could be used. It repeats nothing of the URI: whatever was
  // refused may be a secret, and errors are printed.
  std::string problem;
};

// Nothing but who is meant is taken from an URI. It may come from a stranger's page or playlist, so
// it can neither carry a token nor say where one is sent.
ParsedUri parse_discord_uri(std::string_view text);

std::string to_string(const DiscordUri& uri);

}  // namespace discord
