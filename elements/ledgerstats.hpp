// Ledgers as the GstStructures that `stats` properties and messages show.
#pragma once

#include "media/speaker_table.hpp"

#include <gst/gst.h>
#include <vector>

namespace discord {

// Adds one guint64 field a counter: received, played, silence, ... held, in-flight, and under
// `lost-fec`, `lost-concealed`, `lost-silent` what never arrived.
void add_ledger(GstStructure* structure, const media::Ledger& ledger);

// Adds a list of structures (a GstValueArray) under `name`; takes the structures.
void add_list(GstStructure* structure, const char* name, const std::vector<GstStructure*>& rows);

// The list `speakers`: who, whether speaking or gone, level, jitter, and the ledger of each.
void add_speakers(GstStructure* structure, const std::vector<media::SpeakerStats>& speakers);

}  // namespace discord
