#include "network_model.hpp"

#include <algorithm>

namespace discord::loopback {

NetworkModel::NetworkModel(const NetworkOptions& options, std::uint64_t seed) noexcept
    : options_(options), random_(seed) {}

Fate NetworkModel::next(Duration due) noexcept {
  const double loss_draw = random_.unit() * 100.0;
  const double jitter_draw = random_.unit();
  const bool displaced = random_.percent(options_.reorder);
  const bool duplicated = random_.percent(options_.duplicate);

  // Two-state model (Gilbert): runs of mean length `burst`, long-run rate `loss`.
  const double burst = std::max(1.0, options_.loss_burst);
  const double rate = std::clamp(options_.loss, 0.0, 100.0);
  if (rate >= 100.0) {
    in_loss_ = true;
  } else if (burst <= 1.0) {
    in_loss_ = loss_draw < rate;
  } else if (in_loss_) {
    in_loss_ = loss_draw >= 100.0 / burst;
  } else {
    in_loss_ = loss_draw < 100.0 * (rate / burst) / (100.0 - rate);
  }

  Fate fate;
  fate.lost = in_loss_;
  const auto jitter = Duration(
      static_cast<Duration::rep>(jitter_draw * static_cast<double>(options_.jitter.count())));
  fate.at = due + jitter;
  if (displaced) {
    fate.at = due + jitter + options_.reorder_delay;
  } else {
    // A queue in a router delays but keeps the order; only displacement changes it.
    fate.at = std::max(fate.at, last_);
    last_ = fate.at;
  }
  if (duplicated) {
    fate.duplicate_at = fate.at + options_.duplicate_delay;
  }
  return fate;
}

}  // namespace discord::loopback
