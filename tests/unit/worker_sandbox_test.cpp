// Each attempt runs in a child of its own and must end it with SIGSYS.
#include "worker/sandbox.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <functional>

using namespace discord::worker;

namespace {

// The wait status of a child that locks itself up and then does `attempt`.
int try_out(uid_t uid, const std::function<void()>& attempt) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    const int doorbell = eventfd(0, 0);
    SandboxParts missing = 0;
    // Who is not root is another user already.
    if (uid != 0 && geteuid() == 0 &&
        (setgroups(0, nullptr) != 0 || setresgid(uid, uid, uid) != 0 ||
         setresuid(uid, uid, uid) != 0)) {
      _exit(90);
    }
    // `settle` as root drops to another user: not here, where root itself is to be locked up.
    if (uid != 0 && !settle(parent, uid, -1, missing)) {
      _exit(91);
    }
    missing |= lock_down(doorbell);
    if ((missing & static_cast<SandboxParts>(SandboxPart::seccomp)) != 0) {
      _exit(92);
    }
    attempt();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

bool filtered(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 92;
}

class Escape : public testing::TestWithParam<uid_t> {
 protected:
  void SetUp() override {
#if !WORKER_SANDBOX
    GTEST_SKIP() << "this build has no sandbox (sanitizers)";
#endif
    if (geteuid() != 0 && GetParam() == 0) {
      GTEST_SKIP() << "not root";
    }
    if (filtered(try_out(GetParam(), [] {}))) {
      GTEST_SKIP() << "seccomp is forbidden here";
    }
  }
  void dies(const char* what, const std::function<void()>& attempt) {
    const int status = try_out(GetParam(), attempt);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << what << ": " << status;
  }
};

}  // namespace

TEST_P(Escape, EveryAttemptDies) {
  dies("open", [] { syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY); });
  dies("socket", [] { syscall(SYS_socket, AF_INET, SOCK_STREAM, 0); });
  dies("fork", [] { syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); });
  dies("execve", [] {
    char* const argv[] = {nullptr};
    syscall(SYS_execve, "/bin/true", argv, argv);
  });
  const pid_t parent = getpid();
  dies("kill the parent", [parent] { syscall(SYS_kill, parent, 0); });
  dies("executable memory", [] {
    syscall(SYS_mmap, nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  });
  dies("make memory executable", [] {
    static char page[8192];
    syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
  });
  dies("ptrace", [parent] { syscall(SYS_ptrace, PTRACE_ATTACH, parent, 0, 0); });
  dies("process_vm_readv", [parent] {
    char byte = 0;
    iovec local{&byte, 1};
    iovec remote{&byte, 1};
    syscall(SYS_process_vm_readv, parent, &local, 1, &remote, 1, 0);
  });
  dies("io_uring", [] {
    char parameters[120] = {};
    syscall(SYS_io_uring_setup, 1, parameters);
  });
  dies("write to another descriptor", [] { syscall(SYS_write, 1, "x", 1); });
  dies("read", [] {
    char byte = 0;
    syscall(SYS_read, 0, &byte, 1);
  });
  dies("truncate", [] { syscall(SYS_ftruncate, 1, 0); });
#if defined(__x86_64__)
  dies("x32 call", [] { syscall(0x40000000 | SYS_write, 1, "x", 1); });
  dies("32 bit call", [] {
    long result = 0;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
  });
#endif
}

TEST_P(Escape, WhatAWorkerNeedsIsAllowed) {
  const int status = try_out(GetParam(), [] {
    const int doorbell = 0;
    (void)doorbell;
    std::uint32_t word = 1;
    syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0);  // not equal: returns
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

INSTANTIATE_TEST_SUITE_P(Users, Escape, testing::Values(uid_t{0}, uid_t{65534}),
                         [](const auto& user) {
                           return user.param == 0 ? std::string("Root")
                                                  : std::string("AnotherUser");
                         });

TEST(Sandbox, RootIsDroppedForGood) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "not root";
  }
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    SandboxParts missing = 0;
    const bool ok = settle(parent, 65534, -1, missing) && geteuid() == 65534 &&
                    getgroups(0, nullptr) == 0 && setuid(0) != 0 && missing == 0;
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Sandbox, LeavesWhenTheParentIsAnother) {
  SandboxParts missing = 0;
  const pid_t child = fork();
  if (child == 0) {
    _exit(settle(1 << 30, 65534, -1, missing) ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Sandbox, SaysWhichPartIsMissing) {
  EXPECT_EQ(describe_parts(0), "");
  EXPECT_EQ(describe_parts(static_cast<SandboxParts>(SandboxPart::landlock) |
                           static_cast<SandboxParts>(SandboxPart::seccomp)),
            "landlock, seccomp");
}
