// WAV, 16 bit, 48 kHz, stereo; RF64 (EBU Tech 3306) from 4 GiB on.
#pragma once

#include "record/container.hpp"

namespace discord::record {

// The front of the file has a fixed size: a chunk that is skipped, and becomes `ds64` when the file
// outgrows 32 bits; LIST/INFO with the tags; padding; the sizes.
class WavFile final : public Container {
 public:
  static constexpr std::size_t head_size = 1024;

  WavFile(const TrackTags& tags, std::uint64_t riff_limit);

  Bytes head() override { return front(0); }
  Bytes before(ByteSpan, std::uint64_t, std::uint64_t) override { return {}; }
  bool has_sound(std::uint64_t file_size) const override { return file_size > head_size; }
  std::uint64_t samples(std::uint64_t file_size) const override;
  Patches refresh(std::uint64_t file_size) override;
  Ending finish(std::uint64_t file_size, std::uint64_t) override {
    return {refresh(file_size), std::nullopt};
  }

 private:
  Bytes front(std::uint64_t data_size) const;

  Bytes info_;  // the LIST chunk
  std::uint64_t riff_limit_;
};

}  // namespace discord::record
