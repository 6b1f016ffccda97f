// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/branchthread.hpp"

#include <algorithm>
#include <utility>

namespace discord {

BranchThread::BranchThread(std::chrono::milliseconds rest)
    : rest_(rest), thread_(g_thread_new("discord-tracks", main, this)) {}

BranchThread::~BranchThread() {
  {
    Lock lock(mutex_);
    quit_ = true;
    work_.notify_one();
  }
  g_thread_join(thread_);
}

void BranchThread::wake(Branch& branch) {
  Lock lock(mutex_);
  waiting_.push_back(&branch);
  if (idle_) {
    idle_ = false;
    work_.notify_one();
  }
}

void BranchThread::hurry() {
  Lock lock(mutex_);
  hurry_ = true;
  work_.notify_one();
}

void BranchThread::forget(Branch& branch) {
  Lock lock(mutex_);
  while (running_ == &branch) {
    turn_over_.wait(lock.native());
  }
  std::erase(waiting_, &branch);
  std::replace(round_.begin(), round_.end(), &branch, static_cast<Branch*>(nullptr));
}

gpointer BranchThread::main(gpointer self) {
  static_cast<BranchThread*>(self)->run();
  return nullptr;
}

void BranchThread::run() {
  Lock lock(mutex_);
  while (!quit_) {
    if (waiting_.empty()) {
      hurry_ = false;
      idle_ = true;
      work_.wait(lock.native());
      continue;
    }
    round_.swap(waiting_);
    for (std::size_t i = 0; i < round_.size(); i++) {
      running_ = std::exchange(round_[i], nullptr);
      if (running_ != nullptr) {
        Branch* const branch = running_;
        lock.unlock();
        branch->run();
        lock.lock();
        running_ = nullptr;
        turn_over_.notify_all();
      }
    }
    round_.clear();
    const auto until = std::chrono::steady_clock::now() + rest_;
    while (rest_.count() > 0 && !hurry_ && !quit_ &&
           work_.wait_until(lock.native(), until) == std::cv_status::no_timeout) {
    }
  }
}

}  // namespace discord
