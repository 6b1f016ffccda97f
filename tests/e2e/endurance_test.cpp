// A bot that is moved, and whose gateway breaks, again and again while people talk: the same files
// go on, and not a packet is unaccounted for. In short by default; docs/numbers.md says how to run
// the long form and what it gave.
#include "suite.hpp"

#include <cstdio>
#include <cstdlib>

namespace discord::e2e {

using namespace loopback;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

int number_from(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::atoi(text) : otherwise;
}

int moves() {
  return number_from("DISCORD_ENDURANCE_MOVES", 6);
}

// Where every spurt lies is judged in the long form, which takes a quiet machine.
Bounds bounds() {
  return {.places = std::getenv("DISCORD_ENDURANCE_MOVES") != nullptr};
}

int drops() {
  return number_from("DISCORD_ENDURANCE_DROPS", 12);
}

void be_moved(const Live& live) {
  for (int i = 0; i < moves() && !testing::Test::HasFailure(); ++i) {
    live.hear(20);
    const std::uint64_t described = live.server.status().described;
    // With a close code and without, told before and after.
    live.command(
        {{"do", "bot-move"}, {"events_first", i % 2 == 0}, {"code", i % 3 == 2 ? 0 : 4014}});
    live.wait_until([described](const Status& s) { return s.described > described; });
  }
  live.hear(20);
  live.command({{"do", "empty"}});  // nobody is left to talk: the end
}

void lose_gateway(const Live& live) {
  live.hear(20);
  for (int i = 0; i < drops() && !testing::Test::HasFailure(); ++i) {
    const MainCounters before = live.server.status().main;
    switch (i % 3) {
      case 0:
        live.command({{"do", "gateway-drop"}});
        break;
      case 1:
        live.command({{"do", "gateway-close"}, {"code", 4000}});
        break;
      default:
        live.command({{"do", "gateway-reconnect"}});
    }
    // Until it is back and has held for a moment, without which the next one would be slower.
    live.wait_until([&](const Status& s) {
      return s.main.resumed > before.resumed && s.main.heartbeats > before.heartbeats + 2;
    });
  }
  live.command({{"do", "empty"}});
}

std::uint64_t sum_of(const Outcome& outcome, std::uint64_t SpeakerTruth::*field) {
  std::uint64_t sum = 0;
  for (const SpeakerTruth& truth : outcome.truth) {
    sum += truth.*field;
  }
  return sum;
}

// What the server sent is what came, and every packet of it has its cause.
void expect_exact_ledger(Outcome& outcome) {
  EXPECT_EQ(outcome.source["kernel-drops"], 0u);
  EXPECT_EQ(outcome.source["datagrams"] - outcome.source["not-media"],
            outcome.server.udp.media_sent + outcome.server.udp.other_sent);
  EXPECT_EQ(outcome.decrypt["received"], outcome.server.udp.media_sent);
  std::uint64_t causes = 0;
  for (const char* cause :
       {"played", "silence", "padding-only", "late", "duplicate", "not-audio", "no-user", "no-key",
        "bad-tag", "not-a-frame", "replayed", "evicted", "denied", "skipped", "held"}) {
    causes += outcome.decrypt[cause];
  }
  EXPECT_EQ(causes, outcome.decrypt["received"]);
}

// Also what a machine under load reads from the socket of a left call only when the next one has
// its key.
void expect_nothing_lost(const Verdict& verdict, Outcome& outcome) {
  expect_exact_ledger(outcome);
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(outcome.decrypt["bad-tag"], 0u);
  EXPECT_EQ(
      outcome.decrypt["played"] + outcome.decrypt["silence"] + outcome.decrypt["padding-only"],
      sum_of(outcome, &SpeakerTruth::delivered));
}

}  // namespace

class Endurance : public Suite {
 protected:
  static void SetUpTestSuite() {
    if (!can_talk()) {
      return;
    }
    for (const bool encrypted : {false, true}) {
      begin(encrypted ? "moves encrypted" : "moves",
            {.server = short_spurts(encrypted, 10.0 + 2.0 * moves()),
             .join = CallPlan::Join::bot,
             .during = be_moved});
    }
    Options options = short_spurts(true, 10.0 + 1.0 * drops());
    options.main.heartbeat_interval_ms = 250;
    begin("drops",
          {.server = std::move(options), .join = CallPlan::Join::bot, .during = lose_gateway});
  }
};

TEST_F(Endurance, MovesLoseNothingThatWasSent) {
  const Verdict verdict = judge("moves", bounds());
  Outcome call = outcome("moves");
  expect_nothing_lost(verdict, call);
  EXPECT_EQ(call.server.main.seated, static_cast<std::uint64_t>(moves()) + 1);
  EXPECT_EQ(call.server.main.identified, 1u);
  EXPECT_TRUE(call.errors.empty());
  EXPECT_TRUE(call.server.complaints.empty());
}

// Each move ends in a new group; until we are in it nobody can have meant his frames for us.
TEST_F(Endurance, MovesOfAnEncryptedCallLoseNothingThatWasMeantForUs) {
  const Verdict verdict = judge("moves encrypted", bounds());
  Outcome call = outcome("moves encrypted");
  expect_exact_ledger(call);
  EXPECT_EQ(call.decrypt["bad-tag"], 0u);
  for (const SpeakerTruth& truth : call.truth) {
    std::printf("  %s: %llu packets for us, %llu for a group without us, %llu not sent\n",
                truth.name.c_str(), static_cast<unsigned long long>(truth.openable),
                static_cast<unsigned long long>(truth.foreign_keys),
                static_cast<unsigned long long>(truth.unsent));
  }
  std::printf("  missing %zu, no-key %llu, no-user %llu, not-a-frame %llu\n", verdict.missing,
              static_cast<unsigned long long>(call.decrypt["no-key"]),
              static_cast<unsigned long long>(call.decrypt["no-user"]),
              static_cast<unsigned long long>(call.decrypt["not-a-frame"]));
  EXPECT_LE(verdict.missing, sum_of(call, &SpeakerTruth::foreign_keys));
  for (const std::string& complaint : call.server.complaints) {
    ADD_FAILURE() << complaint;
  }
  EXPECT_EQ(call.server.main.seated, static_cast<std::uint64_t>(moves()) + 1);
  EXPECT_TRUE(call.errors.empty());
}

TEST_F(Endurance, LostGatewaysCostNothing) {
  const Verdict verdict = judge("drops", bounds());
  Outcome call = outcome("drops");
  expect_nothing_lost(verdict, call);
  EXPECT_GE(call.server.main.resumed, static_cast<std::uint64_t>(drops()));
  EXPECT_EQ(call.server.main.identified, 1u);
  EXPECT_EQ(call.server.main.seated, 1u);
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(call.server.identified, 1u) << "the voice connection stayed";
  EXPECT_EQ(call.server.resumed, 0u);
  EXPECT_TRUE(call.errors.empty());
}

}  // namespace discord::e2e
