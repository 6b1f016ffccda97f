#include "speaker.hpp"

#include "truth.hpp"

#include <gtest/gtest.h>
#include <opus/opus.h>
#include <cmath>
#include <map>

using namespace discord;
using namespace discord::loopback;
using namespace std::chrono_literals;

namespace {

// A voiced sound with a changing pitch: something an encoder treats as speech, and above the
// high-pass filter of its VOIP mode, which would shift the phase.
PcmPtr voice(double seconds) {
  auto pcm = std::make_shared<Pcm>();
  double phase = 0;
  const auto frames = static_cast<std::size_t>(seconds * sample_rate);
  for (std::size_t i = 0; i < frames; ++i) {
    const double t = static_cast<double>(i) / sample_rate;
    phase += 2 * M_PI * (260 + 40 * std::sin(2 * M_PI * 2 * t)) / sample_rate;
    double v = 0;
    for (int h = 1; h <= 12; ++h) {
      v += std::sin(phase * h) / h;
    }
    pcm->samples.push_back(
        static_cast<std::int16_t>(5000 * v * (0.6 + 0.4 * std::sin(2 * M_PI * 4 * t))));
  }
  return pcm;
}

SpeakerOptions two_spurts() {
  SpeakerOptions o;
  o.user_id = 5;
  o.ssrc = 77;
  const PcmPtr pcm = voice(1.0);
  o.spurts = {{pcm, 0ms, 0, 0}, {pcm, 3s, 0, 0}};
  return o;
}

std::vector<Packet> all(Speaker& speaker) {
  std::vector<Packet> out;
  while (auto p = speaker.next()) {
    out.push_back(std::move(*p));
  }
  return out;
}

double correlation(const std::vector<float>& a, const std::vector<float>& b, std::size_t lag) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i + lag < b.size() && i < a.size(); ++i) {
    ab += a[i] * b[i + lag];
    aa += a[i] * a[i];
    bb += b[i + lag] * b[i + lag];
  }
  return ab / std::sqrt(aa * bb + 1e-9);
}

}  // namespace

TEST(Speaker, SequenceIsContiguousOverPausesAndThroughTheWrap) {
  SpeakerOptions o = two_spurts();
  o.first_sequence = 65500;
  Speaker speaker(o, 1);
  const auto packets = all(speaker);
  ASSERT_GT(packets.size(), 100u);
  EXPECT_EQ(packets[0].sequence, 65500);
  for (std::size_t i = 1; i < packets.size(); ++i) {
    EXPECT_EQ(packets[i].sequence, static_cast<std::uint16_t>(packets[i - 1].sequence + 1));
    EXPECT_GE(packets[i].due, packets[i - 1].due);
  }
}

TEST(Speaker, TimestampHabitsDifferOnlyOverThePause) {
  for (const auto habit : {TimestampHabit::advance, TimestampHabit::freeze}) {
    SpeakerOptions o = two_spurts();
    o.timestamps = habit;
    o.first_timestamp = 0xFFFFFF00u;
    o.fewer_silence = 0;
    Speaker speaker(o, 1);
    const auto packets = all(speaker);
    EXPECT_EQ(packets[0].timestamp, 0xFFFFFF00u);
    int jumps = 0;
    for (std::size_t i = 1; i < packets.size(); ++i) {
      const std::uint32_t step = packets[i].timestamp - packets[i - 1].timestamp;
      if (packets[i].first_of_spurt) {
        ++jumps;
        // 1 s of talk and 5 silence frames, then silence until 3 s.
        EXPECT_EQ(step, habit == TimestampHabit::advance ? 960u + 91200u : 960u);
        EXPECT_EQ(packets[i].due, Duration(3s));
      } else {
        EXPECT_EQ(step, 960u);
      }
    }
    EXPECT_EQ(jumps, 1);
  }
}

TEST(Speaker, EndsASpurtWithPlainSilenceFrames) {
  SpeakerOptions o = two_spurts();
  o.fewer_silence = 0;
  Speaker speaker(o, 1);
  std::map<std::size_t, int> silences;
  for (const Packet& p : all(speaker)) {
    if (p.kind == Packet::Kind::silence) {
      ++silences[p.spurt];
      EXPECT_EQ(p.payload, (Bytes{0xF8, 0xFF, 0xFE}));
      EXPECT_FALSE(p.has_extension);
      EXPECT_EQ(p.padding, 0);
    } else {
      EXPECT_TRUE(p.has_extension);
      EXPECT_EQ(p.speaker_flag, 2) << "voice on the wire";
    }
  }
  EXPECT_EQ(silences[0], 5);
  EXPECT_EQ(silences[1], 5);
  o.fewer_silence = 100;
  Speaker fewer(o, 1);
  for (const Packet& p : all(fewer)) {
    silences[p.spurt] -= p.kind == Packet::Kind::silence ? 1 : 0;
  }
  EXPECT_GT(silences[0], 0);
}

TEST(Speaker, SameSeedSamePackets) {
  Speaker a(two_spurts(), 9);
  Speaker b(two_spurts(), 9);
  Speaker c(two_spurts(), 10);
  const auto pa = all(a);
  const auto pb = all(b);
  const auto pc = all(c);
  ASSERT_EQ(pa.size(), pb.size());
  bool paddings_differ = false;
  for (std::size_t i = 0; i < pa.size(); ++i) {
    EXPECT_EQ(pa[i].payload, pb[i].payload);
    EXPECT_EQ(pa[i].padding, pb[i].padding);
    EXPECT_EQ(pa[i].sequence, pb[i].sequence);
    paddings_differ = paddings_differ || (i < pc.size() && pa[i].padding != pc[i].padding);
  }
  EXPECT_TRUE(paddings_differ);
  EXPECT_NE(pa[0].sequence, pc[0].sequence);
}

