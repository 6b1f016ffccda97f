// SPDX-License-Identifier: LGPL-2.1-or-later
#include "net/control_thread.hpp"

#include "base/mutex.hpp"

#include <pthread.h>
#include <utility>

namespace discord::net {

namespace {

using Work = std::function<void()>;

gboolean run_work(gpointer data) {
  (*static_cast<Work*>(data))();
  return G_SOURCE_REMOVE;
}

void free_work(gpointer data) {
  delete static_cast<Work*>(data);
}

// A source whose only reason to be dispatched is its ready time.
GSourceFuncs timer_functions = {
    nullptr,
    nullptr,
    [](GSource* source, GSourceFunc callback, gpointer data) -> gboolean {
      g_source_set_ready_time(source, -1);
      return callback(data);
    },
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace

std::shared_ptr<ControlThread> ControlThread::get() {
  static Mutex mutex;
  static std::weak_ptr<ControlThread> shared;
  Lock lock(mutex);
  std::shared_ptr<ControlThread> thread = shared.lock();
  if (!thread) {
    thread = std::make_shared<ControlThread>();
    shared = thread;
  }
  return thread;
}

ControlThread::ControlThread()
    : context_(g_main_context_new()), loop_(g_main_loop_new(context_, FALSE)) {
  // The thread owns references of its own: it may outlive this object (see the destructor).
  thread_ = std::thread([context = g_main_context_ref(context_), loop = g_main_loop_ref(loop_)] {
    pthread_setname_np(pthread_self(), "discord-control");
    g_main_context_push_thread_default(context);
    g_main_loop_run(loop);
    // Work that was posted before the end still runs: it may own the last reference to something
    // that must be closed on this thread.
    while (g_main_context_iteration(context, FALSE)) {
    }
    g_main_context_pop_thread_default(context);
    g_main_loop_unref(loop);
    g_main_context_unref(context);
  });
}

ControlThread::~ControlThread() {
  post([loop = loop_] { g_main_loop_quit(loop); });
  if (is_current()) {
    // The last user let go on the thread itself, which cannot wait for its own end.
    thread_.detach();
  } else {
    thread_.join();
  }
  g_main_loop_unref(loop_);
  g_main_context_unref(context_);
}

bool ControlThread::is_current() const noexcept {
  return std::this_thread::get_id() == thread_.get_id();
}

void ControlThread::post(Work work) {
  GSource* source = g_idle_source_new();
  g_source_set_priority(source, G_PRIORITY_DEFAULT);
  g_source_set_callback(source, run_work, new Work(std::move(work)), free_work);
  g_source_attach(source, context_);
  g_source_unref(source);
}

void ControlThread::run(const Work& work) {
  if (is_current()) {
    work();
    return;
  }
  Mutex mutex;
  std::condition_variable done_signal;
  bool done = false;
  post([&] {
    work();
    Lock lock(mutex);
    done = true;
    // Notified under the lock: the waiter destroys the condition as soon as it gets the lock.
    done_signal.notify_one();
  });
  Lock lock(mutex);
  done_signal.wait(lock.native(), [&done] { return done; });
}

Timer::Timer(GMainContext* context, Work callback)
    : source_(g_source_new(&timer_functions, sizeof(GSource))), callback_(std::move(callback)) {
  g_source_set_callback(
      source_,
      [](gpointer data) -> gboolean {
        static_cast<Timer*>(data)->callback_();
        return G_SOURCE_CONTINUE;
      },
      this, nullptr);
  g_source_attach(source_, context);
}

Timer::~Timer() {
  g_source_destroy(source_);
  g_source_unref(source_);
}

void Timer::set(Deadline deadline) {
  // Rounded up: a timer that fires a part of a microsecond early would fire again at once.
  g_source_set_ready_time(source_, deadline ? (to_ns(*deadline) + 999) / 1000 : -1);
}

Time now() noexcept {
  return time_from_ns(g_get_monotonic_time() * 1000);
}

}  // namespace discord::net
