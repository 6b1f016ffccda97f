// End-to-end encrypted calls: what was said is in the files, whoever comes and goes meanwhile.
#include "suite.hpp"

#include <algorithm>

namespace discord::e2e {

using namespace loopback;
using namespace std::chrono_literals;
using nlohmann::json;

class EncryptedCall : public Suite {
 protected:
  static void SetUpTestSuite() {
    if (!can_talk()) {
      return;
    }
    begin("three", {.server = encrypted(3)});
    begin("comings and goings", {.server = comings_and_goings()});
    begin("lossy", {.server = lossy()});
    begin("passthrough", {.server = passthrough()});
    begin("forged", {.server = forged()});
    begin("three in workers", {.server = encrypted(3), .receiver = workers});
    begin("goings in workers", {.server = comings_and_goings(), .receiver = workers});
    begin("forged in workers", {.server = forged(), .receiver = workers});
  }

  static constexpr const char* workers = "discordworkerdec name=dec decode=false";

  static std::uint64_t user(std::size_t index) { return person({.index = index}).speaker.user_id; }

  static Options encrypted(std::size_t people, int spurts = 3) {
    Options options = call_of(people, spurts);
    options.dave.delivery.version = 1;
    return options;
  }

  static json command(const char* what, std::uint64_t who) {
    return json{{"do", what}, {"user_id", std::to_string(who)}};
  }

  // The second person leaves in mid-call and comes back with a new SSRC and a new key package.
  static Options comings_and_goings() {
    Options options = encrypted(3);
    options.script.push_back({3000ms, command("leave", user(1))});
    json back = command("rejoin", user(1));
    back["ssrc"] = 123456;
    options.script.push_back({3600ms, back});
    return options;
  }

  static Options lossy() {
    Options options = encrypted(2);
    options.calls[0].network.loss = 5;
    options.calls[0].network.reorder = 5;
    return options;
  }

  static Options passthrough() {
    Options options = encrypted(1);
    options.dave.speakers.passthrough = 5;
    return options;
  }

  static Options forged() {
    Options options = encrypted(1);
    options.script.push_back({1500ms, json{{"do", "dave-forge"}, {"count", 20}}});
    options.script.push_back({2000ms, json{{"do", "dave-replay"}, {"count", 20}}});
    return options;
  }

  static bool said(const Outcome& outcome, const char* message) {
    return std::find(outcome.elements.begin(), outcome.elements.end(), message) !=
           outcome.elements.end();
  }
  // Packets that arrived whole and were not opened.
  static std::uint64_t unopened(const Outcome& outcome) {
    std::uint64_t sum = 0;
    for (const char* cause : {"no-user", "no-key", "bad-tag", "not-a-frame", "replayed"}) {
      sum += outcome.decrypt.at(cause);
    }
    return sum;
  }
};

TEST_F(EncryptedCall, ThreePeopleToFiles) {
  const Verdict verdict = judge("three");
  const Outcome call = outcome("three");
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(call.files.size(), 3u);
  EXPECT_TRUE(said(call, "discord-e2ee"));
  EXPECT_EQ(unopened(call), 0u) << "a good frame was refused";
}

TEST_F(EncryptedCall, OneLeavesAndOneJoinsInMidCall) {
  const Verdict verdict = judge("comings and goings");
  const Outcome call = outcome("comings and goings");
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(call.files.size(), 3u) << "one file a user, whatever becomes of the SSRC";
  EXPECT_EQ(unopened(call), 0u) << "a good frame was refused";
}

TEST_F(EncryptedCall, NothingIsLostButWhatTheNetworkLost) {
  judge("lossy");
  EXPECT_EQ(unopened(outcome("lossy")), 0u) << "a good frame was refused";
}

TEST_F(EncryptedCall, FramesInTheClearAreCountedAndNeverPlayed) {
  const Outcome call = outcome("passthrough");
  ASSERT_EQ(call.problem, "");
  std::uint64_t plain = 0;
  for (const FrameRecord& record : call.truth.at(0).records) {
    plain += record.protection == Protection::passthrough && record.delivered() ? 1 : 0;
  }
  EXPECT_GT(plain, 0u);
  EXPECT_EQ(call.decrypt.at("not-a-frame"), plain);
  EXPECT_EQ(unopened(call), plain);
}

TEST_F(EncryptedCall, ForgedAndReplayedFramesChangeNothing) {
  const Verdict verdict = judge("forged");
  const Outcome call = outcome("forged");
  EXPECT_EQ(call.decrypt.at("bad-tag"), 20u);
  EXPECT_EQ(call.decrypt.at("replayed"), 20u);
  EXPECT_EQ(verdict.missing, 40u) << "more than those was not played";
  EXPECT_EQ(call.errors.size(), 0u);
}

TEST_F(EncryptedCall, ThreePeopleThroughWorkers) {
  const Verdict verdict = judge("three in workers");
  const Outcome call = outcome("three in workers");
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(call.files.size(), 3u);
  EXPECT_EQ(unopened(call), 0u) << "a good frame was refused";
  EXPECT_TRUE(said(call, "discord-worker"));
  EXPECT_TRUE(said(call, "discord-stats"));
}

TEST_F(EncryptedCall, OneLeavesAndOneJoinsThroughWorkers) {
  const Verdict verdict = judge("goings in workers");
  const Outcome call = outcome("goings in workers");
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(call.files.size(), 3u) << "one file a user, whatever becomes of the SSRC";
  EXPECT_EQ(unopened(call), 0u) << "a good frame was refused";
}

TEST_F(EncryptedCall, ForgedAndReplayedFramesChangeNothingInWorkers) {
  const Verdict verdict = judge("forged in workers");
  const Outcome call = outcome("forged in workers");
  EXPECT_EQ(call.decrypt.at("bad-tag"), 20u);
  EXPECT_EQ(call.decrypt.at("replayed"), 20u);
  EXPECT_EQ(verdict.missing, 40u) << "more than those was not played";
  EXPECT_EQ(call.errors.size(), 0u);
}

}  // namespace discord::e2e
