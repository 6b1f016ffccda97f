// The frames DAVE makes of media (docs/protocol.md "DAVE frames"): reading the footer, opening and
// sealing.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

struct evp_cipher_ctx_st;

namespace discord::dave {

inline constexpr std::size_t frame_tag_size = 8;
// Tag, a nonce of one byte, the size byte and the marker.
inline constexpr std::size_t frame_min_footer = frame_tag_size + 1 + 1 + 2;
inline constexpr std::size_t frame_max_footer = 255;
// Footer of a frame without clear ranges, with the longest nonce.
inline constexpr std::size_t frame_max_audio_footer = frame_min_footer + 4;

// The key of one generation of one sender.
using MediaKey = Secret<16>;

enum class FrameError {
  not_a_frame,  // no footer, or one that contradicts itself
  bad_tag,      // well-formed, but not sealed with this key
};
const char* to_string(FrameError error) noexcept;

// Exactly the three bytes that a server puts in place of a muted speaker; they are never sealed.
bool is_silence(ByteSpan frame) noexcept;

// A run of media bytes that stays readable.
struct ClearRange {
  std::uint32_t offset;
  std::uint32_t size;
};

// Reads an unsigned LEB128 number of at most 32 bits off the front. Longer spellings than necessary
// are taken (other implementations do), numbers over 32 bits and unterminated ones are not.
std::optional<std::uint32_t> take_uleb128(ByteSpan& bytes) noexcept;
// Writes 1 to 5 bytes; nothing (0) when `out` is too small.
std::size_t put_uleb128(std::uint32_t value, MutableByteSpan out) noexcept;

// A frame whose footer is consistent. Says nothing about its authenticity. Points into the frame.
struct FrameView {
  ByteSpan media;  // clear and sealed bytes as they lie
  std::span<const std::uint8_t, frame_tag_size> tag;
  std::uint32_t nonce;
  ByteSpan ranges;  // pairs (offset, size) as LEB128, checked: ascending, apart, inside the media
};
Result<FrameView, FrameError> parse_frame(ByteSpan frame) noexcept;

// AES-128-GCM with one key. The context is made once and used for each frame, which costs no
// allocation. Not for two threads at once.
class FrameCipher {
 public:
  // Throws std::bad_alloc when the context cannot be made; nothing else ever throws.
  explicit FrameCipher(const MediaKey& key);
  ~FrameCipher();
  FrameCipher(FrameCipher&&) noexcept;
  FrameCipher& operator=(FrameCipher&&) noexcept;
  FrameCipher(const FrameCipher&) = delete;
  FrameCipher& operator=(const FrameCipher&) = delete;

  // Writes `frame.media.size()` plain bytes to the front of `out`, which is at least that long, and
  // either the media itself or apart from it. True when authentic; else `out` is scratch.
  bool open(const FrameView& frame, MutableByteSpan out) noexcept;

  // Writes media and footer to the front of `out` and returns that part. Nothing when `out` is too
  // small, when the ranges are not ascending, apart and inside `plain`, or when the footer would
  // exceed 255 bytes. `plain` may be the front of `out`. A nonce must never come twice for one key.
  std::optional<MutableByteSpan> seal(ByteSpan plain, std::uint32_t nonce,
                                      std::span<const ClearRange> ranges,
                                      MutableByteSpan out) noexcept;

 private:
  struct ContextDeleter {
    void operator()(evp_cipher_ctx_st* context) const noexcept;
  };
  bool begin(std::uint32_t nonce, bool sealing) noexcept;

  std::unique_ptr<evp_cipher_ctx_st, ContextDeleter> context_;
};

}  // namespace discord::dave
