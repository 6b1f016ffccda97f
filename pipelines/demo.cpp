// SPDX-License-Identifier: LGPL-2.1-or-later
// The demo: a loopback Discord with people talking, our elements receiving it, a file per speaker.
#include "demoview.hpp"

#include <gio/gio.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <clocale>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace {

struct Arguments {
  std::string loopback;
  std::string location = "recordings";
  std::string format = "mp3";
  int seconds = 15;
  int speakers = 4;
};

struct File {
  std::string path;
  std::uint64_t user_id = 0;
  double seconds = 0;
};

struct Demo {
  Arguments arguments;
  GMainLoop* loop = g_main_loop_new(nullptr, FALSE);
  GSubprocess* loopback = nullptr;
  GstElement* pipeline = nullptr;
  GstElement* decoder = nullptr;
  GstElement* record = nullptr;
  std::optional<demo::View> view;
  std::vector<File> files;
  std::string privacy_code;
  gint64 started = 0;
  std::size_t drawn = 0;  // lines of the table on the terminal
  bool terminal = isatty(STDOUT_FILENO) != 0;
  bool stopping = false;
  bool failed = false;

  double elapsed() const {
    return started == 0 ? 0.0 : static_cast<double>(g_get_monotonic_time() - started) / 1e6;
  }
};

void draw(Demo& d) {
  d.view->update(d.decoder, d.record);
  if (!d.terminal) {
    g_print("%s\n", d.view->line(d.elapsed()).c_str());
    return;
  }
  std::string out = d.drawn > 0 ? "\033[" + std::to_string(d.drawn) + "A" : "";
  std::vector<std::string> lines = d.view->table(d.elapsed());
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    lines = demo::fit(std::move(lines), size.ws_col, size.ws_row);
  }
  for (const std::string& line : lines) {
    out += "\033[2K" + line + "\n";
  }
  d.drawn = lines.size();
  g_print("%s", out.c_str());
}

gboolean on_tick(gpointer data) {
  auto& d = *static_cast<Demo*>(data);
  draw(d);
  if (!d.stopping && d.elapsed() >= d.arguments.seconds) {
    d.stopping = true;
    gst_element_send_event(d.pipeline, gst_event_new_eos());
  }
  return G_SOURCE_CONTINUE;
}

gboolean on_interrupt(gpointer data) {
  auto& d = *static_cast<Demo*>(data);
  if (d.stopping) {
    g_main_loop_quit(d.loop);
  } else {
    d.stopping = true;
    g_print("Stopping; the files are being finished.\n");
    d.drawn = 0;
    gst_element_send_event(d.pipeline, gst_event_new_eos());
  }
  return G_SOURCE_CONTINUE;
}

// Who is in the group, and the digits that all of them can compare.
void on_encryption(Demo& d, const GstStructure* s) {
  const gchar* code = gst_structure_get_string(s, "privacy-code");
  if (code == nullptr || *code == '\0' || d.privacy_code == code) {
    return;
  }
  d.privacy_code = code;
  std::string digits;
  for (std::size_t i = 0; i < d.privacy_code.size(); i += 5) {
    digits += " " + d.privacy_code.substr(i, 5);
  }
  guint64 epoch = 0;
  gst_structure_get_uint64(s, "epoch", &epoch);
  g_print("The call is end-to-end encrypted (epoch %" G_GUINT64_FORMAT "). Privacy code:%s\n",
          epoch, digits.c_str());
  d.drawn = 0;
}

void on_element_message(Demo& d, const GstStructure* s) {
  if (gst_structure_has_name(s, "discord-session") &&
      g_strcmp0(gst_structure_get_string(s, "state"), "connected") == 0 && d.started == 0) {
    d.started = g_get_monotonic_time();
    g_print("Connected. Recording %d s.\n", d.arguments.seconds);
    g_timeout_add(d.terminal ? 500 : 1000, on_tick, &d);
  } else if (gst_structure_has_name(s, "discord-e2ee")) {
    on_encryption(d, s);
  } else if (gst_structure_has_name(s, "discord-file")) {
    File file;
    guint64 user = 0;
    GstClockTime duration = 0;
    gst_structure_get_uint64(s, "user-id", &user);
    gst_structure_get_clock_time(s, "duration", &duration);
    const gchar* path = gst_structure_get_string(s, "path");
    file.path = path != nullptr ? path : "";
    file.user_id = user;
    file.seconds = static_cast<double>(duration) / static_cast<double>(GST_SECOND);
    d.files.push_back(file);
  }
}

