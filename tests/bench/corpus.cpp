#include "corpus.hpp"

#include "audio_files.hpp"
#include "media/opus_packet.hpp"

#include <opus/opus.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <random>

namespace discord::corpus {

namespace {

constexpr std::size_t frame = 960;
constexpr std::size_t largest = 1275;

class Encoder {
 public:
  Encoder(int application, int bitrate, bool fec) {
    int error = 0;
    encoder_ = opus_encoder_create(48000, 2, application, &error);
    opus_encoder_ctl(encoder_, OPUS_SET_BITRATE(bitrate));
    opus_encoder_ctl(encoder_, OPUS_SET_COMPLEXITY(5));
    opus_encoder_ctl(encoder_, OPUS_SET_INBAND_FEC(fec ? 1 : 0));
    opus_encoder_ctl(encoder_, OPUS_SET_PACKET_LOSS_PERC(fec ? 10 : 0));
  }
  ~Encoder() { opus_encoder_destroy(encoder_); }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  Bytes packet(const std::array<std::int16_t, 2 * frame>& pcm) {
    Bytes out(largest);
    const int size = opus_encode(encoder_, pcm.data(), frame, out.data(), largest);
    out.resize(static_cast<std::size_t>(std::max(size, 0)));
    return out;
  }

 private:
  OpusEncoder* encoder_ = nullptr;
};

std::int16_t clip(double x) {
  return static_cast<std::int16_t>(std::clamp(x, -32768.0, 32767.0));
}

double share(const std::vector<Talk>& talks, unsigned from, unsigned to) {
  std::size_t all = 0;
  std::size_t some = 0;
  for (const Talk& talk : talks) {
    for (const Bytes& packet : talk) {
      const auto opus = media::parse_opus_packet(packet);
      some += opus && opus->config >= from && opus->config <= to;
      ++all;
    }
  }
  return all == 0 ? 0 : static_cast<double>(some) / static_cast<double>(all);
}

}  // namespace

Result<std::vector<Talk>, std::string> speech(std::size_t voices, std::size_t packets) {
  const auto installed = loopback::installed_voices();
  if (installed.empty()) {
    return Failure{loopback::no_voices_hint()};
  }
  std::vector<Talk> out;
  for (std::size_t v = 0; v < voices; ++v) {
    // One person's prompts, one after the other, as often as is needed.
    std::vector<double> mono;
    const auto& files = installed[v % installed.size()].files;
    for (std::size_t f = v / installed.size(); mono.size() < packets * frame; ++f) {
      const auto read = loopback::read_audio_file(files[f % files.size()]);
      if (!read) {
        return Failure{read.error()};
      }
      const loopback::Pcm& pcm = **read;
      const auto channels = static_cast<std::size_t>(pcm.channels);
      for (std::size_t i = 0; i < pcm.frames() && mono.size() < packets * frame; ++i) {
        mono.push_back(pcm.samples[i * channels]);
      }
      if (pcm.frames() == 0) {
        return Failure{"there is no sound in " + pcm.name};
      }
    }
    // Somewhere in the room, and a microphone that hisses.
    const double left = 0.6 + 0.4 * std::cos(static_cast<double>(v));
    const double right = 0.6 + 0.4 * std::sin(static_cast<double>(v));
    std::mt19937 random(static_cast<std::uint32_t>(v + 1));
    const auto hiss = [&] { return static_cast<double>(random() % 65) - 32; };
    Encoder encoder(OPUS_APPLICATION_VOIP, 64000, true);
    Talk talk;
    for (std::size_t p = 0; p < packets; ++p) {
      std::array<std::int16_t, 2 * frame> pcm;
      for (std::size_t i = 0; i < frame; ++i) {
        pcm[2 * i] = clip(left * mono[p * frame + i] + hiss());
        pcm[2 * i + 1] = clip(right * mono[p * frame + i] + hiss());
      }
      talk.push_back(encoder.packet(pcm));
    }
    out.push_back(std::move(talk));
  }
  return out;
}

std::vector<Talk> wide_band(std::size_t voices, std::size_t packets) {
  std::vector<Talk> out;
  for (std::size_t v = 0; v < voices; ++v) {
    std::mt19937 random(static_cast<std::uint32_t>(v + 77));
    Encoder encoder(OPUS_APPLICATION_AUDIO, 128000, false);
    std::array<double, 12> pitch{};
    std::array<double, 12> phase{};
    Talk talk;
    for (std::size_t p = 0; p < packets; ++p) {
      if (p % 25 == 0) {  // another chord
        for (double& f : pitch) {
          f = 110 * std::exp2(static_cast<double>(random() % 90) / 12);
        }
      }
      std::array<std::int16_t, 2 * frame> pcm;
      for (std::size_t i = 0; i < frame; ++i) {
        double sound = 0;
        double other = 0;
        for (std::size_t n = 0; n < pitch.size(); ++n) {
          phase[n] += 6.283185307 * pitch[n] / 48000;
          sound += 900 * std::sin(phase[n]);
          other += 900 * std::sin(phase[n] * 1.001 + static_cast<double>(n));
        }
        const double noise = static_cast<double>(random() % 2001) - 1000;
        const double click = p % 12 == 0 && i < 40 ? 9000.0 * (i % 2 == 0 ? 1 : -1) : 0;
        pcm[2 * i] = clip(sound + noise + click);
        pcm[2 * i + 1] = clip(other - noise + click);
      }
      talk.push_back(encoder.packet(pcm));
    }
    out.push_back(std::move(talk));
  }
  return out;
}

double share_hybrid(const std::vector<Talk>& talks) {
  return share(talks, 12, 15);
}
double share_celt(const std::vector<Talk>& talks) {
  return share(talks, 16, 31);
}

std::vector<Datagram> call(const std::vector<Talk>& talks, std::size_t speakers,
                           std::size_t packets, transport::Mode mode, const transport::Key& key,
                           std::uint32_t first_ssrc) {
  using namespace std::chrono_literals;
  transport::Cipher cipher(mode, key);
  std::uint32_t counter = 0;
  std::vector<Datagram> out;
  out.reserve(speakers * packets);
  for (std::size_t p = 0; p < packets; ++p) {
    for (std::size_t s = 0; s < speakers; ++s) {
      const Talk& talk = talks[s % talks.size()];
      rtp::PacketParts parts;
      parts.header.payload_type = 120;
      parts.header.ssrc = first_ssrc + static_cast<std::uint32_t>(s);
      parts.header.sequence = static_cast<std::uint16_t>(65000 + 31 * s + p);
      parts.header.timestamp = static_cast<std::uint32_t>(0xFFF00000u + 7777 * s + frame * p);
      parts.payload = talk[(p + 97 * (s / talks.size())) % talk.size()];
      Datagram d;
      d.ssrc = parts.header.ssrc;
      d.arrival =
          time_from_ns(1000000000) + Duration(20ms) * static_cast<std::int64_t>(p) +
          Duration(20ms) * static_cast<std::int64_t>(s) / static_cast<std::int64_t>(speakers);
      d.bytes.resize(cipher.sealed_size(parts));
      if (!cipher.seal_rtp(parts, counter++, d.bytes)) {
        std::abort();  // the parts are ours
      }
      out.push_back(std::move(d));
    }
  }
  return out;
}

transport::Key some_key() {
  std::array<std::uint8_t, transport::Key::size> bytes;
  bytes.fill(7);
  return transport::Key(bytes);
}

}  // namespace discord::corpus
