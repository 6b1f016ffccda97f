// An Opus track without decoding: the packets as they came, and between them packets of silence, so
// that each begins where the timeline puts it. Sans-I/O.
#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <vector>

namespace discord::record {

// Opus is a grid of 2.5 ms, so a packet that follows a pause is put on the nearest point: at most
// 60 samples from its place. Inside a talk spurt packets follow each other without a seam; what
// that adds up to is taken out in silence, in quiet packets from 10 ms on, and anywhere from
// `most_off` on.
class OpusTrack {
 public:
  static constexpr std::int64_t grid = 120;
  static constexpr std::int64_t quiet_off = 480;
  static constexpr std::int64_t most_off = 1920;  // 40 ms
  // A week; what lies further away is damage, and must not fill a disk.
  static constexpr std::int64_t max_fill = std::int64_t{48000} * 3600 * 24 * 7;
  // Decoders throw this much away at the start, while they settle (RFC 7845 section 4.2).
  static constexpr std::uint32_t pre_skip = 3840;

  struct Packet {
    Bytes bytes;
    std::uint32_t samples = 0;
  };
  using Packets = std::vector<Packet>;

  // Packets of silence that take up `pre_skip`, in front of everything.
  static Packets lead_in();

  // A packet whose first sample belongs at `sample`. What goes in front of it is appended to `out`,
  // then the packet itself; nothing when it has to be left out.
  void packet(ByteSpan opus, std::uint32_t samples, std::int64_t sample, bool quiet, Packets& out);
  // `samples` from `sample` on were lost: packets without content, which a decoder conceals.
  void lost(std::int64_t sample, std::int64_t samples, Packets& out);
  // Nothing is said up to `sample`.
  void silence_until(std::int64_t sample, Packets& out);
  // The end of the track at `sample`, to the next point of the grid.
  void end(std::int64_t sample, Packets& out);

  // Samples so far, without the lead-in.
  std::int64_t position() const noexcept { return position_; }
  std::uint64_t left_out() const noexcept { return left_out_; }

 private:
  bool near(std::int64_t sample) const noexcept;
  void fill(std::int64_t samples, Packets& out);
  void emit(Bytes bytes, std::int64_t samples, Packets& out);

  std::int64_t position_ = 0;
  std::int64_t off_ = 0;       // how far the last packet belonged behind where it was put
  std::uint8_t last_toc_ = 0;  // of the last packet with sound
  bool silent_ = true;         // the last packet left digital silence behind
  std::uint64_t left_out_ = 0;
};

}  // namespace discord::record
