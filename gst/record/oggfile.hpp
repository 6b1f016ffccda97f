// Ogg (RFC 3533): the last page says how long the track is (RFC 7845 section 4.4).
#pragma once

#include "record/container.hpp"

namespace discord::record {

// The checksum of a page whose own checksum field is zero.
std::uint32_t ogg_checksum(ByteSpan page) noexcept;

class OggFile final : public Container {
 public:
  Bytes before(ByteSpan piece, std::uint64_t file_size, std::uint64_t end) override;
  bool has_sound(std::uint64_t file_size) const override {
    return sound_at_ != 0 && file_size > sound_at_;
  }
  Patches refresh(std::uint64_t) override { return {}; }  // each page stands for itself
  // Cuts what the last packet has beyond `samples` off by the granule position of its page.
  Patches finish(std::uint64_t file_size, std::uint64_t samples) override;

 private:
  Bytes page_;  // the last one
  std::uint64_t page_at_ = 0;
  std::uint64_t sound_at_ = 0;  // of the first page with sound
  std::uint64_t granule_before_ = 0;
  std::uint64_t granule_ = 0;
  std::uint64_t pre_skip_ = 0;
};

}  // namespace discord::record
