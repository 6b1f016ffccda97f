// The pool's own clock: when workers hang or rest has nothing to do with stream time.
#pragma once

#include <chrono>

namespace discord::worker {

using Monotonic = std::chrono::steady_clock::time_point;

inline Monotonic clock_now() {
  return std::chrono::steady_clock::now();
}

}  // namespace discord::worker
