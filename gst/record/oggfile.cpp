// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/oggfile.hpp"

#include "media/opus_packet.hpp"

#include <algorithm>
#include <array>

namespace discord::record {

namespace {

constexpr std::size_t page_header = 27;
constexpr std::size_t flags_at = 5;
constexpr std::uint8_t last_page = 4;  // of its stream
constexpr std::size_t granule_at = 6;
constexpr std::size_t segments_at = 26;
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

// RFC 3533 section 6: a packet ends with the first segment shorter than 255 bytes.
struct LastPacket {
  std::size_t segments = 0;
  ByteSpan bytes;
};
LastPacket last_packet(ByteSpan page) {
  const std::size_t all = page[segments_at];
  LastPacket out;
  if (page_header + all > page.size()) {
    return out;
  }
  std::size_t size = 0;
  for (std::size_t i = all; i-- > 0;) {
    const std::uint8_t segment = page[page_header + i];
    if (segment < 255 && out.segments > 0) {
      break;
    }
    size += segment;
    out.segments++;
  }
  if (page_header + all + size <= page.size()) {
    out.bytes = page.last(size);
  }
  return out;
}

// What lies behind the end as a whole need not be decoded to be thrown away (RFC 7845 section 4.5).
void drop_packets_behind(std::uint64_t wanted, std::uint64_t granule, Bytes& page) {
  for (;;) {
    const LastPacket last = last_packet(page);
    const auto opus = media::parse_opus_packet(last.bytes);
    if (!opus || last.segments == page[segments_at] || granule < wanted + opus->duration) {
      return;
    }
    granule -= opus->duration;
    page.resize(page.size() - last.bytes.size());
    const auto table_end =
        page.begin() + static_cast<std::ptrdiff_t>(page_header + page[segments_at]);
    page.erase(table_end - static_cast<std::ptrdiff_t>(last.segments), table_end);
    page[segments_at] = static_cast<std::uint8_t>(page[segments_at] - last.segments);
  }
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
  const std::size_t body = page_header + piece[segments_at];
  if (piece.size() >= body + 12 && piece[body] == 'O' && piece[body + 4] == 'H') {  // OpusHead
    pre_skip_ = static_cast<std::uint64_t>(piece[body + 10] | piece[body + 11] << 8);
  }
  const std::uint64_t granule = load_le64(piece.data() + granule_at);
  if (granule == no_granule) {
    return {};
  }
  sound_at_ = sound_at_ == 0 && granule > 0 ? file_size : sound_at_;
  Page& page = pages_[count_++ % kept];
  page.bytes.assign(piece.begin(), piece.end());
  page.at = file_size;
  page.granule = granule;
  return {};
}

std::uint64_t OggFile::samples(std::uint64_t) const {
  const std::uint64_t granule = count_ == 0 ? 0 : pages_[(count_ - 1) % kept].granule;
  return granule > pre_skip_ ? granule - pre_skip_ : 0;
}

Ending OggFile::finish(std::uint64_t file_size, std::uint64_t samples) {
  const std::uint64_t wanted = samples + pre_skip_;
  const auto page = [this](std::uint64_t n) -> Page& { return pages_[n % kept]; };
  if (count_ < 2 || page(count_ - 1).granule <= wanted ||
      page(count_ - 1).at + page(count_ - 1).bytes.size() != file_size) {
    return {};
  }
  // The page in which the track ends.
  const std::uint64_t oldest = count_ > kept ? count_ - kept : 0;
  std::uint64_t n = count_ - 1;
  while (n > oldest && page(n - 1).granule >= wanted) {
    n--;
  }
  if (n == oldest) {
    return {};
  }
  Bytes bytes = page(n).bytes;
  drop_packets_behind(wanted, page(n).granule, bytes);
  bytes[flags_at] |= last_page;
  for (std::size_t i = 0; i < 8; i++) {
    bytes[granule_at + i] = static_cast<std::uint8_t>(wanted >> (8 * i));
  }
  std::fill_n(bytes.begin() + checksum_at, 4, std::uint8_t{0});
  const std::uint32_t crc = ogg_checksum(bytes);
  for (std::size_t i = 0; i < 4; i++) {
    bytes[checksum_at + i] = static_cast<std::uint8_t>(crc >> (8 * i));
  }
  const std::uint64_t size = page(n).at + bytes.size();
  return {{{page(n).at, std::move(bytes)}}, size};
}

}  // namespace discord::record
