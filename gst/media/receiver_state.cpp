// What a receiver tells of itself, and what it takes over from another.
#include "media/receiver_track.hpp"

#include <utility>

namespace discord::media {

Ledger Receiver::ledger_of(const Track& track) {
  Ledger out = track.queue.ledger();
  out.played -= track.silences + track.broken;
  out.silence += track.silences;
  out.not_a_frame += track.broken;
  out.lost = track.lost;
  return out;
}

Ledger Receiver::ledger() const {
  Ledger behind = departed_;
  for (const auto& [ssrc, track] : tracks_) {
    behind += ledger_of(*track);
  }
  Ledger all = ingress_.ledger();
  all.then(behind);
  all.received += refused_;
  all.evicted += refused_;
  return all;
}

std::vector<SpeakerStats> Receiver::speakers() const {
  std::vector<SpeakerStats> out = ingress_.speakers();
  for (SpeakerStats& row : out) {
    const auto it = tracks_.find(row.ssrc);
    if (!row.gone && it != tracks_.end()) {
      row.ledger.then(ledger_of(*it->second));
    }
  }
  return out;
}

bool Receiver::row(std::uint32_t ssrc, SpeakerStats& out) const {
  const Speaker* speaker = ingress_.find(ssrc);
  if (speaker == nullptr) {
    return false;
  }
  out = stats_of(*speaker);
  const auto it = tracks_.find(ssrc);
  if (it != tracks_.end()) {
    out.ledger.then(ledger_of(*it->second));
  }
  return true;
}

bool Receiver::checkpoint(std::uint32_t ssrc, SpeakerCheckpoint& out) const {
  const Speaker* speaker = ingress_.find(ssrc);
  const auto it = tracks_.find(ssrc);
  if (speaker == nullptr || it == tracks_.end()) {
    return false;
  }
  const Track& track = *it->second;
  out = SpeakerCheckpoint();
  out.user_id = track.user_id;
  out.missing = track.missing;
  out.highest_timestamp = track.timestamps.highest().value_or(0);
  out.last_packet = to_ns(track.last_packet);
  out.timeline = track.timeline.save();
  out.reorder = track.queue.save();
  out.speaking = speaker->speaking.save();
  out.jitter = speaker->jitter.save();
  out.audio_level = speaker->audio_level.value_or(255);
  out.ledger = speaker->ledger;
  out.ledger.then(ledger_of(track));
  return true;
}

bool Receiver::restore(std::uint32_t ssrc, const SpeakerCheckpoint& from,
                       const SequenceHistory::Words& history, Time now) {
  Timeline timeline(config_.zero);
  if (free_slots_.empty() || tracks_.contains(ssrc) || !timeline.restore(from.timeline)) {
    return false;
  }
  Speaker* speaker = ingress_.restore(ssrc, now);
  if (speaker == nullptr) {
    return false;
  }
  speaker->history.restore(history);
  speaker->speaking.restore(from.speaking);
  ingress_.detector_moved(*speaker);
  speaker->jitter.restore(from.jitter);
  speaker->last_packet = time_from_ns(from.last_packet);
  if (from.audio_level != 255) {
    speaker->audio_level = from.audio_level;
  }
  const std::size_t slot = free_slots_.back();
  free_slots_.pop_back();
  const std::size_t size = SpeakerDecoder::slot_size();
  auto track = std::make_unique<Track>(ssrc, slot,
                                       MutableByteSpan(slots_.get() + slot * size, size), config_);
  track->serial = speaker->serial;
  track->user_id = from.user_id;
  track->missing = from.missing;
  if (from.highest_timestamp != 0) {
    track->timestamps.restore(from.highest_timestamp);
  }
  track->last_packet = time_from_ns(from.last_packet);
  track->timeline = timeline;
  track->queue.restore(from.reorder);
  tracks_[ssrc] = std::move(track);
  due(speaker->speaking.next_deadline());
  return true;
}

void Receiver::warm_up(std::uint32_t ssrc, ByteSpan opus) {
  const auto it = tracks_.find(ssrc);
  if (it != tracks_.end() && config_.decode) {
    it->second->decoder.decode(opus, pcm_);
  }
}

}  // namespace discord::media
