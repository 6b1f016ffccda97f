#include "media/reorder_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <string>

using namespace discord;
using namespace discord::media;
using namespace std::chrono_literals;

namespace {

using Item = std::unique_ptr<std::uint64_t>;
using Queue = ReorderQueue<Item>;
constexpr std::uint64_t base = std::uint64_t{1} << 40;

// Runs a queue and writes down what comes out: numbers, "L<first>+<count>", "R" before a resync.
struct Player {
  Queue queue;
  std::vector<std::uint64_t> played;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> lost;
  std::string log;
  Deadline wait;

  explicit Player(Duration latency = 100ms) : queue(latency) {}
  void push(std::uint64_t sequence, Time now) {
    queue.push(std::make_unique<std::uint64_t>(sequence), base + sequence, now);
    poll(now);
  }
  void push_wire(std::uint16_t wire, std::uint64_t value, Time now) {
    queue.push(std::make_unique<std::uint64_t>(value), queue.unwrap(wire), now);
    poll(now);
  }
  void poll(Time now) {
    wait.reset();
    for (;;) {
      auto out = queue.pop(now);
      EXPECT_TRUE(queue.ledger().adds_up());
      if (auto* packet = std::get_if<Queue::Packet>(&out)) {
        played.push_back(*packet->item);
        log += (packet->resync ? "R" : "") + std::string(packet->discont ? "D" : "") +
               std::to_string(*packet->item) + " ";
      } else if (auto* hole = std::get_if<Queue::Lost>(&out)) {
        lost.emplace_back(hole->first_sequence - base, hole->count);
        log += "L" + std::to_string(hole->first_sequence - base) + "+" +
               std::to_string(hole->count) + " ";
      } else {
        if (auto* w = std::get_if<Queue::Wait>(&out)) {
          wait = w->deadline;
          EXPECT_EQ(queue.next_deadline(), wait);
        } else {
          EXPECT_FALSE(queue.next_deadline());
        }
        return;
      }
    }
  }
  bool in_order() const { return std::is_sorted(played.begin(), played.end()); }
};

}  // namespace

TEST(ReorderQueue, InOrderGoesStraightThrough) {
  Player run;
  for (std::uint64_t i = 0; i < 100; ++i) {
    run.push(i, Time(i * 20ms));
    EXPECT_EQ(run.played.size(), i + 1);
  }
  EXPECT_TRUE(run.lost.empty());
}

TEST(ReorderQueue, UnorderedIsPutInOrder) {
  Player run;
  for (const std::uint64_t i : {0, 2, 1, 3}) {
    run.push(i, Time(i * 20ms));
  }
  EXPECT_EQ(run.log, "D0 1 2 3 ");
}

TEST(ReorderQueue, ShowsWhatOvertookAPacket) {
  Queue queue(100ms);
  const auto put = [&](std::uint64_t n, Duration at) {
    queue.push(std::make_unique<std::uint64_t>(n), base + n, Time(at));
  };
  put(1, 0ms);
  put(3, 20ms);
  put(4, 40ms);
  queue.skip(base + 5, Time(41ms));
  put(2, 60ms);
  const auto behind = [&] {
    std::vector<std::pair<std::uint64_t, Duration>> out;
    queue.each_behind([&](const Item& item, Time arrival) {
      out.emplace_back(*item, arrival.time_since_epoch());
    });
    return out;
  };
  using Behind = std::vector<std::pair<std::uint64_t, Duration>>;
  const auto next = [&] { return *std::get<Queue::Packet>(queue.pop(Time(60ms))).item; };
  ASSERT_EQ(next(), 1u);
  EXPECT_EQ(behind(), (Behind{{2, 60ms}, {3, 20ms}, {4, 40ms}}));
  ASSERT_EQ(next(), 2u);
  EXPECT_EQ(behind(), (Behind{{3, 20ms}, {4, 40ms}}));
  ASSERT_EQ(next(), 3u);
  ASSERT_EQ(next(), 4u);
  EXPECT_EQ(behind(), Behind{});
}

TEST(ReorderQueue, BackwardsIsPutInOrder) {
  Player run;
  run.push(0, Time{});
  for (std::uint64_t i = 9; i > 0; --i) {
    run.push(i, Time(10ms));
  }
  EXPECT_EQ(run.log, "D0 1 2 3 4 5 6 7 8 9 ");
}

