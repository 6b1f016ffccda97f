// The pool with real worker processes, against one receiver in this process on the same packets.
#include "pool_rig.hpp"

#include <sys/wait.h>
#include <fstream>

using namespace discord;
using namespace discord::worker;
using namespace discord::rig;

TEST(WorkerPool, SameAsInThisProcessForEveryWeather) {
  for (const Weather& weather :
       {Weather{}, Weather{0.1, 0.1, 0, 0, 0ms, 2}, Weather{0.05, 0.7, 0.1, 0.1, 15ms, 3},
        Weather{0.5, 0.5, 0.3, 0.3, 60ms, 4}, Weather{0.01, 0.95, 0, 0, 5ms, 5}}) {
    const auto datagrams = call(10, 120, weather);
    const Received expected = reference(datagrams, 10);
    Watcher watcher;
    Pool pool(config(2), watcher);
    announce(pool, 10);
    pool.set_key(1, mode, key(), Time{});
    for (const OnWire& d : datagrams) {
      pool.push(d.bytes, d.arrival);
    }
    pool.drain(datagrams.back().arrival);
    EXPECT_EQ(watcher.failure(), "");
    EXPECT_EQ(watcher.count(WorkerEvent::What::started), 2u);
    expect_same(expected.out.tracks, watcher.tracks());
    EXPECT_EQ(pool.ledger(), expected.ledger);
  }
}

// However a buffer list is cut: also longer than what a ring takes at once.
TEST(WorkerPool, ListsArePushedAsTheirDatagramsOneByOne) {
  const auto datagrams = call(10, 120, Weather{0.05, 0.7, 0.1, 0.1, 15ms, 3});
  const Received expected = reference(datagrams, 10);
  std::vector<Arrival> all;
  for (const OnWire& d : datagrams) {
    all.push_back({d.bytes, d.arrival});
  }
  for (const std::size_t length : {std::size_t{1}, std::size_t{7}, all.size()}) {
    Watcher watcher;
    Pool pool(config(2), watcher);
    announce(pool, 10);
    pool.set_key(1, mode, key(), Time{});
    pool.push(std::span<const Arrival>());
    EXPECT_TRUE(pool.pids().empty()) << "nothing needs no worker";
    for (std::size_t i = 0; i < all.size(); i += length) {
      pool.push(std::span<const Arrival>(all).subspan(i, std::min(length, all.size() - i)));
    }
    pool.drain(datagrams.back().arrival);
    EXPECT_EQ(watcher.failure(), "");
    expect_same(expected.out.tracks, watcher.tracks());
    EXPECT_EQ(pool.ledger(), expected.ledger);
  }
}

// Two processes that are loaded at the same time hold each other up.
TEST(WorkerPool, SpareIsStartedOnceTheWorkerHasFinishedSomething) {
  struct Counts final : Watcher {
    void frame(const DecodedFrame& f) override {
      if (processes == 0) {  // on the thread that starts them
        processes = children_of(getpid()).size();
      }
      Watcher::frame(f);
    }
    std::size_t processes = 0;
  } watcher;
  const auto datagrams = call(1, 5);
  Pool pool(config(), watcher);
  announce(pool, 1);
  pool.set_key(1, mode, key(), Time{});
  pool.push(datagrams[0].bytes, datagrams[0].arrival);
  pool.drain(datagrams[0].arrival);
  ASSERT_TRUE(watcher.wait_for_frames(1));
  EXPECT_EQ(watcher.processes, 1u) << "with the first frame";
  const auto end = std::chrono::steady_clock::now() + 20s;
  std::size_t processes = 0;
  while (processes < 2 && std::chrono::steady_clock::now() < end) {
    pool.drain(datagrams[0].arrival);  // the dispatcher comes by
    processes = children_of(getpid()).size();
  }
  EXPECT_EQ(processes, 2u);
  EXPECT_EQ(pool.pids().size(), 1u);
}

