#include "elements/deadlinetimer.hpp"

#include "discord/gstptr.hpp"

#include <string>
#include <utility>

namespace discord {

namespace {

GstClockTime running_time(GstElement* element, GstClock* clock) {
  const GstClockTime now = gst_clock_get_time(clock);
  const GstClockTime base = gst_element_get_base_time(element);
  if (!GST_CLOCK_TIME_IS_VALID(now) || !GST_CLOCK_TIME_IS_VALID(base) || now < base) {
    return GST_CLOCK_TIME_NONE;
  }
  return now - base;
}

}  // namespace

DeadlineTimer::DeadlineTimer(GstElement* element, const char* name, Callback callback)
    : element_(element), name_(name), callback_(std::move(callback)) {}

DeadlineTimer::~DeadlineTimer() {
  stop();
}

void DeadlineTimer::before_change(GstStateChange transition) {
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    set_flushing(false);
    start();
  } else if (transition == GST_STATE_CHANGE_PLAYING_TO_PAUSED) {
    set_playing(false);
  } else if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    set_flushing(true);
  }
}

void DeadlineTimer::after_change(GstStateChange transition, GstStateChangeReturn result) {
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING) {
    set_playing(true);
  } else if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
             (transition == GST_STATE_CHANGE_READY_TO_PAUSED &&
              result == GST_STATE_CHANGE_FAILURE)) {
    stop();
  }
}

void DeadlineTimer::start() {
  Lock lock(mutex_);
  if (thread_ != nullptr) {
    return;
  }
  deadline_ = GST_CLOCK_TIME_NONE;
  kicked_ = false;
  flushing_ = false;
  running_ = true;
  thread_ = g_thread_new(name_.c_str(), thread_main, this);
}

void DeadlineTimer::stop() {
  GThread* thread;
  {
    Lock lock(mutex_);
    running_ = false;
    playing_ = false;
    deadline_ = GST_CLOCK_TIME_NONE;
    kicked_ = false;
    thread = std::exchange(thread_, nullptr);
    wake(true);
  }
  if (thread != nullptr) {
    g_thread_join(thread);
  }
}

void DeadlineTimer::set_playing(bool playing) {
  Lock lock(mutex_);
  playing_ = playing;
  wake(true);
}

void DeadlineTimer::set_flushing(bool flushing) {
  Lock lock(mutex_);
  flushing_ = flushing;
  wake(true);
}

void DeadlineTimer::clock_changed() {
  Lock lock(mutex_);
  wake(true);
}

void DeadlineTimer::arm(GstClockTime when) {
  Lock lock(mutex_);
  if (when == deadline_) {
    return;
  }
  deadline_ = when;
  // A disarmed wait is cancelled, so that an element with nothing to do leaves the clock alone.
  wake(!GST_CLOCK_TIME_IS_VALID(when) ||
       (GST_CLOCK_TIME_IS_VALID(waiting_for_) && when < waiting_for_));
}

void DeadlineTimer::arm_no_later(GstClockTime when) {
  Lock lock(mutex_);
  // GST_CLOCK_TIME_NONE is the largest value, so "nothing armed" is later than any time.
  if (when >= deadline_) {
    return;
  }
  deadline_ = when;
  wake(GST_CLOCK_TIME_IS_VALID(waiting_for_) && when < waiting_for_);
}

void DeadlineTimer::kick() {
  Lock lock(mutex_);
  kicked_ = true;
  wake(true);
}

GstClockTime DeadlineTimer::armed() {
  Lock lock(mutex_);
  return deadline_;
}

GstClockTime DeadlineTimer::now() {
  {
    Lock lock(mutex_);
    if (!playing_) {
      return GST_CLOCK_TIME_NONE;
    }
  }
  ObjectPtr<GstClock> clock(gst_element_get_clock(element_));
  return clock ? running_time(element_, clock.get()) : GST_CLOCK_TIME_NONE;
}

void DeadlineTimer::wake(bool reschedule) {
  if (reschedule && wait_id_ != nullptr) {
    gst_clock_id_unschedule(wait_id_);
  }
  cond_.notify_all();
}

gpointer DeadlineTimer::thread_main(gpointer self) {
  static_cast<DeadlineTimer*>(self)->run();
  return nullptr;
}

void DeadlineTimer::run() {
  Lock lock(mutex_);
  while (running_) {
    if (!playing_ || flushing_ || (!kicked_ && !GST_CLOCK_TIME_IS_VALID(deadline_))) {
      cond_.wait(lock.native());
      continue;
    }
    ObjectPtr<GstClock> clock(gst_element_get_clock(element_));
    const GstClockTime base = gst_element_get_base_time(element_);
    if (!clock || !GST_CLOCK_TIME_IS_VALID(base)) {
      cond_.wait(lock.native());  // clock_changed() or set_playing() ends this
      continue;
    }
    if (!std::exchange(kicked_, false)) {
      const GstClockTime target = deadline_;
      const GstClockTime already = running_time(element_, clock.get());
      if (!GST_CLOCK_TIME_IS_VALID(already) || already < target) {
        // An unreachable deadline would wrap; clamped, it is unreachable all the same.
        const GstClockTime absolute =
            target > GST_CLOCK_TIME_NONE - 1 - base ? GST_CLOCK_TIME_NONE - 1 : base + target;
        GstClockID id = gst_clock_new_single_shot_id(clock.get(), absolute);
        wait_id_ = id;
        waiting_for_ = target;
        lock.unlock();
        const GstClockReturn result = gst_clock_id_wait(id, nullptr);
        lock.lock();
        wait_id_ = nullptr;
        waiting_for_ = GST_CLOCK_TIME_NONE;
        gst_clock_id_unref(id);
        if (result != GST_CLOCK_OK && result != GST_CLOCK_EARLY) {
          if (result != GST_CLOCK_UNSCHEDULED && running_) {
            GST_ERROR_OBJECT(element_, "%s: the clock cannot be waited on (%d)", name_.c_str(),
                             result);
            cond_.wait(lock.native());
          }
          continue;
        }
        // Meanwhile the deadline may have moved to a later time, or the element been paused.
        if (!running_ || !playing_ || flushing_ || deadline_ > target) {
          continue;
        }
      }
      deadline_ = GST_CLOCK_TIME_NONE;
    }
    const GstClockTime now = running_time(element_, clock.get());
    lock.unlock();
    callback_(GST_CLOCK_TIME_IS_VALID(now) ? now : 0);
    lock.lock();
  }
}

}  // namespace discord
