// SPDX-License-Identifier: LGPL-2.1-or-later
// discord-utterances: what is said in a call, utterance by utterance, to files or to a pipe.
#include "discord/gstptr.hpp"
#include "findplugin.hpp"
#include "record/credentials.hpp"
#include "record/rules.hpp"

#include <fcntl.h>
#include <glib-unix.h>
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

namespace {

using namespace discord;

constexpr char description[] =
    "Each utterance is 16 kHz, mono, 16 bit. Without --pipe it becomes a WAV file\n"
    "<user id>-<start in ms>.wav in the folder, and a line of JSON on standard\n"
    "output names it. With --pipe the line is followed by the samples, as many\n"
    "bytes as it says:\n"
    "  {\"user_id\":\"1\",\"name\":\"Ada\",\"number\":0,\"start\":1.24,\"end\":3.5,\n"
    "   \"partial\":false,\"goes_on\":false,\"bytes\":72320}\n"
    "A partial has everything since the start of its utterance. A reader of the\n"
    "pipe that is slow loses the oldest utterances, at most 64 wait; the last\n"
    "line, {\"end\":true,\"dropped\":0}, says how many were dropped.\n"
    "\n"
    "  discord-utterances -c call.json -o utterances\n"
    "  discord-utterances -c call.json --pipe | pipelines/recognise\n"
    "\n"
    "The JSON file of --credentials has endpoint, session_id, token, user_id,\n"
    "guild_id and channel_id. Ctrl-C or SIGTERM ends it after the last utterance.\n"
    "\n"
    "Exit status\n"
    "  0  all were handed out\n"
    "  1  the call could not be joined, or broke off\n"
    "  2  the arguments make no sense\n"
    "  3  some were dropped, because the reader was slow";

struct Arguments {
  recorder::Credentials credentials;
  std::string folder = "utterances";
  bool pipe = false;
  int partials = 0;
  int gap = 500;
  double seconds = 0;
};

struct Run {
  Arguments arguments;
  GMainLoop* loop = nullptr;
  GstElement* pipeline = nullptr;
  GstElement* utterances = nullptr;
  GstElement* sink = nullptr;
  int folder = -1;
  bool failed = false;
  bool stopping = false;
};

void stop(Run& run) {
  if (run.stopping) {
    g_main_loop_quit(run.loop);
    return;
  }
  run.stopping = true;
  gst_element_send_event(run.pipeline, gst_event_new_eos());
}

bool write_all(int fd, const void* bytes, std::size_t size) {
  const char* p = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t n = write(fd, p, size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    p += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

std::array<unsigned char, 44> wav_header(std::uint32_t bytes) {
  constexpr std::uint32_t rate = 16000;
  std::array<unsigned char, 44> h = {
      'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16,  0,   0, 0, 1, 0,
      1,   0,   0,   0,   0, 0, 0, 0, 0,   0,   2,   0,   16,  0,   'd', 'a', 't', 'a', 0, 0, 0, 0};
  const auto put = [&](std::size_t at, std::uint32_t v) {
    for (std::size_t i = 0; i < 4; i++) {
      h[at + i] = static_cast<unsigned char>(v >> (8 * i));
    }
  };
  put(4, bytes + 36);
  put(24, rate);
  put(28, rate * 2);
  put(40, bytes);
  return h;
}

// A new file, never through a link and never over another.
bool write_file(const Run& run, const std::string& stem, const MappedBuffer& samples,
                std::string& name) {
  for (int attempt = 1; attempt < 1000; attempt++) {
    name = stem + (attempt > 1 ? "-" + std::to_string(attempt) : "") + ".wav";
    const int fd = openat(run.folder, name.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
      const auto header = wav_header(static_cast<std::uint32_t>(samples.size()));
      const bool ok = write_all(fd, header.data(), header.size()) &&
                      write_all(fd, samples.data(), samples.size());
      const int problem = errno;
      close(fd);
      errno = problem;
      return ok;
    }
    if (errno != EEXIST) {
      return false;
    }
  }
  return false;
}

bool say(const nlohmann::json& line) {
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  return write_all(STDOUT_FILENO, text.data(), text.size());
}

// False after a write to standard output that did not work: nobody reads any more, or it failed.
bool stop_writing(Run& run) {
  if (errno != EPIPE) {
    g_printerr("Error: standard output cannot be written: %s.\n", g_strerror(errno));
    run.failed = true;
  }
  return false;
}

// False when nobody reads any more, or what was said cannot be written.
bool hand_out(Run& run, GstBuffer* buffer) {
  const MappedBuffer samples(buffer, GST_MAP_READ);
  GstCustomMeta* meta = gst_buffer_get_custom_meta(buffer, "GstDiscordUtterance");
  if (!samples || meta == nullptr) {
    return true;
  }
  const GstStructure* s = gst_custom_meta_get_structure(meta);
  guint64 user = 0;
  guint64 number = 0;
  guint ssrc = 0;
  gboolean partial = FALSE;
  gboolean goes_on = FALSE;
  gst_structure_get_uint64(s, "user-id", &user);
  gst_structure_get_uint(s, "ssrc", &ssrc);
  gst_structure_get_uint64(s, "number", &number);
  gst_structure_get_boolean(s, "partial", &partial);
  gst_structure_get_boolean(s, "goes-on", &goes_on);
  const gchar* display = gst_structure_get_string(s, "display-name");
  const GstClockTime start = GST_BUFFER_PTS(buffer);
  const auto seconds = [](GstClockTime t) {
    return static_cast<double>(t) / static_cast<double>(GST_SECOND);
  };
  nlohmann::json line = {{"user_id", std::to_string(user)},
                         {"ssrc", ssrc},
                         {"name", display != nullptr ? display : ""},
                         {"number", number},
                         {"start", seconds(start)},
                         {"end", seconds(start + GST_BUFFER_DURATION(buffer))},
                         {"partial", partial != FALSE},
                         {"goes_on", goes_on != FALSE}};
  if (run.arguments.pipe) {
    line["bytes"] = samples.size();
    return (say(line) && write_all(STDOUT_FILENO, samples.data(), samples.size())) ||
           stop_writing(run);
  }
  const std::string stem = std::to_string(user != 0 ? user : ssrc) + "-" +
                           std::to_string(start / GST_MSECOND) +
                           (partial != FALSE ? "-partial" : "");
  std::string name;
  if (!write_file(run, stem, samples, name)) {
    g_printerr("Error: %s/%s cannot be written: %s.\n", run.arguments.folder.c_str(), name.c_str(),
               g_strerror(errno));
    run.failed = true;
    return false;
  }
  line["file"] = run.arguments.folder + "/" + name;
  return say(line) || stop_writing(run);
}

gboolean on_signal(gpointer data) {
  stop(*static_cast<Run*>(data));
  return G_SOURCE_CONTINUE;
}

gboolean on_time(gpointer data) {
  stop(*static_cast<Run*>(data));
  return G_SOURCE_REMOVE;
}

gboolean on_reader_gone(gpointer data) {
  g_main_loop_quit(static_cast<Run*>(data)->loop);
  return G_SOURCE_REMOVE;
}

gboolean on_bus(GstBus*, GstMessage* message, gpointer data) {
  auto& run = *static_cast<Run*>(data);
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
    g_main_loop_quit(run.loop);
  } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    GError* raw = nullptr;
    gst_message_parse_error(message, &raw, nullptr);
    const GErrorPtr error(raw);
    g_printerr("Error: %s\n", error->message);
    run.failed = true;
    g_main_loop_quit(run.loop);
  } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT && run.arguments.seconds > 0) {
    const GstStructure* s = gst_message_get_structure(message);
    if (gst_structure_has_name(s, "discord-session") &&
        g_strcmp0(gst_structure_get_string(s, "state"), "connected") == 0) {
      g_timeout_add(static_cast<guint>(run.arguments.seconds * 1000), on_time, data);
    }
  }
  return TRUE;
}

