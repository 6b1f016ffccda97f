// Workers, their one dispatcher thread, and the sessions they work for: one, or several that share
// a name.
#pragma once

#include "worker/pool.hpp"
#include "worker/restart_budget.hpp"
#include "worker/sandbox.hpp"

#include <array>
#include <condition_variable>
#include <thread>

namespace discord::worker {

// What the parent knows of one call. `lanes[i]` is its part of worker i.
struct PoolSession {
  PoolSession(const media::ReceiverConfig& receiver, PoolObserver& of) : observer(of) {
    settings.receiver = receiver;
  }

  struct Poison {
    unsigned packets = 0;
    Monotonic since{};
    Monotonic muted_until{};
  };

  PoolObserver& observer;
  CallSettings settings;
  std::vector<std::unique_ptr<Lane>> lanes;  // grows up to max_workers
  std::unordered_map<std::uint32_t, std::size_t> pins;
  // Where SSRCs were sent that nobody has announced or authenticated yet; bounded.
  std::unordered_map<std::uint32_t, std::size_t> claims;
  std::unordered_map<std::uint32_t, Poison> poison;
  std::uint64_t ring_full = 0;
  std::uint64_t skipped = 0;
  unsigned restarts = 0;
  Monotonic recovery_allowed{};
  std::string failure;
  std::vector<WorkerEvent> events;

  Deadline deadline() const {
    Deadline first;
    for (const auto& each : lanes) {
      first = earlier(first, each->deadline());
    }
    return first;
  }
  // What arrived before has been worked off, and nothing of it is held.
  Deadline unsettled() const {
    if (lanes.size() < 2) {
      return std::nullopt;  // one worker brings everything in order
    }
    Deadline first = deadline();
    for (const auto& each : lanes) {
      first = earlier(first, each->oldest_queued());
    }
    return first;
  }
  Lane* lane(std::size_t worker) const noexcept {
    return worker < lanes.size() ? lanes[worker].get() : nullptr;
  }
};

class WorkerSet {
 public:
  // One of its own when `config.name` is empty; else one of that name with a place left.
  // `place` is where the session is now.
  static std::shared_ptr<WorkerSet> join(const PoolConfig& config, PoolObserver& observer,
                                         std::size_t& place);
  // No call of the session's observer is running or will come afterwards.
  void leave(std::size_t place) EXCLUDES(mutex);
  ~WorkerSet();

  // Never waits.
  void ring() noexcept;
  // There is something to start; true when the dispatcher must be rung for it.
  bool want() REQUIRES(mutex) { return !std::exchange(wanted_, true); }
  bool failed() const REQUIRES(mutex) { return failed_; }
  // Whether this session's observer has been told of the failure, and has come back from it.
  bool failure_told(std::size_t place) const REQUIRES(mutex) {
    return calling_ != place && places_[place].session->failure.empty();
  }
  PoolSession& session(std::size_t place) REQUIRES(mutex) { return *places_[place].session; }

  // Which worker has the least to do; another one is begun when all have their share.
  std::size_t least_loaded(PoolSession& session) REQUIRES(mutex);
  void pin(PoolSession& session, std::uint32_t ssrc, std::size_t worker) REQUIRES(mutex);
  void claim(PoolSession& session, std::uint32_t ssrc, std::size_t worker) REQUIRES(mutex);
  void unpin(PoolSession& session, std::uint32_t ssrc) REQUIRES(mutex);
  void unpin_all(PoolSession& session) REQUIRES(mutex);
  std::vector<pid_t> pids() const REQUIRES(mutex);

  Mutex mutex;
  std::condition_variable changed;

 private:
  WorkerSet(const PoolConfig& config, std::size_t places);

