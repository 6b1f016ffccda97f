// The workers of one session: started when first needed, bounded in number, watched, replaced.
#pragma once

#include "base/mutex.hpp"
#include "worker/lane.hpp"
#include "worker/sandbox.hpp"

#include <condition_variable>
#include <thread>

namespace discord::worker {

struct PoolConfig {
  media::ReceiverConfig receiver;
  std::string program;  // gst-discord-worker; see `find_program`
  unsigned max_workers = 1;
  Duration idle_timeout = std::chrono::seconds(30);  // 0 = a worker never leaves
  Duration worker_timeout = std::chrono::milliseconds(500);
  unsigned max_restarts = 30;  // a minute, of those that a packet is blamed for
  uid_t uid = 65534;           // of the workers, when this process is root's
  bool require_sandbox = false;
  bool keep_spare = true;
};

struct WorkerEvent {
  enum class What { started, lost, replaced, left, skipped, muted } what = What::started;
  int pid = 0;
  std::string reason = {};        // why it was lost; started: what the sandbox lacks
  bool blamed = false;            // on a packet
  std::uint32_t ssrc = 0;         // of the packet
  std::size_t packets_again = 0;  // given to the successor once more
  Duration pause{};               // replaced: from the loss to the successor's first records
};

// Called on the dispatcher thread, without any lock; must not wait for the pool.
class PoolObserver {
 public:
  virtual ~PoolObserver() = default;
  // Samples lie in memory that a worker can still change: copy them.
  virtual void frame(const media::DecodedFrame& frame) = 0;
  virtual void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) = 0;
  virtual void rtcp(ByteSpan compound, Time arrival) = 0;
  // `Pool::next_deadline` may have changed; it is this now.
  virtual void deadline(Deadline next) = 0;
  virtual void event(const WorkerEvent& event) = 0;
  // As `media::Receiver::take_recovery_request`.
  virtual void undecryptable(std::uint64_t /*user_id*/) {}
  // There will be no more frames: the restart budget is spent, no worker can be started, or it may
  // not be locked up.
  virtual void failed(const std::string& reason) = 0;
};

// Environment variable GST_DISCORD_WORKER (not in a setuid program), else the installed program.
std::string find_program();

// All members may be called from any thread. What is handed in returns at once: a record on a ring,
// under a short lock. Never forks: workers are children of the dispatcher thread, because they die
// with the thread that made them.
class Pool {
 public:
  Pool(const PoolConfig& config, PoolObserver& observer);
  // Ends the workers; no call of the observer is running or will come afterwards.
  ~Pool();

  // As `media::Receiver` has them.
  void set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key, Time now);
  void clear_key();
  void map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now);
  void retire(std::uint32_t ssrc, Time now);
  void forget_all(Time now);
  void set_media_keys(dave::MediaKeysPtr keys, Time published, Time now);
  void set_times(Duration hold_time, Duration latency);
  void push(ByteSpan datagram, Time arrival);
  void advance(Time now);
  // Returns when everything that was pushed has left, or the pool has failed. Nobody pushes
  // meanwhile.
  void drain(Time now);

  // The next time at which `advance` has something to do.
  Deadline next_deadline() const;
  // Every datagram pushed, by what became of it; adds up at every instant.
  media::Ledger ledger() const;
  // The same for each speaker that a worker has authenticated, as far as workers have said; those
  // that have gone come first.
  std::vector<media::SpeakerStats> speakers() const;
  // Records that workers have not answered yet. Packets that are held do not count.
  std::size_t queued() const;
  // Of the running workers, without the spare.
  std::vector<pid_t> pids() const;
  unsigned restarts() const;

 private:
  struct Poison {
    unsigned packets = 0;
    Monotonic since{};
    Monotonic muted_until{};
  };
  struct Watched {
    int fd;
    std::size_t lane;  // `spare_lane` for the spare
  };
  // What is for the observer, told after the lock has been left.
  struct Delivery {
    Lane::Meaning meaning = Lane::Meaning::nothing;
    media::DecodedFrame frame;
    Bytes opus;
    SpeakingOut speaking;
    RtcpOut rtcp;
    std::uint64_t user_id = 0;
    Deadline next;
  };
  enum class Taken { some, all, violation, refused };
  static constexpr std::size_t spare_lane = SIZE_MAX;
  // Below this a worker is better kept busy than joined by another.
  static constexpr std::size_t speakers_per_worker = 8;

  void run();
  Deadline earliest() const REQUIRES(mutex_);
  void sleep(Monotonic until) EXCLUDES(mutex_);
  bool any_news() REQUIRES(mutex_);
  void read_all() EXCLUDES(mutex_);
  void read(std::size_t index) EXCLUDES(mutex_);
  Taken take(std::size_t index, Lane& lane, WorkerProcess& worker, std::size_t& bytes,
             std::size_t& count) REQUIRES(mutex_);
  void deliver(const Delivery& delivery) EXCLUDES(mutex_);
  void watch(Monotonic now) EXCLUDES(mutex_);
  void lost(std::size_t index, const std::string& why, bool blamed, Monotonic now) REQUIRES(mutex_);
  void blame(Lane& lane, std::uint64_t id, Monotonic now) REQUIRES(mutex_);
  void start(Lane& lane, Monotonic now) REQUIRES(mutex_);
  std::unique_ptr<WorkerProcess> spawn(std::string& problem);
  void fail(const std::string& reason) REQUIRES(mutex_);
  void deliver_events() EXCLUDES(mutex_);
  Monotonic next_check(Monotonic now) const REQUIRES(mutex_);
  std::optional<std::size_t> lane_of(std::uint32_t ssrc) const REQUIRES(mutex_);
  std::size_t least_loaded() REQUIRES(mutex_);
  void pin(std::uint32_t ssrc, std::size_t lane) REQUIRES(mutex_);
  void unpin(std::uint32_t ssrc) REQUIRES(mutex_);
  void forget(std::uint32_t ssrc) REQUIRES(mutex_);
  void ring() noexcept;

  const PoolConfig config_;
  PoolObserver& observer_;
  FileDescriptor doorbell_;

  mutable Mutex mutex_;
  std::condition_variable changed_;
  CallSettings settings_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Lane>> lanes_ GUARDED_BY(mutex_);  // grows up to max_workers
  std::unordered_map<std::uint32_t, std::size_t> pins_ GUARDED_BY(mutex_);
  std::unordered_map<std::uint32_t, Poison> poison_ GUARDED_BY(mutex_);
  std::deque<Monotonic> blamed_ GUARDED_BY(mutex_);
  std::uint64_t ring_full_ GUARDED_BY(mutex_) = 0;
  std::uint64_t skipped_ GUARDED_BY(mutex_) = 0;
  unsigned restarts_ GUARDED_BY(mutex_) = 0;
  Monotonic recovery_allowed_ GUARDED_BY(mutex_){};
  bool failed_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool wanted_ GUARDED_BY(mutex_) = false;  // a lane has work and no worker
  std::string failure_ GUARDED_BY(mutex_);
  std::vector<WorkerEvent> events_ GUARDED_BY(mutex_);

  // The dispatcher's own.
  std::vector<Delivery> deliveries_;
  SandboxParts missing_ = 0;
  std::unique_ptr<WorkerProcess> spare_;
  Monotonic spare_not_before_{};
  std::uint32_t nap_ = 0;
  std::thread dispatcher_;
};

}  // namespace discord::worker