gboolean on_bus(GstBus*, GstMessage* message, gpointer data) {
  auto& d = *static_cast<Demo*>(data);
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_EOS:
      g_main_loop_quit(d.loop);
      break;
    case GST_MESSAGE_ERROR:
    case GST_MESSAGE_WARNING: {
      const bool fatal = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR;
      GError* error = nullptr;
      if (fatal) {
        gst_message_parse_error(message, &error, nullptr);
      } else {
        gst_message_parse_warning(message, &error, nullptr);
      }
      g_printerr("%s: %s\n", fatal ? "Error" : "Warning", error->message);
      g_error_free(error);
      d.drawn = 0;
      if (fatal) {
        d.failed = true;
        g_main_loop_quit(d.loop);
      }
      break;
    }
    case GST_MESSAGE_ELEMENT:
      on_element_message(d, gst_message_get_structure(message));
      break;
    default:
      break;
  }
  return TRUE;
}

// Starts the loopback and reads its first line: where to connect, and who is there.
std::optional<nlohmann::json> start_loopback(Demo& d) {
  const std::string speakers = std::to_string(d.arguments.speakers);
  GError* error = nullptr;
  // A little of what a real network does, so that the figures have something to show.
  d.loopback = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                                d.arguments.loopback.c_str(), "--quiet", "--speakers",
                                speakers.c_str(), "--loss", "1", "--reorder", "1", "--duplicate",
                                "1", "--forged", "2", "--rtcp", "5000", "--dave", "1", nullptr);
  if (d.loopback == nullptr) {
    g_printerr("The loopback Discord could not be started: %s\n", error->message);
    g_error_free(error);
    return std::nullopt;
  }
  GDataInputStream* lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(d.loopback));
  gchar* line = g_data_input_stream_read_line(lines, nullptr, nullptr, nullptr);
  g_object_unref(lines);
  nlohmann::json ready =
      nlohmann::json::parse(line != nullptr ? line : "", nullptr, /*allow_exceptions=*/false);
  g_free(line);
  if (!ready.is_object() || !ready.contains("endpoint")) {
    g_printerr("The loopback Discord did not start; it says why above.\n");
    return std::nullopt;
  }
  return ready;
}

guint64 snowflake(const nlohmann::json& object, const char* key) {
  return std::strtoull(object.value(key, "0").c_str(), nullptr, 10);
}

bool build_pipeline(Demo& d, const nlohmann::json& ready) {
  GError* error = nullptr;
  d.pipeline = gst_parse_launch(
      "discordvoicesrc name=source ! discordworkerdec name=decoder ! discordrecordsink name=record",
      &error);
  if (error != nullptr) {
    g_printerr("The pipeline could not be made: %s\n", error->message);
    g_error_free(error);
    return false;
  }
  GstElement* source = gst_bin_get_by_name(GST_BIN(d.pipeline), "source");
  g_object_set(source, "endpoint", ready.value("endpoint", "").c_str(), "session-id",
               ready.value("session_id", "").c_str(), "token", ready.value("token", "").c_str(),
               "user-id", snowflake(ready, "user_id"), "guild-id", snowflake(ready, "guild_id"),
               "channel-id", snowflake(ready, "channel_id"), nullptr);
  gst_object_unref(source);
  d.decoder = gst_bin_get_by_name(GST_BIN(d.pipeline), "decoder");
  d.record = gst_bin_get_by_name(GST_BIN(d.pipeline), "record");
  g_object_set(d.record, "location", d.arguments.location.c_str(), nullptr);
  gst_util_set_object_arg(G_OBJECT(d.record), "format", d.arguments.format.c_str());
  return true;
}

void print_files(Demo& d) {
  std::sort(d.files.begin(), d.files.end(),
            [](const File& a, const File& b) { return a.user_id < b.user_id; });
  g_print("\n%-20s %-10s %9s %10s %6s  %s\n", "user id", "name", "seconds", "size", "lost", "file");
  for (const File& file : d.files) {
    const auto row = d.view->rows().find(file.user_id);
    GStatBuf info{};
    const bool there = g_stat(file.path.c_str(), &info) == 0;
    g_print("%-20" G_GUINT64_FORMAT " %-10s %9.2f %10s %6" G_GUINT64_FORMAT "  %s\n", file.user_id,
            row != d.view->rows().end() ? row->second.name.c_str() : "", file.seconds,
            there ? demo::human_bytes(static_cast<std::uint64_t>(info.st_size)).c_str() : "gone",
            row != d.view->rows().end() ? row->second.lost : 0, file.path.c_str());
  }
  if (d.files.empty()) {
    g_print("Nobody spoke, so there is no file.\n");
  }
}

