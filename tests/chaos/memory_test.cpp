// A decoder that takes all the memory there is: the worker ends, the packet is skipped, nobody else
// notices.
#include "tests/unit/hostile_rig.hpp"

#include <sys/stat.h>
#include <fstream>

using namespace discord;
using namespace discord::rig;

namespace {

// A control group with little memory; gone with the test.
class Group {
 public:
  Group() {
    for (const std::string path : oom_groups) {
      if (mkdir(path.c_str(), 0700) != 0) {
        continue;
      }
      path_ = path;
      for (const char* file : {"/memory.limit_in_bytes", "/memory.max"}) {
        std::ofstream out(path + file);
        if (out && (out << (48 << 20)).flush()) {
          limited_ = true;
        }
      }
      // Where there is swap it must not help.
      for (const char* file : {"/memory.memsw.limit_in_bytes", "/memory.swap.max"}) {
        std::ofstream(path + file) << (file[8] == 's' ? 0 : 48 << 20);
      }
      if (limited_) {
        break;
      }
      rmdir(path.c_str());
      path_.clear();
    }
  }
  ~Group() {
    if (!path_.empty()) {
      rmdir(path_.c_str());
    }
  }
  explicit operator bool() const { return limited_; }

 private:
  std::string path_;
  bool limited_ = false;
};

struct Outcome {
  media::Ledger ledger;
  std::vector<WorkerEvent> events;
  std::string failure;
};

// Packet 10 of the first of two speakers is poisoned.
void run(Misbehaviour how, Outcome& out) {
  const auto datagrams = poisoned();
  auto without = datagrams;
  without.erase(without.begin() + 20);
  const Received expected = reference(without, 2);
  Watcher watcher;
  {
    PoolConfig settings = hostile(how);
    settings.worker_timeout = 30s;  // memory, not time, is what runs out
    Pool pool(settings, watcher);
    announce(pool, 2);
    pool.set_key(1, mode, key(), Time{});
    for (const OnWire& d : datagrams) {
      pool.push(d.bytes, d.arrival);
    }
    pool.drain(datagrams.back().arrival);
    out.ledger = pool.ledger();
  }
  out.events = watcher.events();
  out.failure = watcher.failure();
  expect_same_places(expected.out.tracks, watcher.tracks());
}

bool any_reason(const Outcome& outcome, const char* reason) {
  return std::any_of(outcome.events.begin(), outcome.events.end(), [&](const WorkerEvent& e) {
    return e.what == WorkerEvent::What::lost && e.reason == reason;
  });
}

}  // namespace

TEST(Chaos, AddressSpaceLimitEndsAWorkerAndNobodyElse) {
  if (std::getenv("HOSTILE_WORKER") == nullptr) {
    GTEST_SKIP() << "HOSTILE_WORKER is not set: run through meson test";
  }
  Outcome outcome;
  run(Misbehaviour::eats_on_poison, outcome);
  EXPECT_EQ(outcome.failure, "");
  EXPECT_TRUE(any_reason(outcome, "SIGABRT"));
  EXPECT_EQ(outcome.ledger.skipped, 1u);
  EXPECT_EQ(outcome.ledger.played, 39u);
}

// The kernel's OOM killer looks like anybody's SIGKILL, which blames no packet; one that comes
// again and again before anything has been done does, or the call would stand still for ever.
TEST(Chaos, OutOfMemoryKillsDoNotRepeatForEver) {
  if (std::getenv("HOSTILE_WORKER") == nullptr) {
    GTEST_SKIP() << "HOSTILE_WORKER is not set: run through meson test";
  }
  const Group group;
  if (!group) {
    GTEST_SKIP() << "no control group for memory can be made here";
  }
  Outcome outcome;
  run(Misbehaviour::oom_on_poison, outcome);
  EXPECT_EQ(outcome.failure, "");
  EXPECT_TRUE(any_reason(outcome, "SIGKILL"));
  EXPECT_EQ(outcome.ledger.skipped, 1u);
  EXPECT_EQ(outcome.ledger.played, 39u);
}
