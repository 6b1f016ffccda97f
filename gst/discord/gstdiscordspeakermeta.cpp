// SPDX-License-Identifier: LGPL-2.1-or-later
#include "discord/gstdiscordspeakermeta.h"

namespace {

gboolean speaker_meta_init(GstMeta* meta, gpointer, GstBuffer*) {
  auto* self = reinterpret_cast<GstDiscordSpeakerMeta*>(meta);
  self->ssrc = 0;
  self->user_id = 0;
  self->kind = GST_DISCORD_FRAME_AUDIO;
  self->audio_level = GST_DISCORD_AUDIO_LEVEL_UNKNOWN;
  self->speaking_flags = 0;
  self->packet = nullptr;
  self->sequence = 0;
  self->rtp_timestamp = 0;
  return TRUE;
}

void speaker_meta_free(GstMeta* meta, GstBuffer*) {
  gst_clear_buffer(&reinterpret_cast<GstDiscordSpeakerMeta*>(meta)->packet);
}

// Who spoke stays true whatever becomes of the samples, so every transform keeps the meta.
gboolean speaker_meta_transform(GstBuffer* dest, GstMeta* meta, GstBuffer*, GQuark, gpointer) {
  const auto* from = reinterpret_cast<GstDiscordSpeakerMeta*>(meta);
  GstDiscordSpeakerMeta* to = gst_buffer_add_discord_speaker_meta(dest, from->ssrc, from->user_id);
  if (to == nullptr) {
    return FALSE;
  }
  to->kind = from->kind;
  to->audio_level = from->audio_level;
  to->speaking_flags = from->speaking_flags;
  to->packet = from->packet != nullptr ? gst_buffer_ref(from->packet) : nullptr;
  to->sequence = from->sequence;
  to->rtp_timestamp = from->rtp_timestamp;
  return TRUE;
}

}  // namespace

GType gst_discord_frame_kind_get_type(void) {
  static const GEnumValue values[] = {
      {GST_DISCORD_FRAME_AUDIO, "GST_DISCORD_FRAME_AUDIO", "audio"},
      {GST_DISCORD_FRAME_FEC, "GST_DISCORD_FRAME_FEC", "fec"},
      {GST_DISCORD_FRAME_PLC, "GST_DISCORD_FRAME_PLC", "plc"},
      {GST_DISCORD_FRAME_SILENCE, "GST_DISCORD_FRAME_SILENCE", "silence"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstDiscordFrameKind", values);
  return type;
}

GType gst_discord_speaker_meta_api_get_type(void) {
  static const gchar* tags[] = {nullptr};
  static const GType type = gst_meta_api_type_register("GstDiscordSpeakerMetaAPI", tags);
  return type;
}

const GstMetaInfo* gst_discord_speaker_meta_get_info(void) {
  static const GstMetaInfo* info = gst_meta_register(
      GST_DISCORD_SPEAKER_META_API_TYPE, "GstDiscordSpeakerMeta", sizeof(GstDiscordSpeakerMeta),
      speaker_meta_init, speaker_meta_free, speaker_meta_transform);
  return info;
}

GstDiscordSpeakerMeta* gst_buffer_add_discord_speaker_meta(GstBuffer* buffer, guint32 ssrc,
                                                           guint64 user_id) {
  auto* meta = reinterpret_cast<GstDiscordSpeakerMeta*>(
      gst_buffer_add_meta(buffer, gst_discord_speaker_meta_get_info(), nullptr));
  if (meta != nullptr) {
    meta->ssrc = ssrc;
    meta->user_id = user_id;
  }
  return meta;
}

GstDiscordSpeakerMeta* gst_buffer_get_discord_speaker_meta(GstBuffer* buffer) {
  return reinterpret_cast<GstDiscordSpeakerMeta*>(
      gst_buffer_get_meta(buffer, GST_DISCORD_SPEAKER_META_API_TYPE));
}
