// Where discordvoicebin gets a bot token from when no property has one.
#pragma once

#include "base/secret.hpp"
#include "discord/gstptr.hpp"

#include <optional>
#include <string>

namespace discord {

struct BotAccess {
  SecretString token;
  std::string token_file;
  std::string gateway_url;  // empty: Discord's
};

// From a context of type gst.discord.BotToken: one that `element` was given, or else one that it
// gets by asking for it on the bus.
std::optional<BotAccess> bot_access_from_context(GstElement* element);

// From the folder gst-discord in the user's configuration: the file `bot-token`, and `gateway-url`
// where there is one. For players, which know nothing but an URI.
std::optional<BotAccess> bot_access_from_configuration();
std::string bot_token_path_of_configuration();

}  // namespace discord
