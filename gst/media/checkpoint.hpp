// What a receiver knows about one SSRC, as plain numbers, so that a successor in another process
// goes on where it stopped.
#pragma once

#include "media/ledger.hpp"
#include "media/reorder_queue.hpp"
#include "media/speaker_table.hpp"
#include "media/timeline.hpp"

#include <type_traits>

namespace discord::media {

// Not in it: packets that wait (they are pushed again), the replay window
// (`SequenceHistory::Words`, large and seldom needed) and the decoder's state (the last packets are
// decoded again).
struct SpeakerCheckpoint {
  std::uint64_t user_id = 0;
  std::uint64_t missing = 0;            // declared lost since the last frame
  std::uint64_t highest_timestamp = 0;  // unwrapped; 0 = none
  std::int64_t last_packet = 0;
  Timeline::State timeline;
  ReorderState reorder;
  SpeakingDetector::State speaking;
  JitterEstimator::State jitter;
  std::uint8_t audio_level = 255;
  std::uint8_t reserved[7] = {};
  Ledger ledger;  // of this receiver alone: a successor counts from zero
};
static_assert(std::is_trivially_copyable_v<SpeakerCheckpoint>);

// How many of a speaker's last packets a new decoder must hear before nobody hears the seam. A
// difference of a bit does not fade, it ends all at once or is loud again some packets later:
// docs/numbers.md has what other numbers give.
inline constexpr std::size_t warm_up_packets = 100;

}  // namespace discord::media
