/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_DISCORD_REORDER (gst_discord_reorder_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordReorder, gst_discord_reorder, GST, DISCORD_REORDER, GstElement)

GST_ELEMENT_REGISTER_DECLARE(discordreorder)

G_END_DECLS
