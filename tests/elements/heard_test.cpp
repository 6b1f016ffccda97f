// Who is heard, and why nobody is: both chains, in calls over real sockets.
#include "call_rig.hpp"
#include "record/journal_summary.hpp"

#include <gtest/gtest-spi.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <tuple>

using namespace discord;
using namespace discord::test;
using namespace std::chrono_literals;

namespace {

const std::vector<std::string> chains = {"discorddecrypt name=d ! discordreorder",
                                         "discordworkerdec name=d isolation=none",
                                         "discordworkerdec name=d isolation=process max-workers=1"};

class Chain : public testing::TestWithParam<std::string> {};
std::string chain_name(const std::string& chain) {
  static constexpr const char* names[] = {"Decrypt", "InThisProcess", "Workers"};
  return names[std::find(chains.begin(), chains.end(), chain) - chains.begin()];
}
INSTANTIATE_TEST_SUITE_P(Each, Chain, testing::ValuesIn(chains),
                         [](const auto& one) { return chain_name(one.param); });

// Ada, a bot, and somebody who wants not to be recorded.
loopback::Options three_of_them() {
  static int number = 0;
  loopback::Options o = call_options(1.0);
  auto& talkers = o.calls.front().talkers;
  talkers = {talker(101, 2001, 1.0), talker(102, 2002, 1.0, 500), talker(103, 2003, 1.0, 700)};
  talkers[0].speaker.name = "Ada";
  talkers[1].speaker.name = "Jukebox";
  talkers[1].speaker.bot = true;
  talkers[2].speaker.name = "Mallory";
  o.main.bot_token = "heard-" + std::to_string(++number) + "-" + std::to_string(getpid());
  return o;
}

std::string bot(Call& call) {
  return "discordvoicesrc name=src bot-token=" + call.server.bot_token() + " gateway-url=ws://" +
         call.server.endpoint() + " guild-id=11 channel-id=12 ! ";
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Everything in the folder of a recording that was made of the whole call.
std::map<std::string, std::string> recorded(const std::string& chain, const std::string& rule,
                                            Call& call) {
  const TempDir dir;
  Pipeline p(bot(call) + chain +
             " ! discordrecordsink flat=true format=ogg journal=true location=" + dir.path());
  g_object_set(p.get("d").get(), "users", rule.c_str(), nullptr);
  p.play();
  call.all_sent();
  // Until the last packet has been counted, whatever became of it.
  EXPECT_TRUE(counts_up_to(p.get("d").get(), "received", call.server.status().delivered));
  gst_element_send_event(p.element(), gst_event_new_eos());
  EXPECT_TRUE(p.eos());
  expect_adds_up(p.get("d").get());
  p.stop();
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    out[entry.path().filename().string()] = content_of(entry.path());
  }
  return out;
}

bool anywhere(const std::map<std::string, std::string>& files, const std::string& text) {
  return std::any_of(files.begin(), files.end(), [&](const auto& file) {
    return file.first.find(text) != std::string::npos ||
           file.second.find(text) != std::string::npos;
  });
}

record::JournalSummary journal_in(const std::map<std::string, std::string>& files) {
  for (const auto& [name, content] : files) {
    const ByteSpan bytes(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
    if (auto summary = record::summarise(bytes); summary.recognised()) {
      return summary;
    }
  }
  ADD_FAILURE() << "no journal";
  return {};
}

}  // namespace

TEST_P(Chain, ADeniedUserAndABotAreInNoFileJournalOrRecord) {
  Call call(three_of_them());
  const auto files = recorded(GetParam(), "-103", call);
  EXPECT_TRUE(anywhere(files, "Ada"));
  EXPECT_FALSE(anywhere(files, "Jukebox"));
  EXPECT_FALSE(anywhere(files, "Mallory"));
  EXPECT_FALSE(anywhere(files, "\"102\"")) << "session.json";
  EXPECT_FALSE(anywhere(files, "\"103\""));
  const record::JournalSummary journal = journal_in(files);
  ASSERT_EQ(journal.speakers.size(), 1u);
  EXPECT_EQ(journal.speakers.begin()->first.user_id, 101u);
  EXPECT_GT(journal.speakers.begin()->second.packets, 40u);
  EXPECT_EQ(journal.names.size(), 1u);
}

TEST_P(Chain, ABotThatIsAskedForIsRecordedAndNobodyElse) {
  Call call(three_of_them());
  const auto files = recorded(GetParam(), "102", call);
  const record::JournalSummary journal = journal_in(files);
  ASSERT_EQ(journal.speakers.size(), 1u);
  EXPECT_EQ(journal.speakers.begin()->first.user_id, 102u);
  EXPECT_FALSE(anywhere(files, "Mallory"));
  EXPECT_FALSE(anywhere(files, "Ada"));
}

// Discord is slow to say who is a bot: nobody's words are lost over it.
TEST_P(Chain, PeopleWithoutNamesAreHeard) {
  loopback::Options o = three_of_them();
  o.main.nameless = true;
  Call call(std::move(o));
  const record::JournalSummary journal = journal_in(recorded(GetParam(), "", call));
  EXPECT_EQ(journal.speakers.size(), 3u);
}

namespace {

// Three in a call, of whom the second says nothing before `told`, which runs once it is connected.
std::map<std::string, std::string> recorded_around(const std::string& source,
                                                   const std::string& chain, Call& call,
                                                   const std::function<void(Pipeline&)>& before,
                                                   const std::function<void(Pipeline&)>& told) {
  const TempDir dir;
  Pipeline p(
      source + chain +
      " ! discordrecordsink name=rec flat=true format=ogg journal=true location=" + dir.path());
  before(p);
  p.play();
  EXPECT_NE(p.told("discord-session",
                   [](const GstStructure* s) {
                     return g_strcmp0(gst_structure_get_string(s, "state"), "connected") == 0;
                   }),
            nullptr);
  told(p);
  call.all_sent();
  EXPECT_TRUE(counts_up_to(p.get("d").get(), "received", call.server.status().delivered));
  gst_element_send_event(p.element(), gst_event_new_eos());
  EXPECT_TRUE(p.eos());
  p.stop();
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    out[entry.path().filename().string()] = content_of(entry.path());
  }
  return out;
}

// Nobody else's bytes in a journal are this number by chance.
constexpr std::uint64_t jukebox = 0x1122334455667788;

loopback::Options with_a_late_bot() {
  loopback::Options o = three_of_them();
  auto& bot = o.calls.front().talkers[1].speaker;
  bot.user_id = jukebox;
  bot.spurts.front().pcm = tone(0.3, 500);
  bot.spurts.front().start = 600ms;
  o.calls.front().talkers[0].speaker.spurts.front().pcm = tone(1.5, 300);
  return o;
}

void expect_no_trace_of_the_bot(const std::map<std::string, std::string>& files) {
  EXPECT_TRUE(anywhere(files, "Ada"));
  EXPECT_FALSE(anywhere(files, "Jukebox"));
  EXPECT_FALSE(anywhere(files, std::to_string(jukebox)));
  EXPECT_EQ(journal_in(files).names.size(), 2u);
}

}  // namespace

