// SPDX-License-Identifier: LGPL-2.1-or-later
// discord-recover: what a journal holds, as files.
#include "elements/cook.hpp"
#include "findplugin.hpp"
#include "recover/forget.hpp"
#include "recover/list.hpp"
#include "recover/rebuild.hpp"

#include <gst/gst.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace discord;

enum Exit { exit_whole = 0, exit_failed = 1, exit_usage = 2, exit_parts = 3 };

constexpr char description[] =
    "Examples:\n"
    "  discord-recover recordings/20260101T200000Z-call     one Matroska file\n"
    "  discord-recover -f mp3 -o mp3s recording.journal     an MP3 for each speaker\n"
    "  discord-recover --list recording.journal             who is in it\n"
    "  discord-recover --delete-user 42 recording.journal   forget somebody\n"
    "\n"
    "Without -o the files go to \"recovered\" next to the journal. Nothing is ever\n"
    "overwritten. A journal that was cut off or damaged gives everything that is\n"
    "still whole in it.\n"
    "\n"
    "Exit status:\n"
    "  0  done, and the journal was whole\n"
    "  1  not done, or not all of it could be written; the reason is on standard\n"
    "     error\n"
    "  2  the arguments make no sense\n"
    "  3  done, but something is missing: the journal is damaged or cut off in the\n"
    "     middle of a record, or the recorder's disk was too slow; or a file that\n"
    "     holds others too still has who was deleted";

struct Arguments {
  recover::Wish wish;
  bool list = false;
  bool json = false;
  bool quiet = false;
  bool yes = false;
  std::optional<std::uint64_t> erase;
};

std::optional<std::uint64_t> snowflake(const char* text) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value == 0 || *text == '-') {
    g_printerr("\"%s\" is not a user id; --list shows them.\n", text);
    return std::nullopt;
  }
  return value;
}

// Only what takes longer than a second is worth a line.
class Progress {
 public:
  explicit Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}
  ~Progress() {
    if (shown_ && terminal_) {
      g_printerr("\r\033[K");
    }
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void operator()(double part) {
    const gint64 now = g_get_monotonic_time();
    if (quiet_ || now < next_) {
      return;
    }
    next_ = now + (terminal_ ? G_USEC_PER_SEC / 5 : 5 * G_USEC_PER_SEC);
    shown_ = true;
    g_printerr(terminal_ ? "\r%3.0f %%" : "%.0f %%\n", part * 100);
  }

 private:
  const bool quiet_;
  const bool terminal_;
  bool shown_ = false;
  gint64 next_ = g_get_monotonic_time() + G_USEC_PER_SEC;
};

std::optional<Arguments> parse(int argc, char** argv) {
  gchar* format = nullptr;
  gchar* layout = nullptr;
  gchar* folder = nullptr;
  gchar* erase = nullptr;
  gchar** users = nullptr;
  gint bitrate = G_MININT;  // what the format does by itself
  gboolean list = FALSE;
  gboolean json = FALSE;
  gboolean quiet = FALSE;
  gboolean yes = FALSE;
  const GOptionEntry entries[] = {
      {"format", 'f', 0, G_OPTION_ARG_STRING, &format, "mka, wav, mp3, flac or ogg (mka)",
       "FORMAT"},
      {"layout", 0, 0, G_OPTION_ARG_STRING, &layout, "tracks, mix or both (tracks)", "LAYOUT"},
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &folder, "folder for the files", "FOLDER"},
      {"user", 'u', 0, G_OPTION_ARG_STRING_ARRAY, &users, "only this speaker; may be repeated",
       "ID"},
      {"bitrate", 'b', 0, G_OPTION_ARG_INT, &bitrate, "kbit/s of MP3 (192)", "N"},
      {"list", 'l', 0, G_OPTION_ARG_NONE, &list, "say what is in the journal", nullptr},
      {"json", 0, 0, G_OPTION_ARG_NONE, &json, "with --list: as JSON", nullptr},
      {"delete-user", 0, 0, G_OPTION_ARG_STRING, &erase, "delete a speaker for good, files as well",
       "ID"},
      {"yes", 'y', 0, G_OPTION_ARG_NONE, &yes, "do not ask before deleting", nullptr},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "no progress", nullptr},
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr},
  };
  GOptionContext* context = g_option_context_new("JOURNAL|FOLDER - files from a journal");
  g_option_context_set_description(context, description);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* error = nullptr;
  bool ok = g_option_context_parse(context, &argc, &argv, &error) != FALSE;
  g_option_context_free(context);
  if (!ok) {
    g_printerr("%s\n", error->message);
    g_error_free(error);
  }
  Arguments a;
  a.list = list != FALSE;
  a.json = json != FALSE;
  a.quiet = quiet != FALSE;
  a.yes = yes != FALSE;
  a.wish.format = format != nullptr ? format : "mka";
  a.wish.layout = layout != nullptr ? layout : "";
  a.wish.folder = folder != nullptr ? folder : "";
  if (ok && layout != nullptr && a.wish.layout != "tracks" && a.wish.layout != "mix" &&
      a.wish.layout != "both") {
    g_printerr("The layout must be tracks, mix or both, not \"%s\".\n", layout);
    ok = false;
  }
  if (ok && (bitrate != G_MININT && (bitrate < 32 || bitrate > 320))) {
    g_printerr("A bitrate of %d kbit/s is not possible; 32 to 320 are.\n", bitrate);
    ok = false;
  }
  a.wish.bitrate = static_cast<unsigned>(std::max(bitrate, 0));
  for (gchar** user = users; ok && user != nullptr && *user != nullptr; user++) {
    const auto id = snowflake(*user);
    ok = id.has_value();
    a.wish.users.insert(id.value_or(0));
  }
  if (ok && erase != nullptr) {
    a.erase = snowflake(erase);
    ok = a.erase.has_value();
  }
  g_free(format);
  g_free(layout);
  g_free(folder);
  g_free(erase);
  g_strfreev(users);
  if (ok && argc != 2) {
    g_printerr("Name one journal, or the folder of one recording; see --help.\n");
    ok = false;
  }
  if (!ok) {
    return std::nullopt;
  }
  a.wish.journal = argv[1];
  if (g_file_test(argv[1], G_FILE_TEST_IS_DIR)) {
    a.wish.journal += "/recording.journal";
  }
  if (a.wish.folder.empty()) {
    const std::size_t slash = a.wish.journal.rfind('/');
    a.wish.folder =
        (slash == std::string::npos ? "" : a.wish.journal.substr(0, slash + 1)) + "recovered";
  }
  return a;
}

