// What may befall the group of an encrypted call, through the real pipeline: every frame that could
// be opened is recorded, and nothing else.
#include "suite.hpp"

#include <algorithm>
#include <set>

namespace discord::e2e {

using namespace loopback;
using namespace std::chrono_literals;
using nlohmann::json;

class Groups : public Suite {
 protected:
  static void SetUpTestSuite() {
    if (!can_talk()) {
      return;
    }
    begin("upgrade", {.server = plain(2, {{1500ms, {{"do", "dave-upgrade"}}}})});
    begin("stage", {.server = plain(2, {{1000ms, {{"do", "dave-upgrade"}}},
                                        {2500ms, {{"do", "dave-downgrade"}}}})});
    begin("required",
          {.server = plain(1, {}), .source = "e2ee=required", .end = CallPlan::End::session});
    for (const char* policy : {"auto", "required"}) {
      begin(std::string("downgrade ") + policy,
            {.server = encrypted(2, {{1000ms, {{"do", "dave-downgrade"}}}}),
             .source = std::string("e2ee=") + policy,
             .end = CallPlan::End::session});
    }
    begin("lost race", {.server = founding(Prefer::speakers)});
    begin("won race", {.server = founding(Prefer::clients)});
    begin("damage", {.server = damage()});
    begin("revoked",
          {.server = encrypted(2, {{1000ms, {{"do", "dave-revoke"}}}, {2000ms, revoke(1)}})});
    begin("empty",
          {.server = encrypted(2, {{1500ms, {{"do", "empty"}}}, {2000ms, {{"do", "refill"}}}}),
           .during = wait_for_refill});
    begin("early", {.server = early(0ms)});
    begin("late", {.server = early(150ms)});
    begin("crowd", {.server = crowd()});
    begin("verified", {.server = encrypted(2, {}), .during = verify});
  }

  using Script = std::vector<ScriptedCommand>;

  static std::uint64_t user(std::size_t index) { return person({.index = index}).speaker.user_id; }

  static Options plain(std::size_t people, Script script) {
    Options options = call_of(people);
    options.script = std::move(script);
    return options;
  }
  static Options encrypted(std::size_t people, Script script) {
    Options options = plain(people, std::move(script));
    options.dave.delivery.version = 1;
    return options;
  }
  static Options founding(Prefer prefer) {
    Options options = encrypted(2, {});
    options.dave.delivery.found_with_client = true;
    options.dave.delivery.prefer = prefer;
    return options;
  }
  static json command(const char* what, std::size_t index) {
    return {{"do", what}, {"user_id", std::to_string(user(index))}};
  }
  static json revoke(std::size_t index) { return command("dave-revoke", index); }

  // A commit that cannot be followed, and then a Welcome that cannot be used.
  static Options damage() {
    Options options = encrypted(3, {{800ms, {{"do", "dave-spoil"}, {"what", "commit"}}},
                                    {900ms, command("leave", 2)},
                                    {2000ms, {{"do", "dave-spoil"}, {"what", "welcome"}}},
                                    {2100ms, {{"do", "dave-remove"}}}});
    options.dave.delivery.prefer = Prefer::speakers;
    return options;
  }

  // Many epochs, and speakers who do not wait for anything before they use the next one, while its
  // commit takes its time to us.
  static Options early(Duration commit_lag) {
    Options options = encrypted(3, {});
    options.dave.commit_lag = commit_lag;
    options.dave.speakers.early_epoch = Duration(0);
    for (int i = 0; i < 8; ++i) {
      options.script.push_back({700ms + i * 400ms, command(i % 2 == 0 ? "leave" : "rejoin", 2)});
    }
    return options;
  }

  // Thirty come in one after another within a second, and only our commits count.
  static Options crowd() {
    Options options = encrypted(1, {});
    options.dave.delivery.prefer = Prefer::clients;
    for (std::size_t i = 1; i <= 30; ++i) {
      // The first spurt is missed: who comes back begins with the next one.
      TalkerOptions guest = person({.index = i, .spurts = 2, .length = 0.2});
      guest.speaker.spurts[1].start = 3500ms;
      options.calls[0].talkers.push_back(std::move(guest));
      options.script.push_back({1ms, command("leave", i)});
      options.script.push_back({1000ms + i * 33ms, command("rejoin", i)});
    }
    return options;
  }

  // A call without anybody counts as finished.
  static void wait_for_refill(const Live& live) {
    for (const bool full : {true, false, true}) {
      EXPECT_TRUE(live.server.wait(
          [full](const Status& s) { return (s.dave.members == 3 && s.dave.settled) == full; },
          20s));
    }
  }

