#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* A pad of discordvoicebin. It has the readable properties of a pad of discordssrcdemux, those of
 * the speaker behind it; without a speaker they have their defaults. */
#define GST_TYPE_DISCORD_VOICE_BIN_PAD (gst_discord_voice_bin_pad_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordVoiceBinPad, gst_discord_voice_bin_pad, GST, DISCORD_VOICE_BIN_PAD,
                     GstGhostPad)

/* `target` gives the data, `speaker` (a GstDiscordSsrcDemuxPad) the properties; both may be NULL.
 * Returns a floating, active pad, not yet in any element. */
GstPad* gst_discord_voice_bin_pad_new(const gchar* name, GstPadTemplate* templ, GstPad* target,
                                      GstPad* speaker);

G_END_DECLS