// A thread of its own: a pipe that blocks holds up neither signals nor the call.
void read_utterances(Run& run) {
  while (GstSample* sample = gst_app_sink_pull_sample(GST_APP_SINK(run.sink))) {
    const bool wanted = hand_out(run, gst_sample_get_buffer(sample));
    gst_sample_unref(sample);
    if (!wanted) {
      g_main_context_invoke(nullptr, on_reader_gone, &run);
      return;
    }
  }
}

bool build(Run& run) {
  GError* raw = nullptr;
  run.pipeline = gst_parse_launch(
      "discordvoicesrc name=source ! discorddecrypt ! discordreorder ! "
      "discordutterances name=utterances ! appsink name=sink sync=false async=false max-buffers=1",
      &raw);
  const GErrorPtr error(raw);
  if (error) {
    g_printerr("Error: %s\n", error->message);
    return false;
  }
  const recorder::Credentials& c = run.arguments.credentials;
  const ObjectPtr<GstElement> source(gst_bin_get_by_name(GST_BIN(run.pipeline), "source"));
  g_object_set(source.get(), "endpoint", c.endpoint.c_str(), "session-id", c.session_id.c_str(),
               "user-id", static_cast<guint64>(c.user_id), "guild-id",
               static_cast<guint64>(c.guild_id), "channel-id", static_cast<guint64>(c.channel_id),
               nullptr);
  if (!c.token.empty()) {
    g_object_set(source.get(), "token", c.token.c_str(), nullptr);
  }
  if (!c.token_file.empty()) {
    g_object_set(source.get(), "token-file", c.token_file.c_str(), nullptr);
  }
  if (!c.tls_ca_file.empty()) {
    g_object_set(source.get(), "tls-ca-file", c.tls_ca_file.c_str(), nullptr);
  }
  run.utterances = gst_bin_get_by_name(GST_BIN(run.pipeline), "utterances");
  run.sink = gst_bin_get_by_name(GST_BIN(run.pipeline), "sink");
  g_object_set(run.utterances, "gap", static_cast<guint>(run.arguments.gap), "partial-interval",
               static_cast<guint>(run.arguments.partials), nullptr);
  return true;
}

