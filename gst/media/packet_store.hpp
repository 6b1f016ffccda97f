// Memory for the packets that are inside a receiver.
#pragma once

#include "base/bytes.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace discord::media {

// Slots in four sizes, made in chunks up to a cap, reused for ever: in the steady state a packet
// costs no allocation, and a flood cannot take more than the cap. Every packet that was put in
// comes out in `finished`, exactly once, whichever way it ended.
class PacketStore {
 public:
  static constexpr std::size_t max_packet = 2048;

  struct Finished {
    std::uint64_t id = 0;
    bool authentic = false;
    // What opened it end to end: the epoch's serial (0 = nothing) and the sender's count of frames.
    std::uint64_t epoch = 0;
    std::uint64_t counter = 0;
  };

  // Owner of one packet's memory.
  class Handle {
   public:
    Handle() noexcept = default;
    Handle(Handle&& other) noexcept
        : store_(std::exchange(other.store_, nullptr)),
          slot_(other.slot_),
          size_(other.size_),
          kind_(other.kind_),
          authentic_(other.authentic_),
          id_(other.id_),
          epoch_(other.epoch_),
          counter_(other.counter_) {}
    Handle& operator=(Handle&& other) noexcept {
      if (this != &other) {
        finish();
        store_ = std::exchange(other.store_, nullptr);
        slot_ = other.slot_;
        size_ = other.size_;
        kind_ = other.kind_;
        authentic_ = other.authentic_;
        id_ = other.id_;
        epoch_ = other.epoch_;
        counter_ = other.counter_;
      }
      return *this;
    }
    ~Handle() { finish(); }

    MutableByteSpan bytes() const noexcept { return {slot_, size_}; }
    std::uint64_t id() const noexcept { return id_; }
    // It was not a forgery: whoever keeps replay windows must remember it.
    void mark_authentic() noexcept { authentic_ = true; }
    // It was opened end to end: nothing may open it again.
    void mark_opened(std::uint64_t epoch, std::uint64_t counter) noexcept {
      epoch_ = epoch;
      counter_ = counter;
    }

   private:
    friend class PacketStore;
    Handle(PacketStore* store, std::uint8_t* slot, std::size_t size, std::uint8_t kind,
           std::uint64_t id) noexcept
        : store_(store),
          slot_(slot),
          size_(static_cast<std::uint16_t>(size)),
          kind_(kind),
          id_(id) {}
    void finish() noexcept {
      if (PacketStore* store = std::exchange(store_, nullptr)) {
        store->free_[kind_].push_back(slot_);
        store->finished_.push_back({id_, authentic_, epoch_, counter_});
      }
    }

    PacketStore* store_ = nullptr;
    std::uint8_t* slot_ = nullptr;
    std::uint16_t size_ = 0;
    std::uint8_t kind_ = 0;
    bool authentic_ = false;
    std::uint64_t id_ = 0;
    std::uint64_t epoch_ = 0;
    std::uint64_t counter_ = 0;
  };

  explicit PacketStore(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  PacketStore(const PacketStore&) = delete;
  PacketStore& operator=(const PacketStore&) = delete;

  // A copy of the packet; an empty handle (`!bytes().data()`) when it is longer than `max_packet`
  // or the cap is reached, and then it has finished already.
  Handle put(ByteSpan packet, std::uint64_t id) {
    std::uint8_t kind = 0;
    while (kind < sizes.size() && packet.size() > sizes[kind]) {
      ++kind;
    }
    if (kind == sizes.size() || (free_[kind].empty() && !grow(kind))) {
      finished_.push_back({id, false, 0, 0});
      return {};
    }
    std::uint8_t* slot = free_[kind].back();
    free_[kind].pop_back();
    std::copy(packet.begin(), packet.end(), slot);
    return Handle(this, slot, packet.size(), kind, id);
  }

  // Packets that have left since the last call of `clear_finished`.
  const std::vector<Finished>& finished() const noexcept { return finished_; }
  void clear_finished() noexcept { finished_.clear(); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  static constexpr std::array<std::size_t, 4> sizes = {256, 512, 1024, max_packet};
  static constexpr std::size_t chunk = 16 * 1024;

  bool grow(std::size_t kind) {
    if (bytes_ + chunk > max_bytes_) {
      return false;
    }
    chunks_.push_back(std::make_unique<std::uint8_t[]>(chunk));
    bytes_ += chunk;
    const std::size_t count = chunk / sizes[kind];
    // So that giving a packet back never allocates: destructors must not throw.
    slots_[kind] += count;
    free_[kind].reserve(slots_[kind]);
    total_ += count;
    finished_.reserve(total_ + finished_.size());
    for (std::size_t i = 0; i < count; ++i) {
      free_[kind].push_back(chunks_.back().get() + i * sizes[kind]);
    }
    return true;
  }

  std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::vector<std::unique_ptr<std::uint8_t[]>> chunks_;
  std::array<std::vector<std::uint8_t*>, 4> free_;
  std::array<std::size_t, 4> slots_{};
  std::size_t total_ = 0;
  std::vector<Finished> finished_;
};

}  // namespace discord::media
