// Bugs that another pool of decoding processes had, each as the test that it would fail.
#include "tests/unit/pool_rig.hpp"

#include <sys/wait.h>
#include <filesystem>
#include <fstream>

using namespace discord;
using namespace discord::rig;

namespace {

// What the parent has written to the input ring of its only worker, from the beginning; the ring
// must not have wrapped.
struct InputRing {
  std::map<std::uint32_t, std::size_t> records;  // of each type
  Bytes all;
};
void read_input_ring(InputRing& out) {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  const std::uint8_t* header = nullptr;
  const std::uint8_t* ring = nullptr;
  while (std::getline(maps, line)) {
    if (line.find("discord-worker-input") == std::string::npos) {
      continue;
    }
    const auto* memory = reinterpret_cast<const std::uint8_t*>(std::stoull(line, nullptr, 16));
    if (line.find(" 00000000 ") != std::string::npos) {
      header = memory;
    } else if (line.find(" 00002000 ") != std::string::npos) {
      ring = memory;
    }
  }
  ASSERT_NE(header, nullptr);
  ASSERT_NE(ring, nullptr);
  const auto& in = *reinterpret_cast<const InputHeader*>(header);
  ASSERT_LT(in.head, ring_size);
  out.all.assign(ring, ring + in.head.load());
  std::atomic<std::uint64_t> tail{0};
  RingReader reader(ring, ring_size, in.head, tail);
  while (const auto record = reader.peek()) {
    ++out.records[record->type];
    reader.pop();
  }
  EXPECT_TRUE(reader.sane());
}

}  // namespace

// 2: the child sent the exception and left; the next submit broke the pipe while it held the lock,
// and every later one, for any worker, hung.
TEST(PeerBug02, OneBadPacketEndsNeitherWorkerNorPool) {
  const auto datagrams = call(10, 30);
  Watcher watcher;
  Pool pool(config(2), watcher);
  announce(pool, 10);
  pool.set_key(1, mode, key(), Time{});
  OnWire forged = datagrams[0];
  forged.bytes[30] ^= 1;
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    if (i % 50 == 0) {
      pool.push(forged.bytes, datagrams[i].arrival);
    }
    pool.push(datagrams[i].bytes, datagrams[i].arrival);
  }
  pool.drain(datagrams.back().arrival);
  EXPECT_EQ(watcher.count(WorkerEvent::What::lost), 0u);
  EXPECT_EQ(pool.ledger().bad_tag, datagrams.size() / 50);
  expect_same(reference(datagrams, 10).out.tracks, watcher.tracks());
}

// 3: at the end of a worker's pipe its pending futures were forgotten, or the receiving thread died
// and was never started again.
TEST(PeerBug03, NothingIsPendingForEverWhenAWorkerDies) {
  const auto datagrams = call(4, 60);
  Watcher watcher;
  Pool pool(config(), watcher);
  announce(pool, 4);
  pool.set_key(1, mode, key(), Time{});
  for (std::size_t round = 0; round < 3; ++round) {
    for (std::size_t i = round * 80; i < (round + 1) * 80; ++i) {
      pool.push(datagrams[i].bytes, datagrams[i].arrival);
    }
    ASSERT_TRUE(watcher.wait_for_frames(round * 80 + 1));
    kill(pool.pids().at(0), SIGKILL);
    pool.drain(datagrams[(round + 1) * 80 - 1].arrival);  // would never return
    const media::Ledger ledger = pool.ledger();
    EXPECT_EQ(ledger.in_flight + ledger.held, 0u);
    EXPECT_EQ(ledger.received, (round + 1) * 80);
    EXPECT_EQ(pool.queued(), 0u);
  }
  EXPECT_EQ(pool.ledger().played + pool.ledger().silence, 240u);
}

