// SPDX-License-Identifier: LGPL-2.1-or-later
#include "discord/gstdiscordsession.h"

#include "discord/gstptr.hpp"

// What the call knows is attached by those who know its type (CallState): none of it is part of
// this library's ABI.
struct _GstDiscordSession {
  GObject parent;
};

G_DEFINE_FINAL_TYPE(GstDiscordSession, gst_discord_session, G_TYPE_OBJECT)

static void gst_discord_session_init(GstDiscordSession*) {}

static void gst_discord_session_class_init(GstDiscordSessionClass*) {}

GstDiscordSession* gst_discord_session_new(void) {
  return GST_DISCORD_SESSION(g_object_new(GST_TYPE_DISCORD_SESSION, nullptr));
}

gboolean gst_discord_session_answer_query(GstDiscordSession* session, GstQuery* query) {
  g_return_val_if_fail(GST_IS_DISCORD_SESSION(session), FALSE);
  g_return_val_if_fail(GST_IS_QUERY(query), FALSE);
  const gchar* type = nullptr;
  if (GST_QUERY_TYPE(query) != GST_QUERY_CONTEXT || !gst_query_parse_context_type(query, &type) ||
      g_strcmp0(type, GST_DISCORD_SESSION_CONTEXT_TYPE) != 0) {
    return FALSE;
  }
  const discord::ContextPtr context(gst_context_new(GST_DISCORD_SESSION_CONTEXT_TYPE, FALSE));
  gst_structure_set(gst_context_writable_structure(context.get()), "session",
                    GST_TYPE_DISCORD_SESSION, session, nullptr);
  gst_query_set_context(query, context.get());
  return TRUE;
}

GstDiscordSession* gst_discord_session_find(GstPad* sinkpad) {
  g_return_val_if_fail(GST_IS_PAD(sinkpad), nullptr);
  const discord::QueryPtr query(gst_query_new_context(GST_DISCORD_SESSION_CONTEXT_TYPE));
  if (!gst_pad_peer_query(sinkpad, query.get())) {
    return nullptr;
  }
  GstContext* context = nullptr;
  gst_query_parse_context(query.get(), &context);
  GstDiscordSession* session = nullptr;
  if (context != nullptr) {
    gst_structure_get(gst_context_get_structure(context), "session", GST_TYPE_DISCORD_SESSION,
                      &session, nullptr);
  }
  return session;
}
