// Ogg (RFC 3533): the last page says how long the track is (RFC 7845 section 4.4).
#pragma once

#include "record/container.hpp"

#include <array>

namespace discord::record {

// The checksum of a page whose own checksum field is zero.
std::uint32_t ogg_checksum(ByteSpan page) noexcept;

class OggFile final : public Container {
 public:
  Bytes before(ByteSpan piece, std::uint64_t file_size, std::uint64_t end) override;
  bool has_sound(std::uint64_t file_size) const override {
    return sound_at_ != 0 && file_size > sound_at_;
  }
  std::uint64_t samples(std::uint64_t file_size) const override;
  Patches refresh(std::uint64_t) override { return {}; }  // each page stands for itself
  // Cuts what lies beyond `samples` off: whole pages and packets, and the rest by the granule
  // position of the page that is last then.
  Ending finish(std::uint64_t file_size, std::uint64_t samples) override;

 private:
  struct Page {
    Bytes bytes;
    std::uint64_t at = 0;
    std::uint64_t granule = 0;
  };
  // A track is ahead of its end by 40 ms and a packet at most (OpusTrack), and a page is 40 ms or a
  // packet long.
  static constexpr std::size_t kept = 4;

  std::array<Page, kept> pages_;  // the last ones; number n is at n % kept
  std::uint64_t count_ = 0;
  std::uint64_t sound_at_ = 0;  // of the first page with sound
  std::uint64_t pre_skip_ = 0;
};

}  // namespace discord::record
