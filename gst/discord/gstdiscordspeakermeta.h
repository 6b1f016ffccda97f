/* gst-discord: GstDiscordSpeakerMeta, who spoke this buffer
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/discord/discord-prelude.h>

G_BEGIN_DECLS

/**
 * GstDiscordFrameKind:
 * @GST_DISCORD_FRAME_AUDIO: a packet that arrived
 * @GST_DISCORD_FRAME_FEC: a lost frame, recovered from the redundancy in its successor
 * @GST_DISCORD_FRAME_PLC: a lost frame, concealed by the decoder
 * @GST_DISCORD_FRAME_SILENCE: silence, either sent as such or filled in
 *
 * What a buffer is.
 *
 * Since: 0.1
 */
typedef enum {
  GST_DISCORD_FRAME_AUDIO,
  GST_DISCORD_FRAME_FEC,
  GST_DISCORD_FRAME_PLC,
  GST_DISCORD_FRAME_SILENCE,
} GstDiscordFrameKind;

#define GST_TYPE_DISCORD_FRAME_KIND (gst_discord_frame_kind_get_type())

GST_DISCORD_API
GType gst_discord_frame_kind_get_type(void);

/**
 * GST_DISCORD_AUDIO_LEVEL_UNKNOWN:
 *
 * The packet carried no audio level.
 *
 * Since: 0.1
 */
#define GST_DISCORD_AUDIO_LEVEL_UNKNOWN 255

/**
 * GstDiscordSpeakerMeta:
 * @meta: parent
 * @ssrc: the SSRC of the packet
 * @user_id: the user's snowflake, or 0 where no user is known (captures, unencrypted early packets)
 * @kind: what the buffer is
 * @audio_level: -dBov as in RFC 6464 (0 loud ... 127 silent), or %GST_DISCORD_AUDIO_LEVEL_UNKNOWN
 * @speaking_flags: 1 microphone, 2 soundshare, 4 priority
 * @packet: (nullable): on decoded audio the authenticated Opus packet the frame came from; owned
 *     by the meta
 * @sequence: on decoded audio the RTP sequence number of @packet; 0 where there is no packet. On an
 *     RTP buffer it is in the header
 * @rtp_timestamp: likewise the RTP timestamp
 *
 * Identity of the speaker, on every RTP buffer behind `discorddecrypt` and on every decoded frame,
 * so that nobody looks an SSRC up a second time, when it may belong to somebody else already.
 *
 * Since: 0.1
 */
typedef struct {
  GstMeta meta;
  guint32 ssrc;
  guint64 user_id;
  GstDiscordFrameKind kind;
  guint8 audio_level;
  guint8 speaking_flags;
  GstBuffer* packet;
  guint16 sequence;
  guint32 rtp_timestamp;
} GstDiscordSpeakerMeta;

GST_DISCORD_API
GType gst_discord_speaker_meta_api_get_type(void);
#define GST_DISCORD_SPEAKER_META_API_TYPE (gst_discord_speaker_meta_api_get_type())

/**
 * gst_discord_speaker_meta_get_info: (skip)
 *
 * Returns: (transfer none): what GStreamer knows about the meta
 * Since: 0.1
 */
GST_DISCORD_API
const GstMetaInfo* gst_discord_speaker_meta_get_info(void);

/**
 * gst_buffer_add_discord_speaker_meta:
 * @buffer: a writable buffer
 * @ssrc: SSRC
 * @user_id: snowflake or 0
 *
 * Adds the meta with kind %GST_DISCORD_FRAME_AUDIO and unknown level.
 *
 * Returns: (transfer none): the meta, owned by @buffer
 * Since: 0.1
 */
GST_DISCORD_API
GstDiscordSpeakerMeta* gst_buffer_add_discord_speaker_meta(GstBuffer* buffer, guint32 ssrc,
                                                           guint64 user_id);

/**
 * gst_buffer_get_discord_speaker_meta:
 * @buffer: any buffer
 *
 * Returns: (transfer none) (nullable): the meta, or %NULL
 * Since: 0.1
 */
GST_DISCORD_API
GstDiscordSpeakerMeta* gst_buffer_get_discord_speaker_meta(GstBuffer* buffer);

G_END_DECLS
