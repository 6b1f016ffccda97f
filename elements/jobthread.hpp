// A thread that does one thing after another, and something regularly in between.
#pragma once

#include "base/mutex.hpp"

#include <glib.h>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>

namespace discord {

class JobThread {
 public:
  using Job = std::function<void()>;
  // `tick` runs on the thread when no job has kept it, and says when it wants to run again.
  using Tick = std::function<std::chrono::milliseconds()>;

  JobThread(const char* name, std::chrono::milliseconds first_tick, Tick tick);
  ~JobThread() { finish(); }
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

  // From any thread.
  void post(Job job) EXCLUDES(mutex_);
  // Jobs posted before are done first.
  void start() EXCLUDES(mutex_);
  // Does what has been posted and ends the thread. Not on the thread itself.
  void finish() EXCLUDES(mutex_);
  bool running() const { return thread_ != nullptr; }

 private:
  static gpointer main(gpointer self);
  void run() EXCLUDES(mutex_);

  const char* const name_;
  const std::chrono::milliseconds first_tick_;
  const Tick tick_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool quit_ GUARDED_BY(mutex_) = false;
  GThread* thread_ = nullptr;  // of whoever starts and finishes
};

}  // namespace discord
