#pragma once

#include "elements/trackfeed.hpp"

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

namespace discord {

// Before the first data: it is written where `turns` says, behind a queue of `most` buffers
// (TrackFeed), and not before the feed is released.
void write_on(GstDiscordOpusFill* fill, std::shared_ptr<BranchTurns> turns, guint most);
// None where the streaming thread does everything.
TrackFeed* feed_of(GstDiscordOpusFill* fill);

}  // namespace discord
