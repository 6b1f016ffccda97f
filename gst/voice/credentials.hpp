// What a voice connection needs to know before it starts, and whether it can be right at all.
#pragma once

#include "base/result.hpp"
#include "base/secret.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace discord::voice {

// The values a Discord library learns from VOICE_STATE_UPDATE and VOICE_SERVER_UPDATE when it
// joins. They belong to one join: after a move, a region change or close code 4006 all of them are
// stale.
struct Credentials {
  std::string endpoint;    // host and port as Discord gave them; see gateway_url()
  std::string session_id;  // from the own VOICE_STATE_UPDATE
  SecretString token;      // from VOICE_SERVER_UPDATE; not the bot token
  std::uint64_t user_id = 0;
  std::uint64_t guild_id = 0;
  std::uint64_t channel_id = 0;  // voice gateway v8 does not send it; 0 when unknown
};

enum class EndpointError {
  Empty,
  UnknownScheme,     // neither wss:// nor ws://
  PlainNotLoopback,  // ws:// to anything but a literal 127.0.0.0/8 or [::1]
  BadHost,
  BadPort,
  HasPath,  // a path, query or fragment follows
};

// One sentence for the user: what is wrong with the endpoint and what it should look like.
std::string_view describe(EndpointError error) noexcept;

// The URL of the voice gateway. No scheme means wss://; the port is kept, because Discord's is
// often not 443 and dropping it ends in close code 4006. Plain ws:// only reaches the loopback
// interface, since the token travels in it.
Result<std::string, EndpointError> gateway_url(std::string_view endpoint);

// The URL of a WebSocket at `endpoint` under the same rules, followed by `path_and_query`.
Result<std::string, EndpointError> websocket_url(std::string_view endpoint,
                                                 std::string_view path_and_query);

// The host of an endpoint that websocket_url() accepts, in lower case, without scheme and port.
std::string endpoint_host(std::string_view endpoint);

// Empty when the values can be used, otherwise one sentence that names every missing or invalid one
// as its property is called. Never contains the token.
std::string problems(const Credentials& credentials);

}  // namespace discord::voice
