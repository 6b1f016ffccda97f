// One thread that waits, on the clock of an element, for one running time, and then calls back.
#pragma once

#include "base/mutex.hpp"

#include <gst/gst.h>
#include <functional>
#include <string>

namespace discord {

// The timer of an element. All waits are single shot ids of the element's own clock, so they follow
// whatever clock the pipeline chose and a test clock can crank them. It waits only while the
// element is in PLAYING: in PAUSED running time stands still.
//
// An element calls before_change() before it chains up its change_state and after_change() after
// it, and clock_changed() in its set_clock.
//
// Threads: every method may be called from any thread and with the caller's locks held, but stop()
// joins, so it must not be called from the callback or with a lock the callback takes.
class DeadlineTimer {
 public:
  // Called on the timer's thread with no lock held; `now` is the running time. The deadline is
  // spent by then, so the callback arms the next one.
  using Callback = std::function<void(GstClockTime now)>;

  // `element` is not owned and must outlive the timer; `name` is that of the thread (15 letters).
  DeadlineTimer(GstElement* element, const char* name, Callback callback);
  ~DeadlineTimer();
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  // The timer runs from READY_TO_PAUSED to PAUSED_TO_READY and calls back in PLAYING only. After
  // `after_change` to READY no callback runs.
  void before_change(GstStateChange transition) EXCLUDES(mutex_);
  void after_change(GstStateChange transition, GstStateChangeReturn result) EXCLUDES(mutex_);

  // Starts the thread with nothing armed and not flushing. Does nothing when it runs already.
  void start() EXCLUDES(mutex_);
  // Ends the thread and waits for it: after this no callback runs. Disarms.
  void stop() EXCLUDES(mutex_);

  void set_playing(bool playing) EXCLUDES(mutex_);
  // While flushing nothing is waited for and nothing called; what is armed stays armed.
  void set_flushing(bool flushing) EXCLUDES(mutex_);
  // The element has another clock or base time: the wait begins anew against it.
  void clock_changed() EXCLUDES(mutex_);

  // Calls back at this running time, in place of any time armed before; GST_CLOCK_TIME_NONE
  // disarms. A later time costs no wake-up: the thread looks again when the earlier one has passed.
  void arm(GstClockTime running_time) EXCLUDES(mutex_);
  // As arm(), but keeps what is armed when that is earlier.
  void arm_no_later(GstClockTime running_time) EXCLUDES(mutex_);
  // Calls back as soon as possible, whatever is armed (and keeps that armed).
  void kick() EXCLUDES(mutex_);

  GstClockTime armed() EXCLUDES(mutex_);

  // The element's running time by its clock, or GST_CLOCK_TIME_NONE without a clock, outside
  // PLAYING, or before the base time.
  GstClockTime now() EXCLUDES(mutex_);

 private:
  static gpointer thread_main(gpointer self);
  void run() EXCLUDES(mutex_);
  void wake(bool reschedule) REQUIRES(mutex_);

  GstElement* const element_;
  const std::string name_;
  const Callback callback_;

  Mutex mutex_;
  std::condition_variable cond_;
  GThread* thread_ GUARDED_BY(mutex_) = nullptr;
  GstClockID wait_id_ GUARDED_BY(mutex_) = nullptr;
  GstClockTime waiting_for_ GUARDED_BY(mutex_) = GST_CLOCK_TIME_NONE;
  GstClockTime deadline_ GUARDED_BY(mutex_) = GST_CLOCK_TIME_NONE;
  bool running_ GUARDED_BY(mutex_) = false;
  bool playing_ GUARDED_BY(mutex_) = false;
  bool flushing_ GUARDED_BY(mutex_) = false;
  bool kicked_ GUARDED_BY(mutex_) = false;
};

}  // namespace discord
