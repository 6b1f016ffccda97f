#include "media/opus_packet.hpp"

namespace discord::media {

namespace {

// RFC 6716 table 2: four SILK lengths, two hybrid ones, four CELT ones.
constexpr std::uint32_t frame_duration(std::uint8_t config) noexcept {
  constexpr std::uint32_t silk[] = {480, 960, 1920, 2880};
  constexpr std::uint32_t other[] = {120, 240, 480, 960};
  if (config < 12) {
    return silk[config & 3];
  }
  if (config < 16) {
    return other[2 + (config & 1)];
  }
  return other[config & 3];
}

}  // namespace

const char* to_string(OpusError error) noexcept {
  switch (error) {
    case OpusError::empty:
      return "empty";
    case OpusError::uneven:
      return "uneven";
    case OpusError::no_frame_count:
      return "no-frame-count";
    case OpusError::bad_frame_count:
      return "bad-frame-count";
    case OpusError::too_long:
      return "too-long";
  }
  return "?";
}

Result<OpusPacket, OpusError> parse_opus_packet(ByteSpan packet) noexcept {
  if (packet.empty()) {
    return Failure{OpusError::empty};
  }
  const std::uint8_t toc = packet[0];
  OpusPacket out;
  out.config = static_cast<std::uint8_t>(toc >> 3);
  out.channels = (toc & 4) != 0 ? 2 : 1;
  out.frame_duration = frame_duration(out.config);
  switch (toc & 3) {
    case 0:
      out.frames = 1;
      break;
    case 1:
      if (packet.size() % 2 == 0) {
        return Failure{OpusError::uneven};
      }
      out.frames = 2;
      break;
    case 2:
      out.frames = 2;
      break;
    default:
      if (packet.size() < 2) {
        return Failure{OpusError::no_frame_count};
      }
      out.frames = packet[1] & 63;
      if (out.frames == 0) {
        return Failure{OpusError::bad_frame_count};
      }
      break;
  }
  out.duration = out.frames * out.frame_duration;
  if (out.duration > opus_max_duration) {
    return Failure{OpusError::too_long};
  }
  return out;
}

bool is_silence_frame(ByteSpan packet) noexcept {
  return packet.size() == 3 && (packet[0] == 0xF8 || packet[0] == 0xFC) && packet[1] == 0xFF &&
         packet[2] == 0xFE;
}

}  // namespace discord::media
