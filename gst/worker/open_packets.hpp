// The datagrams that a worker has not finished: all that must be done again when it dies.
#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <deque>
#include <vector>

namespace discord::worker {

struct OpenPacket {
  std::uint64_t id = 0;
  Bytes bytes;
  Time arrival{};
  std::uint32_t ssrc = 0;
  std::uint8_t deaths = 0;
  std::uint8_t frames = 0;  // brought forth by this worker
  bool delivered = false;   // by a predecessor
  bool done = false;
  // The how-manieth record to this worker it was; 0: not sent.
  std::uint64_t input = 0;
};

// A queue by id, which counts up from 1: one that has finished leaves once those before it have.
// References hold until the next call of `add` or `close`.
class OpenPackets {
 public:
  static constexpr std::size_t max_packets = 8192;
  static constexpr std::size_t max_bytes = std::size_t{4} << 20;

  // A copy of the datagram; null when there is no room.
  OpenPacket* add(ByteSpan datagram, std::uint32_t ssrc, Time arrival);
  // Null when there never was such an id, or it has been closed.
  OpenPacket* find(std::uint64_t id) noexcept;
  const OpenPacket* find(std::uint64_t id) const noexcept;
  // The first that is open with this id or a higher one, or null.
  const OpenPacket* next(std::uint64_t id) const noexcept;
  std::uint64_t next_id() const noexcept { return next_id_; }
  void close(OpenPacket& packet);
  bool has(std::uint32_t ssrc) const noexcept;

  // Those that are not closed.
  std::size_t count() const noexcept { return count_; }
  bool empty() const noexcept { return packets_.empty(); }
  std::uint64_t first_id() const noexcept { return packets_.front().id; }

  // The closed ones among them say `done`.
  auto begin() noexcept { return packets_.begin(); }
  auto end() noexcept { return packets_.end(); }

 private:
  std::deque<OpenPacket> packets_;  // ascending by id, those in front not done
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t next_id_ = 1;
  std::vector<Bytes> spare_;  // memory of closed ones
};

}  // namespace discord::worker
