// Cuts one speaker's audio into utterances, for recognisers.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace discord::record {

struct SegmentSettings {
  std::uint32_t rate = 16000;
  // All in samples at `rate`.
  std::int64_t gap = 8000;           // a pause of this length ends an utterance
  std::int64_t max_length = 480000;  // a longer one is cut here and goes on as the next
  std::int64_t min_length = 1600;    // a shorter one is a click; it is left out
  std::int64_t partial_every = 0;    // growing partials in between; 0 = none
};

// [start, end) on the timeline of the input, and its samples: pauses inside are zeros.
struct Segment {
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::uint64_t number = 0;  // the partials of an utterance carry its number
  bool partial = false;      // more follows; has everything from the start on
  bool cut = false;          // ended at `max_length`, so the next one goes on
  std::vector<std::int16_t> pcm;
};

// Samples with positions in; finished utterances and partials out. Holds one utterance at most,
// plus what the caller has not taken.
class Segmenter {
 public:
  explicit Segmenter(const SegmentSettings& settings) : settings_(settings) {}

  // Audio that begins at `at`; what lies before the end of the last is left out.
  void audio(std::int64_t at, std::span<const std::int16_t> pcm);
  // Nothing was said before this position that has not been handed in.
  void quiet_until(std::int64_t at);
  // The stream ends: so does the utterance.
  void finish();
  // A partial of what there is, at the next `next()`, whatever `partial_every` says.
  void request_partial();

  std::optional<Segment> next();

  // Utterances too short to be one.
  std::uint64_t clicks() const noexcept { return clicks_; }

 private:
  std::int64_t end() const noexcept { return start_ + static_cast<std::int64_t>(pcm_.size()); }
  void close(bool cut);
  void partial();

  const SegmentSettings settings_;
  std::vector<std::int16_t> pcm_;
  std::int64_t start_ = 0;
  std::int64_t partial_at_ = 0;  // length at the last partial
  std::int64_t heard_until_ = INT64_MIN;
  std::uint64_t number_ = 0;
  bool goes_on_ = false;  // the utterance before was cut
  std::uint64_t clicks_ = 0;
  std::deque<Segment> ready_;
};

}  // namespace discord::record
