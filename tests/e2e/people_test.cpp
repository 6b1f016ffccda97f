// Who is in the call: many at once, latecomers, people who leave and return, SSRCs nobody
// announced.
#include "suite.hpp"

#include <set>

namespace discord::e2e {

using namespace loopback;
using namespace std::chrono_literals;
using nlohmann::json;

class PeopleInACall : public Suite {
 protected:
  static void SetUpTestSuite() {
    if (!can_talk()) {
      return;
    }
    begin("crowd", {.server = call_of(12, 2)});
    begin("latecomer", {.server = call_of(1), .during = join});
    begin("rejoin", {.server = rejoin()});
    begin("unannounced", {.server = unannounced()});
    begin("nobody", {.server = call_of(0)});
    begin("mp3", {.server = call_of(2, 2), .recorder = "format=mp3"});
  }

  static std::uint64_t user(std::size_t index) { return person({.index = index}).speaker.user_id; }

  static void join(const Live& live) {
    live.wait_for_packets(100);
    live.server.add_speaker(person({.index = 1, .spurts = 2}));
  }

  // The first person leaves in the middle of the second spurt and comes back with a new SSRC.
  static Options rejoin() {
    Options options = call_of(2);
    options.script.push_back({3000ms, json{{"do", "leave"}, {"user_id", std::to_string(user(0))}}});
    options.script.push_back(
        {3400ms, json{{"do", "rejoin"}, {"user_id", std::to_string(user(0))}, {"ssrc", 123456}}});
    return options;
  }

  // RTP comes 0.8 s before anybody says whose SSRC it is.
  static Options unannounced() {
    Options options = call_of(2, 2);
    options.calls[0].talkers[0].announce = Announce::late;
    options.calls[0].talkers[1].announce = Announce::early;
    options.script.push_back(
        {1100ms, json{{"do", "announce"}, {"user_id", std::to_string(user(0))}}});
    return options;
  }
};

TEST_F(PeopleInACall, TwelveAtOnce) {
  const Verdict verdict = judge("crowd");
  EXPECT_EQ(verdict.spurts.size(), 24u);
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(outcome("crowd").files.size(), 12u);
}

TEST_F(PeopleInACall, ALatecomersFileBeginsWithTheOthers) {
  const Verdict verdict = judge("latecomer");
  EXPECT_EQ(verdict.spurts.size(), 5u);
  EXPECT_EQ(outcome("latecomer").files.size(), 2u);
}

TEST_F(PeopleInACall, WhoComesBackWithANewSsrcKeepsTheFile) {
  const Verdict verdict = judge("rejoin");
  EXPECT_EQ(verdict.spurts.size(), 6u);
  EXPECT_EQ(outcome("rejoin").files.size(), 2u);
  std::set<std::uint32_t> ssrcs;
  for (const Passed& p : outcome("rejoin").passed) {
    ssrcs.insert(p.ssrc);
  }
  EXPECT_EQ(ssrcs.size(), 3u);
}

TEST_F(PeopleInACall, WordsBeforeTheAnnouncementAreRecorded) {
  const Verdict verdict = judge("unannounced");
  EXPECT_EQ(verdict.spurts.size(), 4u);
  EXPECT_EQ(verdict.missing, 0u);
  for (const FoundSpurt& s : verdict.spurts) {
    EXPECT_EQ(s.lost, 0u) << s.speaker << " spurt " << s.number;
  }
}

TEST_F(PeopleInACall, NobodySpeaks) {
  judge("nobody");
  EXPECT_TRUE(outcome("nobody").on_disk.empty());
  EXPECT_TRUE(outcome("nobody").errors.empty());
}

TEST_F(PeopleInACall, Mp3) {
  const Verdict verdict = judge("mp3", {.lossy = true});
  EXPECT_EQ(verdict.spurts.size(), 4u);
}

}  // namespace discord::e2e
