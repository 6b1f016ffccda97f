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
    std::uint64_t connection = 0;  // the generation as the call's snapshots have it
  };
  enum class Outcome {
    readable,  // `socket` has something, or had a moment ago
    left,      // nothing of `socket.connection`, or of one before it, comes any more
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
  // Back to "no socket, not ended", for the next run. Not while somebody waits.
  void reset() EXCLUDES(mutex_);

  // The streaming thread: waits until one of the outcomes holds. What has already arrived at a
  // socket that was replaced is read first: it was said, and its key is known.
  Outcome wait(Socket& socket) EXCLUDES(mutex_);

 private:
  // How often a replaced socket is given out at most: a peer that goes on sending must not hold us.
  // With a batch each time it is several times what the default receive buffer holds.
  static constexpr int max_last_reads = 512;

  void wake();

  net::FileDescriptor wake_;
  Mutex mutex_;
  Socket socket_ GUARDED_BY(mutex_);
  bool flushing_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::uint64_t left_ GUARDED_BY(mutex_) = 0;  // the last connection that was replaced
  Socket reading_;                             // streaming thread: given out last
  int last_reads_ = 0;                         // streaming thread: since it was replaced
  std::uint64_t told_ = 0;                     // streaming thread: given out as `left`
};

}  // namespace discord
