// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/packetgate.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "elements/ledgerstats.hpp"
#include "elements/speakingnews.hpp"
#include "net/control_thread.hpp"
#include "rtp/header.hpp"

#include <utility>

namespace discord {

MappedDatagram::MappedDatagram(BufferPtr buffer)
    : buffer_(gst_buffer_make_writable(buffer.release())),
      mapped_(gst_buffer_map(buffer_.get(), &map_, GST_MAP_READWRITE) != FALSE) {}

MappedDatagram::MappedDatagram(MappedDatagram&& other) noexcept
    : buffer_(std::move(other.buffer_)),
      map_(other.map_),
      mapped_(std::exchange(other.mapped_, false)) {}

MappedDatagram& MappedDatagram::operator=(MappedDatagram&& other) noexcept {
  if (this != &other) {
    unmap();
    buffer_ = std::move(other.buffer_);
    map_ = other.map_;
    mapped_ = std::exchange(other.mapped_, false);
  }
  return *this;
}

void MappedDatagram::unmap() {
  if (std::exchange(mapped_, false)) {
    gst_buffer_unmap(buffer_.get(), &map_);
  }
}

BufferPtr MappedDatagram::release() {
  unmap();
  return std::move(buffer_);
}

// What Ingress says, as buffers, events and messages.
class PacketGate::Sink {
 public:
  Sink(GstElement* element, GateOutput& out, const Position& position)
      : element_(element), out_(out), position_(position) {}

  void audio(const media::AudioPacket& packet, MappedDatagram&& datagram) {
    // A plain RTP packet: twelve bytes of header straight in front of the payload, over what was
    // extension and CSRC list.
    const std::size_t start = packet.offset - rtp::fixed_header_size;
    rtp::Header header;
    header.marker = packet.marker;
    header.payload_type = packet.payload_type;
    header.sequence = static_cast<std::uint16_t>(packet.sequence);
    header.timestamp = packet.timestamp;
    header.ssrc = packet.ssrc;
    rtp::write_header(header, datagram.bytes().subspan(start, rtp::fixed_header_size));

    BufferPtr buffer = datagram.release();
    gst_buffer_resize(buffer.get(), static_cast<gssize>(start),
                      static_cast<gssize>(rtp::fixed_header_size + packet.size));
    stamp(buffer.get(), packet.arrival);
    GstDiscordSpeakerMeta* meta =
        gst_buffer_add_discord_speaker_meta(buffer.get(), packet.ssrc, packet.user_id);
    meta->kind = packet.silence ? GST_DISCORD_FRAME_SILENCE : GST_DISCORD_FRAME_AUDIO;
    meta->audio_level = packet.audio_level.value_or(GST_DISCORD_AUDIO_LEVEL_UNKNOWN);
    meta->speaking_flags = packet.speaking_flags;
    if (packet.first) {
      GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_RESYNC);
    }
    out_.rtp.add(std::move(buffer));
  }

  // Nothing to hear, but a sequence number spent: whoever counts numbers must not call it lost.
  void padding(const media::AudioPacket& packet, MappedDatagram&&) {
    out_.rtp.add(EventPtr(gst_event_new_custom(
        GST_EVENT_CUSTOM_DOWNSTREAM,
        gst_structure_new("GstDiscordPacketSkipped", "ssrc", G_TYPE_UINT, packet.ssrc, "seqnum",
                          G_TYPE_UINT, static_cast<guint>(packet.sequence & 0xffff), nullptr))));
  }

  void rtcp(std::size_t offset, std::size_t size, MappedDatagram&& datagram, Time arrival) {
    BufferPtr buffer = datagram.release();
    gst_buffer_resize(buffer.get(), static_cast<gssize>(offset), static_cast<gssize>(size));
    stamp(buffer.get(), arrival);
    out_.rtcp.push_back(std::move(buffer));
  }

