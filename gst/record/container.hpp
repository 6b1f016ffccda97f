// What a file of a recording needs beside being appended to: a place at its front for what is only
// known later, and what to write there, so that it opens with the right length at any moment.
#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace discord::record {

enum class Format : std::uint8_t { wav, mp3, flac, ogg };

// Without the dot.
const char* extension(Format format) noexcept;

// What a file says about its contents. UTF-8; empty = not said.
struct TrackTags {
  std::string title;    // of the track: the speaker's name
  std::string user_id;  // decimal
  std::string comment;
};

// Bytes to be written over what the file holds at `offset`; never past its end.
struct Patch {
  std::uint64_t offset = 0;
  Bytes bytes;
};
using Patches = std::vector<Patch>;

// How a file is completed.
struct Ending {
  Patches patches;
  std::optional<std::uint64_t> size;  // bytes; what lies behind is cut off
};

// Sans-I/O: it is told what comes out of the encoder, and says what goes into the file.
class Container {
 public:
  virtual ~Container() = default;

  // What the file begins with, before anything else. Called once.
  virtual Bytes head() { return {}; }
  // What goes in front of this piece of the encoder's output, which follows it unchanged.
  // `file_size` is where it will be written; `end`: samples encoded up to its end, where the
  // encoder says so, else 0.
  virtual Bytes before(ByteSpan piece, std::uint64_t file_size, std::uint64_t end) = 0;
  // The encoder wrote over what is there already: it completes its own header.
  virtual void overwritten(std::uint64_t /*offset*/, ByteSpan /*piece*/) {}
  // Whether any sound is in the file, not only what comes before it.
  virtual bool has_sound(std::uint64_t file_size) const = 0;
  // How much sound is in a file that ends with the last piece, at 48 kHz.
  virtual std::uint64_t samples(std::uint64_t file_size) const = 0;
  // What makes a file of `file_size` bytes right as it is now, all earlier patches being in it.
  virtual Patches refresh(std::uint64_t file_size) = 0;
  // The same once nothing follows and the track is `samples` long.
  virtual Ending finish(std::uint64_t file_size, std::uint64_t samples) = 0;
};

// `riff_limit`: bytes from which on a WAV file is an RF64 file; lowered in tests.
inline constexpr std::uint64_t default_riff_limit = 0xffffffffu;
std::unique_ptr<Container> make_container(Format format, const TrackTags& tags,
                                          std::uint64_t riff_limit = default_riff_limit);

}  // namespace discord::record
