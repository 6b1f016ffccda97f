// The media socket of one voice connection.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <sys/uio.h>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace discord::net {

// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// What the kernel said of one datagram.
struct DatagramInfo {
  std::size_t size = 0;
  bool truncated = false;
  // How long the datagram waited in the kernel, clamped to [0, 1 s] because the kernel's clock can
  // be stepped.
  Duration age{};
};

// A connected, non-blocking UDP socket: the kernel drops what other addresses send
// (docs/protocol.md "Source address").
class UdpSocket {
 public:
  // `address` is an IPv4 literal; `receive_buffer` bytes are asked of the kernel, which may give
  // less. The error is a sentence.
  static Result<std::shared_ptr<UdpSocket>, std::string> connect(const std::string& address,
                                                                 std::uint16_t port,
                                                                 int receive_buffer);

  int fd() const noexcept { return fd_.get(); }
  bool send(ByteSpan bytes) noexcept;

  static constexpr std::size_t max_batch = 32;

  // Receives up to `max_batch` datagrams, one a slot, without waiting; gives how many. At most one
  // thread at a time.
  std::size_t receive(std::span<iovec> slots, std::span<DatagramInfo> infos) noexcept;

  // Datagrams the kernel dropped because the receive buffer was full (SO_RXQ_OVFL), since the last
  // call; for the thread that receives.
  std::uint64_t take_kernel_drops() noexcept { return std::exchange(kernel_drops_, 0); }
  // What the kernel granted, in bytes.
  int receive_buffer() const noexcept { return granted_; }

  explicit UdpSocket(FileDescriptor fd, int granted) noexcept
      : fd_(std::move(fd)), granted_(granted) {}

 private:
  FileDescriptor fd_;
  int granted_;
  std::uint32_t last_overflow_ = 0;
  std::uint64_t kernel_drops_ = 0;
};

}  // namespace discord::net
