// Workers that misbehave, and a watch on processes.
#pragma once

#include "hostile_worker.hpp"
#include "worker_rig.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstdlib>

namespace discord::rig {

inline PoolConfig hostile(Misbehaviour how) {
  PoolConfig out = config();
  const char* program = std::getenv("HOSTILE_WORKER");
  out.program = program != nullptr ? program : "";
  out.uid = static_cast<uid_t>(how);
  out.worker_timeout = 100ms;
  return out;
}

// Twenty packets of two speakers; packet 10 of the first is poisoned.
inline std::vector<OnWire> poisoned() {
  Sealer sealer;
  std::vector<OnWire> out;
  Voice one(1), two(2);
  for (int i = 0; i < 20; ++i) {
    const Time at = time_from_ns(1000000000) + i * 20ms;
    Bytes a = one.packet();
    const Bytes b = two.packet();
    if (i == 10) {
      std::copy_n("POISON", 6, a.end() - 6);
    }
    out.push_back(sealer.seal(1000, static_cast<std::uint16_t>(i),
                              static_cast<std::uint32_t>(i * 960), a, at));
    out.push_back(sealer.seal(1001, static_cast<std::uint16_t>(i),
                              static_cast<std::uint32_t>(i * 960), b, at));
  }
  return out;
}

class PidWatch {
 public:
  explicit PidWatch(pid_t pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}
  ~PidWatch() { close(fd_); }
  bool gone_within(int ms) const {
    pollfd p{fd_, POLLIN, 0};
    return fd_ < 0 || poll(&p, 1, ms) > 0;
  }

 private:
  int fd_;
};

}  // namespace discord::rig
