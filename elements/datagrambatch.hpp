// Pooled buffers that the kernel fills many at a time.
#pragma once

#include "discord/gstptr.hpp"
#include "net/udp_socket.hpp"

#include <array>

namespace discord {

// A set of mapped buffers from a pool, as receive slots. Buffers that were filled leave; the next
// receive replaces them. For one thread.
class DatagramBatch {
 public:
  // Larger than any datagram that makes sense (docs/protocol.md "Datagram size"); longer ones are
  // cut by the kernel, reported as truncated, and dropped.
  static constexpr gsize datagram_size = 2048;

  DatagramBatch();
  ~DatagramBatch();
  DatagramBatch(const DatagramBatch&) = delete;
  DatagramBatch& operator=(const DatagramBatch&) = delete;

  // How many datagrams `take` and `peek` now have; 0 when there were none or no memory.
  std::size_t receive(net::UdpSocket& socket);

  const net::DatagramInfo& info(std::size_t i) const { return infos_[i]; }
  ByteSpan peek(std::size_t i) const {
    return {static_cast<const std::uint8_t*>(slots_[i].iov_base), infos_[i].size};
  }
  // The i-th datagram as a buffer of its size.
  BufferPtr take(std::size_t i);

 private:
  bool refill();

  GstBufferPool* pool_;
  std::array<BufferPtr, net::UdpSocket::max_batch> buffers_;
  std::array<GstMapInfo, net::UdpSocket::max_batch> maps_;
  std::array<iovec, net::UdpSocket::max_batch> slots_{};
  std::array<net::DatagramInfo, net::UdpSocket::max_batch> infos_{};
};

}  // namespace discord
