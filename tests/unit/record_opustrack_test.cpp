// Opus passed through: every packet where the timeline puts it, silence between.
#include "record/opustrack.hpp"

#include "media/opus_packet.hpp"

#include <gtest/gtest.h>
#include <opus/opus.h>
#include <cmath>
#include <memory>
#include <random>

namespace discord::record {
namespace {

Bytes voice(std::uint8_t toc = 0x78) {
  return {toc, 1, 2, 3, 4, 5, 6, 7};
}

std::int64_t total(const OpusTrack::Packets& packets) {
  std::int64_t sum = 0;
  for (const auto& p : packets) {
    const auto parsed = media::parse_opus_packet(p.bytes);
    EXPECT_TRUE(parsed) << "every packet is one";
    EXPECT_EQ(parsed ? parsed->duration : 0, p.samples) << "and says how long it is";
    sum += p.samples;
  }
  return sum;
}

TEST(OpusTrack, TheLeadInIsWhatDecodersThrowAway) {
  EXPECT_EQ(total(OpusTrack::lead_in()), OpusTrack::pre_skip);
}

TEST(OpusTrack, APacketAfterAPauseIsAtMost60SamplesOff) {
  std::mt19937 random(7);
  OpusTrack track;
  std::int64_t place = 0;
  for (int i = 0; i < 2000; i++) {
    place += 960 + 500 + static_cast<std::int64_t>(random() % 200000);
    OpusTrack::Packets out;
    track.packet(voice(), 960, place, false, out);
    ASSERT_EQ(total(out), track.position() - (track.position() - total(out)));
    const std::int64_t put = track.position() - 960;
    ASSERT_LE(std::abs(put - place), 60) << i;
    ASSERT_EQ(out.back().bytes, voice());
    place = put;
  }
}

TEST(OpusTrack, PacketsOfASpurtFollowEachOtherWithoutASeam) {
  OpusTrack track;
  OpusTrack::Packets out;
  track.packet(voice(), 960, 1000, false, out);
  out.clear();
  for (int i = 1; i < 50; i++) {
    track.packet(voice(), 960, 1000 + 960 * i + (i > 20 ? 120 : 0), false, out);
  }
  EXPECT_EQ(out.size(), 49u) << "a drift step is left for the next silence";
}

TEST(OpusTrack, DriftIsTakenOutInSilence) {
  for (const std::int64_t drift : {-300, 300}) {
    OpusTrack track;
    OpusTrack::Packets out;
    track.packet(voice(), 960, 0, false, out);
    for (int i = 1; i < 20; i++) {
      track.packet(voice(), 960, 960 * i + drift * i / 20, false, out);
    }
    const Bytes silence = {0xf8, 0xff, 0xfe};
    for (int i = 20; i < 25; i++) {
      track.packet(silence, 960, 960 * i + drift, true, out);
    }
    out.clear();
    track.packet(voice(), 960, 960 * 25 + drift, false, out);
    EXPECT_LE(std::abs(track.position() - 960 - (960 * 25 + drift)), 60) << drift;
  }
}

TEST(OpusTrack, ASenderThatNeverPausesIsNeverFarOff) {
  for (const int frame : {120, 240, 480, 960, 1920, 2880, 5760}) {
    for (const double ppm : {-200.0, 200.0}) {
      OpusTrack track;
      std::int64_t worst = 0;
      for (std::int64_t i = 0; i < 3600LL * 48000 / frame / 10; i++) {
        OpusTrack::Packets out;
        const auto place =
            static_cast<std::int64_t>(static_cast<double>(i * frame) * (1 + ppm * 1e-6));
        track.packet(voice(), static_cast<std::uint32_t>(frame), place, false, out);
        worst = std::max(worst, std::abs(track.position() - frame - place));
      }
      EXPECT_LE(worst, std::max<std::int64_t>(OpusTrack::most_off, frame / 2) + frame) << frame;
    }
  }
}

TEST(OpusTrack, LossesAreFramesWithoutContentOfTheSameKind) {
  OpusTrack track;
  OpusTrack::Packets out;
  track.packet(voice(0x78), 960, 0, false, out);
  out.clear();
  track.lost(960, 2880, out);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, (Bytes{0x78 | 3, 3}));
  EXPECT_EQ(track.position(), 3840);
  out.clear();
  track.packet(voice(0x78), 960, 3840, false, out);
  EXPECT_EQ(out.size(), 1u);
}

TEST(OpusTrack, ALongLossIsConcealedFor120MsAndThenSilent) {
  OpusTrack track;
  OpusTrack::Packets out;
  track.packet(voice(), 960, 0, false, out);
  track.lost(960, 960 * 10, out);
  out.erase(out.begin());
  EXPECT_EQ(total(out), media::opus_max_duration);
  EXPECT_EQ(out.at(0).bytes[0] & 0xfc, voice()[0] & 0xfc) << "more of what was said before";
  track.packet(voice(), 960, 960 * 11, false, out);
  EXPECT_EQ(track.position(), 960 * 12);
  EXPECT_NE(out.at(1).bytes[0] & 0xfc, voice()[0] & 0xfc);
}

TEST(OpusTrack, APauseIsNotConcealed) {
  OpusTrack track;
  OpusTrack::Packets out;
  track.packet(voice(), 960, 0, false, out);
  out.clear();
  track.packet(voice(), 960, 960 * 11, false, out);
  for (std::size_t i = 0; i + 1 < out.size(); i++) {
    EXPECT_NE(out[i].bytes[0] & 0xfc, voice()[0] & 0xfc) << i;
  }
}

// Of a damaged journal, or made up.
TEST(OpusTrack, APlaceThatNoRecordingHasIsRefused) {
  OpusTrack track;
  OpusTrack::Packets out;
  for (const std::int64_t far : {INT64_MAX, INT64_MIN, OpusTrack::max_fill + 1}) {
    track.packet(voice(), 960, far, false, out);
    track.lost(far, 960, out);
    track.silence_until(far, out);
    track.end(far, out);
  }
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(track.left_out(), 3u);
  track.packet(voice(), 960, 0, false, out);
  EXPECT_EQ(out.size(), 1u);
}

TEST(OpusTrack, AnHourOfSilenceIsThirtyThousandPackets) {
  OpusTrack track;
  OpusTrack::Packets out;
  track.end(std::int64_t{48000} * 3600, out);
  EXPECT_EQ(total(out), std::int64_t{48000} * 3600);
  EXPECT_LE(out.size(), 30010u);
}

TEST(OpusTrack, TheEndIsTheNextPointOfTheGrid) {
  OpusTrack track;
  OpusTrack::Packets out;
  track.end(100001, out);
  EXPECT_EQ(track.position(), 100080);
  EXPECT_EQ(total(out), 100080);
}

// What a decoder makes of it: a tone where it was put, and nothing at all between.
TEST(OpusTrack, DecodersHearSilenceBetween) {
  int error = 0;
  std::unique_ptr<OpusEncoder, void (*)(OpusEncoder*)> encoder(
      opus_encoder_create(48000, 1, OPUS_APPLICATION_VOIP, &error), opus_encoder_destroy);
  OpusTrack track;
  OpusTrack::Packets out = OpusTrack::lead_in();
  double phase = 0;
  for (int spurt = 0; spurt < 3; spurt++) {
    for (int i = 0; i < 30; i++) {
      std::vector<std::int16_t> pcm(960);
      for (auto& v : pcm) {
        phase += 0.1;
        v = static_cast<std::int16_t>(6000 * std::sin(phase) + 2000 * std::sin(7.3 * phase));
      }
      Bytes packet(1000);
      packet.resize(static_cast<std::size_t>(
          opus_encode(encoder.get(), pcm.data(), 960, packet.data(), 1000)));
      track.packet(packet, 960, spurt * 96000 + 1000 + 960 * i, false, out);
    }
  }
  track.end(3 * 96000, out);
  std::unique_ptr<OpusDecoder, void (*)(OpusDecoder*)> decoder(
      opus_decoder_create(48000, 1, &error), opus_decoder_destroy);
  std::vector<std::int16_t> heard;
  for (const auto& p : out) {
    std::vector<std::int16_t> pcm(p.samples);
    ASSERT_EQ(opus_decode(decoder.get(), p.bytes.data(), static_cast<opus_int32>(p.bytes.size()),
                          pcm.data(), static_cast<int>(p.samples), 0),
              static_cast<int>(p.samples));
    heard.insert(heard.end(), pcm.begin(), pcm.end());
  }
  heard.erase(heard.begin(), heard.begin() + OpusTrack::pre_skip);
  ASSERT_EQ(heard.size(), 3u * 96000);
  for (int spurt = 0; spurt < 3; spurt++) {
    double loud = 0;
    int rest = 0;
    for (std::size_t i = 0; i < 96000; i++) {
      const int v = heard[static_cast<std::size_t>(spurt) * 96000 + i];
      if (i >= 1000 && i < 1000 + 28800) {
        loud += static_cast<double>(v) * v;
      } else if (i > 1000 + 28800 + 960) {
        rest = std::max(rest, std::abs(v));
      }
    }
    EXPECT_GT(std::sqrt(loud / 28800), 2000);
    EXPECT_LE(rest, 1) << spurt;
  }
}

}  // namespace
}  // namespace discord::record
