// Puts the packets of one SSRC back in order, and says which ones will not come.
#pragma once

#include "base/time.hpp"
#include "media/ledger.hpp"

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <variant>
#include <vector>

namespace discord::media {

struct ReorderRules {
  // Further from the expected sequence than this is not jitter (docs/design/media.md).
  static constexpr std::int64_t far_away = 1000;
  // So many consecutive packets far away are a sender that restarted its numbering.
  static constexpr std::size_t far_run = 3;
  // Refusing everything for this long must be our mistake, whatever the numbers say.
  static constexpr Duration reject_limit = std::chrono::milliseconds(250);
  static constexpr std::size_t max_candidates = 128;
  // The longest burst at 2.5 ms that a latency of 2.5 s could keep waiting.
  static constexpr std::size_t max_queued = 1024;
  // n packets cannot have been lost in less time than it takes to send them (RFC 6716: 2.5 ms).
  static constexpr Duration shortest_packet = std::chrono::microseconds(2500);
};

// What a queue knows beside the packets in it; for a successor in another process.
struct ReorderState {
  std::uint64_t next = 0;
  std::int64_t last_accepted = 0;
  std::int64_t refused_since = 0;
  std::uint64_t rejects = 0;
  std::uint8_t started = 0;
  std::uint8_t discont = 0;
  std::uint8_t resync = 0;
  std::uint8_t reserved[5] = {};
};

// `push` what arrives, then `pop` until it answers Wait or Empty. `Item` is movable and owns its
// memory; what is dropped is destroyed here. Time never runs backwards by more than jitter.
template <class Item> class ReorderQueue : private ReorderRules {
 public:
  struct Packet {
    Item item;
    std::uint64_t sequence = 0;
    Time arrival{};        // as handed to `push`
    bool discont = false;  // something is missing before it, or it is the first
    bool resync = false;   // the sender restarted (or the queue was flushed): sequence numbers
                           // before and after have nothing to do with each other
  };
  // Will not come. One report a hole, however large.
  struct Lost {
    std::uint64_t first_sequence = 0;
    std::uint64_t count = 0;
  };
  // Call `pop` again at this time, or after the next `push`.
  struct Wait {
    Time deadline{};
  };
  struct Empty {};
  using Output = std::variant<Empty, Wait, Lost, Packet>;

  // `latency`: how long a hole may wait, counted from the first packet behind it.
  explicit ReorderQueue(Duration latency = std::chrono::milliseconds(100)) : latency_(latency) {}

  void set_latency(Duration latency) { latency_ = latency; }

  // The 64-bit sequence nearest to the expected one, for callers that have only the wire's 16 bits.
  std::uint64_t unwrap(std::uint16_t wire) const {
    if (!started_) {
      return (std::uint64_t{1} << 40) + wire;
    }
    const auto difference = static_cast<std::int16_t>(
        static_cast<std::uint16_t>(wire - static_cast<std::uint16_t>(next_)));
    return next_ + static_cast<std::uint64_t>(std::int64_t{difference});
  }

  // `now` is when the packet arrived, or was released from the hold queue.
  void push(Item item, std::uint64_t sequence, Time now) {
    ++ledger_.received;
    ++ledger_.in_flight;
    add(Entry{std::move(item), sequence, now, true});
  }

  // This sequence number was spent on something without sound (a padding-only packet): it is not
  // missing, and it is not counted.
  void skip(std::uint64_t sequence, Time now) { add(Entry{Item{}, sequence, now, false}); }

  Output pop(Time now) {
    if (!ready_.empty()) {
      std::variant<Lost, Packet> out = std::move(ready_.front());
      ready_.pop_front();
      if (Packet* packet = std::get_if<Packet>(&out)) {
        played();
        return std::move(*packet);
      }
      return std::get<Lost>(out);
    }
    while (queued() > 0) {
      Entry& front = queue_[head_];
      if (front.sequence != next_) {
        const Time deadline = hole_since_ + latency_;
        if (!draining_ && queued() < max_queued && now < deadline) {
          return Wait{deadline};
        }
        return take_hole();
      }
      if (Entry entry = take_front(); entry.counted) {
        played();
        return to_packet(std::move(entry));
      }
    }
    if (draining_) {
      draining_ = false;
      drop_candidates();
    }
    return Empty{};
  }

  // When `pop` will have something without a further `push`; a time gone by means now.
  Deadline next_deadline() const {
    if (!ready_.empty()) {
      return Time{};
    }
    if (queued() == 0) {
      return std::nullopt;
    }
    const Entry& front = queue_[head_];
    return front.sequence == next_ || draining_ ? front.arrival : hole_since_ + latency_;
  }

  // End of stream: from here `pop` waits for no hole, until it has answered Empty.
  void drain() { draining_ = true; }

  // Forgets everything and drops what is queued (counted as evicted); the next packet starts anew.
  void flush() {
    for (const auto& out : ready_) {
      if (std::holds_alternative<Packet>(out)) {
        evict();
      }
    }
    ready_.clear();
    for (std::size_t i = head_; i < queue_.size(); ++i) {
      if (queue_[i].counted) {
        evict();
      }
    }
    queue_.clear();
    head_ = 0;
    for (const Entry& entry : candidates_) {
      if (entry.counted) {
        evict();
      }
    }
    candidates_.clear();
    resync_ = resync_ || started_;
    started_ = false;
    draining_ = false;
    rejects_ = 0;
  }

  ReorderState save() const {
    ReorderState out;
    out.next = next_;
    out.last_accepted = to_ns(last_accepted_);
    out.refused_since = to_ns(refused_since_);
    out.rejects = rejects_;
    out.started = started_;
    out.discont = discont_;
    out.resync = resync_;
    return out;
  }
  // For an empty queue: goes on where another stopped; the packets which that one still had are
  // pushed again. Any numbers are safe: wrong ones look like a sender that restarted.
  void restore(const ReorderState& state) {
    next_ = state.next;
    last_accepted_ = time_from_ns(state.last_accepted);
    refused_since_ = time_from_ns(state.refused_since);
    rejects_ = static_cast<std::size_t>(state.rejects);
    started_ = state.started != 0;
    discont_ = state.discont != 0;
    resync_ = state.resync != 0;
  }

  // Shows what waits behind the packet that `pop` answered last, in order: f(item, arrival).
  template <class F> void each_behind(F&& f) const {
    if (!ready_.empty()) {
      return;  // that packet is of the numbering before
    }
    for (std::size_t i = head_; i < queue_.size(); ++i) {
      if (queue_[i].counted) {
        f(queue_[i].item, queue_[i].arrival);
      }
    }
  }

  // received = played (handed out) + late + duplicate + evicted + in_flight (queued here).
  const Ledger& ledger() const { return ledger_; }
  // For an empty queue: the figures begin anew.
  void clear_ledger() { ledger_ = {}; }
  std::uint64_t lost() const { return lost_; }
  std::uint64_t resyncs() const { return resyncs_; }
  // Packets inside, candidates for a restart included.
  std::size_t size() const { return static_cast<std::size_t>(ledger_.in_flight); }

 private:
  struct Entry {
    Item item;
    std::uint64_t sequence;
    Time arrival;
    bool counted;  // false for `skip`
  };

  std::size_t queued() const { return queue_.size() - head_; }
  std::int64_t ahead(std::uint64_t sequence) const {
    return static_cast<std::int64_t>(sequence - next_);
  }

  void add(Entry entry) {
    draining_ = false;
    if (!started_) {
      start(entry.sequence);
    }
    const std::int64_t difference = ahead(entry.sequence);
    if (difference < -far_away || (difference > far_away && !time_for(difference, entry.arrival))) {
      consider(std::move(entry));
    } else if (difference < 0) {
      refuse(std::move(entry));
    } else {
      accept(std::move(entry));
    }
  }

  void start(std::uint64_t sequence) {
    started_ = true;
    next_ = sequence;
    delivered_.reset();
    discont_ = true;
  }

  // Whether so many packets can have been sent since the last good one.
  bool time_for(std::int64_t packets, Time now) const {
    return (now - last_accepted_) / shortest_packet >= packets;
  }

  void accept(Entry entry) {
    rejects_ = 0;
    drop_candidates();
    last_accepted_ = std::max(last_accepted_, entry.arrival);
    insert(std::move(entry));
  }

  void insert(Entry entry) {
    std::size_t at = queue_.size();
    while (at > head_ && queue_[at - 1].sequence > entry.sequence) {
      --at;
    }
    if (at > head_ && queue_[at - 1].sequence == entry.sequence) {
      gone(entry, ledger_.duplicate);
      return;
    }
    if (queued() == 0 || entry.arrival < hole_since_) {
      hole_since_ = entry.arrival;
    }
    queue_.insert(queue_.begin() + static_cast<std::ptrdiff_t>(at), std::move(entry));
  }

  // Behind, but near: its place has gone by. When nothing else comes for a while, the sender went
  // back a little and we must follow.
  void refuse(Entry entry) {
    if (long_refused(entry.arrival)) {
      adopt(std::move(entry));
      return;
    }
    gone(entry, delivered_[entry.sequence % delivered_.size()] ? ledger_.duplicate : ledger_.late);
  }

  // Far away: kept until it is clear whether the sender restarted or one packet strayed.
  void consider(Entry entry) {
    const bool follows = !candidates_.empty() && candidates_.back().sequence + 1 == entry.sequence;
    run_ = follows ? run_ + 1 : 1;
    const bool repeats = std::any_of(candidates_.begin(), candidates_.end(),
                                     [&](const Entry& c) { return c.sequence == entry.sequence; });
    if (repeats) {
      gone(entry, ledger_.duplicate);
      return;
    }
    if (long_refused(entry.arrival) || run_ >= far_run || candidates_.size() >= max_candidates) {
      adopt(std::move(entry));
    } else {
      candidates_.push_back(std::move(entry));
    }
  }

  bool long_refused(Time now) {
    if (rejects_++ == 0) {
      refused_since_ = now;
    }
    return rejects_ >= far_run && now - refused_since_ >= reject_limit;
  }

  // A new segment begins with `trigger` and the candidates close to it. What the old one still has
  // goes out first, without waiting for its holes.
  void adopt(Entry trigger) {
    while (queued() > 0) {
      if (queue_[head_].sequence != next_) {
        ready_.push_back(take_hole());
      } else if (Entry entry = take_front(); entry.counted) {
        ready_.push_back(to_packet(std::move(entry)));
      }
    }
    const std::uint64_t at = trigger.sequence;
    std::uint64_t first = at;
    const auto belongs = [at](const Entry& c) {
      const auto d = static_cast<std::int64_t>(at - c.sequence);
      return d > -neighbourhood && d < neighbourhood;
    };
    for (const Entry& c : candidates_) {
      if (belongs(c)) {
        first = std::min(first, c.sequence);
      }
    }
    start(first);
    resync_ = true;
    ++resyncs_;
    rejects_ = 0;
    last_accepted_ = std::max(last_accepted_, trigger.arrival);
    std::vector<Entry> candidates = std::move(candidates_);
    candidates_.clear();
    for (Entry& c : candidates) {
      if (belongs(c)) {
        insert(std::move(c));
      } else {
        gone(c, ledger_.late);
      }
    }
    insert(std::move(trigger));
  }

  Lost take_hole() {
    const std::uint64_t first = next_;
    const std::uint64_t size = queue_[head_].sequence - next_;
    if (size >= delivered_.size()) {
      delivered_.reset();
    } else {
      for (std::uint64_t s = first; s != first + size; ++s) {
        delivered_.reset(s % delivered_.size());
      }
    }
    next_ += size;
    discont_ = true;
    lost_ += size;
    return Lost{first, size};
  }

  Entry take_front() {
    Entry entry = std::move(queue_[head_++]);
    delivered_.set(entry.sequence % delivered_.size());
    ++next_;
    if (head_ == queue_.size()) {
      queue_.clear();
      head_ = 0;
    } else {
      if (head_ >= 64 && head_ * 2 >= queue_.size()) {
        queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
      }
      if (queue_[head_].sequence != next_) {
        // A new hole at the front: it has waited since the first of those behind it came.
        hole_since_ = queue_[head_].arrival;
        for (std::size_t i = head_ + 1; i < queue_.size(); ++i) {
          hole_since_ = std::min(hole_since_, queue_[i].arrival);
        }
      }
    }
    return entry;
  }

  Packet to_packet(Entry entry) {
    return Packet{std::move(entry.item), entry.sequence, entry.arrival,
                  std::exchange(discont_, false), std::exchange(resync_, false)};
  }

  void played() {
    --ledger_.in_flight;
    ++ledger_.played;
  }
  void gone(const Entry& entry, std::uint64_t& cause) {
    if (entry.counted) {
      --ledger_.in_flight;
      ++cause;
    }
  }
  void evict() {
    --ledger_.in_flight;
    ++ledger_.evicted;
  }
  void drop_candidates() {
    for (const Entry& entry : candidates_) {
      gone(entry, ledger_.late);
    }
    candidates_.clear();
    run_ = 0;
  }

  static constexpr std::int64_t neighbourhood = 64;

  Duration latency_;
  bool started_ = false;
  bool draining_ = false;
  bool discont_ = false;  // for the next packet handed out
  bool resync_ = false;
  std::uint64_t next_ = 0;    // expected
  std::vector<Entry> queue_;  // sorted, from head_ on; a vector, so that order costs no allocation
  std::size_t head_ = 0;
  Time hole_since_{};
  Time last_accepted_{};
  std::bitset<1024> delivered_;  // by sequence, behind next_: tells a duplicate from a late one
  std::vector<Entry> candidates_;
  std::size_t run_ = 0;
  std::size_t rejects_ = 0;  // since the last accepted one
  Time refused_since_{};
  std::deque<std::variant<Lost, Packet>> ready_;  // what an old segment left when a new one began
  Ledger ledger_;
  std::uint64_t lost_ = 0;
  std::uint64_t resyncs_ = 0;
};

}  // namespace discord::media
