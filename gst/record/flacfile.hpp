// FLAC: the number of samples in STREAMINFO (RFC 9639 section 8.2), which the encoder writes at the
// end only.
#pragma once

#include "record/container.hpp"

namespace discord::record {

class FlacFile final : public Container {
 public:
  Bytes before(ByteSpan piece, std::uint64_t file_size, std::uint64_t end) override;
  void overwritten(std::uint64_t, ByteSpan) override { completed_ = true; }
  bool has_sound(std::uint64_t file_size) const override {
    return first_end_ != 0 && file_size >= first_end_;
  }
  std::uint64_t samples(std::uint64_t) const override { return samples_; }
  Patches refresh(std::uint64_t file_size) override;
  Ending finish(std::uint64_t file_size, std::uint64_t samples) override;

 private:
  Patches sizes() const;

  std::uint64_t info_at_ = 0;  // of the block's contents; 0 = not seen yet
  Bytes info_;
  std::uint64_t frames_end_ = 0;  // where the last frame ends in the file
  std::uint64_t first_end_ = 0;   // where the first one does
  std::uint64_t samples_ = 0;     // up to there
  bool completed_ = false;        // by the encoder
};

}  // namespace discord::record
