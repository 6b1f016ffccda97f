// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/connectionorder.hpp"

namespace discord {

namespace {

constexpr const char* left_event = "discord-connection-left";

}  // namespace

EventPtr connection_left_event(std::uint64_t connection) {
  return EventPtr(gst_event_new_custom(
      GST_EVENT_CUSTOM_DOWNSTREAM_STICKY,
      gst_structure_new(left_event, "connection", G_TYPE_UINT64, guint64{connection}, nullptr)));
}

bool ConnectionOrder::reached(const CallSnapshot& call) noexcept {
  if (applied_ != 0 && call.generation != applied_ && call.after > left_) {
    return false;
  }
  applied_ = call.generation;
  return true;
}

bool ConnectionOrder::take(GstEvent* event) noexcept {
  guint64 connection = 0;
  if (!gst_event_has_name(event, left_event) ||
      !gst_structure_get_uint64(gst_event_get_structure(event), "connection", &connection)) {
    return false;
  }
  left_ = connection;
  return true;
}

}  // namespace discord
