#include "media/opus_decoder.hpp"

#include <opus/opus.h>
#include <algorithm>
#include <array>

namespace discord::media {

namespace {

constexpr std::uint32_t step = opus_min_duration;  // PLC works in units of 2.5 ms
constexpr std::size_t max_samples = opus_max_duration * output_channels;

int size_of(ByteSpan packet) noexcept {
  // Nobody sends such packets; the clamp only keeps the cast honest.
  return static_cast<int>(std::min<std::size_t>(packet.size(), 65535));
}

}  // namespace

bool has_fec(ByteSpan packet) noexcept {
  const auto opus = parse_opus_packet(packet);
  if (!opus || opus->config >= 16) {
    return false;  // CELT has no LBRR
  }
  unsigned char toc = 0;
  std::array<const unsigned char*, 48> frames;
  std::array<opus_int16, 48> sizes;
  if (opus_packet_parse(packet.data(), size_of(packet), &toc, frames.data(), sizes.data(),
                        nullptr) <= 0 ||
      sizes[0] == 0) {
    return false;
  }
  // RFC 6716 section 4.2.3: a VAD bit for each 20 ms, then the LBRR flag; for stereo once more.
  const unsigned vad_bits = std::max<std::uint32_t>(1, opus->frame_duration / 960);
  const unsigned first = frames[0][0];
  const bool mid = ((first >> (7 - vad_bits)) & 1) != 0;
  const bool side = opus->channels == 2 && ((first >> (6 - 2 * vad_bits)) & 1) != 0;
  return mid || side;
}

std::size_t SpeakerDecoder::slot_size() noexcept {
  static const auto size = static_cast<std::size_t>(opus_decoder_get_size(output_channels));
  return (size + slot_alignment - 1) / slot_alignment * slot_alignment;
}

SpeakerDecoder::SpeakerDecoder(MutableByteSpan slot) noexcept
    : state_(reinterpret_cast<::OpusDecoder*>(slot.data())) {
  opus_decoder_init(state_, opus_rate, output_channels);
}

std::uint32_t SpeakerDecoder::decode(ByteSpan packet, MutablePcmSpan out) noexcept {
  if (packet.empty() || out.size() < max_samples) {
    return 0;  // libopus would take an empty packet for a lost one
  }
  const int samples =
      opus_decode(state_, packet.data(), size_of(packet), out.data(), opus_max_duration, 0);
  return samples > 0 ? static_cast<std::uint32_t>(samples) : 0;
}

void SpeakerDecoder::conceal(std::uint32_t samples, MutablePcmSpan out) noexcept {
  samples = std::min<std::uint32_t>(
      {samples, max_concealment, static_cast<std::uint32_t>(out.size() / output_channels)});
  const std::uint32_t whole = samples / step * step;
  std::uint32_t done = 0;
  if (whole > 0) {
    done = static_cast<std::uint32_t>(
        std::max(0, opus_decode(state_, nullptr, 0, out.data(), static_cast<int>(whole), 0)));
  }
  if (done == whole && whole < samples) {
    std::array<std::int16_t, step * output_channels> rest{};
    if (opus_decode(state_, nullptr, 0, rest.data(), step, 0) > 0) {
      std::copy_n(rest.begin(), (samples - whole) * output_channels,
                  out.begin() + static_cast<std::ptrdiff_t>(whole * output_channels));
      done = samples;
    }
  }
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(done * output_channels),
            out.begin() + static_cast<std::ptrdiff_t>(samples * output_channels), std::int16_t{0});
}

std::uint32_t SpeakerDecoder::recover(ByteSpan next, MutablePcmSpan out) noexcept {
  if (!has_fec(next) || out.size() < max_samples) {
    return 0;
  }
  const auto opus = parse_opus_packet(next);
  const int samples = opus_decode(state_, next.data(), size_of(next), out.data(),
                                  static_cast<int>(opus->frame_duration), 1);
  return samples > 0 ? static_cast<std::uint32_t>(samples) : 0;
}

void SpeakerDecoder::warm_up(ByteSpan packet) noexcept {
  std::array<std::int16_t, max_samples> nowhere;
  decode(packet, nowhere);
}

void SpeakerDecoder::reset() noexcept {
  opus_decoder_ctl(state_, OPUS_RESET_STATE);
}

}  // namespace discord::media
