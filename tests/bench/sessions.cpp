// Threads and memory of many calls in one process, by number of calls. Not a test: docs/numbers.md
// says how to run it and has what it printed.
#include "audio_files.hpp"
#include "server.hpp"
#include "two_processes.hpp"

#include <gst/gst.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace discord;
using namespace std::chrono_literals;
using bench::Footprint;
using bench::Wire;

namespace {

constexpr int rounds = 3;
constexpr int speech_packets = 25;
constexpr int silence_packets = 5;
constexpr auto stagger = 20ms;  // between the beginnings of two calls' speech
constexpr auto patience = 120s;
constexpr std::uint64_t first_guild = 400000000000000001u;

loopback::Options calls_of(int sessions, bool dave, const loopback::PcmPtr& pcm) {
  loopback::Options options;
  options.dave.delivery.version = dave ? 1 : 0;
  const Duration round = std::max<Duration>(sessions * stagger, 1500ms);
  for (int i = 0; i < sessions; ++i) {
    const auto n = static_cast<std::uint64_t>(i);
    loopback::CallOptions call;
    call.guild_id = first_guild + n;
    call.channel_id = 500000000000000001u + n;
    call.keep_opus = false;
    loopback::TalkerOptions talker;
    talker.speaker.user_id = 300000000000000001u + n;
    talker.speaker.fewer_silence = 0;
    talker.speaker.complexity = 0;
    for (int r = 0; r < rounds; ++r) {
      talker.speaker.spurts.push_back({pcm, i * stagger + r * round, 0, speech_packets * 960});
    }
    call.talkers.push_back(std::move(talker));
    options.calls.push_back(std::move(call));
  }
  return options;
}

int serve(int sessions, bool dave, Wire& wire) {
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
  loopback::Server server(calls_of(sessions, dave, *pcm));
  if (const auto problem = server.start()) {
    std::fprintf(stderr, "%s\n", problem->c_str());
    return 1;
  }
  for (int i = 0; i < sessions; ++i) {
    const loopback::Credentials c = server.credentials(first_guild + static_cast<std::uint64_t>(i));
    wire.say("endpoint=ws://" + server.endpoint() + " session-id=" + c.session_id +
             " token=" + c.token + " user-id=" + std::to_string(c.user_id) + " guild-id=" +
             std::to_string(c.guild_id) + " channel-id=" + std::to_string(c.channel_id));
  }
  const auto n = static_cast<std::uint64_t>(sessions);
  if (server.wait([=](const loopback::Status& s) { return s.speaking >= n; }, patience)) {
    wire.say("joined");
  }
  if (server.wait([](const loopback::Status& s) { return s.finished; }, patience)) {
    wire.say("spoken");
  }
  return wire.hear().empty() ? 0 : 1;  // until the other side has gone
}

int receive(int sessions, bool dave, Wire& wire) {
  gst_init(nullptr, nullptr);
  // Loads the plugin.
  gst_object_unref(gst_object_ref_sink(gst_element_factory_make("discordvoicesrc", nullptr)));
  const Footprint before = bench::footprint();
  std::vector<GstElement*> pipelines;
  for (int i = 0; i < sessions; ++i) {
    GError* error = nullptr;
    GstElement* pipeline =
        gst_parse_launch(("discordvoicesrc " + wire.hear() +
                          " ! discorddecrypt name=d ! fakesink sync=false async=false")
                             .c_str(),
                         &error);
    if (pipeline == nullptr || error != nullptr) {
      std::fprintf(stderr, "%s\n", error != nullptr ? error->message : "no pipeline");
      return 1;
    }
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    pipelines.push_back(pipeline);
  }
  if (wire.hear() != "joined") {
    std::fprintf(stderr, "not everybody joined\n");
    return 1;
  }
  const Footprint joined = bench::footprint();
  if (wire.hear() != "spoken") {
    std::fprintf(stderr, "the calls did not end\n");
    return 1;
  }
  const Footprint spoken = bench::footprint();
  guint64 played = 0;
  guint64 received = 0;
  for (GstElement* pipeline : pipelines) {
    GstElement* d = gst_bin_get_by_name(GST_BIN(pipeline), "d");
    GstStructure* stats = nullptr;
    g_object_get(d, "stats", &stats, nullptr);
    for (const char* field : {"played", "silence"}) {
      guint64 n = 0;
      gst_structure_get_uint64(stats, field, &n);
      played += n;
    }
    guint64 n = 0;
    gst_structure_get_uint64(stats, "received", &n);
    received += n;
    gst_structure_free(stats);
    gst_object_unref(d);
  }
  const auto mib = [](long kb) { return static_cast<double>(kb) / 1024; };
  std::printf("| %d | %s | %ld | %ld | %ld | %.1f | %.1f | %.1f | %.0f | %llu of %llu |\n",
              sessions, dave ? "yes" : "no", before.threads, joined.threads, spoken.threads,
              mib(before.rss_kb), mib(joined.rss_kb), mib(spoken.rss_kb),
              static_cast<double>(spoken.rss_kb - before.rss_kb) / sessions,
              static_cast<unsigned long long>(played), static_cast<unsigned long long>(received));
  if (std::getenv("DISCORD_BENCH_THREADS") != nullptr) {
    std::fflush(stdout);
    const int listed =
        std::system(("cat /proc/" + std::to_string(getpid()) +
                     "/task/*/comm | sed 's/[0-9]*$//; s/:.*//' | sort | uniq -c >&2")
                        .c_str());
    (void)listed;
  }
  for (GstElement* pipeline : pipelines) {
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
  }
  return received > 0 ? 0 : 1;
}

bool one(int sessions, bool dave) {
  return bench::in_two_processes([&](Wire& wire) { return serve(sessions, dave, wire); },
                                 [&](Wire& wire) { return receive(sessions, dave, wire); });
}

}  // namespace

int main(int argc, char** argv) {
  std::puts(
      "| sessions | end-to-end encrypted | threads before | threads joined | threads at the end | "
      "RSS before (MiB) | RSS joined (MiB) | RSS at the end (MiB) | per session (KiB) | opened |\n"
      "|---|---|---|---|---|---|---|---|---|---|");
  std::fflush(stdout);
  std::vector<int> counts;
  for (int i = 1; i < argc; ++i) {
    counts.push_back(std::atoi(argv[i]));
  }
  if (counts.empty()) {
    counts = {1, 50, 200};
  }
  bool good = true;
  for (const bool dave : {false, true}) {
    for (const int n : counts) {
      good = one(n, dave) && good;
    }
  }
  return good ? 0 : 1;
}