TEST(ReorderQueue, HoleWaitsForTheLatencyAfterTheFirstPacketBehindIt) {
  Player run;
  run.push(0, Time(0ms));
  run.push(2, Time(40ms));
  run.push(3, Time(60ms));
  EXPECT_EQ(run.wait, Time(140ms));
  run.poll(Time(139ms));
  EXPECT_EQ(run.log, "D0 ");
  run.poll(Time(140ms));
  EXPECT_EQ(run.log, "D0 L1+1 D2 3 ");
}

TEST(ReorderQueue, FirstBehindTheHoleCountsEvenIfNotTheNextOne) {
  Player run;
  run.push(0, Time(0ms));
  run.push(3, Time(40ms));
  run.push(2, Time(90ms));
  EXPECT_EQ(run.wait, Time(140ms));
}

TEST(ReorderQueue, TwoLostOneArrivesInTime) {
  Player run;
  run.push(0, Time(0ms));
  run.push(3, Time(60ms));
  run.push(2, Time(100ms));
  run.poll(Time(160ms));
  run.push(4, Time(161ms));
  EXPECT_EQ(run.log, "D0 L1+1 D2 3 4 ");
}

TEST(ReorderQueue, OutOfOrderInTimeIsNotReportedLost) {
  Player run;
  run.push(0, Time(0ms));
  run.push(2, Time(40ms));
  run.push(1, Time(139ms));
  run.poll(Time(1s));
  EXPECT_EQ(run.log, "D0 1 2 ");
}

TEST(ReorderQueue, LateAfterBeingDeclaredLost) {
  Player run;
  run.push(0, Time(0ms));
  run.push(2, Time(40ms));
  run.poll(Time(140ms));
  run.push(1, Time(141ms));
  EXPECT_EQ(run.queue.ledger().late, 1u);
  run.push(2, Time(142ms));
  EXPECT_EQ(run.queue.ledger().duplicate, 1u);
  run.push(3, Time(143ms));
  EXPECT_EQ(run.log, "D0 L1+1 D2 3 ");
}

TEST(ReorderQueue, DuplicateInTheQueueKeepsTheFirst) {
  Player run;
  run.push(0, Time(0ms));
  run.push(2, Time(1ms));
  run.push(2, Time(2ms));
  run.push(1, Time(3ms));
  EXPECT_EQ(run.log, "D0 1 2 ");
  EXPECT_EQ(run.queue.ledger().duplicate, 1u);
}

// seed: filling a gap did not clear the deadline, so the next reorder had no protection.
TEST(ReorderQueue, Seed9StaleDeadline) {
  Player run;
  run.push(0, Time(0ms));
  run.push(2, Time(20ms));
  run.push(1, Time(30ms));
  run.push(4, Time(115ms));
  EXPECT_EQ(run.wait, Time(215ms));
  run.poll(Time(121ms));
  run.push(3, Time(125ms));
  EXPECT_EQ(run.log, "D0 1 2 3 4 ");
}

// seed: the deadline was looked at only when another frame came, so a sentence's tail was stuck.
TEST(ReorderQueue, Seed10TailComesOutByTimeAlone) {
  Player run;
  run.push(0, Time(0ms));
  run.push(2, Time(20ms));
  ASSERT_EQ(run.wait, Time(120ms));
  run.poll(*run.wait);
  EXPECT_EQ(run.log, "D0 L1+1 D2 ");
}

// seed: stopping lost what was still waiting.
TEST(ReorderQueue, Seed11DrainGivesEverything) {
  Player run;
  for (const std::uint64_t i : {0, 2, 3, 7, 9}) {
    run.push(i, Time(1ms));
  }
  run.queue.drain();
  run.poll(Time(1ms));
  EXPECT_EQ(run.log, "D0 L1+1 D2 3 L4+3 D7 L8+1 D9 ");
  EXPECT_EQ(run.queue.ledger().in_flight, 0u);
}

// seed: a lower sequence was late for ever; 100 of 1100 frames came out.
TEST(ReorderQueue, Seed7SequenceRestart) {
  Player run;
  for (std::uint64_t i = 0; i < 100; ++i) {
    run.push(40000 + i, Time(i * 20ms));
  }
  for (std::uint64_t i = 0; i < 1000; ++i) {
    run.push(5000 + i, Time(2s + i * 20ms));
  }
  EXPECT_EQ(run.played.size(), 1100u) << "not even the first packets after the restart are lost";
  EXPECT_TRUE(run.lost.empty());
  EXPECT_EQ(run.queue.resyncs(), 1u);
}