// 15: decoders were found by SSRC alone inside a worker, so that two guilds could share one; and
// they were never freed.
TEST(PeerBug15, DecodersOfTwoCallsAreApartAndOldOnesAreFreed) {
  const auto one = call(3, 40), two = call(3, 40, Weather{0.2, 0.2, 0, 0, 0ms, 9});
  Watcher first, second;
  Pool a(config(), first), b(config(), second);
  for (Pool* pool : {&a, &b}) {
    announce(*pool, 3);
    pool->set_key(1, mode, key(), Time{});
  }
  for (std::size_t i = 0; i < two.size(); ++i) {
    a.push(one[i].bytes, one[i].arrival);
    b.push(two[i].bytes, two[i].arrival);
  }
  b.drain(two.back().arrival);
  for (std::size_t i = two.size(); i < one.size(); ++i) {
    a.push(one[i].bytes, one[i].arrival);
  }
  a.drain(one.back().arrival);
  expect_same(reference(one, 3).out.tracks, first.tracks());
  expect_same(reference(two, 3).out.tracks, second.tracks());

  // A hundred who come and go need no more than the four decoders there are.
  media::ReceiverConfig few;
  few.ingress.max_speakers = 4;
  Watcher third;
  PoolConfig settings = config();
  settings.receiver = few;
  Pool c(settings, third);
  c.set_key(1, mode, key(), Time{});
  Sealer sealer;
  Voice voice(1);
  for (std::uint32_t s = 0; s < 100; ++s) {
    const Time at = time_from_ns(1000000000) + s * 20ms;
    c.push(sealer.seal(2000 + s, 1, 960, voice.packet(), at).bytes, at);
  }
  c.drain(time_from_ns(4000000000));
  EXPECT_EQ(third.tracks().size(), 100u);
  EXPECT_EQ(third.count(WorkerEvent::What::lost), 0u);
}

// 24: `wait_timeout=None`, which was documented, raised.
TEST(PeerBug24, NoIdleTimeoutMeansNever) {
  const auto datagrams = call(1, 5);
  Watcher watcher;
  PoolConfig settings = config();
  settings.idle_timeout = Duration(0);
  Pool pool(settings, watcher);
  pool.set_key(1, mode, key(), Time{});
  for (const OnWire& d : datagrams) {
    pool.push(d.bytes, d.arrival);
  }
  pool.drain(datagrams.back().arrival);
  const auto pids = pool.pids();
  // Stream time goes on for a day; the worker's own clock has nothing to wait for.
  pool.advance(datagrams.back().arrival + 24h);
  pool.push(datagrams[0].bytes, datagrams.back().arrival + 24h);
  pool.drain(datagrams.back().arrival + 24h);
  EXPECT_EQ(pool.pids(), pids);
  EXPECT_EQ(watcher.count(WorkerEvent::What::left), 0u);
}

