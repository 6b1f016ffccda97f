#include "rtp/packet.hpp"

#include <algorithm>

namespace discord::rtp {
namespace {

constexpr std::size_t round_up_to_words(std::size_t bytes) noexcept {
  return (bytes + 3) & ~std::size_t{3};
}

}  // namespace

Result<Packet, PacketError> parse_packet(ByteSpan packet) noexcept {
  const auto header = parse_header(packet);
  if (!header) {
    return Failure{header.error() == HeaderError::bad_version ? PacketError::bad_version
                                                              : PacketError::too_short};
  }
  Packet out;
  out.header = *header;
  out.payload = packet.subspan(header_size(*header));
  if (header->extension) {
    if (out.payload.size() < extension_preamble_size) {
      return Failure{PacketError::too_short};
    }
    out.profile = load_be16(out.payload.data());
    // The count is in words and says nothing about the number of elements.
    const std::size_t size = 4u * load_be16(out.payload.data() + 2);
    out.payload = out.payload.subspan(extension_preamble_size);
    if (size > out.payload.size()) {
      return Failure{PacketError::bad_extension};
    }
    out.elements = out.payload.first(size);
    out.payload = out.payload.subspan(size);
  }
  if (header->padding) {
    if (out.payload.empty() || out.payload.back() == 0 || out.payload.back() > out.payload.size()) {
      return Failure{PacketError::bad_padding};
    }
    out.payload = out.payload.first(out.payload.size() - out.payload.back());
  }
  return out;
}

std::size_t packet_size(const PacketParts& parts) noexcept {
  return fixed_header_size + 4 * parts.csrc.size() +
         (parts.has_extension ? extension_preamble_size + round_up_to_words(parts.elements.size())
                              : 0) +
         parts.payload.size() + parts.padding;
}

std::size_t write_packet(const PacketParts& parts, MutableByteSpan out) noexcept {
  const std::size_t size = packet_size(parts);
  const std::size_t words = round_up_to_words(parts.elements.size()) / 4;
  if (size > out.size() || words > 0xFFFF) {
    return 0;
  }
  Header header = parts.header;
  header.extension = parts.has_extension;
  header.padding = parts.padding > 0;
  const std::size_t header_end = write_header(header, out, parts.csrc);
  if (header_end == 0) {
    return 0;
  }
  auto at = out.begin() + static_cast<std::ptrdiff_t>(header_end);
  if (parts.has_extension) {
    store_be16(&at[0], parts.profile);
    store_be16(&at[2], static_cast<std::uint16_t>(words));
    at += extension_preamble_size;
    at = std::copy(parts.elements.begin(), parts.elements.end(), at);
    at = std::fill_n(at, words * 4 - parts.elements.size(), std::uint8_t{0});
  }
  at = std::copy(parts.payload.begin(), parts.payload.end(), at);
  // Only the last byte has a meaning (RFC 3550 section 5.1).
  // it.
  std::fill_n(at, parts.padding, parts.padding);
  return size;
}

}  // namespace discord::rtp
