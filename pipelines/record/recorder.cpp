// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/recorder.hpp"

#include "config.h"
#include "record/terminal.hpp"

#include <gio/gunixinputstream.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace recorder {

using namespace discord;
using pipelines::human_bytes;
using pipelines::human_name;
using pipelines::human_time;

namespace {

constexpr guint tick_ms = 500;
constexpr gint64 log_interval = 10 * G_USEC_PER_SEC;  // lines where no terminal is
constexpr gint64 stats_interval = G_USEC_PER_SEC;

std::string id_text(std::uint64_t id) {
  return std::to_string(id);
}

std::uint64_t uint64(const GstStructure* s, const char* field) {
  guint64 value = 0;
  gst_structure_get_uint64(s, field, &value);
  return value;
}

std::string text(const GstStructure* s, const char* field) {
  const gchar* value = gst_structure_get_string(s, field);
  return value != nullptr ? value : "";
}

}  // namespace

std::string valid(const std::string& text) {
  const GCharPtr made(g_utf8_make_valid(text.data(), static_cast<gssize>(text.size())));
  return made.get();
}

Recorder::Recorder(Options options)
    : options_(std::move(options)), loop_(g_main_loop_new(nullptr, FALSE)) {
  terminal_ = options_.output == Output::screen && isatty(STDOUT_FILENO) != 0;
}

Recorder::~Recorder() = default;

double Recorder::elapsed() const {
  return started_ == 0 ? 0.0 : static_cast<double>(g_get_monotonic_time() - started_) / 1e6;
}

pipelines::Chain Recorder::chain() const {
  return elements_.chain();
}

std::uint64_t Recorder::missing() const {
  return view_.missing() + warnings_ + (journal_fails_ ? 1 : 0);
}

// --- what is said ---

void Recorder::say(const std::string& sentence) {
  if (options_.output == Output::screen) {
    g_print("%s\n", sentence.c_str());
    screen_.forget();
  }
}

void Recorder::event(nlohmann::json object) {
  if (options_.output != Output::json) {
    return;
  }
  object["at"] = elapsed();
  // Whatever is inside, a line is valid JSON.
  const std::string line =
      object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  errno = 0;
  if ((std::fwrite(line.data(), 1, line.size(), stdout) < line.size() ||
       std::fflush(stdout) != 0) &&
      errno != EPIPE && !std::exchange(unheard_, true)) {
    // The recording goes on; whoever relies on the events must know that some are missing.
    g_printerr("Error: Events cannot be written: %s.\n", g_strerror(errno));
  }
}

nlohmann::json Recorder::stats() const {
  nlohmann::json speakers = nlohmann::json::array();
  for (const auto& [user, row] : view_.rows()) {
    nlohmann::json one = {{"user_id", id_text(user)},   {"name", valid(row.name)},
                          {"speaking", row.speaking},   {"received", row.received},
                          {"lost", row.lost},           {"dropped", row.dropped},
                          {"unwritten", row.unwritten}, {"bytes", row.bytes()}};
    if (row.speaking && row.level) {
      one["level"] = -static_cast<int>(*row.level);
    }
    speakers.push_back(std::move(one));
  }
  return {{"event", "stats"},
          {"bytes", view_.bytes()},
          {"missing", view_.missing()},
          {"people", people_.size()},
          {"speakers", std::move(speakers)}};
}

void Recorder::tick() {
  view_.update(chain());
  const gint64 now = g_get_monotonic_time();
  if (terminal_) {
    screen_.draw(view_.table(elapsed()));
  } else if (now >= next_line_ && options_.output == Output::screen) {
    next_line_ = now + log_interval;
    say(view_.line(elapsed()));
  } else if (now >= next_line_) {
    next_line_ = now + stats_interval;
    event(stats());
  }
  check_rules();
}

gboolean Recorder::on_tick(gpointer self) {
  static_cast<Recorder*>(self)->tick();
  return G_SOURCE_CONTINUE;
}

void Recorder::check_rules() {
  if (stopping_) {
    return;
  }
  Situation now;
  now.seconds = elapsed();
  now.bytes = view_.bytes();
  now.empty_since = empty_since_;
  if (options_.rules.min_free > 0) {
    struct statvfs disk;
    if (statvfs(options_.location.c_str(), &disk) == 0) {
      now.free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    }
  }
  if (const auto reason = reason_to_stop(options_.rules, now)) {
    stop(*reason);
  }
}

// --- what the pipeline says ---