// An application names people as it learns of them, and what they are may come later.
TEST_P(Chain, WhoTurnsOutToBeABotLeavesNoTrace) {
  Call call(with_a_late_bot());
  const auto set_user = [](Pipeline& p, std::uint64_t user, const char* name, bool is_bot) {
    g_signal_emit_by_name(p.get("src").get(), "set-user", guint64{user}, name, gboolean{is_bot});
  };
  expect_no_trace_of_the_bot(recorded_around(
      call.source() + " ! ", GetParam(), call,
      [&](Pipeline& p) {
        set_user(p, 101, "Ada", false);
        set_user(p, jukebox, "Jukebox", false);
        set_user(p, 103, "Mallory", false);
      },
      [&](Pipeline& p) { set_user(p, jukebox, "Jukebox", true); }));
}

// Discord tells who has come before it tells who that is.
TEST_P(Chain, WhoIsSaidToBeABotAfterComingLeavesNoTrace) {
  loopback::Options o = with_a_late_bot();
  o.main.nameless = true;
  // Who is not named waits for two seconds, and then is heard.
  o.calls.front().talkers[0].speaker.spurts.front().pcm = tone(2.4, 300);
  o.calls.front().talkers[1].speaker.spurts.front().start = 1600ms;
  Call call(std::move(o));
  const auto rename = [&](std::uint64_t user, const char* name) {
    EXPECT_TRUE(call.server.command(
        {{"do", "bot-rename"}, {"user_id", std::to_string(user)}, {"nick", name}})["ok"]);
  };
  const auto files = recorded_around(
      bot(call), GetParam(), call, [](Pipeline&) {},
      [&](Pipeline& p) {
        EXPECT_TRUE(Counter(p.pad("rec", "sink").get()).wait_for(5));
        rename(101, "Ada");
        rename(jukebox, "Jukebox");
        rename(103, "Mallory");
      });
  expect_no_trace_of_the_bot(files);
  EXPECT_FALSE(anywhere(files, "\x11\x22\x33\x44\x55\x66\x77\x88")) << "the journal";
}

// --- never silently deaf ---

namespace {

struct Watched {
  Watched(const std::string& chain, loopback::Options o)
      : call(std::move(o)), p(bot(call) + chain + " ! fakesink sync=false async=false") {
    p.play();
  }
  // Waits until the source says so, and gives the sentence.
  std::string finds(const char* state) {
    const MessagePtr message = p.told("discord-session", [&](const GstStructure* s) {
      return g_strcmp0(gst_structure_get_string(s, "state"), state) == 0;
    });
    return message ? gst_structure_get_string(gst_message_get_structure(message.get()), "reason")
                   : "";
  }
  void command(const nlohmann::json& c) {
    const nlohmann::json answer = call.server.command(c);
    EXPECT_TRUE(answer.value("ok", false)) << answer;
  }

