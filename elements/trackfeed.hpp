// What waits for one track of a recording between the streaming thread and the thread that writes.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/branchthread.hpp"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <variant>
#include <vector>

namespace discord {

class TrackFeed final : private BranchTurns::Branch {
 public:
  // So much is handed over at once: what fills a page of the file, so a killed recorder loses no
  // more by it than by the page.
  static constexpr GstClockTime page_time = 40 * GST_MSECOND;

  // Gets what was pushed, in order, on the thread that writes.
  class Taker {
   public:
    virtual void begin_turn() = 0;
    // Anything but GST_FLOW_OK: it takes no more.
    virtual GstFlowReturn take(BufferPtr buffer) = 0;
    virtual void take(EventPtr event) = 0;

   protected:
    ~Taker() = default;
  };

  // `most`: so many buffers may wait, then push() does; 0 where whoever pushes looks at waiting().
  TrackFeed(std::shared_ptr<BranchTurns> turns, guint most, Taker& taker);
  ~TrackFeed() { close(); }
  TrackFeed(const TrackFeed&) = delete;
  TrackFeed& operator=(const TrackFeed&) = delete;

  // Streaming thread.
  GstFlowReturn push(BufferPtr buffer) EXCLUDES(mutex_);
  void push(EventPtr event) EXCLUDES(mutex_);

  // From any thread. Until release() everything waits; after close() nothing is taken any more.
  void release() EXCLUDES(mutex_);
  void close() EXCLUDES(mutex_);
  guint waiting() const { return waiting_; }
  // From any thread, a turn included: what waits and what comes is thrown away from here on, for
  // the file cannot be written. discarded() counts it.
  void stop() { stopped_ = true; }
  guint64 discarded() const { return discarded_; }

 private:
  using Item = std::variant<BufferPtr, EventPtr>;

  void run() override EXCLUDES(mutex_);
  bool wants_turn() REQUIRES(mutex_);

  const std::shared_ptr<BranchTurns> turns_;
  const guint most_;
  Taker& taker_;

  Mutex mutex_;
  std::condition_variable taken_;
  std::vector<Item> items_ GUARDED_BY(mutex_);
  GstClockTime gathered_ GUARDED_BY(mutex_) = 0;  // of the buffers in items_
  bool urgent_ GUARDED_BY(mutex_) = false;        // items_ must not wait for more
  bool held_ GUARDED_BY(mutex_) = true;
  bool asked_ GUARDED_BY(mutex_) = false;  // for a turn that has not begun
  bool closed_ GUARDED_BY(mutex_) = false;
  bool blocked_ GUARDED_BY(mutex_) = false;  // push() waits
  GstFlowReturn flow_ GUARDED_BY(mutex_) = GST_FLOW_OK;

  std::atomic<guint> waiting_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<guint64> discarded_ = 0;
  std::vector<Item> taking_;  // of the thread that writes
};

}  // namespace discord
