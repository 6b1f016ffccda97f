// Where on the common clock each frame of one SSRC belongs.
#pragma once

#include "base/time.hpp"

#include <cstdint>

namespace discord::media {

// Samples at 48 kHz and nanoseconds, each rounded to the nearest; exact to one unit at any distance
// from zero, so nothing adds up over days.
std::int64_t samples_from_duration(Duration duration) noexcept;
Duration duration_from_samples(std::int64_t samples) noexcept;

// Below this (RFC 6464, -dBov) a correction of 2.5 ms, or a packet less, is not heard.
inline constexpr std::uint8_t quiet_level = 50;

// A frame as it leaves the reorder queue.
struct TimelineFrame {
  std::uint64_t timestamp = 0;     // RTP timestamp, unwrapped to 64 bit
  std::uint64_t lost_packets = 0;  // missing before it by sequence; 0 = contiguous
  Time arrival{};                  // of the packet itself, not of its release
  std::uint32_t duration = 960;    // samples, 1-5760 (`parse_opus_packet`)
  bool silence = false;            // a silence frame
  bool resync = false;             // the sender restarted its numbering
  bool quiet = false;              // little energy: a correction of 2.5 ms will not be heard
};

// Always: sample == end of the frame before (0 at first) + lost_before + pause_before, and the
// frame takes [sample, sample + duration - trim).
struct Placement {
  std::int64_t sample = 0;         // since the clock zero, at 48 kHz
  std::uint64_t lost_before = 0;   // samples to conceal
  std::uint64_t pause_before = 0;  // samples of silence, after those
  std::uint32_t trim = 0;          // samples to cut off the frame's front, because the sender's
                                   // clock runs ahead of ours; rarely more than 120
  bool new_spurt = false;
};

// One talk spurt follows its RTP timestamps; each is anchored to arrival. The rule with its numbers
// is in docs/design/media.md. Positions never overlap and never go back.
class Timeline {
 public:
  static constexpr std::int64_t step = 120;         // 2.5 ms, largest correction inside a spurt
  static constexpr std::int64_t drift_limit = 480;  // 10 ms, tolerated inside a spurt
  static constexpr std::int64_t agreement = 960;    // 20 ms, or one frame where that is longer
  static constexpr std::int64_t jitter_allowance = 4800;  // 100 ms at most are added to that
  static constexpr std::int64_t max_ahead = 480000;       // 10 s; what runs further ahead is cut
  static constexpr unsigned silence_run = 2;              // silence frames that end a spurt
  static constexpr Duration quiet_gap = std::chrono::milliseconds(200);
  static constexpr Duration block = std::chrono::seconds(2);  // of the drift measurement
  static constexpr Duration step_interval = std::chrono::milliseconds(100);
  static constexpr Duration step_patience = std::chrono::seconds(1);

  // `zero`: the start of the recording on the caller's clock; what arrives before lands on 0.
  explicit Timeline(Time zero = Time{}) noexcept : zero_(zero) {}

  Placement place(const TimelineFrame& frame) noexcept;

  // Everything it knows, as plain numbers: for a successor in another process.
  struct State {
    std::int64_t zero = 0;
    std::int64_t end = 0;
    std::int64_t offset = 0;
    std::uint64_t expected = 0;
    std::int64_t last_arrival = 0;
    std::int64_t correcting_since = 0;
    std::int64_t last_step = 0;
    std::int64_t slack[4] = {};  // least and most, now and before
    std::int64_t slack_since = 0;
    std::int64_t slack_first = 0;
    std::uint32_t duration = 960;
    std::uint32_t silences = 0;
    std::uint8_t started = 0;
    std::uint8_t correcting = 0;
    std::uint8_t slack_has = 0;
    std::uint8_t slack_has_before = 0;
    std::uint8_t reserved[4] = {};
  };
  State save() const noexcept;
  // Goes on where another stopped. False, and nothing changes, when the numbers cannot have come
  // from a timeline: they may have been in the hands of an attacker.
  bool restore(const State& state) noexcept;

  // End of the last frame, in samples since zero.
  std::int64_t position() const noexcept { return end_; }
  // The time on the caller's clock of a sample index.
  Time time_of(std::int64_t sample) const noexcept { return zero_ + duration_from_samples(sample); }
  Time zero() const noexcept { return zero_; }

 private:
  // Smallest and largest arrival - position over the last one to two blocks: the smallest is what a
  // packet without delay in the network has, so its movement is drift.
  class Slack {
   public:
    void add(std::int64_t slack, Time arrival) noexcept;
    // Positions moved by `samples`, so everything measured before is that much less.
    void moved(std::int64_t samples) noexcept;
    void reset() noexcept { *this = Slack{}; }
    bool empty() const noexcept { return !has_; }
    std::int64_t least() const noexcept;
    std::int64_t spread() const noexcept;
    // Enough has been seen to call a difference drift.
    bool settled(Time arrival) const noexcept;
    void save(State& state) const noexcept;
    void restore(const State& state) noexcept;

   private:
    struct Range {
      std::int64_t least;
      std::int64_t most;
    };
    Range now_{};
    Range before_{};
    Time since_{};
    Time first_{};
    bool has_ = false;
    bool has_before_ = false;
  };

  Placement cut(const TimelineFrame& frame) noexcept;
  void remember(const TimelineFrame& frame, std::int64_t offset) noexcept;
  bool begins_spurt(const TimelineFrame& frame, std::int64_t ahead) const noexcept;
  bool loss_fits(const TimelineFrame& frame, std::int64_t jump) const noexcept;
  std::uint64_t loss(const TimelineFrame& frame) const noexcept;
  std::int64_t anchor(const TimelineFrame& frame, std::int64_t by_rtp,
                      std::int64_t arrived) noexcept;
  std::int64_t correction(const TimelineFrame& frame) noexcept;

  static constexpr std::uint64_t max_loss = 1 << 20;  // packets; keeps products small

  Time zero_;
  bool started_ = false;
  std::int64_t end_ = 0;          // end of the last frame
  std::int64_t offset_ = 0;       // position - timestamp
  std::uint64_t expected_ = 0;    // timestamp that follows without a pause
  std::uint32_t duration_ = 960;  // of the last frame
  Time last_arrival_{};
  unsigned silences_ = 0;
  Slack slack_;
  bool correcting_ = false;
  Time correcting_since_{};
  Time last_step_{};
};

}  // namespace discord::media
