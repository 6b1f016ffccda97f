// Calls for tests of everything that decodes: speakers with a real encoder, a network that loses
// and reorders, and what came out.
#pragma once

#include "media/receiver.hpp"
#include "transport/cipher.hpp"

#include <gtest/gtest.h>
#include <opus/opus.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <string>

namespace discord::rig {

using namespace std::chrono_literals;
using media::DecodedFrame;
using media::FrameKind;

inline constexpr auto mode = transport::Mode::aead_aes256_gcm_rtpsize;
inline transport::Key key(std::uint8_t fill = 7) {
  std::array<std::uint8_t, 32> bytes;
  bytes.fill(fill);
  return transport::Key(bytes);
}

// An encoder that is fed something like a voice: harmonics with a wandering pitch, syllables,
// noise.
class Voice {
 public:
  explicit Voice(std::uint32_t seed, int channels = 2, int application = OPUS_APPLICATION_VOIP,
                 bool fec = true)
      : channels_(channels), random_(seed), pitch_(90.0 + 13.0 * (seed % 17)) {
    int error = 0;
    encoder_ = opus_encoder_create(48000, channels, application, &error);
    opus_encoder_ctl(encoder_, OPUS_SET_BITRATE(channels * 24000));
    opus_encoder_ctl(encoder_, OPUS_SET_COMPLEXITY(2));
    opus_encoder_ctl(encoder_, OPUS_SET_INBAND_FEC(fec ? 1 : 0));
    opus_encoder_ctl(encoder_, OPUS_SET_PACKET_LOSS_PERC(fec ? 25 : 0));
  }
  ~Voice() { opus_encoder_destroy(encoder_); }
  Voice(const Voice&) = delete;
  Voice& operator=(const Voice&) = delete;

  Bytes packet(int samples = 960) {
    std::vector<std::int16_t> pcm(static_cast<std::size_t>(samples * channels_));
    for (int i = 0; i < samples; ++i) {
      const double t = static_cast<double>(at_++) / 48000;
      phase_ += (pitch_ * (1 + 0.1 * std::sin(3 * t))) / 48000;
      double x = 0;
      for (int h = 1; h < 12; ++h) {
        x += std::sin(6.2831853 * h * phase_) / h;
      }
      x *= 0.5 + 0.5 * std::sin(6.2831853 * 4 * t);
      x += 0.02 * (static_cast<double>(random_() % 2001) / 1000 - 1);
      for (int c = 0; c < channels_; ++c) {
        pcm[static_cast<std::size_t>(i * channels_ + c)] =
            static_cast<std::int16_t>(x * (c == 0 ? 4000 : 3000));
      }
    }
    Bytes out(1275);
    const int size = opus_encode(encoder_, pcm.data(), samples, out.data(), 1275);
    out.resize(static_cast<std::size_t>(std::max(size, 0)));
    return out;
  }

 private:
  int channels_;
  std::mt19937 random_;
  double pitch_;
  double phase_ = 0;
  std::uint64_t at_ = 0;
  OpusEncoder* encoder_ = nullptr;
};

struct OnWire {
  Time arrival{};
  Bytes bytes;
  std::uint32_t ssrc = 0;
};

class Sealer {
 public:
  explicit Sealer(const transport::Key& with = key()) : cipher_(mode, with) {}

  OnWire seal(std::uint32_t ssrc, std::uint16_t sequence, std::uint32_t timestamp, ByteSpan payload,
              Time arrival, std::uint8_t padding = 0) {
    rtp::PacketParts parts;
    parts.header.payload_type = 120;
    parts.header.ssrc = ssrc;
    parts.header.sequence = sequence;
    parts.header.timestamp = timestamp;
    parts.payload = payload;
    parts.padding = padding;
    Bytes out(cipher_.sealed_size(parts));
    EXPECT_TRUE(cipher_.seal_rtp(parts, counter_++, out).ok());
    return {arrival, std::move(out), ssrc};
  }

