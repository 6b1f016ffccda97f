#include "rtp/classify.hpp"

#include "rtp/discovery.hpp"

#include <algorithm>

namespace discord::rtp {
namespace {

constexpr std::uint32_t discovery_reply_start = 0x00020046;
constexpr std::uint32_t ping_request_magic = 0x1337CAFE;

bool has_keepalive_size(std::size_t size) noexcept {
  return size == 4 || size == 8 || size == 9;
}

}  // namespace

DatagramKind classify(ByteSpan datagram, const DatagramLimits& limits) noexcept {
  const std::size_t size = datagram.size();
  if (size == discovery_size && load_be32(datagram.data()) == discovery_reply_start) {
    return parse_discovery_reply(datagram).ok() ? DatagramKind::discovery_reply
                                                : DatagramKind::drop;
  }
  if (parse_ping_reply(datagram)) {
    return DatagramKind::ping_reply;
  }
  // Length before version bits: an echoed little-endian counter of 128 starts like RTP, and one of
  // 0xC981 like RTCP.
  if (size < std::min(limits.min_rtp, limits.min_rtcp)) {
    // Servers never send the request's magic, so it is junk or a reflection.
    const bool is_request = size == ping_size && load_be32(datagram.data()) == ping_request_magic;
    return has_keepalive_size(size) && !is_request ? DatagramKind::keepalive_echo
                                                   : DatagramKind::drop;
  }
  if (size < 2 || datagram[0] >> 6 != 2) {
    return DatagramKind::drop;
  }
  // RFC 5761 section 4: the whole second byte decides. With the marker bit masked off, RTCP types
  // would look like payload types 72-78.
  if (datagram[1] >= 192 && datagram[1] <= 223) {
    return size >= limits.min_rtcp ? DatagramKind::rtcp : DatagramKind::drop;
  }
  if (size < limits.min_rtp) {
    return DatagramKind::drop;
  }
  return (datagram[1] & 0x7F) == limits.audio_payload_type ? DatagramKind::rtp_audio
                                                           : DatagramKind::rtp_other;
}

const char* to_string(DatagramKind kind) noexcept {
  switch (kind) {
    case DatagramKind::discovery_reply:
      return "discovery_reply";
    case DatagramKind::ping_reply:
      return "ping_reply";
    case DatagramKind::keepalive_echo:
      return "keepalive_echo";
    case DatagramKind::rtp_audio:
      return "rtp_audio";
    case DatagramKind::rtp_other:
      return "rtp_other";
    case DatagramKind::rtcp:
      return "rtcp";
    case DatagramKind::drop:
      break;
  }
  return "drop";
}

}  // namespace discord::rtp
