// A plain RTP packet: header, CSRC list, extension, padding; what parses must write back.
#include "rtp/packet.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

using namespace discord;
using namespace discord::rtp;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  const auto packet = parse_packet(bytes);
  if (!packet.ok()) {
    return 0;
  }
  parse_audio_extension(packet->profile, packet->elements);
  std::size_t walked = 0;
  walk_elements(packet->elements,
                [&](std::uint8_t, ByteSpan element) { walked += 1 + element.size(); });
  if (walked > packet->elements.size()) {
    std::abort();
  }
  std::vector<std::uint32_t> csrc;
  for (std::size_t i = 0; i < packet->header.csrc_count; ++i) {
    csrc.push_back(load_be32(data + fixed_header_size + 4 * i));
  }
  const auto padding = packet->header.padding ? data[size - 1] : std::uint8_t{0};
  const PacketParts parts{
      packet->header,  csrc,   packet->header.extension, packet->profile, packet->elements,
      packet->payload, padding};
  Bytes out(packet_size(parts));
  // Padding bytes in front of the count have no meaning and are not kept.
  const std::size_t kept = size - padding;
  if (write_packet(parts, out) != size || !std::equal(data, data + kept, out.begin())) {
    std::abort();
  }
  return 0;
}
