// Threads and memory of a recording, by number of speakers. Not a test: docs/numbers.md says how to
// run it and has what it printed.
//
// The loopback Discord runs in a process of its own, so that only the recorder is measured.
#include "audio_files.hpp"
#include "server.hpp"

#include <gst/gst.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

using namespace discord;
using namespace std::chrono_literals;

namespace {

constexpr int rounds = 3;  // of everybody; the first one makes what a speaker needs
constexpr int speech_packets = 25;
constexpr int silence_packets = 5;
constexpr auto patience = 120s;

// Reading the other end of a pipe is the only way in which the two processes wait.
struct Pipe {
  int ends[2];
  Pipe() {
    if (pipe(ends) != 0) {
      std::perror("pipe");
      std::exit(1);
    }
  }
};

loopback::Options call_of(int speakers, const loopback::PcmPtr& pcm) {
  loopback::CallOptions call;
  call.guild_id = 400000000000000001u;
  call.channel_id = 400000000000000002u;
  call.keep_opus = false;
  const Duration round = std::max<Duration>(speakers * 100ms, 1500ms);
  for (int i = 0; i < speakers; ++i) {
    loopback::TalkerOptions talker;
    talker.speaker.user_id = 300000000000000001u + static_cast<std::uint64_t>(i);
    talker.speaker.fewer_silence = 0;
    for (int r = 0; r < rounds; ++r) {
      talker.speaker.spurts.push_back({pcm, i * 100ms + r * round, 0, speech_packets * 960});
    }
    call.talkers.push_back(std::move(talker));
  }
  loopback::Options options;
  options.calls.push_back(std::move(call));
  return options;
}

// The server process: tells how to reach it, then writes one line after each round.
int serve(int speakers, int out, int done) {
  gst_init(nullptr, nullptr);
  const auto voices = loopback::installed_voices();
  if (voices.empty()) {
    std::fprintf(stderr, "%s\n", loopback::no_voices_hint().c_str());
    return 1;
  }
  auto pcm = loopback::read_audio_file(voices.front().files.front());
  if (!pcm) {
    std::fprintf(stderr, "%s\n", pcm.error().c_str());
    return 1;
  }
  loopback::Server server(call_of(speakers, *pcm));
  if (const auto problem = server.start()) {
    std::fprintf(stderr, "%s\n", problem->c_str());
    return 1;
  }
  const loopback::Credentials c = server.credentials();
  FILE* tell = fdopen(out, "w");
  std::fprintf(tell,
               "endpoint=ws://%s session-id=%s token=%s user-id=%llu guild-id=%llu "
               "channel-id=%llu\n",
               server.endpoint().c_str(), c.session_id.c_str(), c.token.c_str(),
               static_cast<unsigned long long>(c.user_id),
               static_cast<unsigned long long>(c.guild_id),
               static_cast<unsigned long long>(c.channel_id));
  std::fflush(tell);
  const auto reached = [&](const char* what, auto&& predicate) {
    if (server.wait(predicate, patience)) {
      std::fprintf(tell, "%s\n", what);
      std::fflush(tell);
    }
  };
  reached("joined", [](const loopback::Status& s) { return s.speaking > 0; });
  const std::uint64_t a_round =
      static_cast<std::uint64_t>(speakers) * (speech_packets + silence_packets);
  for (std::uint64_t r = 1; r < rounds; ++r) {
    reached("round", [=](const loopback::Status& s) { return s.delivered >= a_round * r; });
  }
  reached("round", [](const loopback::Status& s) { return s.finished; });
  char byte = 0;
  return read(done, &byte, 1) == 0 ? 0 : 1;  // until the recorder has gone
}

struct Footprint {
  long threads = 0;
  long rss_kb = 0;
};

Footprint measure() {
  Footprint out;
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    if (key == "Threads:") {
      status >> out.threads;
    } else if (key == "VmRSS:") {
      status >> out.rss_kb;
    }
  }
  return out;
}

int record(int speakers, int in) {
  gst_init(nullptr, nullptr);
  std::string folder = std::filesystem::temp_directory_path() / "gst-discord-footprint-XXXXXX";
  if (g_mkdtemp(folder.data()) == nullptr) {
    return 1;
  }
  FILE* hear = fdopen(in, "r");
  char line[1024];
  if (std::fgets(line, sizeof line, hear) == nullptr) {
    return 1;
  }
  GError* error = nullptr;
  GstElement* pipeline =
      gst_parse_launch((std::string("discordvoicesrc ") + line +
                        " ! discorddecrypt ! discordreorder ! discordrecordsink location=" + folder)
                           .c_str(),
                       &error);
  if (pipeline == nullptr || error != nullptr) {
    std::fprintf(stderr, "%s\n", error != nullptr ? error->message : "no pipeline");
    return 1;
  }
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  std::map<int, Footprint> at;  // 0 = joined, then by round
  for (int step = 0; step <= rounds && std::fgets(line, sizeof line, hear) != nullptr; ++step) {
    at[step] = measure();
  }
  const Footprint none = at[0];
  const Footprint first = at[1];
  const Footprint last = at[rounds];
  std::printf("| %d | %ld | %ld | %.1f | %.1f | %.1f | %.0f |\n", speakers, none.threads,
              last.threads, static_cast<double>(none.rss_kb) / 1024,
              static_cast<double>(first.rss_kb) / 1024, static_cast<double>(last.rss_kb) / 1024,
              static_cast<double>(last.rss_kb - none.rss_kb) / speakers);
  std::fflush(stdout);
  gst_element_send_event(pipeline, gst_event_new_eos());
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* end = gst_bus_timed_pop_filtered(
      bus, 60 * GST_SECOND, static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  const bool good =
      at.size() == rounds + 1 && end != nullptr && GST_MESSAGE_TYPE(end) == GST_MESSAGE_EOS;
  if (end != nullptr) {
    gst_message_unref(end);
  }
  gst_object_unref(bus);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
  std::filesystem::remove_all(folder);
  return good ? 0 : 1;
}

template <class F> pid_t in_child(F&& run) {
  const pid_t child = fork();
  if (child == 0) {
    _exit(run());
  }
  return child;
}

// One measurement, in two processes of its own.
bool one(int speakers) {
  Pipe news;
  Pipe done;
  const pid_t server = in_child([&] {
    close(news.ends[0]);
    close(done.ends[1]);
    return serve(speakers, news.ends[1], done.ends[0]);
  });
  const pid_t recorder = in_child([&] {
    close(news.ends[1]);
    close(done.ends[0]);
    return record(speakers, news.ends[0]);
  });
  for (const int end : {news.ends[0], news.ends[1], done.ends[0], done.ends[1]}) {
    close(end);
  }
  bool good = true;
  for (const pid_t child : {recorder, server}) {
    int status = 0;
    waitpid(child, &status, 0);
    good = good && status == 0;
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  std::puts(
      "| speakers | threads before | threads | RSS before (MiB) | RSS after each has spoken "
      "(MiB) | RSS after three rounds (MiB) | per speaker (KiB) |\n"
      "|---|---|---|---|---|---|---|");
  std::fflush(stdout);
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    good = one(std::atoi(argv[i])) && good;
  }
  for (const int speakers : {1, 10, 100}) {
    good = argc > 1 || one(speakers) ? good : false;
  }
  return good ? 0 : 1;
}
