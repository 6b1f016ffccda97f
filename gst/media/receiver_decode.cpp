// A packet that has left the queue becomes frames: its place, what is missing before it, its sound.
#include "media/receiver_track.hpp"

#include <algorithm>
#include <utility>

namespace discord::media {

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

}  // namespace discord::media
