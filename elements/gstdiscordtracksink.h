#pragma once

#include <gst/base/gstbasesink.h>

G_BEGIN_DECLS

/* The end of a recorder's branch: hands what arrives to a TrackWriter. It takes the place of
 * filesink, which opens by path, and fdsink, which cannot keep a header right. Not registered. */
#define GST_TYPE_DISCORD_TRACK_SINK (gst_discord_track_sink_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordTrackSink, gst_discord_track_sink, GST, DISCORD_TRACK_SINK,
                     GstBaseSink)

G_END_DECLS

#ifdef __cplusplus
#include <functional>
#include <memory>

namespace discord {
class TrackWriter;
/* `failed` is called once, in the streaming thread, when nothing more can be written; what arrives
 * afterwards is thrown away. Both before the state leaves NULL. */
GstElement* make_track_sink(std::shared_ptr<TrackWriter> writer, std::function<void()> failed);
}  // namespace discord
#endif
