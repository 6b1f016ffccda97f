// A mutex whose discipline clang checks (-Wthread-safety): members say which lock guards them.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define DISCORD_TSA(x) __attribute__((x))
#else
#define DISCORD_TSA(x)
#endif

#define GUARDED_BY(x) DISCORD_TSA(guarded_by(x))
#define REQUIRES(...) DISCORD_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) DISCORD_TSA(locks_excluded(__VA_ARGS__))

namespace discord {

class DISCORD_TSA(capability("mutex")) Mutex {
 public:
  void lock() DISCORD_TSA(acquire_capability()) { mutex_.lock(); }
  void unlock() DISCORD_TSA(release_capability()) { mutex_.unlock(); }
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

// Scoped lock that can be let go early, because nothing is pushed, posted or emitted under a lock.
class DISCORD_TSA(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& m) DISCORD_TSA(acquire_capability(m)) : lock_(m.native()) {}
  ~Lock() DISCORD_TSA(release_capability()) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void unlock() DISCORD_TSA(release_capability()) { lock_.unlock(); }
  void lock() DISCORD_TSA(acquire_capability()) { lock_.lock(); }
  std::unique_lock<std::mutex>& native() { return lock_; }

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace discord
