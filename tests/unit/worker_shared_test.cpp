// Sessions that share workers by name.
#include "e2ee_rig.hpp"
#include "pool_rig.hpp"

#include <signal.h>

using namespace discord;
using namespace discord::rig;
using namespace discord::worker;

namespace {

constexpr std::size_t speakers = 4;

PoolConfig shared(const char* name, unsigned workers = 1) {
  PoolConfig out = config(workers);
  out.name = name;
  return out;
}

// A call whose SSRCs and users are those of every other, and whose keys are its own.
struct OwnCall {
  OwnCall(std::uint8_t number, const Weather& weather)
      : fill(number), members(number), group(number) {
    datagrams = call(
        speakers, 70, weather, 1000,
        [&](std::uint32_t ssrc, Time, const Bytes& opus) {
          return members.seal(1, user_of(ssrc), opus);
        },
        key(number));
    std::vector<std::uint64_t> users;
    for (std::uint32_t s = 0; s < speakers; ++s) {
      users.push_back(user_of(1000 + s));
    }
    group.add(users, Time{});
  }
  void begin(Pool& pool) const {
    announce(pool, speakers);
    pool.set_key(1, mode, key(fill), Time{});
    pool.set_media_keys(group.keys(), Time{}, Time{});
  }
  Received expected() const {
    Received out;
    media::Receiver receiver{media::ReceiverConfig()};
    for (std::uint32_t s = 0; s < speakers; ++s) {
      receiver.map_user(1000 + s, user_of(1000 + s), Time{}, out.out);
    }
    receiver.set_key(1, mode, key(fill), Time{}, out.out);
    receiver.set_media_keys(group.keys(), Time{}, Time{}, out.out);
    for (const OnWire& d : datagrams) {
      receiver.push(d.bytes, 1, d.arrival, out.out);
      receiver.clear_finished();
    }
    receiver.drain(datagrams.back().arrival, out.out);
    out.ledger = receiver.ledger();
    return out;
  }
  std::uint8_t fill;
  Members members;
  Group group;
  std::vector<OnWire> datagrams;
};

void interleave(Pool& a, const OwnCall& one, Pool& b, const OwnCall& two,
                const std::function<void(std::size_t)>& between) {
  const std::size_t count = std::max(one.datagrams.size(), two.datagrams.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i < one.datagrams.size()) {
      a.push(one.datagrams[i].bytes, one.datagrams[i].arrival);
    }
    if (i < two.datagrams.size()) {
      b.push(two.datagrams[i].bytes, two.datagrams[i].arrival);
    }
    between(i);
  }
  a.drain(one.datagrams.back().arrival);
  b.drain(two.datagrams.back().arrival);
}

}  // namespace

// peers: decoders keyed by SSRC alone are shared by two calls.
TEST(WorkerShared, EqualSsrcsOfTwoCallsNeverMix) {
  const OwnCall one(1, Weather{});
  const OwnCall two(2, Weather{0.1, 0.2, 0.1, 0.1, 10ms, 7});
  for (const char* name : {"", "together"}) {
    SCOPED_TRACE(name);
    Watcher first, second;
    Pool a(shared(name), first), b(shared(name), second);
    one.begin(a);
    two.begin(b);
    interleave(a, one, b, two, [](std::size_t) {});
    EXPECT_EQ(a.pids() == b.pids(), *name != '\0');
    expect_same(one.expected().out.tracks, first.tracks());
    expect_same(two.expected().out.tracks, second.tracks());
    EXPECT_EQ(a.ledger(), one.expected().ledger);
    EXPECT_EQ(b.ledger(), two.expected().ledger);
    EXPECT_EQ(first.failure() + second.failure(), "");
  }
}

TEST(WorkerShared, AKilledWorkerCostsNeitherCallAPacket) {
  const OwnCall one(1, Weather{});
  const OwnCall two(2, Weather{0.05, 0.2, 0.1, 0.1, 10ms, 7});
  for (const char* name : {"", "together"}) {
    SCOPED_TRACE(name);
    Watcher first, second;
    Pool a(shared(name), first), b(shared(name), second);
    one.begin(a);
    two.begin(b);
    interleave(a, one, b, two, [&](std::size_t i) {
      if (i % 80 == 79) {
        first.wait_for_frames(i / 2);
        second.wait_for_frames(i / 3);
        for (const pid_t pid : a.pids()) {
          kill(pid, SIGKILL);
        }
        for (const pid_t pid : b.pids()) {
          kill(pid, SIGKILL);
        }
      }
    });
    EXPECT_GE(first.count(WorkerEvent::What::lost), 1u);
    EXPECT_GE(second.count(WorkerEvent::What::lost), 1u);
    expect_same_places(one.expected().out.tracks, first.tracks());
    expect_same_places(two.expected().out.tracks, second.tracks());
    EXPECT_EQ(a.ledger(), one.expected().ledger);
    EXPECT_EQ(b.ledger(), two.expected().ledger);
    // And what has been heard is not heard again.
    for (const OnWire& d : one.datagrams) {
      a.push(d.bytes, one.datagrams.back().arrival);
    }
    a.drain(one.datagrams.back().arrival);
    EXPECT_EQ(a.ledger().played, one.expected().ledger.played);
  }
}

TEST(WorkerShared, ASessionThatEndsLeavesTheOthersAlone) {
  const OwnCall one(1, Weather{});
  const OwnCall two(2, Weather{});
  Watcher first, second, third;
  Pool a(shared("goes on"), first);
  one.begin(a);
  pid_t pid = 0;
  {
    Pool b(shared("goes on"), second);
    two.begin(b);
    for (std::size_t i = 0; i < 100; ++i) {
      a.push(one.datagrams[i].bytes, one.datagrams[i].arrival);
      b.push(two.datagrams[i].bytes, two.datagrams[i].arrival);
    }
    ASSERT_TRUE(second.wait_for_frames(10));
    pid = b.pids().at(0);
  }
  // Somebody else takes another place in the same worker.
  Pool c(shared("goes on"), third);
  two.begin(c);
  for (std::size_t i = 100; i < one.datagrams.size(); ++i) {
    a.push(one.datagrams[i].bytes, one.datagrams[i].arrival);
  }
  for (const OnWire& d : two.datagrams) {
    c.push(d.bytes, d.arrival);
  }
  a.drain(one.datagrams.back().arrival);
  c.drain(two.datagrams.back().arrival);
  expect_same(one.expected().out.tracks, first.tracks());
  expect_same(two.expected().out.tracks, third.tracks());
  EXPECT_EQ(a.pids().at(0), pid);
  EXPECT_EQ(c.pids().at(0), pid);
  EXPECT_EQ(first.count(WorkerEvent::What::lost), 0u);
}

TEST(WorkerShared, MoreSessionsThanPlacesGetMoreWorkers) {
  const OwnCall one(1, Weather{});
  std::vector<std::unique_ptr<Watcher>> watchers;
  std::vector<std::unique_ptr<Pool>> pools;
  for (std::size_t i = 0; i < max_channels + 1; ++i) {
    watchers.push_back(std::make_unique<Watcher>());
    pools.push_back(std::make_unique<Pool>(shared("crowd"), *watchers.back()));
    one.begin(*pools.back());
    pools.back()->push(one.datagrams[0].bytes, one.datagrams[0].arrival);
    pools.back()->drain(one.datagrams[0].arrival);
    EXPECT_EQ(pools.back()->ledger().played, 1u) << i;
  }
  EXPECT_EQ(pools[0]->pids(), pools[max_channels - 1]->pids());
  EXPECT_NE(pools[0]->pids(), pools[max_channels]->pids());
}
