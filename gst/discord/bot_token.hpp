// What the elements read of a context of type gst.discord.BotToken.
#pragma once

namespace discord {

// The library attaches the token, a C string, to the object in the field `bot-token` as data of
// this name, and wipes it with the object. Between the library and the plugin; no part of the ABI.
inline constexpr const char* bot_token_data = "gst-discord-bot-token";

}  // namespace discord
