// SPDX-License-Identifier: LGPL-2.1-or-later
#include "net/udp_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

namespace discord::net {

namespace {

std::string with_errno(std::string what) {
  return std::move(what) + ": " + std::strerror(errno);
}

Duration age_of(const timespec& stamp, const timespec& now) noexcept {
  const auto ns = [](const timespec& t) {
    return Duration(std::chrono::seconds(t.tv_sec)) + Duration(t.tv_nsec);
  };
  return std::clamp(ns(now) - ns(stamp), Duration::zero(), Duration(std::chrono::seconds(1)));
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) {
      ::close(fd_);
    }
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<std::shared_ptr<UdpSocket>, std::string> UdpSocket::connect(const std::string& address,
                                                                   std::uint16_t port,
                                                                   int receive_buffer) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) {
    return Failure{std::string("the server named a media address that is not IPv4: ") + address};
  }
  FileDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    return Failure{with_errno("no UDP socket could be made")};
  }
  const int on = 1;
  // SO_RCVBUFFORCE works only with CAP_NET_ADMIN; the plain option is capped by net.core.rmem_max.
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) !=
      0) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  ::setsockopt(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  int granted = 0;
  socklen_t length = sizeof granted;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &granted, &length);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    return Failure{with_errno("the media address " + address + " cannot be reached")};
  }
  // The kernel reports twice the bytes it will hold, because it counts its own bookkeeping.
  return std::make_shared<UdpSocket>(std::move(fd), granted / 2);
}

bool UdpSocket::send(ByteSpan bytes) noexcept {
  return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

std::size_t UdpSocket::receive(std::span<iovec> slots, std::span<DatagramInfo> infos) noexcept {
  constexpr std::size_t control_size =
      CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(sizeof(std::uint32_t));
  const std::size_t count = std::min({slots.size(), infos.size(), max_batch});
  std::array<mmsghdr, max_batch> messages{};
  alignas(cmsghdr) std::array<std::array<char, control_size>, max_batch> controls;
  for (std::size_t i = 0; i < count; i++) {
    messages[i].msg_hdr.msg_iov = &slots[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_control = controls[i].data();
    messages[i].msg_hdr.msg_controllen = control_size;
  }
  // Errors such as ECONNREFUSED (an ICMP answer to a keepalive) say nothing about the next
  // datagram: whoever waits for data finds out by its absence.
  const int got =
      ::recvmmsg(fd_.get(), messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
  if (got <= 0) {
    return 0;
  }
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  for (int i = 0; i < got; i++) {
    const auto index = static_cast<std::size_t>(i);
    msghdr& header = messages[index].msg_hdr;
    DatagramInfo& info = infos[index];
    info = {messages[index].msg_len, (header.msg_flags & MSG_TRUNC) != 0, Duration::zero()};
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET) {
        continue;
      }
      if (c->cmsg_type == SCM_TIMESTAMPNS) {
        timespec stamp{};
        std::memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        info.age = age_of(stamp, now);
      } else if (c->cmsg_type == SO_RXQ_OVFL) {
        std::uint32_t total = 0;
        std::memcpy(&total, CMSG_DATA(c), sizeof total);
        kernel_drops_ += static_cast<std::uint32_t>(total - last_overflow_);
        last_overflow_ = total;
      }
    }
  }
  return static_cast<std::size_t>(got);
}

}  // namespace discord::net
