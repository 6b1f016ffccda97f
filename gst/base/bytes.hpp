// Spans of bytes and the big-endian loads and stores that every wire format here uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace discord {

using ByteSpan = std::span<const std::uint8_t>;
using MutableByteSpan = std::span<std::uint8_t>;
using Bytes = std::vector<std::uint8_t>;

// The caller guarantees that the bytes exist; parsers check lengths once, before the first load.
constexpr std::uint16_t load_be16(const std::uint8_t* p) noexcept {
  return static_cast<std::uint16_t>((p[0] << 8) | p[1]);
}

constexpr std::uint32_t load_be32(const std::uint8_t* p) noexcept {
  return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) |
         std::uint32_t{p[3]};
}

constexpr std::uint64_t load_be64(const std::uint8_t* p) noexcept {
  return (std::uint64_t{load_be32(p)} << 32) | load_be32(p + 4);
}

constexpr void store_be16(std::uint8_t* p, std::uint16_t v) noexcept {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}

constexpr void store_be32(std::uint8_t* p, std::uint32_t v) noexcept {
  store_be16(p, static_cast<std::uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<std::uint16_t>(v));
}

constexpr void store_be64(std::uint8_t* p, std::uint64_t v) noexcept {
  store_be32(p, static_cast<std::uint32_t>(v >> 32));
  store_be32(p + 4, static_cast<std::uint32_t>(v));
}

// Reads forward and refuses to pass the end: after the first refusal `ok()` stays false and every
// further read gives zero or an empty span, so a parser may test once, after its last read.
class ByteReader {
 public:
  explicit constexpr ByteReader(ByteSpan bytes) noexcept : rest_(bytes) {}

  constexpr bool ok() const noexcept { return ok_; }
  constexpr std::size_t remaining() const noexcept { return rest_.size(); }
  constexpr ByteSpan rest() const noexcept { return rest_; }

  constexpr ByteSpan take(std::size_t n) noexcept {
    if (!ok_ || n > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const ByteSpan out = rest_.first(n);
    rest_ = rest_.subspan(n);
    return out;
  }
  constexpr std::uint8_t u8() noexcept {
    const ByteSpan b = take(1);
    return b.empty() ? std::uint8_t{0} : b[0];
  }
  constexpr std::uint16_t u16() noexcept {
    const ByteSpan b = take(2);
    return b.empty() ? std::uint16_t{0} : load_be16(b.data());
  }
  constexpr std::uint32_t u32() noexcept {
    const ByteSpan b = take(4);
    return b.empty() ? 0 : load_be32(b.data());
  }

 private:
  ByteSpan rest_;
  bool ok_ = true;
};

inline ByteSpan as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace discord
