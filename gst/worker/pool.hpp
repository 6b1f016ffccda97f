// The workers of a session: started when first needed, bounded in number, watched, replaced.
#pragma once

#include "base/mutex.hpp"
#include "worker/lane.hpp"

#include <memory>
#include <span>
#include <string>

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
  // Sessions of one name share workers, eight at most; the workers are as the first one asks.
  // Empty: workers of its own, which know no other session's keys.
  std::string name = {};
};

struct Arrival {
  ByteSpan datagram;
  Time when{};
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
  // `Pool::next_deadline` may have changed; it is this now. Frames of what arrived at `unsettled`
  // or later may still come, from whichever worker; nothing: of all that was pushed none will.
  virtual void deadline(Deadline next, Deadline unsettled) = 0;
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
// under a short lock. Never forks: workers are children of the set's dispatcher thread, because
// they die with the thread that made them.
class Pool {
 public:
  Pool(const PoolConfig& config, PoolObserver& observer);
  // Ends workers of its own; no call of the observer is running or will come afterwards.
  ~Pool();

  // As `media::Receiver` has them.
  void set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key, Time now);
  void clear_key();
  void map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now);
  void retire(std::uint32_t ssrc, Time now);
  void admit(std::uint64_t user_id, media::Admission admission, Time now);
  void need_users(bool needed, Time now);
  void forget_all(Time now);
  void set_media_keys(dave::MediaKeysPtr keys, Time published, Time now);
  void set_times(Duration hold_time, Duration latency);
  void push(ByteSpan datagram, Time arrival);
  // Several at once, oldest first: one lock, and each worker is woken once.
  void push(std::span<const Arrival> datagrams);
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
  std::size_t place_ = 0;  // in the set; known once it has been joined
  std::shared_ptr<class WorkerSet> set_;
};

}  // namespace discord::worker
