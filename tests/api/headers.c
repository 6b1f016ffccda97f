/* Each header for itself, in C and in C++, without a warning. */
#ifdef ONLY_BOTTOKEN
#include <gst/discord/gstdiscordbottoken.h>
#elif defined(ONLY_MESSAGES)
#include <gst/discord/gstdiscordmessages.h>
#elif defined(ONLY_SESSION)
#include <gst/discord/gstdiscordsession.h>
#elif defined(ONLY_META)
#include <gst/discord/gstdiscordspeakermeta.h>
#elif defined(ONLY_TAGS)
#include <gst/discord/gstdiscordtags.h>
#else
#include <gst/discord/discord.h>
#endif

int main(void) {
#if !defined(ONLY_BOTTOKEN) && !defined(ONLY_MESSAGES) && !defined(ONLY_SESSION) && \
    !defined(ONLY_META) && !defined(ONLY_TAGS)
  GstBuffer* buffer;
  GstDiscordSpeakerMeta* meta;
  int good;
  gst_init(NULL, NULL);
  gst_discord_tags_register();
  buffer = gst_buffer_new();
  gst_buffer_add_discord_speaker_meta(buffer, 7, G_GUINT64_CONSTANT(1) << 60);
  meta = gst_buffer_get_discord_speaker_meta(buffer);
  good = meta != NULL && meta->ssrc == 7 && meta->user_id == G_GUINT64_CONSTANT(1) << 60 &&
         meta->kind == GST_DISCORD_FRAME_AUDIO && gst_tag_exists(GST_TAG_DISCORD_USER_ID);
  gst_buffer_unref(buffer);
  return good ? 0 : 1;
#else
  return 0;
#endif
}
