#include "media/receiver.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace discord::media {

namespace {

// Below this (RFC 6464, -dBov) a correction of 2.5 ms is not heard.
constexpr std::uint8_t quiet_level = 50;
constexpr std::size_t frame_samples = opus_max_duration * output_channels;

}  // namespace

struct Receiver::Track {
  Track(std::uint32_t of, std::size_t slot_index, MutableByteSpan memory,
        const ReceiverConfig& config)
      : ssrc(of), slot(slot_index), queue(config.latency), timeline(config.zero), decoder(memory) {}

  std::uint32_t ssrc;
  std::size_t slot;
  std::uint64_t serial = 0;  // of the row in the speaker table it belongs to
  std::uint64_t user_id = 0;
  Queue queue;
  Timeline timeline;
  rtp::TimestampUnwrapper timestamps;
  SpeakerDecoder decoder;
  std::uint64_t missing = 0;   // declared lost since the last frame
  std::uint64_t silences = 0;  // of those the queue calls played
  std::uint64_t broken = 0;    // likewise
  Lost lost;
  Time last_packet{};
  bool restarted = false;  // somebody else has this SSRC now
  bool touched = false;
};

// What Ingress hands on.
class Receiver::Adapter {
 public:
  Adapter(Receiver& receiver, ReceiverSink& sink, Time now)
      : receiver_(receiver), sink_(sink), now_(now) {}

  void audio(const AudioPacket& packet, PacketStore::Handle&& handle) {
    Track* track = receiver_.track_for(packet, now_, sink_);
    track->queue.push(Item{packet, std::move(handle)}, packet.sequence, now_);
    receiver_.pop(*track, now_, sink_);
  }
  void padding(const AudioPacket& packet, PacketStore::Handle&& handle) {
    Track* track = receiver_.track_for(packet, now_, sink_);
    track->queue.skip(packet.sequence, now_);
    { const PacketStore::Handle done = std::move(handle); }
    receiver_.pop(*track, now_, sink_);
  }
  void rtcp(std::size_t offset, std::size_t size, PacketStore::Handle&& handle, Time arrival) {
    sink_.rtcp(handle.bytes().subspan(offset, size), arrival);
    const PacketStore::Handle done = std::move(handle);
  }
  void changed(std::uint32_t ssrc) { receiver_.touch(ssrc); }
  void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) {
    receiver_.touch(ssrc);
    sink_.speaking(ssrc, user_id, speaking, when);
  }

 private:
  Receiver& receiver_;
  ReceiverSink& sink_;
  Time now_;
};

void Receiver::SlotDeleter::operator()(std::uint8_t* p) const noexcept {
  ::operator delete[](p, std::align_val_t{SpeakerDecoder::slot_alignment});
}

Receiver::Receiver(const ReceiverConfig& config)
    : config_(config),
      store_(config.max_packet_bytes),
      ingress_(config.ingress),
      slots_(static_cast<std::uint8_t*>(
          ::operator new[](config.ingress.max_speakers* SpeakerDecoder::slot_size(),
                           std::align_val_t{SpeakerDecoder::slot_alignment}))),
      pcm_(frame_samples) {
  const std::size_t count = config.ingress.max_speakers;
  tracks_.reserve(count);
  touched_.reserve(count);
  for (std::size_t i = count; i > 0; --i) {
    free_slots_.push_back(i - 1);
  }
}
Receiver::~Receiver() = default;

bool Receiver::set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key,
                       Time now, ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  const bool taken = ingress_.set_key(generation, mode, key, now, adapter);
  due(exact_deadline());
  return taken;
}

bool Receiver::map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now, ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  const bool taken = ingress_.map_user(ssrc, user_id, now, adapter);
  due(exact_deadline());
  return taken;
}

void Receiver::retire(std::uint32_t ssrc, Time now, ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  ingress_.retire(ssrc, now, adapter);
}

void Receiver::forget_all(Time now, ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  ingress_.forget_all(now, adapter);
  while (!tracks_.empty()) {
    remove_track(tracks_.begin()->first, now, sink);
  }
}

void Receiver::set_media_keys(dave::MediaKeysPtr keys, Time published, Time now,
                              ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  ingress_.set_media_keys(std::move(keys), published, now, adapter);
  due(exact_deadline());
}

