// Tells duplicates from new packets for one SSRC, and unwraps its sequence numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace discord::media {

struct SeenSequence {
  std::uint64_t sequence = 0;  // 64 bit, low 16 bits as on the wire
  bool duplicate = false;
};

// Only for authenticated packets. The unwrapped sequence is the one nearest to the packet before,
// not to the highest ever: so it follows a sender that restarts its numbering in any direction, and
// comes back unharmed from a single stray. A duplicate is a packet whose sequence *and* timestamp
// came before: a sender that restarted a little below where it was repeats numbers, but not both.
class SequenceHistory {
 public:
  static constexpr std::size_t window = 512;

  SequenceHistory() noexcept;
  // Remembers the packet unless it is a duplicate.
  SeenSequence see(std::uint16_t wire, std::uint32_t timestamp) noexcept;

  // For a successor in another process: the slots, then the last sequence (0 = none yet). Any words
  // are safe.
  using Words = std::array<std::uint64_t, window + 1>;
  Words save() const noexcept;
  void restore(const Words& words) noexcept;

 private:
  std::array<std::uint64_t, window> slots_;  // low half of the sequence, timestamp
  std::uint64_t last_ = 0;
  bool started_ = false;
};

}  // namespace discord::media
