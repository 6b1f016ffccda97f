// Never silently deaf: whatever ends, moves or replaces a connection, the same files go on, the
// pads stay, the gap is silence as long as it lasted, and the bus tells each change once. A row of
// docs/design/never-deaf.md each.
#include "suite.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <tuple>

namespace discord::e2e {

using namespace loopback;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

// An application whose own library joins when it is asked to.
class Application {
 public:
  void attach(const Live& live) {
    live_ = &live;
    g_signal_connect(live.element("src").get(), "credentials-needed",
                     G_CALLBACK(+[](GstElement*, const gchar*, Application* self) {
                       self->asked_++ == 0 ? self->tell(self->values(), false) : self->join();
                     }),
                     this);
  }
  // Leaves and joins, or is moved: everything is new.
  void join() {
    Values v = values();
    v.token = new_token("change-server");
    tell(v, asked_ % 2 == 0);
  }
  void be_moved() {
    Values v = values();
    v.token = new_token("move");
    g_object_set(live_->element("src").get(), "channel-id",
                 guint64{live_->server.credentials().channel_id}, nullptr);
    tell(v, true);
  }
  // Another server takes over: only the voice server update comes.
  void region() {
    Values v = values();
    v.token = new_token("change-server");
    server(v);
  }
  // The same, but first the old one is gone.
  void failover() {
    Values v = values();
    v.token = new_token("change-server");
    g_signal_emit_by_name(live_->element("src").get(), "update-voice-server", nullptr, "");
    server(v);
  }

 private:
  struct Values {
    std::string endpoint;
    std::string session;
    std::string token;
  };
  Values values() {
    const Credentials c = live_->server.credentials();
    return {"ws://" + live_->server.endpoint(), c.session_id, c.token};
  }
  std::string new_token(const char* how) {
    return live_->server.command({{"do", how}})["credentials"]["token"];
  }
  void tell(const Values& v, bool server_first) {
    if (server_first) {
      server(v);
    }
    g_signal_emit_by_name(live_->element("src").get(), "update-voice-state", v.session.c_str());
    if (!server_first) {
      server(v);
    }
  }
  void server(const Values& v) {
    g_signal_emit_by_name(live_->element("src").get(), "update-voice-server", v.endpoint.c_str(),
                          v.token.c_str());
  }

