// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_DISCORD_MIX (gst_discord_mix_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordMix, gst_discord_mix, GST, DISCORD_MIX, GstBin)

GST_ELEMENT_REGISTER_DECLARE(discordmix);

G_END_DECLS
