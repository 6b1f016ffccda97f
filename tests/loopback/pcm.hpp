// Sound in memory: 48 kHz, 16 bit, interleaved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace discord::loopback {

inline constexpr int sample_rate = 48000;

struct Pcm {
  int channels = 1;  // 1 or 2
  std::vector<std::int16_t> samples;
  std::string name;  // where it came from

  std::size_t frames() const noexcept {
    return samples.size() / static_cast<std::size_t>(channels);
  }
};

using PcmPtr = std::shared_ptr<const Pcm>;

}  // namespace discord::loopback
