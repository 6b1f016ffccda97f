// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/limiter.hpp"

#include <algorithm>
#include <cmath>

namespace discord::record {

namespace {

constexpr float release = 1.0174f;  // a block; 0.15 dB
// No interpolated value exceeds the largest sample by more: the sum of the filter's taps.
constexpr float overshoot = 2.2f;
constexpr double pi = 3.14159265358979323846;

}  // namespace

Limiter::Limiter() {
  for (std::size_t p = 0; p < phases; p++) {
    for (std::size_t k = 0; k < taps; k++) {
      const double x = static_cast<double>(k) - (taps / 2 - 1) - static_cast<double>(p) / phases;
      const double sinc = x == 0 ? 1 : std::sin(pi * x) / (pi * x);
      const double window = 0.5 + 0.5 * std::cos(2 * pi * x / (taps + 1));
      filter_[p][k] = static_cast<float>(sinc * window);
    }
  }
}

// Four times oversampled (ITU-R BS.1770 annex 2). Ends half a filter early; the next block has it.
float Limiter::true_peak(const MixBlock& block) {
  float peak = 0;
  for (const float v : block.pcm) {
    peak = std::max(peak, std::abs(v));
  }
  std::array<float, 2 * (taps - 1 + MixBlock::frames)> line;
  std::copy(history_.begin(), history_.end(), line.begin());
  std::copy(block.pcm.begin(), block.pcm.end(), line.begin() + history_.size());
  for (const float v : history_) {
    peak = std::max(peak, std::abs(v));
  }
  std::copy(line.end() - static_cast<std::ptrdiff_t>(history_.size()), line.end(),
            history_.begin());
  if (peak * overshoot <= ceiling) {
    return peak;
  }
  for (std::size_t n = 0; n < MixBlock::frames; n++) {
    for (std::size_t channel = 0; channel < 2; channel++) {
      for (std::size_t p = 1; p < phases; p++) {
        float sum = 0;
        for (std::size_t k = 0; k < taps; k++) {
          sum += filter_[p][k] * line[2 * (n + k) + channel];
        }
        peak = std::max(peak, std::abs(sum));
      }
    }
  }
  return peak;
}

void Limiter::emit(float next_gain, std::vector<std::int16_t>& out) {
  const float end = std::min(gain_, next_gain);
  const float step = (end - begin_) / MixBlock::frames;
  for (std::size_t n = 0; n < MixBlock::frames; n++) {
    const float gain = begin_ + step * static_cast<float>(n + 1);
    for (std::size_t channel = 0; channel < 2; channel++) {
      const float v = std::nearbyint(held_.pcm[2 * n + channel] * gain);
      out.push_back(static_cast<std::int16_t>(std::clamp(v, -32768.0f, 32767.0f)));
    }
  }
  begin_ = end;
}

void Limiter::push(const MixBlock& block, std::vector<std::int16_t>& out) {
  const float peak = true_peak(block);
  const bool alone = block.tracks <= 1 && !block.scaled;
  const float wanted = alone || peak <= ceiling ? 1.0f : ceiling / peak;
  // A peak on the seam was seen with this block; both blocks are brought down for it.
  const float gain = std::min(wanted, has_held_ ? std::min(1.0f, gain_ * release) : 1.0f);
  if (has_held_) {
    emit(gain, out);
  } else {
    begin_ = gain;
  }
  held_ = block;
  has_held_ = true;
  gain_ = gain;
}

void Limiter::drain(std::vector<std::int16_t>& out) {
  if (has_held_) {
    emit(1.0f, out);
  }
  has_held_ = false;
}

}  // namespace discord::record
