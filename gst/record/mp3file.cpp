// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/mp3file.hpp"

#include <algorithm>
#include <array>

namespace discord::record {

namespace {

constexpr std::size_t header_size = 4;
constexpr std::size_t side_info_stereo = 32;
constexpr std::size_t side_info_mono = 17;
// id, flags, frames, bytes, table of contents, quality; then LAME's part.
constexpr std::size_t xing_size = 4 + 4 + 4 + 4 + 100 + 4;
constexpr std::size_t lame_size = 36;
constexpr std::size_t max_places = 1024;

// kbit/s of layer III by the index in the header; 0 and 15 are none.
constexpr std::array<unsigned, 16> bitrates_1 = {0,   32,  40,  48,  56,  64,  80,  96,
                                                 112, 128, 160, 192, 224, 256, 320, 0};
constexpr std::array<unsigned, 16> bitrates_2 = {0,  8,  16, 24,  32,  40,  48,  56,
                                                 64, 80, 96, 112, 128, 144, 160, 0};

// What a frame's header says. A low quality makes the encoder choose a lower rate.
struct Header {
  bool valid = false;
  bool mpeg_1 = true;
  bool mono = false;
  unsigned rate = 0;
  unsigned kbps = 0;
  std::size_t bytes(unsigned kbit) const { return (mpeg_1 ? 144000u : 72000u) * kbit / rate; }
  std::size_t side_info() const { return mpeg_1 ? (mono ? 17 : 32) : (mono ? 9 : 17); }
};

Header header_of(ByteSpan piece) {
  Header h;
  if (piece.size() <= header_size || piece[0] != 0xff || (piece[1] & 0xe6) != 0xe2) {
    return h;  // no frame of layer III
  }
  const unsigned version = piece[1] >> 3 & 3;  // 3: MPEG-1, 2: MPEG-2, 0: 2.5
  constexpr std::array<unsigned, 4> rates = {44100, 48000, 32000, 0};
  h.mpeg_1 = version == 3;
  h.mono = piece[3] >> 6 == 3;
  h.rate = rates[piece[2] >> 2 & 3] / (h.mpeg_1 ? 1 : version == 2 ? 2 : 4);
  h.kbps = (h.mpeg_1 ? bitrates_1 : bitrates_2)[piece[2] >> 4];
  h.valid = version != 1 && h.rate != 0 && h.kbps != 0;
  return h;
}

constexpr std::array<std::uint16_t, 256> crc_table = [] {
  std::array<std::uint16_t, 256> out{};
  for (unsigned i = 0; i < 256; i++) {
    unsigned r = i;
    for (int bit = 0; bit < 8; bit++) {
      r = (r & 1) != 0 ? (r >> 1) ^ 0xa001u : r >> 1;
    }
    out[i] = static_cast<std::uint16_t>(r);
  }
  return out;
}();

std::uint16_t crc16(ByteSpan bytes, std::uint16_t crc) {
  for (const std::uint8_t b : bytes) {
    crc = static_cast<std::uint16_t>((crc >> 8) ^ crc_table[(crc ^ b) & 0xff]);
  }
  return crc;
}

void put_at(Bytes& out, std::size_t at, std::string_view text) {
  std::copy(text.begin(), text.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

Bytes Mp3File::before(ByteSpan piece, std::uint64_t file_size, std::uint64_t) {
  const Header h = header_of(piece);
  if (!h.valid) {
    return {};
  }
  Bytes out;
  if (frame_.empty()) {
    tag_at_ = header_size + h.side_info();
    std::uint8_t index = piece[2] >> 4;
    const auto& table = h.mpeg_1 ? bitrates_1 : bitrates_2;
    while (index < 14 && h.bytes(table[index]) < tag_at_ + xing_size + lame_size) {
      index++;
    }
    frame_.assign(h.bytes(table[index]), 0);
    std::copy_n(piece.begin(), header_size, frame_.begin());
    frame_[1] |= 1;  // no checksum
    frame_[2] = static_cast<std::uint8_t>((frame_[2] & 0x0c) | index << 4);
    info_at_ = file_size;
    bytes_ = frame_.size();
    first_bitrate_ = piece[2] >> 4;
    kbps_ = h.kbps;
    rate_ = h.rate;
    samples_per_frame_ = h.mpeg_1 ? 1152 : 576;
    out = info_frame(bytes_, 0);
  }
  note(piece);
  return out;
}

void Mp3File::note(ByteSpan frame) {
  variable_ = variable_ || frame[2] >> 4 != first_bitrate_;
  if (frames_ % stride_ == 0) {
    places_.push_back(bytes_);
    if (places_.size() == max_places) {
      for (std::size_t i = 0; i < max_places / 2; i++) {
        places_[i] = places_[2 * i];
      }
      places_.resize(max_places / 2);
      stride_ *= 2;
    }
  }
  frames_++;
  bytes_ += frame.size();
  music_crc_ = crc16(frame, music_crc_);
}

Bytes Mp3File::info_frame(std::uint64_t bytes, std::uint32_t padding) const {
  Bytes out = frame_;
  std::uint8_t* p = out.data() + tag_at_;
  put_at(out, tag_at_, variable_ ? "Xing" : "Info");
  store_be32(p + 4, 0x0f);
  store_be32(p + 8, static_cast<std::uint32_t>(frames_));
  store_be32(p + 12, static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, 0xffffffffu)));
  for (std::size_t i = 0; i < 100; i++) {
    const std::uint64_t place = i * frames_ / 100 / stride_;
    // Frames of one size are where they are, whatever the number of frames is rounded to.
    const std::uint64_t at = !variable_               ? (i * bytes + 99) / 100
                             : place < places_.size() ? places_[place]
                                                      : 0;
    p[16 + i] =
        static_cast<std::uint8_t>(bytes == 0 ? 0 : std::min<std::uint64_t>(at * 256 / bytes, 255));
  }
  std::uint8_t* lame = p + xing_size;
  put_at(out, tag_at_ + xing_size, "LAME3.100");
  lame[9] = variable_ ? 0x04 : 0x01;  // tag revision 0; VBR or CBR
  lame[20] = static_cast<std::uint8_t>(std::min(kbps_, 255u));
  const std::uint32_t delays = encoder_delay << 12 | std::min<std::uint32_t>(padding, 0xfff);
  lame[21] = static_cast<std::uint8_t>(delays >> 16);
  store_be16(lame + 22, static_cast<std::uint16_t>(delays));
  store_be32(lame + 28, static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, 0xffffffffu)));
  store_be16(lame + 32, music_crc_);
  store_be16(lame + 34, crc16(ByteSpan(out).first(tag_at_ + xing_size + 34), 0));
  return out;
}

