#include "media/ingress.hpp"

#include "media/opus_packet.hpp"

namespace discord::media {

AudioPacket describe(const transport::OpenedRtp& opened, ByteSpan datagram, Time arrival) noexcept {
  AudioPacket out;
  out.ssrc = opened.header.ssrc;
  out.timestamp = opened.header.timestamp;
  out.marker = opened.header.marker;
  out.payload_type = opened.header.payload_type;
  out.packet_offset = static_cast<std::size_t>(opened.packet.data() - datagram.data());
  out.packet_size = opened.packet.size();
  if (!opened.payload.empty()) {
    out.offset = static_cast<std::size_t>(opened.payload.data() - datagram.data());
    out.size = opened.payload.size();
  }
  if (opened.extension.audio_level) {
    out.audio_level = *opened.extension.audio_level & 0x7F;
    out.voice_activity = (*opened.extension.audio_level & 0x80) != 0;
  }
  out.speaking_flags = rtp::speaking_flags(opened.extension.speaker);
  out.silence = is_silence_frame(opened.payload);
  out.arrival = arrival;
  return out;
}

void observe(Speaker& speaker, const AudioPacket& packet) noexcept {
  speaker.last_packet = packet.arrival;
  if (packet.audio_level) {
    speaker.audio_level = packet.audio_level;
  }
  if (packet.size != 0) {  // padding repeats an old timestamp
    speaker.jitter.packet(packet.timestamp, packet.arrival);
  }
}

std::uint64_t Ledger::*cause_of(transport::OpenError error) noexcept {
  switch (error) {
    case transport::OpenError::bad_extension:
    case transport::OpenError::bad_padding:
      return &Ledger::not_a_frame;
    case transport::OpenError::too_short:
    case transport::OpenError::bad_version:
    case transport::OpenError::not_authentic:
      break;
  }
  return &Ledger::bad_tag;
}

}  // namespace discord::media
