#include "speaker.hpp"

#include <opus/opus.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace discord::loopback {
namespace {

constexpr std::array<std::uint8_t, 3> silence_frame = {0xF8, 0xFF, 0xFE};
constexpr int silence_ticks = 960;
constexpr int padding_spacing_ticks = 96;  // 2 ms: bursts of about 50 in 100 ms are seen
constexpr std::size_t alternate_every = 25;

Duration ticks_to_duration(std::int64_t ticks) {
  return Duration(ticks * 1'000'000'000 / sample_rate);
}

std::int64_t duration_to_ticks(Duration d) {
  return d.count() * sample_rate / 1'000'000'000;
}

// Opcode 5 counts 1 microphone, 2 soundshare, 4 priority; the wire element counts 1 priority,
// 2 voice, 4 soundshare.
std::uint8_t wire_flags(int flags) {
  return static_cast<std::uint8_t>(((flags & 3) << 1) | ((flags >> 2) & 1));
}

bool valid_frame(int ticks) {
  static constexpr int sizes[] = {120, 240, 480, 960, 1920, 2880};
  return std::find(std::begin(sizes), std::end(sizes), ticks) != std::end(sizes);
}

}  // namespace

std::uint8_t audio_level(std::span<const std::int16_t> samples) noexcept {
  double sum = 0;
  for (const std::int16_t s : samples) {
    sum += static_cast<double>(s) * s;
  }
  if (samples.empty() || sum == 0) {
    return 127;
  }
  const double rms = std::sqrt(sum / static_cast<double>(samples.size())) / 32768.0;
  return static_cast<std::uint8_t>(std::clamp(std::lround(-20.0 * std::log10(rms)), 0L, 127L));
}

Speaker::Speaker(SpeakerOptions options, std::uint64_t seed)
    : options_(std::move(options)), random_(seed), encoder_(nullptr, opus_encoder_destroy) {
  if (options_.frame_ticks.empty() ||
      !std::all_of(options_.frame_ticks.begin(), options_.frame_ticks.end(), valid_frame)) {
    throw std::invalid_argument("frame sizes are 120, 240, 480, 960, 1920 or 2880 samples");
  }
  for (Spurt& spurt : options_.spurts) {
    if (!spurt.pcm || spurt.first_frame >= spurt.pcm->frames()) {
      throw std::invalid_argument("a spurt without sound");
    }
    const std::size_t rest = spurt.pcm->frames() - spurt.first_frame;
    spurt.frames = spurt.frames == 0 ? rest : std::min(spurt.frames, rest);
  }
  int error = 0;
  encoder_.reset(opus_encoder_create(sample_rate, 2, OPUS_APPLICATION_VOIP, &error));
  if (error != OPUS_OK) {
    throw std::invalid_argument(std::string("Opus encoder: ") + opus_strerror(error));
  }
  OpusEncoder* e = encoder_.get();
  opus_encoder_ctl(e, OPUS_SET_BITRATE(options_.bitrate));
  opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(options_.complexity));
  opus_encoder_ctl(e, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
  opus_encoder_ctl(e, OPUS_SET_BANDWIDTH(OPUS_BANDWIDTH_FULLBAND));
  opus_encoder_ctl(e, OPUS_SET_INBAND_FEC(options_.fec ? 1 : 0));
  opus_encoder_ctl(e, OPUS_SET_PACKET_LOSS_PERC(static_cast<int>(options_.expected_loss)));
  opus_encoder_ctl(e, OPUS_SET_DTX(options_.dtx_tail.count() > 0 ? 1 : 0));
  randomize_start(true);
}

Speaker::~Speaker() = default;
Speaker::Speaker(Speaker&&) noexcept = default;
Speaker& Speaker::operator=(Speaker&&) noexcept = default;

void Speaker::randomize_start(bool first) {
  const auto sequence = static_cast<std::uint16_t>(random_.next());
  const auto timestamp = static_cast<std::uint32_t>(random_.next());
  sequence_ = first ? options_.first_sequence.value_or(sequence) : sequence;
  timestamp_base_ = first ? options_.first_timestamp.value_or(timestamp) : timestamp;
}

const Spurt& Speaker::spurt_source(std::size_t number) const {
  return options_.spurts.at(number % options_.spurts.size());
}

bool Speaker::begin_spurt() {
  const std::size_t count = options_.spurts.size();
  if (count == 0 || (options_.repeat.count() <= 0 && spurts_begun_ >= count)) {
    return false;
  }
  const Spurt& spurt = spurt_source(spurts_begun_);
  const auto round = static_cast<std::int64_t>(spurts_begun_ / count);
  clock_ = std::max(clock_, duration_to_ticks(spurt.start + round * options_.repeat));
  position_ = 0;
  length_ = spurt.frames;
  tail_left_ = static_cast<std::size_t>(duration_to_ticks(options_.dtx_tail));
  const bool fewer = random_.percent(options_.fewer_silence);
  const auto keep = random_.below(static_cast<std::uint64_t>(std::max(1, options_.silence_frames)));
  silence_left_ = fewer ? static_cast<int>(keep) : options_.silence_frames;
  padding_left_ = options_.padding_burst;
  first_of_spurt_ = true;
  phase_ = Phase::speech;
  ++spurts_begun_;
  return true;
}

std::optional<Packet> Speaker::next() {
  for (;;) {
    switch (phase_) {
      case Phase::idle:
        if (!begin_spurt()) {
          return std::nullopt;
        }
        break;
      case Phase::speech:
        if (position_ < length_) {
          return speech(false);
        }
        phase_ = Phase::tail;
        break;
      case Phase::tail:
        if (tail_left_ > 0) {
          return speech(true);
        }
        phase_ = Phase::silence;
        break;
      case Phase::silence:
        if (silence_left_ > 0) {
          return silence();
        }
        phase_ = Phase::padding;
        break;
      case Phase::padding:
        if (padding_left_ > 0) {
          return pure_padding();
        }
        phase_ = Phase::idle;
        break;
    }
  }
}

Packet Speaker::make(Packet::Kind kind, int ticks) {
  Packet p;
  p.kind = kind;
  p.due = ticks_to_duration(clock_);
  p.ssrc = options_.ssrc;
  p.sequence = sequence_++;
  if (kind != Packet::Kind::padding) {
    last_offset_ = options_.timestamps == TimestampHabit::advance ? clock_ : media_ticks_;
    media_ticks_ += ticks;
  }
  // Pure padding repeats the timestamp of the last media packet, as WebRTC senders do.
  p.timestamp = timestamp_base_ + static_cast<std::uint32_t>(last_offset_);
  p.ticks = kind == Packet::Kind::padding ? 0 : ticks;
  p.spurt = spurts_begun_ - 1;
  p.first_of_spurt = std::exchange(first_of_spurt_, false);
  clock_ += ticks;
  ++packets_;
  return p;
}

Packet Speaker::speech(bool tail) {
  const Spurt& spurt = spurt_source(spurts_begun_ - 1);
  const int ticks = options_.frame_ticks[packets_ % options_.frame_ticks.size()];
  const auto frames = static_cast<std::size_t>(ticks);
  const std::size_t at = position_;
  scratch_.assign(frames * 2, 0);
  if (tail) {
    tail_left_ -= std::min(tail_left_, frames);
  } else {
    const std::size_t take = std::min(frames, length_ - position_);
    const auto channels = static_cast<std::size_t>(spurt.pcm->channels);
    const std::int16_t* from = spurt.pcm->samples.data() + (spurt.first_frame + at) * channels;
    for (std::size_t i = 0; i < take; ++i) {
      scratch_[2 * i] = from[i * channels];
      scratch_[2 * i + 1] = from[i * channels + channels - 1];
    }
    position_ += take;
  }

  int channels = options_.channels == Channels::stereo ? 2 : 1;
  if (options_.channels == Channels::alternate && (packets_ / alternate_every) % 2 == 1) {
    channels = 2;
  }
  opus_encoder_ctl(encoder_.get(), OPUS_SET_FORCE_CHANNELS(channels));

  Packet p = make(Packet::Kind::speech, ticks);
  p.pcm_frame = spurt.first_frame + at;
  p.payload.resize(1275 + 7);
  const int size = opus_encode(encoder_.get(), scratch_.data(), ticks, p.payload.data(),
                               static_cast<opus_int32>(p.payload.size()));
  if (size < 0) {
    throw std::runtime_error(std::string("Opus encoder: ") + opus_strerror(size));
  }
  p.payload.resize(static_cast<std::size_t>(size));
  if (size <= 2) {
    p.kind = Packet::Kind::dtx;
  }
  p.level = audio_level(scratch_);
  p.has_extension = options_.extension;
  p.speaker_flag = wire_flags(options_.flags);
  const bool padded = random_.percent(options_.padding);
  const auto count = static_cast<std::uint8_t>(1 + random_.below(255));
  p.padding = padded ? count : 0;
  return p;
}

Packet Speaker::silence() {
  --silence_left_;
  Packet p = make(Packet::Kind::silence, silence_ticks);
  p.payload.assign(silence_frame.begin(), silence_frame.end());
  return p;
}

Packet Speaker::pure_padding() {
  --padding_left_;
  Packet p = make(Packet::Kind::padding, padding_spacing_ticks);
  p.has_extension = options_.extension;
  p.speaker_flag = wire_flags(options_.flags);
  p.padding = static_cast<std::uint8_t>(1 + random_.below(255));
  return p;
}

void Speaker::rejoin(std::uint32_t ssrc, Duration at) {
  options_.ssrc = ssrc;
  randomize_start(false);
  phase_ = Phase::idle;
  clock_ = std::max(clock_, duration_to_ticks(at));
  const std::size_t count = options_.spurts.size();
  while (count > 0 && (options_.repeat.count() > 0 || spurts_begun_ < count) &&
         spurt_source(spurts_begun_).start +
                 static_cast<std::int64_t>(spurts_begun_ / count) * options_.repeat <
             at) {
    ++spurts_begun_;
  }
}

}  // namespace discord::loopback
