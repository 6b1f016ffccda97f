// One worker process and the memory shared with it, from the parent's side.
#pragma once

#include "worker/layout.hpp"
#include "worker/protocol.hpp"
#include "worker/ring.hpp"

#include <sys/types.h>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace discord::worker {

class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// The same file under a number above those a worker is born with, so that giving it one does not
// close another; takes `fd`, and passes an error on.
int move_up(int fd) noexcept;

// A sealed memfd, mapped for reading and writing here and unmapped at the end.
class SharedMemory {
 public:
  // `read_only_for_others`: no later mapping of it can be written to.
  SharedMemory(const char* name, std::size_t size, bool read_only_for_others);
  ~SharedMemory();
  SharedMemory(SharedMemory&&) = delete;

  explicit operator bool() const noexcept { return data_ != nullptr; }
  std::uint8_t* data() const noexcept { return data_; }
  int fd() const noexcept { return fd_.get(); }

 private:
  FileDescriptor fd_;
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

struct SpawnSettings {
  std::string program;       // path of gst-discord-worker
  uid_t uid = 65534;         // to become when root
  int doorbell = -1;         // eventfd
  std::size_t channels = 1;  // 1 to max_channels
};

// How a worker ended.
struct Ending {
  bool known = false;  // false when somebody else reaped it
  int signal = 0;      // 0: it exited
  int status = 0;
  // It may be the fault of what it was working on: a fault signal, an own exit, or nobody knows.
  // SIGKILL and SIGTERM come from outside.
  bool blamed() const noexcept;
  std::string text() const;
};

// One pair of memories. Not for two threads at once, except that one may write (`input`) while
// another reads (`output`).
class Channel {
 public:
  Channel();
  ~Channel();
  Channel(Channel&&) = delete;

  explicit operator bool() const noexcept { return input_memory_ && output_memory_; }
  int input_descriptor() const noexcept { return input_memory_.fd(); }
  int output_descriptor() const noexcept { return output_memory_.fd(); }
  RingWriter& input() noexcept { return *input_; }
  RingReader& output() noexcept { return *output_; }
  InputHeader& in() noexcept { return *reinterpret_cast<InputHeader*>(input_memory_.data()); }
  OutputHeader& out() const noexcept {
    return *reinterpret_cast<OutputHeader*>(output_memory_.data());
  }
  // What the worker said it was working on; 0 = nothing.
  std::uint64_t working_on() const noexcept;
  // Puts a secret where a record can name it; the slot, or nothing when all are in use.
  std::optional<std::uint32_t> put_secret(ByteSpan secret) noexcept;
  void wipe_secret(std::uint32_t slot) noexcept;

 private:
  SharedMemory input_memory_;
  SharedMemory output_memory_;
  std::optional<RingWriter> input_;
  std::optional<RingReader> output_;
  std::uint64_t secrets_used_ = 0;  // bit a slot
};

// Not for two threads at once, except that one may write to channels while another reads them.
class WorkerProcess {
 public:
  // Null, with a sentence, when it cannot be started. The thread that calls must live as long as
  // the worker shall.
  static std::unique_ptr<WorkerProcess> spawn(const SpawnSettings& settings, std::string& problem);
  // Kills and reaps it.
  ~WorkerProcess();

  pid_t pid() const noexcept { return pid_; }
  // Readable once it has ended.
  int pidfd() const noexcept { return pidfd_.get(); }
  void kill() noexcept;
  // After it has ended.
  Ending reap() noexcept;

  Channel& channel(std::size_t i) noexcept { return *channels_[i]; }
  std::size_t channels() const noexcept { return channels_.size(); }
  // Whether any of them has something to read; whether all positions are possible.
  bool news() const noexcept;
  bool sane() const noexcept;
  // After publishing input or releasing output.
  void wake() noexcept;
  // Before and after the dispatcher sleeps; odd while it does.
  void set_nap(std::uint32_t nap) noexcept;

 private:
  WorkerProcess() = default;

  std::vector<std::unique_ptr<Channel>> channels_;
  pid_t pid_ = 0;
  FileDescriptor pidfd_;
  // A host that was root when it started the worker and has dropped its privileges since may not
  // kill it, and its own end no longer sends the death signal: both are checked against who it is
  // then. The worker holds the reading end of a pipe, for which it has asked the kernel to kill it,
  // we the writing end: a byte, or our end, kills it.
  FileDescriptor leash_;
  bool reaped_ = false;
};

}  // namespace discord::worker
