// Whole chains beside the physical limit, in one run. Not a test: `tests/bench/run` builds and runs
// it; docs/numbers.md has what it printed.
//
// Rounds are interleaved and the ratios taken inside each round, so that a machine with other work
// on it slows both sides alike; what is printed is the median round, with the range beside it.
#include "chain.hpp"
#include "limit.hpp"
#include "process_cost.hpp"

#include "media/receiver.hpp"

#include <gst/gst.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

using namespace discord;
using namespace discord::bench;

namespace {

constexpr auto mode = transport::Mode::aead_aes256_gcm_rtpsize;

struct Cost {
  double cpu = 0;   // seconds, of all threads and processes
  double wall = 0;  // seconds
  double naps = 0;
};

Cost timed(const std::function<void()>& run) {
  const Usage before = usage();
  run();
  const Usage after = usage();
  return {after.cpu - before.cpu, after.wall - before.wall, after.naps - before.naps};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class NoSink final : public media::ReceiverSink {
 public:
  void frame(const media::DecodedFrame& f) override { samples += f.samples; }
  void speaking(std::uint32_t, std::uint64_t, bool, Time) override {}
  void rtcp(ByteSpan, Time) override {}
  void working_on(std::uint64_t) override {}
  void boundary() override {}
  std::uint64_t samples = 0;
};

std::uint64_t run_receiver(const std::vector<corpus::Datagram>& datagrams) {
  NoSink sink;
  media::Receiver receiver{media::ReceiverConfig()};
  receiver.set_key(1, mode, corpus::some_key(), Time{}, sink);
  std::uint64_t id = 0;
  for (const corpus::Datagram& d : datagrams) {
    receiver.push(d.bytes, ++id, d.arrival, sink);
    receiver.clear_finished();
  }
  receiver.drain(datagrams.back().arrival, sink);
  return sink.samples;
}

// What two processors can do at best: half of the speakers on each, and no hand-over at all.
std::uint64_t run_limit_twice(const std::vector<corpus::Datagram>& datagrams) {
  std::vector<corpus::Datagram> half[2];
  for (const corpus::Datagram& d : datagrams) {
    half[d.ssrc % 2].push_back(d);
  }
  std::uint64_t samples[2] = {0, 0};
  std::thread other([&] { samples[0] = run_limit(half[0], mode); });
  samples[1] = run_limit(half[1], mode);
  other.join();
  return samples[0] + samples[1];
}

std::uint64_t run_chain(const Lists& lists, const std::string& properties) {
  Chain chain(properties, false);
  for (const BufferListPtr& list : lists.all()) {
    chain.push(list.get());
  }
  chain.finish();
  return chain.samples();
}

struct Row {
  const char* name;
  std::function<std::uint64_t()> run;
  std::vector<Cost> costs = {};
};

void flood(const char* title, const std::vector<corpus::Talk>& talks, std::size_t speakers,
           std::size_t rounds) {
  const auto datagrams = corpus::call(talks, speakers, talks[0].size(), mode, corpus::some_key());
  const Lists lists(datagrams, 32);
  std::vector<Row> rows;
  rows.push_back({"limit: libcrypto + opus_decode", [&] { return run_limit(datagrams, mode); }});
  rows.push_back({"media::Receiver", [&] { return run_receiver(datagrams); }});
  rows.push_back(
      {"discordworkerdec isolation=none", [&] { return run_chain(lists, "isolation=none"); }});
  rows.push_back({"isolation=process, 1 worker",
                  [&] { return run_chain(lists, "isolation=process max-workers=1"); }});
  rows.push_back({"isolation=process, 2 workers",
                  [&] { return run_chain(lists, "isolation=process max-workers=2"); }});
  rows.push_back({"limit, two threads", [&] { return run_limit_twice(datagrams); }});
  const std::uint64_t expected = rows[0].run();  // also warms the caches
  for (std::size_t round = 0; round < rounds; ++round) {
    for (Row& row : rows) {
      std::uint64_t samples = 0;
      row.costs.push_back(timed([&] { samples = row.run(); }));
      if (samples != expected) {
        std::fprintf(stderr, "%s: %llu samples instead of %llu\n", row.name,
                     static_cast<unsigned long long>(samples),
                     static_cast<unsigned long long>(expected));
        std::exit(1);
      }
    }
  }
  std::printf("\n## %s: %zu speakers, %zu packets, %zu rounds\n\n", title, speakers,
              datagrams.size(), rounds);
  std::puts(
      "| chain | µs CPU a packet | CPU / limit (least to most) | sleeps a packet | packets/s | "
      "speed / 1 worker |\n"
      "|---|---|---|---|---|---|");
  const auto packets = static_cast<double>(datagrams.size());
  for (const Row& row : rows) {
    std::vector<double> cpu, ratio, naps, speed, gain;
    for (std::size_t round = 0; round < rounds; ++round) {
      cpu.push_back(row.costs[round].cpu / packets * 1e6);
      ratio.push_back(row.costs[round].cpu / rows[0].costs[round].cpu);
      naps.push_back(row.costs[round].naps / packets);
      speed.push_back(packets / row.costs[round].wall);
      gain.push_back(rows[3].costs[round].wall / row.costs[round].wall);
    }
    std::printf("| %s | %.2f | %.3f (%.3f to %.3f) | %.2f | %.0f | %.2f (best %.2f) |\n", row.name,
                median(cpu), median(ratio), *std::min_element(ratio.begin(), ratio.end()),
                *std::max_element(ratio.begin(), ratio.end()), median(naps), median(speed),
                median(gain), *std::max_element(gain.begin(), gain.end()));
  }
  std::fflush(stdout);
}

// 10 000 packets a second from 200 speakers, ten every millisecond, against the clock.
void sustained(const std::vector<corpus::Talk>& talks, std::size_t seconds) {
  constexpr std::size_t speakers = 200;
  const auto datagrams = corpus::call(talks, speakers, 50 * seconds, mode, corpus::some_key());
  const Lists lists(datagrams, 10);
  Chain chain("isolation=process max-workers=2", true);
  const Cost cost = timed([&] {
    const GstClockTime start = chain.running_time();
    GstClockTime due = start;
    for (const BufferListPtr& list : lists.all()) {
      while (chain.running_time() < due) {
        g_usleep(200);
      }
      due += GST_MSECOND;
      chain.push(list.get());
    }
    chain.finish();
  });
  std::printf(
      "\n## 10 000 packets/s, %zu speakers, 2 workers, %zu s\n\n"
      "| sent | played | ring full | frames dropped | packets/s | CPU (cores, without workers) |\n"
      "|---|---|---|---|---|---|\n| %zu | %llu | %llu | %llu | %.0f | %.2f |\n",
      speakers, seconds, datagrams.size(), static_cast<unsigned long long>(chain.stat("played")),
      static_cast<unsigned long long>(chain.stat("ring-full")),
      static_cast<unsigned long long>(chain.stat("frames-dropped")),
      static_cast<double>(datagrams.size()) / cost.wall, cost.cpu / cost.wall);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  const auto wants = [&](const char* what) {
    return argc < 2 || std::any_of(argv + 1, argv + argc,
                                   [&](const char* a) { return std::strcmp(a, what) == 0; });
  };
  constexpr std::size_t voices = 8;
  const auto talks = corpus::speech(voices, 750);
  if (!talks) {
    std::fprintf(stderr, "%s\n", talks.error().c_str());
    return 1;
  }
  if (wants("hybrid")) {
    std::printf("\nSpeech: %.0f %% hybrid.\n", 100 * corpus::share_hybrid(*talks));
    flood("Speech, hybrid", *talks, 16, 7);
  }
  if (wants("celt")) {
    const auto music = corpus::wide_band(voices, 750);
    std::printf("\nWide band: %.0f %% CELT.\n", 100 * corpus::share_celt(music));
    flood("Wide band, CELT", music, 16, 7);
  }
  // For strace and perf: nothing but one chain, several times.
  if (argc > 2 && wants("profile")) {
    const auto datagrams =
        corpus::call(*talks, 16, talks->front().size(), mode, corpus::some_key());
    const Lists lists(datagrams, 32);
    for (int round = 0; round < 4; ++round) {
      run_chain(lists, argv[2]);
    }
  }
  if (wants("sustained")) {
    sustained(*talks, 5);
  }
  if (wants("hop")) {
    hop_latency(*talks);
  }
  if (wants("start")) {
    start_and_replace(*talks);
  }
  if (wants("memory")) {
    memory_and_threads(*talks);
  }
  return 0;
}
