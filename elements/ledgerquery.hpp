// A query that goes up a stream and comes back with what every element there counted, so that a
// recording can say where each packet went.
#pragma once

#include "discord/gstptr.hpp"

#include <gst/gst.h>

namespace discord {

// Asks all above this sink pad: a structure with one structure per element, under the name of its
// factory, each as the element's `stats`. Empty where nobody counts. Not while a lock of an element
// is held.
StructurePtr ask_for_ledgers(GstPad* sinkpad);

// In the query function of a source pad: adds the element's `stats` to such a query and lets it go
// on above `sinkpad` (none in a source). False where it is another query.
bool answer_ledger_query(GstElement* element, GstPad* sinkpad, GstQuery* query);

}  // namespace discord
