// Opening, on both sides of authentication. The first byte picks mode and kind. Raw input almost
// never authenticates, so it is also sealed with the right key: that way extension and padding are
// parsed as a member of the call could send them.
#include "transport/cipher.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>

using namespace discord;
using namespace discord::transport;

namespace {

// Made once per mode: reusing a cipher over good and bad packets is part of what is tested.
Cipher& cipher_for(Mode mode) {
  static std::array<std::optional<Cipher>, mode_count> ciphers;
  auto& slot = ciphers[static_cast<std::size_t>(mode)];
  if (!slot) {
    slot.emplace(mode, Key());
  }
  return *slot;
}

// An opened packet's views lie inside the datagram, payload inside packet.
void check(const OpenedRtp& opened, MutableByteSpan datagram) {
  const bool inside =
      opened.packet.data() >= datagram.data() &&
      opened.packet.data() + opened.packet.size() <= datagram.data() + datagram.size() &&
      opened.payload.data() >= opened.packet.data() + 12 &&
      opened.payload.data() + opened.payload.size() <= opened.packet.data() + opened.packet.size();
  if (!inside) {
    std::abort();
  }
  std::fill(opened.payload.begin(), opened.payload.end(), std::uint8_t{0xEE});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) {
    return 0;
  }
  Cipher& cipher = cipher_for(static_cast<Mode>((data[0] & 0x7F) % mode_count));
  const bool rtcp = (data[0] & 0x80) != 0;
  const ByteSpan input(data + 1, size - 1);

  Bytes raw(input.begin(), input.end());
  if (rtcp) {
    static_cast<void>(cipher.open_rtcp(raw));
  } else {
    const auto opened = cipher.open_rtp(raw);
    if (opened.ok()) {
      check(*opened, raw);
    }
  }

  Bytes sealed(cipher.sealed_size(input.size()));
  const auto made =
      rtcp ? cipher.seal_rtcp(input, 1, sealed) : cipher.seal_plain_rtp(input, 1, sealed);
  if (!made.ok()) {
    return 0;
  }
  if (rtcp) {
    const auto opened = cipher.open_rtcp(sealed);
    if (!opened.ok() || !std::equal(opened->begin(), opened->end(), input.begin(), input.end())) {
      std::abort();
    }
    return 0;
  }
  const auto opened = cipher.open_rtp(sealed);
  if (opened.ok()) {
    if (!std::equal(opened->packet.begin(), opened->packet.end(), input.begin(), input.end())) {
      std::abort();
    }
    check(*opened, sealed);
  } else if (opened.error() == OpenError::not_authentic) {
    std::abort();  // what was sealed here is authentic, however malformed
  } else if (rtp::parse_packet(input).ok()) {
    std::abort();
  }
  return 0;
}
