// The seven encryption modes of voice transport (docs/protocol.md "Encryption modes").
#pragma once

#include "base/secret.hpp"
#include "rtp/classify.hpp"

#include <array>
#include <optional>
#include <string_view>

namespace discord::transport {

// The secret key of a session description; both directions use the same.
using Key = Secret<32>;

// Live servers offer the first two; the others are kept for captures and tests.
enum class Mode {
  aead_aes256_gcm_rtpsize,
  aead_xchacha20_poly1305_rtpsize,
  xsalsa20_poly1305_lite_rtpsize,
  aead_aes256_gcm,
  xsalsa20_poly1305,
  xsalsa20_poly1305_suffix,
  xsalsa20_poly1305_lite,
};

inline constexpr std::size_t mode_count = 7;
inline constexpr std::size_t tag_size = 16;

// What servers still accept, best first.
inline constexpr std::array live_modes = {Mode::aead_aes256_gcm_rtpsize,
                                          Mode::aead_xchacha20_poly1305_rtpsize};

enum class Algorithm { aes256_gcm, xchacha20_poly1305, xsalsa20_poly1305 };

// How a mode lays out a datagram.
struct ModeTraits {
  std::string_view name;
  Algorithm algorithm;
  // RTP: header, CSRC list and extension preamble are clear; otherwise only the first 12 bytes are.
  bool rtpsize;
  bool authenticates_prefix;  // the clear bytes are the AEAD's associated data
  bool tag_first;             // tag ‖ ciphertext (NaCl secretbox) rather than ciphertext ‖ tag
  std::size_t suffix_size;    // nonce bytes at the end of the datagram
  std::size_t nonce_size;     // the suffix (or the clear prefix, without a suffix), zeros behind it

  constexpr std::size_t overhead() const noexcept { return tag_size + suffix_size; }
  constexpr std::size_t min_rtp() const noexcept { return 12 + overhead(); }
  constexpr std::size_t min_rtcp() const noexcept { return 8 + overhead(); }
};

const ModeTraits& traits(Mode mode) noexcept;
inline std::string_view to_string(Mode mode) noexcept {
  return traits(mode).name;
}
// Nothing for a name that is not exactly one of the seven.
std::optional<Mode> mode_from_name(std::string_view name) noexcept;

// The sizes that `rtp::classify` needs.
rtp::DatagramLimits limits_for(Mode mode, std::uint8_t audio_payload_type = 120) noexcept;

}  // namespace discord::transport
