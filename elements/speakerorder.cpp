// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/speakerorder.hpp"

#include "base/overloaded.hpp"
#include "discord/gstdiscordspeakermeta.h"
#include "elements/lostevents.hpp"

#include <algorithm>
#include <utility>

namespace discord {

void SpeakerOrder::push(RtpPacket packet, std::uint16_t sequence, Time arrival) {
  if (const auto* meta = gst_buffer_get_discord_speaker_meta(packet.buffer.get())) {
    user_id_ = meta->user_id;
  }
  last_arrival_ = std::max(last_arrival_, arrival);
  queue_.push(std::move(packet), queue_.unwrap(sequence), arrival);
}

void SpeakerOrder::skip(std::uint16_t sequence, Time now) {
  queue_.skip(queue_.unwrap(sequence), now);
}

void SpeakerOrder::pop(Time now, OutputBatch& out, const Position& position) {
  for (bool more = true; more;) {
    Queue::Output next = queue_.pop(now);
    std::visit(Overloaded{
                   [&](Queue::Packet& packet) { emit(std::move(packet), out, position); },
                   // The loss is announced with the packet behind it, which says how long it was.
                   [&](Queue::Lost& lost) { missing_ += lost.count; },
                   [&](auto&) { more = false; },
               },
               next);
  }
}

void SpeakerOrder::drain(Time now, OutputBatch& out, const Position& position) {
  queue_.drain();
  pop(now, out, position);
}

void SpeakerOrder::restart(Time now, OutputBatch& out, const Position& position) {
  drain(now, out, position);
  queue_.flush();
  missing_ = 0;
}

// When a packet would have arrived had the network not held it up: those that overtook it tell. The
// first packet of a talk spurt anchors all of it, so its detour would delay them all.
Time SpeakerOrder::due(const Queue::Packet& packet) const {
  constexpr std::int32_t near = 48000;  // one second; further apart is another talk spurt
  Time due = packet.arrival;
  queue_.each_behind([&](const RtpPacket& behind, Time arrival) {
    const auto ticks = static_cast<std::int32_t>(behind.timestamp - packet.item.timestamp);
    if (arrival < packet.arrival && ticks >= 0 && ticks < near) {
      due = std::min(due, arrival - media::duration_from_samples(ticks));
    }
  });
  return due;
}

void SpeakerOrder::emit(Queue::Packet packet, OutputBatch& out, const Position& position) {
  RtpPacket& rtp = packet.item;
  if (packet.resync) {
    timestamps_.reset();
  }
  media::TimelineFrame frame;
  frame.timestamp = timestamps_.unwrap(rtp.timestamp);
  frame.lost_packets = std::exchange(missing_, 0);
  frame.arrival = due(packet);
  frame.duration = rtp.duration;
  frame.silence = rtp.silence;
  frame.quiet = rtp.quiet;
  frame.resync = packet.resync;
  const media::Placement placement = timeline_.place(frame);
  announce_loss(placement, frame.lost_packets, static_cast<std::uint16_t>(packet.sequence), out,
                position);

  BufferPtr buffer(gst_buffer_make_writable(rtp.buffer.release()));
  // Where the decoded frame begins, so that the part which lies before the end of the frame in
  // front of it (`trim`) overlaps and is cut by whoever keeps samples in line.
  const std::int64_t begin = placement.sample - placement.trim;
  GST_BUFFER_PTS(buffer.get()) = position(timeline_.time_of(std::max<std::int64_t>(begin, 0)));
  GST_BUFFER_DTS(buffer.get()) = GST_CLOCK_TIME_NONE;  // was the arrival
  GST_BUFFER_DURATION(buffer.get()) =
      static_cast<GstClockTime>(media::duration_from_samples(rtp.duration).count());
  if (packet.discont) {
    GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_DISCONT);
  }
  if (packet.resync) {
    GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_RESYNC);
  } else {
    GST_BUFFER_FLAG_UNSET(buffer.get(), GST_BUFFER_FLAG_RESYNC);  // the first of all
  }
  out.add(std::move(buffer));
}

// Beyond 120 ms concealment only hums, so the rest of a long loss is left to be silence.
void SpeakerOrder::announce_loss(const media::Placement& placement, std::uint64_t packets,
                                 std::uint16_t next_sequence, OutputBatch& out,
                                 const Position& position) {
  if (packets == 0 || placement.lost_before == 0) {
    return;
  }
  LostStretch lost;
  lost.ssrc = ssrc_;
  lost.user_id = user_id_;
  lost.first_sequence = static_cast<std::uint16_t>(next_sequence - packets);
  lost.sample = placement.sample - static_cast<std::int64_t>(placement.pause_before) -
                static_cast<std::int64_t>(placement.lost_before);
  lost.concealed = std::min<std::uint64_t>(placement.lost_before, media::opus_max_duration);
  lost.packets = packets;
  lost.each = std::max<std::uint64_t>(placement.lost_before / packets, 1);
  announce_lost(
      lost, [&](std::int64_t sample) { return position(timeline_.time_of(sample)); },
      [&](EventPtr event) { out.add(std::move(event)); });
}

}  // namespace discord
