/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/base/gstpushsrc.h>

G_BEGIN_DECLS

#define GST_TYPE_DISCORD_VOICE_SRC (gst_discord_voice_src_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordVoiceSrc, gst_discord_voice_src, GST, DISCORD_VOICE_SRC, GstPushSrc)

GST_ELEMENT_REGISTER_DECLARE(discordvoicesrc)

G_END_DECLS
