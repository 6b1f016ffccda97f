// Which frames of a sender have been opened already.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace discord::dave {

// The counters of one sender in one epoch: the newest one, and for those below it one bit each. A
// counter more than `reach` behind the newest is taken for seen. Changes only through `mark`, which
// belongs after the authentication. Copyable, so that a successor can go on with it.
class ReplayWindow {
 public:
  // How far other implementations look back; the bits go a little further.
  static constexpr std::uint64_t reach = 1000;
  static constexpr std::size_t bit_count = 1024;

  // True when this counter may still be opened.
  bool fresh(std::uint64_t counter) const noexcept {
    if (!any_ || counter > newest_) {
      return true;
    }
    return newest_ - counter <= reach && !bit(counter);
  }

  void mark(std::uint64_t counter) noexcept {
    if (!any_ || counter > newest_) {
      advance(counter);
    }
    if (newest_ - counter < bit_count) {
      bits_[(counter % bit_count) / 64] |= std::uint64_t{1} << (counter % 64);
    }
  }

  // Marks everything that `other` has seen.
  void merge(const ReplayWindow& other) noexcept {
    if (!other.any_) {
      return;
    }
    mark(other.newest_);
    const std::uint64_t oldest =
        other.newest_ >= bit_count - 1 ? other.newest_ - (bit_count - 1) : 0;
    for (std::uint64_t c = oldest; c < other.newest_; ++c) {
      if (other.bit(c)) {
        mark(c);
      }
    }
  }

  // For a successor in another process. Any numbers are safe.
  struct State {
    std::array<std::uint64_t, bit_count / 64> bits{};
    std::uint64_t newest = 0;
    std::uint64_t any = 0;
  };
  State save() const noexcept { return {bits_, newest_, any_ ? std::uint64_t{1} : 0}; }
  static ReplayWindow from(const State& state) noexcept {
    ReplayWindow out;
    if (state.any != 0) {
      out.bits_ = state.bits;
      out.newest_ = state.newest;
      out.any_ = true;
      out.mark(state.newest);
    }
    return out;
  }

  bool any() const noexcept { return any_; }
  std::uint64_t newest() const noexcept { return newest_; }

 private:
  bool bit(std::uint64_t counter) const noexcept {
    return (bits_[(counter % bit_count) / 64] >> (counter % 64)) & 1;
  }

  // The bits of the counters that are passed over belonged to counters `bit_count` below.
  void advance(std::uint64_t counter) noexcept {
    if (!any_ || counter - newest_ >= bit_count) {
      bits_.fill(0);
    } else {
      for (std::uint64_t c = newest_ + 1; c <= counter; ++c) {
        bits_[(c % bit_count) / 64] &= ~(std::uint64_t{1} << (c % 64));
      }
    }
    newest_ = counter;
    any_ = true;
  }

  std::array<std::uint64_t, bit_count / 64> bits_{};
  std::uint64_t newest_ = 0;
  bool any_ = false;
};

}  // namespace discord::dave
