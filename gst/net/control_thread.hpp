// The one thread of a process on which every WebSocket of every session runs.
#pragma once

#include "base/time.hpp"

#include <gio/gio.h>
#include <functional>
#include <memory>
#include <thread>

namespace discord::net {

// A GMainContext with a thread of its own. It starts with the first user and ends with the last, so
// an application that has stopped all its elements has no thread of ours left.
class ControlThread {
 public:
  // The shared instance; keep the pointer as long as the thread is needed.
  static std::shared_ptr<ControlThread> get();

  ControlThread();
  ~ControlThread();
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  GMainContext* context() const noexcept { return context_; }

  // Runs `work` on the thread, soon, in the order of the calls. Any thread may call this.
  void post(std::function<void()> work);

  // Runs `work` on the thread and waits until it has run. On the thread itself it runs at once.
  // For short work only: state changes of elements wait for it.
  void run(const std::function<void()>& work);

  bool is_current() const noexcept;

 private:
  GMainContext* context_;
  GMainLoop* loop_;
  std::thread thread_;
};

// Calls back once at a deadline of `now()`; created, set and destroyed on the control thread.
class Timer {
 public:
  Timer(GMainContext* context, std::function<void()> callback);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Replaces the earlier deadline; none switches the timer off.
  void set(Deadline deadline);

 private:
  GSource* source_;
  std::function<void()> callback_;
};

// The monotonic clock, in the shape the state machines take. The only place below the elements
// where a clock is read.
Time now() noexcept;

}  // namespace discord::net
