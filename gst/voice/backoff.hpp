// How soon a lost connection is tried again, for both gateways.
#pragma once

#include "base/time.hpp"

#include <algorithm>
#include <cstdint>

namespace discord::voice {

// How long a connection must hold before earlier failures are forgotten; a server that accepts and
// drops in a circle must not be tried for ever. Two heartbeats show that it holds.
constexpr Duration stable_after(Duration heartbeat_interval) noexcept {
  return std::clamp<Duration>(2 * heartbeat_interval, std::chrono::milliseconds(250),
                              std::chrono::seconds(30));
}

// Where nobody listens, a try costs the other host one packet that its kernel answers, a twentieth
// of what a speaker sends. So it is repeated often, and a server that is back is noticed at once;
// growing pauses are for servers that answer and send us away. Spread by `random`, so that not
// everybody comes in the same moment.
constexpr Duration knock_delay(std::uint64_t random) noexcept {
  return std::chrono::milliseconds(400 - random % 41);
}

}  // namespace discord::voice
