// The parent is killed: no worker outlives it. As root, as another user, and as the first process
// of a container.
#include "chaos_options.hpp"
#include "tests/unit/pool_rig.hpp"

#include <grp.h>
#include <sched.h>
#include <sys/wait.h>

using namespace discord;
using namespace discord::rig;

namespace {

// What the parent-to-be tells about itself.
struct News {
  int workers = 0;  // that run, without the spare
  int played = 0;   // packets that came out
  pid_t pid = 0;    // as it sees itself
};

// Plays half a call with two workers and their spare, says so, and waits to be killed.
// `later`: who it becomes once they run.
[[noreturn]] void be_parent(int out, uid_t uid, uid_t later = 0) {
  if (uid != 0 && (setgroups(0, nullptr) != 0 || setresgid(uid, uid, uid) != 0 ||
                   setresuid(uid, uid, uid) != 0)) {
    _exit(1);
  }
  const auto datagrams = call(10, 12);
  Watcher watcher;
  PoolConfig settings = config(2);
  Pool pool(settings, watcher);
  announce(pool, 10);
  pool.set_key(1, mode, key(), Time{});
  for (const OnWire& d : datagrams) {
    pool.push(d.bytes, d.arrival);
  }
  pool.drain(datagrams.back().arrival);
  if (later != 0 && setresuid(later, later, later) != 0) {
    _exit(1);
  }
  News news;
  news.pid = getpid();
  news.played = static_cast<int>(pool.ledger().played);
  news.workers = static_cast<int>(pool.pids().size());
  if (write(out, &news, sizeof news) != static_cast<ssize_t>(sizeof news)) {
    _exit(1);
  }
  for (;;) {
    pause();
  }
}

// Kills `parent`, which has told its news, and times how long its workers live on.
void kill_and_expect_no_orphan(pid_t parent, const char* what) {
  std::vector<std::unique_ptr<PidWatch>> workers;
  for (const pid_t pid : children_of(parent)) {
    workers.push_back(std::make_unique<PidWatch>(pid));
  }
  EXPECT_GE(workers.size(), 2u) << what;
  for (const auto& worker : workers) {
    EXPECT_FALSE(worker->gone_within(0)) << what;
  }
  const auto before = std::chrono::steady_clock::now();
  kill(parent, SIGKILL);
  for (const auto& worker : workers) {
    EXPECT_TRUE(worker->gone_within(5000)) << what;
  }
  const auto took =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - before);
  std::printf("%s: no worker was left %.1f ms after the parent was killed\n", what, took.count());
}

void try_as(uid_t uid, const char* what, uid_t later = 0) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    close(ends[0]);
    be_parent(ends[1], uid, later);
  }
  close(ends[1]);
  News news;
  ASSERT_EQ(read(ends[0], &news, sizeof news), static_cast<ssize_t>(sizeof news)) << what;
  close(ends[0]);
  EXPECT_EQ(news.played, 120) << what;
  EXPECT_EQ(news.workers, 2) << what;
  kill_and_expect_no_orphan(parent, what);
  waitpid(parent, nullptr, 0);
}

}  // namespace

TEST(Chaos, NoOrphanWhenTheParentIsKilled) {
  try_as(0, geteuid() == 0 ? "as root" : "as a user");
}

TEST(Chaos, NoOrphanWhenTheParentIsKilledAsAnotherUser) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "only root can become another user";
  }
  try_as(65534, "as another user");
}

// It may neither kill its workers then, nor does its end send them the death signal.
TEST(Chaos, NoOrphanWhenTheParentHasDroppedItsPrivileges) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "only root has any to drop";
  }
  try_as(0, "as root that became another user", 1000);
}

TEST(Chaos, HostThatDropsItsPrivilegesCanStillEndItsWorkers) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "only root has any to drop";
  }
  const pid_t host = fork();
  if (host == 0) {
    alarm(60);  // what waits for ever ends here
    const auto datagrams = call(2, 12);
    {
      Watcher watcher;
      Pool pool(config(), watcher);
      announce(pool, 2);
      pool.set_key(1, mode, key(), Time{});
      for (const OnWire& d : datagrams) {
        pool.push(d.bytes, d.arrival);
      }
      pool.drain(datagrams.back().arrival);
      if (setresuid(1000, 1000, 1000) != 0) {
        _exit(1);
      }
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(host, &status, 0), host);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Chaos, NoOrphanWhenTheParentIsTheFirstProcessOfAContainer) {
  int ends[2], who[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(pipe(who), 0);
  // A process between, since it is the children of whoever asks that are in the new namespace.
  const pid_t between = fork();
  if (between == 0) {
    close(ends[0]);
    pid_t parent = -1;
    if (unshare(CLONE_NEWPID) == 0 && (parent = fork()) == 0) {
      be_parent(ends[1], 0);
    }
    if (write(who[1], &parent, sizeof parent) != static_cast<ssize_t>(sizeof parent)) {
      _exit(1);
    }
    waitpid(parent, nullptr, 0);
    _exit(0);
  }
  close(ends[1]);
  pid_t parent = 0;
  ASSERT_EQ(read(who[0], &parent, sizeof parent), static_cast<ssize_t>(sizeof parent));
  close(who[0]);
  close(who[1]);
  if (parent > 0) {
    News news;
    ASSERT_EQ(read(ends[0], &news, sizeof news), static_cast<ssize_t>(sizeof news));
    EXPECT_EQ(news.pid, 1);
    EXPECT_EQ(news.played, 120);
    EXPECT_EQ(news.workers, 2);
    kill_and_expect_no_orphan(parent, "as process 1");
  }
  close(ends[0]);
  waitpid(between, nullptr, 0);
  if (parent < 0) {
    GTEST_SKIP() << "a process namespace cannot be made here";
  }
}
