// Where in a long signal a short one is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace discord::e2e {

struct Match {
  std::int64_t at = 0;     // index in the long signal, where it correlates best
  double correlation = 0;  // -1 to 1
};

// Searches indices `from` to `to`, both included; outside of `in` there is silence. Both signals
// are interleaved stereo, indices count frames; the place is found on the sum of the channels, the
// correlation is that of both.
Match find(std::span<const std::int16_t> what, std::span<const std::int16_t> in, std::int64_t from,
           std::int64_t to);

// The correlation at one place.
double correlation_at(std::span<const std::int16_t> what, std::span<const std::int16_t> in,
                      std::int64_t at);

}  // namespace discord::e2e
