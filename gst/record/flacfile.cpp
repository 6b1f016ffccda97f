// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/flacfile.hpp"

namespace discord::record {

namespace {

constexpr std::size_t block_header = 4;
constexpr std::size_t info_size = 34;
constexpr std::size_t total_at = 13;  // the low 4 bits of this byte and the 4 bytes behind it

}  // namespace

Bytes FlacFile::before(ByteSpan piece, std::uint64_t file_size, std::uint64_t end) {
  if (info_at_ == 0 && piece.size() == block_header + info_size && (piece[0] & 0x7f) == 0) {
    info_at_ = file_size + block_header;
    info_.assign(piece.begin() + block_header, piece.end());
  } else if (piece.size() > 2 && piece[0] == 0xff && (piece[1] & 0xfe) == 0xf8) {
    frames_end_ = file_size + piece.size();
    first_end_ = first_end_ == 0 ? frames_end_ : first_end_;
    samples_ = end;
  }
  return {};
}

Patches FlacFile::sizes() const {
  if (info_at_ == 0) {
    return {};
  }
  Bytes total(info_.begin() + total_at, info_.begin() + total_at + 5);
  total[0] = static_cast<std::uint8_t>((total[0] & 0xf0) | ((samples_ >> 32) & 0x0f));
  store_be32(total.data() + 1, static_cast<std::uint32_t>(samples_));
  return {{info_at_ + total_at, total}};
}

Patches FlacFile::refresh(std::uint64_t file_size) {
  // Not while the file is shorter than what was announced, and not over what the encoder wrote.
  return completed_ || file_size < frames_end_ ? Patches{} : sizes();
}

Ending FlacFile::finish(std::uint64_t file_size, std::uint64_t) {
  return {refresh(file_size), std::nullopt};
}

}  // namespace discord::record
