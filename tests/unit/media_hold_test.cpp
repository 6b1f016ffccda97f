#include "media/hold_queue.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

using namespace discord;
using namespace discord::media;
using namespace std::chrono_literals;

namespace {

using Handle = std::unique_ptr<int>;

struct Hold {
  HoldQueue<Handle> queue;
  std::vector<std::pair<std::uint32_t, int>> evicted, expired;

  explicit Hold(const HoldLimits& limits = {}) : queue(limits) {}
  void push(std::uint32_t ssrc, int value, std::size_t bytes, Time now) {
    queue.push(ssrc, std::make_unique<int>(value), bytes, now,
               [&](std::uint32_t from, Handle&& h) { evicted.emplace_back(from, *h); });
  }
  void expire(Time now) {
    queue.expire(now, [&](std::uint32_t from, Handle&& h) { expired.emplace_back(from, *h); });
  }
  std::vector<int> release(std::uint32_t ssrc) {
    std::vector<int> out;
    queue.release(ssrc, [&](Handle&& h) { out.push_back(*h); });
    return out;
  }
};

}  // namespace

TEST(HoldQueue, ReleasesInOrderAndOnlyThatSsrc) {
  Hold hold;
  for (int i = 0; i < 5; ++i) {
    hold.push(1, i, 100, Time(i * 20ms));
    hold.push(2, 100 + i, 100, Time(i * 20ms));
  }
  EXPECT_EQ(hold.release(1), (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_TRUE(hold.queue.holds(2)) << "another speaker's packets are none of its business";
  EXPECT_EQ(hold.release(2).size(), 5u);
  EXPECT_EQ(hold.queue.bytes(), 0u);
  EXPECT_EQ(hold.queue.lanes(), 0u);
}

TEST(HoldQueue, EachPacketWaitsItsOwnTime) {
  Hold hold;
  hold.push(1, 0, 100, Time(0ms));
  hold.push(1, 1, 100, Time(500ms));
  EXPECT_EQ(hold.queue.next_deadline(), Time(2000ms));
  hold.expire(Time(1999ms));
  EXPECT_TRUE(hold.expired.empty());
  hold.expire(Time(2000ms));
  EXPECT_EQ(hold.expired.size(), 1u);
  EXPECT_EQ(hold.queue.next_deadline(), Time(2500ms));
  EXPECT_EQ(hold.release(1), std::vector<int>{1}) << "one expiry does not condemn those behind it";
}

TEST(HoldQueue, AfterAnExpiryNothingWaitsUntilKnownOnce) {
  Hold hold;
  hold.push(1, 0, 100, Time(0ms));
  EXPECT_TRUE(hold.queue.waits(1));
  hold.expire(Time(2000ms));
  EXPECT_FALSE(hold.queue.waits(1));
  EXPECT_TRUE(hold.queue.waits(2));
  EXPECT_FALSE(hold.queue.next_deadline());
  EXPECT_TRUE(hold.release(1).empty());
  EXPECT_TRUE(hold.queue.waits(1));
}

TEST(HoldQueue, CapPerSsrcDropsItsOwnOldest) {
  Hold hold({2s, 1000, 100000});
  for (int i = 0; i < 5; ++i) {
    hold.push(1, i, 300, Time{});
  }
  hold.push(2, 100, 300, Time{});
  EXPECT_EQ(hold.evicted, (std::vector<std::pair<std::uint32_t, int>>{{1, 0}, {1, 1}, {1, 2}}));
  EXPECT_LE(hold.queue.bytes(), 2000u);
  EXPECT_EQ(hold.release(1), (std::vector<int>{3, 4}));
}

TEST(HoldQueue, GlobalCapDropsTheLargestHolder) {
  Hold hold({2s, 100000, 10000});
  hold.push(7, 70, 100, Time{});
  for (int i = 0; i < 100; ++i) {
    hold.push(1, i, 1000, Time{});
  }
  EXPECT_LE(hold.queue.bytes(), 10000u);
  for (const auto& [ssrc, value] : hold.evicted) {
    EXPECT_EQ(ssrc, 1u);
  }
  EXPECT_EQ(hold.release(7), std::vector<int>{70});
}

TEST(HoldQueue, PacketLargerThanTheCapComesStraightBack) {
  Hold hold({2s, 1000, 10000});
  hold.push(1, 5, 5000, Time{});
  EXPECT_EQ(hold.evicted.size(), 1u);
  EXPECT_EQ(hold.queue.lanes(), 0u) << "nothing may stay behind in the table";
}

TEST(HoldQueue, TinyPacketsMeetTheCapsToo) {
  Hold hold;
  for (int i = 0; i < 100000; ++i) {
    hold.push(1, i, 1, Time{});
  }
  EXPECT_LE(hold.queue.size(), 256u * 1024 / HoldQueue<Handle>::overhead);
}

TEST(HoldQueue, TakesTheFirstIfItIsTheOne) {
  Hold hold;
  hold.push(1, 7, 100, Time(0ms));
  hold.push(1, 8, 100, Time(0ms));
  const auto seven = [](const Handle& h) { return *h == 7; };
  EXPECT_FALSE(hold.queue.take_if(2, seven));
  const auto taken = hold.queue.take_if(1, seven);
  ASSERT_TRUE(taken);
  EXPECT_EQ(**taken, 7);
  EXPECT_FALSE(hold.queue.take_if(1, seven));
  EXPECT_TRUE(hold.queue.take_if(1, [](const Handle&) { return true; }));
  EXPECT_EQ(hold.queue.bytes(), 0u);
  EXPECT_EQ(hold.queue.lanes(), 0u);
}

TEST(HoldQueue, ForgivesAnExpiry) {
  Hold hold;
  hold.push(1, 0, 100, Time(0ms));
  hold.expire(Time(2s));
  EXPECT_FALSE(hold.queue.waits(1));
  hold.queue.forgive(1);
  EXPECT_TRUE(hold.queue.waits(1));
  EXPECT_EQ(hold.queue.lanes(), 0u);
}
