// What several workers bring, put into the order of its time: one of them may be far ahead of
// another, and whoever follows must not take what has not come yet for silence.
#pragma once

#include "base/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace discord::worker {

// Of equal times the lower SSRC comes first. Items of one SSRC stay in the order in which they were
// brought, whatever their times are. Not for two threads at once.
template <class Item> class TimeOrder {
 public:
  void add(std::uint32_t ssrc, Time when, Item item) {
    Waiting& of = speakers_[ssrc];
    of.latest = std::max(of.latest, when);
    ++of.count;
    heap_.push_back({of.latest, ssrc, next_++, std::move(item)});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  // The earliest, if it is before `until`; of all, without one.
  std::optional<Item> take(Deadline until) {
    if (heap_.empty() || (until && heap_.front().when >= *until)) {
      return std::nullopt;
    }
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Entry entry = std::move(heap_.back());
    heap_.pop_back();
    const auto of = speakers_.find(entry.ssrc);
    if (--of->second.count == 0) {
      speakers_.erase(of);
    }
    return std::move(entry.item);
  }

 private:
  struct Entry {
    Time when{};
    std::uint32_t ssrc = 0;
    std::uint64_t number = 0;
    Item item;
  };
  struct Waiting {
    Time latest{};
    std::size_t count = 0;
  };
  static bool later(const Entry& a, const Entry& b) noexcept {
    return std::tie(a.when, a.ssrc, a.number) > std::tie(b.when, b.ssrc, b.number);
  }

  std::vector<Entry> heap_;
  std::unordered_map<std::uint32_t, Waiting> speakers_;  // that have something here
  std::uint64_t next_ = 0;
};

}  // namespace discord::worker
