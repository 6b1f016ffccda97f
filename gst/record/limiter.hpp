// Keeps a mix below full scale. Sans-I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace discord::record {

// 5 ms of stereo, interleaved, full scale 32768.
struct MixBlock {
  static constexpr std::size_t frames = 240;
  std::array<float, 2 * frames> pcm{};
  std::uint64_t owner = 0;  // the first that is not silent in it
  unsigned tracks = 0;      // 0, 1, or 2 for several
  bool scaled = false;      // one of them has a gain other than 1
};

// Looks one block ahead: the gain falls over the block in front of a peak and rises by 1.5 dB in
// 50 ms behind it. A block of one speaker alone passes as it is, to the bit.
class Limiter {
 public:
  static constexpr float ceiling = 28221.0f;  // -1.3 dBFS true peak, for what four times misses

  Limiter();
  // Takes the next block; appends the one in front of it to `out` as samples.
  void push(const MixBlock& block, std::vector<std::int16_t>& out);
  // The last block.
  void drain(std::vector<std::int16_t>& out);

 private:
  static constexpr std::size_t taps = 12;
  static constexpr std::size_t phases = 4;

  float true_peak(const MixBlock& block);
  void emit(float next_gain, std::vector<std::int16_t>& out);

  std::array<std::array<float, taps>, phases> filter_{};
  std::array<float, 2 * (taps - 1)> history_{};
  MixBlock held_;
  bool has_held_ = false;
  float gain_ = 1.0f;   // of the held block
  float begin_ = 1.0f;  // where its curve begins
};

}  // namespace discord::record
