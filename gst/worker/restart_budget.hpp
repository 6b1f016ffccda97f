// How often workers may die, and how long the next start waits.
#pragma once

#include "base/time.hpp"
#include "worker/monotonic.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>

namespace discord::worker {

// Deaths in a minute, all workers together.
class RestartBudget {
 public:
  explicit RestartBudget(std::size_t limit) noexcept : limit_(limit) {}

  // False when that was one too many.
  bool spend(Monotonic now) {
    deaths_.push_back(now);
    while (now - deaths_.front() > period) {
      deaths_.pop_front();
    }
    return deaths_.size() <= limit_;
  }
  std::size_t spent() const noexcept { return deaths_.size(); }

 private:
  static constexpr Duration period = std::chrono::seconds(60);

  std::size_t limit_;
  std::deque<Monotonic> deaths_;
};

// Deaths of one worker and its successors. The first two are replaced at once.
class BackOff {
 public:
  // Before `died`: a worker that had been well for so long starts anew.
  void lived(Duration time) noexcept {
    if (time > good_time) {
      in_a_row_ = 0;
    }
  }
  void died(Monotonic now, Duration at_least = Duration::zero()) noexcept {
    using namespace std::chrono_literals;
    ++in_a_row_;
    const Duration pause =
        in_a_row_ <= 2 ? 0ms : std::min<Duration>(5ms * (1 << std::min(in_a_row_ - 3, 8U)), 1000ms);
    not_before_ = now + std::max(pause, at_least);
  }
  unsigned in_a_row() const noexcept { return in_a_row_; }
  // Of the next start.
  Monotonic not_before() const noexcept { return not_before_; }

 private:
  static constexpr Duration good_time = std::chrono::seconds(10);

  unsigned in_a_row_ = 0;  // without a long good time between
  Monotonic not_before_{};
};

}  // namespace discord::worker
