#include "worker/ring.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

using namespace discord;
using namespace discord::worker;

namespace {

struct Memory {
  explicit Memory(std::size_t capacity) : data(capacity + 8), size(capacity) {
    // As in the mapping, records are aligned.
    base = data.data() + (8 - reinterpret_cast<std::uintptr_t>(data.data()) % 8) % 8;
  }
  Bytes data;
  std::size_t size;
  std::uint8_t* base;
  std::atomic<std::uint64_t> head{0};
  std::atomic<std::uint64_t> tail{0};
  RingWriter writer() { return {base, size, head, tail}; }
  RingReader reader() { return {base, size, head, tail}; }
  void forge(std::uint64_t at, RecordHeader header) {
    std::memcpy(base + at % size, &header, sizeof header);
  }
};

bool put(RingWriter& writer, std::uint32_t type, std::size_t size, std::uint8_t fill) {
  const MutableByteSpan to = writer.reserve(type, size);
  std::fill(to.begin(), to.end(), fill);
  return !to.empty();
}

}  // namespace

TEST(Ring, RecordsComeOutAsTheyWentIn) {
  Memory memory(256);
  RingWriter writer = memory.writer();
  RingReader reader = memory.reader();
  std::mt19937 random(1);
  for (std::uint32_t i = 1; i < 2000; ++i) {
    const std::size_t size = 1 + random() % 64;
    ASSERT_TRUE(put(writer, i, size, static_cast<std::uint8_t>(i)));
    EXPECT_FALSE(reader.peek());  // not published
    writer.publish();
    const auto record = reader.peek();
    ASSERT_TRUE(record);
    EXPECT_EQ(record->type, i);
    ASSERT_EQ(record->body.size(), size);
    EXPECT_EQ(record->body[0], static_cast<std::uint8_t>(i));
    EXPECT_EQ(record->body[size - 1], static_cast<std::uint8_t>(i));
    reader.pop();
    reader.release();
  }
  EXPECT_TRUE(writer.sane());
  EXPECT_TRUE(reader.sane());
  EXPECT_TRUE(writer.drained());
}

TEST(Ring, FullMeansNoRoomUntilReleased) {
  Memory memory(256);
  RingWriter writer = memory.writer();
  RingReader reader = memory.reader();
  unsigned fitted = 0;
  while (put(writer, 1, 24, 0)) {
    ++fitted;
  }
  EXPECT_EQ(fitted, 8u);
  writer.publish();
  ASSERT_TRUE(reader.peek());
  reader.pop();
  EXPECT_FALSE(put(writer, 1, 24, 0));  // popped, but the memory is still being looked at
  reader.release();
  EXPECT_TRUE(put(writer, 1, 24, 0));
  EXPECT_FALSE(put(writer, 1, 0, 0));
  EXPECT_FALSE(put(writer, 1, 65, 0));  // longer than `max_body`
}

TEST(Ring, ReaderRefusesEveryImpossibleRecord) {
  const auto refused = [](std::uint64_t head, RecordHeader header) {
    Memory memory(256);
    RingReader reader = memory.reader();
    memory.forge(0, header);
    memory.head = head;
    return !reader.peek() && !reader.sane();
  };
  EXPECT_TRUE(refused(16, {0, 1}));
  EXPECT_TRUE(refused(16, {7, 1}));
  EXPECT_TRUE(refused(16, {8, 1}));   // no body
  EXPECT_TRUE(refused(16, {17, 1}));  // longer than what was published
  EXPECT_TRUE(refused(16, {0xFFFFFFFF, 1}));
  EXPECT_TRUE(refused(4, {16, 1}));    // not even a header
  EXPECT_TRUE(refused(13, {16, 1}));   // not aligned
  EXPECT_TRUE(refused(264, {16, 1}));  // more than the ring holds
  EXPECT_TRUE(refused(UINT64_MAX - 7, {16, 1}));
  EXPECT_TRUE(refused(16, {16, 0}));  // a filler that does not reach the end
  EXPECT_FALSE(refused(16, {16, 1}));
}

TEST(Ring, ReaderRefusesHeadThatGoesBack) {
  Memory memory(256);
  RingWriter writer = memory.writer();
  RingReader reader = memory.reader();
  put(writer, 1, 8, 0);
  put(writer, 1, 8, 0);
  writer.publish();
  ASSERT_TRUE(reader.peek());
  reader.pop();
  ASSERT_TRUE(reader.peek());
  reader.pop();
  memory.head = 16;
  EXPECT_FALSE(reader.peek());
  EXPECT_FALSE(reader.sane());
}

TEST(Ring, WriterRefusesImpossibleTail) {
  for (const std::uint64_t tail : {std::uint64_t{1000}, UINT64_MAX}) {
    Memory memory(256);
    RingWriter writer = memory.writer();
    memory.tail = tail;
    EXPECT_FALSE(put(writer, 1, 8, 0));
    EXPECT_FALSE(writer.sane());
  }
}

