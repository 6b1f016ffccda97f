// The first bytes of an Opus packet: whatever is accepted keeps the RFC's bounds.
#include "media/opus_packet.hpp"

#include <cstdlib>

using namespace discord;
using namespace discord::media;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  const auto opus = parse_opus_packet(bytes);
  if (opus) {
    const OpusPacket& packet = opus.value();
    if (packet.duration < opus_min_duration || packet.duration > opus_max_duration ||
        packet.duration != packet.frames * packet.frame_duration || packet.channels < 1 ||
        packet.channels > 2) {
      std::abort();
    }
  } else if (is_silence_frame(bytes) || to_string(opus.error())[0] == '?') {
    std::abort();
  }
  return 0;
}
