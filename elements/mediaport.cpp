// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/mediaport.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace discord {

MediaPort::MediaPort() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void MediaPort::wake() {
  const std::uint64_t one = 1;
  // A full counter means that a wake-up is pending already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void MediaPort::install(Socket socket) {
  {
    Lock lock(mutex_);
    if (socket_.udp && socket_.udp != socket.udp) {
      left_ = socket_.connection;
    }
    socket_ = std::move(socket);
  }
  wake();
}

void MediaPort::end() {
  {
    Lock lock(mutex_);
    ended_ = true;
  }
  wake();
}

void MediaPort::set_flushing(bool flushing) {
  {
    Lock lock(mutex_);
    flushing_ = flushing;
  }
  wake();
}

void MediaPort::reset() {
  Lock lock(mutex_);
  socket_ = {};
  ended_ = false;
  reading_ = {};
  left_ = 0;
  told_ = 0;
}

namespace {

bool readable(const MediaPort::Socket& socket) {
  pollfd fd = {socket.udp ? socket.udp->fd() : -1, POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

}  // namespace

MediaPort::Outcome MediaPort::wait(Socket& socket) {
  for (;;) {
    Socket wanted;
    bool ended = false;
    std::uint64_t left = 0;
    {
      Lock lock(mutex_);
      if (flushing_) {
        return Outcome::flushing;
      }
      wanted = socket_;
      ended = ended_;
      left = left_;
    }
    if (wanted.udp != reading_.udp && last_reads_ < max_last_reads && readable(reading_)) {
      last_reads_++;
      socket = reading_;
      return Outcome::readable;
    }
    if (ended) {
      return Outcome::ended;
    }
    if (wanted.udp != reading_.udp) {
      reading_ = std::move(wanted);
      last_reads_ = 0;
    }
    // Also when it came and went before it was ever read here.
    if (told_ != left) {
      told_ = left;
      socket = {.generation = 0, .udp = nullptr, .connection = left};
      return Outcome::left;
    }
    socket = reading_;
    pollfd fds[2] = {{wake_.get(), POLLIN, 0}, {socket.udp ? socket.udp->fd() : -1, POLLIN, 0}};
    if (::poll(fds, 2, -1) <= 0) {
      continue;
    }
    if (fds[0].revents != 0) {
      std::uint64_t drained = 0;
      [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &drained, sizeof drained);
      continue;
    }
    return Outcome::readable;
  }
}

}  // namespace discord
