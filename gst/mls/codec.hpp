// The presentation language of RFC 9420 section 2.1: big-endian integers, vectors with a
// variable-size length in front, optional values.
#pragma once

#include "base/bytes.hpp"
#include "mls/error.hpp"

namespace discord::mls {

// No message and no vector inside one may be longer.
inline constexpr std::size_t max_message_size = 1u << 20;

// Appends encoded values. Nothing here can fail: lengths stay below 2^30 by construction.
class Writer {
 public:
  void u8(std::uint8_t v) { out_.push_back(v); }
  void u16(std::uint16_t v);
  void u32(std::uint32_t v);
  void u64(std::uint64_t v);
  // Bytes as they are.
  void raw(ByteSpan bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  // A length alone (RFC 9420 section 2.1.2), in the shortest form.
  void length(std::size_t n);
  // opaque<V>
  void opaque(ByteSpan bytes) {
    length(bytes.size());
    raw(bytes);
  }
  // T<V>: what `body(*this)` writes, with its length in front.
  template <class Body> void vector(Body&& body) {
    const std::size_t at = out_.size();
    body(*this);
    close_vector(at);
  }

  ByteSpan view() const noexcept { return out_; }
  Bytes take() noexcept { return std::move(out_); }
  void reserve(std::size_t n) { out_.reserve(n); }
  // For text that held secrets.
  void wipe() noexcept;

 private:
  void close_vector(std::size_t at);
  Bytes out_;
};

// Reads forward with sticky failure: after the first refusal every read gives zero or nothing, and
// `error()` keeps the first cause. Spans point into the input.
class Reader {
 public:
  explicit Reader(ByteSpan bytes) noexcept : reader_(bytes) {}

  bool ok() const noexcept { return !failed_; }
  Error error() const noexcept { return error_; }
  void fail(Error error) noexcept;
  bool at_end() const noexcept { return failed_ || reader_.remaining() == 0; }
  std::size_t remaining() const noexcept { return reader_.remaining(); }
  // What is left. Taken before and after reading, `consumed` gives the encoded form of what was
  // read.
  ByteSpan rest() const noexcept { return reader_.rest(); }
  static ByteSpan consumed(ByteSpan before, ByteSpan after) noexcept {
    return before.first(before.size() - after.size());
  }

  std::uint8_t u8() noexcept;
  std::uint16_t u16() noexcept;
  std::uint32_t u32() noexcept;
  std::uint64_t u64() noexcept;
  ByteSpan raw(std::size_t n) noexcept;
  // A length in its shortest form, at most `max_message_size`.
  std::size_t length() noexcept;
  ByteSpan opaque() noexcept;
  // opaque<V> that has to have this size; anything else is malformed.
  ByteSpan opaque_of(std::size_t size) noexcept;
  // The body of a vector, as a reader of its own; the caller reports its failure with `join`.
  Reader vector() noexcept { return Reader(opaque(), *this); }
  // 0 or 1; another value is malformed.
  bool optional() noexcept;
  // Takes over a sub-reader's failure, and refuses bytes it left over.
  void join(const Reader& inner) noexcept;
  // Refuses trailing bytes.
  void finish() noexcept;

 private:
  Reader(ByteSpan bytes, const Reader& outer) noexcept
      : reader_(bytes), failed_(outer.failed_), error_(outer.error_) {}
  ByteReader reader_;
  bool failed_ = false;
  Error error_ = Error::malformed;
};

}  // namespace discord::mls
