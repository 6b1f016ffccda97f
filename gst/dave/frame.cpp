#include "dave/frame.hpp"

#include <openssl/evp.h>
#include <array>
#include <climits>
#include <cstring>
#include <new>

namespace discord::dave {
namespace {

constexpr std::uint8_t marker = 0xFA;
constexpr std::array<std::uint8_t, 3> silence{0xF8, 0xFF, 0xFE};

// The next pair of a footer that `parse_frame` has checked.
ClearRange take_range(ByteSpan& ranges) noexcept {
  const std::uint32_t offset = take_uleb128(ranges).value_or(0);
  return {offset, take_uleb128(ranges).value_or(0)};
}

// Ranges come from the network unauthenticated: sums are made in 64 bits.
bool ranges_fit(ByteSpan ranges, std::size_t media_size) noexcept {
  std::uint64_t end = 0;
  while (!ranges.empty()) {
    const auto offset = take_uleb128(ranges);
    const auto size = offset ? take_uleb128(ranges) : std::nullopt;
    if (!size || *offset < end) {
      return false;
    }
    end = std::uint64_t{*offset} + *size;
    if (end > media_size) {
      return false;
    }
  }
  return true;
}

// Calls `clear(from, size)` and `sealed(from, size)` for the parts of the media in order.
template <class Ranges, class Clear, class Sealed>
bool for_each_part(Ranges next, std::size_t media_size, Clear clear, Sealed sealed) noexcept {
  std::size_t at = 0;
  while (const auto range = next()) {
    if (range->offset > at && !sealed(at, range->offset - at)) {
      return false;
    }
    if (range->size > 0 && !clear(range->offset, range->size)) {
      return false;
    }
    at = std::size_t{range->offset} + range->size;
  }
  return at == media_size || sealed(at, media_size - at);
}

bool aad(EVP_CIPHER_CTX* context, const std::uint8_t* from, std::size_t size) noexcept {
  int written = 0;
  return EVP_CipherUpdate(context, nullptr, &written, from, static_cast<int>(size)) == 1;
}

bool crypt(EVP_CIPHER_CTX* context, std::uint8_t* to, const std::uint8_t* from,
           std::size_t size) noexcept {
  int written = 0;
  return EVP_CipherUpdate(context, to, &written, from, static_cast<int>(size)) == 1;
}

}  // namespace

const char* to_string(FrameError error) noexcept {
  return error == FrameError::not_a_frame ? "not a DAVE frame" : "bad tag";
}

bool is_silence(ByteSpan frame) noexcept {
  return frame.size() == silence.size() &&
         std::memcmp(frame.data(), silence.data(), silence.size()) == 0;
}

std::optional<std::uint32_t> take_uleb128(ByteSpan& bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 10; ++i) {
    const std::uint64_t part = bytes[i] & 0x7F;
    if (part != 0 && (i > 4 || part << (7 * i) > UINT32_MAX)) {
      return std::nullopt;
    }
    value |= i > 4 ? 0 : part << (7 * i);
    if ((bytes[i] & 0x80) == 0) {
      bytes = bytes.subspan(i + 1);
      return static_cast<std::uint32_t>(value);
    }
  }
  return std::nullopt;
}