// seed: sorting raw numbers around the wrap gave 65531, 0, 1, 2, ... 65533.
TEST(ReorderQueue, Seed8WrapWithLoss) {
  Player run;
  Time now{};
  for (std::uint64_t i = 65530; i < 65545; ++i, now += 20ms) {
    if (i != 65532) {
      run.push_wire(static_cast<std::uint16_t>(i), i, now);
    }
  }
  EXPECT_EQ(run.played.size(), 14u);
  EXPECT_TRUE(run.in_order());
  EXPECT_EQ(run.lost.size(), 1u);
}

TEST(ReorderQueue, WrapManyTimesFromTheWireWithReorder) {
  Player run;
  Time now{};
  for (std::uint64_t i = 0; i < 200000; i += 2, now += 40ms) {
    run.push_wire(static_cast<std::uint16_t>(i + 1), i + 1, now);
    run.push_wire(static_cast<std::uint16_t>(i), i, now + 1ms);
  }
  // The very first pair came swapped, before there was an order.
  EXPECT_EQ(run.played.size(), 199999u);
  EXPECT_TRUE(run.in_order());
}

// voice-recv: jumps of +15000 to +20000 or -20000 made it deaf for 7 to 17 minutes.
TEST(ReorderQueue, VoiceRecvDeafnessAfterJumps) {
  for (const int jump : {15000, 17500, 20000, 32000, -20000, -15000, -1500}) {
    for (const bool lossy : {false, true}) {
      Player run;
      Time now{};
      std::uint64_t sequence = 50000;
      for (int i = 0; i < 50; ++i, now += 20ms) {
        run.push(sequence++, now);
      }
      sequence += static_cast<std::uint64_t>(std::int64_t{jump});
      const Time jumped = now;
      Time heard{};
      for (int i = 0; i < 50; ++i, now += 20ms) {
        const auto before = run.played.size();
        // Every second packet lost: no two consecutive ones ever come.
        if (!lossy || i % 2 == 0) {
          run.push(sequence, now);
        } else {
          run.poll(now);
        }
        ++sequence;
        if (run.played.size() > before && heard == Time{}) {
          heard = now;
        }
      }
      ASSERT_NE(heard, Time{}) << jump;
      EXPECT_LE(heard - jumped, lossy ? 280ms : 250ms) << jump;
      EXPECT_EQ(run.queue.resyncs(), 1u) << jump;
      run.poll(now + 200ms);
      EXPECT_EQ(run.played.size(), lossy ? 75u : 100u) << jump;
    }
  }
}

TEST(ReorderQueue, SmallStepBackIsFollowedAfterAQuarterOfASecond) {
  Player run;
  Time now{};
  for (std::uint64_t i = 1000; i < 1400; ++i, now += 20ms) {
    run.push(i, now);
  }
  const auto before = run.played.size();
  for (std::uint64_t i = 1100; i < 1200; ++i, now += 20ms) {
    run.push(i, now);
  }
  EXPECT_GE(run.played.size() - before, 100u - 13u);
  EXPECT_EQ(run.queue.resyncs(), 1u);
}

TEST(ReorderQueue, AStrayFarAwayChangesNothing) {
  Player run;
  for (std::uint64_t i = 0; i < 100; ++i) {
    run.push(50000 + i, Time(i * 20ms));
    run.push(i % 2 != 0 ? 20000 + i : 80000 + i, Time(i * 20ms + 1ms));
  }
  EXPECT_EQ(run.played.size(), 100u);
  EXPECT_EQ(run.queue.resyncs(), 0u);
  EXPECT_EQ(run.queue.ledger().late + run.queue.ledger().in_flight, 100u);
}

TEST(ReorderQueue, LateDuplicatesDoNotResync) {
  Player run;
  Time now{};
  for (std::uint64_t i = 0; i < 500; ++i, now += 20ms) {
    run.push(i, now);
    if (i >= 20) {
      run.push(i - 20, now + 1ms);
    }
  }
  EXPECT_EQ(run.played.size(), 500u);
  EXPECT_EQ(run.queue.resyncs(), 0u);
  EXPECT_EQ(run.queue.ledger().duplicate, 480u);
}

TEST(ReorderQueue, ResyncFirstHandsOutWhatTheOldSegmentHad) {
  Player run;
  run.push(10, Time(0ms));
  run.push(12, Time(1ms));
  for (const std::uint64_t i : {30000, 30001, 30002, 30003}) {
    run.push(i, Time(2ms));
  }
  EXPECT_EQ(run.log, "D10 L11+1 D12 RD30000 30001 30002 30003 ");
}

