#include "media/timeline.hpp"

#include <algorithm>
#include <iterator>

namespace discord::media {

namespace {

// 48000 samples a second are 6 in 125000 ns.
constexpr std::int64_t group_samples = 6;
constexpr std::int64_t group_ns = 125000;

struct Split {
  std::int64_t whole;
  std::int64_t rest;  // 0 <= rest < divisor
};
constexpr Split split(std::int64_t value, std::int64_t divisor) noexcept {
  Split out{value / divisor, value % divisor};
  if (out.rest < 0) {
    --out.whole;
    out.rest += divisor;
  }
  return out;
}

}  // namespace

std::int64_t samples_from_duration(Duration duration) noexcept {
  const Split s = split(duration.count(), group_ns);
  return s.whole * group_samples + (s.rest * group_samples + group_ns / 2) / group_ns;
}

Duration duration_from_samples(std::int64_t samples) noexcept {
  const Split s = split(samples, group_samples);
  return Duration(s.whole * group_ns + (s.rest * group_ns + group_samples / 2) / group_samples);
}

void Timeline::Slack::add(std::int64_t slack, Time arrival) noexcept {
  if (!has_) {
    has_ = true;
    first_ = since_ = arrival;
    now_ = {slack, slack};
  } else if (arrival - since_ >= block) {
    before_ = now_;
    has_before_ = true;
    since_ = arrival;
    now_ = {slack, slack};
  } else {
    now_ = {std::min(now_.least, slack), std::max(now_.most, slack)};
  }
}

void Timeline::Slack::moved(std::int64_t samples) noexcept {
  for (Range* range : {&now_, &before_}) {
    range->least -= samples;
    range->most -= samples;
  }
}

std::int64_t Timeline::Slack::least() const noexcept {
  return has_before_ ? std::min(now_.least, before_.least) : now_.least;
}

std::int64_t Timeline::Slack::spread() const noexcept {
  return (has_before_ ? std::max(now_.most, before_.most) : now_.most) - least();
}

bool Timeline::Slack::settled(Time arrival) const noexcept {
  return has_ && arrival - first_ >= block / 2;
}

void Timeline::Slack::save(State& state) const noexcept {
  state.slack[0] = now_.least;
  state.slack[1] = now_.most;
  state.slack[2] = before_.least;
  state.slack[3] = before_.most;
  state.slack_since = to_ns(since_);
  state.slack_first = to_ns(first_);
  state.slack_has = has_;
  state.slack_has_before = has_before_;
}

void Timeline::Slack::restore(const State& state) noexcept {
  now_ = {state.slack[0], state.slack[1]};
  before_ = {state.slack[2], state.slack[3]};
  since_ = time_from_ns(state.slack_since);
  first_ = time_from_ns(state.slack_first);
  has_ = state.slack_has != 0;
  has_before_ = state.slack_has_before != 0;
}

Timeline::State Timeline::save() const noexcept {
  State out;
  out.zero = to_ns(zero_);
  out.end = end_;
  out.offset = offset_;
  out.expected = expected_;
  out.last_arrival = to_ns(last_arrival_);
  out.correcting_since = to_ns(correcting_since_);
  out.last_step = to_ns(last_step_);
  out.duration = duration_;
  out.silences = silences_;
  out.started = started_;
  out.correcting = correcting_;
  slack_.save(out);
  return out;
}

bool Timeline::restore(const State& state) noexcept {
  // Far beyond any call, and far from where sums of a few of them overflow.
  constexpr std::int64_t limit = std::int64_t{1} << 60;
  const auto plausible = [](std::int64_t value) { return value > -limit && value < limit; };
  if (!plausible(state.zero) || state.end < 0 || !plausible(state.end) ||
      !plausible(state.offset) || state.expected >= static_cast<std::uint64_t>(limit) ||
      !plausible(state.last_arrival) || !plausible(state.correcting_since) ||
      !plausible(state.last_step) ||
      !std::all_of(std::begin(state.slack), std::end(state.slack), plausible) ||
      !plausible(state.slack_since) || !plausible(state.slack_first) || state.duration == 0 ||
      state.duration > 5760) {
    return false;
  }
  zero_ = time_from_ns(state.zero);
  end_ = state.end;
  offset_ = state.offset;
  expected_ = state.expected;
  last_arrival_ = time_from_ns(state.last_arrival);
  correcting_since_ = time_from_ns(state.correcting_since);
  last_step_ = time_from_ns(state.last_step);
  duration_ = state.duration;
  silences_ = state.silences;
  started_ = state.started != 0;
  correcting_ = state.correcting != 0;
  slack_.restore(state);
  return true;
}

Placement Timeline::place(const TimelineFrame& frame) noexcept {
  const std::int64_t arrived =
      std::max<std::int64_t>(0, samples_from_duration(frame.arrival - zero_));
  const auto duration = static_cast<std::int64_t>(frame.duration);
  // Reordered packets have older arrivals than the one before; time itself has not gone back.
  const Time now = std::max(frame.arrival, last_arrival_);
  if (started_ && end_ - samples_from_duration(now - zero_) > max_ahead) {
    return cut(frame);
  }
  const std::int64_t by_rtp =
      static_cast<std::int64_t>(frame.timestamp + static_cast<std::uint64_t>(offset_));
  Placement out;
  out.new_spurt = begins_spurt(frame, by_rtp - arrived);
  std::int64_t start = 0;
  if (out.new_spurt) {
    start = std::max(anchor(frame, by_rtp, arrived), end_);
  } else {
    const std::int64_t shift = correction(frame);
    slack_.moved(shift);
    start = std::max(by_rtp, end_) + shift;
  }
  slack_.add(arrived - start, frame.arrival);

  if (start < end_) {
    out.trim = static_cast<std::uint32_t>(std::min(end_ - start, duration));
  }
  out.sample = std::max(start, end_);
  const auto gap = static_cast<std::uint64_t>(out.sample - end_);
  out.lost_before = std::min(gap, loss(frame));
  out.pause_before = gap - out.lost_before;

  end_ = std::max(end_, start + duration);
  remember(frame, start - static_cast<std::int64_t>(frame.timestamp));
  return out;
}

// A sender that pours in packets faster than time passes must not fill hours.
Placement Timeline::cut(const TimelineFrame& frame) noexcept {
  Placement out;
  out.sample = end_;
  out.trim = frame.duration;
  remember(frame, end_ - static_cast<std::int64_t>(frame.timestamp + frame.duration));
  return out;
}

void Timeline::remember(const TimelineFrame& frame, std::int64_t offset) noexcept {
  started_ = true;
  offset_ = offset;
  expected_ = frame.timestamp + frame.duration;
  duration_ = frame.duration;
  last_arrival_ = std::max(last_arrival_, frame.arrival);
  silences_ = frame.silence ? silences_ + 1 : 0;
}

bool Timeline::begins_spurt(const TimelineFrame& frame, std::int64_t ahead) const noexcept {
  if (!started_ || frame.resync || frame.arrival - last_arrival_ >= quiet_gap) {
    return true;
  }
  if (silences_ >= silence_run && !frame.silence) {
    return true;
  }
  if (ahead > max_ahead || ahead < -max_ahead) {
    return true;
  }
  const auto jump = static_cast<std::int64_t>(frame.timestamp - expected_);
  return frame.lost_packets == 0 ? jump >= step || jump <= -step : !loss_fits(frame, jump);
}

// Whether that many packets can have filled that stretch of timestamps: at least 2.5 ms each, at
// most what this sender's packets last.
bool Timeline::loss_fits(const TimelineFrame& frame, std::int64_t jump) const noexcept {
  const auto lost = static_cast<std::int64_t>(std::min(frame.lost_packets, max_loss));
  const auto longest =
      static_cast<std::int64_t>(std::max({duration_, frame.duration, std::uint32_t{960}}));
  return jump >= lost * step && jump <= lost * longest;
}

std::uint64_t Timeline::loss(const TimelineFrame& frame) const noexcept {
  if (!started_ || frame.resync || frame.lost_packets == 0) {
    return 0;
  }
  const auto jump = static_cast<std::int64_t>(frame.timestamp - expected_);
  return loss_fits(frame, jump) ? static_cast<std::uint64_t>(jump)
                                : std::min(frame.lost_packets, max_loss) * duration_;
}

std::int64_t Timeline::anchor(const TimelineFrame& frame, std::int64_t by_rtp,
                              std::int64_t arrived) noexcept {
  correcting_ = false;
  if (started_ && !frame.resync) {
    const std::int64_t slack = arrived - by_rtp;
    const std::int64_t tolerance = std::max<std::int64_t>(agreement, frame.duration) +
                                   std::min(slack_.spread(), jitter_allowance);
    if (slack >= -tolerance && slack <= tolerance) {
      // The timestamps went on through the pause. Its silence takes up the drift: the fastest
      // packet of late, this one included, is put where it arrived.
      const std::int64_t start = std::max(by_rtp + std::min(slack_.least(), slack), end_);
      slack_.moved(start - by_rtp);
      return start;
    }
  }
  slack_.reset();
  return arrived;
}

std::int64_t Timeline::correction(const TimelineFrame& frame) noexcept {
  if (!slack_.settled(frame.arrival)) {
    return 0;
  }
  const std::int64_t drift = slack_.least();
  const std::int64_t size = drift < 0 ? -drift : drift;
  if (frame.silence && silences_ >= silence_run) {
    const auto most = static_cast<std::int64_t>(frame.duration);
    return size > step ? std::clamp(drift, -most, most) : 0;
  }
  if (!correcting_ && size > drift_limit) {
    correcting_ = true;
    correcting_since_ = frame.arrival;
  } else if (correcting_ && size <= step) {
    correcting_ = false;
  }
  if (!correcting_ || frame.arrival - last_step_ < step_interval) {
    return 0;
  }
  if (!frame.quiet && frame.arrival - std::max(correcting_since_, last_step_) < step_patience) {
    return 0;
  }
  last_step_ = frame.arrival;
  return std::clamp(drift, -step, step);
}

}  // namespace discord::media
