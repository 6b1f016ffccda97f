// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/upstreamtiming.hpp"

namespace discord {

bool UpstreamTiming::segment_arrived(GstPad* sinkpad, GstEvent* event) {
  const GstSegment* segment = nullptr;
  gst_event_parse_segment(event, &segment);
  if (segment->format != GST_FORMAT_TIME) {
    const ObjectPtr<GstElement> element(gst_pad_get_parent_element(sinkpad));
    GST_ELEMENT_ERROR(element.get(), STREAM, FORMAT,
                      ("The stream counts %s, not time: set format=time on the source.",
                       gst_format_get_name(segment->format)),
                      (nullptr));
    return false;
  }
  gst_segment_copy_into(segment, &segment_);
  const QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  if (gst_pad_peer_query(sinkpad, query.get())) {
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  }
  live_ = live != FALSE;
  return true;
}

Time UpstreamTiming::arrival(GstBuffer* buffer, Time last) const {
  const GstClockTime stamp = GST_BUFFER_DTS_OR_PTS(buffer);
  if (!GST_CLOCK_TIME_IS_VALID(stamp)) {
    return last;
  }
  const guint64 running = gst_segment_to_running_time(&segment_, GST_FORMAT_TIME, stamp);
  return GST_CLOCK_TIME_IS_VALID(running) ? time_from_ns(static_cast<std::int64_t>(running)) : last;
}

GstClockTime UpstreamTiming::position(Time running_time) const {
  const std::int64_t ns = to_ns(running_time);
  return gst_segment_position_from_running_time(&segment_, GST_FORMAT_TIME,
                                                ns > 0 ? static_cast<guint64>(ns) : 0);
}

bool answer_latency_query(GstPad* sinkpad, GstQuery* query, GstClockTime own) {
  if (!gst_pad_peer_query(sinkpad, query)) {
    return false;
  }
  gboolean live = FALSE;
  GstClockTime min = 0;
  GstClockTime max = GST_CLOCK_TIME_NONE;
  gst_query_parse_latency(query, &live, &min, &max);
  // What waits here is bounded by `own`, so as much can be buffered as must be.
  gst_query_set_latency(query, live, min + own, GST_CLOCK_TIME_IS_VALID(max) ? max + own : max);
  return true;
}

}  // namespace discord
