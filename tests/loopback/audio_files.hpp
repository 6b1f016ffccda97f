// Reads audio files through GStreamer and knows where Debian keeps recorded human speech.
#pragma once

#include "pcm.hpp"

#include "base/result.hpp"

#include <vector>

namespace discord::loopback {

// Decodes a whole file to 48 kHz; stereo stays stereo, everything else becomes mono. Raw G.722
// (`.g722`, as Asterisk stores it) needs avdec_g722. The error is a sentence for the user.
// `gst_init` must have been called.
Result<PcmPtr, std::string> read_audio_file(const std::string& path);

// One voice: a human who reads several prompts.
struct Voice {
  std::string name;                // plausible display name
  std::vector<std::string> files;  // each longer than 1.5 s
};

// The voices installed here, in a fixed order. Empty when none is.
std::vector<Voice> installed_voices();

// The sentence that names the Debian packages to install when there is no voice.
std::string no_voices_hint();

}  // namespace discord::loopback
