// The threads that the deadlines of all elements of the process are called back on.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace discord {

// A callback may block for as long as downstream likes, and must not delay that of another element.
// So the threads are few while callbacks are short and as many as are blocked otherwise: work is
// taken at once while fewer threads than processors are inside a callback that is younger than
// `patience`, and an older callback no longer counts. docs/design/rooms.md "Threads".
class TimerThreads {
 public:
  using Work = std::function<void()>;
  static constexpr std::chrono::milliseconds patience{5};

  // The one set of the process; it lives as long as somebody holds it.
  static std::shared_ptr<TimerThreads> get();

  // `linger`: how long a thread stays that is not the only idle one.
  TimerThreads(std::size_t at_once, std::chrono::milliseconds linger);
  // Ends the threads when what was posted is done. May run on one of them.
  ~TimerThreads();
  TimerThreads(const TimerThreads&) = delete;
  TimerThreads& operator=(const TimerThreads&) = delete;

  // Calls `work` on one of the threads, in the order of posting. Any thread; returns at once.
  void post(Work work);

  std::size_t threads() const;

 private:
  // The threads own it together, so that the last user may let go on one of them.
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace discord
