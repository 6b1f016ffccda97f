// Who talks when: a conversation of recorded human voices, or what a JSON file asks for.
#pragma once

#include "call.hpp"

#include "base/result.hpp"

#include <nlohmann/json.hpp>

namespace discord::loopback {

struct PlanOptions {
  int speakers = 3;
  std::uint64_t seed = 1;
  int turns = 3;       // spurts of each speaker before the conversation repeats
  bool repeat = true;  // start again when everybody has had all turns
  // The longest spurt; longer files are cut there.
  Duration longest = std::chrono::seconds(6);
  // What every speaker gets unless mixed below or set in a file. Ids, names and spurts are ignored.
  SpeakerOptions speaker;
  bool mix_channels = true;    // mono, stereo, alternating, in turn over the speakers
  bool mix_timestamps = true;  // every second speaker freezes its timestamps over pauses
  bool mix_frames = false;     // each speaker with frame sizes of its own
  bool near_wrap = false;      // sequence and timestamp wrap within the first seconds
};

// People who talk in turn, sometimes into each other. The error is a sentence for the user.
Result<std::vector<TalkerOptions>, std::string> make_conversation(const PlanOptions& options);

// One speaker as JSON (docs/loopback.md "Speakers file"); absent keys come from `defaults`.
Result<TalkerOptions, std::string> talker_from_json(const nlohmann::json& json,
                                                    const SpeakerOptions& defaults);
// An array of them.
Result<std::vector<TalkerOptions>, std::string> talkers_from_json(const nlohmann::json& json,
                                                                  const SpeakerOptions& defaults);

// "2.5" milliseconds as 120 samples; nothing for a length Opus does not have.
std::optional<int> frame_ticks_from_ms(double ms) noexcept;

}  // namespace discord::loopback