  void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) {
    const SpeakingNews news{ssrc, user_id, speaking, when};
    out_.rtp.add(speaking_message(element_, news));
    out_.rtp.add(speaking_event(news));
  }

 private:
  void stamp(GstBuffer* buffer, Time arrival) {
    GST_BUFFER_PTS(buffer) = position_(arrival);
    // rtpjitterbuffer reads the time of arrival from the DTS, and without one takes the clock's.
    GST_BUFFER_DTS(buffer) = GST_BUFFER_PTS(buffer);
  }

  GstElement* element_;
  GateOutput& out_;
  const Position& position_;
};

void PacketGate::apply(const CallSnapshot& call, Time now, GateOutput& out,
                       const Position& position) {
  Sink sink(element_, out, position);
  if (call.generation != applied_.generation) {
    ingress_.forget_all(now, sink);
    ingress_.clear_key();
    admissions_.forget();
    applied_ = CallSnapshot();
    applied_.generation = call.generation;
  }
  for (const auto& [ssrc, user] : applied_.users) {
    if (!call.users.contains(ssrc)) {
      ingress_.retire(ssrc, now, sink);
    }
  }
  tell_rule(call, now, sink);
  for (const auto& [ssrc, user] : call.users) {
    const auto before = applied_.users.find(ssrc);
    if (before == applied_.users.end() || before->second != user) {
      ingress_.map_user(ssrc, user, now, sink);
    }
  }
  if (call.key && call.mode && !(applied_.key && *applied_.key == *call.key)) {
    ingress_.set_key(call.generation, *call.mode, *call.key, now, sink);
  }
  if (call.media_keys != applied_.media_keys) {
    ingress_.set_media_keys(call.media_keys, net::now(), now, sink);
  }
  applied_ = call;
}

void PacketGate::tell_rule(const CallSnapshot& call, Time now, Sink& sink) {
  admissions_.apply(
      rule_, call, [&](bool needed) { ingress_.need_users(needed, now, sink); },
      [&](std::uint64_t user, media::Admission admission) {
        ingress_.admit(user, admission, now, sink);
      });
}

void PacketGate::use_rule(media::UserRule rule, Time now, GateOutput& out,
                          const Position& position) {
  if (rule == rule_) {
    return;
  }
  for (EventPtr& name : names_of_newly_heard(rule_, rule, applied_)) {
    out.rtp.add(std::move(name));
  }
  rule_ = std::move(rule);
  Sink sink(element_, out, position);
  tell_rule(applied_, now, sink);
}

void PacketGate::use_key(transport::Mode mode, const transport::Key& key, Time now, GateOutput& out,
                         const Position& position) {
  Sink sink(element_, out, position);
  tell_rule(applied_, now, sink);
  ingress_.set_key(0, mode, key, now, sink);
}

void PacketGate::push(BufferPtr datagram, Time arrival, GateOutput& out, const Position& position) {
  MappedDatagram mapped(std::move(datagram));
  if (!mapped) {
    unmappable_++;
    return;
  }
  Sink sink(element_, out, position);
  const MutableByteSpan bytes = mapped.bytes();
  ingress_.push(bytes, std::move(mapped), arrival, sink);
  if (const auto user = ingress_.take_recovery_request(arrival)) {
    out.undecryptable = user;
  }
}

void PacketGate::on_timer(Time now, GateOutput& out, const Position& position) {
  Sink sink(element_, out, position);
  ingress_.on_timer(now, sink);
}

void PacketGate::flush(Time now, GateOutput& out, const Position& position) {
  Sink sink(element_, out, position);
  ingress_.forget_all(now, sink);
  admissions_.forget();
  applied_.users.clear();
}

void PacketGate::forget_key() {
  ingress_.clear_key();
  applied_.key.reset();
}

GstStructure* PacketGate::stats() const {
  GstStructure* stats = gst_structure_new_empty("application/x-discorddecrypt-stats");
  media::Ledger session = ingress_.ledger();
  session.received += unmappable_;
  session.evicted += unmappable_;
  add_ledger(stats, session);
  add_speakers(stats, ingress_.speakers());
  return stats;
}

}  // namespace discord
