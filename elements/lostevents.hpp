// The events that rtpjitterbuffer do-lost=true sends: depayloaders make GAPs of them, and a decoder
// conceals. One a packet, but none is shorter than Opus can conceal: of a shorter GAP opusdec 1.22
// makes nothing while its base class waits for it, and all that follows comes a frame too early.
#pragma once

#include "base/time.hpp"
#include "discord/gstptr.hpp"

#include <functional>

namespace discord {

struct LostStretch {
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;
  std::uint16_t first_sequence = 0;
  std::int64_t sample = 0;      // where it begins, since the zero of the timeline; may be below it
  std::uint64_t concealed = 0;  // samples worth concealing, from the beginning
  std::uint64_t packets = 0;
  std::uint64_t each = 0;  // samples a packet, not 0
};

// `position` makes a timestamp of a sample. A stretch of less than 2.5 ms is not announced.
void announce_lost(const LostStretch& lost,
                   const std::function<GstClockTime(std::int64_t)>& position,
                   const std::function<void(EventPtr)>& out);

// How many packets such an event is about.
guint lost_packets(const GstStructure* event);

}  // namespace discord