TEST(Speaker, DecodesBackToItsSource) {
  for (const auto channels : {Channels::mono, Channels::stereo, Channels::alternate}) {
    SpeakerOptions o = two_spurts();
    o.channels = channels;
    o.spurts.resize(1);
    Speaker speaker(o, 3);
    int error = 0;
    OpusDecoder* decoder = opus_decoder_create(sample_rate, 2, &error);
    std::vector<float> heard;
    std::vector<float> pcm(5760 * 2);
    bool mono = false;
    bool stereo = false;
    for (const Packet& p : all(speaker)) {
      if (p.kind != Packet::Kind::speech) {
        continue;
      }
      (p.payload[0] & 4 ? stereo : mono) = true;
      EXPECT_GE(p.payload[0] >> 3, 12) << "hybrid or CELT, full-band family";
      const int got =
          opus_decode_float(decoder, p.payload.data(), static_cast<opus_int32>(p.payload.size()),
                            pcm.data(), 5760, 0);
      ASSERT_EQ(got, p.ticks);
      for (int i = 0; i < got; ++i) {
        heard.push_back(pcm[static_cast<std::size_t>(2 * i)]);
      }
    }
    opus_decoder_destroy(decoder);
    EXPECT_EQ(mono, channels != Channels::stereo);
    EXPECT_EQ(stereo, channels != Channels::mono);
    std::vector<float> source;
    for (const std::int16_t s : o.spurts[0].pcm->samples) {
      source.push_back(static_cast<float>(s) / 32768);
    }
    double best = 0;
    for (std::size_t lag = 250; lag < 400; ++lag) {
      best = std::max(best, correlation(source, heard, lag));
    }
    EXPECT_GT(best, 0.9);
  }
}

TEST(Speaker, EveryFrameSizeKeepsTimeAndLength) {
  SpeakerOptions o = two_spurts();
  o.frame_ticks = {120, 240, 480, 960, 1920, 2880};
  o.silence_frames = 0;
  Speaker speaker(o, 1);
  const auto packets = all(speaker);
  std::size_t expected = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const Packet& p = packets[i];
    EXPECT_EQ(opus_packet_get_nb_samples(p.payload.data(),
                                         static_cast<opus_int32>(p.payload.size()), sample_rate),
              p.ticks);
    if (i > 0 && !p.first_of_spurt) {
      EXPECT_EQ(p.timestamp - packets[i - 1].timestamp,
                static_cast<std::uint32_t>(packets[i - 1].ticks));
    }
    expected = p.first_of_spurt ? 0 : expected;
    EXPECT_EQ(p.pcm_frame, expected);
    expected += static_cast<std::size_t>(p.ticks);
  }
}

TEST(Speaker, DtxTailMakesOneByteFrames) {
  SpeakerOptions o = two_spurts();
  o.dtx_tail = 800ms;
  Speaker speaker(o, 1);
  int dtx = 0;
  for (const Packet& p : all(speaker)) {
    if (p.kind == Packet::Kind::dtx) {
      ++dtx;
      EXPECT_LE(p.payload.size(), 2u);
      EXPECT_EQ(p.level, 127);
    }
  }
  EXPECT_GT(dtx, 10);
}

TEST(Speaker, PurePaddingKeepsTheTimestampAndCountsUp) {
  SpeakerOptions o = two_spurts();
  o.padding_burst = 50;
  Speaker speaker(o, 1);
  const auto packets = all(speaker);
  int count = 0;
  for (std::size_t i = 1; i < packets.size(); ++i) {
    if (packets[i].kind == Packet::Kind::padding) {
      ++count;
      EXPECT_TRUE(packets[i].payload.empty());
      EXPECT_GT(packets[i].padding, 0);
      EXPECT_EQ(packets[i].timestamp, packets[i - 1].timestamp);
    }
  }
  EXPECT_EQ(count, 100);
}

TEST(Speaker, RejoinStartsANewStreamAtTheNextSpurt) {
  Speaker speaker(two_spurts(), 1);
  const auto first = speaker.next();
  speaker.rejoin(78, 2s);
  const auto after = speaker.next();
  ASSERT_TRUE(first && after);
  EXPECT_EQ(after->ssrc, 78u);
  EXPECT_TRUE(after->first_of_spurt);
  EXPECT_EQ(after->due, Duration(3s));
}

TEST(Speaker, RefusesWhatOpusCannotDo) {
  SpeakerOptions o = two_spurts();
  o.frame_ticks = {441};
  EXPECT_THROW(Speaker(o, 1), std::invalid_argument);
  o = two_spurts();
  o.spurts[0].pcm = nullptr;
  EXPECT_THROW(Speaker(o, 1), std::invalid_argument);
}

TEST(AudioLevel, IsMinusDbov) {
  EXPECT_EQ(audio_level(std::vector<std::int16_t>(960, 0)), 127);
  EXPECT_EQ(audio_level(std::vector<std::int16_t>(960, -32768)), 0);
  EXPECT_EQ(audio_level(std::vector<std::int16_t>(960, 3277)), 20);
}
