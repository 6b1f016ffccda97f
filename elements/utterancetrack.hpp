// One speaker's way from packets or decoded frames to utterances.
#pragma once

#include "media/opus_decoder.hpp"
#include "record/segments.hpp"

#include <gst/audio/audio.h>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace discord {

// Decodes, mixes down and resamples (with GStreamer's own converter, which is what audioconvert and
// audioresample are made of), and cuts. Positions that go in are at 48 kHz, those that come out at
// `settings.rate`; both count from the same zero. Not for two threads at once.
class UtteranceTrack {
 public:
  explicit UtteranceTrack(const record::SegmentSettings& settings);
  UtteranceTrack(const UtteranceTrack&) = delete;
  UtteranceTrack& operator=(const UtteranceTrack&) = delete;

  // A packet in order; one that Opus refuses is a pause.
  void packet(std::int64_t at, ByteSpan opus, bool silence);
  // Interleaved stereo.
  void pcm(std::int64_t at, std::span<const std::int16_t> stereo);
  // Nothing more comes before this position.
  void quiet_until(std::int64_t at);
  void finish();
  void request_partial() { segments_.request_partial(); }
  std::optional<record::Segment> next() { return segments_.next(); }

  // End of what was heard last, at 48 kHz.
  std::int64_t end() const { return end_; }
  std::uint64_t clicks() const { return segments_.clicks(); }

 private:
  struct ConverterFree {
    void operator()(GstAudioConverter* c) const { gst_audio_converter_free(c); }
  };

  void convert(const std::int16_t* stereo, std::size_t frames);
  void drain();
  std::int64_t at_rate(std::int64_t at) const;

  const record::SegmentSettings settings_;
  record::Segmenter segments_;
  std::vector<std::uint8_t> slot_;
  std::optional<media::SpeakerDecoder> decoder_;
  std::unique_ptr<GstAudioConverter, ConverterFree> converter_;
  std::vector<std::int16_t> out_;
  std::int64_t end_ = 0;
  // Of the run of audio without a hole that the converter is in.
  bool running_ = false;
  std::int64_t run_start_ = 0;  // at 48 kHz
  std::int64_t run_out_ = 0;    // samples that came out
};

}  // namespace discord