int fail(const std::string& sentence) {
  g_printerr("%s\n", sentence.c_str());
  return exit_failed;
}

int run_erase(const Arguments& a) {
  if (!a.yes) {
    if (isatty(STDIN_FILENO) == 0) {
      g_printerr("Deleting cannot be undone. Say --yes where nobody can be asked.\n");
      return exit_usage;
    }
    g_print("Delete everything user %" G_GUINT64_FORMAT
            " said, and their files, from the recording of %s? It cannot be undone. [y/N] ",
            static_cast<guint64>(*a.erase), a.wish.journal.c_str());
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != "y" && answer != "yes") {
      return fail("Nothing was deleted.");
    }
  }
  const auto done = recover::forget(a.wish.journal, *a.erase);
  if (!done.ok()) {
    return fail(done.error());
  }
  g_print("Deleted %" G_GUINT64_FORMAT " records of user %" G_GUINT64_FORMAT " from the journal.\n",
          static_cast<guint64>(done->records), static_cast<guint64>(*a.erase));
  for (const std::string& path : done->records_changed) {
    g_print("Deleted the user from %s.\n", path.c_str());
  }
  for (const std::string& path : done->removed) {
    g_print("Removed %s.\n", path.c_str());
  }
  if (done->damaged > 0) {
    g_print("Damaged stretches left out too: %" G_GUINT64_FORMAT ".\n",
            static_cast<guint64>(done->damaged));
  }
  for (const std::string& path : done->shared) {
    g_printerr(
        "%s holds everybody, and is as it was: delete it. Where there is a journal, "
        "discord-recover makes it again.\n",
        path.c_str());
  }
  if (!done->overwritten) {
    g_printerr("Old bytes could not be overwritten; the disk may still hold them.\n");
  }
  return done->overwritten && done->shared.empty() ? exit_whole : exit_parts;
}

int run_list(const Arguments& a, const record::JournalSummary& summary) {
  const std::string text = a.json ? recover::json(summary) + "\n" : recover::table(summary);
  std::cout << text << std::flush;
  return recover::incomplete(summary) ? exit_parts : exit_whole;
}

int run_rebuild(const Arguments& a, const record::JournalSummary& summary) {
  const std::vector<std::string> possible = recover::formats();
  if (std::find(possible.begin(), possible.end(), a.wish.format) == possible.end()) {
    std::string all;
    for (const std::string& name : possible) {
      all += (all.empty() ? "" : ", ") + name;
    }
    g_printerr("The format must be one of %s, not \"%s\".\n", all.c_str(), a.wish.format.c_str());
    return exit_usage;
  }
  for (const std::uint64_t user : a.wish.users) {
    if (summary.speakers.count({user, 0}) == 0) {
      return fail("User " + std::to_string(user) + " says nothing in " + a.wish.journal +
                  "; --list shows who does.");
    }
  }
  if (summary.speakers.empty()) {
    g_print("Nobody speaks in %s, so there is no file.\n", a.wish.journal.c_str());
    return recover::incomplete(summary) ? exit_parts : exit_whole;
  }
  Progress progress(a.quiet);
  const auto made = recover::rebuild(a.wish, [&progress](double part) { progress(part); });
  if (!made.ok()) {
    return fail(made.error());
  }
  for (const recover::Made::File& file : made->files) {
    g_print("%s  %s\n",
            recover::clock_time(static_cast<std::int64_t>(file.seconds * 48000)).c_str(),
            file.path.c_str());
  }
  for (const std::string& warning : made->warnings) {
    g_printerr("Warning: %s\n", warning.c_str());
  }
  if (recover::incomplete(summary)) {
    g_printerr("Something is missing. Damaged stretches: %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT
               " bytes); packets dropped: %" G_GUINT64_FORMAT ".\n",
               static_cast<guint64>(summary.damaged_stretches),
               static_cast<guint64>(summary.damaged_bytes), static_cast<guint64>(summary.dropped));
  }
  for (const std::string& sentence : made->unwritten) {
    g_printerr("Error: %s\n", sentence.c_str());
  }
  if (!made->warnings.empty() || !made->unwritten.empty()) {
    return exit_failed;
  }
  return recover::incomplete(summary) ? exit_parts : exit_whole;
}

int run(const Arguments& a) {
  if (a.erase) {
    return run_erase(a);
  }
  const auto file = MappedFile::open(a.wish.journal);
  if (!file.ok()) {
    return fail(file.error());
  }
  const record::JournalSummary summary = record::summarise(file->bytes());
  if (!summary.recognised()) {
    return fail("The file " + a.wish.journal + " is no journal, or nothing is left of it.");
  }
  if (a.list) {
    return run_list(a, summary);
  }
  pipelines::find_plugin();
  return run_rebuild(a, summary);
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  const std::optional<Arguments> arguments = parse(argc, argv);
  return arguments ? run(*arguments) : exit_usage;
}
