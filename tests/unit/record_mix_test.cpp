// The sum of speakers and what keeps it below full scale.
#include "record/mixer.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <random>

namespace discord::record {
namespace {

std::vector<std::int16_t> noise(std::size_t frames, unsigned seed, int peak = 32767) {
  std::mt19937 random(seed);
  std::vector<std::int16_t> out(2 * frames);
  for (auto& v : out) {
    v = static_cast<std::int16_t>(static_cast<int>(random() % static_cast<unsigned>(2 * peak + 1)) -
                                  peak);
  }
  return out;
}

TEST(Mixer, OneAloneComesOutToTheBitWhateverThePieces) {
  Mixer mixer;
  mixer.open(1);
  const auto pcm = noise(10000, 1);
  std::vector<std::int16_t> out;
  std::mt19937 random(2);
  for (std::size_t at = 0; at < 10000;) {
    const std::size_t count = std::min<std::size_t>(1 + random() % 1500, 10000 - at);
    mixer.add(1, static_cast<std::int64_t>(at) + 77, {pcm.data() + 2 * at, 2 * count});
    at += count;
    mixer.take(mixer.complete(), out);
  }
  mixer.close(1);
  mixer.drain(10077, out);
  ASSERT_EQ(out.size(), 2u * 10077);
  EXPECT_TRUE(std::all_of(out.begin(), out.begin() + 154, [](auto v) { return v == 0; }));
  EXPECT_TRUE(std::equal(pcm.begin(), pcm.end(), out.begin() + 154));
}

TEST(Mixer, TwoAreAddedWhereTheyBelong) {
  Mixer mixer;
  mixer.open(1);
  mixer.open(2);
  const auto a = noise(2400, 1, 10000);
  const auto b = noise(1200, 2, 10000);
  std::vector<std::int16_t> out;
  mixer.add(2, 600, b);
  mixer.take(mixer.complete(), out);
  EXPECT_TRUE(out.empty()) << "the first has not said anything yet";
  mixer.add(1, 0, a);
  mixer.close(1);
  mixer.close(2);
  mixer.drain(2400, out);
  ASSERT_EQ(out.size(), 4800u);
  for (std::size_t i = 0; i < 4800; i++) {
    const int wanted = a[i] + (i >= 1200 && i < 3600 ? b[i - 1200] : 0);
    ASSERT_EQ(out[i], wanted) << i;
  }
}

TEST(Mixer, ManyAtFullScaleStayBelowTheCeiling) {
  Mixer mixer;
  std::vector<std::int16_t> out;
  for (Mixer::Id id = 1; id <= 20; id++) {
    mixer.open(id);
    mixer.add(id, 0, noise(48000, static_cast<unsigned>(id)));
  }
  mixer.take(mixer.complete(), out);
  for (Mixer::Id id = 1; id <= 20; id++) {
    mixer.close(id);
  }
  mixer.drain(48000, out);
  ASSERT_EQ(out.size(), 96000u);
  int peak = 0;
  for (const auto v : out) {
    peak = std::max(peak, std::abs(int{v}));
  }
  EXPECT_LE(peak, static_cast<int>(Limiter::ceiling) + 1);
  EXPECT_GT(peak, 10000) << "and are still heard";
}

TEST(Mixer, AGainFadesWithinABlock) {
  Mixer mixer;
  mixer.open(1);
  const std::vector<std::int16_t> flat(2 * 480, 10000);
  std::vector<std::int16_t> out;
  mixer.add(1, 0, flat);
  mixer.set_gain(1, 0.5);
  mixer.add(1, 480, flat);
  mixer.close(1);
  mixer.drain(960, out);
  EXPECT_EQ(out[2 * 479], 10000);
  EXPECT_GT(out[2 * 500], 9000);
  EXPECT_EQ(out[2 * 960 - 1], 5000);
  for (std::size_t i = 2 * 480; i < out.size(); i += 2) {
    ASSERT_LE(std::abs(out[i] - out[i - 2]), 30) << "no click";
  }
}

TEST(Mixer, AnHourOfSilenceHoldsNoMemoryAndWhatComesTooLateIsCounted) {
  Mixer mixer;
  mixer.open(1);
  const std::vector<std::int16_t> silence(2 * 48000);
  std::vector<std::int16_t> out;
  for (std::int64_t s = 0; s < 60; s++) {
    mixer.add(1, s * 48000, silence);
    out.clear();
    mixer.take(mixer.complete(), out);
    EXPECT_LE(out.size(), 2u * 48000 + 480);
  }
  mixer.open(2);
  mixer.add(2, 0, std::vector<std::int16_t>(2 * 960, 5));
  EXPECT_EQ(mixer.late(), 960u);
}

}  // namespace
}  // namespace discord::record
