#include "media/receiver_track.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace discord::media {

namespace {

constexpr std::size_t frame_samples = opus_max_duration * output_channels;

}  // namespace

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

void Receiver::admit(std::uint64_t user_id, Admission admission, Time now, ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  ingress_.admit(user_id, admission, now, adapter);
  due(exact_deadline());
}

void Receiver::need_users(bool needed, Time now, ReceiverSink& sink) {
  advance(now, sink);
  Adapter adapter(*this, sink, now);
  ingress_.need_users(needed, now, adapter);
  due(exact_deadline());
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

}  // namespace discord::media
