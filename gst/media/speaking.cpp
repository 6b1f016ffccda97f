#include "media/speaking.hpp"

#include <algorithm>

namespace discord::media {

SpeakingChange SpeakingDetector::packet(std::uint64_t sequence, bool silence,
                                        Time arrival) noexcept {
  SpeakingChange out;
  // Packets that were held come in one go; the pauses between them are still pauses.
  out.stopped = timer(arrival);
  const auto behind = static_cast<std::int64_t>(newest_ - sequence);
  const bool old = seen_ && behind > 0 && behind <= straggler;
  if (!old) {
    newest_ = sequence;
    seen_ = true;
  }
  last_ = std::max(last_, arrival);
  if (silence) {
    if (!old && ++silences_ >= silence_run && speaking_) {
      speaking_ = false;
      out.stopped = arrival;
    }
  } else if (!old) {
    silences_ = 0;
    if (!speaking_) {
      speaking_ = true;
      out.started = arrival;
    }
  }
  return out;
}

Deadline SpeakingDetector::timer(Time now) noexcept {
  const Deadline deadline = next_deadline();
  if (!deadline || now < *deadline) {
    return std::nullopt;
  }
  speaking_ = false;
  return deadline;
}

SpeakingDetector::State SpeakingDetector::save() const noexcept {
  State out;
  out.newest = newest_;
  out.last = to_ns(last_);
  out.silences = silences_;
  out.speaking = speaking_;
  out.seen = seen_;
  return out;
}

void SpeakingDetector::restore(const State& state) noexcept {
  newest_ = state.newest;
  last_ = time_from_ns(state.last);
  silences_ = state.silences;
  speaking_ = state.speaking != 0;
  seen_ = state.seen != 0;
}

Deadline SpeakingDetector::next_deadline() const noexcept {
  return speaking_ ? Deadline(last_ + timeout) : std::nullopt;
}

}  // namespace discord::media
