#include "transport/mode.hpp"

namespace discord::transport {
namespace {

// In the order of `Mode`. Columns: name, algorithm, rtpsize, authenticates prefix, tag first,
// suffix, nonce.
constexpr std::array<ModeTraits, mode_count> table = {{
    {"aead_aes256_gcm_rtpsize", Algorithm::aes256_gcm, true, true, false, 4, 12},
    {"aead_xchacha20_poly1305_rtpsize", Algorithm::xchacha20_poly1305, true, true, false, 4, 24},
    {"xsalsa20_poly1305_lite_rtpsize", Algorithm::xsalsa20_poly1305, true, false, true, 4, 24},
    {"aead_aes256_gcm", Algorithm::aes256_gcm, false, true, false, 4, 12},
    {"xsalsa20_poly1305", Algorithm::xsalsa20_poly1305, false, false, true, 0, 24},
    {"xsalsa20_poly1305_suffix", Algorithm::xsalsa20_poly1305, false, false, true, 24, 24},
    {"xsalsa20_poly1305_lite", Algorithm::xsalsa20_poly1305, false, false, true, 4, 24},
}};

}  // namespace

const ModeTraits& traits(Mode mode) noexcept {
  return table[static_cast<std::size_t>(mode)];
}

std::optional<Mode> mode_from_name(std::string_view name) noexcept {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].name == name) {
      return static_cast<Mode>(i);
    }
  }
  return std::nullopt;
}

rtp::DatagramLimits limits_for(Mode mode, std::uint8_t audio_payload_type) noexcept {
  return {traits(mode).min_rtp(), traits(mode).min_rtcp(), audio_payload_type};
}

}  // namespace discord::transport
