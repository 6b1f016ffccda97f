// Which time an element's deadlines follow: the clock behind a live source, the stream behind a
// file.
#pragma once

#include "base/time.hpp"
#include "discord/gstptr.hpp"

namespace discord {

// The segment of a sink pad and whether what is upstream is live. For the streaming thread, and for
// a timer thread that holds the stream lock.
class UpstreamTiming {
 public:
  // Takes the segment and asks upstream of `sinkpad` whether it is live. False, with an error on
  // the bus, for a segment that does not count time.
  bool segment_arrived(GstPad* sinkpad, GstEvent* event);
  void flush() { gst_segment_init(&segment_, GST_FORMAT_TIME); }

  bool live() const noexcept { return live_; }

  // Running time of a buffer: of its PTS or, behind pcapparse, of its DTS. Without either, `last`.
  Time arrival(GstBuffer* buffer, Time last) const;
  // The timestamp in the segment of a running time.
  GstClockTime position(Time running_time) const;

 private:
  GstSegment segment_ = [] {
    GstSegment s;
    gst_segment_init(&s, GST_FORMAT_TIME);
    return s;
  }();
  bool live_ = false;
};

// Adds `own` to what upstream answers to a LATENCY query that arrived on a source pad.
bool answer_latency_query(GstPad* sinkpad, GstQuery* query, GstClockTime own);

}  // namespace discord