// Of the frame in front only its tag: it is as large as one of sound.
Patch Mp3File::patch(std::uint32_t padding) const {
  const Bytes frame = info_frame(bytes_, padding);
  const auto from = frame.begin() + static_cast<std::ptrdiff_t>(tag_at_);
  return {info_at_ + tag_at_, Bytes(from, from + xing_size + lame_size)};
}

// Most of the tag stays what it is: the numbers of frames and bytes and two checksums change.
Patches Mp3File::refresh(std::uint64_t file_size) {
  if (frame_.empty() || file_size < info_at_ + bytes_) {
    return {};
  }
  constexpr std::size_t apart = 16;  // what lies between is written too, rather than once more
  const Patch whole = patch(0);
  Patches out;
  std::size_t end = 0;  // of the last piece
  for (std::size_t i = 0; i < whole.bytes.size(); i++) {
    if (i < told_.size() && whole.bytes[i] == told_[i]) {
      continue;
    }
    if (out.empty() || i - end > apart) {
      out.push_back({whole.offset + i, {}});
      end = i;
    }
    const auto from = whole.bytes.begin() + static_cast<std::ptrdiff_t>(end);
    out.back().bytes.insert(out.back().bytes.end(), from,
                            whole.bytes.begin() + static_cast<std::ptrdiff_t>(i + 1));
    end = i + 1;
  }
  told_ = whole.bytes;
  return out;
}

std::uint64_t Mp3File::samples(std::uint64_t) const {
  const std::uint64_t all = frames_ * samples_per_frame_;
  return all > encoder_delay ? (all - encoder_delay) * 48000 / rate_ : 0;
}

Ending Mp3File::finish(std::uint64_t file_size, std::uint64_t samples) {
  if (frame_.empty() || file_size < info_at_ + bytes_) {
    return {};
  }
  samples = (samples * rate_ + 24000) / 48000;
  const std::uint64_t all = frames_ * samples_per_frame_;
  const std::uint64_t padding = all > samples + encoder_delay ? all - samples - encoder_delay : 0;
  return {{patch(static_cast<std::uint32_t>(std::min<std::uint64_t>(padding, 0xfff)))},
          std::nullopt};
}

}  // namespace discord::record