// The digits that all members of the call can compare.
void Recorder::hear_encryption(const GstStructure* s) {
  gint version = 0;
  gst_structure_get_int(s, "version", &version);
  const std::uint64_t epoch = uint64(s, "epoch");
  const std::string code = text(s, "privacy-code");
  view_.set_encryption(version == 0 ? "not end-to-end encrypted"
                                    : "end-to-end encrypted, epoch " + std::to_string(epoch));
  event({{"event", "e2ee"}, {"version", version}, {"epoch", epoch}, {"privacy_code", code}});
  if (code.empty() || code == privacy_code_) {
    return;
  }
  privacy_code_ = code;
  std::string digits;
  for (std::size_t i = 0; i < code.size(); i += 5) {
    digits += " " + code.substr(i, 5);
  }
  say("Privacy code:" + digits);
}

void Recorder::hear_file(const GstStructure* s) {
  File file;
  file.path = text(s, "path");
  file.user_id = uint64(s, "user-id");
  gboolean mix = FALSE;
  gst_structure_get_boolean(s, "mix", &mix);
  file.everybody = mix != FALSE || gst_structure_has_field(s, "tracks");
  file.seconds = static_cast<double>(uint64(s, "duration")) / static_cast<double>(GST_SECOND);
  event({{"event", "file"},
         {"path", file.path},
         {"user_id", id_text(file.user_id)},
         {"seconds", file.seconds}});
  files_.push_back(std::move(file));
}

void Recorder::hear_people(const GstStructure* s) {
  const std::uint64_t user = uint64(s, "user-id");
  if (user == 0 || user == options_.credentials.user_id) {
    return;
  }
  if (gst_structure_has_name(s, "discord-user-joined")) {
    present_.insert(user);
  } else {
    present_.erase(user);
  }
  count(user);
}

bool Recorder::hears(std::uint64_t user) const {
  const auto bot = bots_.find(user);
  return options_.heard.of(user, bot != bots_.end() ? std::optional(bot->second) : std::nullopt,
                           false) != media::Admission::denied;
}

void Recorder::count(std::uint64_t user) {
  if (present_.contains(user) && hears(user)) {
    if (people_.insert(user).second) {
      event({{"event", "joined"}, {"user_id", id_text(user)}});
    }
  } else if (people_.erase(user) > 0) {
    event({{"event", "left"}, {"user_id", id_text(user)}});
  }
  if (!people_.empty()) {
    empty_since_.reset();
  } else if (!empty_since_) {
    empty_since_ = elapsed();
  }
}

void Recorder::hear_info(const GstStructure* s) {
  const std::uint64_t user = uint64(s, "user-id");
  gboolean bot = FALSE;
  if (gst_structure_get_boolean(s, "bot", &bot)) {
    bots_[user] = bot != FALSE;
    count(user);
  }
  const std::string display = text(s, "display-name");
  if (!display.empty() && hears(user)) {
    view_.set_name(user, display);
    names_[user] = display;
  }
}

void Recorder::hear_element(const GstStructure* s) {
  const std::string name = gst_structure_get_name(s);
  if (name == "discord-session") {
    const std::string state = text(s, "state");
    event({{"event", "state"}, {"state", state}, {"reason", text(s, "reason")}});
    if (state == "connected" && started_ == 0) {
      started_ = g_get_monotonic_time();
      empty_since_ = people_.empty() ? std::optional(0.0) : std::nullopt;
      say(std::string("Connected; recording. ") +
          (keys_ ? "m marks a moment, q stops." : "Ctrl-C stops."));
      g_timeout_add(tick_ms, on_tick, this);
    }
  } else if (name == "discord-e2ee") {
    hear_encryption(s);
  } else if (name == "discord-file") {
    hear_file(s);
  } else if (name == "discord-user-joined" || name == "discord-user-left") {
    hear_people(s);
  } else if (name == "discord-user-info") {
    hear_info(s);
  } else if (name == "discord-speaking") {
    gboolean speaking = FALSE;
    guint ssrc = 0;
    gst_structure_get_boolean(s, "speaking", &speaking);
    gst_structure_get_uint(s, "ssrc", &ssrc);
    const std::uint64_t user = uint64(s, "user-id");
    if (elements_.workers) {
      view_.set_speaking(user, speaking != FALSE);
    }
    event({{"event", "speaking"},
           {"user_id", id_text(user)},
           {"ssrc", ssrc},
           {"speaking", speaking != FALSE}});
  } else if (name == "discord-worker") {
    event({{"event", "worker"}, {"what", text(s, "event")}, {"reason", text(s, "reason")}});
  }
}

