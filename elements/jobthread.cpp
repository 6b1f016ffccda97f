// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/jobthread.hpp"

#include <utility>

namespace discord {

JobThread::JobThread(const char* name, std::chrono::milliseconds first_tick, Tick tick)
    : name_(name), first_tick_(first_tick), tick_(std::move(tick)) {}

void JobThread::post(Job job) {
  Lock lock(mutex_);
  jobs_.push_back(std::move(job));
  changed_.notify_all();
}

void JobThread::start() {
  {
    Lock lock(mutex_);
    quit_ = false;
  }
  thread_ = g_thread_new(name_, main, this);
}

void JobThread::finish() {
  if (thread_ == nullptr) {
    return;
  }
  {
    Lock lock(mutex_);
    quit_ = true;
    changed_.notify_all();
  }
  g_thread_join(std::exchange(thread_, nullptr));
}

gpointer JobThread::main(gpointer self) {
  static_cast<JobThread*>(self)->run();
  return nullptr;
}

void JobThread::run() {
  auto tick_at = std::chrono::steady_clock::now() + first_tick_;
  Lock lock(mutex_);
  while (!quit_ || !jobs_.empty()) {
    if (!jobs_.empty()) {
      const Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
      continue;
    }
    if (changed_.wait_until(lock.native(), tick_at) == std::cv_status::timeout) {
      lock.unlock();
      tick_at = std::chrono::steady_clock::now() + tick_();
      lock.lock();
    }
  }
}

}  // namespace discord
