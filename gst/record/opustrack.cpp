// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/opustrack.hpp"

#include "media/opus_packet.hpp"

#include <algorithm>

namespace discord::record {

namespace {

// CELT, full band, mono, by length of frame: RFC 6716 table 2.
constexpr std::uint8_t celt_2_5 = 28 << 3;
constexpr std::uint8_t celt_20 = 31 << 3;
constexpr std::int64_t frame_20 = 960;
constexpr std::uint8_t code_3 = 3;

// The silence flag of a CELT frame, as Discord's clients send it: FF FE.
constexpr std::uint8_t silent_frame[] = {0xff, 0xfe};

// A frame of silence of one of CELT's lengths, 120 << n samples.
Bytes silence(int n) {
  return {static_cast<std::uint8_t>(celt_2_5 + (n << 3)), silent_frame[0], silent_frame[1]};
}

// Frames without content (RFC 6716 section 3.2.1: DTX): code 3, CBR, nothing to share out.
Bytes empty_frames(std::uint8_t toc, std::uint8_t count) {
  return {static_cast<std::uint8_t>((toc & 0xfc) | code_3), count};
}

}  // namespace

bool OpusTrack::near(std::int64_t sample) const noexcept {
  return sample >= position_ - max_fill && sample <= position_ + max_fill;
}

void OpusTrack::emit(Bytes bytes, std::int64_t samples, Packets& out) {
  out.push_back({std::move(bytes), static_cast<std::uint32_t>(samples)});
  position_ += samples;
}

OpusTrack::Packets OpusTrack::lead_in() {
  Packets out;
  for (std::uint32_t done = 0; done < pre_skip; done += frame_20) {
    out.push_back({silence(3), static_cast<std::uint32_t>(frame_20)});
  }
  return out;
}

// One frame that says "silence", for after it a decoder fills in silence by itself; then DTX.
void OpusTrack::fill(std::int64_t samples, Packets& out) {
  for (int n = 0; n < 3 && samples > 0; n++) {
    // The odd lengths first, so that the rest is a multiple of 20 ms.
    if (((samples / grid) & (1 << n)) != 0) {
      emit(silence(n), grid << n, out);
      samples -= grid << n;
      silent_ = true;
    }
  }
  if (samples >= frame_20 && !silent_) {
    emit(silence(3), frame_20, out);
    samples -= frame_20;
    silent_ = true;
  }
  while (samples >= frame_20) {
    const std::int64_t frames =
        std::min<std::int64_t>(samples / frame_20, media::opus_max_duration / frame_20);
    emit(empty_frames(celt_20, static_cast<std::uint8_t>(frames)), frames * frame_20, out);
    samples -= frames * frame_20;
  }
}

void OpusTrack::silence_until(std::int64_t sample, Packets& out) {
  const std::int64_t gap = near(sample) ? (sample - position_) / grid * grid : 0;
  if (gap > 0) {
    fill(gap, out);
  }
}

void OpusTrack::end(std::int64_t sample, Packets& out) {
  if (near(sample)) {
    silence_until((sample + grid - 1) / grid * grid, out);
  }
}

void OpusTrack::lost(std::int64_t sample, std::int64_t samples, Packets& out) {
  if (!near(sample)) {
    return;
  }
  // What lies in front of it was a pause, unless it is within what a spurt may be off.
  if (sample - position_ > quiet_off) {
    silence_until(sample, out);
  }
  std::int64_t left = (sample + samples - position_ + grid / 2) / grid * grid;
  const auto parsed = media::parse_opus_packet(ByteSpan(&last_toc_, 1));
  const std::int64_t frame =
      !silent_ && parsed ? static_cast<std::int64_t>(parsed->frame_duration) : frame_20;
  if (!silent_) {
    left = std::min<std::int64_t>(left, media::opus_max_duration);
    const std::int64_t most = media::opus_max_duration / frame;
    while (left >= frame) {
      const std::int64_t frames = std::min(left / frame, most);
      emit(empty_frames(last_toc_, static_cast<std::uint8_t>(frames)), frames * frame, out);
      left -= frames * frame;
    }
  }
}

void OpusTrack::packet(ByteSpan opus, std::uint32_t samples, std::int64_t sample, bool quiet,
                       Packets& out) {
  if (!near(sample)) {
    left_out_++;
    return;
  }
  const auto length = static_cast<std::int64_t>(samples);
  const bool silence = media::is_silence_frame(opus);
  const std::int64_t off = sample - position_;  // above zero: there is time to fill
  // More than the step of a drift correction: something was not said here.
  const bool pause = off - off_ > grid;
  const std::int64_t tolerated =
      silent_ || silence || pause ? grid / 2 : (quiet ? quiet_off : most_off);
  off_ = off;
  if (off > tolerated) {
    fill((off + grid / 2) / grid * grid, out);
  } else if (-off > tolerated && silence) {
    // Ahead of its time. Silence gives way in steps of the grid.
    left_out_++;
    fill(std::max<std::int64_t>(0, length + off) / grid * grid, out);
    return;
  } else if (-off > tolerated && -off >= length / 2) {
    left_out_++;
    return;
  }
  off_ = sample - position_;
  emit(Bytes(opus.begin(), opus.end()), length, out);
  silent_ = silence;
  last_toc_ = opus.empty() ? 0 : static_cast<std::uint8_t>(opus[0] & 0xfc);
}

}  // namespace discord::record