void Receiver::set_hold_time(Duration hold_time) {
  config_.ingress.hold.hold_time = hold_time;
  ingress_.set_hold_time(hold_time);
}

void Receiver::set_latency(Duration latency) {
  config_.latency = latency;
  for (auto& [ssrc, track] : tracks_) {
    track->queue.set_latency(latency);
  }
  earliest_ = exact_deadline();
}

void Receiver::push(ByteSpan datagram, std::uint64_t id, Time arrival, ReceiverSink& sink) {
  advance(arrival, sink);
  sink.working_on(id);
  PacketStore::Handle handle = store_.put(datagram, id);
  if (handle.bytes().data() == nullptr) {
    ++refused_;
    sink.boundary();
    return;
  }
  Adapter adapter(*this, sink, arrival);
  const MutableByteSpan bytes = handle.bytes();
  ingress_.push(bytes, std::move(handle), arrival, adapter);
  if (datagram.size() >= rtp::fixed_header_size) {
    const std::uint32_t claimed = load_be32(datagram.data() + 8);
    if (const Speaker* speaker = ingress_.find(claimed)) {
      due(speaker->speaking.next_deadline());
      touch(claimed);
    }
  }
  // Whatever was held now has waited no longer than this.
  due(arrival + config_.ingress.hold.hold_time);
  sink.boundary();
}

void Receiver::advance(Time now, ReceiverSink& sink) {
  while (earliest_ && *earliest_ <= now) {
    const Deadline exact = exact_deadline();
    if (!exact || *exact > now) {
      earliest_ = exact;
      return;
    }
    const Time when = std::max(*exact, *earliest_);
    Adapter adapter(*this, sink, when);
    ingress_.on_timer(when, adapter);
    for (auto& [ssrc, track] : tracks_) {
      if (const Deadline deadline = track->queue.next_deadline(); deadline && *deadline <= when) {
        pop(*track, when, sink);
      }
    }
    sink.boundary();
    earliest_ = exact_deadline();
  }
}

void Receiver::drain(Time now, ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  for (Deadline due = ingress_.next_deadline(); due; due = ingress_.next_deadline()) {
    ingress_.on_timer(*due, adapter);
  }
  for (auto& [ssrc, track] : tracks_) {
    track->queue.drain();
    pop(*track, now, sink);
  }
  earliest_ = exact_deadline();
  sink.boundary();
}

Deadline Receiver::exact_deadline() const {
  Deadline first = ingress_.next_deadline();
  for (const auto& [ssrc, track] : tracks_) {
    first = earlier(first, track->queue.next_deadline());
  }
  return first;
}

Receiver::Track* Receiver::track_for(const AudioPacket& packet, Time now, ReceiverSink& sink) {
  const Speaker* speaker = ingress_.find(packet.ssrc);
  const auto known = tracks_.find(packet.ssrc);
  Track* track = known != tracks_.end() ? known->second.get() : add_track(packet.ssrc, now, sink);
  if (track->serial != speaker->serial) {
    if (track->serial != 0) {
      // The row went and came again: its numbers have nothing to do with those before.
      track->queue.drain();
      pop(*track, now, sink);
      track->queue.flush();
      departed_ += ledger_of(*track);
      track->queue.clear_ledger();
      track->silences = track->broken = 0;
      track->lost = {};
      track->timestamps.reset();
      track->missing = 0;
      track->restarted = true;
    }
    track->serial = speaker->serial;
  }
  if (track->user_id != packet.user_id) {
    if (track->user_id != 0) {
      track->decoder.reset();
    }
    track->user_id = packet.user_id;
  }
  track->last_packet = std::max(track->last_packet, packet.arrival);
  touch(packet.ssrc);
  return track;
}

// At the limit the longest idle one goes; Ingress keeps no more rows than there are tracks, so it
// is one whose row has gone, or soon will.
Receiver::Track* Receiver::add_track(std::uint32_t ssrc, Time now, ReceiverSink& sink) {
  if (free_slots_.empty()) {
    const auto idlest =
        std::min_element(tracks_.begin(), tracks_.end(), [this](const auto& a, const auto& b) {
          const auto rank = [this](const Track& t) {
            return std::pair(ingress_.find(t.ssrc) != nullptr, t.last_packet);
          };
          return rank(*a.second) < rank(*b.second);
        });
    remove_track(idlest->first, now, sink);
  }
  const std::size_t slot = free_slots_.back();
  free_slots_.pop_back();
  const std::size_t size = SpeakerDecoder::slot_size();
  return (tracks_[ssrc] = std::make_unique<Track>(
              ssrc, slot, MutableByteSpan(slots_.get() + slot * size, size), config_))
      .get();
}