  static std::string& verified(const char* by) {
    static std::map<std::string, std::string> codes;
    return codes[by];
  }
  static void verify(const Live& live) {
    live.server.wait([](const Status& s) { return s.dave.settled && s.dave.members == 3; }, 20s);
    for (const std::uint64_t who : {user(0), std::uint64_t{42}}) {
      GstPromise* promise = nullptr;
      g_signal_emit_by_name(live.element("src").get(), "verification-code", who, &promise);
      ASSERT_NE(promise, nullptr);
      EXPECT_EQ(gst_promise_wait(promise), GST_PROMISE_RESULT_REPLIED);
      const GstStructure* reply = gst_promise_get_reply(promise);
      const char* code = gst_structure_get_string(reply, "code");
      const char* error = gst_structure_get_string(reply, "error");
      verified(who == 42 ? "stranger" : "us") = code != nullptr ? code : error;
      gst_promise_unref(promise);
    }
    const json answer =
        live.server.command({{"do", "dave-verify"}, {"user_id", std::to_string(user(0))}});
    verified("them") = answer.value("code", answer.dump());
  }

  static std::uint64_t undecryptable(const Outcome& call) {
    std::uint64_t sum = 0;
    for (const char* cause : {"no-user", "no-key", "bad-tag", "not-a-frame", "replayed"}) {
      sum += call.decrypt.at(cause);
    }
    return sum;
  }

