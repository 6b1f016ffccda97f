#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef enum {
  GST_DISCORD_RECORD_WAV,
  GST_DISCORD_RECORD_MP3,
  GST_DISCORD_RECORD_MKA,
} GstDiscordRecordFormat;

#define GST_TYPE_DISCORD_RECORD_SINK (gst_discord_record_sink_get_type())
G_DECLARE_FINAL_TYPE(GstDiscordRecordSink, gst_discord_record_sink, GST, DISCORD_RECORD_SINK,
                     GstBin)

GST_ELEMENT_REGISTER_DECLARE(discordrecordsink);

G_END_DECLS
