// Takes from a process everything but its memory, a futex and one descriptor to ring.
#pragma once

#include <sys/types.h>
#include <cstdint>
#include <string>

namespace discord::worker {

// A part may be forbidden by a container or missing in the kernel.
enum class SandboxPart : std::uint32_t {
  other_user = 1 << 0,        // not root any more; root ignores RLIMIT_NPROC and undumpable
  dies_with_parent = 1 << 1,  // PR_SET_PDEATHSIG
  no_new_privileges = 1 << 2,
  undumpable = 1 << 3,  // nobody with our uid reads our memory; no core
  limits = 1 << 4,
  landlock = 1 << 5,
  seccomp = 1 << 6,
};
using SandboxParts = std::uint32_t;

// First half, before anything is read from anybody: drops root to `uid` (and the groups), then asks
// to die with the parent, because the change of uid clears that, then compares the parent with
// `parent`, because it may have died before. `leash` is a pipe whose end, or a byte in it, is the
// same as the parent's death: a parent that has dropped its privileges may send no signal. False
// when the parent has gone: leave. `missing` collects what was not allowed.
bool settle(pid_t parent, uid_t uid, int leash, SandboxParts& missing) noexcept;

// Second half, once all memory is there: afterwards the process may wait on a futex, write to
// `doorbell`, exit, and nothing else; any other system call kills it (SIGSYS). Returns what was not
// allowed; if even the filter was not, everything is still possible.
SandboxParts lock_down(int doorbell) noexcept;

// "landlock, seccomp"; empty for 0.
std::string describe_parts(SandboxParts parts);

}  // namespace discord::worker