  // Packets that reached the recorder are exactly those that a member could open.
  static Outcome expect_all_that_opens(const std::string& name) {
    const Outcome call = outcome(name);
    EXPECT_EQ(call.problem, "") << name;
    std::set<std::pair<std::uint32_t, std::uint16_t>> passed;
    for (const Passed& p : call.passed) {
      if (!p.lost) {
        passed.insert({p.ssrc, p.sequence});
      }
    }
    std::size_t openable = 0, missing = 0, foreign = 0;
    for (const SpeakerTruth& speaker : call.truth) {
      for (const FrameRecord& r : speaker.records) {
        if (!r.delivered() || r.kind == Packet::Kind::padding) {
          continue;
        }
        const bool heard = passed.contains({r.ssrc, r.sequence});
        openable += r.openable ? 1 : 0;
        foreign += r.openable ? 0 : 1;
        missing += r.openable && !heard ? 1 : 0;
        EXPECT_TRUE(r.openable || !heard) << name << ": not for us, and recorded";
      }
    }
    std::printf("  %s: %zu frames for us, %zu missing, %zu not for us; epoch %llu\n", name.c_str(),
                openable, missing, foreign,
                static_cast<unsigned long long>(call.dave.counters.epoch));
    EXPECT_GT(openable, 20u) << name;
    EXPECT_EQ(missing, 0u) << name;
    EXPECT_EQ(undecryptable(call), foreign) << name << ": a refusal is not counted";
    for (const std::string& complaint : call.server.complaints) {
      ADD_FAILURE() << name << ": " << complaint;
    }
    return call;
  }
  // What was told last is what the other members see.
  static void expect_agreement(const Outcome& call) {
    ASSERT_FALSE(call.e2ee.empty());
    const EncryptionNews& last = call.e2ee.back();
    EXPECT_EQ(last.version, call.dave.counters.version);
    EXPECT_EQ(last.epoch, call.dave.counters.epoch);
    ASSERT_FALSE(call.dave.codes.empty());
    EXPECT_EQ(last.privacy_code, call.dave.codes.back().code);
    EXPECT_EQ(last.privacy_code.size(), 30u);
    EXPECT_EQ(last.members, call.dave.codes.back().members);
    EXPECT_TRUE(std::is_sorted(last.members.begin(), last.members.end()));
  }
  static std::vector<int> versions(const Outcome& call) {
    std::vector<int> out;
    for (const EncryptionNews& news : call.e2ee) {
      if (out.empty() || out.back() != news.version) {
        out.push_back(news.version);
      }
    }
    return out;
  }
};

TEST_F(Groups, UpgradeIsToldAndLosesNothing) {
  const Outcome call = expect_all_that_opens("upgrade");
  expect_agreement(call);
  EXPECT_EQ(versions(call), (std::vector{0, 1}));
  ASSERT_EQ(call.infos.size(), 1u);
  EXPECT_NE(call.infos[0].find("not end-to-end encrypted"), std::string::npos);
  EXPECT_TRUE(call.errors.empty());
}

TEST_F(Groups, AStageGoesUpAndDownAgain) {
  const Outcome call = expect_all_that_opens("stage");
  EXPECT_EQ(versions(call), (std::vector{0, 1, 0}));
  EXPECT_EQ(call.e2ee.back().privacy_code, "");
  EXPECT_TRUE(call.errors.empty());
}

TEST_F(Groups, ADowngradeEndsTheCallAndNothingPlainIsRecorded) {
  for (const char* policy : {"auto", "required"}) {
    const Outcome call = outcome(std::string("downgrade ") + policy);
    ASSERT_EQ(call.problem, "");
    ASSERT_EQ(call.errors.size(), 1u) << policy;
    EXPECT_NE(call.errors[0].find("switched to no end-to-end encryption"), std::string::npos)
        << call.errors[0];
    EXPECT_EQ(call.files.size(), 2u) << "what was said before is kept";
    std::set<std::pair<std::uint32_t, std::uint16_t>> plain;
    for (const SpeakerTruth& speaker : call.truth) {
      for (const FrameRecord& r : speaker.records) {
        if (r.delivered() && r.protection == Protection::none && !r.opus.empty() &&
            r.kind != Packet::Kind::silence) {
          plain.insert({r.ssrc, r.sequence});
        }
      }
    }
    for (const Passed& p : call.passed) {
      EXPECT_FALSE(!p.lost && plain.contains({p.ssrc, p.sequence})) << policy;
    }
    EXPECT_EQ(versions(call), std::vector{1}) << "a call that ended is not told as unencrypted";
  }
}

TEST_F(Groups, RequiredRefusesACallWithout) {
  const Outcome call = outcome("required");
  ASSERT_EQ(call.errors.size(), 1u);
  EXPECT_NE(call.errors[0].find("e2ee=required"), std::string::npos) << call.errors[0];
  EXPECT_TRUE(call.on_disk.empty());
  EXPECT_TRUE(call.e2ee.empty());
}

TEST_F(Groups, WhoeverWinsTheFoundingRaceEverythingIsHeard) {
  for (const char* name : {"lost race", "won race"}) {
    const Outcome call = expect_all_that_opens(name);
    expect_agreement(call);
    EXPECT_EQ(undecryptable(call), 0u) << name;
  }
  EXPECT_GE(outcome("lost race").dave.counters.lost_commits, 1u);
  EXPECT_EQ(outcome("lost race").dave.counters.client_commits, 0u);
  EXPECT_GE(outcome("won race").dave.counters.client_commits, 1u);
}

TEST_F(Groups, ADamagedCommitAndWelcomeAreRecoveredFrom) {
  const Outcome call = expect_all_that_opens("damage");
  expect_agreement(call);
  EXPECT_EQ(call.dave.counters.spoilt, 2u);
  EXPECT_EQ(call.dave.counters.recoveries, 2u);
  EXPECT_TRUE(call.errors.empty());
}

TEST_F(Groups, RevokedProposalsLeaveNoTrace) {
  const Outcome call = expect_all_that_opens("revoked");
  expect_agreement(call);
  EXPECT_EQ(call.dave.counters.revoked, 2u);
  EXPECT_EQ(call.dave.counters.recoveries, 0u);
  EXPECT_EQ(undecryptable(call), 0u);
}

TEST_F(Groups, EverybodyLeavesAndComesBack) {
  const Outcome call = expect_all_that_opens("empty");
  expect_agreement(call);
  EXPECT_EQ(call.files.size(), 2u) << "one file a user";
  const auto alone = std::find_if(call.e2ee.begin(), call.e2ee.end(),
                                  [](const EncryptionNews& n) { return n.members.size() == 3; });
  EXPECT_NE(alone, call.e2ee.end());
  EXPECT_TRUE(std::any_of(alone, call.e2ee.end(), [](const EncryptionNews& n) {
    return n.epoch == 0;
  })) << "alone there is no group";
}

TEST_F(Groups, FramesOfANewEpochBeforeItsCommitAreNotLost) {
  for (const char* name : {"early", "late"}) {
    const Outcome call = expect_all_that_opens(name);
    expect_agreement(call);
    EXPECT_GE(call.dave.counters.epoch, 8u) << name;
    EXPECT_EQ(undecryptable(call), 0u) << name;
  }
}

TEST_F(Groups, ThirtyJoinWithinASecondByOurCommits) {
  const Outcome call = expect_all_that_opens("crowd");
  expect_agreement(call);
  EXPECT_EQ(call.e2ee.back().members.size(), 32u);
  EXPECT_EQ(call.dave.counters.recoveries, 0u);
  // On a slow machine a guest can come back after its last words.
  std::set<std::uint64_t> heard;
  for (const SpeakerTruth& speaker : call.truth) {
    if (std::ranges::any_of(speaker.records, [](const FrameRecord& r) {
          return r.delivered() && r.openable && r.kind == Packet::Kind::speech;
        })) {
      heard.insert(speaker.user_id);
    }
  }
  EXPECT_EQ(call.files.size(), heard.size()) << "one file for each who could be heard";
}

TEST_F(Groups, TheVerificationCodeIsTheOneTheOtherSideHas) {
  expect_agreement(expect_all_that_opens("verified"));
  EXPECT_EQ(verified("us").size(), 45u);
  EXPECT_EQ(verified("us"), verified("them"));
  EXPECT_NE(verified("stranger").find("not a member"), std::string::npos) << verified("stranger");
}

}  // namespace discord::e2e
