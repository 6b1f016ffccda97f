// Utterances on their way to a reader that may be slow.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace discord {

// At most `limit` wait. A partial replaces one of its utterance that waits; a finished one replaces
// its partials. When it is full, first partials go, then either the oldest utterance goes and is
// counted (live), or whoever brings one waits (behind a file).
class UtteranceQueue {
 public:
  struct Item {
    BufferPtr buffer;  // none: the end
    std::uint64_t speaker = 0;
    std::uint64_t number = 0;
    bool partial = false;
  };

  // False when it is flushing.
  bool push(Item item, std::size_t limit, bool wait) EXCLUDES(mutex_) {
    Lock lock(mutex_);
    std::erase_if(items_, [&](const Item& i) {
      return i.buffer && i.partial && i.speaker == item.speaker && i.number == item.number;
    });
    while (!flushing_ && item.buffer && items_.size() >= limit) {
      const auto partial = std::find_if(items_.begin(), items_.end(),
                                        [](const Item& i) { return i.buffer && i.partial; });
      if (partial != items_.end()) {
        items_.erase(partial);
      } else if (item.partial) {
        return true;  // a later one has all of it
      } else if (wait) {
        changed_.wait(lock.native());
      } else {
        items_.pop_front();
        dropped_++;
      }
    }
    if (flushing_) {
      return false;
    }
    items_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }

  // Waits; none when it is flushing.
  std::optional<Item> pop() EXCLUDES(mutex_) {
    Lock lock(mutex_);
    while (!flushing_ && items_.empty()) {
      changed_.wait(lock.native());
    }
    if (flushing_) {
      return std::nullopt;
    }
    Item item = std::move(items_.front());
    items_.pop_front();
    changed_.notify_all();
    return item;
  }

  // Empties it, and lets nobody wait until it is opened again.
  void set_flushing(bool flushing) EXCLUDES(mutex_) {
    Lock lock(mutex_);
    flushing_ = flushing;
    items_.clear();
    changed_.notify_all();
  }
  std::uint64_t dropped() const EXCLUDES(mutex_) {
    Lock lock(mutex_);
    return dropped_;
  }

 private:
  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_ GUARDED_BY(mutex_);
  std::uint64_t dropped_ GUARDED_BY(mutex_) = 0;
  bool flushing_ GUARDED_BY(mutex_) = true;
};

}  // namespace discord
