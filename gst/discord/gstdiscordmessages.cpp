// SPDX-License-Identifier: LGPL-2.1-or-later
#include "discord/gstdiscordmessages.h"

namespace {

constexpr struct {
  const char* name;
  GstDiscordMessageType type;
} kinds[] = {
    {"discord-session", GST_DISCORD_MESSAGE_SESSION},
    {"discord-speaking", GST_DISCORD_MESSAGE_SPEAKING},
    {"discord-user-joined", GST_DISCORD_MESSAGE_USER_JOINED},
    {"discord-user-left", GST_DISCORD_MESSAGE_USER_LEFT},
    {"discord-user-info", GST_DISCORD_MESSAGE_USER_INFO},
    {"discord-e2ee", GST_DISCORD_MESSAGE_E2EE},
    {"discord-worker", GST_DISCORD_MESSAGE_WORKER},
    {"discord-file", GST_DISCORD_MESSAGE_FILE},
    {"discord-stats", GST_DISCORD_MESSAGE_STATS},
};

const GstStructure* content(GstMessage* message, GstDiscordMessageType wanted) {
  return gst_discord_message_get_message_type(message) == wanted
             ? gst_message_get_structure(message)
             : nullptr;
}

template <class T> void put(T* out, T value) {
  if (out != nullptr) {
    *out = value;
  }
}

gint64 told(const GstStructure* s, const char* field) {
  gint64 value = -1;
  gst_structure_get_int64(s, field, &value);
  return value;
}

gboolean parse_user(GstMessage* message, GstDiscordMessageType type, guint64* user_id) {
  const GstStructure* s = content(message, type);
  guint64 user = 0;
  if (s == nullptr || !gst_structure_get_uint64(s, "user-id", &user)) {
    return FALSE;
  }
  put(user_id, user);
  return TRUE;
}

}  // namespace

