#include "process_cost.hpp"

#include "chain.hpp"
#include "worker/pool.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace discord::bench {

using namespace std::chrono_literals;

namespace {

constexpr auto mode = transport::Mode::aead_aes256_gcm_rtpsize;
using Clock = std::chrono::steady_clock;

double us(Clock::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

double at(std::vector<double> values, double quantile) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<std::size_t>(quantile * static_cast<double>(values.size())))];
}

// Remembers when frames and events came.
class Ear final : public worker::PoolObserver {
 public:
  void frame(const media::DecodedFrame&) override {
    const auto now = Clock::now();
    Lock lock(mutex_);
    last_ = now;
    ++frames_;
    changed_.notify_all();
  }
  void speaking(std::uint32_t, std::uint64_t, bool, Time) override {}
  void rtcp(ByteSpan, Time) override {}
  void deadline(Deadline, Deadline) override {}
  void event(const worker::WorkerEvent& event) override {
    Lock lock(mutex_);
    if (event.what == worker::WorkerEvent::What::replaced) {
      pauses.push_back(us(event.pause));
    }
  }
  void failed(const std::string& reason) override {
    std::fprintf(stderr, "%s\n", reason.c_str());
    std::exit(1);
  }
  // When the frame that makes so many came.
  Clock::time_point wait_for(std::size_t frames) {
    Lock lock(mutex_);
    changed_.wait(lock.native(), [&] { return frames_ >= frames; });
    return last_;
  }
  std::vector<double> pauses;

 private:
  Mutex mutex_;
  std::condition_variable changed_;
  Clock::time_point last_;
  std::size_t frames_ = 0;
};

worker::PoolConfig config(bool decode) {
  worker::PoolConfig out;
  out.program = worker::find_program();
  out.receiver.decode = decode;
  out.worker_timeout = 10s;
  return out;
}

// The other side of the bare ping: a process that answers each wake-up with one.
class Ping {
 public:
  Ping() {
    words_ = static_cast<Words*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    child_ = fork();
    if (child_ == 0) {
      for (std::uint32_t seen = 0;; ++seen) {
        while (words_->there == seen) {
          worker::futex_wait(words_->there, seen);
        }
        words_->back = seen + 1;
        worker::futex_wake(words_->back);
      }
    }
  }
  ~Ping() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    munmap(words_, 4096);
  }
  double once() {
    const auto start = Clock::now();
    const std::uint32_t value = ++rounds_;
    words_->there = value;
    worker::futex_wake(words_->there);
    while (words_->back != value) {
      worker::futex_wait(words_->back, value - 1);
    }
    return us(Clock::now() - start);
  }

 private:
  struct Words {
    std::atomic<std::uint32_t> there;
    alignas(64) std::atomic<std::uint32_t> back;
  };
  Words* words_;
  pid_t child_ = 0;
  std::uint32_t rounds_ = 0;
};

long private_kb(pid_t pid) {
  std::ifstream rollup("/proc/" + std::to_string(pid) + "/smaps_rollup");
  long sum = 0;
  for (std::string key; rollup >> key;) {
    long value = 0;
    if ((key == "Private_Clean:" || key == "Private_Dirty:") && rollup >> value) {
      sum += value;
    }
  }
  return sum;
}

long threads_here() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

}  // namespace

Usage usage() {
  Usage out;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage used{};
    getrusage(who, &used);
    out.naps += static_cast<double>(used.ru_nvcsw);
    for (const timeval& t : {used.ru_utime, used.ru_stime}) {
      out.cpu += static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    }
  }
  out.wall = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
  return out;
}

// 400 packets a second: nobody is awake when one comes. Not decoded, so that what remains is the
// way there and back; a ping between every two packets.
void hop_latency(const std::vector<corpus::Talk>& talks) {
  Ping ping;
  Ear ear;
  worker::Pool pool(config(false), ear);
  pool.set_key(1, mode, corpus::some_key(), Time{});
  const auto datagrams = corpus::call(talks, 8, 500, mode, corpus::some_key());
  std::vector<double> hops, pings;
  auto due = Clock::now();
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    std::this_thread::sleep_until(due += 1250us);
    const auto start = Clock::now();
    pool.push(datagrams[i].bytes, datagrams[i].arrival);
    const double took = us(ear.wait_for(i + 1) - start);
    std::this_thread::sleep_until(due += 1250us);
    const double bare = ping.once();
    if (i >= 100) {
      hops.push_back(took);
      pings.push_back(bare);
    }
  }
  std::printf(
      "\n## Hop at 400 packets/s: from `push` to `frame`, beside a futex ping there and back\n\n"
      "| | p50 (µs) | p99 (µs) |\n|---|---|---|\n| futex ping | %.1f | %.1f |\n"
      "| hop, decode=false | %.1f | %.1f |\n| ratio | %.2f | %.2f |\n",
      at(pings, 0.5), at(pings, 0.99), at(hops, 0.5), at(hops, 0.99),
      at(hops, 0.5) / at(pings, 0.5), at(hops, 0.99) / at(pings, 0.99));
  std::fflush(stdout);
}

