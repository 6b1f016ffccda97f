// Calls over a network that loses, reorders, repeats and delays, and connections that break.
//
// What a lost packet held cannot come back. So a spurt is compared with what libopus makes of the
// packets that did arrive, in order, concealing those that did not: 0.95 must hold there whatever
// was lost. The correlation with the loss-free decode is printed beside it, and required where so
// little was lost that it must be high.
#include "suite.hpp"

namespace discord::e2e {

using namespace loopback;
using namespace std::chrono_literals;
using nlohmann::json;

class BadNetwork : public Suite {
 protected:
  static void SetUpTestSuite() {
    if (!can_talk()) {
      return;
    }
    begin("loss", {.server = lossy(0)});
    begin("bursts", {.server = bursts()});
    begin("resume", {.server = resume(0)});
    begin("resume-loss", {.server = resume(5)});
    begin("noise", {.server = noise()});
    begin("paused", {.server = call_of(2), .during = pause});
  }

  // 5 % lost, 5 % late by 60 ms.
  static Options lossy(std::uint64_t seed) {
    Options options = call_of(4);
    options.seed = 7 + seed;
    options.calls[0].network.loss = 5;
    options.calls[0].network.reorder = 5;
    return options;
  }

  static Options bursts() {
    Options options = call_of(3);
    NetworkOptions& network = options.calls[0].network;
    network.loss = 5;
    network.loss_burst = 4;
    network.reorder = 3;
    network.duplicate = 10;
    network.jitter = 30ms;
    return options;
  }

  // The TCP connection ends in the middle of the second spurts.
  static Options resume(double loss) {
    Options options = call_of(2);
    options.tls = true;
    options.calls[0].network.loss = loss;
    options.calls[0].network.reorder = loss;
    options.script.push_back({2800ms, json{{"do", "drop-socket"}}});
    return options;
  }

  static Options noise() {
    Options options = call_of(3);
    options.noise.forged = 50;
    options.noise.video = true;
    options.noise.rtcp = 200ms;
    options.udp.keepalive_echo = true;
    options.calls[0].network.duplicate = 5;
    options.calls[0].talkers[1].video_ssrc = 900001;
    return options;
  }

  static void pause(const Live& live) {
    const auto source = live.element("src");
    live.wait_for_packets(100);
    g_object_set(source.get(), "receiving", FALSE, nullptr);
    live.wait_for_packets(150);
    g_object_set(source.get(), "receiving", TRUE, nullptr);
  }

  // Packets that arrived after their place had been given up; a machine under load reads late.
  static void expect_few_late(const std::string& name, const Verdict& verdict) {
    Outcome call = outcome(name);
    EXPECT_EQ(verdict.missing, call.reorder["late"]) << name;
    EXPECT_LE(verdict.missing * 50, call.server.delivered) << name;
  }

  static void expect_little_cost(const Verdict& verdict) {
    for (const FoundSpurt& s : verdict.spurts) {
      if (s.lost == 0) {
        EXPECT_GE(s.loss_free, 0.95) << s.speaker << " spurt " << s.number;
      }
    }
  }
};

TEST_F(BadNetwork, LossAndReordering) {
  const Verdict verdict = judge("loss");
  EXPECT_EQ(verdict.spurts.size(), 12u);
  expect_few_late("loss", verdict);
  expect_little_cost(verdict);
  std::uint64_t displaced = 0;
  std::uint64_t lost = 0;
  for (const SpeakerTruth& truth : outcome("loss").truth) {
    displaced += truth.displaced;
    lost += truth.lost;
  }
  EXPECT_GT(displaced, 0u);
  EXPECT_GT(lost, 0u);
}

TEST_F(BadNetwork, RunsOfLossDuplicatesAndJitter) {
  const Verdict verdict = judge("bursts");
  EXPECT_EQ(verdict.spurts.size(), 9u);
  expect_few_late("bursts", verdict);
  EXPECT_GT(outcome("bursts").decrypt["duplicate"], 0u);
}

TEST_F(BadNetwork, AResumeInTheMiddleOfASpurtLosesNothing) {
  const Verdict verdict = judge("resume");
  EXPECT_EQ(verdict.spurts.size(), 6u);
  EXPECT_EQ(verdict.missing, 0u);
  for (const FoundSpurt& s : verdict.spurts) {
    EXPECT_EQ(s.lost, 0u) << s.speaker << " spurt " << s.number;
  }
  EXPECT_EQ(outcome("resume").server.resumed, 1u);
  EXPECT_TRUE(outcome("resume").errors.empty());
  EXPECT_TRUE(outcome("resume").server.complaints.empty());
}

TEST_F(BadNetwork, AResumeOverALossyNetworkLosesOnlyWhatTheNetworkLost) {
  const Verdict verdict = judge("resume-loss");
  EXPECT_EQ(verdict.spurts.size(), 6u);
  expect_few_late("resume-loss", verdict);
  EXPECT_EQ(outcome("resume-loss").server.resumed, 1u);
}

TEST_F(BadNetwork, ForgeriesVideoRtcpAndEchoesChangeNothing) {
  const Verdict verdict = judge("noise");
  EXPECT_EQ(verdict.spurts.size(), 9u);
  EXPECT_EQ(verdict.missing, 0u);
  Outcome call = outcome("noise");
  EXPECT_GT(call.decrypt["bad-tag"], 100u);
  EXPECT_GT(call.decrypt["not-audio"], 100u);
  EXPECT_GT(call.decrypt["duplicate"], 0u);
  EXPECT_TRUE(call.errors.empty());
  EXPECT_TRUE(call.warnings.empty());
}

TEST_F(BadNetwork, APauseOfReceivingIsAGapOfTheSameLength) {
  const Verdict verdict = judge("paused");
  EXPECT_EQ(verdict.spurts.size(), 6u);
  EXPECT_GT(verdict.missing, 20u);
  // Everything that is missing was thrown away on purpose.
  EXPECT_EQ(verdict.missing, outcome("paused").source["paused"]);
}

}  // namespace discord::e2e