// 25: two threads that submitted at once could start two receiving threads, which read one pipe and
// mixed up the answers; and a submit could be stranded while the last one ended.
TEST(PeerBug25, ManyThreadsPushAtOnceAndEachGetsItsOwn) {
  constexpr std::uint32_t callers = 6;
  std::vector<std::vector<OnWire>> calls;
  Tracks expected;
  for (std::uint32_t c = 0; c < callers; ++c) {
    calls.push_back(call(1, 40, Weather{}, 1000 + c));
    Received one;
    receive(calls.back(), one);
    expected.merge(one.out.tracks);
  }
  for (int round = 0; round < 3; ++round) {
    Watcher watcher;
    PoolConfig settings = config(2);
    settings.idle_timeout = 1ms;  // workers leave while others come
    Pool pool(settings, watcher);
    pool.set_key(1, mode, key(), Time{});
    std::vector<std::thread> threads;
    for (std::uint32_t c = 0; c < callers; ++c) {
      threads.emplace_back([&, c] {
        for (const OnWire& d : calls[c]) {
          pool.push(d.bytes, d.arrival);
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    pool.drain(calls[0].back().arrival);
    EXPECT_EQ(watcher.failure(), "");
    const media::Ledger ledger = pool.ledger();
    EXPECT_EQ(ledger.in_flight, 0u);
    EXPECT_TRUE(ledger.adds_up());
    std::size_t opus = 0;
    for (const auto& [ssrc, frames] : watcher.tracks()) {
      for (const Frame& f : frames) {
        opus += !f.opus.empty();
      }
    }
    EXPECT_EQ(opus, callers * calls[0].size());
  }
}

// 26: one receiving thread answered everybody in strict order, so one slow sink or worker stalled
// all guilds.
TEST(PeerBug26, SlowSinkOfOneCallStallsNoOther) {
  class Stuck final : public PoolObserver {
   public:
    void frame(const DecodedFrame&) override {
      Lock lock(mutex_);
      here_ = true;
      changed_.notify_all();
      changed_.wait(lock.native(), [this] { return released_; });
    }
    void speaking(std::uint32_t, std::uint64_t, bool, Time) override {}
    void rtcp(ByteSpan, Time) override {}
    void deadline(Deadline, Deadline) override {}
    void event(const WorkerEvent&) override {}
    void failed(const std::string&) override {}
    void wait() {
      Lock lock(mutex_);
      changed_.wait(lock.native(), [this] { return here_; });
    }
    void release() {
      Lock lock(mutex_);
      released_ = true;
      changed_.notify_all();
    }

   private:
    Mutex mutex_;
    std::condition_variable changed_;
    bool here_ = false;
    bool released_ = false;
  };
  const auto datagrams = call(2, 40);
  Stuck stuck;
  Pool slow(config(), stuck);
  slow.set_key(1, mode, key(), Time{});
  slow.push(datagrams[0].bytes, datagrams[0].arrival);
  stuck.wait();
  Watcher watcher;
  Pool pool(config(), watcher);
  announce(pool, 2);
  pool.set_key(1, mode, key(), Time{});
  for (const OnWire& d : datagrams) {
    pool.push(d.bytes, d.arrival);
    slow.push(d.bytes, d.arrival);  // nor does pushing to the slow one wait
  }
  pool.drain(datagrams.back().arrival);
  expect_same(reference(datagrams, 2).out.tracks, watcher.tracks());
  stuck.release();
}

// 26: nor does a worker that hangs hold up the speakers of another.
TEST(PeerBug26, StoppedWorkerStallsNoSpeakerOfAnother) {
  const auto datagrams = call(10, 40);
  Watcher watcher;
  PoolConfig settings = config(2);
  settings.worker_timeout = 60s;  // it is not replaced while we look
  Pool pool(settings, watcher);
  announce(pool, 10);
  pool.set_key(1, mode, key(), Time{});
  for (std::size_t i = 0; i < 20; ++i) {
    pool.push(datagrams[i].bytes, datagrams[i].arrival);
  }
  pool.drain(datagrams[19].arrival);
  const pid_t stopped = pool.pids().at(0);
  kill(stopped, SIGSTOP);
  std::size_t others = 20;  // and what came before
  for (std::size_t i = 20; i < datagrams.size(); ++i) {
    pool.push(datagrams[i].bytes, datagrams[i].arrival);
    others += datagrams[i].ssrc >= 1008;  // the first eight are the first worker's
  }
  EXPECT_TRUE(watcher.wait_for_frames(others));
  kill(stopped, SIGCONT);
  pool.drain(datagrams.back().arrival);
  expect_same(reference(datagrams, 10).out.tracks, watcher.tracks());
}

// 31: the key went along with every packet, and a guild was one worker's however many speak.
TEST(PeerBug31, KeyGoesOnceAndOneCallUsesAllWorkers) {
  {
    const auto datagrams = call(4, 60);
    Watcher watcher;
    PoolConfig settings = config();
    settings.keep_spare = false;
    Pool pool(settings, watcher);
    announce(pool, 4);
    pool.set_key(1, mode, key(0x5A), Time{});
    for (const OnWire& d : datagrams) {
      pool.push(d.bytes, d.arrival);
    }
    pool.drain(datagrams.back().arrival);
    InputRing ring;
    read_input_ring(ring);
    EXPECT_EQ((ring.records[type_of<Input, SetKey>()]), 1u);
    EXPECT_EQ((ring.records[type_of<Input, Datagram>()]), datagrams.size());
    const Bytes secret(32, 0x5A);
    EXPECT_EQ(std::search(ring.all.begin(), ring.all.end(), secret.begin(), secret.end()),
              ring.all.end());
  }
  for (const bool announced : {true, false}) {
    const auto datagrams = call(24, 10);
    Watcher watcher;
    Pool pool(config(3), watcher);
    if (announced) {
      announce(pool, 24);
    }
    pool.set_key(1, mode, key(), Time{});
    for (const OnWire& d : datagrams) {
      pool.push(d.bytes, d.arrival);
    }
    pool.drain(datagrams.back().arrival);
    EXPECT_EQ(pool.pids().size(), 3u) << (announced ? "announced" : "not announced");
    EXPECT_EQ(watcher.tracks().size(), 24u);
  }
}