  const Live* live_ = nullptr;
  std::atomic<int> asked_{0};
};

// What becomes of the voice connection.
enum class Fate {
  untouched,
  resumed,
  renewed,  // there is another one
  ended,    // one sentence, and complete files
};

struct Row {
  std::string name;
  CallPlan::Join join;
  Fate fate;
  std::vector<std::string> told;  // states of the session after the first "connected"
  std::function<void(const Live&, Application&)> happens;
  std::size_t warnings = 0;
  std::function<void(Options&)> server = {};
};

constexpr auto bot = CallPlan::Join::bot;
constexpr auto application = CallPlan::Join::application;

using Told = std::vector<std::string>;
const Told nothing = {};
const Told resumed = {"reconnecting", "connected"};
const Told renewed = {"connecting", "identifying", "discovering", "selecting", "connected"};

// Runs one command of the server.
auto does(json what) {
  return [what = std::move(what)](const Live& live, Application&) { live.command(what); };
}

// docs/design/never-deaf.md "Joining, moving, leaving".
std::vector<Row> joining() {
  const auto other = [](const Live& live, Application&) {
    guint64 channel = 0;
    g_object_get(live.element("src").get(), "channel-id", &channel, nullptr);
    g_object_set(live.element("src").get(), "channel-id", channel + 1, nullptr);
  };
  return {
      {"JoinStateFirst", bot, Fate::untouched, nothing, {}},
      {"JoinServerFirst",
       bot,
       Fate::untouched,
       nothing,
       {},
       0,
       [](Options& o) { o.main.server_first = true; }},
      {"JoinWithoutEndpoint",
       bot,
       Fate::untouched,
       nothing,
       {},
       0,
       [](Options& o) { o.main.null_endpoint_joins = 1; }},
      {"MovedClosedFirst", bot, Fate::renewed, renewed, does({{"do", "bot-move"}})},
      {"MovedToldFirst", bot, Fate::renewed, renewed,
       does({{"do", "bot-move"}, {"events_first", true}})},
      {"MovedClosedWith4022", bot, Fate::renewed, renewed,
       does({{"do", "bot-move"}, {"code", 4022}})},
      {"MovedNeverClosed", bot, Fate::renewed, renewed, does({{"do", "bot-move"}, {"code", 0}})},
      {"OtherChannelAskedFor", bot, Fate::renewed, renewed, other},
      {"KickedClosedFirst", bot, Fate::ended, nothing, does({{"do", "bot-kick"}})},
      {"KickedToldFirst", bot, Fate::ended, nothing,
       does({{"do", "bot-kick"}, {"events_first", true}})},
      {"ChannelDeleted", bot, Fate::ended, nothing, does({{"do", "bot-kick"}, {"code", 4022}})},
      {"Failover", bot, Fate::renewed, renewed, does({{"do", "bot-no-endpoint"}, {"ms", 300}})},
      {"Region", bot, Fate::renewed, renewed, does({{"do", "bot-region"}})},
      {"GuildOutage", bot, Fate::untouched, nothing, does({{"do", "guild-outage"}, {"ms", 200}}),
       1},
      {"GuildOutageThatTakesTheCall", bot, Fate::renewed, renewed,
       does({{"do", "guild-outage"}, {"ms", 200}, {"leave", true}}), 1},
      {"RemovedFromTheGuild", bot, Fate::ended, nothing, does({{"do", "guild-remove"}})},
      {"StaleCredentials",
       bot,
       Fate::untouched,
       nothing,
       {},
       0,
       [](Options& o) { o.main.stale_joins = 1; }},
      {"MainGatewayResumed", bot, Fate::untouched, nothing, does({{"do", "gateway-drop"}})},
      {"MainGatewayResumedFirst", bot, Fate::untouched, nothing, does({{"do", "gateway-drop"}}), 0,
       [](Options& o) { o.main.resumed_first = true; }},
      {"MainGatewayRenewed", bot, Fate::renewed, renewed, does({{"do", "gateway-invalid"}})},
      {"Moved", application, Fate::renewed, renewed,
       [](const Live&, Application& app) { app.be_moved(); }},
      {"Region", application, Fate::renewed, renewed,
       [](const Live&, Application& app) { app.region(); }},
      {"Failover", application, Fate::renewed, renewed,
       [](const Live&, Application& app) { app.failover(); }},
  };
}

// docs/design/never-deaf.md "Close codes of the voice gateway". 0: lost without a close frame.
std::vector<Row> closing() {
  std::vector<Row> rows;
  for (const auto join : {bot, application}) {
    for (const int code : {0,    1000, 1001, 4001, 4002, 4003, 4004, 4005, 4006, 4009,
                           4011, 4012, 4013, 4014, 4015, 4016, 4017, 4020, 4021, 4022}) {
      const bool resumable = code < 4000 || code == 4013 || code == 4015;
      // Who is told nothing more was removed, and an application knows better than to come back.
      const bool final = code == 4012 || code == 4016 || code == 4017 || code == 4021 ||
                         (join == application && (code == 4014 || code == 4022));
      const bool silent = code == 4014 || code == 4022;
      rows.push_back(
          {code == 0 ? "Lost" : "Code" + std::to_string(code), join,
           resumable ? Fate::resumed
           : final   ? Fate::ended
                     : Fate::renewed,
           resumable         ? resumed
           : final && silent ? Told{"awaiting-credentials"}
           : final           ? nothing
                             : renewed,
           does(code == 0 ? json{{"do", "drop-socket"}} : json{{"do", "close"}, {"code", code}})});
    }
    rows.push_back({"LostResumedFirst", join, Fate::resumed, resumed, does({{"do", "drop-socket"}}),
                    0, [](Options& o) { o.session.resumed_first = true; }});
  }
  return rows;
}

std::vector<Row> all_rows() {
  std::vector<Row> rows = joining();
  for (Row& row : closing()) {
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Chain {
  const char* name;
  const char* receiver;
  bool decoded;
};
constexpr Chain chains[] = {
    {"Decrypt", "discorddecrypt name=dec ! discordreorder name=order", false},
    {"Workers", "discordworkerdec name=dec max-workers=1", true},
};

using Case = std::tuple<Row, Chain>;
// In place of their bytes.
void PrintTo(const Row& row, std::ostream* out) {
  *out << row.name;
}
void PrintTo(const Chain& chain, std::ostream* out) {
  *out << chain.name;
}
std::string name_of(const Case& c) {
  const Row& row = std::get<0>(c);
  return std::string(row.join == bot ? "Bot" : "Application") + row.name + std::get<1>(c).name;
}

// Each way to join is encrypted in one of the chains.
bool is_encrypted(const Case& c) {
  return (std::get<0>(c).join == bot) == std::get<1>(c).decoded;
}

// When a row happened, on the clock of the server's records.
struct Marks {
  std::int64_t before = 0;
  std::int64_t after = 0;  // media had come again
};
std::int64_t now_ns() {
  return g_get_monotonic_time() * 1000;
}

bool has_come(Fate fate, const Status& before, const Status& now) {
  return fate == Fate::resumed   ? now.resumed > before.resumed
         : fate == Fate::renewed ? now.described > before.described
                                 : true;
}

CallPlan plan_of(const Case& c, Marks& marks) {
  const auto& [row, chain] = c;
  CallPlan plan{.server = short_spurts(is_encrypted(c), 60)};
  plan.server.calls.front().lead = 20ms;
  for (TalkerOptions& talker : plan.server.calls.front().talkers) {
    talker.speaker.complexity = 0;
  }
  if (row.server) {
    row.server(plan.server);
  }
  plan.join = row.join;
  plan.receiver = chain.receiver;
  plan.end = row.fate == Fate::ended ? CallPlan::End::session : CallPlan::End::eos;
  const auto app = std::make_shared<Application>();
  if (row.join == application) {
    plan.before = [app](const Live& live) { app->attach(live); };
  }
  plan.during = [app, row, &marks](const Live& live) {
    live.hear(20);
    const Status before = live.server.status();
    marks.before = now_ns();
    if (row.happens) {
      row.happens(live, *app);
    }
    if (row.fate == Fate::ended) {
      return;
    }
    live.wait_until([&](const Status& now) { return has_come(row.fate, before, now); });
    marks.after = now_ns();
    live.hear(60);
    live.command({{"do", "empty"}});  // nobody is left to talk: the end
  };
  return plan;
}

// Whether something that left between these moments is recorded.
bool heard(const Outcome& call, const SpeakerTruth& truth, std::int64_t from, std::int64_t to) {
  return std::any_of(call.passed.begin(), call.passed.end(), [&](const Passed& p) {
    return !p.lost && std::any_of(truth.records.begin(), truth.records.end(), [&](const auto& r) {
      return r.ssrc == p.ssrc && r.sequence == p.sequence && r.kind == Packet::Kind::speech &&
             r.sent_ns >= from && r.left_ns <= to && r.delivered();
    });
  });
}

// What the bus told of the connection after it first worked, of what is heard, and of moves. These
// come in the order in which they are found out.
struct Story {
  Told connection;
  Told hearing;
  std::size_t moves = 0;
};
Story story_of(const Outcome& call) {
  static const std::set<std::string> hearing = {"hearing",  "nobody-here", "nobody-speaks",
                                                "no-media", "not-opened",  "server-deafened"};
  Story story;
  bool connected = false;
  for (const std::string& state : call.session) {
    if (hearing.contains(state)) {
      story.hearing.push_back(state);
    } else if (state == "moved") {
      ++story.moves;
    } else if (connected) {
      story.connection.push_back(state);
    }
    connected = connected || state == "connected";
  }
  return story;
}

}  // namespace

class NeverDeaf : public Suite, public testing::WithParamInterface<Case> {
 protected:
  // Every call whose test is asked for, a few at a time.
  static void SetUpTestSuite() {
    static Places places(24);
    if (!can_talk()) {
      return;
    }
    const testing::TestSuite& suite = *testing::UnitTest::GetInstance()->current_test_suite();
    std::set<std::string> wanted;
    for (int i = 0; i < suite.total_test_count(); ++i) {
      const std::string test = suite.GetTestInfo(i)->name();
      if (suite.GetTestInfo(i)->should_run()) {
        wanted.insert(test.substr(test.find('/') + 1));
      }
    }
    for (const Chain& chain : chains) {
      for (const Row& row : all_rows()) {
        const Case one{row, chain};
        if (wanted.contains(name_of(one))) {
          begin(name_of(one), plan_of(one, marks()[name_of(one)]), &places);
        }
      }
    }
  }
  static std::map<std::string, Marks>& marks() {
    static std::map<std::string, Marks> all;
    return all;
  }
};

INSTANTIATE_TEST_SUITE_P(Rows, NeverDeaf,
                         testing::Combine(testing::ValuesIn(all_rows()), testing::ValuesIn(chains)),
                         [](const auto& row) { return name_of(row.param); });

TEST_P(NeverDeaf, GoesOnWhereItWas) {
  const Row& row = std::get<0>(GetParam());
  const std::string name = name_of(GetParam());
  // One file for each user, the same for all connections; each spurt where it was spoken, and
  // silence between.
  const bool decoded = std::get<1>(GetParam()).decoded;
  const Verdict verdict = judge(name, {.server_may_be_late = true, .decoded = decoded});
  const Outcome call = outcome(name);
  const Marks mark = marks()[name];
  std::uint64_t not_for_us = 0;
  for (const SpeakerTruth& truth : call.truth) {
    not_for_us += truth.foreign_keys;
    EXPECT_TRUE(heard(call, truth, 0, mark.before)) << truth.name;
    if (row.fate != Fate::ended) {
      EXPECT_TRUE(heard(call, truth, mark.after, now_ns())) << truth.name;
    }
  }
  EXPECT_LE(verdict.missing, not_for_us) << "every packet that was sent to us is in a file";
  EXPECT_EQ(call.pads_added, call.truth.size());
  EXPECT_EQ(call.pads_removed, 0u);

  const Story story = story_of(call);
  Told told = row.told;
  // Whether the end of the old connection or the values of the new one come first is chance.
  if (row.fate == Fate::renewed && !story.connection.empty() &&
      story.connection.front() == "awaiting-credentials") {
    told.insert(told.begin(), "awaiting-credentials");
  }
  if (row.fate == Fate::ended) {
    told.emplace_back("failed");
  }
  told.emplace_back("stopped");  // the end of the test
  EXPECT_EQ(story.connection, told);
  EXPECT_LE(story.hearing.size(), 1u);
  EXPECT_EQ(story.moves, row.join == bot && row.name.starts_with("Moved") ? 1u : 0u);
  EXPECT_EQ(call.errors.size(), row.fate == Fate::ended ? 1u : 0u);
  EXPECT_EQ(call.warnings.size(), row.warnings);
  EXPECT_EQ(call.infos.size(), is_encrypted(GetParam()) ? 0u : 1u) << "not encrypted";
  for (const std::string& text : call.warnings) {
    std::printf("  warning: %s\n", text.c_str());
  }
}

}  // namespace discord::e2e