GType gst_discord_message_type_get_type(void) {
  static const GEnumValue values[] = {
      {GST_DISCORD_MESSAGE_NONE, "GST_DISCORD_MESSAGE_NONE", "none"},
      {GST_DISCORD_MESSAGE_SESSION, "GST_DISCORD_MESSAGE_SESSION", "session"},
      {GST_DISCORD_MESSAGE_SPEAKING, "GST_DISCORD_MESSAGE_SPEAKING", "speaking"},
      {GST_DISCORD_MESSAGE_USER_JOINED, "GST_DISCORD_MESSAGE_USER_JOINED", "user-joined"},
      {GST_DISCORD_MESSAGE_USER_LEFT, "GST_DISCORD_MESSAGE_USER_LEFT", "user-left"},
      {GST_DISCORD_MESSAGE_USER_INFO, "GST_DISCORD_MESSAGE_USER_INFO", "user-info"},
      {GST_DISCORD_MESSAGE_E2EE, "GST_DISCORD_MESSAGE_E2EE", "e2ee"},
      {GST_DISCORD_MESSAGE_WORKER, "GST_DISCORD_MESSAGE_WORKER", "worker"},
      {GST_DISCORD_MESSAGE_FILE, "GST_DISCORD_MESSAGE_FILE", "file"},
      {GST_DISCORD_MESSAGE_STATS, "GST_DISCORD_MESSAGE_STATS", "stats"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstDiscordMessageType", values);
  return type;
}

GstDiscordMessageType gst_discord_message_get_message_type(GstMessage* message) {
  g_return_val_if_fail(GST_IS_MESSAGE(message), GST_DISCORD_MESSAGE_NONE);
  const GstStructure* s = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT
                              ? gst_message_get_structure(message)
                              : nullptr;
  for (const auto& kind : kinds) {
    if (s != nullptr && gst_structure_has_name(s, kind.name)) {
      return kind.type;
    }
  }
  return GST_DISCORD_MESSAGE_NONE;
}

gboolean gst_discord_message_parse_session(GstMessage* message, const gchar** state,
                                           const gchar** reason) {
  const GstStructure* s = content(message, GST_DISCORD_MESSAGE_SESSION);
  const gchar* now = s != nullptr ? gst_structure_get_string(s, "state") : nullptr;
  const gchar* why = s != nullptr ? gst_structure_get_string(s, "reason") : nullptr;
  if (now == nullptr) {
    return FALSE;
  }
  put(state, now);
  put(reason, why != nullptr ? why : "");
  return TRUE;
}

gboolean gst_discord_message_parse_speaking(GstMessage* message, guint32* ssrc, guint64* user_id,
                                            gboolean* speaking, GstClockTime* running_time) {
  const GstStructure* s = content(message, GST_DISCORD_MESSAGE_SPEAKING);
  guint source = 0;
  guint64 user = 0;
  gboolean on = FALSE;
  if (s == nullptr || !gst_structure_get(s, "ssrc", G_TYPE_UINT, &source, "user-id", G_TYPE_UINT64,
                                         &user, "speaking", G_TYPE_BOOLEAN, &on, nullptr)) {
    return FALSE;
  }
  GstClockTime when = GST_CLOCK_TIME_NONE;
  gst_structure_get_clock_time(s, "running-time", &when);
  put(ssrc, guint32{source});
  put(user_id, user);
  put(speaking, on);
  put(running_time, when);
  return TRUE;
}

gboolean gst_discord_message_parse_user_joined(GstMessage* message, guint64* user_id) {
  return parse_user(message, GST_DISCORD_MESSAGE_USER_JOINED, user_id);
}

gboolean gst_discord_message_parse_user_left(GstMessage* message, guint64* user_id) {
  return parse_user(message, GST_DISCORD_MESSAGE_USER_LEFT, user_id);
}

gboolean gst_discord_message_parse_user_info(GstMessage* message, guint64* user_id,
                                             gint64* platform, gint64* flags, gint* video) {
  if (!parse_user(message, GST_DISCORD_MESSAGE_USER_INFO, user_id)) {
    return FALSE;
  }
  const GstStructure* s = gst_message_get_structure(message);
  gboolean camera = FALSE;
  const bool said = gst_structure_get_boolean(s, "video", &camera) != FALSE;
  put(platform, told(s, "platform"));
  put(flags, told(s, "flags"));
  put(video, said ? gint{camera != FALSE} : -1);
  return TRUE;
}

gboolean gst_discord_message_parse_e2ee(GstMessage* message, gint* version, guint64* epoch,
                                        const gchar** privacy_code) {
  const GstStructure* s = content(message, GST_DISCORD_MESSAGE_E2EE);
  gint protocol = 0;
  guint64 number = 0;
  if (s == nullptr || !gst_structure_get(s, "version", G_TYPE_INT, &protocol, "epoch",
                                         G_TYPE_UINT64, &number, nullptr)) {
    return FALSE;
  }
  const gchar* code = gst_structure_get_string(s, "privacy-code");
  put(version, protocol);
  put(epoch, number);
  put(privacy_code, code != nullptr ? code : "");
  return TRUE;
}

gboolean gst_discord_message_parse_worker(GstMessage* message, const gchar** event, gint* pid,
                                          const gchar** reason, gboolean* blamed, guint32* ssrc) {
  const GstStructure* s = content(message, GST_DISCORD_MESSAGE_WORKER);
  const gchar* what = s != nullptr ? gst_structure_get_string(s, "event") : nullptr;
  gint process = 0;
  if (what == nullptr || !gst_structure_get_int(s, "pid", &process)) {
    return FALSE;
  }
  const gchar* why = gst_structure_get_string(s, "reason");
  gboolean guilty = FALSE;
  guint whose = 0;
  gst_structure_get_boolean(s, "blamed", &guilty);
  gst_structure_get_uint(s, "ssrc", &whose);
  put(event, what);
  put(pid, process);
  put(reason, why != nullptr ? why : "");
  put(blamed, guilty);
  put(ssrc, guint32{whose});
  return TRUE;
}

gboolean gst_discord_message_parse_file(GstMessage* message, const gchar** path, guint64* user_id,
                                        GstClockTime* duration, const GstStructure** ledger) {
  const GstStructure* s = content(message, GST_DISCORD_MESSAGE_FILE);
  const gchar* file = s != nullptr ? gst_structure_get_string(s, "path") : nullptr;
  if (file == nullptr) {
    return FALSE;
  }
  guint64 user = 0;
  GstClockTime length = GST_CLOCK_TIME_NONE;
  gst_structure_get_uint64(s, "user-id", &user);
  gst_structure_get_uint64(s, "duration", &length);
  const GValue* counters = gst_structure_get_value(s, "ledger");
  put(path, file);
  put(user_id, user);
  put(duration, length);
  put(ledger, counters != nullptr && GST_VALUE_HOLDS_STRUCTURE(counters)
                  ? gst_value_get_structure(counters)
                  : nullptr);
  return TRUE;
}

gboolean gst_discord_message_parse_stats(GstMessage* message, const GstStructure** stats) {
  const GstStructure* s = content(message, GST_DISCORD_MESSAGE_STATS);
  if (s == nullptr) {
    return FALSE;
  }
  put(stats, s);
  return TRUE;
}