void Receiver::remove_track(std::uint32_t ssrc, Time now, ReceiverSink& sink) {
  const auto it = tracks_.find(ssrc);
  Track& track = *it->second;
  track.queue.drain();
  pop(track, now, sink);
  departed_ += ledger_of(track);
  free_slots_.push_back(track.slot);
  tracks_.erase(it);
}

void Receiver::pop(Track& track, Time now, ReceiverSink& sink) {
  for (;;) {
    Queue::Output next = track.queue.pop(now);
    if (auto* packet = std::get_if<Queue::Packet>(&next)) {
      sink.working_on(packet->item.handle.id());
      emit(track, std::move(*packet), sink);
      touch(track.ssrc);  // each time: at a boundary the caller may have taken the checkpoint
      sink.boundary();
    } else if (const auto* lost = std::get_if<Queue::Lost>(&next)) {
      // How long it was is known with the packet behind it.
      track.missing += lost->count;
    } else {
      break;
    }
  }
  touch(track.ssrc);
  due(track.queue.next_deadline());
}

// When a packet would have arrived had the network not held it up: those that overtook it tell. The
// first packet of a talk spurt anchors all of it, so its detour would delay them all.
Time Receiver::arrival_of(const Track& track, const AudioPacket& packet) {
  constexpr std::int32_t near = 48000;  // one second; further apart is another talk spurt
  Time out = packet.arrival;
  track.queue.each_behind([&](const Item& behind, Time) {
    const auto ticks = static_cast<std::int32_t>(behind.packet.timestamp - packet.timestamp);
    if (behind.packet.arrival < packet.arrival && ticks >= 0 && ticks < near) {
      out = std::min(out, behind.packet.arrival - duration_from_samples(ticks));
    }
  });
  return out;
}

void Receiver::emit(Track& track, Queue::Packet packet, ReceiverSink& sink) {
  const PacketStore::Handle handle = std::move(packet.item.handle);
  const AudioPacket& audio = packet.item.packet;
  const ByteSpan opus = handle.bytes().subspan(audio.offset, audio.size);
  const auto parsed = parse_opus_packet(opus);
  if (!parsed) {
    ++track.broken;
    ++track.missing;  // there was sound, but not for us
    return;
  }
  if (packet.resync) {
    track.timestamps.reset();
  }
  TimelineFrame place;
  place.timestamp = track.timestamps.unwrap(audio.timestamp);
  place.lost_packets = std::exchange(track.missing, 0);
  place.arrival = arrival_of(track, audio);
  place.duration = parsed->duration;
  place.silence = audio.silence;
  place.resync = packet.resync || std::exchange(track.restarted, false);
  place.quiet = audio.silence || audio.audio_level.value_or(0) >= quiet_level;
  const Placement placement = track.timeline.place(place);

  DecodedFrame frame;
  frame.ssrc = track.ssrc;
  frame.user_id = audio.user_id;
  frame.id = handle.id();
  if (place.lost_packets > 0 && config_.decode) {
    fill_hole(track, placement, place.lost_packets, opus, frame, sink);
  } else if (place.lost_packets > 0) {
    announce_hole(placement, place.lost_packets, packet.sequence, frame, sink);
    track.lost.silent += place.lost_packets;
  }
  frame.kind = audio.silence ? FrameKind::silence : FrameKind::audio;
  frame.opus = opus;
  frame.sequence = packet.sequence;
  frame.timestamp = audio.timestamp;
  frame.discont = packet.discont;
  frame.marker = audio.marker;
  frame.resync = packet.resync;
  frame.audio_level = audio.audio_level.value_or(255);
  frame.speaking_flags = audio.speaking_flags;
  track.silences += audio.silence;
  if (!config_.decode) {
    frame.sample = std::max<std::int64_t>(placement.sample - placement.trim, 0);
    frame.samples = parsed->duration;
    sink.frame(frame);
    return;
  }
  std::uint32_t samples = track.decoder.decode(opus, pcm_);
  if (samples == 0) {
    // Well-formed outside, refused inside: its time is concealed.
    samples = parsed->duration;
    track.decoder.conceal(samples, pcm_);
    track.silences -= audio.silence;
    ++track.broken;
    ++track.lost.concealed;
    frame.kind = FrameKind::plc;
    frame.opus = {};
  }
  if (samples <= placement.trim) {
    return;
  }
  frame.sample = placement.sample;
  frame.samples = samples - placement.trim;
  frame.pcm =
      PcmSpan(pcm_).subspan(placement.trim * output_channels, frame.samples * output_channels);
  sink.frame(frame);
}

