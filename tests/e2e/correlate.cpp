#include "correlate.hpp"

#include <bit>
#include <cmath>
#include <complex>
#include <numbers>

namespace discord::e2e {

namespace {

using Complex = std::complex<double>;

// In place, radix 2; the inverse is not scaled.
void transform(std::vector<Complex>& x, bool inverse) {
  const std::size_t n = x.size();
  for (std::size_t i = 1, j = 0; i < n; i++) {
    std::size_t bit = n >> 1;
    for (; (j & bit) != 0; bit >>= 1) {
      j ^= bit;
    }
    j ^= bit;
    if (i < j) {
      std::swap(x[i], x[j]);
    }
  }
  std::vector<Complex> root(n / 2);
  for (std::size_t i = 0; i < n / 2; i++) {
    root[i] = std::polar(1.0, (inverse ? 2 : -2) * std::numbers::pi * static_cast<double>(i) /
                                  static_cast<double>(n));
  }
  for (std::size_t half = 1; half < n; half *= 2) {
    const std::size_t stride = n / (2 * half);
    for (std::size_t i = 0; i < n; i += 2 * half) {
      for (std::size_t k = 0; k < half; k++) {
        const Complex w = root[k * stride];
        const Complex v = x[i + k + half];
        const Complex odd(v.real() * w.real() - v.imag() * w.imag(),
                          v.real() * w.imag() + v.imag() * w.real());
        x[i + k + half] = x[i + k] - odd;
        x[i + k] += odd;
      }
    }
  }
}

double frame_at(std::span<const std::int16_t> stereo, std::int64_t frame, std::size_t channel) {
  if (frame < 0 || frame >= static_cast<std::int64_t>(stereo.size() / 2)) {
    return 0;
  }
  return stereo[static_cast<std::size_t>(frame) * 2 + channel];
}

double mono_at(std::span<const std::int16_t> stereo, std::int64_t frame) {
  return frame_at(stereo, frame, 0) + frame_at(stereo, frame, 1);
}

}  // namespace

double correlation_at(std::span<const std::int16_t> what, std::span<const std::int16_t> in,
                      std::int64_t at) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < what.size(); i++) {
    const double a = what[i];
    const double b = frame_at(in, at + static_cast<std::int64_t>(i / 2), i % 2);
    ab += a * b;
    aa += a * a;
    bb += b * b;
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

Match find(std::span<const std::int16_t> what, std::span<const std::int16_t> in, std::int64_t from,
           std::int64_t to) {
  const std::size_t length = what.size() / 2;
  const auto lags = static_cast<std::size_t>(to - from + 1);
  const std::size_t window = length + lags - 1;
  const std::size_t size = std::bit_ceil(window);
  std::vector<Complex> a(size);
  std::vector<Complex> b(size);
  std::vector<double> energy(window + 1);  // of the first n frames of the window
  for (std::size_t i = 0; i < length; i++) {
    a[i] = mono_at(what, static_cast<std::int64_t>(i));
  }
  for (std::size_t i = 0; i < window; i++) {
    const double s = mono_at(in, from + static_cast<std::int64_t>(i));
    b[i] = s;
    energy[i + 1] = energy[i] + s * s;
  }
  transform(a, false);
  transform(b, false);
  for (std::size_t i = 0; i < size; i++) {
    b[i] *= std::conj(a[i]);
  }
  transform(b, true);
  double best = -1;
  std::size_t best_lag = 0;
  for (std::size_t lag = 0; lag < lags; lag++) {
    const double e = energy[lag + length] - energy[lag];
    const double score = e > 0.5 ? b[lag].real() / std::sqrt(e) : -1;
    if (score > best) {
      best = score;
      best_lag = lag;
    }
  }
  const std::int64_t at = from + static_cast<std::int64_t>(best_lag);
  return {at, correlation_at(what, in, at)};
}

}  // namespace discord::e2e
