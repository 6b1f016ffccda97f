#include "worker/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

namespace discord::worker {

namespace {

int make_memfd(const char* name) noexcept {
  constexpr unsigned noexec = 0x0008U;  // MFD_NOEXEC_SEAL, from Linux 6.3
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = memfd_create(name, flags | noexec);
  return move_up(fd >= 0 || errno != EINVAL ? fd : memfd_create(name, flags));
}

}  // namespace

int move_up(int fd) noexcept {
  if (fd < 0) {
    return fd;
  }
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, 32);
  const int error = errno;
  close(fd);
  errno = error;
  return high;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

SharedMemory::SharedMemory(const char* name, std::size_t size, bool read_only_for_others)
    : fd_(make_memfd(name)), size_(size) {
  if (!fd_ || ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return;
  }
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (memory == MAP_FAILED) {
    return;
  }
  // Without SHRINK a worker could cut the file short and kill us with SIGBUS.
  constexpr int future_write = 0x0010;  // F_SEAL_FUTURE_WRITE
  const int seals =
      F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (read_only_for_others ? future_write : 0);
  if (fcntl(fd_.get(), F_ADD_SEALS, seals) != 0) {
    munmap(memory, size);
    return;
  }
  data_ = static_cast<std::uint8_t*>(memory);
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
}

bool Ending::blamed() const noexcept {
  return !known || (signal != SIGKILL && signal != SIGTERM && signal != SIGINT && signal != SIGHUP);
}

std::string Ending::text() const {
  if (!known) {
    return "reaped by somebody else";
  }
  if (signal == 0) {
    return "exit status " + std::to_string(status);
  }
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

Channel::Channel()
    : input_memory_("discord-worker-input", input_size, true),
      output_memory_("discord-worker-output", output_size, false) {
  if (*this) {
    madvise(input_memory_.data() + secrets_offset, page_size, MADV_DONTDUMP);
    input_.emplace(input_memory_.data() + input_ring_offset, ring_size, in().head,
                   out().input_tail);
    output_.emplace(output_memory_.data() + output_ring_offset, ring_size, out().head,
                    in().output_tail);
  }
}

Channel::~Channel() {
  if (*this) {
    sodium_memzero(input_memory_.data() + secrets_offset, page_size);
  }
}

std::unique_ptr<WorkerProcess> WorkerProcess::spawn(const SpawnSettings& settings,
                                                    std::string& problem) {
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess());
  for (std::size_t i = 0; i < settings.channels; ++i) {
    worker->channels_.push_back(std::make_unique<Channel>());
    if (!*worker->channels_.back()) {
      problem = std::string("There is no shared memory for a worker: ") + strerror(errno);
      return nullptr;
    }
  }

  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    problem = std::string("There is no pipe for a worker: ") + strerror(errno);
    return nullptr;
  }
  const FileDescriptor worker_end(move_up(ends[0]));
  worker->leash_ = FileDescriptor(move_up(ends[1]));

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, settings.doorbell, doorbell_fd);
  for (std::size_t i = 0; i < settings.channels; ++i) {
    const Channel& channel = *worker->channels_[i];
    posix_spawn_file_actions_adddup2(&actions, channel.input_descriptor(), input_fd_of(i));
    posix_spawn_file_actions_adddup2(&actions, channel.output_descriptor(), output_fd_of(i));
  }
  const int leash_fd = leash_fd_of(settings.channels);
  posix_spawn_file_actions_adddup2(&actions, worker_end.get(), leash_fd);
  posix_spawn_file_actions_addclosefrom_np(&actions, leash_fd + 1);
  // The host's signal masks and handlers are not the worker's. A session of its own: Ctrl-C in a
  // terminal is for the host, which lets workers finish.
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);

  std::string parent = std::to_string(getpid());
  std::string uid = std::to_string(settings.uid);
  std::string name = "gst-discord-worker";
  std::string channels = std::to_string(settings.channels);
  std::array<char*, 5> argv = {name.data(), parent.data(), uid.data(),
                               settings.channels > 1 ? channels.data() : nullptr, nullptr};
  std::array<char*, 1> environment = {nullptr};
  const int error = posix_spawn(&worker->pid_, settings.program.c_str(), &actions, &attributes,
                                argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    worker->pid_ = 0;
    problem = "The worker " + settings.program + " cannot be started: " + strerror(error);
    return nullptr;
  }
  worker->pidfd_ = FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, worker->pid_, 0)));
  if (!worker->pidfd_) {
    // Without it a reused pid could be killed in its place.
    problem = std::string("The worker cannot be watched: ") + strerror(errno);
    return nullptr;
  }
  return worker;
}

WorkerProcess::~WorkerProcess() {
  if (pid_ > 0 && !reaped_) {
    kill();
    pollfd ended{pidfd_.get(), POLLIN, 0};
    while (pidfd_ && poll(&ended, 1, -1) < 0 && errno == EINTR) {
    }
    reap();
  }
}

void WorkerProcess::kill() noexcept {
  if (pidfd_ && !reaped_) {
    const long sent = syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    if (sent != 0 && leash_) {
      // Not ours to kill any more: see `leash_`.
      [[maybe_unused]] const auto pulled = ::write(leash_.get(), "", 1);
    }
  }
}

Ending WorkerProcess::reap() noexcept {
  Ending out;
  siginfo_t info{};
  int result = 0;
  do {
    result = waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  reaped_ = true;
  if (result == 0) {
    out.known = true;
    (info.si_code == CLD_EXITED ? out.status : out.signal) = info.si_status;
  }
  return out;
}

bool WorkerProcess::news() const noexcept {
  return std::any_of(channels_.begin(), channels_.end(),
                     [](const auto& channel) { return channel->output().news(); });
}

bool WorkerProcess::sane() const noexcept {
  return std::all_of(channels_.begin(), channels_.end(), [](const auto& channel) {
    return channel->output().sane() && channel->input().sane();
  });
}

void WorkerProcess::wake() noexcept {
  wake_if_asleep(channels_[0]->out().asleep, channels_[0]->in().wake);
}

void WorkerProcess::set_nap(std::uint32_t nap) noexcept {
  channels_[0]->in().nap.store(nap, std::memory_order_relaxed);
}

std::uint64_t Channel::working_on() const noexcept {
  return out().working_on.load(std::memory_order_acquire);
}

std::optional<std::uint32_t> Channel::put_secret(ByteSpan secret) noexcept {
  const auto slot = static_cast<std::uint32_t>(std::countr_one(secrets_used_));
  if (slot >= secret_slots || secret.size() > secret_slot_size) {
    return std::nullopt;
  }
  secrets_used_ |= std::uint64_t{1} << slot;
  memcpy(input_memory_.data() + secrets_offset + slot * secret_slot_size, secret.data(),
         secret.size());
  return slot;
}

void Channel::wipe_secret(std::uint32_t slot) noexcept {
  sodium_memzero(input_memory_.data() + secrets_offset + slot * secret_slot_size, secret_slot_size);
  secrets_used_ &= ~(std::uint64_t{1} << slot);
}

}  // namespace discord::worker
