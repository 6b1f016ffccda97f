// Utterances from samples.
#include "record/segments.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace {

using namespace discord;
using namespace discord::record;

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
