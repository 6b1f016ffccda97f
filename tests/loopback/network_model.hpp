// What a bad network does to one speaker's packets: loss, displacement, duplication, jitter.
#pragma once

#include "base/time.hpp"
#include "random.hpp"

namespace discord::loopback {

// Rates are percentages of packets, 0 to 100.
struct NetworkOptions {
  double loss = 0;
  double loss_burst = 1;  // mean length of a run of lost packets, >= 1
  double reorder = 0;     // share of packets that arrive `reorder_delay` later than they should
  Duration reorder_delay = std::chrono::milliseconds(60);
  double duplicate = 0;
  Duration duplicate_delay = std::chrono::milliseconds(5);
  Duration jitter{0};  // uniform in [0, jitter]; by itself it never changes the order
};

// One packet's fate. `at` is when it reaches the client.
struct Fate {
  bool lost = false;
  Duration at{0};
  std::optional<Duration> duplicate_at;
};

// Deterministic: the same seed, options and due times give the same fates, and each packet takes
// the same number of draws whatever the rates are.
class NetworkModel {
 public:
  NetworkModel(const NetworkOptions& options, std::uint64_t seed) noexcept;

  void set_options(const NetworkOptions& options) noexcept { options_ = options; }
  const NetworkOptions& options() const noexcept { return options_; }

  // Call once per packet in order of `due`.
  Fate next(Duration due) noexcept;

 private:
  NetworkOptions options_;
  Random random_;
  bool in_loss_ = false;
  Duration last_{Duration::min()};
};

}  // namespace discord::loopback
