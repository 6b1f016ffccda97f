// Waits, on the clock of an element, for one running time, and then calls back on a thread that all
// timers of the process share.
#pragma once

#include <gst/gst.h>
#include <functional>
#include <memory>

namespace discord {

// The timer of an element. All waits are single shot ids of the element's own clock, so they follow
// whatever clock the pipeline chose and a test clock can crank them. It waits only while the
// element is in PLAYING: in PAUSED running time stands still.
//
// An element calls before_change() before it chains up its change_state and after_change() after
// it, and clock_changed() in its set_clock.
//
// Threads: every method may be called from any thread. A lock of the caller may be held but the
// object lock of the element, which is taken; stop() waits for the callback, so it must not be
// called from there or with a lock the callback takes.
class DeadlineTimer {
 public:
  // Called on a thread of TimerThreads with no lock held, never twice at a time; it may block.
  // `now` is the running time. The deadline is spent by then, so the callback arms the next one.
  using Callback = std::function<void(GstClockTime now)>;

  // `element` is not owned and must outlive the timer.
  DeadlineTimer(GstElement* element, Callback callback);
  ~DeadlineTimer();
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  // The timer runs from READY_TO_PAUSED to PAUSED_TO_READY and calls back in PLAYING only. After
  // `after_change` to READY no callback runs.
  void before_change(GstStateChange transition);
  void after_change(GstStateChange transition, GstStateChangeReturn result);

  // Begins with nothing armed and not flushing. Does nothing when it runs already.
  void start();
  // Disarms, and waits for a callback under way: after this none runs.
  void stop();

  void set_playing(bool playing);
  // While flushing nothing is waited for and nothing called; what is armed stays armed.
  void set_flushing(bool flushing);
  // The element has another clock or base time: the wait begins anew against it.
  void clock_changed();

  // Calls back at this running time, in place of any time armed before; GST_CLOCK_TIME_NONE
  // disarms. A later time costs nothing: the clock is asked anew when the earlier one has passed.
  void arm(GstClockTime running_time);
  // As arm(), but keeps what is armed when that is earlier.
  void arm_no_later(GstClockTime running_time);
  // Calls back as soon as possible, whatever is armed (and keeps that armed).
  void kick();

  GstClockTime armed();

  // The element's running time by its clock, or GST_CLOCK_TIME_NONE without a clock, outside
  // PLAYING, or before the base time.
  GstClockTime now();

 private:
  // Shared with the clock and with the threads, which may hold on to it for a moment.
  struct Wait;
  std::shared_ptr<Wait> wait_;
};

}  // namespace discord