TEST(WorkerPool, WithoutDecodingTheOpusComesOut) {
  const auto datagrams = call(3, 60, Weather{0.1, 0.1, 0.1, 0, 0ms, 2});
  media::ReceiverConfig receiver;
  receiver.decode = false;
  const Received expected = reference(datagrams, 3, receiver);
  Watcher watcher;
  PoolConfig pool_config = config();
  pool_config.receiver = receiver;
  Pool pool(pool_config, watcher);
  announce(pool, 3);
  pool.set_key(1, mode, key(), Time{});
  for (const OnWire& d : datagrams) {
    pool.push(d.bytes, d.arrival);
  }
  pool.drain(datagrams.back().arrival);
  expect_same(expected.out.tracks, watcher.tracks());
}

TEST(WorkerPool, NoWorkerBeforeTheFirstPacket) {
  Watcher watcher;
  Pool pool(config(4), watcher);
  announce(pool, 30);
  pool.set_key(1, mode, key(), Time{});
  pool.drain(Time{});
  EXPECT_TRUE(pool.pids().empty());
}

// Workers are killed at random places; whoever is not on a killed worker notices nothing, and
// nobody loses a packet.
TEST(WorkerPool, KilledWorkersLoseNoPacket) {
  const auto datagrams = call(12, 140, Weather{0.03, 0.3, 0.05, 0.02, 10ms, 9});
  const Received expected = reference(datagrams, 12);
  for (unsigned seed = 1; seed <= 4; ++seed) {
    std::mt19937 random(seed);
    Watcher watcher;
    Pool pool(config(2), watcher);
    announce(pool, 12);
    pool.set_key(1, mode, key(), Time{});
    std::size_t kills = 0;
    for (std::size_t i = 0; i < datagrams.size(); ++i) {
      pool.push(datagrams[i].bytes, datagrams[i].arrival);
      if (i % 150 == 149) {
        watcher.wait_for_frames(i / 2);  // somewhere in the middle of it
        const auto pids = pool.pids();
        if (pids.size() == 2) {  // else the first may be the one that is being replaced
          kills += kill(pids[0], SIGKILL) == 0;  // the first worker only
        }
      }
    }
    pool.drain(datagrams.back().arrival);
    EXPECT_EQ(watcher.failure(), "");
    EXPECT_GT(kills, 5u);
    EXPECT_GT(watcher.count(WorkerEvent::What::lost), 2u);
    const Tracks got = watcher.tracks();
    expect_same_places(expected.out.tracks, got);
    EXPECT_EQ(pool.ledger(), expected.ledger);
    std::size_t untouched = 0;
    double signal = 0;
    double noise = 0;
    for (const auto& [ssrc, frames] : got) {
      const auto& other = expected.out.tracks.at(ssrc);
      untouched += frames == other;
      for (std::size_t i = 0; i < frames.size(); ++i) {
        for (std::size_t n = 0; n < frames[i].pcm.size(); ++n) {
          const double a = other[i].pcm[n];
          const double b = frames[i].pcm[n];
          signal += a * a;
          noise += (a - b) * (a - b);
        }
      }
    }
    EXPECT_GE(untouched, 4u) << "the speakers of the second worker";
    EXPECT_GT(signal, 1e4 * noise);
  }
}

TEST(WorkerPool, ReplayAfterAKillIsRefused) {
  const auto datagrams = call(4, 100);
  Watcher watcher;
  Pool pool(config(), watcher);
  announce(pool, 4);
  pool.set_key(1, mode, key(), Time{});
  for (const OnWire& d : datagrams) {
    pool.push(d.bytes, d.arrival);
  }
  pool.drain(datagrams.back().arrival);
  const std::size_t before = pool.ledger().played + pool.ledger().silence;
  kill(pool.pids().at(0), SIGKILL);
  ASSERT_TRUE(watcher.wait_for(WorkerEvent::What::lost, 1));
  for (const OnWire& d : datagrams) {
    pool.push(d.bytes, datagrams.back().arrival + 1ms);
  }
  pool.drain(datagrams.back().arrival + 1ms);
  EXPECT_EQ(pool.ledger().played + pool.ledger().silence, before);
  EXPECT_EQ(pool.ledger().duplicate, datagrams.size());
  EXPECT_TRUE(pool.ledger().adds_up());
}

