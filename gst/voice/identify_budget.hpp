// How often a bot may identify: Discord resets the token of one that does it 1000 times a day.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace discord::voice::gateway {

// Counts in seconds of the calendar, because it has to hold over restarts of the machine.
class IdentifyBudget {
 public:
  static constexpr std::int64_t day = 86'400;
  static constexpr std::int64_t hour = 3'600;
  static constexpr std::size_t a_day = 900;  // of the 1000 allowed
  static constexpr std::size_t free_an_hour = 6;
  static constexpr std::int64_t shortest = 5;   // one may identify every five seconds
  static constexpr std::int64_t longest = 300;  // 288 a day: never burns the budget

  IdentifyBudget() = default;
  // What was kept from before, in any order.
  explicit IdentifyBudget(std::vector<std::int64_t> times) : times_(std::move(times)) {
    std::sort(times_.begin(), times_.end());
  }

  // The earliest moment for the next Identify; not later than `now` when it may go out.
  std::int64_t earliest(std::int64_t now) {
    prune(now);
    if (times_.empty()) {
      return now;
    }
    const auto in_last_hour = static_cast<std::size_t>(
        times_.end() - std::upper_bound(times_.begin(), times_.end(), now - hour));
    std::int64_t gap = shortest;
    for (std::size_t i = free_an_hour; i < in_last_hour && gap < longest; ++i) {
      gap = std::min(2 * gap, longest);
    }
    std::int64_t at = times_.back() + gap;
    if (times_.size() >= a_day) {
      at = std::max(at, times_[times_.size() - a_day] + day);
    }
    return at;
  }

  void note(std::int64_t now) {
    prune(now);
    times_.push_back(now);
  }

  const std::vector<std::int64_t>& times() const noexcept { return times_; }

 private:
  void prune(std::int64_t now) {
    std::erase_if(times_, [&](std::int64_t t) { return t <= now - day; });
    // A clock that was set back must not lock the bot out.
    for (std::int64_t& t : times_) {
      t = std::min(t, now);
    }
    if (times_.size() > 1000) {
      times_.erase(times_.begin(), times_.end() - 1000);
    }
  }

  std::vector<std::int64_t> times_;
};

}  // namespace discord::voice::gateway