  Call call;
  Pipeline p;
};

loopback::Options of_one(double seconds) {
  loopback::Options o = three_of_them();
  o.calls.front().talkers.resize(1);
  o.calls.front().talkers[0] = talker(101, 2001, seconds);
  return o;
}

void nobody_speaks(const std::string& chain) {
  Watched w(chain, of_one(3));
  EXPECT_NE(w.finds("hearing"), "");
  EXPECT_NE(w.finds("nobody-speaks").find("none of them speaks"), std::string::npos);
}

// What is not authentic is not heard, whichever chain looks at it; and it is told when it is over.
void not_opened_and_opened_again(const std::string& chain) {
  loopback::Options o = of_one(3);
  o.calls.front().talkers[0].speaker.repeat = 16s;
  o.noise.forged = 50;
  Watched w(chain, std::move(o));
  EXPECT_NE(w.finds("hearing"), "");
  EXPECT_NE(w.finds("not-opened").find("none can be opened"), std::string::npos);
  EXPECT_NE(w.finds("hearing"), "");
}

void no_udp_and_udp_again(const std::string& chain) {
  loopback::Options o = of_one(0.2);
  // Who comes back begins with the next spurt.
  o.calls.front().talkers[0].speaker.repeat = 250ms;
  Watched w(chain, std::move(o));
  EXPECT_NE(w.finds("hearing"), "");
  w.command({{"do", "network"}, {"loss", 100}});
  // Nobody says anything, as far as is known, until somebody is announced.
  EXPECT_NE(w.finds("nobody-speaks"), "");
  w.command({{"do", "leave"}, {"user_id", "101"}});
  w.command({{"do", "rejoin"}, {"user_id", "101"}});
  EXPECT_NE(w.finds("no-media").find("no UDP packet arrives"), std::string::npos);
  w.command({{"do", "network"}, {"loss", 0}});
  EXPECT_NE(w.finds("hearing"), "");
}

void deafened_and_its_end(const std::string& chain) {
  Watched w(chain, of_one(60));
  EXPECT_NE(w.finds("hearing"), "");
  w.command({{"do", "bot-deafen"}});
  EXPECT_NE(w.finds("server-deafened").find("moderator"), std::string::npos);
  w.command({{"do", "bot-deafen"}, {"on", false}});
  EXPECT_NE(w.finds("hearing"), "");
}

struct Watching {
  const char* name;
  void (*watch)(const std::string& chain);
};
constexpr Watching watchings[] = {
    {"HeardAndThenNobodySpeaks", nobody_speaks},
    {"PacketsThatDoNotOpenAreToldAndThatTheyDoAgain", not_opened_and_opened_again},
    {"SpeechWithoutUdpIsToldAndThatItComesAgain", no_udp_and_udp_again},
    {"BeingDeafenedIsToldAndItsEnd", deafened_and_its_end},
};
std::string name_of(const std::tuple<Watching, std::string>& one) {
  return std::get<0>(one).name + chain_name(std::get<1>(one));
}
void PrintTo(const Watching& watching, std::ostream* out) {
  *out << watching.name;
}

}  // namespace

// The watchdog is patient, so all of these wait at the same time.
class NeverDeaf : public testing::TestWithParam<std::tuple<Watching, std::string>> {
 protected:
  using Failures = testing::TestPartResultArray;
  static void SetUpTestSuite() {
    const testing::TestSuite& suite = *testing::UnitTest::GetInstance()->current_test_suite();
    for (int i = 0; i < suite.total_test_count(); ++i) {
      const std::string test = suite.GetTestInfo(i)->name();
      for (const Watching& watching : watchings) {
        for (const std::string& chain : chains) {
          const std::string name = name_of({watching, chain});
          if (suite.GetTestInfo(i)->should_run() && test.ends_with("/" + name)) {
            running()[name] = std::async(std::launch::async, [watching, chain] {
              auto failures = std::make_unique<Failures>();
              const testing::ScopedFakeTestPartResultReporter reporter(
                  testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD,
                  failures.get());
              watching.watch(chain);
              return failures;
            });
          }
        }
      }
    }
  }
  static void TearDownTestSuite() { running().clear(); }
  static std::map<std::string, std::future<std::unique_ptr<Failures>>>& running() {
    static std::map<std::string, std::future<std::unique_ptr<Failures>>> all;
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Each, NeverDeaf,
                         testing::Combine(testing::ValuesIn(watchings), testing::ValuesIn(chains)),
                         [](const auto& one) { return name_of(one.param); });

TEST_P(NeverDeaf, ItIsSaid) {
  const auto failures = running().at(name_of(GetParam())).get();
  for (int i = 0; i < failures->size(); ++i) {
    const testing::TestPartResult& one = failures->GetTestPartResult(i);
    ADD_FAILURE_AT(one.file_name() != nullptr ? one.file_name() : "", one.line_number())
        << one.message();
  }
}
