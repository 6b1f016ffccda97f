#include "elements/timerthreads.hpp"

#include "base/mutex.hpp"

#include <gst/gst.h>
#include <pthread.h>
#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace discord {

using Clock = std::chrono::steady_clock;

struct TimerThreads::Shared : std::enable_shared_from_this<TimerThreads::Shared> {
  Shared(std::size_t n, std::chrono::milliseconds l)
      : at_once(std::max<std::size_t>(n, 1)), linger(l) {}

  const std::size_t at_once;
  const std::chrono::milliseconds linger;
  Mutex mutex;
  std::condition_variable changed;
  std::deque<Work> queue GUARDED_BY(mutex);
  std::list<Clock::time_point> inside GUARDED_BY(mutex);  // when each callback began, oldest first
  std::list<std::thread> threads GUARDED_BY(mutex);
  std::list<std::thread> ended GUARDED_BY(mutex);  // past their last look at this, to be joined
  std::size_t idle GUARDED_BY(mutex) = 0;
  bool closing GUARDED_BY(mutex) = false;

  void join_ended() REQUIRES(mutex) {
    for (std::thread& thread : ended) {
      if (thread.joinable()) {
        thread.join();
      }
    }
    ended.clear();
  }

  // Whether threads live that somebody else has to wait for.
  bool others() const REQUIRES(mutex) {
    return std::any_of(threads.begin(), threads.end(),
                       [](const std::thread& thread) { return thread.joinable(); });
  }

  // Somebody must be there to take the first of the queue, now or when it may be taken.
  void ensure_idle() REQUIRES(mutex) {
    join_ended();
    if (idle > 0 || queue.empty()) {
      return;
    }
    threads.emplace_back();
    try {
      threads.back() = std::thread(
          [self = shared_from_this(), place = std::prev(threads.end())] { self->run(place); });
      ++idle;
    } catch (const std::system_error& e) {
      // Called from C. Whoever is inside a callback takes the work when it comes back.
      threads.pop_back();
      GST_WARNING("There is no thread for a deadline: %s", e.what());
    }
  }

  // When the first of the queue may be taken.
  Clock::time_point free_at(Clock::time_point now) REQUIRES(mutex) {
    const auto young = std::find_if(inside.begin(), inside.end(),
                                    [&](auto began) { return began + patience > now; });
    const auto count = static_cast<std::size_t>(std::distance(young, inside.end()));
    return count < at_once ? now : *young + patience;
  }

  void run(std::list<std::thread>::iterator place) EXCLUDES(mutex) {
    pthread_setname_np(pthread_self(), "discord-timer");
    Lock lock(mutex);
    for (;;) {
      if (queue.empty()) {
        if (closing) {
          break;
        }
        if (idle == 1) {
          changed.wait(lock.native());  // the one that stays is not woken for nothing
        } else if (changed.wait_for(lock.native(), linger) == std::cv_status::timeout && idle > 1 &&
                   queue.empty()) {
          break;
        }
        continue;
      }
      const Clock::time_point now = Clock::now();
      if (const Clock::time_point at = free_at(now); at > now) {
        changed.wait_until(lock.native(), at);
        continue;
      }
      Work work = std::move(queue.front());
      queue.pop_front();
      const auto begun = inside.insert(inside.end(), now);
      --idle;
      ensure_idle();
      lock.unlock();
      work();
      work = nullptr;  // its end may be the end of what it held, which needs no lock of ours
      lock.lock();
      inside.erase(begun);
      ++idle;
      changed.notify_one();  // somebody may have waited for this callback to end
    }
    --idle;
    ended.splice(ended.end(), threads, place);
    changed.notify_all();
  }
};

std::shared_ptr<TimerThreads> TimerThreads::get() {
  static Mutex mutex;
  static std::weak_ptr<TimerThreads> weak;
  Lock lock(mutex);
  std::shared_ptr<TimerThreads> all = weak.lock();
  if (!all) {
    all = std::make_shared<TimerThreads>(std::thread::hardware_concurrency(),
                                         std::chrono::seconds(1));
    weak = all;
  }
  return all;
}

TimerThreads::TimerThreads(std::size_t at_once, std::chrono::milliseconds linger)
    : shared_(std::make_shared<Shared>(at_once, linger)) {}

TimerThreads::~TimerThreads() {
  Lock lock(shared_->mutex);
  shared_->closing = true;
  shared_->changed.notify_all();
  for (std::thread& thread : shared_->threads) {
    if (thread.get_id() == std::this_thread::get_id()) {
      // It cannot wait for its own end; what it still needs it owns.
      thread.detach();
    }
  }
  while (shared_->others()) {
    shared_->changed.wait(lock.native());
  }
  shared_->join_ended();
}

void TimerThreads::post(Work work) {
  Lock lock(shared_->mutex);
  shared_->queue.push_back(std::move(work));
  shared_->ensure_idle();
  shared_->changed.notify_one();
}

std::size_t TimerThreads::threads() const {
  Lock lock(shared_->mutex);
  return shared_->threads.size();
}

}  // namespace discord
