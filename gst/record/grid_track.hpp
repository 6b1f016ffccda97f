// One speaker's packets as a stream without holes, for files that are made afterwards, of a journal:
// unlike OpusTrack it keeps every packet on its place instead of talk spurts without a seam.
#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <functional>

namespace discord::record {

// Fills pauses with silence frames and losses with frames that a decoder conceals, so that every
// packet begins within `grid` / 2 of its place on the timeline. Opus knows no frame shorter than
// 2.5 ms, so that is as exact as it can be without decoding; errors do not add up.
class GridTrack {
 public:
  static constexpr std::int64_t grid = 120;              // 2.5 ms
  static constexpr std::int64_t max_concealment = 5760;  // 120 ms; longer only hums
  static constexpr std::int64_t max_fill = std::int64_t{48000} * 3600 * 24 * 7;  // a week

  // `begin`: where the packet begins in the stream, always the end of the one before.
  using Out = std::function<void(std::int64_t begin, std::uint32_t samples, ByteSpan opus)>;
  explicit GridTrack(Out out) : out_(std::move(out)) {}

  // In order of `sample`. False for what is no Opus packet or lies further ahead than a recording
  // can be long; nothing happens then.
  bool packet(std::int64_t sample, ByteSpan opus, bool silence);
  // Samples from there on never came.
  void lost(std::int64_t sample, std::int64_t samples);
  // Silence to the end of the recording, rounded to the grid.
  void finish(std::int64_t end);

  std::int64_t position() const noexcept { return end_; }

 private:
  void conceal(std::int64_t until);
  void fill(std::int64_t until);
  void emit(ByteSpan opus, std::int64_t samples);

  Out out_;
  std::int64_t end_ = 0;
  std::int64_t lost_until_ = 0;  // concealment is wanted up to here
  std::uint8_t last_toc_ = 0;
  std::uint32_t last_frame_ = 0;  // samples; 0 before the first packet
};

}  // namespace discord::record
