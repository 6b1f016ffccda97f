/* gst-discord: GstDiscordSession, the handle by which elements of one call find each other
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/discord/discord-prelude.h>

G_BEGIN_DECLS

/**
 * GST_DISCORD_SESSION_CONTEXT_TYPE:
 *
 * Type of the context that carries a session.
 *
 * Since: 0.1
 */
#define GST_DISCORD_SESSION_CONTEXT_TYPE "gst.discord.Session"

#define GST_TYPE_DISCORD_SESSION (gst_discord_session_get_type())

/**
 * GstDiscordSession:
 *
 * An opaque handle of one call: keys, which SSRC is whose. It exists from the moment a
 * `discordvoicesrc` does. Elements find it by a CONTEXT query up their sink pad; it is never posted
 * on the bus and never persistent, because a bin keeps one context a type and a second source in
 * the same pipeline would hand its keys to the wrong elements. It has no property and gives nothing
 * away. Any thread may use it.
 *
 * Since: 0.1
 */
GST_DISCORD_API
G_DECLARE_FINAL_TYPE(GstDiscordSession, gst_discord_session, GST, DISCORD_SESSION, GObject)

/**
 * gst_discord_session_new:
 *
 * For elements that bring a call; everybody else finds a session with gst_discord_session_find().
 *
 * Returns: (transfer full): a session without a call
 * Since: 0.1
 */
GST_DISCORD_API
GstDiscordSession* gst_discord_session_new(void);

/**
 * gst_discord_session_answer_query:
 * @session: a session
 * @query: any query that arrived on a source pad
 *
 * Answers @query if it is a CONTEXT query for %GST_DISCORD_SESSION_CONTEXT_TYPE.
 *
 * Returns: %TRUE if @query was answered
 * Since: 0.1
 */
GST_DISCORD_API
gboolean gst_discord_session_answer_query(GstDiscordSession* session, GstQuery* query);

/**
 * gst_discord_session_find:
 * @sinkpad: a sink pad
 *
 * Asks upstream of @sinkpad for its session; works in every state and through queues. Equal
 * sessions mean the same call, which is how a branch finds out whose it is.
 *
 * Returns: (transfer full) (nullable): the session, or %NULL where there is none (a capture)
 * Since: 0.1
 */
GST_DISCORD_API
GstDiscordSession* gst_discord_session_find(GstPad* sinkpad);

G_END_DECLS