void Recorder::hear(GstMessage* message) {
  GError* raw = nullptr;
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_EOS:
      ended_ = true;
      g_main_loop_quit(loop_.get());
      break;
    case GST_MESSAGE_ERROR: {
      gst_message_parse_error(message, &raw, nullptr);
      const GErrorPtr error(raw);
      fail(error->message);
      break;
    }
    case GST_MESSAGE_WARNING: {
      gst_message_parse_warning(message, &raw, nullptr);
      const GErrorPtr error(raw);
      const GstStructure* details = nullptr;
      gst_message_parse_warning_details(message, &details);
      // A recorder's warning means that something is not in a file. A journal waits for the disk,
      // and counts what it cannot keep.
      if (details != nullptr && gst_structure_has_field(details, "journal")) {
        journal_fails_ = true;
      } else if (elements_.record &&
                 (GST_MESSAGE_SRC(message) == GST_OBJECT(elements_.record.get()) ||
                  gst_object_has_as_ancestor(GST_MESSAGE_SRC(message),
                                             GST_OBJECT(elements_.record.get())))) {
        warnings_++;
      }
      g_printerr("Warning: %s\n", error->message);
      screen_.forget();
      event({{"event", "warning"}, {"text", valid(error->message)}});
      break;
    }
    case GST_MESSAGE_INFO: {
      gst_message_parse_info(message, &raw, nullptr);
      const GErrorPtr error(raw);
      const GstStructure* details = nullptr;
      gst_message_parse_info_details(message, &details);
      journal_fails_ =
          journal_fails_ && (details == nullptr || !gst_structure_has_field(details, "journal"));
      say(error->message);
      event({{"event", "info"}, {"text", valid(error->message)}});
      break;
    }
    case GST_MESSAGE_PROGRESS: {
      GstProgressType type;
      gchar* code = nullptr;
      gchar* sentence = nullptr;
      gst_message_parse_progress(message, &type, &code, &sentence);
      const GCharPtr owned_code(code);
      const GCharPtr owned(sentence);
      event({{"event", "progress"}, {"code", code}, {"text", valid(sentence)}});
      if (stopping_ && type == GST_PROGRESS_TYPE_CONTINUE) {
        say(sentence);
      }
      break;
    }
    case GST_MESSAGE_ELEMENT:
      hear_element(gst_message_get_structure(message));
      break;
    default:
      break;
  }
}

gboolean Recorder::on_bus(GstBus*, GstMessage* message, gpointer self) {
  static_cast<Recorder*>(self)->hear(message);
  return TRUE;
}

// --- beginning and end ---

bool Recorder::start() {
  if (const auto problem = elements_.build(options_)) {
    fail(*problem);
    return false;
  }
  const ObjectPtr<GstBus> bus(gst_element_get_bus(elements_.pipeline.get()));
  gst_bus_add_watch(bus.get(), on_bus, this);
  event({{"event", "joining"}});
  if (gst_element_set_state(elements_.pipeline.get(), GST_STATE_PLAYING) ==
      GST_STATE_CHANGE_FAILURE) {
    failed_ = true;  // the reason is on the bus
    return false;
  }
  for (const auto& [user, name] : std::map(names_)) {
    set_name(user, name);
  }
  return true;
}

void Recorder::stop(const std::string& reason) {
  if (std::exchange(stopping_, true)) {
    return;
  }
  say(reason + " Finishing the files.");
  event({{"event", "stopping"}, {"reason", reason}});
  if (!elements_.pipeline) {
    ended_ = true;
    g_main_loop_quit(loop_.get());
    return;
  }
  // Before the call is joined no data flows that an EOS could follow.
  if (!gst_element_send_event(elements_.pipeline.get(), gst_event_new_eos()) || started_ == 0) {
    ended_ = true;
    g_main_loop_quit(loop_.get());
  }
}

void Recorder::fail(const std::string& sentence) {
  failed_ = true;
  g_printerr("Error: %s\n", sentence.c_str());
  screen_.forget();
  event({{"event", "error"}, {"text", valid(sentence)}});
  g_main_loop_quit(loop_.get());
}

namespace {

void print_line(std::uint64_t user, const pipelines::Row& row, const std::string& length,
                const std::string& size) {
  const std::uint64_t all = row.received + row.lost;
  const std::string name = !row.name.empty() ? row.name : user != 0 ? id_text(user) : "unknown";
  const std::string unwritten =
      row.unwritten > 0 ? ", " + std::to_string(row.unwritten) + " not written" : "";
  g_print("%s %8s %9s %6" G_GUINT64_FORMAT " %8" G_GUINT64_FORMAT "  %.2f%% arrived%s\n",
          human_name(name, 22).c_str(), length.c_str(), size.c_str(),
          static_cast<guint64>(row.lost), static_cast<guint64>(row.drops()),
          all > 0 ? 100.0 * static_cast<double>(row.received) / static_cast<double>(all) : 100.0,
          unwritten.c_str());
}

}  // namespace

