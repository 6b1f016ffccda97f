// One speaker's Opus decoder: packets and holes in, 48 kHz stereo out.
#pragma once

#include "base/bytes.hpp"
#include "media/opus_packet.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

struct OpusDecoder;

namespace discord::media {

inline constexpr std::size_t output_channels = 2;
using PcmSpan = std::span<const std::int16_t>;
using MutablePcmSpan = std::span<std::int16_t>;

// True when the packet carries its predecessor a second time, at a lower rate (LBRR, RFC 6716
// section 2.1.7); what may be recovered lasts one frame of this packet.
bool has_fec(ByteSpan packet) noexcept;

// The decoder's state lies in memory of the caller, so that a worker behind its sandbox needs no
// allocator. Plain `opus_decode` only: the multistream call asks the CPU for its features with
// every packet, which traps on virtual machines and costs more than the decoding. Nothing here
// throws; whatever the bytes are, memory is safe. Not for two threads at once.
class SpeakerDecoder {
 public:
  // Bytes a slot needs, and the alignment it must have.
  static std::size_t slot_size() noexcept;
  static constexpr std::size_t slot_alignment = 16;
  // Longest concealment: beyond it PLC only hums.
  static constexpr std::uint32_t max_concealment = opus_max_duration;

  // Starts a decoder in `slot`, which outlives it and may have been another's before.
  explicit SpeakerDecoder(MutableByteSpan slot) noexcept;

  // Samples per channel written to the front of `out` (room for `opus_max_duration`, interleaved);
  // 0 for a packet that Opus refuses, which leaves the state as it was.
  std::uint32_t decode(ByteSpan packet, MutablePcmSpan out) noexcept;
  // PLC: continues what was last heard for `samples` (1-5760); always writes exactly so many.
  void conceal(std::uint32_t samples, MutablePcmSpan out) noexcept;
  // The frame before `next`, from the redundancy in `next`: call it in front of `decode(next)`.
  // Returns its samples, the length of one frame of `next`; 0 without redundancy.
  std::uint32_t recover(ByteSpan next, MutablePcmSpan out) noexcept;
  // Brings the state to where it would be had these packets been heard, and plays nothing.
  void warm_up(ByteSpan packet) noexcept;
  void reset() noexcept;

 private:
  ::OpusDecoder* state_;
};

}  // namespace discord::media