 private:
  transport::Cipher cipher_;
  std::uint32_t counter_ = 0;
};

// What the network does to a call.
struct Weather {
  double loss = 0;
  double burst = 0;      // chance that the packet behind a lost one is lost too
  double reorder = 0;    // chance of being 25 ms late, so that the next overtakes it
  double duplicate = 0;  // chance of coming twice
  Duration jitter{};
  std::uint32_t seed = 1;
};

// `speakers` talk for `packets` packets of 20 ms each, with a pause every 100 packets; in the order
// of arrival.
// `wrap` makes the payload of each packet of what the encoder gave.
using Wrap = std::function<Bytes(std::uint32_t ssrc, Time when, const Bytes& opus)>;
inline std::vector<OnWire> call(std::size_t speakers, std::size_t packets,
                                const Weather& weather = {}, std::uint32_t first_ssrc = 1000,
                                const Wrap& wrap = {}) {
  std::mt19937 random(weather.seed);
  const auto chance = [&](double p) { return (random() % 100000) < p * 100000; };
  Sealer sealer;
  std::vector<OnWire> out;
  for (std::size_t s = 0; s < speakers; ++s) {
    Voice voice(static_cast<std::uint32_t>(s + 1), s % 2 == 0 ? 2 : 1,
                s % 3 == 2 ? OPUS_APPLICATION_AUDIO : OPUS_APPLICATION_VOIP);
    const auto ssrc = static_cast<std::uint32_t>(first_ssrc + s);
    auto sequence = static_cast<std::uint16_t>(65500 + 7 * s);
    std::uint32_t timestamp = 0xFFFFF000u + static_cast<std::uint32_t>(s) * 1000;
    Time at = time_from_ns(1000000000) + Duration(s * 1700000);
    bool lost = false;
    for (std::size_t i = 0; i < packets; ++i) {
      if (i % 100 == 99) {  // five silence frames, then a pause
        const Bytes silence = {0xF8, 0xFF, 0xFE};
        for (int n = 0; n < 5; ++n) {
          out.push_back(sealer.seal(ssrc, sequence++, timestamp,
                                    wrap ? wrap(ssrc, at, silence) : silence, at));
          timestamp += 960;
          at += 20ms;
        }
        timestamp += 48000;
        at += 1000ms;
      }
      const Bytes opus = wrap ? wrap(ssrc, at, voice.packet()) : voice.packet();
      Time arrival = at;
      if (weather.jitter > Duration{}) {
        arrival += Duration(static_cast<std::int64_t>(random()) % weather.jitter.count());
      }
      if (chance(weather.reorder)) {
        arrival += 25ms;
      }
      lost = chance(lost ? weather.burst : weather.loss);
      const OnWire datagram = sealer.seal(ssrc, sequence, timestamp, opus, arrival);
      if (!lost) {
        out.push_back(datagram);
        if (chance(weather.duplicate)) {
          out.push_back(datagram);
          out.back().arrival += 3ms;
        }
      }
      sequence++;
      timestamp += 960;
      at += 20ms;
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const OnWire& a, const OnWire& b) { return a.arrival < b.arrival; });
  return out;
}

struct Frame {
  FrameKind kind;
  std::uint64_t user_id;
  std::int64_t sample;
  std::vector<std::int16_t> pcm;
  Bytes opus;
  friend bool operator==(const Frame&, const Frame&) = default;
};
using Tracks = std::map<std::uint32_t, std::vector<Frame>>;

inline Frame copy(const DecodedFrame& f) {
  return {
      f.kind, f.user_id, f.sample, {f.pcm.begin(), f.pcm.end()}, {f.opus.begin(), f.opus.end()}};
}

struct Collector : media::ReceiverSink {
  Tracks tracks;
  std::vector<std::string> said;
  std::size_t compounds = 0;
  const media::Receiver* watched = nullptr;

  void frame(const DecodedFrame& f) override { tracks[f.ssrc].push_back(copy(f)); }
  void speaking(std::uint32_t ssrc, std::uint64_t user, bool on, Time when) override {
    said.push_back(std::to_string(ssrc) + "/" + std::to_string(user) + (on ? "+" : "-") +
                   std::to_string(to_ns(when) / 1000000));
  }
  void rtcp(ByteSpan, Time) override { ++compounds; }
  void working_on(std::uint64_t) override {}
  void boundary() override {
    if (watched != nullptr) {
      EXPECT_TRUE(watched->ledger().adds_up());
    }
  }
};

// What one receiver in this process makes of a call.
struct Received {
  Collector out;
  media::Ledger ledger;
};
inline void receive(const std::vector<OnWire>& datagrams, Received& run,
                    media::ReceiverConfig config = {}) {
  media::Receiver receiver(config);
  run.out.watched = &receiver;
  receiver.set_key(1, mode, key(), Time{}, run.out);
  std::uint64_t id = 0;
  Time last{};
  for (const OnWire& d : datagrams) {
    receiver.push(d.bytes, ++id, d.arrival, run.out);
    receiver.clear_finished();
    last = d.arrival;
  }
  receiver.drain(last, run.out);
  run.ledger = receiver.ledger();
  run.out.watched = nullptr;
}

}  // namespace discord::rig
