// How long the chaos lasts; `tests/chaos/run` sets it.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace discord::chaos {

// Seconds of the call, at least 3.
inline std::size_t seconds() {
  const char* text = std::getenv("DISCORD_CHAOS_SECONDS");
  const long value = text != nullptr ? std::atol(text) : 0;
  return value >= 3 ? static_cast<std::size_t>(value) : 6;
}

inline std::uint32_t seed() {
  const char* text = std::getenv("DISCORD_CHAOS_SEED");
  return text != nullptr ? static_cast<std::uint32_t>(std::atol(text)) : 1;
}

}  // namespace discord::chaos
