// The pool with real worker processes: who watches it, how it is set up, and what one receiver in
// this process makes of the same packets.
#pragma once

#include "hostile_worker.hpp"
#include "receiver_rig.hpp"
#include "worker/pool.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

namespace discord::rig {

using namespace worker;

inline constexpr std::uint64_t user_of(std::uint32_t ssrc) {
  return 500000 + ssrc;
}

class Watcher : public PoolObserver {
 public:
  void frame(const DecodedFrame& f) override {
    Lock lock(mutex_);
    tracks_[f.ssrc].push_back(copy(f));
    changed_.notify_all();
  }
  void speaking(std::uint32_t ssrc, std::uint64_t, bool on, Time when) override {
    Lock lock(mutex_);
    said_[ssrc] += (on ? "+" : "-") + std::to_string(to_ns(when) / 1000000);
  }
  void rtcp(ByteSpan, Time) override {}
  void deadline(Deadline, Deadline) override {
    Lock lock(mutex_);
    ++settled_;
    changed_.notify_all();
  }
  void event(const WorkerEvent& event) override {
    Lock lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  }
  void undecryptable(std::uint64_t user_id) override {
    Lock lock(mutex_);
    undecryptable_.push_back(user_id);
  }
  void failed(const std::string& reason) override {
    Lock lock(mutex_);
    failure_ = reason;
    changed_.notify_all();
  }

  Tracks tracks() {
    Lock lock(mutex_);
    return tracks_;
  }
  std::map<std::uint32_t, std::string> said() {
    Lock lock(mutex_);
    return said_;
  }
  std::vector<std::uint64_t> undecryptable_users() {
    Lock lock(mutex_);
    return undecryptable_;
  }
  std::string failure() {
    Lock lock(mutex_);
    return failure_;
  }
  std::size_t count(WorkerEvent::What what) {
    Lock lock(mutex_);
    return count_locked(what);
  }
  std::vector<WorkerEvent> events() {
    Lock lock(mutex_);
    return events_;
  }
  // Waits for so many events of a kind, or for failure.
  bool wait_for(WorkerEvent::What what, std::size_t n) {
    Lock lock(mutex_);
    return changed_.wait_for(lock.native(), 20s,
                             [&] { return count_locked(what) >= n || !failure_.empty(); });
  }
  // Asks again whenever something has been settled, as an element does that holds its source back.
  bool wait_until(const std::function<bool()>& ready) {
    for (;;) {
      std::uint64_t seen = 0;
      {
        Lock lock(mutex_);
        seen = settled_;
      }
      if (ready()) {
        return true;
      }
      Lock lock(mutex_);
      if (!changed_.wait_for(lock.native(), 20s, [&] { return settled_ != seen; })) {
        return false;
      }
    }
  }
  bool wait_for_failure() {
    Lock lock(mutex_);
    return changed_.wait_for(lock.native(), 20s, [&] { return !failure_.empty(); });
  }
  bool wait_for_frames(std::size_t n) {
    Lock lock(mutex_);
    return changed_.wait_for(lock.native(), 20s, [&] {
      std::size_t have = 0;
      for (const auto& [ssrc, frames] : tracks_) {
        have += frames.size();
      }
      return have >= n;
    });
  }

 private:
  std::size_t count_locked(WorkerEvent::What what) {
    return static_cast<std::size_t>(std::count_if(
        events_.begin(), events_.end(), [&](const WorkerEvent& e) { return e.what == what; }));
  }
  Mutex mutex_;
  std::condition_variable changed_;
  Tracks tracks_;
  std::map<std::uint32_t, std::string> said_;
  std::vector<WorkerEvent> events_;
  std::vector<std::uint64_t> undecryptable_;
  std::string failure_;
  std::uint64_t settled_ = 0;
};

inline PoolConfig config(unsigned workers = 1) {
  PoolConfig out;
  out.program = find_program();
  out.max_workers = workers;
  out.worker_timeout = 5s;  // a busy machine is not a stuck worker
  return out;
}
inline PoolConfig hostile(Misbehaviour how) {
  PoolConfig out = config();
  const char* program = std::getenv("HOSTILE_WORKER");
  out.program = program != nullptr ? program : "";
  out.uid = static_cast<uid_t>(how);
  out.worker_timeout = 100ms;
  return out;
}

// With the spares.
inline std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> out;
  // Workers belong to the thread that made them.
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::ifstream children(task.path() / "children");
    for (pid_t child = 0; children >> child;) {
      out.push_back(child);
    }
  }
  return out;
}

inline void announce(Pool& pool, std::size_t speakers) {
  for (std::uint32_t s = 0; s < speakers; ++s) {
    pool.map_user(1000 + s, user_of(1000 + s), Time{});
  }
}

// What one receiver makes of it, with the same users.
inline Received reference(const std::vector<OnWire>& datagrams, std::size_t speakers,
                          media::ReceiverConfig receiver_config = {}) {
  Received out;
  media::Receiver receiver(receiver_config);
  for (std::uint32_t s = 0; s < speakers; ++s) {
    receiver.map_user(1000 + s, user_of(1000 + s), Time{}, out.out);
  }
  receiver.set_key(1, mode, key(), Time{}, out.out);
  for (const OnWire& d : datagrams) {
    receiver.push(d.bytes, 1, d.arrival, out.out);
    receiver.clear_finished();
  }
  receiver.drain(datagrams.back().arrival, out.out);
  out.ledger = receiver.ledger();
  return out;
}

inline void expect_same(Tracks a, Tracks b) {
  ASSERT_EQ(a.size(), b.size());
  for (auto& [ssrc, frames] : a) {
    ASSERT_EQ(frames.size(), b[ssrc].size()) << ssrc;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      ASSERT_TRUE(frames[i] == b[ssrc][i]) << ssrc << " frame " << i;
    }
  }
}
// The same frames at the same places, whatever they sound like.
inline void expect_same_places(Tracks a, Tracks b) {
  ASSERT_EQ(a.size(), b.size());
  for (auto& [ssrc, frames] : a) {
    ASSERT_EQ(frames.size(), b[ssrc].size()) << ssrc;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      ASSERT_EQ(frames[i].sample, b[ssrc][i].sample) << ssrc << " frame " << i;
      ASSERT_EQ(frames[i].kind, b[ssrc][i].kind) << ssrc << " frame " << i;
      ASSERT_EQ(frames[i].opus, b[ssrc][i].opus) << ssrc << " frame " << i;
      ASSERT_EQ(frames[i].user_id, b[ssrc][i].user_id);
    }
  }
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
