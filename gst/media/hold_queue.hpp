// Packets that cannot go on yet, because the user or the key they need is not known yet. First
// words must not be lost to the order in which two sockets deliver.
#pragma once

#include "base/time.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>

namespace discord::media {

struct HoldLimits {
  Duration hold_time = std::chrono::seconds(2);
  std::size_t bytes_per_ssrc = 256 * 1024;
  std::size_t bytes_total = 4 * 1024 * 1024;
};

// One FIFO per SSRC, so that a speaker blocks nobody else. Every item that goes in comes out
// through exactly one of: `release`, `take_if`, `expire`, `drop`, or the eviction callback of
// `push`. The callbacks must not use the queue, unless it says so.
template <class Handle> class HoldQueue {
 public:
  // What a packet costs beyond its bytes, so that a flood of tiny ones meets the caps as well.
  static constexpr std::size_t overhead = 128;

  explicit HoldQueue(const HoldLimits& limits = {}) : limits_(limits) {}

  // Applies to packets held from now on.
  void set_hold_time(Duration hold_time) { limits_.hold_time = hold_time; }

  // True when a packet of this SSRC would be held: false after an expiry, until `known`, since a
  // user nobody announced for two seconds is not worth waiting for again.
  bool waits(std::uint32_t ssrc) const {
    const auto it = lanes_.find(ssrc);
    return it == lanes_.end() || !it->second.given_up;
  }

  // Holds a packet of `bytes` bytes until `since` + hold time. Above a cap the oldest packets go:
  // this SSRC's own above the cap per SSRC, the largest holder's above the global one; each is
  // handed to `evict(ssrc, Handle&&)`, which may be given the new packet itself. The caller has
  // asked `waits`.
  template <class Evict>
  void push(std::uint32_t ssrc, Handle&& handle, std::size_t bytes, Time since, Evict&& evict) {
    Lane& lane = lanes_[ssrc];
    const std::size_t cost = bytes + overhead;
    lane.items.push_back(Item{std::move(handle), cost, since + limits_.hold_time});
    lane.bytes += cost;
    bytes_ += cost;
    ++size_;
    while (lane.bytes > limits_.bytes_per_ssrc) {
      evict(ssrc, take_front(lane));
    }
    while (bytes_ > limits_.bytes_total) {
      auto largest = lanes_.begin();
      for (auto it = lanes_.begin(); it != lanes_.end(); ++it) {
        if (it->second.bytes > largest->second.bytes) {
          largest = it;
        }
      }
      const std::uint32_t from = largest->first;
      evict(from, take_front(largest->second));
      if (from != ssrc) {
        erase_if_idle(from);
      }
    }
    erase_if_idle(ssrc);
  }

  // The user or the key is known now: hands everything held for the SSRC to `out(Handle&&)`, in
  // order, and lets later packets wait again should it ever be needed. `out` may push what has to
  // wait on.
  template <class Out> void release(std::uint32_t ssrc, Out&& out) {
    std::deque<Item> items = take_lane(ssrc);
    for (Item& item : items) {
      out(std::move(item.handle));
    }
  }

  // The first packet held for the SSRC, if there is one and `which(const Handle&)` says so.
  template <class Which> std::optional<Handle> take_if(std::uint32_t ssrc, Which&& which) {
    const auto it = lanes_.find(ssrc);
    if (it == lanes_.end() || it->second.items.empty() ||
        !which(std::as_const(it->second.items.front().handle))) {
      return std::nullopt;
    }
    std::optional<Handle> taken(take_front(it->second));
    erase_if_idle(ssrc);
    return taken;
  }

  // Packets of this SSRC are worth waiting for again.
  void forgive(std::uint32_t ssrc) {
    const auto it = lanes_.find(ssrc);
    if (it != lanes_.end()) {
      it->second.given_up = false;
      erase_if_idle(ssrc);
    }
  }

  // Hands everything held for the SSRC to `out(Handle&&)` because it will never go on, and forgets
  // the SSRC.
  template <class Out> void drop(std::uint32_t ssrc, Out&& out) {
    release(ssrc, std::forward<Out>(out));
  }

  // Hands what has waited its time to `out(ssrc, Handle&&)`; those SSRCs do not wait again.
  template <class Out> void expire(Time now, Out&& out) {
    if (!next_deadline() || *next_deadline() > now) {
      return;
    }
    for (auto& [ssrc, lane] : lanes_) {
      while (!lane.items.empty() && lane.items.front().deadline <= now) {
        lane.given_up = true;
        out(ssrc, take_front(lane));
      }
    }
  }

  // When `expire` next has something to do.
  Deadline next_deadline() const {
    Deadline first;
    if (size_ == 0) {
      return first;
    }
    for (const auto& [ssrc, lane] : lanes_) {
      if (!lane.items.empty()) {
        first = earlier(first, lane.items.front().deadline);
      }
    }
    return first;
  }

  bool holds(std::uint32_t ssrc) const {
    const auto it = lanes_.find(ssrc);
    return it != lanes_.end() && !it->second.items.empty();
  }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return bytes_; }
  // SSRCs that hold something or have given up; bounded by the owner calling `drop` for those that
  // leave its own table.
  std::size_t lanes() const { return lanes_.size(); }

 private:
  struct Item {
    Handle handle;
    std::size_t cost;
    Time deadline;
  };
  struct Lane {
    std::deque<Item> items;
    std::size_t bytes = 0;
    bool given_up = false;
  };

  Handle take_front(Lane& lane) {
    Handle handle = std::move(lane.items.front().handle);
    lane.bytes -= lane.items.front().cost;
    bytes_ -= lane.items.front().cost;
    --size_;
    lane.items.pop_front();
    return handle;
  }
  std::deque<Item> take_lane(std::uint32_t ssrc) {
    const auto it = lanes_.find(ssrc);
    if (it == lanes_.end()) {
      return {};
    }
    std::deque<Item> items = std::move(it->second.items);
    bytes_ -= it->second.bytes;
    size_ -= items.size();
    lanes_.erase(it);
    return items;
  }
  void erase_if_idle(std::uint32_t ssrc) {
    const auto it = lanes_.find(ssrc);
    if (it != lanes_.end() && it->second.items.empty() && !it->second.given_up) {
      lanes_.erase(it);
    }
  }

  HoldLimits limits_;
  std::unordered_map<std::uint32_t, Lane> lanes_;
  std::size_t bytes_ = 0;
  std::size_t size_ = 0;
};

}  // namespace discord::media
