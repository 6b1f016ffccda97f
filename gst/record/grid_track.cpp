// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/grid_track.hpp"

#include "media/opus_packet.hpp"

#include <algorithm>
#include <array>

namespace discord::record {

namespace {

// Silence in CELT full band, mono; the frame's bytes are those of Discord's own silence frame
// (docs/protocol.md "Silence, pauses and timestamps"). RFC 6716 table 2: configurations 28 to 31
// are 2.5, 5, 10 and 20 ms.
struct SilenceFrame {
  std::int64_t samples;
  std::array<std::uint8_t, 3> bytes;
};
constexpr std::array<SilenceFrame, 4> silence_frames = {{
    {960, {0xf8, 0xff, 0xfe}},
    {480, {0xf0, 0xff, 0xfe}},
    {240, {0xe8, 0xff, 0xfe}},
    {120, {0xe0, 0xff, 0xfe}},
}};
// Six of 20 ms in one packet (code 3, constant length): an hour of silence is 30000 packets.
constexpr std::int64_t long_silence_samples = 5760;
constexpr std::array<std::uint8_t, 14> long_silence = {0xfb, 6,    0xff, 0xfe, 0xff, 0xfe, 0xff,
                                                       0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe};

}  // namespace

void GridTrack::emit(ByteSpan opus, std::int64_t samples) {
  out_(end_, static_cast<std::uint32_t>(samples), opus);
  end_ += samples;
}

void GridTrack::conceal(std::int64_t until) {
  // A packet of nothing but its first byte is a frame that was not sent (RFC 6716 section 3.2.1);
  // the decoder continues what it heard before.
  const std::array<std::uint8_t, 1> nothing = {static_cast<std::uint8_t>(last_toc_ & 0xfc)};
  while (last_frame_ > 0 && end_ + last_frame_ <= until) {
    emit(nothing, last_frame_);
  }
}

void GridTrack::fill(std::int64_t until) {
  if (lost_until_ > end_) {
    conceal(std::min(lost_until_, until));
  }
  while (end_ + long_silence_samples <= until) {
    emit(long_silence, long_silence_samples);
  }
  for (const SilenceFrame& frame : silence_frames) {
    while (end_ + frame.samples <= until + (frame.samples == grid ? grid / 2 : 0)) {
      emit(frame.bytes, frame.samples);
    }
  }
}

bool GridTrack::packet(std::int64_t sample, ByteSpan opus, bool silence) {
  const auto parsed = media::parse_opus_packet(opus);
  if (!parsed.ok() || sample > end_ + max_fill) {
    return false;
  }
  // Ahead by a frame, because the sender's clock is fast: given back where nobody hears it.
  if (silence && end_ - sample >= static_cast<std::int64_t>(parsed->duration)) {
    return true;
  }
  fill(sample);
  emit(opus, parsed->duration);
  lost_until_ = 0;
  last_toc_ = opus[0];
  last_frame_ = silence ? 0 : parsed->frame_duration;  // silence needs no concealment
  return true;
}

void GridTrack::lost(std::int64_t sample, std::int64_t samples) {
  if (samples > 0 && last_frame_ > 0 && sample <= end_ + grid) {
    const std::int64_t already = std::max(lost_until_, end_);
    lost_until_ = std::min(already + std::min(samples, max_concealment), end_ + max_concealment);
  }
}

void GridTrack::finish(std::int64_t end) {
  if (end <= end_ + max_fill) {
    fill(end);
  }
}

}  // namespace discord::record
