#include "elements/deadlinetimer.hpp"

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/timerthreads.hpp"

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

struct DeadlineTimer::Wait : std::enable_shared_from_this<DeadlineTimer::Wait> {
  Wait(GstElement* owner, Callback call) : element(owner), callback(std::move(call)) {}

  GstElement* const element;
  const Callback callback;

  Mutex mutex;
  std::condition_variable called_back;
  std::shared_ptr<TimerThreads> threads GUARDED_BY(mutex);  // while it runs
  GstClockID id GUARDED_BY(mutex) = nullptr;
  GstClockTime waiting_for GUARDED_BY(mutex) = GST_CLOCK_TIME_NONE;
  GstClockTime passed GUARDED_BY(mutex) = GST_CLOCK_TIME_NONE;  // what the clock said has come
  GstClockTime deadline GUARDED_BY(mutex) = GST_CLOCK_TIME_NONE;
  bool playing GUARDED_BY(mutex) = false;
  bool flushing GUARDED_BY(mutex) = false;
  bool kicked GUARDED_BY(mutex) = false;
  bool posted GUARDED_BY(mutex) = false;   // a thread will look
  bool calling GUARDED_BY(mutex) = false;  // a thread is inside the callback

  bool active() const REQUIRES(mutex) { return threads && playing && !flushing; }

  void cancel() REQUIRES(mutex) {
    if (id != nullptr) {
      gst_clock_id_unschedule(id);
      gst_clock_id_unref(std::exchange(id, nullptr));
    }
    waiting_for = GST_CLOCK_TIME_NONE;
    passed = GST_CLOCK_TIME_NONE;
  }

  void post() REQUIRES(mutex) {
    posted = true;
    threads->post([self = shared_from_this()] { self->look(); });
  }

  bool is_due(GstClock* clock) const REQUIRES(mutex) {
    if (GST_CLOCK_TIME_IS_VALID(passed) && deadline <= passed) {
      return true;
    }
    const GstClockTime now = running_time(element, clock);
    return GST_CLOCK_TIME_IS_VALID(now) && deadline <= now;
  }

  // Brings what is waited for in line with what is wanted.
  void update() REQUIRES(mutex) {
    if (!active()) {
      cancel();
      return;
    }
    if (posted || calling) {
      return;  // it comes back here
    }
    if (!kicked && !GST_CLOCK_TIME_IS_VALID(deadline)) {
      cancel();  // an element with nothing to do leaves the clock alone
      return;
    }
    if (!kicked && id != nullptr && waiting_for <= deadline) {
      return;
    }
    const ObjectPtr<GstClock> clock(gst_element_get_clock(element));
    const GstClockTime base = gst_element_get_base_time(element);
    if (!clock || !GST_CLOCK_TIME_IS_VALID(base)) {
      return;  // clock_changed() or set_playing() comes
    }
    if (kicked || is_due(clock.get())) {
      post();
      return;
    }
    cancel();
    // An unreachable deadline would wrap; clamped, it is unreachable all the same.
    const GstClockTime absolute =
        deadline > GST_CLOCK_TIME_NONE - 1 - base ? GST_CLOCK_TIME_NONE - 1 : base + deadline;
    id = gst_clock_new_single_shot_id(clock.get(), absolute);
    waiting_for = deadline;
    const GstClockReturn result = gst_clock_id_wait_async(
        id, on_clock, new std::shared_ptr<Wait>(shared_from_this()),
        [](gpointer data) { delete static_cast<std::shared_ptr<Wait>*>(data); });
    if (result != GST_CLOCK_OK) {
      GST_ERROR_OBJECT(element, "the clock cannot be waited on (%d)", result);
      cancel();  // the next change tries again
    }
  }

  // On the clock's own thread, which many others wait for.
  static gboolean on_clock(GstClock*, GstClockTime, GstClockID id, gpointer data) {
    const std::shared_ptr<Wait> self = *static_cast<std::shared_ptr<Wait>*>(data);
    Lock lock(self->mutex);
    if (self->id == id) {
      self->passed = self->waiting_for;
      self->waiting_for = GST_CLOCK_TIME_NONE;
      gst_clock_id_unref(std::exchange(self->id, nullptr));
      if (!self->posted && !self->calling) {
        self->post();
      }
    }
    return TRUE;
  }

  // On a thread of TimerThreads.
  void look() EXCLUDES(mutex) {
    Lock lock(mutex);
    posted = false;
    const ObjectPtr<GstClock> clock(active() ? gst_element_get_clock(element) : nullptr);
    if (clock && (kicked || (GST_CLOCK_TIME_IS_VALID(deadline) && is_due(clock.get())))) {
      if (!std::exchange(kicked, false)) {
        deadline = GST_CLOCK_TIME_NONE;
      }
      const GstClockTime now = running_time(element, clock.get());
      calling = true;
      lock.unlock();
      callback(GST_CLOCK_TIME_IS_VALID(now) ? now : 0);
      lock.lock();
      calling = false;
      called_back.notify_all();
    }
    update();
  }
};

DeadlineTimer::DeadlineTimer(GstElement* element, Callback callback)
    : wait_(std::make_shared<Wait>(element, std::move(callback))) {}

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
  std::shared_ptr<TimerThreads> threads = TimerThreads::get();
  Lock lock(wait_->mutex);
  if (wait_->threads) {
    return;
  }
  wait_->threads = std::move(threads);
  wait_->deadline = GST_CLOCK_TIME_NONE;
  wait_->kicked = false;
  wait_->flushing = false;
}

void DeadlineTimer::stop() {
  std::shared_ptr<TimerThreads> threads;  // let go of without the lock: it may wait for its threads
  Lock lock(wait_->mutex);
  threads = std::move(wait_->threads);
  wait_->threads.reset();
  wait_->playing = false;
  wait_->deadline = GST_CLOCK_TIME_NONE;
  wait_->kicked = false;
  wait_->cancel();
  while (wait_->calling) {
    wait_->called_back.wait(lock.native());
  }
}

void DeadlineTimer::set_playing(bool playing) {
  Lock lock(wait_->mutex);
  wait_->playing = playing;
  wait_->cancel();
  wait_->update();
}

void DeadlineTimer::set_flushing(bool flushing) {
  Lock lock(wait_->mutex);
  wait_->flushing = flushing;
  wait_->update();
}

void DeadlineTimer::clock_changed() {
  Lock lock(wait_->mutex);
  wait_->cancel();
  wait_->update();
}

void DeadlineTimer::arm(GstClockTime when) {
  Lock lock(wait_->mutex);
  if (when != wait_->deadline) {
    wait_->deadline = when;
    wait_->update();
  }
}

void DeadlineTimer::arm_no_later(GstClockTime when) {
  Lock lock(wait_->mutex);
  // GST_CLOCK_TIME_NONE is the largest value, so "nothing armed" is later than any time.
  if (when < wait_->deadline) {
    wait_->deadline = when;
    wait_->update();
  }
}

void DeadlineTimer::kick() {
  Lock lock(wait_->mutex);
  wait_->kicked = true;
  wait_->update();
}

GstClockTime DeadlineTimer::armed() {
  Lock lock(wait_->mutex);
  return wait_->deadline;
}

GstClockTime DeadlineTimer::now() {
  {
    Lock lock(wait_->mutex);
    if (!wait_->playing) {
      return GST_CLOCK_TIME_NONE;
    }
  }
  const ObjectPtr<GstClock> clock(gst_element_get_clock(wait_->element));
  return clock ? running_time(wait_->element, clock.get()) : GST_CLOCK_TIME_NONE;
}

}  // namespace discord