// peers: "Any exception → sent back, then the process exits" and "BrokenPipe while holding the
// lock".
TEST(WorkerPool, BadPacketsEndNobody) {
  auto datagrams = call(3, 60);
  Received expected = reference(datagrams, 3);
  std::vector<OnWire> with_rubbish;
  std::mt19937 random(1);
  for (const OnWire& d : datagrams) {
    OnWire forged = d;
    forged.bytes[20 + random() % 20] ^= 1;
    with_rubbish.push_back(forged);
    with_rubbish.push_back(d);
    OnWire noise = d;
    noise.bytes.assign(random() % 100, static_cast<std::uint8_t>(random()));
    with_rubbish.push_back(noise);
  }
  Watcher watcher;
  Pool pool(config(), watcher);
  announce(pool, 3);
  pool.set_key(1, mode, key(), Time{});
  for (const OnWire& d : with_rubbish) {
    pool.push(d.bytes, d.arrival);
  }
  pool.drain(datagrams.back().arrival);
  expect_same(expected.out.tracks, watcher.tracks());
  EXPECT_EQ(watcher.count(WorkerEvent::What::lost), 0u);
  EXPECT_EQ(pool.ledger().bad_tag, datagrams.size());
  EXPECT_TRUE(pool.ledger().adds_up());
}

// peers: decoders keyed by SSRC alone are shared by two calls.
TEST(WorkerPool, TwoCallsWithEqualSsrcsNeverMix) {
  const auto one = call(2, 60, Weather{}, 1000);
  const auto two = call(2, 60, Weather{0.2, 0.2, 0, 0, 0ms, 7}, 1000);
  Watcher first, second;
  Pool a(config(), first), b(config(), second);
  for (Pool* pool : {&a, &b}) {
    announce(*pool, 2);
    pool->set_key(1, mode, key(), Time{});
  }
  for (std::size_t i = 0; i < std::max(one.size(), two.size()); ++i) {
    if (i < one.size()) {
      a.push(one[i].bytes, one[i].arrival);
    }
    if (i < two.size()) {
      b.push(two[i].bytes, two[i].arrival);
    }
  }
  a.drain(one.back().arrival);
  b.drain(two.back().arrival);
  expect_same(reference(one, 2).out.tracks, first.tracks());
  expect_same(reference(two, 2).out.tracks, second.tracks());
}

TEST(WorkerPool, StoppedWorkerIsReplaced) {
  const auto datagrams = call(2, 60);
  const Received expected = reference(datagrams, 2);
  Watcher watcher;
  PoolConfig settings = config();
  settings.worker_timeout = 200ms;
  Pool pool(settings, watcher);
  announce(pool, 2);
  pool.set_key(1, mode, key(), Time{});
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    pool.push(datagrams[i].bytes, datagrams[i].arrival);
    if (i == 40) {
      ASSERT_TRUE(watcher.wait_for_frames(10));
      kill(pool.pids().at(0), SIGSTOP);
    }
  }
  pool.drain(datagrams.back().arrival);
  expect_same_places(expected.out.tracks, watcher.tracks());
  ASSERT_GE(watcher.count(WorkerEvent::What::lost), 1u);
}

// peers: `wait_timeout=None` (documented as never) raised.
TEST(WorkerPool, IdleWorkersLeaveAndComeBack) {
  const auto datagrams = call(2, 60);
  const Received expected = reference(datagrams, 2);
  for (const Duration idle : {Duration(20ms), Duration(0)}) {
    Watcher watcher;
    PoolConfig settings = config();
    settings.idle_timeout = idle;
    Pool pool(settings, watcher);
    announce(pool, 2);
    pool.set_key(1, mode, key(), Time{});
    for (const OnWire& d : datagrams) {
      pool.push(d.bytes, d.arrival);
    }
    pool.drain(datagrams.back().arrival);
    expect_same_places(expected.out.tracks, watcher.tracks());
    if (idle > Duration(0)) {
      EXPECT_TRUE(watcher.wait_for(WorkerEvent::What::left, 1));
      pool.push(datagrams[0].bytes, datagrams.back().arrival);  // comes back; a replay it is still
      pool.drain(datagrams.back().arrival);
      EXPECT_EQ(pool.ledger().duplicate, 1u);
    } else {
      EXPECT_EQ(watcher.count(WorkerEvent::What::left), 0u);
    }
  }
}

