// When a recording ends by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace recorder {

struct Rules {
  double max_seconds = 0;       // 0: none, as in all of them
  std::uint64_t max_bytes = 0;  // of all files together
  std::uint64_t min_free = 0;   // bytes left on the disk
  double empty_seconds = 0;     // nobody else in the call for so long
};

// What the rules look at.
struct Situation {
  double seconds = 0;  // since the recording began
  std::uint64_t bytes = 0;
  std::uint64_t free_bytes = UINT64_MAX;
  std::optional<double> empty_since;  // seconds at which the last person left
};

// Why it ends now, as a sentence; none when it goes on.
std::optional<std::string> reason_to_stop(const Rules& rules, const Situation& now);

// "90", "1:30", "1:30:00", "90s", "45m", "2h": seconds, more than none.
std::optional<double> parse_duration(const std::string& text);
// "500000", "100k", "2M", "4G" (powers of 1000): bytes, more than none.
std::optional<std::uint64_t> parse_size(const std::string& text);

}  // namespace recorder
