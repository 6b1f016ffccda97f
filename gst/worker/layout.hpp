// The memory that this process (the parent) shares with one worker, and who may write where.
//
//   input memfd, sealed F_SEAL_FUTURE_WRITE after the parent has mapped it, read-only for the
//   worker
//     page 0   InputHeader     head of the input ring, tail of the output ring, wake-up words
//     page 1   secrets         64 slots of 64 bytes; MADV_DONTDUMP; the parent wipes a slot as soon
//                              as the worker has answered the record that names it
//     page 2…  input ring      1 MiB of records: settings, datagrams
//   output memfd, written by the worker
//     page 0   OutputHeader    head of the output ring, tail of the input ring, what it works on
//     page 1…  output ring     1 MiB of records: frames, checkpoints
//   doorbell                   an eventfd: the worker rings it when the dispatcher
//   sleeps
//
// Each side writes only its own memfd, so a worker that has been taken over can change neither a
// datagram nor a key after the parent has written it.
//
// A hand-over
//   parent                                  worker
//   keeps a copy of the datagram (open)
//   record, head.store(release) ──────────▶ head.load(acquire), record
//   asleep? wake it                         working_on = id; decrypt, reorder, decode
//                                           frames, finished ids, checkpoint, batch: written
//   head.load(acquire), records ◀────────── head.store(release), once for all of them
//   checks each against its own copies      asleep dispatcher? ring the doorbell
//   tail.store(release) ──────────────────▶ room again
//   the finished ids are no longer open
//
// What a worker publishes at once belongs together: so whenever it dies, the parent has seen a
// state, everything that led to it, and nothing after it.
//
// A crash, and a replacement
//   pidfd readable: read what was published; reap; working_on names the suspect
//   a suspect that has killed twice is no longer open (skipped)
//   the spare worker: settings, users, keys (again through the secrets page)
//     for a speaker with open packets or who is speaking now; for others when they next talk:
//       checkpoint, replay window, the last 100 Opus packets to be heard by nobody
//   every open datagram again, oldest first, with the time it arrived at
//   go on; make a new spare
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace discord::worker {

inline constexpr std::uint32_t protocol_version = 3;
inline constexpr std::size_t page_size = 4096;
inline constexpr std::size_t ring_size = std::size_t{1} << 20;
inline constexpr std::size_t secret_slot_size = 64;
inline constexpr std::size_t secret_slots = page_size / secret_slot_size;

inline constexpr std::size_t secrets_offset = page_size;
inline constexpr std::size_t input_ring_offset = 2 * page_size;
inline constexpr std::size_t input_size = input_ring_offset + ring_size;
inline constexpr std::size_t output_ring_offset = page_size;
inline constexpr std::size_t output_size = output_ring_offset + ring_size;

// Descriptors a worker is born with, beside 0 to 2 on /dev/null; behind them the reading end of a
// pipe that kills it (see WorkerProcess).
inline constexpr int input_fd = 3;
inline constexpr int output_fd = 4;
inline constexpr int doorbell_fd = 5;

// A worker of a shared pool has a pair of memories for each of so many sessions. Waking, napping
// and sleeping go through the headers of the first pair; everything else is each pair's own.
inline constexpr std::size_t max_channels = 8;
constexpr int input_fd_of(std::size_t channel) {
  return channel == 0 ? input_fd : static_cast<int>(4 + 2 * channel);
}
constexpr int output_fd_of(std::size_t channel) {
  return channel == 0 ? output_fd : static_cast<int>(5 + 2 * channel);
}
constexpr int leash_fd_of(std::size_t channels) {
  const int last = output_fd_of(channels - 1);
  return (last > doorbell_fd ? last : doorbell_fd) + 1;
}

// Counters are positions since the beginning and never wrap; each in a cache line of its own.
struct InputHeader {
  alignas(64) std::atomic<std::uint64_t> head;         // input ring, published up to here
  alignas(64) std::atomic<std::uint64_t> output_tail;  // output ring, read up to here
  alignas(64) std::atomic<std::uint32_t> wake;         // futex word: changes when there is news
  alignas(64) std::atomic<std::uint32_t> nap;          // odd while the dispatcher sleeps
};

struct OutputHeader {
  alignas(64) std::atomic<std::uint64_t> head;        // output ring, published up to here
  alignas(64) std::atomic<std::uint64_t> input_tail;  // input ring, read up to here
  alignas(64) std::atomic<std::uint32_t> asleep;      // the worker waits for `wake` to change
  alignas(64) std::atomic<std::uint64_t> working_on;  // id of a datagram, 0 = none
};
// In place of an id, with the SSRC: it hears somebody's last packets again.
inline constexpr std::uint64_t warming_up = std::uint64_t{1} << 63;

static_assert(sizeof(InputHeader) <= page_size && sizeof(OutputHeader) <= page_size);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace discord::worker
