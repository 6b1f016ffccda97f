// Streams without holes from packets with pauses, and utterances from samples.
#include "media/opus_decoder.hpp"
#include "media/opus_packet.hpp"
#include "record/grid_track.hpp"
#include "record/segments.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

using namespace discord;
using namespace discord::record;

struct Piece {
  std::int64_t begin;
  std::uint32_t samples;
  Bytes opus;
};

class Track : public ::testing::Test {
 protected:
  std::vector<Piece> pieces_;
  GridTrack track_{[this](std::int64_t begin, std::uint32_t samples, ByteSpan opus) {
    pieces_.push_back({begin, samples, Bytes(opus.begin(), opus.end())});
  }};
  const Bytes sound_ = {0x78, 1, 2, 3};  // 20 ms
  const Bytes silence_ = {0xf8, 0xff, 0xfe};

  void TearDown() override {
    std::int64_t end = 0;
    for (const Piece& p : pieces_) {
      EXPECT_EQ(p.begin, end) << "no holes";
      const auto parsed = media::parse_opus_packet(p.opus);
      ASSERT_TRUE(parsed.ok());
      EXPECT_EQ(parsed->duration, p.samples) << "a packet is as long as it says";
      end += p.samples;
    }
    EXPECT_EQ(end, track_.position());
  }
  std::vector<std::int64_t> places() const {
    std::vector<std::int64_t> out;
    for (const Piece& p : pieces_) {
      if (p.opus == sound_) {
        out.push_back(p.begin);
      }
    }
    return out;
  }
};

TEST_F(Track, PacketsBackToBackPassUnchanged) {
  for (int i = 0; i < 5; i++) {
    EXPECT_TRUE(track_.packet(i * 960, sound_, false));
  }
  EXPECT_EQ(pieces_.size(), 5u);
}

TEST_F(Track, PausesAreFilledToTheGrid) {
  std::mt19937 random(1);
  std::int64_t at = 0;
  std::vector<std::int64_t> wanted;
  for (int i = 0; i < 500; i++) {
    at += std::uniform_int_distribution<std::int64_t>(960, 30000)(random);
    wanted.push_back(at);
    EXPECT_TRUE(track_.packet(at, sound_, false));
  }
  const auto got = places();
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); i++) {
    EXPECT_LE(std::abs(got[i] - wanted[i]), GridTrack::grid / 2) << i;
  }
}

TEST_F(Track, ALossIsConcealedAndThenSilent) {
  track_.packet(0, sound_, false);
  track_.lost(960, 960 * 10);
  track_.packet(960 * 11, sound_, false);
  std::size_t concealed = 0;
  for (const Piece& p : pieces_) {
    concealed += p.opus.size() == 1 ? 1 : 0;
  }
  EXPECT_EQ(concealed, 6u) << "120 ms at most";
  EXPECT_EQ(places().back(), 960 * 11);
}

TEST_F(Track, APauseIsNotConcealed) {
  track_.packet(0, sound_, false);
  track_.packet(960 * 11, sound_, false);
  EXPECT_TRUE(std::none_of(pieces_.begin(), pieces_.end(),
                           [](const Piece& p) { return p.opus.size() == 1; }));
}

TEST_F(Track, ASenderWithAFastClockIsGivenBackItsLeadInSilence) {
  // 2000 ppm, to see it in a short test: 10 s of speech are 20 ms more than they should be.
  std::int64_t at = 0;
  for (int i = 0; i < 500; i++) {
    track_.packet(at, sound_, false);
    at += 958;
  }
  EXPECT_EQ(track_.position() - at, 1000);
  track_.packet(at, silence_, true);  // left out
  EXPECT_EQ(track_.position() - at, 1000);
  track_.packet(at + 960, silence_, true);
  EXPECT_LE(track_.position() - (at + 1920), 120);
}

TEST_F(Track, TheEndIsOnTheGrid) {
  track_.packet(0, sound_, false);
  track_.finish(48000 * 3600);
  EXPECT_EQ(track_.position(), std::int64_t{48000} * 3600);
  EXPECT_LT(pieces_.size(), 30010u);
  track_.finish(48000);
  EXPECT_EQ(track_.position(), std::int64_t{48000} * 3600);
}

TEST_F(Track, NonsenseIsRefused) {
  EXPECT_FALSE(track_.packet(0, {}, false));
  EXPECT_FALSE(track_.packet(INT64_MAX, sound_, false));
  track_.finish(INT64_MAX);
  EXPECT_TRUE(track_.packet(INT64_MIN / 4, sound_, false)) << "before the start: at the start";
  EXPECT_EQ(places(), std::vector<std::int64_t>{0});
}

