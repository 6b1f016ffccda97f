// A whole RTP packet in the clear: what is left after opening, and what goes into sealing.
#pragma once

#include "rtp/extension.hpp"
#include "rtp/header.hpp"

namespace discord::rtp {

// A view: `elements` and `payload` point into the parsed bytes.
struct Packet {
  Header header;
  std::uint16_t profile = 0;  // 0 without extension
  ByteSpan elements;
  ByteSpan payload;  // without extension and padding; may be empty
};

enum class PacketError {
  too_short,  // fixed header, CSRC list or extension preamble does not fit
  bad_version,
  bad_extension,  // word count reaches past the end
  bad_padding,    // count is 0 or eats more than the payload
};

// Takes a packet apart: extension first, then padding (RFC 3550 section 5.1), so that padding may
// never eat extension bytes.
Result<Packet, PacketError> parse_packet(ByteSpan packet) noexcept;

// What `write_packet` puts together. P, X and CC of `header` are ignored: they follow from the
// rest.
struct PacketParts {
  Header header;
  std::span<const std::uint32_t> csrc;
  bool has_extension = false;
  std::uint16_t profile = one_byte_profile;
  ByteSpan elements;  // filled up with zeros to whole words
  ByteSpan payload;
  std::uint8_t padding = 0;  // bytes to append, their count included; 0 = P bit clear
};

// Bytes that `write_packet` needs.
std::size_t packet_size(const PacketParts& parts) noexcept;
// The number of bytes written; 0 when they do not fit or the parts are impossible (more than 15
// sources, more than 65535 words of extension).
std::size_t write_packet(const PacketParts& parts, MutableByteSpan out) noexcept;

}  // namespace discord::rtp