  // A worker, or the place of one.
  struct Slot {
    std::shared_ptr<WorkerProcess> worker;
    bool leaving = false;  // it has been told to
    bool proven = false;   // it has finished something
    BackOff back_off;
    unsigned futile = 0;  // deaths without a datagram finished between
    Monotonic started{};
    Monotonic lost{};                 // the one before
    std::vector<std::size_t> bereft;  // places of those who had it
    std::size_t pinned = 0;
  };
  struct Place {
    std::unique_ptr<PoolSession> session;
    bool used = false;  // ever: a worker may still answer whoever was here
  };
  // What is for an observer, told after the lock has been left.
  struct Delivery {
    Lane::Meaning meaning = Lane::Meaning::nothing;
    media::DecodedFrame frame;
    Bytes opus;
    SpeakingOut speaking;
    RtcpOut rtcp;
    std::uint64_t user_id = 0;
    Deadline next;
    Deadline unsettled;
  };
  enum class Taken { some, all, violation, refused };
  static constexpr std::size_t nobody = SIZE_MAX;
  // Below this a worker is better kept busy than joined by another.
  static constexpr std::size_t speakers_per_worker = 8;
  static constexpr std::size_t max_pins = 16384;
  static constexpr std::size_t max_claims = 1024;

  void run();
  void sleep(Monotonic until) EXCLUDES(mutex);
  bool any_news() REQUIRES(mutex);
  void read_all() EXCLUDES(mutex);
  void read(std::size_t index) EXCLUDES(mutex);
  bool read_channel(std::size_t index, std::size_t place, WorkerProcess& worker) EXCLUDES(mutex);
  Taken take(std::size_t index, std::size_t place, WorkerProcess& worker, std::size_t& bytes,
             std::size_t& count) REQUIRES(mutex);
  static void deliver(PoolObserver& observer, const Delivery& delivery);
  bool greet(std::size_t index, const Hello& hello) REQUIRES(mutex);
  void called(std::size_t place) EXCLUDES(mutex);
  void watch(Monotonic now) EXCLUDES(mutex);
  bool watch_all(Monotonic now) EXCLUDES(mutex);
  void bury() EXCLUDES(mutex);
  void watch_slot(std::size_t index, Monotonic now) REQUIRES(mutex);
  void keep_spare(bool wanted, Monotonic now) EXCLUDES(mutex);
  void lost(std::size_t index, const std::string& why, bool blamed, Monotonic now) REQUIRES(mutex);
  void blame(PoolSession& session, Lane& lane, std::uint64_t id, Monotonic now) REQUIRES(mutex);
  void start(std::size_t index, Monotonic now) REQUIRES(mutex);
  void not_started(const std::string& problem, Monotonic now) REQUIRES(mutex);
  void attach(std::size_t index, Monotonic now) REQUIRES(mutex);
  bool has_work(std::size_t index) const REQUIRES(mutex);
  std::shared_ptr<WorkerProcess> spawn(std::string& problem);
  void fail(const std::string& reason) REQUIRES(mutex);
  void deliver_events() EXCLUDES(mutex);
  Monotonic next_check(Monotonic now) const REQUIRES(mutex);
  // Calls visit(place, session, lane) for each session's part of a worker.
  template <class Visit>
  void for_each_lane(std::size_t index, Visit&& visit) const REQUIRES(mutex) {
    for (std::size_t place = 0; place < places_.size(); ++place) {
      if (PoolSession* session = places_[place].session.get()) {
        if (Lane* lane = session->lane(index)) {
          visit(place, *session, *lane);
        }
      }
    }
  }

  const PoolConfig config_;
  FileDescriptor doorbell_;
  const std::size_t place_count_;
  std::vector<Place> places_ GUARDED_BY(mutex);
  std::vector<Slot> slots_ GUARDED_BY(mutex);
  std::vector<std::shared_ptr<WorkerProcess>> departed_ GUARDED_BY(mutex);
  RestartBudget budget_ GUARDED_BY(mutex);
  bool failed_ GUARDED_BY(mutex) = false;
  bool greeted_ GUARDED_BY(mutex) = false;  // a worker has once been ready
  unsigned false_starts_ GUARDED_BY(mutex) = 0;
  bool stopping_ GUARDED_BY(mutex) = false;
  bool wanted_ GUARDED_BY(mutex) = false;           // a lane has work and no worker
  std::size_t calling_ GUARDED_BY(mutex) = nobody;  // whose observer is being called

  // The dispatcher's own.
  std::vector<Delivery> deliveries_;
  std::shared_ptr<WorkerProcess> spare_;
  Monotonic spare_not_before_{};
  std::uint32_t nap_ = 0;
  std::thread dispatcher_;
};

}  // namespace discord::worker
