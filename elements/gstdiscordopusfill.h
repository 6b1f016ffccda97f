#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* One speaker's Opus packets, from RTP or from the meta of decoded frames, as one gapless Opus
 * stream from the start of the segment on, for a muxer. Not registered.
 *
 * Properties: none. With `from_first` the stream starts with the first packet instead. */
#define GST_TYPE_DISCORD_OPUS_FILL (gst_discord_opus_fill_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordOpusFill, gst_discord_opus_fill, GST, DISCORD_OPUS_FILL, GstElement)

/* Before the first data. */
void gst_discord_opus_fill_set_from_first(GstDiscordOpusFill* self, gboolean from_first);

/* From any thread: samples of the track so far, up to where the speaker's stream has come. */
guint64 gst_discord_opus_fill_get_samples(GstDiscordOpusFill* self);

G_END_DECLS