TEST(WorkerPool, MissingProgramIsSaid) {
  Watcher watcher;
  PoolConfig settings = config();
  settings.program = "/nonexistent/worker";
  Pool pool(settings, watcher);
  pool.push(Bytes(100, 0x80), Time{});
  pool.drain(Time{});
  EXPECT_TRUE(watcher.wait_for_failure());
  EXPECT_NE(watcher.failure().find("/nonexistent/worker"), std::string::npos);
  pool.push(Bytes(100, 0x80), Time{});
  EXPECT_TRUE(pool.ledger().adds_up());
  EXPECT_EQ(pool.ledger().skipped, 2u);
}

TEST(WorkerPool, KeyIsWipedOnceItIsTaken) {
  // Read from outside: the only trace of the input memory is its memfd.
  const auto datagrams = call(1, 10);
  Watcher watcher;
  Pool pool(config(), watcher);
  pool.set_key(1, mode, key(0x5A), Time{});
  pool.push(datagrams[0].bytes, datagrams[0].arrival);
  pool.drain(datagrams[0].arrival);
  std::ifstream maps("/proc/self/maps");
  std::string line;
  std::size_t seen = 0;
  while (std::getline(maps, line)) {
    // The secrets page has advice of its own (MADV_DONTDUMP), so it is a line of its own.
    if (line.find("discord-worker-input") == std::string::npos ||
        line.find(" 00001000 ") == std::string::npos) {
      continue;
    }
    const auto* memory = reinterpret_cast<const std::uint8_t*>(std::stoull(line, nullptr, 16));
    const ByteSpan secrets(memory, page_size);
    EXPECT_TRUE(std::all_of(secrets.begin(), secrets.end(), [](auto b) { return b == 0; }));
    ++seen;
  }
  EXPECT_GE(seen, 1u);
}

TEST(WorkerPool, WorkersDieWithTheirParent) {
  for (const uid_t uid : {uid_t{0}, uid_t{65534}}) {
    if (geteuid() != 0 && uid == 65534) {
      continue;
    }
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      if (uid != 0 && setresuid(uid, uid, uid) != 0) {
        _exit(1);
      }
      Watcher watcher;
      Pool pool(config(), watcher);
      pool.push(Bytes(100, 0x80), Time{});
      pool.drain(Time{});
      const auto pids = pool.pids();
      const pid_t pid = pids.empty() ? 0 : pids[0];
      if (write(pipe_fds[1], &pid, sizeof pid) != sizeof pid) {
        _exit(1);
      }
      pause();
    }
    pid_t worker = 0;
    ASSERT_EQ(read(pipe_fds[0], &worker, sizeof worker), static_cast<ssize_t>(sizeof worker));
    EXPECT_GT(worker, 0) << "as uid " << uid;
    if (worker > 0) {
      PidWatch watch(worker);
      EXPECT_FALSE(watch.gone_within(0));
      kill(child, SIGKILL);
      EXPECT_TRUE(watch.gone_within(2000));
    }
    waitpid(child, nullptr, 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
  }
}

// A host that reaps every child must not confuse the pool.
TEST(WorkerPool, HostThatReapsOurChildren) {
  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;  // children vanish without a wait
  sigaction(SIGCHLD, &ignore, &before);
  const auto datagrams = call(2, 60);
  {
    Watcher watcher;
    Pool pool(config(), watcher);
    announce(pool, 2);
    pool.set_key(1, mode, key(), Time{});
    for (std::size_t i = 0; i < datagrams.size(); ++i) {
      pool.push(datagrams[i].bytes, datagrams[i].arrival);
      if (i == 50) {
        ASSERT_TRUE(watcher.wait_for_frames(10));
        kill(pool.pids().at(0), SIGKILL);
      }
    }
    pool.drain(datagrams.back().arrival);
    expect_same_places(reference(datagrams, 2).out.tracks, watcher.tracks());
  }
  sigaction(SIGCHLD, &before, nullptr);
}

