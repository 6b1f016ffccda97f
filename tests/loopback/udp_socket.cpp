#include "udp_socket.hpp"

#include <arpa/inet.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace discord::loopback {
namespace {

constexpr int buffer_size = 4 * 1024 * 1024;
constexpr int datagrams_per_turn = 64;  // then other sources get their turn

sockaddr_in to_sockaddr(const Address& a) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = htonl(a.ip);
  out.sin_port = htons(a.port);
  return out;
}

GSource* attach(int fd, GUnixFDSourceFunc function, gpointer data) {
  GSource* source = g_unix_fd_source_new(fd, G_IO_IN);
  g_source_set_callback(source, reinterpret_cast<GSourceFunc>(reinterpret_cast<void*>(function)),
                        data, nullptr);
  g_source_attach(source, g_main_context_get_thread_default());
  return source;
}

void detach(GSource*& source, int& fd) {
  if (source != nullptr) {
    g_source_destroy(source);
    g_source_unref(source);
    source = nullptr;
  }
  if (fd >= 0) {
    ::close(fd);
    fd = -1;
  }
}

std::string errno_text(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

}  // namespace

Time monotonic_now() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return time_from_ns(std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec);
}

UdpSocket::~UdpSocket() {
  detach(source_, fd_);
}

std::optional<std::string> UdpSocket::bind(std::uint16_t port) {
  fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) {
    return errno_text("cannot make a UDP socket");
  }
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof buffer_size);
  setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof buffer_size);
  sockaddr_in address = to_sockaddr({INADDR_LOOPBACK, port});
  socklen_t size = sizeof address;
  if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return errno_text("cannot bind the UDP port");
  }
  port_ = ntohs(address.sin_port);
  source_ = attach(fd_, on_ready, this);
  return std::nullopt;
}

gboolean UdpSocket::on_ready(gint fd, GIOCondition, gpointer self_pointer) {
  auto* self = static_cast<UdpSocket*>(self_pointer);
  std::array<std::uint8_t, 4096> buffer;
  for (int i = 0; i < datagrams_per_turn; ++i) {
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t got =
        recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) {
      break;  // EAGAIN, or an ICMP answer to an earlier send, which clears itself
    }
    self->on_datagram_({ntohl(from.sin_addr.s_addr), ntohs(from.sin_port)},
                       MutableByteSpan(buffer).first(static_cast<std::size_t>(got)));
  }
  return G_SOURCE_CONTINUE;
}

void UdpSocket::send(const Address& to, ByteSpan bytes) noexcept {
  if (to.ip >> 24 != 127) {
    return;
  }
  const sockaddr_in address = to_sockaddr(to);
  sendto(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
         sizeof address);
}

Timer::~Timer() {
  detach(source_, fd_);
}

std::optional<std::string> Timer::start() {
  fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd_ < 0) {
    return errno_text("cannot make a timer");
  }
  source_ = attach(fd_, on_ready, this);
  return std::nullopt;
}

void Timer::set(Deadline at) noexcept {
  itimerspec spec{};
  if (at) {
    // Zero would disarm it; the past fires at once.
    const std::int64_t ns = std::max<std::int64_t>(1, to_ns(*at));
    spec.it_value.tv_sec = ns / 1'000'000'000;
    spec.it_value.tv_nsec = ns % 1'000'000'000;
  }
  timerfd_settime(fd_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

gboolean Timer::on_ready(gint fd, GIOCondition, gpointer self_pointer) {
  std::uint64_t expirations = 0;
  if (read(fd, &expirations, sizeof expirations) == sizeof expirations) {
    static_cast<Timer*>(self_pointer)->on_time_();
  }
  return G_SOURCE_CONTINUE;
}

}  // namespace discord::loopback
