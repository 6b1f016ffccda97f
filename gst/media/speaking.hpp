// Who is speaking, from the packets themselves: opcode 5 only announces an SSRC.
#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <optional>

namespace discord::media {

// What one packet changed; when both are set, the stop comes first.
struct SpeakingChange {
  Deadline stopped;
  Deadline started;
};

// Speaking begins with a packet of sound and ends with the second silence frame in a row, or 200 ms
// after the last packet.
class SpeakingDetector {
 public:
  static constexpr unsigned silence_run = 2;
  static constexpr Duration timeout = std::chrono::milliseconds(200);
  // A packet of sound that many behind the newest belongs to speech that has ended.
  static constexpr std::int64_t straggler = 64;

  SpeakingChange packet(std::uint64_t sequence, bool silence, Time arrival) noexcept;
  // The time speaking ended, if it did by `now`.
  Deadline timer(Time now) noexcept;
  Deadline next_deadline() const noexcept;
  bool speaking() const noexcept { return speaking_; }

  // For a successor in another process.
  struct State {
    std::uint64_t newest = 0;
    std::int64_t last = 0;
    std::uint32_t silences = 0;
    std::uint8_t speaking = 0;
    std::uint8_t seen = 0;
    std::uint8_t reserved[2] = {};
  };
  State save() const noexcept;
  void restore(const State& state) noexcept;

 private:
  bool speaking_ = false;
  bool seen_ = false;
  unsigned silences_ = 0;
  std::uint64_t newest_ = 0;
  Time last_{};
};

}  // namespace discord::media
