// The sum of all speakers on the common timeline. Sans-I/O.
#pragma once

#include "record/limiter.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

namespace discord::record {

// Tracks bring their samples in any order and at any pace, each its own from left to right; the mix
// is taken up to where nothing can be added any more. Not for two threads at once.
class Mixer {
 public:
  using Id = std::uint64_t;

  void open(Id track) { tracks_.try_emplace(track); }
  void close(Id track) { tracks_.erase(track); }
  // From the next samples on, over 5 ms. 0 or above.
  void set_gain(Id track, double gain);

  // Interleaved stereo, its first sample at `sample`. What lies before the part already taken is
  // counted as late and left out.
  void add(Id track, std::int64_t sample, std::span<const std::int16_t> pcm);
  // How far the open track that is most behind has come; `none` without an open track.
  static constexpr std::int64_t none = INT64_MAX;
  std::int64_t complete() const;
  // Appends whole blocks of the mix up to `until` at most.
  void take(std::int64_t until, std::vector<std::int16_t>& out);
  // Everything up to `until`, exactly; nothing follows.
  void drain(std::int64_t until, std::vector<std::int16_t>& out);

  // Samples handed out, and those that came too late for it.
  std::int64_t position() const noexcept { return given_; }
  std::uint64_t late() const noexcept { return late_; }

 private:
  struct Track {
    std::int64_t position = 0;
    double gain = 1;
    double target = 1;
  };

  std::map<Id, Track> tracks_;
  std::deque<MixBlock> blocks_;
  std::int64_t first_ = 0;  // sample index of the front block
  std::int64_t given_ = 0;
  std::uint64_t late_ = 0;
  Limiter limiter_;
};

}  // namespace discord::record
