// Takes Opus out of RTP that is in order already.
#pragma once

#include <gst/gst.h>

namespace discord {

// Null when GStreamer's RTP elements are missing. By itself GstRTPBaseDepayload takes a number that
// is up to 100 lower than the one before for a packet that came late, and drops it: of a sender
// that begins its numbers anew that can be the first two seconds.
inline GstElement* make_opus_depayloader() {
  GstElement* depayloader = gst_element_factory_make("rtpopusdepay", nullptr);
  if (depayloader != nullptr) {
    g_object_set(depayloader, "max-reorder", 0, nullptr);
  }
  return depayloader;
}

}  // namespace discord
