#include "worker/ring.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <climits>
#include <cstring>

namespace discord::worker {

namespace {

constexpr std::uint64_t padded(std::uint64_t size) noexcept {
  return (size + record_alignment - 1) / record_alignment * record_alignment;
}

}  // namespace

std::size_t RingWriter::room() noexcept {
  const std::uint64_t tail = tail_.load(std::memory_order_acquire);
  if (tail < seen_tail_ || tail > head_.load(std::memory_order_relaxed)) {
    sane_ = false;
  } else {
    seen_tail_ = tail;
  }
  return sane_ ? capacity_ - static_cast<std::size_t>(next_ - seen_tail_) : 0;
}

MutableByteSpan RingWriter::reserve(std::uint32_t type, std::size_t size) noexcept {
  const std::uint64_t needed = padded(sizeof(RecordHeader) + size);
  const std::size_t at = static_cast<std::size_t>(next_ & (capacity_ - 1));
  const std::uint64_t to_end = capacity_ - at;
  const std::uint64_t filler = needed > to_end ? to_end : 0;
  if (size == 0 || size > max_body() || filler + needed > room()) {
    return {};
  }
  const auto header = [&](std::uint64_t position, RecordHeader value) {
    std::memcpy(data_ + (position & (capacity_ - 1)), &value, sizeof value);
  };
  if (filler > 0) {
    header(next_, {static_cast<std::uint32_t>(filler), 0});
    next_ += filler;
  }
  header(next_, {static_cast<std::uint32_t>(sizeof(RecordHeader) + size), type});
  std::uint8_t* body = data_ + (next_ & (capacity_ - 1)) + sizeof(RecordHeader);
  next_ += needed;
  return {body, size};
}

std::optional<Record> RingReader::peek() noexcept {
  while (sane_) {
    if (seen_head_ == next_) {
      seen_head_ = head_.load(std::memory_order_acquire);
    }
    const std::uint64_t ready = seen_head_ - next_;
    if (ready == 0) {
      return std::nullopt;
    }
    const std::size_t at = static_cast<std::size_t>(next_ & (capacity_ - 1));
    RecordHeader header;
    if (seen_head_ < next_ || ready > capacity_ || ready < sizeof header ||
        ready % record_alignment != 0) {
      sane_ = false;
      break;
    }
    std::memcpy(&header, data_ + at, sizeof header);  // once: it may change
    const std::uint64_t whole = padded(header.size);
    const bool filler = header.type == 0;
    if (header.size < sizeof header + (filler ? 0 : 1) || whole > ready || whole > capacity_ - at ||
        (filler && whole != capacity_ - at)) {
      sane_ = false;
      break;
    }
    if (filler) {
      next_ += whole;
      continue;
    }
    taken_ = whole;
    return Record{header.type, ByteSpan(data_ + at + sizeof header, header.size - sizeof header)};
  }
  return std::nullopt;
}

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
  // Any error means: look again.
  (void)syscall(SYS_futex, reinterpret_cast<const std::uint32_t*>(&word), FUTEX_WAIT, expected,
                nullptr, nullptr, 0);
}

void futex_wake(std::atomic<std::uint32_t>& word) noexcept {
  (void)syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr,
                nullptr, 0);
}

bool wake_if_asleep(std::atomic<std::uint32_t>& asleep, std::atomic<std::uint32_t>& word) noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (asleep.load(std::memory_order_relaxed) == 0 ||
      asleep.exchange(0, std::memory_order_relaxed) == 0) {
    return false;
  }
  word.fetch_add(1, std::memory_order_release);
  futex_wake(word);
  return true;
}

}  // namespace discord::worker
