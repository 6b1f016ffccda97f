// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/mixer.hpp"

#include <algorithm>

namespace discord::record {

namespace {

constexpr auto block_frames = static_cast<std::int64_t>(MixBlock::frames);

}  // namespace

void Mixer::set_gain(Id track, double gain) {
  const auto entry = tracks_.find(track);
  if (entry != tracks_.end()) {
    entry->second.target = std::max(gain, 0.0);
    if (entry->second.position == 0) {
      entry->second.gain = entry->second.target;  // nothing was heard: nothing to fade
    }
  }
}

void Mixer::add(Id id, std::int64_t sample, std::span<const std::int16_t> pcm) {
  const auto entry = tracks_.find(id);
  if (entry == tracks_.end()) {
    return;
  }
  Track& track = entry->second;
  const auto frames = static_cast<std::int64_t>(pcm.size() / 2);
  track.position = std::max(track.position, sample + frames);
  for (std::int64_t at = 0; at < frames;) {
    const std::int64_t place = sample + at - first_;
    if (place < 0) {
      const std::int64_t skip = std::min(frames - at, -place);
      const auto part =
          pcm.subspan(static_cast<std::size_t>(2 * at), static_cast<std::size_t>(2 * skip));
      late_ += std::all_of(part.begin(), part.end(), [](std::int16_t v) { return v == 0; })
                   ? 0
                   : static_cast<std::uint64_t>(skip);
      at += skip;
      continue;
    }
    const std::int64_t within = place % block_frames;
    const std::int64_t count = std::min(frames - at, block_frames - within);
    const auto part =
        pcm.subspan(static_cast<std::size_t>(2 * at), static_cast<std::size_t>(2 * count));
    at += count;
    // Silence adds nothing: an hour of it costs nothing either.
    if (std::all_of(part.begin(), part.end(), [](std::int16_t v) { return v == 0; })) {
      track.gain = track.target;
      continue;
    }
    const auto number = static_cast<std::size_t>(place / block_frames);
    if (number >= blocks_.size()) {
      blocks_.resize(number + 1);
    }
    MixBlock& block = blocks_[number];
    if (block.tracks == 0 || block.owner != id) {
      block.tracks = block.tracks == 0 ? 1 : 2;
      block.owner = id;
    }
    block.scaled = block.scaled || track.gain != 1 || track.target != 1;
    const double step = (track.target - track.gain) / static_cast<double>(count);
    float* to = block.pcm.data() + 2 * within;
    for (std::int64_t i = 0; i < count; i++) {
      const auto gain = static_cast<float>(track.gain + step * static_cast<double>(i + 1));
      to[2 * i] += gain * part[static_cast<std::size_t>(2 * i)];
      to[2 * i + 1] += gain * part[static_cast<std::size_t>(2 * i + 1)];
    }
    track.gain = track.target;
  }
}

std::int64_t Mixer::complete() const {
  std::int64_t least = none;
  for (const auto& [id, track] : tracks_) {
    least = std::min(least, track.position);
  }
  return least;
}

void Mixer::take(std::int64_t until, std::vector<std::int16_t>& out) {
  static const MixBlock silence;
  const std::size_t before = out.size();
  while (first_ + block_frames <= until) {
    limiter_.push(blocks_.empty() ? silence : blocks_.front(), out);
    if (!blocks_.empty()) {
      blocks_.pop_front();
    }
    first_ += block_frames;
  }
  given_ += static_cast<std::int64_t>((out.size() - before) / 2);
}

void Mixer::drain(std::int64_t until, std::vector<std::int16_t>& out) {
  const std::size_t before = out.size();
  take((until + block_frames - 1) / block_frames * block_frames, out);
  const std::size_t taken = out.size();
  limiter_.drain(out);
  given_ += static_cast<std::int64_t>((out.size() - taken) / 2);
  const std::int64_t beyond = std::max<std::int64_t>(given_ - until, 0);
  out.resize(out.size() - 2 * static_cast<std::size_t>(std::min<std::int64_t>(
                                  beyond, static_cast<std::int64_t>((out.size() - before) / 2))));
  given_ -= beyond;
}

}  // namespace discord::record
