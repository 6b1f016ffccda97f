#include "media/sequence_history.hpp"

#include <algorithm>

namespace discord::media {

SequenceHistory::SequenceHistory() noexcept {
  // A sequence that cannot be in its slot, so that an empty slot matches nothing.
  for (std::size_t i = 0; i < window; ++i) {
    slots_[i] = std::uint64_t{window - 1 - i} << 32;
  }
}

SeenSequence SequenceHistory::see(std::uint16_t wire, std::uint32_t timestamp) noexcept {
  if (!started_) {
    started_ = true;
    last_ = (std::uint64_t{1} << 40) + wire;
  }
  const auto difference = static_cast<std::int16_t>(
      static_cast<std::uint16_t>(wire - static_cast<std::uint16_t>(last_)));
  SeenSequence out;
  out.sequence = last_ + static_cast<std::uint64_t>(std::int64_t{difference});
  last_ = out.sequence;
  std::uint64_t& slot = slots_[out.sequence % window];
  const std::uint64_t mark = (out.sequence << 32) | timestamp;
  out.duplicate = slot == mark;
  slot = mark;
  return out;
}

SequenceHistory::Words SequenceHistory::save() const noexcept {
  Words out;
  std::copy(slots_.begin(), slots_.end(), out.begin());
  out[window] = started_ ? last_ : 0;
  return out;
}

void SequenceHistory::restore(const Words& words) noexcept {
  std::copy_n(words.begin(), window, slots_.begin());
  last_ = words[window];
  started_ = last_ != 0;
}

}  // namespace discord::media