// The litmus test of the hand-over: a message may only be seen whole (release and acquire), and
// nobody may sleep through one (a fence between store and load on both sides). Both ways at once,
// so that either end naps often.
TEST(Ring, TwoThreadsLoseNothingAndNobodyOversleeps) {
  Memory there(512), back(512);
  std::atomic<std::uint32_t> asleep[2] = {0, 0}, word[2] = {0, 0};
  constexpr std::uint64_t rounds = 20000;
  const auto send = [](RingWriter& writer, std::uint64_t value) {
    const std::size_t size = 8 * (1 + value % 5);
    const MutableByteSpan to = writer.reserve(7, size);
    if (to.empty()) {
      return false;
    }
    for (std::size_t i = 0; i < size; i += 8) {
      std::memcpy(to.data() + i, &value, 8);
    }
    writer.publish();
    return true;
  };
  const auto check = [](const Record& record, std::uint64_t value) {
    std::uint64_t got = 0;
    for (std::size_t i = 0; i < record.body.size(); i += 8) {
      std::memcpy(&got, record.body.data() + i, 8);
      if (got != value) {
        return false;
      }
    }
    return record.body.size() == 8 * (1 + value % 5);
  };
  std::thread echo([&] {
    RingReader reader = there.reader();
    RingWriter writer = back.writer();
    Sleeper sleeper(asleep[0], word[0]);
    for (std::uint64_t i = 0; i < rounds; ++i) {
      while (!reader.peek()) {
        ASSERT_TRUE(reader.sane());
        sleeper.sleep([&] { return reader.news(); });
      }
      ASSERT_TRUE(check(*reader.peek(), i));
      reader.pop();
      reader.release();
      wake_if_asleep(asleep[1], word[1]);
      while (!send(writer, i)) {
        sleeper.sleep([&] { return writer.room() >= 64; });
      }
      wake_if_asleep(asleep[1], word[1]);
    }
  });
  RingWriter writer = there.writer();
  RingReader reader = back.reader();
  Sleeper sleeper(asleep[1], word[1]);
  std::mt19937 random(3);
  std::uint64_t sent = 0, got = 0;
  while (got < rounds) {
    const std::uint64_t burst = random() % 6;
    for (std::uint64_t i = 0; i < burst && sent < rounds && send(writer, sent); ++i) {
      ++sent;
    }
    wake_if_asleep(asleep[0], word[0]);
    while (const auto record = reader.peek()) {
      ASSERT_TRUE(check(*record, got));
      ++got;
      reader.pop();
      reader.release();
      wake_if_asleep(asleep[0], word[0]);
    }
    if (got < sent && random() % 4 == 0) {
      sleeper.sleep([&] { return reader.news(); });
    }
  }
  echo.join();
  EXPECT_EQ(got, rounds);
}

// The store-buffering litmus test, on the very functions: one side publishes and looks whether the
// other sleeps, the other says that it sleeps and looks for news. Without a fence on both sides
// either may miss the other, and nobody would ever wake it (on x86 as well as on arm64).
TEST(Litmus, EitherTheSleeperSeesTheNewsOrTheWakerSeesTheSleeper) {
  constexpr int rounds = 20000;
  std::atomic<std::uint32_t> asleep{0}, word{0};
  std::atomic<std::uint64_t> news{0};
  std::atomic<int> gate[2] = {0, 0};
  int slept = 0;
  const auto meet = [&](int side, int round) {
    gate[side].store(round, std::memory_order_release);
    for (int spins = 0; gate[1 - side].load(std::memory_order_acquire) < round; ++spins) {
      if (spins > 200) {
        std::this_thread::yield();  // a machine with one processor
      }
    }
  };
  std::thread other([&] {
    Sleeper sleeper(asleep, word);
    for (int round = 1; round <= rounds; ++round) {
      meet(0, round);
      const auto want = static_cast<std::uint64_t>(round);
      bool waited = false;
      while (news.load(std::memory_order_acquire) < want) {  // would hang where both miss
        waited = true;
        sleeper.sleep([&] { return news.load(std::memory_order_relaxed) >= want; });
      }
      slept += waited;
    }
  });
  for (int round = 1; round <= rounds; ++round) {
    meet(1, round);
    news.store(static_cast<std::uint64_t>(round), std::memory_order_release);
    wake_if_asleep(asleep, word);
  }
  other.join();
  EXPECT_GT(slept, 0) << "the two never met";
}

// Message passing: whoever sees the new head sees all that was written before it.
TEST(Litmus, WhoSeesTheHeadSeesTheRecord) {
  Memory memory(4096);
  constexpr std::uint64_t rounds = 200000;
  std::thread writer([&] {
    RingWriter ring = memory.writer();
    for (std::uint64_t i = 1; i <= rounds;) {
      const MutableByteSpan to = ring.reserve(static_cast<std::uint32_t>(i), 8);
      if (to.empty()) {
        std::this_thread::yield();
        continue;
      }
      std::memcpy(to.data(), &i, 8);
      ring.publish();
      ++i;
    }
  });
  RingReader ring = memory.reader();
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 1; i <= rounds;) {
    const auto record = ring.peek();
    if (!record) {
      std::this_thread::yield();
      continue;
    }
    std::uint64_t got = 0;
    std::memcpy(&got, record->body.data(), 8);
    wrong += got != i || record->type != static_cast<std::uint32_t>(i);
    ring.pop();
    ring.release();
    ++i;
  }
  writer.join();
  EXPECT_EQ(wrong, 0u);
}

TEST(Ring, NoWakeUpForWhoIsAwake) {
  std::atomic<std::uint32_t> asleep{0}, word{0};
  EXPECT_FALSE(wake_if_asleep(asleep, word));
  EXPECT_EQ(word, 0u);
  asleep = 1;
  EXPECT_TRUE(wake_if_asleep(asleep, word));
  EXPECT_FALSE(wake_if_asleep(asleep, word));  // once a nap
  EXPECT_EQ(word, 1u);
}
