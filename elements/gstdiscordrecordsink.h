#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef enum {
  GST_DISCORD_RECORD_WAV,
  GST_DISCORD_RECORD_MP3,
  GST_DISCORD_RECORD_FLAC,
  GST_DISCORD_RECORD_OGG,
  GST_DISCORD_RECORD_MKA,
} GstDiscordRecordFormat;

typedef enum {
  GST_DISCORD_RECORD_TRACKS,
  GST_DISCORD_RECORD_MIX,
  GST_DISCORD_RECORD_BOTH,
} GstDiscordRecordLayout;

typedef enum {
  GST_DISCORD_RECORD_ALIGN_SESSION,
  GST_DISCORD_RECORD_ALIGN_SPEAKER,
} GstDiscordRecordAlign;

#define GST_TYPE_DISCORD_RECORD_SINK (gst_discord_record_sink_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordRecordSink, gst_discord_record_sink, GST, DISCORD_RECORD_SINK,
                     GstBin)

GST_ELEMENT_REGISTER_DECLARE(discordrecordsink);

G_END_DECLS

#ifdef __cplusplus
#include <cstdint>
#include <memory>

namespace discord {
class Disk;
/* For tests, before READY to PAUSED: another disk, and how long a WAV file may grow before it is an
 * RF64 file. */
void set_record_disk(GstDiscordRecordSink* sink, std::shared_ptr<Disk> disk,
                     std::uint64_t riff_limit);
}  // namespace discord
#endif
