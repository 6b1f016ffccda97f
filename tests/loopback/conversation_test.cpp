#include "speaker_plan.hpp"

#include "audio_files.hpp"

#include <gst/gst.h>
#include <gtest/gtest.h>
#include <opus/opus.h>
#include <cmath>

using namespace discord;
using namespace discord::loopback;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

class Conversation : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
  void SetUp() override {
    if (installed_voices().empty()) {
      GTEST_SKIP() << no_voices_hint();
    }
  }
};

// Energy of both signals in 20 ms steps, compared: what survives a speech codec whatever it does to
// the phase.
double envelope_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const std::size_t n = std::min(a.size(), b.size());
  double ma = 0;
  double mb = 0;
  for (std::size_t i = 0; i < n; ++i) {
    ma += a[i] / static_cast<double>(n);
    mb += b[i] / static_cast<double>(n);
  }
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < n; ++i) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
  }
  return ab / std::sqrt(aa * bb + 1e-12);
}

}  // namespace

TEST_F(Conversation, PeopleTalkInTurnAndRepeatBySeed) {
  PlanOptions plan;
  plan.speakers = 9;
  auto a = make_conversation(plan);
  auto b = make_conversation(plan);
  ASSERT_TRUE(a && b);
  ASSERT_EQ(a->size(), 9u);
  std::vector<std::string> names;
  Duration last_first{-1};
  for (std::size_t i = 0; i < a->size(); ++i) {
    const SpeakerOptions& s = (*a)[i].speaker;
    EXPECT_EQ(std::count(names.begin(), names.end(), s.name), 0) << s.name;
    names.push_back(s.name);
    ASSERT_EQ(s.spurts.size(), 3u);
    EXPECT_GT(s.spurts[0].start, last_first);
    last_first = s.spurts[0].start;
    EXPECT_GT(s.repeat, s.spurts[2].start);
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(s.spurts[k].start, (*b)[i].speaker.spurts[k].start);
      EXPECT_EQ(s.spurts[k].pcm->name, (*b)[i].speaker.spurts[k].pcm->name);
    }
  }
}

TEST_F(Conversation, RecordedSpeechComesBackFromTheEncoder) {
  PlanOptions plan;
  plan.speakers = 3;
  plan.turns = 1;
  plan.repeat = false;
  auto talkers = make_conversation(plan);
  ASSERT_TRUE(talkers);
  for (const TalkerOptions& t : *talkers) {
    Speaker speaker(t.speaker, 1);
    const Spurt& spurt = t.speaker.spurts[0];
    int error = 0;
    OpusDecoder* decoder = opus_decoder_create(sample_rate, 1, &error);
    std::vector<float> pcm(5760);
    std::vector<double> heard;
    std::vector<double> source;
    bool hybrid = false;
    while (auto p = speaker.next()) {
      if (p->kind != Packet::Kind::speech) {
        continue;
      }
      hybrid = hybrid || (p->payload[0] >> 3) == 15;
      const int got =
          opus_decode_float(decoder, p->payload.data(), static_cast<opus_int32>(p->payload.size()),
                            pcm.data(), 5760, 0);
      ASSERT_EQ(got, 960);
      double out = 0;
      double in = 0;
      for (int i = 0; i < got; ++i) {
        out += std::pow(pcm[static_cast<std::size_t>(i)], 2);
        const std::size_t at = (p->pcm_frame + static_cast<std::size_t>(i)) *
                               static_cast<std::size_t>(spurt.pcm->channels);
        in += at < spurt.pcm->samples.size() ? std::pow(spurt.pcm->samples[at] / 32768.0, 2) : 0;
      }
      heard.push_back(std::sqrt(out));
      source.push_back(std::sqrt(in));
    }
    opus_decoder_destroy(decoder);
    EXPECT_TRUE(hybrid) << "full-band hybrid, 20 ms, as native clients send";
    EXPECT_GT(envelope_correlation(source, heard), 0.9) << t.speaker.name;
  }
}

TEST_F(Conversation, SpeakersFileSaysWhatIsWrong) {
  const std::string file = installed_voices()[0].files[0];
  const SpeakerOptions defaults;
  const auto good = talker_from_json({{"name", "A"},
                                      {"files", {file, file}},
                                      {"start", 1.5},
                                      {"gap", 2},
                                      {"frame_ms", {2.5, 60}},
                                      {"announce", "late"},
                                      {"timestamps", "freeze"},
                                      {"channels", "stereo"},
                                      {"user_id", "42"}},
                                     defaults);
  ASSERT_TRUE(good) << good.error();
  const SpeakerOptions& s = good.value().speaker;
  EXPECT_EQ(s.user_id, 42u);
  EXPECT_EQ(s.frame_ticks, (std::vector<int>{120, 2880}));
  ASSERT_EQ(s.spurts.size(), 2u);
  EXPECT_EQ(s.spurts[0].start, Duration(1500ms));
  EXPECT_GT(s.spurts[1].start, Duration(3500ms));
  EXPECT_EQ(good.value().announce, Announce::late);
  for (const json& wrong :
       {json(1), json{{"nmae", "A"}}, json{{"user_id", 5}}, json{{"user_id", "5x"}},
        json{{"frame_ms", 21}}, json{{"channels", "quad"}}, json{{"announce", "never"}},
        json{{"timestamps", "stop"}}, json{{"files", {"/nowhere.wav"}}}, json{{"bitrate", "x"}}}) {
    const auto refused = talker_from_json(wrong, defaults);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_FALSE(refused.error().empty());
  }
  EXPECT_FALSE(talkers_from_json(json::object(), defaults));
}
