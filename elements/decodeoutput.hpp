// What comes out of a decode engine, as buffers, events and messages in a queue that a task of the
// source pad empties: decoding never waits for what is downstream.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "worker/pool.hpp"
#include "worker/time_order.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <variant>

namespace discord {

class DecodeOutput final : public worker::PoolObserver {
 public:
  // `due` is told the next deadline of the workers; it must only wake somebody up.
  // `recover` is told a user whose frames cannot be opened any more, likewise.
  DecodeOutput(GstElement* element, std::function<void(Time)> due,
               std::function<void(std::uint64_t)> recover)
      : element_(element), due_(std::move(due)), recover_(std::move(recover)) {}

  struct Rtcp {
    BufferPtr buffer;
  };
  using Item = std::variant<BufferPtr, EventPtr, MessagePtr, Rtcp>;

  // Frames that may wait. When live, what comes beyond is dropped and counted; else whoever brings
  // it waits.
  static constexpr std::size_t max_waiting = 4096;

  void set_live(bool live) EXCLUDES(mutex_);
  // Whoever brings items takes them as well (`try_take`): nobody waits and nothing is dropped.
  void set_same_thread(bool same) EXCLUDES(mutex_);
  // While flushing nothing is taken in and `take` returns nothing; what waits is dropped.
  void set_flushing(bool flushing) EXCLUDES(mutex_);
  // What is not the engine's: goes on at once, whatever is held.
  void add(Item item) EXCLUDES(mutex_);
  // The engine has been drained: nothing is held any more.
  void release() EXCLUDES(mutex_);
  // Wakes `take` for what the engine has brought: once for many frames, since waking a thread costs
  // a tenth of decoding one. `deadline`, the end of a worker's batch, does it too.
  void flush() EXCLUDES(mutex_);
  // The next item; waits for it. False when flushing.
  bool take(Item& item) EXCLUDES(mutex_);
  // The next item if there is one.
  bool try_take(Item& item) EXCLUDES(mutex_);
  // Waits until `ready`, which is asked again after every batch of frames, or until flushing.
  void wait_until(const std::function<bool()>& ready) EXCLUDES(mutex_);
  // Waits until half of what may wait has gone, or until flushing: so that whoever decodes, maybe
  // for others as well, need not.
  void wait_for_room() EXCLUDES(mutex_);
  std::uint64_t dropped() const EXCLUDES(mutex_);

  void frame(const media::DecodedFrame& frame) override;
  void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) override;
  void rtcp(ByteSpan compound, Time arrival) override;
  // Behind a file, where a worker may be far ahead of another, what the engine has brought is held
  // until nothing earlier can come.
  void deadline(Deadline next, Deadline unsettled) override;
  void event(const worker::WorkerEvent& event) override;
  void undecryptable(std::uint64_t user_id) override;
  void failed(const std::string& reason) override;

 private:
  void append(Item item, std::uint32_t ssrc, GstClockTime when) EXCLUDES(mutex_);
  void hand_on(Lock& lock, Item item) REQUIRES(mutex_);
  void release_before(Deadline until) EXCLUDES(mutex_);

  GstElement* element_;
  std::function<void(Time)> due_;
  std::function<void(std::uint64_t)> recover_;
  mutable Mutex mutex_;
  std::condition_variable arrived_;  // for `take`
  std::condition_variable changed_;  // for whoever waits for room, or for an engine
  std::deque<Item> items_ GUARDED_BY(mutex_);
  worker::TimeOrder<Item> held_ GUARDED_BY(mutex_);
  std::uint64_t batches_ GUARDED_BY(mutex_) = 0;
  std::uint64_t dropped_ GUARDED_BY(mutex_) = 0;
  bool waiting_ GUARDED_BY(mutex_) = false;      // somebody is in `wait_until`
  bool unannounced_ GUARDED_BY(mutex_) = false;  // there is something `take` may not know of
  bool live_ GUARDED_BY(mutex_) = false;
  bool same_thread_ GUARDED_BY(mutex_) = false;
  bool flushing_ GUARDED_BY(mutex_) = true;
};

}  // namespace discord
