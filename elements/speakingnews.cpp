// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/speakingnews.hpp"

namespace discord {

namespace {

GstStructure* structure_of(const SpeakingNews& news) {
  return gst_structure_new(
      "discord-speaking", "ssrc", G_TYPE_UINT, news.ssrc, "user-id", G_TYPE_UINT64,
      static_cast<guint64>(news.user_id), "speaking", G_TYPE_BOOLEAN, gboolean{news.speaking},
      "running-time", GST_TYPE_CLOCK_TIME, static_cast<GstClockTime>(to_ns(news.when)), nullptr);
}

}  // namespace

MessagePtr speaking_message(GstElement* element, const SpeakingNews& news) {
  return MessagePtr(gst_message_new_element(GST_OBJECT_CAST(element), structure_of(news)));
}

EventPtr speaking_event(const SpeakingNews& news) {
  return EventPtr(gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, structure_of(news)));
}

}  // namespace discord
