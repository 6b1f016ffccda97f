// The structure `discord-user-info`, as a message and as an event of the stream.
#pragma once

#include "discord/call_state.hpp"

#include <gst/gst.h>

namespace discord {

inline GstStructure* user_info(std::uint64_t user, const UserName& name) {
  return gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64, guint64{user},
                           "display-name", G_TYPE_STRING, name.name.c_str(), "bot", G_TYPE_BOOLEAN,
                           gboolean{name.bot}, nullptr);
}

inline GstEvent* user_info_event(std::uint64_t user, const UserName& name) {
  return gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, user_info(user, name));
}

}  // namespace discord
