// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/utterancetrack.hpp"

#include <algorithm>
#include <array>

namespace discord {

namespace {

// A pause this long lets out what the resampler holds back; shorter ones go on without a seam.
constexpr std::int64_t drain_after = 960;

MutableByteSpan aligned(std::vector<std::uint8_t>& slot) {
  const auto address = reinterpret_cast<std::uintptr_t>(slot.data());
  constexpr std::size_t a = media::SpeakerDecoder::slot_alignment;
  return MutableByteSpan(slot).subspan((a - address % a) % a, media::SpeakerDecoder::slot_size());
}

}  // namespace

UtteranceTrack::UtteranceTrack(const record::SegmentSettings& settings)
    : settings_(settings), segments_(settings) {
  GstAudioInfo in;
  GstAudioInfo out;
  gst_audio_info_init(&in);
  gst_audio_info_init(&out);
  gst_audio_info_set_format(&in, GST_AUDIO_FORMAT_S16, media::opus_rate, 2, nullptr);
  gst_audio_info_set_format(&out, GST_AUDIO_FORMAT_S16, static_cast<gint>(settings.rate), 1,
                            nullptr);
  converter_.reset(gst_audio_converter_new(GST_AUDIO_CONVERTER_FLAG_NONE, &in, &out, nullptr));
}

std::int64_t UtteranceTrack::at_rate(std::int64_t at) const {
  return at * static_cast<std::int64_t>(settings_.rate) /
         static_cast<std::int64_t>(media::opus_rate);
}

void UtteranceTrack::packet(std::int64_t at, ByteSpan opus, bool silence) {
  if (silence) {
    return;  // a pause, and a decoder needs no silence to be ready for what follows
  }
  if (!decoder_) {
    slot_.resize(media::SpeakerDecoder::slot_size() + media::SpeakerDecoder::slot_alignment);
    decoder_.emplace(aligned(slot_));
  }
  std::array<std::int16_t, media::opus_max_duration * media::output_channels> samples;
  const std::uint32_t frames = decoder_->decode(opus, samples);
  pcm(at, std::span(samples).first(frames * media::output_channels));
}

void UtteranceTrack::pcm(std::int64_t at, std::span<const std::int16_t> stereo) {
  std::size_t frames = stereo.size() / media::output_channels;
  const std::int16_t* from = stereo.data();
  if (running_ && at < end_) {  // the speaker's clock runs ahead
    const auto over = std::min(static_cast<std::size_t>(end_ - at), frames);
    from += over * media::output_channels;
    frames -= over;
    at += static_cast<std::int64_t>(over);
  }
  if (frames == 0) {
    return;
  }
  if (running_ && at != end_) {
    drain();
  }
  if (!running_) {
    running_ = true;
    run_start_ = at;
    run_out_ = 0;
  }
  end_ = at + static_cast<std::int64_t>(frames);
  convert(from, frames);
}

// Null is silence.
void UtteranceTrack::convert(const std::int16_t* stereo, std::size_t frames) {
  out_.resize(gst_audio_converter_get_out_frames(converter_.get(), frames));
  gpointer in[] = {const_cast<std::int16_t*>(stereo)};
  gpointer out[] = {out_.data()};
  if (!gst_audio_converter_samples(converter_.get(), GST_AUDIO_CONVERTER_FLAG_NONE,
                                   stereo != nullptr ? in : nullptr, frames, out, out_.size())) {
    return;
  }
  // No longer than what went in.
  const std::int64_t room = at_rate(end_) - at_rate(run_start_) - run_out_;
  const auto n = std::min<std::int64_t>(static_cast<std::int64_t>(out_.size()),
                                        std::max<std::int64_t>(room, 0));
  segments_.audio(at_rate(run_start_) + run_out_,
                  std::span(out_).first(static_cast<std::size_t>(n)));
  run_out_ += n;
}

void UtteranceTrack::drain() {
  if (!running_) {
    return;
  }
  convert(nullptr, gst_audio_converter_get_max_latency(converter_.get()));
  gst_audio_converter_reset(converter_.get());
  running_ = false;
}

void UtteranceTrack::quiet_until(std::int64_t at) {
  if (at - end_ >= drain_after) {
    drain();
  }
  segments_.quiet_until(at_rate(at));
}

void UtteranceTrack::finish() {
  drain();
  segments_.finish();
}

}  // namespace discord