void Recorder::print_result() {
  if (options_.output != Output::screen) {
    return;
  }
  std::sort(files_.begin(), files_.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  g_print("\n%-22s %8s %9s %6s %8s  %s\n", "speaker", "length", "size", "lost", "dropped",
          "verdict");
  // What came of all, and what did not: for a mix, and for a file of many tracks.
  pipelines::Row everybody;
  everybody.name = "everybody";
  for (const auto& [user, row] : view_.rows()) {
    everybody.received += row.received;
    everybody.lost += row.lost;
    everybody.unwritten += row.unwritten;
    for (const auto& [cause, number] : row.dropped) {
      everybody.dropped[cause] += number;
    }
  }
  std::set<std::uint64_t> written;
  const bool shared = !files_.empty() && std::all_of(files_.begin(), files_.end(),
                                                     [](const File& f) { return f.everybody; });
  for (const File& file : files_) {
    const auto row = view_.rows().find(file.user_id);
    written.insert(file.user_id);
    std::error_code error;
    const auto size = std::filesystem::file_size(file.path, error);
    print_line(file.user_id,
               file.everybody              ? everybody
               : row != view_.rows().end() ? row->second
                                           : pipelines::Row(),
               human_time(file.seconds), error ? "gone" : human_bytes(size));
    g_print("  %s\n", file.path.c_str());
  }
  for (const auto& [user, row] : view_.rows()) {
    if ((shared ? row.received > 0 : row.unwritten > 0) && !written.contains(user)) {
      print_line(user, row, "-", shared ? "-" : "no file");
    }
  }
  if (files_.empty() && !failed_) {
    const bool heard = std::any_of(view_.rows().begin(), view_.rows().end(),
                                   [](const auto& row) { return row.second.received > 0; });
    g_print(heard ? "There is no file; what was in the way is said above.\n"
                  : "Nobody spoke, so there is no file.\n");
  }
}

int Recorder::finish() {
  ended_ = true;
  if (elements_.pipeline) {
    view_.update(chain());
    if (terminal_ && started_ != 0) {
      screen_.draw(view_.table(elapsed()));
    }
    gst_element_set_state(elements_.pipeline.get(), GST_STATE_NULL);
    // What the elements still posted, such as the last file.
    const ObjectPtr<GstBus> bus(gst_element_get_bus(elements_.pipeline.get()));
    while (const MessagePtr message{gst_bus_pop(bus.get())}) {
      hear(message.get());
    }
    gst_bus_remove_watch(bus.get());
  }
  if (started_ != 0) {
    print_result();
  } else if (!failed_) {
    fail("The call had not been joined yet, so nothing is recorded.");
  }
  const int status = failed_ ? exit_failed : missing() > 0 ? exit_lossy : exit_complete;
  event({{"event", "end"},
         {"status", status},
         {"seconds", elapsed()},
         {"files", files_.size()},
         {"missing", missing()}});
  return unheard_ ? int{exit_failed} : status;
}

int Recorder::run() {
  g_unix_signal_add(SIGINT, on_interrupt, this);
  g_unix_signal_add(SIGTERM, on_interrupt, this);
  g_unix_signal_add(SIGHUP, on_interrupt, this);
  g_unix_signal_add(SIGUSR1, on_mark_signal, this);
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads the events may leave; the recording goes on
  std::optional<RawTerminal> raw;
  if (options_.control) {
    cancel_.reset(g_cancellable_new());
    const GObjectPtr<GInputStream> in(g_unix_input_stream_new(STDIN_FILENO, FALSE));
    input_.reset(g_data_input_stream_new(in.get()));
    read_line();
  } else if (options_.output == Output::screen && terminal_ && isatty(STDIN_FILENO) != 0) {
    raw.emplace(STDIN_FILENO);
    keys_ = true;
    g_unix_fd_add(STDIN_FILENO, G_IO_IN, on_key, this);
  }
  event({{"event", "ready"}, {"version", PACKAGE_VERSION}});
  const bool joining = !options_.credentials.empty();
  if (!joining || start()) {
    g_main_loop_run(loop_.get());
  }
  const int status = finish();
  if (cancel_) {
    g_cancellable_cancel(cancel_.get());
    while (g_main_context_iteration(nullptr, FALSE) != FALSE) {
    }
  }
  return status;
}

}  // namespace recorder
