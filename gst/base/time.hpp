// Time as the core sees it: a number that somebody else read from a clock.
#pragma once

#include <chrono>
#include <optional>

namespace discord {

using Duration = std::chrono::nanoseconds;

// Deliberately without `now()`: nothing below the net room may read a clock, so that tests invent
// time and a capture gives the same result at any speed.
struct CallerClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<CallerClock>;
  static constexpr bool is_steady = true;
};

using Time = CallerClock::time_point;
using Deadline = std::optional<Time>;

constexpr Time time_from_ns(std::int64_t ns) noexcept {
  return Time(Duration(ns));
}
constexpr std::int64_t to_ns(Time t) noexcept {
  return t.time_since_epoch().count();
}

// The earlier of two deadlines, where "none" is later than any.
constexpr Deadline earlier(Deadline a, Deadline b) noexcept {
  if (!a) {
    return b;
  }
  return b && *b < *a ? b : a;
}

}  // namespace discord
