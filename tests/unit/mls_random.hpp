// A repeatable source of randomness.
#pragma once

#include "mls/crypto.hpp"

#include <algorithm>

namespace discord::mls::rig {

// SHA-256 of a seed and a counter: no two blocks are alike, every run is the same.
class TestRandom final : public RandomSource {
 public:
  explicit TestRandom(std::uint64_t seed = 1) : seed_(seed) {}
  [[nodiscard]] bool fill(MutableByteSpan out) noexcept override {
    if (broken) {
      return false;
    }
    for (std::size_t at = 0; at < out.size(); at += hash_size) {
      std::array<std::uint8_t, 16> input;
      store_be64(input.data(), seed_);
      store_be64(input.data() + 8, counter_++);
      const Hash block = sha256(input);
      std::copy_n(block.begin(), std::min(hash_size, out.size() - at),
                  out.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return true;
  }
  std::uint64_t number() {
    std::array<std::uint8_t, 8> bytes;
    static_cast<void>(fill(bytes));
    return load_be64(bytes.data());
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(number() % n); }
  bool broken = false;

 private:
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

}  // namespace discord::mls::rig
