// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/oggfile.hpp"

#include <array>

namespace discord::record {

namespace {

constexpr std::size_t page_header = 27;
constexpr std::size_t granule_at = 6;
constexpr std::size_t checksum_at = 22;
constexpr std::uint64_t no_granule = ~std::uint64_t{0};

constexpr std::array<std::uint32_t, 256> table = [] {
  std::array<std::uint32_t, 256> out{};
  for (std::uint32_t i = 0; i < 256; i++) {
    std::uint32_t r = i << 24;
    for (int bit = 0; bit < 8; bit++) {
      r = (r & 0x80000000u) != 0 ? (r << 1) ^ 0x04c11db7u : r << 1;
    }
    out[i] = r;
  }
  return out;
}();

std::uint64_t load_le64(const std::uint8_t* p) {
  std::uint64_t out = 0;
  for (int i = 7; i >= 0; i--) {
    out = out << 8 | p[i];
  }
  return out;
}

}  // namespace

std::uint32_t ogg_checksum(ByteSpan page) noexcept {
  std::uint32_t crc = 0;
  for (const std::uint8_t b : page) {
    crc = (crc << 8) ^ table[((crc >> 24) ^ b) & 0xff];
  }
  return crc;
}

// The muxer hands over one page at a time.
Bytes OggFile::before(ByteSpan piece, std::uint64_t file_size, std::uint64_t) {
  if (piece.size() < page_header || piece[0] != 'O' || piece[1] != 'g') {
    return {};
  }
  const std::size_t body = page_header + piece[26];
  if (piece.size() >= body + 12 && piece[body] == 'O' && piece[body + 4] == 'H') {  // OpusHead
    pre_skip_ = static_cast<std::uint64_t>(piece[body + 10] | piece[body + 11] << 8);
  }
  const std::uint64_t granule = load_le64(piece.data() + granule_at);
  if (granule != no_granule) {
    granule_before_ = granule_;
    granule_ = granule;
    sound_at_ = sound_at_ == 0 && granule > 0 ? file_size : sound_at_;
  }
  page_.assign(piece.begin(), piece.end());
  page_at_ = file_size;
  return {};
}

Patches OggFile::finish(std::uint64_t file_size, std::uint64_t samples) {
  const std::uint64_t wanted = samples + pre_skip_;
  if (page_.empty() || granule_ <= wanted || granule_before_ >= wanted ||
      page_at_ + page_.size() != file_size) {
    return {};
  }
  for (std::size_t i = 0; i < 8; i++) {
    page_[granule_at + i] = static_cast<std::uint8_t>(wanted >> (8 * i));
  }
  for (std::size_t i = 0; i < 4; i++) {
    page_[checksum_at + i] = 0;
  }
  const std::uint32_t crc = ogg_checksum(page_);
  for (std::size_t i = 0; i < 4; i++) {
    page_[checksum_at + i] = static_cast<std::uint8_t>(crc >> (8 * i));
  }
  return {{page_at_, page_}};
}

}  // namespace discord::record
