// A UDP socket on 127.0.0.1 and a precise timer, both on the thread's default main context.
#pragma once

#include "forwarder.hpp"

#include <glib.h>

namespace discord::loopback {

// CLOCK_MONOTONIC.
Time monotonic_now() noexcept;

class UdpSocket {
 public:
  using OnDatagram = std::function<void(const Address& from, MutableByteSpan bytes)>;

  explicit UdpSocket(OnDatagram on_datagram) : on_datagram_(std::move(on_datagram)) {}
  ~UdpSocket();
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;

  std::optional<std::string> bind(std::uint16_t port);
  std::uint16_t port() const noexcept { return port_; }
  // A full socket buffer drops, as a network does. Nothing leaves the machine: other addresses
  // than 127/8 are ignored.
  void send(const Address& to, ByteSpan bytes) noexcept;

 private:
  static gboolean on_ready(gint fd, GIOCondition, gpointer self);

  OnDatagram on_datagram_;
  int fd_ = -1;
  GSource* source_ = nullptr;
  std::uint16_t port_ = 0;
};

// GLib's own timeouts count milliseconds, too coarse for 2.5 ms packets; this one does not.
class Timer {
 public:
  explicit Timer(std::function<void()> on_time) : on_time_(std::move(on_time)) {}
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  std::optional<std::string> start();
  void set(Deadline at) noexcept;

 private:
  static gboolean on_ready(gint fd, GIOCondition, gpointer self);

  std::function<void()> on_time_;
  int fd_ = -1;
  GSource* source_ = nullptr;
};

}  // namespace discord::loopback
