#include "mls/codec.hpp"

#include <openssl/crypto.h>
#include <array>

namespace discord::mls {

void Writer::u16(std::uint16_t v) {
  std::array<std::uint8_t, 2> bytes;
  store_be16(bytes.data(), v);
  raw(bytes);
}

void Writer::u32(std::uint32_t v) {
  std::array<std::uint8_t, 4> bytes;
  store_be32(bytes.data(), v);
  raw(bytes);
}

void Writer::u64(std::uint64_t v) {
  std::array<std::uint8_t, 8> bytes;
  store_be64(bytes.data(), v);
  raw(bytes);
}

void Writer::length(std::size_t n) {
  if (n < 0x40) {
    u8(static_cast<std::uint8_t>(n));
  } else if (n < 0x4000) {
    u16(static_cast<std::uint16_t>(0x4000 | n));
  } else {
    u32(static_cast<std::uint32_t>(0x80000000u | n));
  }
}

void Writer::close_vector(std::size_t at) {
  Writer header;
  header.length(out_.size() - at);
  out_.insert(out_.begin() + static_cast<std::ptrdiff_t>(at), header.out_.begin(),
              header.out_.end());
}

void Writer::wipe() noexcept {
  OPENSSL_cleanse(out_.data(), out_.size());
  out_.clear();
}

void Reader::fail(Error error) noexcept {
  if (!failed_) {
    failed_ = true;
    error_ = error;
  }
}

ByteSpan Reader::raw(std::size_t n) noexcept {
  if (failed_) {
    return {};
  }
  const ByteSpan bytes = reader_.take(n);
  if (!reader_.ok()) {
    fail(Error::malformed);
  }
  return bytes;
}

std::uint8_t Reader::u8() noexcept {
  const ByteSpan b = raw(1);
  return b.empty() ? std::uint8_t{0} : b[0];
}

std::uint16_t Reader::u16() noexcept {
  const ByteSpan b = raw(2);
  return b.empty() ? std::uint16_t{0} : load_be16(b.data());
}

std::uint32_t Reader::u32() noexcept {
  const ByteSpan b = raw(4);
  return b.empty() ? 0 : load_be32(b.data());
}

std::uint64_t Reader::u64() noexcept {
  const ByteSpan b = raw(8);
  return b.empty() ? 0 : load_be64(b.data());
}

// RFC 9420 section 2.1.2: the two top bits of the first byte give the size of the length, and only
// the shortest form is valid.
std::size_t Reader::length() noexcept {
  const std::uint8_t first = u8();
  std::size_t n = first & 0x3F;
  switch (first >> 6) {
    case 0:
      break;
    case 1:
      n = n << 8 | u8();
      if (n < 0x40) {
        fail(Error::malformed);
      }
      break;
    case 2: {
      const ByteSpan more = raw(3);
      if (!more.empty()) {
        n = n << 24 | static_cast<std::size_t>(more[0]) << 16 |
            static_cast<std::size_t>(more[1]) << 8 | more[2];
      }
      if (n < 0x4000) {
        fail(Error::malformed);
      }
      break;
    }
    default:
      fail(Error::malformed);
  }
  if (n > max_message_size) {
    fail(Error::too_large);
  }
  return failed_ ? 0 : n;
}

ByteSpan Reader::opaque() noexcept {
  return raw(length());
}

ByteSpan Reader::opaque_of(std::size_t size) noexcept {
  const ByteSpan bytes = opaque();
  if (bytes.size() != size) {
    fail(Error::malformed);
    return {};
  }
  return bytes;
}

bool Reader::optional() noexcept {
  const std::uint8_t present = u8();
  if (present > 1) {
    fail(Error::malformed);
  }
  return ok() && present == 1;
}

void Reader::join(const Reader& inner) noexcept {
  if (inner.failed_) {
    fail(inner.error_);
  } else if (inner.remaining() != 0) {
    fail(Error::malformed);
  }
}

void Reader::finish() noexcept {
  if (!failed_ && remaining() != 0) {
    fail(Error::malformed);
  }
}

}  // namespace discord::mls