TEST_F(Track, SilenceDecodesToSilence) {
  track_.finish(48000 + 120 + 240 + 480);
  Bytes slot(media::SpeakerDecoder::slot_size() + 16);
  const auto address = reinterpret_cast<std::uintptr_t>(slot.data());
  media::SpeakerDecoder decoder(MutableByteSpan(slot).subspan((16 - address % 16) % 16));
  std::vector<std::int16_t> pcm(media::opus_max_duration * 2);
  for (const Piece& p : pieces_) {
    ASSERT_EQ(decoder.decode(p.opus, pcm), p.samples);
    for (std::size_t i = 0; i < p.samples * 2; i++) {
      ASSERT_LE(std::abs(pcm[i]), 1);
    }
  }
}

// --- segments ---

SegmentSettings settings() {
  SegmentSettings s;
  s.gap = 100;
  s.max_length = 1000;
  s.min_length = 20;
  return s;
}

std::vector<std::int16_t> pcm(std::size_t n, std::int16_t value = 7) {
  return std::vector<std::int16_t>(n, value);
}

TEST(Segments, APauseEndsAnUtterance) {
  Segmenter s(settings());
  s.audio(1000, pcm(50));
  s.audio(1050, pcm(50));
  EXPECT_FALSE(s.next());
  s.quiet_until(1199);
  EXPECT_FALSE(s.next()) << "99 samples are no pause yet";
  s.quiet_until(1200);
  const auto segment = s.next();
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->start, 1000);
  EXPECT_EQ(segment->end, 1100);
  EXPECT_EQ(segment->pcm.size(), 100u);
  EXPECT_FALSE(segment->partial);
  EXPECT_FALSE(segment->cut);
  EXPECT_FALSE(s.next());
}

TEST(Segments, AShortPauseIsInside) {
  Segmenter s(settings());
  s.audio(0, pcm(50));
  s.audio(120, pcm(50));
  s.finish();
  const auto segment = s.next();
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->end, 170);
  EXPECT_EQ(segment->pcm[49], 7);
  EXPECT_EQ(segment->pcm[60], 0);
  EXPECT_EQ(segment->pcm[120], 7);
}

TEST(Segments, TheNextAudioEndsItToo) {
  Segmenter s(settings());
  s.audio(0, pcm(50));
  s.audio(500, pcm(50));
  const auto first = s.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->end, 50);
  s.finish();
  const auto second = s.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->start, 500);
  EXPECT_EQ(second->number, first->number + 1);
}

TEST(Segments, ALongOneIsCutWithoutLosingASample) {
  Segmenter s(settings());
  std::vector<std::int16_t> all(2500);
  for (std::size_t i = 0; i < all.size(); i++) {
    all[i] = static_cast<std::int16_t>(i);
  }
  s.audio(10, all);
  s.finish();
  std::vector<std::int16_t> back;
  std::vector<bool> cuts;
  std::int64_t at = 10;
  while (const auto segment = s.next()) {
    EXPECT_EQ(segment->start, at);
    at = segment->end;
    cuts.push_back(segment->cut);
    back.insert(back.end(), segment->pcm.begin(), segment->pcm.end());
  }
  EXPECT_EQ(back, all);
  EXPECT_EQ(cuts, (std::vector<bool>{true, true, false}));
}

TEST(Segments, AClickIsLeftOutAndCounted) {
  Segmenter s(settings());
  s.audio(0, pcm(10));
  s.finish();
  EXPECT_FALSE(s.next());
  EXPECT_EQ(s.clicks(), 1u);
}

TEST(Segments, PartialsGrowAndCarryTheNumberOfTheirUtterance) {
  SegmentSettings with = settings();
  with.partial_every = 100;
  Segmenter s(with);
  for (int i = 0; i < 5; i++) {
    s.audio(i * 60, pcm(60));
  }
  s.finish();
  std::vector<std::size_t> sizes;
  std::vector<bool> partial;
  while (const auto segment = s.next()) {
    EXPECT_EQ(segment->start, 0);
    EXPECT_EQ(segment->number, 0u);
    sizes.push_back(segment->pcm.size());
    partial.push_back(segment->partial);
  }
  EXPECT_EQ(sizes, (std::vector<std::size_t>{120, 240, 300}));
  EXPECT_EQ(partial, (std::vector<bool>{true, true, false}));
}

TEST(Segments, APartialOnRequest) {
  Segmenter s(settings());
  s.request_partial();
  EXPECT_FALSE(s.next()) << "of nothing there is none";
  s.audio(0, pcm(60));
  s.request_partial();
  const auto segment = s.next();
  ASSERT_TRUE(segment);
  EXPECT_TRUE(segment->partial);
  EXPECT_EQ(segment->pcm.size(), 60u);
}

TEST(Segments, AudioThatOverlapsIsTakenOnce) {
  Segmenter s(settings());
  s.audio(0, pcm(60, 1));
  s.audio(50, pcm(60, 2));
  s.audio(0, pcm(10, 3));
  s.finish();
  const auto segment = s.next();
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->pcm.size(), 110u);
  EXPECT_EQ(segment->pcm[59], 1);
  EXPECT_EQ(segment->pcm[60], 2);
}

}  // namespace
