// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/wavfile.hpp"

#include <algorithm>

namespace discord::record {

namespace {

constexpr std::size_t frame_size = 4;  // two channels of 16 bits
constexpr std::size_t ds64_size = 28;
constexpr std::size_t info_space = 800;  // of tags; what is longer is cut

void put(Bytes& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}
void put_le(Bytes& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) {
    out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
}

// A NUL ends the text; chunks begin at even offsets.
void put_text(Bytes& out, std::string_view id, std::string_view text) {
  if (text.empty()) {
    return;
  }
  text = text.substr(0, 255);
  put(out, id);
  put_le(out, text.size() + 1, 4);
  put(out, text);
  out.insert(out.end(), 1 + (text.size() + 1) % 2, 0);
}

}  // namespace

WavFile::WavFile(const TrackTags& tags, std::uint64_t riff_limit) : riff_limit_(riff_limit) {
  Bytes texts;
  put_text(texts, "INAM", tags.title);
  put_text(texts, "IART", tags.user_id);
  put_text(texts, "ICMT", tags.comment);
  if (!texts.empty() && texts.size() <= info_space) {
    put(info_, "LIST");
    put_le(info_, texts.size() + 4, 4);
    put(info_, "INFO");
    info_.insert(info_.end(), texts.begin(), texts.end());
  }
}

Bytes WavFile::front(std::uint64_t data_size) const {
  const std::uint64_t riff_size = head_size - 8 + data_size;
  const bool large = riff_size >= riff_limit_;
  Bytes out;
  out.reserve(head_size);
  put(out, large ? "RF64" : "RIFF");
  put_le(out, large ? 0xffffffffu : riff_size, 4);
  put(out, "WAVE");
  put(out, large ? "ds64" : "JUNK");
  put_le(out, ds64_size, 4);
  put_le(out, large ? riff_size : 0, 8);
  put_le(out, large ? data_size : 0, 8);
  put_le(out, large ? data_size / frame_size : 0, 8);
  put_le(out, 0, 4);  // no table of further chunks
  put(out, "fmt ");
  put_le(out, 16, 4);
  put_le(out, 1, 2);  // PCM
  put_le(out, 2, 2);
  put_le(out, 48000, 4);
  put_le(out, 48000 * frame_size, 4);
  put_le(out, frame_size, 2);
  put_le(out, 16, 2);
  out.insert(out.end(), info_.begin(), info_.end());
  const std::size_t padding = head_size - out.size() - 16;
  put(out, "JUNK");
  put_le(out, padding, 4);
  out.insert(out.end(), padding, 0);
  put(out, "data");
  put_le(out, large ? 0xffffffffu : data_size, 4);
  return out;
}

std::uint64_t WavFile::samples(std::uint64_t file_size) const {
  return file_size < head_size ? 0 : (file_size - head_size) / frame_size;
}

Patches WavFile::refresh(std::uint64_t file_size) {
  if (file_size < head_size) {
    return {};
  }
  const std::uint64_t data = (file_size - head_size) / frame_size * frame_size;
  const Bytes all = front(data);
  // What changes, and no more: the sizes, and with the RF64 file its marks and ds64.
  const bool large = head_size - 8 + data >= riff_limit_;
  const std::ptrdiff_t begin = large ? 0 : 4;
  return {{static_cast<std::uint64_t>(begin),
           Bytes(all.begin() + begin, all.begin() + (large ? 20 + ds64_size : 8))},
          {head_size - 4, Bytes(all.end() - 4, all.end())}};
}

}  // namespace discord::record
