#include "media/speaker_table.hpp"

#include "media/timeline.hpp"

#include <algorithm>
#include <tuple>

namespace discord::media {

namespace {

SpeakerStats row(const Speaker& speaker, bool gone) {
  return {speaker.ssrc,  speaker.user_id,     speaker.speaking.speaking() && !gone,
          gone,          speaker.audio_level, speaker.jitter.value(),
          speaker.ledger};
}

}  // namespace

SpeakerStats stats_of(const Speaker& speaker) {
  return row(speaker, false);
}

void JitterEstimator::packet(std::uint32_t timestamp, Time arrival) noexcept {
  const auto arrived =
      static_cast<std::uint32_t>(samples_from_duration(arrival.time_since_epoch()));
  const std::uint32_t transit = arrived - timestamp;
  // Across a pause some senders freeze their timestamp: that is not the network's jitter.
  if (started_ && arrival - last_ < SpeakingDetector::timeout) {
    const auto difference = static_cast<std::int32_t>(transit - transit_);
    // A restarted timestamp could be any distance; a second is far more than any jitter.
    const std::uint32_t d =
        std::min<std::uint32_t>(difference < 0 ? 0u - static_cast<std::uint32_t>(difference)
                                               : static_cast<std::uint32_t>(difference),
                                48000);
    scaled_ += d - ((scaled_ + 8) >> 4);
  }
  started_ = true;
  transit_ = transit;
  last_ = arrival;
}

JitterEstimator::State JitterEstimator::save() const noexcept {
  State out;
  out.last = to_ns(last_);
  out.transit = transit_;
  out.scaled = scaled_;
  out.started = started_;
  return out;
}

void JitterEstimator::restore(const State& state) noexcept {
  last_ = time_from_ns(state.last);
  transit_ = state.transit;
  scaled_ = state.scaled;
  started_ = state.started != 0;
}

Speaker* SpeakerTable::find(std::uint32_t ssrc) noexcept {
  const auto it = rows_.find(ssrc);
  return it == rows_.end() ? nullptr : it->second.get();
}

const Speaker* SpeakerTable::find(std::uint32_t ssrc) const noexcept {
  const auto it = rows_.find(ssrc);
  return it == rows_.end() ? nullptr : it->second.get();
}

Speaker& SpeakerTable::add(std::uint32_t ssrc, Time now) {
  auto speaker = std::make_unique<Speaker>();
  speaker->ssrc = ssrc;
  speaker->serial = ++added_;
  speaker->user_id = user_of(ssrc);
  speaker->last_packet = now;
  return *(rows_[ssrc] = std::move(speaker));
}

std::optional<std::uint32_t> SpeakerTable::victim() const noexcept {
  const Speaker* worst = nullptr;
  const auto rank = [](const Speaker& s) {
    return std::make_tuple(s.user_id != 0, s.speaking.speaking(), s.last_packet);
  };
  for (const auto& [ssrc, speaker] : rows_) {
    const bool protected_row = speaker->user_id != 0 && speaker->speaking.speaking();
    if (!protected_row && (worst == nullptr || rank(*speaker) < rank(*worst))) {
      worst = speaker.get();
    }
  }
  return worst == nullptr ? std::nullopt : std::optional(worst->ssrc);
}

void SpeakerTable::remove(std::uint32_t ssrc) {
  const auto it = rows_.find(ssrc);
  if (it == rows_.end()) {
    return;
  }
  departed_.push_back(row(*it->second, true));
  rows_.erase(it);
  if (departed_.size() > max_speakers_) {
    departed_before_ += departed_.front().ledger;
    departed_.pop_front();
  }
}

void SpeakerTable::dissolve(std::uint32_t ssrc) {
  const auto it = rows_.find(ssrc);
  if (it != rows_.end()) {
    nobody_ += it->second->ledger;
    rows_.erase(it);
  }
}

std::uint64_t SpeakerTable::user_of(std::uint32_t ssrc) const noexcept {
  const auto it = users_.find(ssrc);
  return it == users_.end() ? 0 : it->second;
}

bool SpeakerTable::set_user(std::uint32_t ssrc, std::uint64_t user_id) {
  if (users_.size() >= max_users && users_.find(ssrc) == users_.end()) {
    return false;
  }
  users_[ssrc] = user_id;
  return true;
}

std::optional<std::uint32_t> SpeakerTable::other_ssrc_of(std::uint64_t user_id,
                                                         std::uint32_t ssrc) const noexcept {
  for (const auto& [other, user] : users_) {
    if (user == user_id && other != ssrc) {
      return other;
    }
  }
  return std::nullopt;
}

std::vector<std::uint32_t> SpeakerTable::ssrcs_of(std::uint64_t user_id) const {
  std::vector<std::uint32_t> out;
  for (const auto& [ssrc, user] : users_) {
    if (user == user_id) {
      out.push_back(ssrc);
    }
  }
  return out;
}

std::vector<std::uint32_t> SpeakerTable::ssrcs() const {
  std::vector<std::uint32_t> out;
  out.reserve(rows_.size());
  for (const auto& [ssrc, speaker] : rows_) {
    out.push_back(ssrc);
  }
  return out;
}

Deadline SpeakerTable::soonest() const noexcept {
  Deadline first;
  for (const auto& [ssrc, speaker] : rows_) {
    first = earlier(first, speaker->speaking.next_deadline());
  }
  return first;
}

Ledger SpeakerTable::total() const noexcept {
  Ledger sum = nobody_;
  sum += departed_before_;
  for (const SpeakerStats& gone : departed_) {
    sum += gone.ledger;
  }
  for (const auto& [ssrc, speaker] : rows_) {
    sum += speaker->ledger;
  }
  return sum;
}

std::vector<SpeakerStats> SpeakerTable::stats() const {
  std::vector<SpeakerStats> out(departed_.begin(), departed_.end());
  const auto here = static_cast<std::ptrdiff_t>(out.size());
  for (const auto& [ssrc, speaker] : rows_) {
    out.push_back(row(*speaker, false));
  }
  std::sort(out.begin() + here, out.end(),
            [](const SpeakerStats& a, const SpeakerStats& b) { return a.ssrc < b.ssrc; });
  return out;
}

}  // namespace discord::media
