// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/container.hpp"

#include "record/flacfile.hpp"
#include "record/mp3file.hpp"
#include "record/oggfile.hpp"
#include "record/wavfile.hpp"

namespace discord::record {

const char* extension(Format format) noexcept {
  switch (format) {
    case Format::wav:
      return "wav";
    case Format::mp3:
      return "mp3";
    case Format::flac:
      return "flac";
    case Format::ogg:
      break;
  }
  return "ogg";
}

std::unique_ptr<Container> make_container(Format format, const TrackTags& tags,
                                          std::uint64_t riff_limit) {
  switch (format) {
    case Format::wav:
      return std::make_unique<WavFile>(tags, riff_limit);
    case Format::mp3:
      return std::make_unique<Mp3File>();
    case Format::flac:
      return std::make_unique<FlacFile>();
    case Format::ogg:
      break;
  }
  return std::make_unique<OggFile>();
}

}  // namespace discord::record
