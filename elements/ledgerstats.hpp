// Ledgers as the GstStructures that `stats` properties and messages show.
#pragma once

#include "media/speaker_table.hpp"

#include <gst/gst.h>
#include <vector>

namespace discord {

// Adds one guint64 field a counter: received, played, silence, ... held, in-flight, and under
// `lost-fec`, `lost-concealed`, `lost-silent` what never arrived.
void add_ledger(GstStructure* structure, const media::Ledger& ledger);

// Whether the counters of such a structure add up: everything received has one cause, or is still
// on its way. True where nothing is counted.
bool ledger_adds_up(const GstStructure* structure);

// Adds a list of structures (a GstValueArray) under `name`; takes the structures.
void add_list(GstStructure* structure, const char* name, const std::vector<GstStructure*>& rows);

// The list `speakers`: who, whether speaking or gone, level, jitter, and the ledger of each.
void add_speakers(GstStructure* structure, const std::vector<media::SpeakerStats>& speakers);

}  // namespace discord
