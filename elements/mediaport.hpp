// Where the control thread hands the media socket to the streaming thread.
#pragma once

#include "base/mutex.hpp"
#include "net/udp_socket.hpp"
#include "voice/actions.hpp"

#include <memory>

namespace discord {

// The streaming thread waits here for datagrams of whichever connection there is, and for none;
// the control thread changes the socket under its feet when the call moves.
class MediaPort {
 public:
  struct Socket {
    voice::Generation generation = 0;
    std::shared_ptr<net::UdpSocket> udp;
  };
  enum class Outcome {
    readable,  // `socket` has something, or had a moment ago
    flushing,
    ended,  // the session is over for good
  };

  MediaPort();
  // False when the process had no descriptor left: `wait` could not be woken up.
  bool usable() const noexcept { return static_cast<bool>(wake_); }

  // Any thread. An empty socket: there is none for now.
  void install(Socket socket) EXCLUDES(mutex_);
  void end() EXCLUDES(mutex_);
  void set_flushing(bool flushing) EXCLUDES(mutex_);
  // Back to "no socket, not ended", for the next run.
  void reset() EXCLUDES(mutex_);

  // The streaming thread: waits until one of the outcomes holds.
  Outcome wait(Socket& socket) EXCLUDES(mutex_);

 private:
  void wake();

  net::FileDescriptor wake_;
  Mutex mutex_;
  Socket socket_ GUARDED_BY(mutex_);
  bool flushing_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
};

}  // namespace discord
