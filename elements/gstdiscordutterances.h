/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_DISCORD_UTTERANCES (gst_discord_utterances_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordUtterances, gst_discord_utterances, GST, DISCORD_UTTERANCES,
                     GstElement)

GST_ELEMENT_REGISTER_DECLARE(discordutterances)

G_END_DECLS
