// One thread that takes many branches of a recording in turn, where a thread for each would be
// woken for every packet.
#pragma once

#include "base/mutex.hpp"

#include <glib.h>
#include <chrono>
#include <condition_variable>
#include <vector>

namespace discord {

// Who gives branches their turns.
class BranchTurns {
 public:
  class Branch {
   public:
    // One turn: everything that there is to do.
    virtual void run() = 0;

   protected:
    ~Branch() = default;
  };

  virtual ~BranchTurns() = default;
  // From any thread: there is something to do. Not again before the turn has begun.
  virtual void wake(Branch& branch) = 0;
  // From any thread: whoever has asked gets a turn at once.
  virtual void hurry() = 0;
  // Once this returns the branch has no turn and gets none. Not from inside one.
  virtual void forget(Branch& branch) = 0;
};

class BranchThread final : public BranchTurns {
 public:
  // `rest`: how long the thread sleeps when all have had their turn, so that one awakening serves
  // many. Who asks meanwhile waits, unless somebody is in a hurry.
  explicit BranchThread(std::chrono::milliseconds rest);
  ~BranchThread() override;
  BranchThread(const BranchThread&) = delete;
  BranchThread& operator=(const BranchThread&) = delete;

  void wake(Branch& branch) override EXCLUDES(mutex_);
  void hurry() override EXCLUDES(mutex_);
  void forget(Branch& branch) override EXCLUDES(mutex_);

 private:
  static gpointer main(gpointer self);
  void run() EXCLUDES(mutex_);

  const std::chrono::milliseconds rest_;
  Mutex mutex_;
  std::condition_variable work_;
  std::condition_variable turn_over_;
  std::vector<Branch*> waiting_ GUARDED_BY(mutex_);
  std::vector<Branch*> round_ GUARDED_BY(mutex_);  // null: had its turn, or is forgotten
  Branch* running_ GUARDED_BY(mutex_) = nullptr;
  bool idle_ GUARDED_BY(mutex_) = false;
  bool hurry_ GUARDED_BY(mutex_) = false;
  bool quit_ GUARDED_BY(mutex_) = false;
  GThread* thread_;
};

}  // namespace discord