void start_and_replace(const std::vector<corpus::Talk>& talks) {
  constexpr std::size_t heard = media::warm_up_packets;
  std::vector<double> starts, again, pauses;
  for (int round = 0; round < 30; ++round) {
    const auto datagrams = corpus::call(talks, 1, heard + 1, mode, corpus::some_key());
    Ear ear;
    const auto begin = Clock::now();
    worker::Pool pool(config(true), ear);
    pool.set_key(1, mode, corpus::some_key(), Time{});
    pool.push(datagrams[0].bytes, datagrams[0].arrival);
    starts.push_back(us(ear.wait_for(1) - begin) / 1000);
    for (std::size_t i = 1; i < heard; ++i) {
      pool.push(datagrams[i].bytes, datagrams[i].arrival);
      ear.wait_for(i + 1);
    }
    std::this_thread::sleep_for(20ms);  // the spare is ready
    // Someone whom the dead worker did not know: nothing to be heard again first.
    const auto other = corpus::call(talks, 1, 1, mode, corpus::some_key(), 5000);
    const pid_t pid = pool.pids().at(0);
    const auto killed = Clock::now();
    kill(pid, SIGKILL);
    pool.push(other[0].bytes, datagrams[heard].arrival);
    again.push_back(us(ear.wait_for(heard + 1) - killed) / 1000);
    pool.drain(datagrams[heard].arrival);
    for (const double pause : ear.pauses) {
      pauses.push_back(pause / 1000);
    }
  }
  std::printf(
      "\n## Start and replacement (30 of each)\n\n| | median (ms) | worst (ms) |\n|---|---|---|\n"
      "| pool made to first frame | %.2f | %.2f |\n"
      "| loss noticed to the successor's packets on its ring | %.2f | %.2f |\n"
      "| kill to the next frame, with %zu packets heard again | %.2f | %.2f |\n",
      at(starts, 0.5), at(starts, 1), at(pauses, 0.5), at(pauses, 1), heard, at(again, 0.5),
      at(again, 1));
  std::fflush(stdout);
}

void memory_and_threads(const std::vector<corpus::Talk>& talks) {
  std::puts(
      "\n## Memory of one worker, and threads of the process\n\n"
      "| speakers | private (kB) | beyond none (kB a speaker) | threads of discordworkerdec |\n"
      "|---|---|---|---|");
  long base = 0;
  for (const std::size_t speakers : {0, 1, 8, 100}) {
    long kb = 0;
    {
      Ear ear;
      worker::Pool pool(config(true), ear);
      pool.set_key(1, mode, corpus::some_key(), Time{});
      const auto datagrams =
          corpus::call(talks, std::max<std::size_t>(speakers, 1), 100, mode, corpus::some_key());
      if (speakers == 0) {
        const Bytes junk(100, 0x80);
        pool.push(junk, Time{});
      } else {
        for (const auto& d : datagrams) {
          pool.push(d.bytes, d.arrival);
          while (pool.queued() > 100) {
            std::this_thread::sleep_for(1ms);
          }
        }
      }
      pool.drain(datagrams.back().arrival);
      kb = private_kb(pool.pids().at(0));
    }
    if (speakers == 0) {
      base = kb;
    }
    long threads = 0;
    if (speakers > 0) {
      const auto datagrams = corpus::call(talks, speakers, 50, mode, corpus::some_key());
      const Lists lists(datagrams, 32);
      const long before = threads_here();
      Chain chain("isolation=process max-workers=2", false);
      for (const BufferListPtr& list : lists.all()) {
        chain.push(list.get());
      }
      threads = threads_here() - before;
      chain.finish();
    }
    std::printf("| %zu | %ld | %.0f | %ld |\n", speakers, kb,
                speakers > 0 ? static_cast<double>(kb - base) / static_cast<double>(speakers) : 0.0,
                threads);
    std::fflush(stdout);
  }
}

}  // namespace discord::bench
