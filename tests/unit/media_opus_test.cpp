#include "media/opus_packet.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::media;

namespace {

std::uint32_t duration_of(Bytes packet) {
  const auto opus = parse_opus_packet(packet);
  return opus ? opus.value().duration : 0;
}
OpusError refusal_of(Bytes packet) {
  const auto opus = parse_opus_packet(packet);
  EXPECT_FALSE(opus);
  return opus.error();
}
std::uint8_t toc(int config, int code, bool stereo = false) {
  return static_cast<std::uint8_t>(config << 3 | (stereo ? 4 : 0) | code);
}

}  // namespace

TEST(OpusPacket, DurationsOfAllConfigs) {
  const std::uint32_t expected[32] = {480,  960, 1920, 2880, 480, 960, 1920, 2880, 480, 960, 1920,
                                      2880, 480, 960,  480,  960, 120, 240,  480,  960, 120, 240,
                                      480,  960, 120,  240,  480, 960, 120,  240,  480, 960};
  for (int config = 0; config < 32; ++config) {
    EXPECT_EQ(duration_of({toc(config, 0), 1}), expected[config]) << config;
    EXPECT_EQ(duration_of({toc(config, 1), 1, 2}), 2 * expected[config]) << config;
    EXPECT_EQ(duration_of({toc(config, 2), 1, 2, 3}), 2 * expected[config]) << config;
  }
}

TEST(OpusPacket, ChannelsAndFrameCount) {
  const Bytes packet = {toc(31, 3, true), 6, 0};
  const auto opus = parse_opus_packet(packet);
  ASSERT_TRUE(opus);
  EXPECT_EQ(opus.value().channels, 2);
  EXPECT_EQ(opus.value().frames, 6);
  EXPECT_EQ(opus.value().duration, 5760u);
  EXPECT_EQ(duration_of({toc(28, 3), 48}), 5760u) << "48 frames of 2.5 ms are legal";
  EXPECT_EQ(duration_of({toc(28, 3), 0xC0 | 48}), 5760u) << "VBR and padding bits are not count";
}

TEST(OpusPacket, Refusals) {
  EXPECT_EQ(refusal_of({}), OpusError::empty);
  EXPECT_EQ(refusal_of({toc(31, 1), 1}), OpusError::uneven);
  EXPECT_EQ(refusal_of({toc(31, 3)}), OpusError::no_frame_count);
  EXPECT_EQ(refusal_of({toc(31, 3), 0xC0}), OpusError::bad_frame_count);
  EXPECT_EQ(refusal_of({toc(31, 3), 7}), OpusError::too_long);
  EXPECT_EQ(refusal_of({toc(28, 3), 49}), OpusError::too_long);
  EXPECT_EQ(refusal_of({toc(3, 3), 3}), OpusError::too_long);
}

TEST(OpusPacket, SilenceFrameIsExact) {
  EXPECT_TRUE(is_silence_frame(Bytes{0xF8, 0xFF, 0xFE}));
  EXPECT_TRUE(is_silence_frame(Bytes{0xFC, 0xFF, 0xFE}));
  EXPECT_FALSE(is_silence_frame(Bytes{0xF8, 0xFF, 0xFE, 0}));
  EXPECT_FALSE(is_silence_frame(Bytes{0xF8, 0xFF}));
  EXPECT_FALSE(is_silence_frame(Bytes{0xF0, 0xFF, 0xFE}));
  EXPECT_FALSE(is_silence_frame({}));
}
