// From the secret of one sender in one epoch to the keys of its frames (docs/protocol.md "DAVE
// media keys").
#pragma once

#include "base/time.hpp"
#include "dave/frame.hpp"
#include "dave/replay_window.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace discord::dave {

// What the group exports for one sender and one epoch.
using BaseSecret = Secret<16>;

// Generations that a frame may be ahead of the newest one opened.
inline constexpr std::uint32_t max_generation_gap = 250;
// What was superseded is still opened for so long.
inline constexpr Duration ratchet_tail = std::chrono::seconds(10);
// No sender makes more frames a second, so no generation can come earlier than this rate allows.
inline constexpr std::uint64_t max_frames_per_second = 170;

// The 16.8 million nonces below one value of the nonce's top byte share a key; the byte wraps, and
// this is the smallest generation from `oldest` on that ends in it.
constexpr std::uint64_t unwrap_generation(std::uint64_t oldest, std::uint8_t wire) noexcept {
  const std::uint64_t same = (oldest & ~std::uint64_t{0xFF}) | wire;
  return same < oldest ? same + 256 : same;
}
// Counts a sender's frames across generations.
constexpr std::uint64_t frame_counter(std::uint64_t generation, std::uint32_t nonce) noexcept {
  return generation << 24 | (nonce & 0xFFFFFF);
}

// Whether a sender can have come to this generation in an epoch of that age.
constexpr bool generation_can_have_begun(std::uint64_t generation, Duration age) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
  return generation == 0 ||
         (seconds > 0 &&
          generation <= (max_frames_per_second * static_cast<std::uint64_t>(seconds)) >> 24);
}

// Walks the chain of generation keys forward; what was walked past cannot be made again.
class KeyChain {
 public:
  explicit KeyChain(const BaseSecret& base);
  // Key of generation `next()`, and on to the one after.
  MediaKey take();
  std::uint64_t next() const noexcept { return next_; }

 private:
  SecretBytes secret_;  // 16 bytes at generation 0, 32 later
  std::uint64_t next_ = 0;
};

enum class RatchetVerdict {
  opened,
  bad_tag,   // not sealed with this ratchet
  replayed,  // authentic, but opened before or too old to tell
  too_far,   // of a generation that cannot have begun
  expired,   // of a generation whose keys are gone
};

// Opens the frames of one sender in one epoch. Nothing changes for a frame that is not authentic.
class ReceiveRatchet {
 public:
  // `made`: when the epoch began, for the limit on generations.
  ReceiveRatchet(const BaseSecret& base, Time made);

  // Plain bytes go to the front of `out`, which has room for the media and lies apart from it.
  RatchetVerdict open(const FrameView& frame, MutableByteSpan out, Time now);

  // Counter of the frame that the last `opened` was about.
  std::uint64_t last_counter() const noexcept { return last_counter_; }
  const ReplayWindow& window() const noexcept { return window_; }
  // Takes over what a predecessor has opened: never opens that again. False when the generation is
  // beyond what can have begun.
  bool restore(const ReplayWindow& seen, Time now);

 private:
  struct Generation {
    std::uint64_t number;
    FrameCipher cipher;
    Deadline expires;
  };
  bool can_have_begun(std::uint64_t generation, Time now) const noexcept;
  void advance(std::uint64_t generation, Time now);
  void expire(Time now);
  Generation* find(std::uint64_t number) noexcept;

  KeyChain chain_;
  Time made_;
  std::vector<Generation> generations_;  // oldest first, contiguous, never empty
  ReplayWindow window_;
  std::uint64_t last_counter_ = 0;
};

// Seals frames of one epoch; the first nonce is 1.
class SendRatchet {
 public:
  explicit SendRatchet(const BaseSecret& base);
  // As FrameCipher::seal.
  std::optional<MutableByteSpan> seal(ByteSpan plain, std::span<const ClearRange> ranges,
                                      MutableByteSpan out);
  // Frames sealed so far.
  std::uint64_t counter() const noexcept { return counter_; }
  // Goes on as if that many frames had been sealed; never back.
  void skip_to(std::uint64_t counter);

 private:
  KeyChain chain_;
  FrameCipher cipher_;
  std::uint64_t counter_ = 0;  // of the last frame
};

}  // namespace discord::dave
