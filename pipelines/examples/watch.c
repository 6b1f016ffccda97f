/* Plays a pipeline and prints what the Discord elements in it say.
 *
 *     cc watch.c -o watch $(pkg-config --cflags --libs gstreamer-discord-1.0)
 *     ./watch "discordvoicesrc … ! discordworkerdec ! discordrecordsink location=out"
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/discord/discord.h>

static void print(GstMessage* message) {
  const gchar* a;
  const gchar* b;
  guint64 user;
  guint32 ssrc;
  gboolean speaking;
  gint version;
  GstClockTime time;

  switch (gst_discord_message_get_message_type(message)) {
    case GST_DISCORD_MESSAGE_SESSION:
      if (gst_discord_message_parse_session(message, &a, &b))
        g_print("session: %s %s\n", a, b);
      break;
    case GST_DISCORD_MESSAGE_SPEAKING:
      if (gst_discord_message_parse_speaking(message, &ssrc, &user, &speaking, &time))
        g_print("%" G_GUINT64_FORMAT " %s\n", user, speaking ? "speaks" : "is quiet");
      break;
    case GST_DISCORD_MESSAGE_USER_JOINED:
      if (gst_discord_message_parse_user_joined(message, &user))
        g_print("%" G_GUINT64_FORMAT " joined\n", user);
      break;
    case GST_DISCORD_MESSAGE_E2EE:
      if (gst_discord_message_parse_e2ee(message, &version, NULL, &a))
        g_print("end-to-end encryption %d, privacy code %s\n", version, a);
      break;
    case GST_DISCORD_MESSAGE_FILE:
      if (gst_discord_message_parse_file(message, &a, &user, &time, NULL))
        g_print("complete: %s (%" GST_TIME_FORMAT ")\n", a, GST_TIME_ARGS(time));
      break;
    default:
      break;
  }
}

int main(int argc, char** argv) {
  GError* error = NULL;
  GstElement* pipeline;
  GstBus* bus;
  int result = 0;
  gboolean running = TRUE;

  gst_init(&argc, &argv);
  if (argc != 2) {
    g_printerr("usage: watch PIPELINE\n");
    return 2;
  }
  pipeline = gst_parse_launch_full(argv[1], NULL, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  if (pipeline == NULL) {
    g_printerr("%s\n", error->message);
    g_error_free(error);
    return 2;
  }
  bus = gst_element_get_bus(pipeline);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  while (running) {
    GstMessage* message = gst_bus_timed_pop_filtered(
        bus, GST_CLOCK_TIME_NONE,
        (GstMessageType)(GST_MESSAGE_ELEMENT | GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
    switch (GST_MESSAGE_TYPE(message)) {
      case GST_MESSAGE_ELEMENT:
        print(message);
        break;
      case GST_MESSAGE_ERROR:
        gst_message_parse_error(message, &error, NULL);
        g_printerr("%s\n", error->message);
        g_clear_error(&error);
        result = 1;
        running = FALSE;
        break;
      default:
        running = FALSE;
        break;
    }
    gst_message_unref(message);
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(pipeline);
  return result;
}