// PLC from where the sound stopped, for 120 ms at most; then silence; then what the packet behind
// the hole knows of its predecessor.
void Receiver::fill_hole(Track& track, const Placement& placement, std::uint64_t packets,
                         ByteSpan next, DecodedFrame frame, ReceiverSink& sink) {
  const std::uint64_t hole = placement.lost_before;
  const std::uint64_t each = std::max<std::uint64_t>(hole / packets, 1);
  const std::int64_t begin = placement.sample - static_cast<std::int64_t>(placement.pause_before) -
                             static_cast<std::int64_t>(hole);
  std::uint64_t recovered = 0;
  std::uint64_t concealed = 0;
  if (hole > 0) {
    const bool fec = has_fec(next);
    const std::uint64_t tail =
        fec ? std::min<std::uint64_t>(hole, parse_opus_packet(next)->frame_duration) : 0;
    concealed = std::min<std::uint64_t>(hole - tail, SpeakerDecoder::max_concealment);
    if (concealed > 0) {
      frame.kind = FrameKind::plc;
      frame.sample = begin;
      frame.samples = static_cast<std::uint32_t>(concealed);
      track.decoder.conceal(frame.samples, pcm_);
      frame.pcm = PcmSpan(pcm_).first(concealed * output_channels);
      sink.frame(frame);
    }
    const std::uint32_t samples = fec ? track.decoder.recover(next, pcm_) : 0;
    if (samples >= tail && tail > 0) {
      recovered = 1;
      frame.kind = FrameKind::fec;
      frame.sample = begin + static_cast<std::int64_t>(hole - tail);
      frame.samples = static_cast<std::uint32_t>(tail);
      frame.pcm = PcmSpan(pcm_).subspan((samples - tail) * output_channels, tail * output_channels);
      sink.frame(frame);
    }
  }
  const std::uint64_t covered = std::min(packets - recovered, (concealed + each - 1) / each);
  track.lost.fec += recovered;
  track.lost.concealed += covered;
  track.lost.silent += packets - recovered - covered;
}

// Beyond 120 ms concealment only hums, so whoever decodes is asked for no more.
void Receiver::announce_hole(const Placement& placement, std::uint64_t packets,
                             std::uint64_t sequence, DecodedFrame frame, ReceiverSink& sink) {
  const std::uint64_t hole = placement.lost_before;
  if (hole == 0) {
    return;
  }
  frame.kind = FrameKind::plc;
  frame.sample = std::max<std::int64_t>(
      placement.sample - static_cast<std::int64_t>(placement.pause_before + hole), 0);
  frame.samples = static_cast<std::uint32_t>(std::min<std::uint64_t>(hole, opus_max_duration));
  frame.sequence = sequence - packets;
  frame.lost_packets = packets;
  frame.lost_each = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::max<std::uint64_t>(hole / packets, 1), opus_max_duration));
  sink.frame(frame);
}

void Receiver::touch(std::uint32_t ssrc) {
  const auto it = tracks_.find(ssrc);
  if (it != tracks_.end() && std::exchange(it->second->touched, true)) {
    return;
  }
  // Without a track, or touched before it had one.
  if (std::find(touched_rows_.begin(), touched_rows_.end(), ssrc) != touched_rows_.end()) {
    return;
  }
  if (it == tracks_.end()) {
    touched_rows_.push_back(ssrc);
  }
  touched_.push_back(ssrc);
}

void Receiver::clear_touched() noexcept {
  for (const std::uint32_t ssrc : touched_) {
    if (const auto it = tracks_.find(ssrc); it != tracks_.end()) {
      it->second->touched = false;
    }
  }
  touched_.clear();
  touched_rows_.clear();
}

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
