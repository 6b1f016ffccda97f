// The fixed RTP header (RFC 3550 section 5.1) and its CSRC list.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <span>

namespace discord::rtp {

inline constexpr std::size_t fixed_header_size = 12;
inline constexpr std::size_t extension_preamble_size = 4;
inline constexpr std::size_t max_csrc = 15;

// A header's fields; the flags say what follows it, not what was kept.
struct Header {
  bool padding = false;
  bool extension = false;
  bool marker = false;
  std::uint8_t csrc_count = 0;    // 0-15
  std::uint8_t payload_type = 0;  // 0-127
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  std::uint32_t ssrc = 0;

  friend bool operator==(const Header&, const Header&) = default;
};

enum class HeaderError {
  too_short,    // fixed part or CSRC list does not fit
  bad_version,  // not RTP version 2
};

// Reads the fixed header; that the CSRC list fits is checked too.
Result<Header, HeaderError> parse_header(ByteSpan packet) noexcept;

// Fixed part and CSRC list, without the extension's preamble.
constexpr std::size_t header_size(const Header& header) noexcept {
  return fixed_header_size + 4u * header.csrc_count;
}
// The same with the extension's preamble (profile, word count) where the X bit is set: what the
// rtpsize modes leave clear.
constexpr std::size_t header_size_with_preamble(const Header& header) noexcept {
  return header_size(header) + (header.extension ? extension_preamble_size : 0);
}

// Writes the fixed header and the CSRC list; the CSRC count comes from `csrc`, not from `header`.
// The number of bytes written, or 0 when `out` is too small or there are more than 15 sources.
std::size_t write_header(const Header& header, MutableByteSpan out,
                         std::span<const std::uint32_t> csrc = {}) noexcept;

}  // namespace discord::rtp
