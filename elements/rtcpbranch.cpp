// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/rtcpbranch.hpp"

namespace discord {

namespace {

EventPtr sticky(GstPad* pad, GstEventType type) {
  return EventPtr(gst_pad_get_sticky_event(pad, type, 0));
}

void start_stream(GstElement* element, GstPad* media, GstPad* pad) {
  const GCharPtr id(gst_pad_create_stream_id(pad, element, "rtcp"));
  EventPtr start(gst_event_new_stream_start(id.get()));
  guint group = 0;
  const EventPtr upstream = sticky(media, GST_EVENT_STREAM_START);
  if (upstream && gst_event_parse_group_id(upstream.get(), &group)) {
    gst_event_set_group_id(start.get(), group);
  }
  gst_event_set_stream_flags(start.get(), GST_STREAM_FLAG_SPARSE);
  gst_pad_push_event(pad, start.release());
  const CapsPtr caps(gst_caps_new_empty_simple("application/x-rtcp"));
  gst_pad_push_event(pad, gst_event_new_caps(caps.get()));
}

}  // namespace

ObjectPtr<GstPad> RtcpBranch::pad() {
  GST_OBJECT_LOCK(element_);
  ObjectPtr<GstPad> pad(pad_ != nullptr ? ref_object(pad_) : nullptr);
  GST_OBJECT_UNLOCK(element_);
  return pad;
}

GstPad* RtcpBranch::request(GstPadTemplate* templ) {
  GstPad* made = gst_pad_new_from_template(templ, "rtcp_src");
  GST_OBJECT_LOCK(element_);
  const bool taken = pad_ != nullptr;
  if (!taken) {
    pad_ = made;
  }
  GST_OBJECT_UNLOCK(element_);
  if (taken) {
    gst_object_unref(gst_object_ref_sink(made));
    GST_WARNING_OBJECT(element_, "there is one rtcp_src pad only, and it has been requested");
    return nullptr;
  }
  gst_pad_use_fixed_caps(made);
  gst_pad_set_active(made, TRUE);
  gst_element_add_pad(element_, made);
  return made;  // the element holds it
}

void RtcpBranch::release(GstPad* pad) {
  GST_OBJECT_LOCK(element_);
  pad_ = nullptr;
  GST_OBJECT_UNLOCK(element_);
  gst_pad_set_active(pad, FALSE);
  gst_element_remove_pad(element_, pad);
}

void RtcpBranch::segment(GstPad* media, GstEvent* event) {
  const ObjectPtr<GstPad> branch = pad();
  if (!branch) {
    return;
  }
  const bool started = sticky(branch.get(), GST_EVENT_STREAM_START) != nullptr;
  if (!started) {
    start_stream(element_, media, branch.get());
  }
  gst_pad_push_event(branch.get(), gst_event_ref(event));
  if (!started) {
    // Minutes may pass without RTCP; a sink on this branch must not hold up the start until then.
    const GstSegment* segment = nullptr;
    gst_event_parse_segment(event, &segment);
    gst_pad_push_event(branch.get(), gst_event_new_gap(segment->start, 0));
  }
}

void RtcpBranch::push(GstPad* media, std::vector<BufferPtr> compounds) {
  const ObjectPtr<GstPad> branch = pad();
  if (!branch || compounds.empty()) {
    return;
  }
  if (const EventPtr now = sticky(media, GST_EVENT_SEGMENT);
      now && !sticky(branch.get(), GST_EVENT_SEGMENT)) {
    segment(media, now.get());  // the pad was requested in the middle of the stream
  }
  for (BufferPtr& compound : compounds) {
    const GstFlowReturn flow = gst_pad_push(branch.get(), compound.release());
    if (flow != GST_FLOW_OK) {
      GST_LOG_OBJECT(branch.get(), "RTCP was not taken: %s", gst_flow_get_name(flow));
    }
  }
}

}  // namespace discord
