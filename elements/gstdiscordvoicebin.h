#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_DISCORD_VOICE_BIN (gst_discord_voice_bin_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordVoiceBin, gst_discord_voice_bin, GST, DISCORD_VOICE_BIN, GstBin)

GST_ELEMENT_REGISTER_DECLARE(discordvoicebin);

G_END_DECLS
