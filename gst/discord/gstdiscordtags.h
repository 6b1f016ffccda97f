/* gst-discord: tags
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/discord/discord-prelude.h>

G_BEGIN_DECLS

/**
 * GST_TAG_DISCORD_USER_ID:
 *
 * The snowflake of the speaker as a decimal string, because a JSON number would lose its last
 * digits.
 *
 * Since: 0.1
 */
#define GST_TAG_DISCORD_USER_ID "discord-user-id"

/**
 * gst_discord_tags_register:
 *
 * Makes the tags known to GStreamer, for an application that reads them from a file without our
 * elements. Cheap to call again; any thread may, after gst_init().
 *
 * Since: 0.1
 */
GST_DISCORD_API
void gst_discord_tags_register(void);

G_END_DECLS