namespace {

// Keys of the end-to-end encryption for those who were announced.
dave::MediaKeysPtr members_of(std::uint32_t speakers) {
  auto epoch = std::make_shared<dave::EpochKeys>();
  epoch->serial = 1;
  for (std::uint32_t s = 0; s < speakers; ++s) {
    epoch->senders.push_back({user_of(1000 + s), dave::BaseSecret()});
  }
  auto keys = std::make_shared<dave::MediaKeys>();
  keys->active = true;
  keys->epochs.push_back({epoch, std::nullopt});
  return keys;
}

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() == 0 && std::getenv("HOSTILE_WORKER") == nullptr) {
      GTEST_SKIP() << "HOSTILE_WORKER is not set: run through meson test";
    }
  }
};

}  // namespace

TEST_F(Hostile, PacketThatKillsTwiceIsConcealedAndSkipped) {
  for (const Misbehaviour how : {Misbehaviour::dies_of_poison, Misbehaviour::hangs_on_poison}) {
    const auto datagrams = poisoned();
    auto without = datagrams;
    without.erase(without.begin() + 20);
    const Received expected = reference(without, 2);
    Watcher watcher;
    Pool pool(hostile(how), watcher);
    announce(pool, 2);
    pool.set_key(1, mode, key(), Time{});
    for (const OnWire& d : datagrams) {
      pool.push(d.bytes, d.arrival);
    }
    pool.drain(datagrams.back().arrival);
    EXPECT_EQ(watcher.failure(), "");
    EXPECT_EQ(watcher.count(WorkerEvent::What::lost), 2u);
    EXPECT_EQ(watcher.count(WorkerEvent::What::skipped), 1u);
    for (const WorkerEvent& event : watcher.events()) {
      EXPECT_TRUE(event.what != WorkerEvent::What::lost || (event.blamed && event.ssrc == 1000));
    }
    expect_same_places(expected.out.tracks, watcher.tracks());
    const media::Ledger ledger = pool.ledger();
    EXPECT_EQ(ledger.skipped, 1u);
    EXPECT_EQ(ledger.played, 39u);
    EXPECT_TRUE(ledger.adds_up());
  }
}

TEST_F(Hostile, SpeakerWhosePacketsKeepKillingIsMuted) {
  Sealer sealer;
  Watcher watcher;
  Pool pool(hostile(Misbehaviour::dies_of_poison), watcher);
  announce(pool, 2);
  pool.set_key(1, mode, key(), Time{});
  Voice voice(1);
  for (int i = 0; i < 3; ++i) {
    Bytes packet = voice.packet();
    std::copy_n("POISON", 6, packet.end() - 6);
    pool.push(sealer
                  .seal(1000, static_cast<std::uint16_t>(i), static_cast<std::uint32_t>(i * 960),
                        packet, Time{})
                  .bytes,
              Time{});
  }
  pool.drain(Time{});
  ASSERT_TRUE(watcher.wait_for(WorkerEvent::What::muted, 1));
  EXPECT_EQ(pool.ledger().skipped, 3u);
  pool.push(sealer.seal(1000, 5, 5 * 960, voice.packet(), Time{}).bytes, Time{});
  pool.push(sealer.seal(1001, 5, 5 * 960, voice.packet(), Time{}).bytes, Time{});
  pool.drain(Time{});
  EXPECT_EQ(pool.ledger().skipped, 4u);
  EXPECT_EQ(pool.ledger().played, 1u);
}

// It ends no batch: whoever waited for it, to change something behind a file, waited for ever.
TEST_F(Hostile, WhoeverWaitsForASkippedPacketIsTold) {
  Sealer sealer;
  Watcher watcher;
  Pool pool(hostile(Misbehaviour::dies_of_poison), watcher);
  announce(pool, 2);
  pool.set_key(1, mode, key(), Time{});
  Bytes packet = Voice(1).packet();
  std::copy_n("POISON", 6, packet.end() - 6);
  pool.push(sealer.seal(1000, 0, 0, packet, Time{}).bytes, Time{});
  EXPECT_TRUE(watcher.wait_until([&] { return pool.queued() == 0; }));
  EXPECT_EQ(pool.ledger().skipped, 1u);
}

