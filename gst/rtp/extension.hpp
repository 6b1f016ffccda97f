// Header extension elements in the one-byte form (RFC 8285 section 4.2), and the two that audio
// carries (docs/protocol.md "Header extension of audio").
#pragma once

#include "base/bytes.hpp"

#include <optional>

namespace discord::rtp {

inline constexpr std::uint16_t one_byte_profile = 0xBEDE;
inline constexpr std::uint8_t audio_level_id = 1;
inline constexpr std::uint8_t speaker_id = 9;

// How a walk over the elements ended. Whatever it is, the packet stays good: the payload's place
// follows from the word count alone.
enum class WalkEnd {
  complete,
  stopped,  // id 15, "stop here" by the RFC
  illegal,  // id 0 with a length
  overrun,  // an element claims more than there is
};

// Calls `visit(id, bytes)` for each element in front of the first fault.
template <class Visitor> WalkEnd walk_elements(ByteSpan elements, Visitor&& visit) {
  std::size_t at = 0;
  while (at < elements.size()) {
    const std::uint8_t lead = elements[at++];
    if (lead == 0) {
      continue;  // padding, allowed anywhere
    }
    const auto id = static_cast<std::uint8_t>(lead >> 4);
    const std::size_t size = (lead & 15u) + 1u;
    if (id == 15) {
      return WalkEnd::stopped;
    }
    if (id == 0) {
      return WalkEnd::illegal;
    }
    if (size > elements.size() - at) {
      return WalkEnd::overrun;
    }
    visit(id, elements.subspan(at, size));
    at += size;
  }
  return WalkEnd::complete;
}

// What the extension said about the sound; empty where it said nothing.
struct AudioExtension {
  std::optional<std::uint8_t> audio_level;  // raw: bit 7 voice activity, low 7 bits -dBov
  std::optional<std::uint8_t> speaker;      // raw: 1 priority, 2 voice, 4 soundshare

  friend bool operator==(const AudioExtension&, const AudioExtension&) = default;
};

// Picks the audio elements out of an extension; another profile or a fault gives what was
// readable until there, never an error.
AudioExtension parse_audio_extension(std::uint16_t profile, ByteSpan elements) noexcept;

// Flags as opcode 5 has them: 1 voice, 2 soundshare, 4 priority. Zero or missing means voice.
std::uint8_t speaking_flags(std::optional<std::uint8_t> speaker) noexcept;

}  // namespace discord::rtp
