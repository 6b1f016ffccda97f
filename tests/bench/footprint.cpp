// Threads and memory of a recording, by number of speakers. Not a test: docs/numbers.md says how to
// run it and has what it printed.
//
// The loopback Discord runs in a process of its own, so that only the recorder is measured.
#include "audio_files.hpp"
#include "server.hpp"
#include "two_processes.hpp"

#include <gst/gst.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

using namespace discord;
using namespace std::chrono_literals;
using bench::Footprint;
using bench::Wire;

namespace {

constexpr int rounds = 3;  // of everybody; the first one makes what a speaker needs
constexpr int speech_packets = 25;
constexpr int silence_packets = 5;
constexpr auto patience = 120s;

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
int serve(int speakers, Wire& wire) {
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
  wire.say("endpoint=ws://" + server.endpoint() + " session-id=" + c.session_id +
           " token=" + c.token + " user-id=" + std::to_string(c.user_id) + " guild-id=" +
           std::to_string(c.guild_id) + " channel-id=" + std::to_string(c.channel_id));
  const auto reached = [&](const char* what, auto&& predicate) {
    if (server.wait(predicate, patience)) {
      wire.say(what);
    }
  };
  reached("joined", [](const loopback::Status& s) { return s.speaking > 0; });
  const std::uint64_t a_round =
      static_cast<std::uint64_t>(speakers) * (speech_packets + silence_packets);
  for (std::uint64_t r = 1; r < rounds; ++r) {
    reached("round", [=](const loopback::Status& s) { return s.delivered >= a_round * r; });
  }
  reached("round", [](const loopback::Status& s) { return s.finished; });
  return wire.hear().empty() ? 0 : 1;  // until the recorder has gone
}

int record(int speakers, Wire& wire) {
  gst_init(nullptr, nullptr);
  std::string folder = std::filesystem::temp_directory_path() / "gst-discord-footprint-XXXXXX";
  if (g_mkdtemp(folder.data()) == nullptr) {
    return 1;
  }
  const std::string values = wire.hear();
  GError* error = nullptr;
  GstElement* pipeline =
      gst_parse_launch(("discordvoicesrc " + values +
                        " ! discorddecrypt ! discordreorder ! discordrecordsink location=" + folder)
                           .c_str(),
                       &error);
  if (pipeline == nullptr || error != nullptr) {
    std::fprintf(stderr, "%s\n", error != nullptr ? error->message : "no pipeline");
    return 1;
  }
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  std::map<int, Footprint> at;  // 0 = joined, then by round
  for (int step = 0; step <= rounds && !wire.hear().empty(); ++step) {
    at[step] = bench::footprint();
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

bool one(int speakers) {
  return bench::in_two_processes([&](Wire& wire) { return serve(speakers, wire); },
                                 [&](Wire& wire) { return record(speakers, wire); });
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