int run(Demo& d) {
  g_print("Starting a loopback Discord with %d people ...\n", d.arguments.speakers);
  const std::optional<nlohmann::json> ready = start_loopback(d);
  if (!ready || !build_pipeline(d, *ready)) {
    return EXIT_FAILURE;
  }
  std::map<std::uint64_t, std::string> names;
  for (const nlohmann::json& speaker : ready->value("speakers", nlohmann::json::array())) {
    names[snowflake(speaker, "user_id")] = speaker.value("name", "");
  }
  d.view.emplace(std::move(names));

  GstBus* bus = gst_element_get_bus(d.pipeline);
  gst_bus_add_watch(bus, on_bus, &d);
  g_unix_signal_add(SIGINT, on_interrupt, &d);
  g_unix_signal_add(SIGTERM, on_interrupt, &d);
  if (gst_element_set_state(d.pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
    d.failed = true;
  }
  g_main_loop_run(d.loop);
  if (!d.failed) {
    draw(d);
  }
  gst_element_set_state(d.pipeline, GST_STATE_NULL);
  // What the elements still posted, such as the last file.
  while (GstMessage* message = gst_bus_pop(bus)) {
    on_bus(bus, message, &d);
    gst_message_unref(message);
  }
  gst_bus_remove_watch(bus);
  gst_object_unref(bus);
  if (!d.failed) {
    print_files(d);
  }
  return d.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

void release(Demo& d) {
  if (d.loopback != nullptr) {
    g_subprocess_send_signal(d.loopback, SIGTERM);
    g_subprocess_wait(d.loopback, nullptr, nullptr);
    g_object_unref(d.loopback);
  }
  for (GstElement* element : {d.decoder, d.record, d.pipeline}) {
    if (element != nullptr) {
      gst_object_unref(element);
    }
  }
  g_main_loop_unref(d.loop);
}

std::optional<Arguments> parse(int argc, char** argv) {
  gchar* loopback = nullptr;
  gchar* location = nullptr;
  gchar* format = nullptr;
  Arguments arguments;
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_STRING, &format, "mp3 or wav (mp3)", "FORMAT"},
      {"seconds", 's', 0, G_OPTION_ARG_INT, &arguments.seconds, "how long to record (15)", "S"},
      {"speakers", 'n', 0, G_OPTION_ARG_INT, &arguments.speakers, "how many people talk (4)", "N"},
      {"location", 'o', 0, G_OPTION_ARG_FILENAME, &location, "folder of the recordings", "FOLDER"},
      {"loopback", 0, 0, G_OPTION_ARG_FILENAME, &loopback, "the discord-loopback program", "FILE"},
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr},
  };
  GOptionContext* context = g_option_context_new("- record a loopback Discord, a file per speaker");
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* error = nullptr;
  const bool ok = g_option_context_parse(context, &argc, &argv, &error) != FALSE;
  g_option_context_free(context);
  const auto take = [](gchar* text, std::string& into) {
    if (text != nullptr) {
      into = text;
    }
    g_free(text);
  };
  take(loopback, arguments.loopback);
  take(location, arguments.location);
  take(format, arguments.format);
  if (!ok) {
    g_printerr("%s\n", error->message);
    g_error_free(error);
    return std::nullopt;
  }
  if (argc > 1) {
    g_printerr("\"%s\" is not an option; see --help.\n", argv[1]);
    return std::nullopt;
  }
  if (arguments.format != "mp3" && arguments.format != "wav") {
    g_printerr("The format must be mp3 or wav, not \"%s\".\n", arguments.format.c_str());
    return std::nullopt;
  }
  if (arguments.seconds < 1 || arguments.speakers < 1) {
    g_printerr("At least one second and one speaker are needed.\n");
    return std::nullopt;
  }
  if (arguments.loopback.empty()) {
    g_printerr("The discord-loopback program must be named with --loopback.\n");
    return std::nullopt;
  }
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  const std::optional<Arguments> arguments = parse(argc, argv);
  if (!arguments) {
    return 2;
  }
  Demo d;
  d.arguments = *arguments;
  const int status = run(d);
  release(d);
  return status;
}
