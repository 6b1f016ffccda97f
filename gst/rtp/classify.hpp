// Which kind of datagram is this? Everything shares one UDP socket and nothing but size and the
// first bytes tell the kinds apart (docs/protocol.md "Telling datagrams apart").
#pragma once

#include "base/bytes.hpp"

namespace discord::rtp {

enum class DatagramKind {
  discovery_reply,
  ping_reply,
  keepalive_echo,
  rtp_audio,
  rtp_other,
  rtcp,
  drop,
};

// Smallest sealed packets of the encryption mode in use (`transport::limits_for`), and the
// payload type that was negotiated for audio.
struct DatagramLimits {
  std::size_t min_rtp = 32;
  std::size_t min_rtcp = 28;
  std::uint8_t audio_payload_type = 120;
};

// Sorts a datagram by looking at clear bytes only, so the answer is a guess until a packet has been
// authenticated. `discovery_reply` means well formed; comparing its SSRC is left to the caller.
DatagramKind classify(ByteSpan datagram, const DatagramLimits& limits = {}) noexcept;

// The name as it appears in statistics ("rtp_audio", ...).
const char* to_string(DatagramKind kind) noexcept;

}  // namespace discord::rtp
