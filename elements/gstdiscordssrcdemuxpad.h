#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* One speaker. `ssrc` (that of first sight), `user-id` (0: unknown), `display-name` and `speaking`
 * are readable properties and notify when they change. */
#define GST_TYPE_DISCORD_SSRC_DEMUX_PAD (gst_discord_ssrc_demux_pad_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordSsrcDemuxPad, gst_discord_ssrc_demux_pad, GST,
                     DISCORD_SSRC_DEMUX_PAD, GstPad)

/* Sets what has changed and notifies; NULL leaves the name. Returns whether anything changed. */
gboolean gst_discord_ssrc_demux_pad_identify(GstDiscordSsrcDemuxPad* self, guint32 ssrc,
                                             guint64 user_id, const gchar* display_name);

/* Notifies when that is new. */
void gst_discord_ssrc_demux_pad_set_speaking(GstDiscordSsrcDemuxPad* self, gboolean speaking);

/* The display name or NULL; free it. */
gchar* gst_discord_ssrc_demux_pad_dup_name(GstDiscordSsrcDemuxPad* self);

G_END_DECLS
