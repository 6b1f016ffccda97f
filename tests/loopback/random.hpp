// A small seeded generator whose numbers are the same on every machine and compiler.
#pragma once

#include <cstdint>
#include <string_view>

namespace discord::loopback {

// splitmix64. The standard library's engines are portable, its distributions are not, and a seed
// printed by one build has to replay in another.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [0, n); n must not be 0. The bias for n far below 2^64 does not matter here.
  constexpr std::uint64_t below(std::uint64_t n) noexcept { return next() % n; }
  // In [0, 1).
  constexpr double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // True in `percent` of 100 calls. Always draws, so that changing one rate keeps the other draws.
  constexpr bool percent(double percent) noexcept { return unit() * 100.0 < percent; }

 private:
  std::uint64_t state_;
};

// A seed of its own for each part, so that adding a speaker does not reshuffle the others.
constexpr std::uint64_t derive_seed(std::uint64_t seed, std::string_view part,
                                    std::uint64_t index = 0) noexcept {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : part) {
    h = (h ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
  }
  Random mix(seed ^ h);
  return mix.next() ^ Random(index + 1).next();
}

}  // namespace discord::loopback