TEST(ReorderQueue, OnlyOneReportForABigGapThatTookItsTime) {
  Player run;
  run.push(0, Time(0ms));
  run.push(20000, Time(400s));
  run.poll(Time(401s));
  run.push(20001, Time(402s));
  EXPECT_EQ(run.log, "D0 L1+19999 D20000 20001 ");
  EXPECT_EQ(run.queue.resyncs(), 0u);
  EXPECT_EQ(run.queue.lost(), 19999u);
}

TEST(ReorderQueue, BigGapInNoTimeIsARestartNotALoss) {
  Player run;
  run.push(0, Time(0ms));
  for (std::uint64_t i = 20000; i < 20005; ++i) {
    run.push(i, Time(20ms));
  }
  EXPECT_EQ(run.log, "D0 RD20000 20001 20002 20003 20004 ");
}

TEST(ReorderQueue, FortyThousandPacketsBehindAHoleAreBounded) {
  Player run(5s);
  run.push(0, Time{});
  std::size_t most = 0;
  for (std::uint64_t i = 2; i < 40000; ++i) {
    run.push(i, Time(Duration(i * 1000)));
    most = std::max(most, run.queue.size());
  }
  EXPECT_LE(most, ReorderRules::max_queued);
  EXPECT_EQ(run.played.size(), 39999u) << "a full queue gives up the hole, not the packets";
  EXPECT_EQ(run.lost.size(), 1u);
}

TEST(ReorderQueue, RandomFarPacketsAreBounded) {
  std::mt19937_64 random(5);
  Player run;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    run.push(random() % 1000000, Time(i * 1us));
    EXPECT_LE(run.queue.size(), ReorderRules::max_queued + ReorderRules::max_candidates);
  }
}

TEST(ReorderQueue, MultipleLossesDoNotStall) {
  Player run;
  Time now{};
  for (std::uint64_t i = 0; i < 3000; ++i, now += 20ms) {
    if (i % 7 < 4) {
      run.push(i, now);
    } else {
      run.poll(now);
    }
  }
  run.poll(now + 1s);
  EXPECT_EQ(run.played.size(), run.queue.ledger().received);
  EXPECT_TRUE(run.in_order());
}

TEST(ReorderQueue, DeadlineCountsFromTheReleaseFromHold) {
  Player run;
  // Held packets come in one go, two seconds after they arrived.
  run.push(0, Time(2s));
  run.push(2, Time(2s));
  EXPECT_EQ(run.wait, Time(2100ms));
}

TEST(ReorderQueue, PaddingOnlyIsNotALoss) {
  Player run;
  run.push(0, Time(0ms));
  run.queue.skip(base + 1, Time(20ms));
  run.push(2, Time(40ms));
  run.push(4, Time(60ms));
  run.queue.skip(base + 3, Time(70ms));
  run.poll(Time(70ms));
  EXPECT_EQ(run.log, "D0 2 4 ");
  EXPECT_EQ(run.queue.ledger().received, 3u);
}

TEST(ReorderQueue, ZeroLatencyReportsAtOnce) {
  Player run(0ms);
  run.push(0, Time(0ms));
  run.push(2, Time(20ms));
  EXPECT_EQ(run.log, "D0 L1+1 D2 ");
}

TEST(ReorderQueue, FlushStartsAnew) {
  Player run;
  run.push(5, Time(0ms));
  run.push(7, Time(1ms));
  run.push(9000, Time(1ms));
  run.queue.flush();
  EXPECT_EQ(run.queue.ledger().evicted, 2u);
  EXPECT_TRUE(run.queue.ledger().adds_up());
  run.push(3, Time(2ms));
  EXPECT_EQ(run.log, "D5 RD3 ");
}

TEST(ReorderQueue, ReorderedAndDuplicatedInputGivesTheOrderedOutput) {
  constexpr unsigned seed = 20261123;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  // 10 % are delayed by up to 10 packets, 10 % come twice.
  std::vector<std::pair<std::int64_t, std::uint64_t>> wire;
  constexpr std::uint64_t count = 20000;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::int64_t>(i * 20);
    wire.emplace_back(at + (i > 0 && random() % 10 == 0 ? std::int64_t(random() % 200) : 0), i);
    if (random() % 10 == 0) {
      wire.emplace_back(at + std::int64_t(random() % 200), i);
    }
  }
  std::sort(wire.begin(), wire.end());
  Player run(200ms);
  for (const auto& [ms, sequence] : wire) {
    run.push(sequence, Time(std::chrono::milliseconds(ms)));
  }
  std::vector<std::uint64_t> expected(count);
  std::iota(expected.begin(), expected.end(), 0u);
  EXPECT_EQ(run.played, expected);
  EXPECT_TRUE(run.lost.empty());
}
