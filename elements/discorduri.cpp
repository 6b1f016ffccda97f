// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/discorduri.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace discord {

namespace {

constexpr std::string_view scheme = "discord://";

bool has_scheme(std::string_view text) {
  return text.size() >= scheme.size() &&
         std::equal(scheme.begin(), scheme.end(), text.begin(), [](char ours, char theirs) {
           return ours == (theirs >= 'A' && theirs <= 'Z' ? theirs - 'A' + 'a' : theirs);
         });
}

std::optional<std::uint64_t> snowflake(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) {
    return std::nullopt;
  }
  return value;
}

ParsedUri refuse(std::string problem) {
  return {{}, std::move(problem)};
}

}  // namespace

ParsedUri parse_discord_uri(std::string_view text) {
  if (!has_scheme(text)) {
    return refuse("The URI does not begin with discord://.");
  }
  text.remove_prefix(scheme.size());
  if (text.find('@') != std::string_view::npos) {
    return refuse(
        "A discord:// URI has no user part: URIs are shown and logged, so a token has no place in "
        "one. Set bot-token-file, or hand the token over in a context gst.discord.BotToken.");
  }
  ParsedUri out;
  if (const std::size_t at = text.find_first_of("?#"); at != std::string_view::npos) {
    constexpr std::string_view known = "?output=";
    const std::string_view behind = text.substr(at);
    text = text.substr(0, at);
    out.uri.output = behind.starts_with(known) ? behind.substr(known.size()) : std::string_view();
    if (out.uri.output != "mix" && out.uri.output != "raw" && out.uri.output != "opus") {
      return refuse(
          "Behind a discord:// URI there may be ?output=mix, ?output=raw or ?output=opus, and "
          "nothing else. A token has no place in an URI: set bot-token-file, or hand it over in a "
          "context gst.discord.BotToken.");
    }
  }
  if (text.ends_with('/')) {
    text.remove_suffix(1);
  }
  const std::size_t slash = text.find('/');
  const auto guild = snowflake(text.substr(0, slash));
  const auto channel =
      slash != std::string_view::npos ? snowflake(text.substr(slash + 1)) : std::nullopt;
  if (!guild || !channel) {
    return refuse(
        "The URI is not discord://GUILD/CHANNEL with the two ids as numbers. Switch on Developer "
        "Mode in Discord (Settings, Advanced) to copy them from the menus of the server and of "
        "the channel.");
  }
  out.uri.guild = *guild;
  out.uri.channel = *channel;
  return out;
}

std::string to_string(const DiscordUri& uri) {
  std::string out(scheme);
  out += std::to_string(uri.guild) + "/" + std::to_string(uri.channel);
  return uri.output.empty() ? out : out + "?output=" + uri.output;
}

}  // namespace discord
