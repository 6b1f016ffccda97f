// Wire counters that wrap, made into 64-bit ones that do not (RFC 3550 appendix A.1 in spirit).
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

namespace discord::rtp {

// The value nearest to the highest one seen so far, by signed difference; exactly half way counts
// as earlier. The first value starts at 2^40 so that packets from before it do not go below zero;
// the low bits always equal the wire value.
template <class Wire> class Unwrapper {
 public:
  static constexpr std::uint64_t origin = std::uint64_t{1} << 40;

  // What `wire` would be, without remembering it.
  std::uint64_t peek(Wire wire) const noexcept {
    if (!highest_) {
      return origin + wire;
    }
    using Signed = std::make_signed_t<Wire>;
    const auto difference =
        static_cast<Signed>(static_cast<Wire>(wire - static_cast<Wire>(*highest_)));
    return *highest_ + static_cast<std::uint64_t>(static_cast<std::int64_t>(difference));
  }
  // What `wire` is; moves the reference forward, never back, so that late packets cannot drag it.
  std::uint64_t unwrap(Wire wire) noexcept {
    const std::uint64_t value = peek(wire);
    if (!highest_ || value > *highest_) {
      highest_ = value;
    }
    return value;
  }
  // Nothing before the first value.
  std::optional<std::uint64_t> highest() const noexcept { return highest_; }
  // Goes on from where another stopped.
  void restore(std::optional<std::uint64_t> highest) noexcept { highest_ = highest; }
  // Forgets everything: for a source that restarted its numbering.
  void reset() noexcept { highest_.reset(); }

 private:
  std::optional<std::uint64_t> highest_;
};

using SequenceUnwrapper = Unwrapper<std::uint16_t>;
using TimestampUnwrapper = Unwrapper<std::uint32_t>;

}  // namespace discord::rtp
