// Secrets that wipe themselves, and comparing them in constant time.
#pragma once

#include "base/bytes.hpp"

#include <sodium.h>
#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace discord {

// A key of fixed size. Copies are allowed (a cipher context needs its own) and each wipes itself.
template <std::size_t N> class Secret {
 public:
  static constexpr std::size_t size = N;

  Secret() noexcept = default;
  explicit Secret(std::span<const std::uint8_t, N> bytes) noexcept {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }
  Secret(const Secret&) noexcept = default;
  Secret& operator=(const Secret&) noexcept = default;
  ~Secret() { sodium_memzero(bytes_.data(), N); }

  std::span<const std::uint8_t, N> view() const noexcept { return bytes_; }
  const std::uint8_t* data() const noexcept { return bytes_.data(); }

  friend bool operator==(const Secret& a, const Secret& b) noexcept {
    return sodium_memcmp(a.bytes_.data(), b.bytes_.data(), N) == 0;
  }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

// Key material whose size is known only when it is made. It never grows in place, so no copy is
// left behind by a reallocation.
class SecretBytes {
 public:
  SecretBytes() noexcept = default;
  // `size` zero bytes, to be filled through `writable()`.
  explicit SecretBytes(std::size_t size) : bytes_(size) {}
  explicit SecretBytes(ByteSpan bytes) : bytes_(bytes.begin(), bytes.end()) {}
  SecretBytes(const SecretBytes&) = default;
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) {
    other.bytes_.clear();
  }
  SecretBytes& operator=(SecretBytes other) noexcept {
    bytes_.swap(other.bytes_);
    return *this;
  }
  ~SecretBytes() { sodium_memzero(bytes_.data(), bytes_.size()); }

  bool empty() const noexcept { return bytes_.empty(); }
  std::size_t size() const noexcept { return bytes_.size(); }
  ByteSpan view() const noexcept { return bytes_; }
  MutableByteSpan writable() noexcept { return bytes_; }

  friend bool operator==(const SecretBytes& a, const SecretBytes& b) noexcept {
    return a.size() == b.size() &&
           sodium_memcmp(a.bytes_.data(), b.bytes_.data(), a.bytes_.size()) == 0;
  }

 private:
  Bytes bytes_;
};

// A token. Moves leave nothing behind; `reveal()` is the one place where the text comes out, so
// that a reader can search for it.
class SecretString {
 public:
  SecretString() = default;
  explicit SecretString(std::string text) : text_(std::move(text)) {}
  SecretString(const SecretString&) = default;
  SecretString& operator=(const SecretString& other) {
    if (this != &other) {
      wipe();
      text_ = other.text_;
    }
    return *this;
  }
  SecretString(SecretString&& other) noexcept : text_(other.text_) { other.wipe(); }
  SecretString& operator=(SecretString&& other) noexcept {
    if (this != &other) {
      wipe();
      text_ = other.text_;
      other.wipe();
    }
    return *this;
  }
  ~SecretString() { wipe(); }

  bool empty() const noexcept { return text_.empty(); }
  const std::string& reveal() const noexcept { return text_; }

 private:
  void wipe() noexcept {
    sodium_memzero(text_.data(), text_.size());
    text_.clear();
  }
  std::string text_;
};

}  // namespace discord
