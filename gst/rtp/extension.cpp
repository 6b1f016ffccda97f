#include "rtp/extension.hpp"

namespace discord::rtp {

AudioExtension parse_audio_extension(std::uint16_t profile, ByteSpan elements) noexcept {
  AudioExtension out;
  if (profile != one_byte_profile) {
    return out;
  }
  // How the walk ended does not matter: a malformed extension keeps what was read and the packet.
  walk_elements(elements, [&out](std::uint8_t id, ByteSpan bytes) {
    if (id == audio_level_id) {
      out.audio_level = bytes[0];
    } else if (id == speaker_id) {
      out.speaker = bytes[0];
    }
  });
  return out;
}

std::uint8_t speaking_flags(std::optional<std::uint8_t> speaker) noexcept {
  constexpr unsigned voice = 1;
  const unsigned b = speaker.value_or(0);
  const unsigned priority = (b & 1u) << 2;
  unsigned flags = ((b >> 1) & 3u) | priority;
  if (flags == 0 || priority != 0) {
    flags |= voice;
  }
  return static_cast<std::uint8_t>(flags);
}

}  // namespace discord::rtp
