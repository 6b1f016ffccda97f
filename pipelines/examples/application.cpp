// Records a call that an application with a Discord library of its own has joined: the values its
// library learns go in, again and again over the life of the call; what is needed and what
// happens comes out. Here both are lines of text, so that the library may be in any language.
//
//     c++ -std=c++17 application.cpp -o application $(pkg-config --cflags --libs
//     gstreamer-discord-1.0)
//     ./application GUILD-ID CHANNEL-ID USER-ID FOLDER
//
// in:  state SESSION-ID          of every own VOICE_STATE_UPDATE
//      server ENDPOINT TOKEN     of every VOICE_SERVER_UPDATE; without values when the endpoint is
//      null user ID NAME              whom a speaker is called channel ID                move
//      there, once the library has end                       or the end of the input: finishes the
//      files
// out: needed REASON             join the channel (leave it first when in it) and say what comes
//      session STATE REASON
//      speaking USER-ID, quiet USER-ID
//      complete PATH
//      error REASON
//
// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gst/discord/discord.h>

#include <iostream>
#include <memory>
#include <sstream>
#include <string>

namespace {

template <class T> struct Unref {
  void operator()(T* object) const { gst_object_unref(object); }
};
template <class T> using Owned = std::unique_ptr<T, Unref<T>>;

struct Application {
  Owned<GstElement> pipeline;
  Owned<GstElement> source;
  GMainLoop* loop;
  int result = 0;
};

void say(const std::string& line) {
  g_print("%s\n", line.c_str());
}

// On the control thread; it only tells, so it returns soon.
void on_credentials_needed(GstElement*, const gchar* reason, gpointer) {
  say(std::string("needed ") + reason);
}

gboolean on_message(GstBus*, GstMessage* message, gpointer data) {
  auto* app = static_cast<Application*>(data);
  const gchar* a = nullptr;
  const gchar* b = nullptr;
  guint64 user = 0;
  gboolean speaking = FALSE;
  if (gst_discord_message_parse_session(message, &a, &b)) {
    say(std::string("session ") + a + " " + b);
  } else if (gst_discord_message_parse_speaking(message, nullptr, &user, &speaking, nullptr)) {
    say((speaking != FALSE ? "speaking " : "quiet ") + std::to_string(user));
  } else if (gst_discord_message_parse_file(message, &a, nullptr, nullptr, nullptr)) {
    say(std::string("complete ") + a);
  } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    say(std::string("error ") + error->message);
    g_error_free(error);
    app->result = 1;
  } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
    g_main_loop_quit(app->loop);
  }
  return G_SOURCE_CONTINUE;
}

bool obey(Application& app, const std::string& line) {
  std::istringstream in(line);
  std::string what;
  std::string first;
  std::string second;
  in >> what >> first;
  std::getline(in >> std::ws, second);
  GstElement* source = app.source.get();
  if (what == "state") {
    g_signal_emit_by_name(source, "update-voice-state", first.c_str());
  } else if (what == "server") {
    const char* endpoint = first.empty() ? nullptr : first.c_str();
    g_signal_emit_by_name(source, "update-voice-server", endpoint, second.c_str());
  } else if (what == "user") {
    g_signal_emit_by_name(source, "set-user", g_ascii_strtoull(first.c_str(), nullptr, 10),
                          second.c_str(), FALSE);
  } else if (what == "channel") {
    g_object_set(source, "channel-id", g_ascii_strtoull(first.c_str(), nullptr, 10), nullptr);
  } else {
    return false;
  }
  return true;
}

gboolean on_input(GIOChannel* channel, GIOCondition, gpointer data) {
  auto* app = static_cast<Application*>(data);
  gchar* text = nullptr;
  gsize end = 0;
  const GIOStatus status = g_io_channel_read_line(channel, &text, nullptr, &end, nullptr);
  if (status == G_IO_STATUS_AGAIN) {
    return G_SOURCE_CONTINUE;
  }
  const std::string line = text != nullptr ? std::string(text, end) : "end";
  g_free(text);
  if (line != "end") {
    if (!obey(*app, line)) {
      say("error not understood: " + line);
    }
    return G_SOURCE_CONTINUE;
  }
  gst_element_send_event(app->pipeline.get(), gst_event_new_eos());
  return G_SOURCE_REMOVE;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  if (argc != 5) {
    std::cerr << "usage: application GUILD-ID CHANNEL-ID USER-ID FOLDER\n";
    return 2;
  }
  const std::string line = std::string("discordvoicesrc name=source guild-id=") + argv[1] +
                           " channel-id=" + argv[2] + " user-id=" + argv[3] +
                           " ! discorddecrypt ! discordreorder ! discordrecordsink name=sink";
  GError* error = nullptr;
  Application app;
  app.pipeline.reset(
      gst_parse_launch_full(line.c_str(), nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &error));
  if (!app.pipeline) {
    std::cerr << error->message << "\n";
    return 2;
  }
  app.source.reset(gst_bin_get_by_name(GST_BIN(app.pipeline.get()), "source"));
  const Owned<GstElement> sink(gst_bin_get_by_name(GST_BIN(app.pipeline.get()), "sink"));
  g_object_set(sink.get(), "location", argv[4], nullptr);
  g_signal_connect(app.source.get(), "credentials-needed", G_CALLBACK(on_credentials_needed),
                   nullptr);
  app.loop = g_main_loop_new(nullptr, FALSE);
  const Owned<GstBus> bus(gst_element_get_bus(app.pipeline.get()));
  gst_bus_add_watch(bus.get(), on_message, &app);
  GIOChannel* input = g_io_channel_unix_new(0);
  g_io_add_watch(input, static_cast<GIOCondition>(G_IO_IN | G_IO_HUP), on_input, &app);
  gst_element_set_state(app.pipeline.get(), GST_STATE_PLAYING);
  g_main_loop_run(app.loop);
  gst_element_set_state(app.pipeline.get(), GST_STATE_NULL);
  gst_bus_remove_watch(bus.get());
  g_io_channel_unref(input);
  g_main_loop_unref(app.loop);
  return app.result;
}
