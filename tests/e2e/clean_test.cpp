// Calls over a network that loses nothing: every file holds what was said, where it was said.
#include "suite.hpp"

namespace discord::e2e {

using namespace loopback;

class CleanCalls : public Suite {
 protected:
  static void SetUpTestSuite() {
    if (!can_talk()) {
      return;
    }
    begin("habits", {.server = call_of(4)});
    begin("frames", {.server = frames()});
    begin("padding", {.server = padding()});
    begin("wrap", {.server = wrap()});
  }

  static Options frames() {
    Options options = call_of(7, 2);
    const std::vector<int> sizes[] = {
        {120}, {240}, {480}, {960}, {1920}, {2880}, {960, 120, 2880, 480, 1920, 240}};
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
      SpeakerOptions& s = options.calls[0].talkers[i].speaker;
      s.frame_ticks = sizes[i];
      s.channels = Channels::alternate;
    }
    return options;
  }

  static Options padding() {
    Options options = call_of(3);
    auto& talkers = options.calls[0].talkers;
    talkers[0].speaker.padding = 100;
    talkers[1].speaker.padding_burst = 50;
    talkers[1].speaker.extension = false;
    talkers[2].speaker.dtx_tail = std::chrono::milliseconds(300);
    talkers[2].speaker.fewer_silence = 100;
    talkers[2].speaker.padding_burst = 10;
    return options;
  }

  static Options wrap() {
    Options options = call_of(2);
    for (auto& talker : options.calls[0].talkers) {
      talker.speaker.first_sequence = 65500;
      talker.speaker.first_timestamp = 0xFFFFFFFFu - 48000;
    }
    return options;
  }
};

TEST_F(CleanCalls, BothTimestampHabitsLieWhereTheyWereSpoken) {
  const Verdict verdict = judge("habits");
  EXPECT_EQ(verdict.spurts.size(), 12u);
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_TRUE(outcome("habits").errors.empty());
  EXPECT_TRUE(outcome("habits").warnings.empty());
}

TEST_F(CleanCalls, AllFrameLengthsAndChangingChannels) {
  EXPECT_EQ(judge("frames").spurts.size(), 14u);
}

TEST_F(CleanCalls, PaddingExtensionAndDtxLeaveNoTrace) {
  EXPECT_EQ(judge("padding").spurts.size(), 9u);
  EXPECT_GT(outcome("padding").decrypt["padding-only"], 100u);
}

TEST_F(CleanCalls, NumbersThatWrap) {
  EXPECT_EQ(judge("wrap").spurts.size(), 6u);
}

}  // namespace discord::e2e
