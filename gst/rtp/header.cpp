#include "rtp/header.hpp"

namespace discord::rtp {

Result<Header, HeaderError> parse_header(ByteSpan packet) noexcept {
  if (packet.size() < fixed_header_size) {
    return Failure{HeaderError::too_short};
  }
  if (packet[0] >> 6 != 2) {
    return Failure{HeaderError::bad_version};
  }
  Header header;
  header.padding = (packet[0] & 0x20) != 0;
  header.extension = (packet[0] & 0x10) != 0;
  header.csrc_count = packet[0] & 0x0F;
  header.marker = (packet[1] & 0x80) != 0;
  header.payload_type = packet[1] & 0x7F;
  header.sequence = load_be16(packet.data() + 2);
  header.timestamp = load_be32(packet.data() + 4);
  header.ssrc = load_be32(packet.data() + 8);
  if (packet.size() < header_size(header)) {
    return Failure{HeaderError::too_short};
  }
  return header;
}

std::size_t write_header(const Header& header, MutableByteSpan out,
                         std::span<const std::uint32_t> csrc) noexcept {
  const std::size_t size = fixed_header_size + 4 * csrc.size();
  if (csrc.size() > max_csrc || out.size() < size) {
    return 0;
  }
  out[0] = static_cast<std::uint8_t>(0x80 | (header.padding ? 0x20 : 0) |
                                     (header.extension ? 0x10 : 0) | csrc.size());
  out[1] = static_cast<std::uint8_t>((header.marker ? 0x80 : 0) | (header.payload_type & 0x7F));
  store_be16(out.data() + 2, header.sequence);
  store_be32(out.data() + 4, header.timestamp);
  store_be32(out.data() + 8, header.ssrc);
  for (std::size_t i = 0; i < csrc.size(); ++i) {
    store_be32(out.data() + fixed_header_size + 4 * i, csrc[i]);
  }
  return size;
}

}  // namespace discord::rtp