// A packet that is harmless after others and deadly as the first: only a successor, which hears the
// last packets again, dies of it, before it has anything to do.
TEST_F(Hostile, PacketThatKillsOnlyWhenItIsHeardAgainDoesNotEndTheCall) {
  Sealer sealer;
  Watcher watcher;
  Pool pool(hostile(Misbehaviour::dies_of_poison), watcher);
  announce(pool, 2);
  pool.set_key(1, mode, key(), Time{});
  Voice voices[2] = {Voice(1), Voice(2)};
  const auto say = [&](int i) {
    const Time at = time_from_ns(1000000000) + i * 20ms;
    for (std::uint32_t s = 0; s < 2; ++s) {
      Bytes packet = voices[s].packet();
      if (s == 0 && i == 5) {
        std::copy_n("FRESH!", 6, packet.end() - 6);
      }
      pool.push(sealer
                    .seal(1000 + s, static_cast<std::uint16_t>(i),
                          static_cast<std::uint32_t>(i * 960), packet, at)
                    .bytes,
                at);
    }
    pool.drain(at);
  };
  constexpr int before = media::warm_up_packets + 5;  // what is heard again begins with number 5
  for (int i = 0; i < before; ++i) {
    say(i);
  }
  kill(pool.pids().at(0), SIGKILL);
  ASSERT_TRUE(watcher.wait_for(WorkerEvent::What::lost, 1));
  for (int i = before; i < before + 10; ++i) {
    say(i);
  }
  EXPECT_EQ(watcher.failure(), "");
  EXPECT_EQ(watcher.count(WorkerEvent::What::lost), 2u);
  EXPECT_EQ(pool.ledger().played, 2u * (before + 10));
  EXPECT_EQ(pool.ledger().skipped, 0u);
}

// It took 31 deaths and twenty seconds, and the end of the stream came before the reason.
TEST_F(Hostile, ProgramThatNeverGetsReadyIsSaidSoSoonAndBeforeTheEnd) {
  const auto datagrams = poisoned();
  Watcher watcher;
  Pool pool(hostile(Misbehaviour::exits), watcher);
  announce(pool, 2);
  pool.set_key(1, mode, key(), Time{});
  for (const OnWire& d : datagrams) {
    pool.push(d.bytes, d.arrival);
  }
  pool.drain(datagrams.back().arrival);
  EXPECT_NE(watcher.failure().find("does not start: it has ended 5 times"), std::string::npos)
      << watcher.failure();
  EXPECT_NE(watcher.failure().find("exit status 0"), std::string::npos) << watcher.failure();
  EXPECT_EQ(watcher.count(WorkerEvent::What::lost), 5u);
}

TEST_F(Hostile, NoAnswerOfAnyKindHarmsTheParent) {
  const auto datagrams = poisoned();
  for (int how = static_cast<int>(Misbehaviour::exits); how < static_cast<int>(Misbehaviour::last);
       ++how) {
    Watcher watcher;
    PoolConfig settings = hostile(static_cast<Misbehaviour>(how));
    settings.max_restarts = 3;
    Pool pool(settings, watcher);
    announce(pool, 2);
    pool.set_media_keys(members_of(2), Time(1s), Time(1s));
    pool.set_key(1, mode, key(), Time{});
    for (const OnWire& d : datagrams) {
      pool.push(d.bytes, d.arrival);
    }
    pool.drain(datagrams.back().arrival);  // returns, whatever they do
    ASSERT_TRUE(watcher.wait_for_failure()) << how;
    EXPECT_NE(watcher.failure().find("died 4 times"), std::string::npos) << watcher.failure();
    EXPECT_GE(watcher.count(WorkerEvent::What::lost), 4u) << how;
    EXPECT_TRUE(pool.ledger().adds_up()) << how;
    EXPECT_EQ(pool.ledger().received, datagrams.size()) << how;
    EXPECT_EQ(pool.ledger().in_flight, 0u) << how;
    for (const WorkerEvent& event : watcher.events()) {
      EXPECT_EQ(event.reason.find("status 77"), std::string::npos) << "a seal was broken";
    }
  }
}
