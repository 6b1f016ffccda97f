// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/segments.hpp"

#include <algorithm>
#include <utility>

namespace discord::record {

void Segmenter::audio(std::int64_t at, std::span<const std::int16_t> pcm) {
  if (at < heard_until_) {
    const std::int64_t late = std::min(heard_until_ - at, static_cast<std::int64_t>(pcm.size()));
    pcm = pcm.subspan(static_cast<std::size_t>(late));
    at += late;
  }
  if (pcm.empty()) {
    return;
  }
  if (!pcm_.empty() && at - end() >= settings_.gap) {
    close(false);
  }
  if (pcm_.empty()) {
    start_ = at;
    partial_at_ = 0;
  }
  pcm_.resize(static_cast<std::size_t>(at - start_));
  while (!pcm.empty()) {
    const auto room = static_cast<std::size_t>(settings_.max_length) -
                      std::min(pcm_.size(), static_cast<std::size_t>(settings_.max_length));
    const std::size_t n = std::min(room, pcm.size());
    pcm_.insert(pcm_.end(), pcm.begin(), pcm.begin() + static_cast<std::ptrdiff_t>(n));
    pcm = pcm.subspan(n);
    heard_until_ = end();
    if (!pcm.empty()) {
      const std::int64_t follows = end();
      close(true);
      start_ = follows;
      partial_at_ = 0;
    }
  }
  if (settings_.partial_every > 0 &&
      static_cast<std::int64_t>(pcm_.size()) - partial_at_ >= settings_.partial_every) {
    partial();
  }
}

void Segmenter::quiet_until(std::int64_t at) {
  if (!pcm_.empty() && at - end() >= settings_.gap) {
    close(false);
  }
}

void Segmenter::finish() {
  close(false);
}

void Segmenter::request_partial() {
  if (!pcm_.empty()) {
    partial();
  }
}

void Segmenter::partial() {
  partial_at_ = static_cast<std::int64_t>(pcm_.size());
  ready_.push_back({start_, end(), number_, true, false, pcm_});
}

void Segmenter::close(bool cut) {
  if (pcm_.empty()) {
    return;
  }
  // The rest of one that was cut is no click.
  if (static_cast<std::int64_t>(pcm_.size()) < settings_.min_length && !cut && !goes_on_) {
    clicks_++;
  } else {
    ready_.push_back({start_, end(), number_, false, cut, std::move(pcm_)});
    number_++;
  }
  goes_on_ = cut;
  pcm_.clear();
}

std::optional<Segment> Segmenter::next() {
  if (ready_.empty()) {
    return std::nullopt;
  }
  Segment segment = std::move(ready_.front());
  ready_.pop_front();
  return segment;
}

}  // namespace discord::record
