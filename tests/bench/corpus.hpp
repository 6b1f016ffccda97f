// Packets to measure and to torment with: recorded human speech of the Debian packages, and a
// wide-band signal for which Opus chooses CELT.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "transport/cipher.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace discord::corpus {

// One speaker's Opus packets of 20 ms, without a pause.
using Talk = std::vector<Bytes>;

// `voices` different people reading for `packets` packets each: stereo, 64 kbit/s, VOIP, in-band
// FEC, as Discord's clients send. The error is a sentence that names the packages to install.
// `gst_init` must have been called.
Result<std::vector<Talk>, std::string> speech(std::size_t voices, std::size_t packets);
// Chords, noise and clicks up to 20 kHz: stereo, 128 kbit/s, AUDIO.
std::vector<Talk> wide_band(std::size_t voices, std::size_t packets);
// Share of the packets that are hybrid and CELT only (RFC 6716 section 3.1), 0 to 1.
double share_hybrid(const std::vector<Talk>& talks);
double share_celt(const std::vector<Talk>& talks);

struct Datagram {
  std::uint32_t ssrc = 0;
  Time arrival{};
  Bytes bytes;
};
// `speakers` at once, speaker n with the talk n modulo their number, each begun at another place;
// in the order of arrival, 20 ms apart per speaker.
std::vector<Datagram> call(const std::vector<Talk>& talks, std::size_t speakers,
                           std::size_t packets, transport::Mode mode, const transport::Key& key,
                           std::uint32_t first_ssrc = 1000);

transport::Key some_key();

}  // namespace discord::corpus
