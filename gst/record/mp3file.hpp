// MP3: the frame in front that says how many follow, and how much silence the encoder put before
// and behind the sound ("Xing" or "Info" with LAME's extension). Without it the length of a file is
// a guess, and no player can take the encoder's delay out.
#pragma once

#include "record/container.hpp"

namespace discord::record {

class Mp3File final : public Container {
 public:
  // LAME's encoder puts so many samples in front; a decoder adds 529 of its own.
  static constexpr std::uint32_t encoder_delay = 576;

  Bytes before(ByteSpan piece, std::uint64_t file_size, std::uint64_t end) override;
  bool has_sound(std::uint64_t file_size) const override {
    return !frame_.empty() && file_size > info_at_ + frame_.size();
  }
  std::uint64_t samples(std::uint64_t file_size) const override;
  Patches refresh(std::uint64_t file_size) override;
  Ending finish(std::uint64_t file_size, std::uint64_t samples) override;

 private:
  Patch patch(std::uint32_t padding) const;
  Bytes info_frame(std::uint64_t bytes, std::uint32_t padding) const;
  void note(ByteSpan frame);

  Bytes frame_;             // an empty frame with the header of the first; empty = none was seen
  std::size_t tag_at_ = 0;  // of "Xing" in it
  std::uint64_t info_at_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t bytes_ = 0;  // of all frames, the one in front included
  std::uint8_t first_bitrate_ = 0;
  unsigned kbps_ = 0;
  unsigned rate_ = 48000;
  std::uint64_t samples_per_frame_ = 1152;
  bool variable_ = false;
  std::uint16_t music_crc_ = 0;
  Bytes told_;  // the tag, as it is in the file
  // Where every `stride_`-th frame begins; thinned when there are many.
  std::vector<std::uint64_t> places_;
  std::uint64_t stride_ = 1;
};

}  // namespace discord::record
