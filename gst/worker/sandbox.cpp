#include "worker/sandbox.hpp"

#include "config.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <cerrno>

namespace discord::worker {

namespace {

constexpr SandboxParts bit(SandboxPart part) noexcept {
  return static_cast<SandboxParts>(part);
}

bool drop_root(uid_t uid) noexcept {
  if (geteuid() != 0 && getuid() != 0) {
    return true;
  }
  const auto gid = static_cast<gid_t>(uid);
  return uid != 0 && setgroups(0, nullptr) == 0 && setresgid(gid, gid, gid) == 0 &&
         setresuid(uid, uid, uid) == 0 && setuid(0) != 0;
}

bool set_limits() noexcept {
  struct Limit {
    int what;
    rlim_t most;
  };
  // RLIMIT_AS: a worker has all its memory already; a gigabyte leaves room for stacks alone.
  constexpr std::array<Limit, 5> limits = {{{RLIMIT_CORE, 0},
                                            {RLIMIT_FSIZE, 0},
                                            {RLIMIT_NPROC, 0},
                                            {RLIMIT_NOFILE, 0},
                                            {RLIMIT_AS, rlim_t{1} << 30}}};
  bool ok = true;
  for (const Limit& limit : limits) {
    const rlimit value{limit.most, limit.most};
    ok = setrlimit(static_cast<__rlimit_resource>(limit.what), &value) == 0 && ok;
  }
  return ok;
}

// Raw system calls: glibc has no wrappers, and the headers may be older than the kernel.
bool restrict_by_landlock() noexcept {
  struct Ruleset {
    std::uint64_t fs;
    std::uint64_t net;     // from ABI 4
    std::uint64_t scoped;  // from ABI 6
  };
  const long abi =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) {
    return false;
  }
  constexpr std::array<std::uint64_t, 6> fs_by_abi = {0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};
  Ruleset rules{fs_by_abi[static_cast<std::size_t>(abi < 5 ? abi : 5)],
                abi >= 4 ? std::uint64_t{3} : 0, abi >= 6 ? std::uint64_t{3} : 0};
  const std::size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  const long fd = syscall(SYS_landlock_create_ruleset, &rules, size, 0);
  if (fd < 0) {
    return false;
  }
  const bool ok = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
  close(static_cast<int>(fd));
  return ok;
}

bool filter_system_calls(int doorbell) noexcept {
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) {
    return false;
  }
  bool ok = true;
  for (const int call :
       {SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall)}) {
    ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0 && ok;
  }
  ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(futex), 0) == 0 && ok;
  ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
                        SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(doorbell))) == 0 &&
       ok;
  ok = ok && seccomp_load(filter) == 0;
  // The filter is in the kernel; giving its description back would need memory calls when it is.
  if (!ok) {
    seccomp_release(filter);
  }
  return ok;
}

// SIGKILL for us when something is written into this pipe, or nobody can write into it any more.
// False when that has happened already. We ask for it ourselves, as whom we are by now: a signal
// that the host asked for would be refused if the host had become somebody else before it asked.
bool obey(int leash) noexcept {
  // Where a kernel does not know this, the death signal and the host's kill() are all there is.
  if (fcntl(leash, F_SETOWN, getpid()) != 0 || fcntl(leash, F_SETSIG, SIGKILL) != 0 ||
      fcntl(leash, F_SETFL, O_ASYNC) != 0) {
    return true;
  }
  pollfd pulled{leash, POLLIN, 0};
  return poll(&pulled, 1, 0) <= 0;
}

}  // namespace

bool settle(pid_t parent, uid_t uid, int leash, SandboxParts& missing) noexcept {
  if (!drop_root(uid)) {
    missing |= bit(SandboxPart::other_user);
  }
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    missing |= bit(SandboxPart::dies_with_parent);
  }
  return obey(leash) && getppid() == parent;
}

SandboxParts lock_down(int doorbell) noexcept {
  SandboxParts missing = 0;
#if WORKER_SANDBOX
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    missing |= bit(SandboxPart::no_new_privileges);
  }
  if (prctl(PR_SET_DUMPABLE, 0) != 0) {
    missing |= bit(SandboxPart::undumpable);
  }
  if (!restrict_by_landlock()) {  // before the limits: it needs a descriptor for a moment
    missing |= bit(SandboxPart::landlock);
  }
  if (!set_limits()) {
    missing |= bit(SandboxPart::limits);
  }
  if (!filter_system_calls(doorbell)) {
    missing |= bit(SandboxPart::seccomp);
  }
#else
  // Sanitizers make system calls of their own.
  (void)doorbell;
  missing = bit(SandboxPart::no_new_privileges) | bit(SandboxPart::undumpable) |
            bit(SandboxPart::landlock) | bit(SandboxPart::limits) | bit(SandboxPart::seccomp);
#endif
  return missing;
}

std::string describe_parts(SandboxParts parts) {
  constexpr std::array<const char*, 7> names = {
      "other user", "death signal", "no_new_privs", "undumpable", "limits", "landlock", "seccomp"};
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if ((parts >> i & 1) != 0) {
      out += (out.empty() ? "" : ", ") + std::string(names[i]);
    }
  }
  return out;
}

}  // namespace discord::worker
