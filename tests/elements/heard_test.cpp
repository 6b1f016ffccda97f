// Who is heard, and why nobody is: both chains, in calls over real sockets.
#include "call_rig.hpp"
#include "record/journal_summary.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace discord;
using namespace discord::test;
using namespace std::chrono_literals;

namespace {

const std::vector<std::string> chains = {"discorddecrypt name=d ! discordreorder",
                                         "discordworkerdec name=d isolation=none",
                                         "discordworkerdec name=d isolation=process max-workers=1"};

class Chain : public testing::TestWithParam<std::string> {};
std::string name_of_chain(const testing::TestParamInfo<std::string>& info) {
  static constexpr const char* names[] = {"Decrypt", "InThisProcess", "Workers"};
  return names[info.index];
}
INSTANTIATE_TEST_SUITE_P(Each, Chain, testing::ValuesIn(chains), name_of_chain);

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
  while (count_of(p.get("d").get(), "received") < call.server.status().delivered) {
    g_usleep(2000);
  }
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

}  // namespace

TEST_P(Chain, HeardAndThenNobodySpeaks) {
  Watched w(GetParam(), of_one(3));
  EXPECT_NE(w.finds("hearing"), "");
  EXPECT_NE(w.finds("nobody-speaks").find("none of them speaks"), std::string::npos);
}

// What is not authentic is not heard, whichever chain looks at it; and it is told when it is over.
TEST_P(Chain, PacketsThatDoNotOpenAreToldAndThatTheyDoAgain) {
  loopback::Options o = of_one(3);
  o.calls.front().talkers[0].speaker.repeat = 16s;
  o.noise.forged = 50;
  Watched w(GetParam(), std::move(o));
  EXPECT_NE(w.finds("hearing"), "");
  EXPECT_NE(w.finds("not-opened").find("none can be opened"), std::string::npos);
  EXPECT_NE(w.finds("hearing"), "");
}

TEST_P(Chain, SpeechWithoutUdpIsToldAndThatItComesAgain) {
  loopback::Options o = of_one(0.2);
  // Who comes back begins with the next spurt.
  o.calls.front().talkers[0].speaker.repeat = 250ms;
  Watched w(GetParam(), std::move(o));
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

TEST_P(Chain, BeingDeafenedIsToldAndItsEnd) {
  Watched w(GetParam(), of_one(60));
  EXPECT_NE(w.finds("hearing"), "");
  w.command({{"do", "bot-deafen"}});
  EXPECT_NE(w.finds("server-deafened").find("moderator"), std::string::npos);
  w.command({{"do", "bot-deafen"}, {"on", false}});
  EXPECT_NE(w.finds("hearing"), "");
}
