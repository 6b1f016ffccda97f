// What an Opus packet says about itself in its first bytes (RFC 6716 section 3).
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace discord::media {

inline constexpr std::uint32_t opus_rate = 48000;
inline constexpr std::uint32_t opus_min_duration = 120;   // 2.5 ms, the shortest frame
inline constexpr std::uint32_t opus_max_duration = 5760;  // 120 ms, the longest packet

struct OpusPacket {
  std::uint8_t config = 0;           // 0-31, RFC 6716 table 2
  std::uint8_t channels = 1;         // 1 or 2
  std::uint8_t frames = 1;           // 1-48
  std::uint32_t frame_duration = 0;  // samples at 48 kHz
  std::uint32_t duration = 0;        // of the whole packet, 120-5760 samples at 48 kHz

  friend bool operator==(const OpusPacket&, const OpusPacket&) = default;
};

enum class OpusError {
  empty,            // R1: no TOC byte
  uneven,           // R3: code 1 needs an even number of bytes behind the TOC
  no_frame_count,   // code 3 without its second byte
  bad_frame_count,  // R5: code 3 with no frame
  too_long,         // R5: more than 120 ms
};
const char* to_string(OpusError error) noexcept;

// Reads the TOC byte and the frame count; the frames' own lengths are the decoder's business.
Result<OpusPacket, OpusError> parse_opus_packet(ByteSpan packet) noexcept;

// The frame that means "nothing is being said": F8 FF FE, or its stereo twin FC FF FE
// (docs/protocol.md "Silence, pauses and timestamps").
bool is_silence_frame(ByteSpan packet) noexcept;

}  // namespace discord::media