std::size_t put_uleb128(std::uint32_t value, MutableByteSpan out) noexcept {
  std::size_t n = 0;
  do {
    if (n == out.size()) {
      return 0;
    }
    out[n++] = static_cast<std::uint8_t>((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
    value >>= 7;
  } while (value != 0);
  return n;
}

Result<FrameView, FrameError> parse_frame(ByteSpan frame) noexcept {
  constexpr Failure refused{FrameError::not_a_frame};
  if (frame.size() < frame_min_footer || frame.size() > INT_MAX ||
      frame[frame.size() - 1] != marker || frame[frame.size() - 2] != marker) {
    return refused;
  }
  const std::size_t footer_size = frame[frame.size() - 3];
  if (footer_size < frame_min_footer || footer_size > frame.size()) {
    return refused;
  }
  const std::size_t media_size = frame.size() - footer_size;
  const ByteSpan footer = frame.subspan(media_size);
  ByteSpan numbers = footer.subspan(frame_tag_size, footer_size - frame_tag_size - 3);
  const auto nonce = take_uleb128(numbers);
  if (!nonce || !ranges_fit(numbers, media_size)) {
    return refused;
  }
  return FrameView{frame.first(media_size), footer.first<frame_tag_size>(), *nonce, numbers};
}

void FrameCipher::ContextDeleter::operator()(evp_cipher_ctx_st* context) const noexcept {
  EVP_CIPHER_CTX_free(context);  // wipes the key schedule
}

FrameCipher::FrameCipher(const MediaKey& key) : context_(EVP_CIPHER_CTX_new()) {
  // The key schedule is paid for here; a frame only sets its nonce.
  if (!context_ ||
      EVP_CipherInit_ex(context_.get(), EVP_aes_128_gcm(), nullptr, key.data(), nullptr, 0) != 1) {
    throw std::bad_alloc();
  }
}

FrameCipher::~FrameCipher() = default;
FrameCipher::FrameCipher(FrameCipher&&) noexcept = default;
FrameCipher& FrameCipher::operator=(FrameCipher&&) noexcept = default;

bool FrameCipher::begin(std::uint32_t nonce, bool sealing) noexcept {
  // Unlike every other number of the protocol this one is little-endian, at the end of the 12
  // bytes.
  std::array<std::uint8_t, 12> iv{};
  for (std::size_t i = 0; i < 4; ++i) {
    iv[8 + i] = static_cast<std::uint8_t>(nonce >> (8 * i));
  }
  return EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, iv.data(), sealing ? 1 : 0) ==
         1;
}

bool FrameCipher::open(const FrameView& frame, MutableByteSpan out) noexcept {
  EVP_CIPHER_CTX* const context = context_.get();
  if (out.size() < frame.media.size() || !begin(frame.nonce, false)) {
    return false;
  }
  std::array<std::uint8_t, frame_tag_size> tag;
  std::memcpy(tag.data(), frame.tag.data(), tag.size());
  if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, frame_tag_size, tag.data()) != 1) {
    return false;
  }
  const std::uint8_t* const in = frame.media.data();
  const auto open_part = [&](std::size_t at, std::size_t size) {
    return crypt(context, out.data() + at, in + at, size);
  };
  if (frame.ranges.empty()) {
    if (!frame.media.empty() && !open_part(0, frame.media.size())) {
      return false;
    }
  } else {
    // GCM wants all associated data first.
    for (ByteSpan rest = frame.ranges; !rest.empty();) {
      const ClearRange range = take_range(rest);
      if (range.size > 0 && !aad(context, in + range.offset, range.size)) {
        return false;
      }
    }
    ByteSpan rest = frame.ranges;
    const auto next = [&]() -> std::optional<ClearRange> {
      return rest.empty() ? std::nullopt : std::optional(take_range(rest));
    };
    const auto copy = [&](std::size_t at, std::size_t size) {
      std::memmove(out.data() + at, in + at, size);
      return true;
    };
    if (!for_each_part(next, frame.media.size(), copy, open_part)) {
      return false;
    }
  }
  int written = 0;
  std::array<std::uint8_t, 16> none;
  return EVP_CipherFinal_ex(context, none.data(), &written) == 1;
}

std::optional<MutableByteSpan> FrameCipher::seal(ByteSpan plain, std::uint32_t nonce,
                                                 std::span<const ClearRange> ranges,
                                                 MutableByteSpan out) noexcept {
  // The footer first: it tells whether everything fits, before anything is written.
  std::array<std::uint8_t, frame_max_footer> numbers;
  std::size_t used = put_uleb128(nonce, numbers);
  std::uint64_t end = 0;
  for (const ClearRange& range : ranges) {
    const MutableByteSpan rest = MutableByteSpan(numbers).subspan(used);
    const std::size_t first = put_uleb128(range.offset, rest);
    const std::size_t second = first > 0 ? put_uleb128(range.size, rest.subspan(first)) : 0;
    if (second == 0 || range.offset < end) {
      return std::nullopt;
    }
    used += first + second;
    end = std::uint64_t{range.offset} + range.size;
  }
  const std::size_t footer_size = frame_tag_size + used + 3;
  if (end > plain.size() || footer_size > frame_max_footer ||
      plain.size() > INT_MAX - footer_size || out.size() < plain.size() + footer_size ||
      !begin(nonce, true)) {
    return std::nullopt;
  }
  EVP_CIPHER_CTX* const context = context_.get();
  for (const ClearRange& range : ranges) {
    if (range.size > 0 && !aad(context, plain.data() + range.offset, range.size)) {
      return std::nullopt;
    }
  }
  const auto seal_part = [&](std::size_t at, std::size_t size) {
    return crypt(context, out.data() + at, plain.data() + at, size);
  };
  const auto copy = [&](std::size_t at, std::size_t size) {
    std::memmove(out.data() + at, plain.data() + at, size);
    return true;
  };
  auto range = ranges.begin();
  const auto next = [&]() -> std::optional<ClearRange> {
    return range == ranges.end() ? std::nullopt : std::optional(*range++);
  };
  std::uint8_t* footer = out.data() + plain.size();
  int written = 0;
  std::array<std::uint8_t, 16> none;
  if (!for_each_part(next, plain.size(), copy, seal_part) ||
      EVP_CipherFinal_ex(context, none.data(), &written) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, frame_tag_size, footer) != 1) {
    return std::nullopt;
  }
  footer += frame_tag_size;
  std::memcpy(footer, numbers.data(), used);
  footer += used;
  footer[0] = static_cast<std::uint8_t>(footer_size);
  footer[1] = marker;
  footer[2] = marker;
  return out.first(plain.size() + footer_size);
}

}  // namespace discord::dave