int execute(const Arguments& arguments) {
  Run run;
  run.arguments = arguments;
  if (!arguments.pipe) {
    g_mkdir_with_parents(arguments.folder.c_str(), 0700);
    run.folder = open(arguments.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run.folder < 0) {
      g_printerr("Error: the folder %s cannot be opened: %s.\n", arguments.folder.c_str(),
                 g_strerror(errno));
      return 1;
    }
  }
  if (!build(run)) {
    return 1;
  }
  run.loop = g_main_loop_new(nullptr, FALSE);
  std::signal(SIGPIPE, SIG_IGN);
  g_unix_signal_add(SIGINT, on_signal, &run);
  g_unix_signal_add(SIGTERM, on_signal, &run);
  const ObjectPtr<GstBus> bus(gst_element_get_bus(run.pipeline));
  gst_bus_add_watch(bus.get(), on_bus, &run);
  std::thread reader;
  if (gst_element_set_state(run.pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
    run.failed = true;
    while (const MessagePtr message{gst_bus_pop(bus.get())}) {
      on_bus(bus.get(), message.get(), &run);
    }
  } else {
    reader = std::thread([&run] { read_utterances(run); });
    g_main_loop_run(run.loop);
  }
  GstStructure* stats = nullptr;
  guint64 dropped = 0;
  g_object_get(run.utterances, "stats", &stats, nullptr);
  gst_structure_get_uint64(stats, "dropped", &dropped);
  gst_structure_free(stats);
  gst_element_set_state(run.pipeline, GST_STATE_NULL);
  if (reader.joinable()) {
    reader.join();
  }
  say({{"end", true}, {"dropped", dropped}});
  gst_bus_remove_watch(bus.get());
  for (GstElement* element : {run.utterances, run.sink, run.pipeline}) {
    gst_object_unref(element);
  }
  g_main_loop_unref(run.loop);
  if (run.folder >= 0) {
    close(run.folder);
  }
  return run.failed ? 1 : dropped > 0 ? 3 : 0;
}

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments a;
  gchar* credentials = nullptr;
  gchar* folder = nullptr;
  gchar* duration = nullptr;
  gboolean pipe = FALSE;
  const GOptionEntry entries[] = {
      {"credentials", 'c', 0, G_OPTION_ARG_FILENAME, &credentials, "JSON file, see below", "FILE"},
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &folder, "folder (utterances)", "FOLDER"},
      {"pipe", 'p', 0, G_OPTION_ARG_NONE, &pipe, "samples on standard output", nullptr},
      {"partials", 0, 0, G_OPTION_ARG_INT, &a.partials, "also what there is every so many ms",
       "MS"},
      {"gap", 0, 0, G_OPTION_ARG_INT, &a.gap, "a pause that ends an utterance (500)", "MS"},
      {"max-duration", 0, 0, G_OPTION_ARG_STRING, &duration, "end after 90s, 45m, 2h", "TIME"},
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr},
  };
  GOptionContext* context = g_option_context_new("- what is said in a Discord call");
  g_option_context_set_description(context, description);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* raw = nullptr;
  const bool ok = g_option_context_parse(context, &argc, &argv, &raw) != FALSE;
  g_option_context_free(context);
  const GErrorPtr error(raw);
  const GCharPtr owned_credentials(credentials);
  const GCharPtr owned_folder(folder);
  const GCharPtr owned_duration(duration);
  const auto complain = [](const std::string& sentence) {
    g_printerr("%s\n", sentence.c_str());
    return std::nullopt;
  };
  if (!ok) {
    return complain(error->message);
  }
  if (argc > 1) {
    return complain(std::string("\"") + argv[1] + "\" is not an option; see --help.");
  }
  a.pipe = pipe != FALSE;
  a.folder = folder != nullptr ? folder : a.folder;
  if (a.gap < 20 || a.gap > 10000 || a.partials < 0 || a.partials > 60000) {
    return complain("--gap must be 20 to 10000 ms, --partials 0 to 60000.");
  }
  if (duration != nullptr) {
    const auto seconds = recorder::parse_duration(duration);
    if (!seconds || *seconds > 2e6) {
      return complain("--max-duration must be like 90s, 45m or 1:30:00.");
    }
    a.seconds = *seconds;
  }
  gchar* text = nullptr;
  gsize size = 0;
  if (credentials == nullptr || g_file_get_contents(credentials, &text, &size, nullptr) == FALSE) {
    return complain("--credentials must name a file that can be read; see --help.");
  }
  const GCharPtr owned(text);
  const std::string all(text, size);
  const auto object = nlohmann::json::parse(all.substr(0, all.find('\n')), nullptr, false);
  if (const auto problem = a.credentials.take(object)) {
    return complain(*problem);
  }
  if (!a.credentials.missing().empty()) {
    return complain("The credentials have no " + a.credentials.missing().front() + ".");
  }
  return a;
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  const std::optional<Arguments> arguments = parse(argc, argv);
  if (!arguments) {
    return 2;
  }
  if (!pipelines::find_plugin()) {
    g_printerr(
        "The elements are not found; set GST_PLUGIN_PATH to the folder of "
        "libgstdiscord.so.\n");
    return 1;
  }
  return execute(*arguments);
}
