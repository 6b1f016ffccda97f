#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef enum {
  GST_DISCORD_GROUP_BY_USER,
  GST_DISCORD_GROUP_BY_SSRC,
} GstDiscordGroupBy;

#define GST_TYPE_DISCORD_SSRC_DEMUX (gst_discord_ssrc_demux_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordSsrcDemux, gst_discord_ssrc_demux, GST, DISCORD_SSRC_DEMUX,
                     GstElement)

GST_ELEMENT_REGISTER_DECLARE(discordssrcdemux);

/* For the bins of this plugin that contain a demux: speakers that lead nowhere or fail never end
 * the stream, and an end without any speaker is no error. Call before the first data. */
void gst_discord_ssrc_demux_set_embedded(GstDiscordSsrcDemux* self, gboolean embedded);
// Inside a bin that shows no pad of its own: no stream collection, which every new speaker would
// send to all others.
void gst_discord_ssrc_demux_set_unselected(GstDiscordSsrcDemux* self, gboolean unselected);

G_END_DECLS
