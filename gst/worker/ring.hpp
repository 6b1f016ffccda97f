// Records from one process to one other, through shared memory (worker/layout.hpp).
#pragma once

#include "base/bytes.hpp"

#include <atomic>
#include <cstdint>
#include <optional>

namespace discord::worker {

// What precedes each record. Records are aligned to 8 bytes and lie in one piece; type 0 fills the
// end of the ring.
struct RecordHeader {
  std::uint32_t size = 0;  // of header and body, without the padding behind it
  std::uint32_t type = 0;
};
inline constexpr std::size_t record_alignment = 8;

// The writing end. `head` is ours, `tail` the reader's: it may say anything.
class RingWriter {
 public:
  // `capacity` is a power of two.
  RingWriter(std::uint8_t* data, std::size_t capacity, std::atomic<std::uint64_t>& head,
             const std::atomic<std::uint64_t>& tail) noexcept
      : data_(data), capacity_(capacity), head_(head), tail_(tail) {}

  // Longest body that always fits into an empty ring.
  std::size_t max_body() const noexcept { return capacity_ / 4; }
  // Room for a record's body, invisible until `publish`; empty when there is none now. `size` is at
  // least 1 and at most `max_body`. The caller fills all of it before anything else is reserved.
  MutableByteSpan reserve(std::uint32_t type, std::size_t size) noexcept;
  // Bytes that reservations could still take, in one piece or not.
  std::size_t room() noexcept;
  // Makes everything reserved visible (release).
  void publish() noexcept { head_.store(next_, std::memory_order_release); }
  bool unpublished() const noexcept { return next_ != head_.load(std::memory_order_relaxed); }
  // False once the reader's position was impossible.
  bool sane() const noexcept { return sane_; }
  // Whether the reader has read everything that was published.
  bool drained() noexcept { return room() == capacity_; }

 private:
  std::uint8_t* data_;
  std::size_t capacity_;
  std::atomic<std::uint64_t>& head_;
  const std::atomic<std::uint64_t>& tail_;
  std::uint64_t next_ = 0;       // end of what is reserved
  std::uint64_t seen_tail_ = 0;  // only ever goes forward
  bool sane_ = true;
};

struct Record {
  std::uint32_t type = 0;
  ByteSpan body;  // in shared memory: the writer may still change it, so copy before checking
};

// The reading end. `head` is the writer's: it may say anything, and so may every record.
class RingReader {
 public:
  RingReader(const std::uint8_t* data, std::size_t capacity, const std::atomic<std::uint64_t>& head,
             std::atomic<std::uint64_t>& tail) noexcept
      : data_(data), capacity_(capacity), head_(head), tail_(tail) {}

  // The next record, or nothing; it stays until `pop`.
  std::optional<Record> peek() noexcept;
  // Gives back the record that `peek` last returned; its memory is the writer's again at `release`.
  void pop() noexcept { next_ += taken_; }
  void release() noexcept { tail_.store(next_, std::memory_order_release); }
  // Whether there is anything beyond what was popped (acquire).
  bool news() const noexcept { return head_.load(std::memory_order_acquire) != next_; }
  // False once a position or a record was impossible; there are no more records then.
  bool sane() const noexcept { return sane_; }

 private:
  const std::uint8_t* data_;
  std::size_t capacity_;
  const std::atomic<std::uint64_t>& head_;
  std::atomic<std::uint64_t>& tail_;
  std::uint64_t next_ = 0;
  std::uint64_t seen_head_ = 0;
  std::uint64_t taken_ = 0;  // by the record that was peeked at
  bool sane_ = true;
};

// Sleeps until `word` is no longer `expected`; may return early. Works on a read-only mapping.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept;
void futex_wake(std::atomic<std::uint32_t>& word) noexcept;

// The reader who may sleep, and the writer who wakes it only then. `asleep` is written by the
// sleeper and cleared by whoever wakes it, `word` by the waker. Either the sleeper sees the news or
// the waker sees the sleeper: both put a sequentially consistent fence between their store and
// their load (the store-buffering litmus test; without it both may miss, on x86 as well).
class Sleeper {
 public:
  Sleeper(std::atomic<std::uint32_t>& asleep, const std::atomic<std::uint32_t>& word) noexcept
      : asleep_(asleep), word_(word) {}
  // Sleeps unless `news()` says that there is something already.
  template <class News> void sleep(News&& news) noexcept {
    const std::uint32_t seen = word_.load(std::memory_order_acquire);
    asleep_.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!news()) {
      futex_wait(word_, seen);
    }
    asleep_.store(0, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint32_t>& asleep_;
  const std::atomic<std::uint32_t>& word_;
};
// Call after the news has been published. One system call a nap, none while the other is awake.
// True when somebody had to be woken.
bool wake_if_asleep(std::atomic<std::uint32_t>& asleep, std::atomic<std::uint32_t>& word) noexcept;

}  // namespace discord::worker
