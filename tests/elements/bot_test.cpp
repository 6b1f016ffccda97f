// discordvoicesrc as a bot, against the loopback's main gateway, over real sockets.
#include "call_rig.hpp"

#include <map>
#include <set>

using namespace discord;
using namespace discord::test;
using namespace std::chrono_literals;
using loopback::Status;

namespace {

constexpr std::uint64_t guild = 11;
constexpr std::uint64_t channel = 12;
const std::string chain =
    "! discorddecrypt name=d ! discordreorder name=r ! fakesink name=out sync=false async=false";

std::string bot(Call& call, std::uint64_t in = channel, const std::string& more = "") {
  return "discordvoicesrc name=src bot-token=" + call.server.bot_token() + " gateway-url=ws://" +
         call.server.endpoint() + " guild-id=" + std::to_string(guild) +
         " channel-id=" + std::to_string(in) + " " + more + " ";
}

loopback::Options options(bool once = false) {
  return bot_options(once);
}

// The error of a bot that cannot join, which must come soon.
std::string failure(Call& call, std::uint64_t in, const std::string& more = "") {
  Pipeline p(bot(call, in, more) + chain);
  const gint64 begin = g_get_monotonic_time();
  p.play();
  const std::string sentence = p.error();
  EXPECT_LT(g_get_monotonic_time() - begin, 3 * G_USEC_PER_SEC) << "no time-out";
  EXPECT_TRUE(p.eos());
  return sentence;
}

bool state_is(const GstStructure* s, const char* state) {
  return g_strcmp0(gst_structure_get_string(s, "state"), state) == 0;
}

// A bot in the call, that hears something.
struct Seated {
  explicit Seated(loopback::Options o, const std::string& more = "")
      : call(std::move(o)), p(bot(call, channel, more) + chain), heard(p.pad("r", "src").get()) {
    p.play();
    EXPECT_TRUE(heard.wait_for(5));
  }
  void command(const nlohmann::json& c) {
    const nlohmann::json answer = call.server.command(c);
    EXPECT_TRUE(answer.value("ok", false)) << answer;
  }
  // Waits for the message of a new voice connection, and that it gives sound.
  void heard_again() {
    EXPECT_NE(p.told("discord-session", [](auto* s) { return state_is(s, "connected"); }), nullptr);
    goes_on();
  }
  void goes_on() { EXPECT_TRUE(heard.wait_for(heard.packets().size() + 10)); }
  // Forgets what is on the bus, so that what comes next is new.
  void drain() {
    const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
    while (const MessagePtr message{gst_bus_pop(bus.get())}) {
      EXPECT_NE(GST_MESSAGE_TYPE(message.get()), GST_MESSAGE_ERROR)
          << Pipeline::sentence_of(message.get());
    }
  }
  // How many of the session messages there now were of that state.
  int count(const char* state) {
    const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
    int found = 0;
    while (const MessagePtr message{gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ELEMENT)}) {
      found += gst_message_has_name(message.get(), "discord-session") &&
               state_is(gst_message_get_structure(message.get()), state);
    }
    return found;
  }
  void adds_up() {
    expect_adds_up(p.get("d").get());
    expect_adds_up(p.get("r").get());
  }

  Call call;
  Pipeline p;
  Counter heard;
};

}  // namespace

TEST(Bot, JoinsAndHearsEveryPacket) {
  Call call(options(true));
  Pipeline p(bot(call) + chain);
  Counter heard(p.pad("r", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(call.all_sent()));
  p.stop();
  EXPECT_TRUE(call.server.wait([](const Status& s) { return s.main.leaves == 1; }, 10s))
      << "out of the channel before the voice server is left";
  const Status s = call.server.status();
  EXPECT_EQ(s.main.identified, 1u);
  EXPECT_EQ(s.main.joins, 1u);
  EXPECT_TRUE(s.main.self_mute);
  EXPECT_FALSE(s.main.self_deaf);
  EXPECT_TRUE(s.complaints.empty());
}

TEST(Bot, NeedsNoMoreThanATokenAndTwoIds) {
  Pipeline p("discordvoicesrc bot-token=t " + chain);
  EXPECT_EQ(p.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  EXPECT_EQ(p.error(),
            "The bot cannot be started: guild-id is missing; channel-id is missing. Switch on "
            "Developer Mode in Discord (Settings, Advanced) to copy them from the menus of the "
            "server and of the channel.");
  Pipeline wrong("discordvoicesrc bot-token=t guild-id=1 channel-id=2 shard=1 " + chain);
  EXPECT_EQ(wrong.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  EXPECT_EQ(wrong.error(), "The bot cannot be started: shard is not ID/COUNT with ID below COUNT.");
}

TEST(Bot, UpdatesComeInEitherOrder) {
  loopback::Options o = options();
  o.main.server_first = true;
  Seated s(std::move(o));
}

TEST(Bot, AGuildOfThreeMebibytes) {
  loopback::Options o = options();
  o.main.ballast = 3u << 20;
  Seated s(std::move(o));
}

// --- why not ---

TEST(BotRefused, ATokenThatIsWrong) {
  Call call(options());
  const std::string sentence = failure(call, channel, "bot-token=wrong");
  EXPECT_NE(sentence.find("4004"), std::string::npos) << sentence;
}

TEST(BotRefused, NotInTheGuild) {
  loopback::Options o = options();
  o.main.invited = false;
  Call call(std::move(o));
  const std::string sentence = failure(call, channel);
  EXPECT_NE(sentence.find("https://discord.com/oauth2/authorize?client_id=900000000000000001"),
            std::string::npos)
      << sentence;
}

TEST(BotRefused, NotAVoiceChannel) {
  Call call(options());
  EXPECT_NE(failure(call, channel + loopback::guild_channel::text).find("not a voice"),
            std::string::npos);
}

TEST(BotRefused, NoPermissionToConnect) {
  Call call(options());
  EXPECT_NE(failure(call, channel + loopback::guild_channel::locked).find("permission Connect"),
            std::string::npos);
}

TEST(BotRefused, NoPermissionToView) {
  Call call(options());
  EXPECT_NE(failure(call, channel + loopback::guild_channel::hidden).find("View Channel"),
            std::string::npos);
}

TEST(BotRefused, AFullChannel) {
  Call call(options());
  EXPECT_NE(failure(call, channel + loopback::guild_channel::full).find("no place left"),
            std::string::npos);
}

TEST(BotRefused, AStageWhereEncryptionIsRequired) {
  Call call(options());
  EXPECT_NE(failure(call, channel + loopback::guild_channel::stage, "e2ee=required")
                .find("stage channel"),
            std::string::npos);
}

TEST(BotRefused, TwoSourcesInOneGuild) {
  Seated s(options());
  Pipeline second(bot(s.call, channel + 1) + chain);
  second.play();
  const std::string sentence = second.error();
  EXPECT_NE(sentence.find("already has a connection"), std::string::npos) << sentence;
  s.goes_on();
}

// --- changes while it runs: docs/protocol/gateway.md "Joining a channel" ---
//
//   join, in either order                 Bot.JoinsAndHearsEveryPacket,
//   Bot.UpdatesComeInEitherOrder no answer, and why                    BotRefused.* moved, closed
//   or not, before or after BeingMovedIsFollowed, BeingMovedWithoutACloseIsFollowed,
//                                         ThirtyMovesInARow
//   op 4 to another channel               ChannelIdMovesTheBot, AChannelThatCannotBeJoined...
//   kicked, channel deleted               AKickEndsIt
//   failover: a null endpoint             NoEndpointIsWaitedOut, NoEndpointAtTheJoin
//   region change                         AnotherRegionIsFollowed
//   outage of the guild                   AnOutageOfTheGuildIsWaitedOut
//   removed from the guild                RemovalFromTheGuildEndsIt
//   stale credentials, 4006 for ever      StaleCredentialsAreRenewed...,
//   A4006LoopIsBoundedAndSlowed server-deafened BeingDeafenedByAModeratorIsAWarning, and
//   heard_test.cpp READY anew, RESUMED before or after   BotGateway.* close codes of the voice
//   gateway      rejoin_test.cpp, BotVoiceCode: a row for each

TEST(BotCall, BeingMovedIsFollowed) {
  Seated s(options());
  for (const bool events_first : {false, true}) {
    s.drain();
    s.command({{"do", "bot-move"}, {"events_first", events_first}});
    s.heard_again();
    s.adds_up();
  }
}

TEST(BotCall, BeingMovedWithoutACloseIsFollowed) {
  Seated s(options());
  s.drain();
  s.command({{"do", "bot-move"}, {"code", 0}});
  s.heard_again();
  guint64 now_in = 0;
  g_object_get(s.p.get("src").get(), "channel-id", &now_in, nullptr);
  EXPECT_EQ(now_in, channel + 1);
}

TEST(BotCall, ChannelIdMovesTheBot) {
  Seated s(options());
  s.drain();
  g_object_set(s.p.get("src").get(), "channel-id", guint64{channel + 1}, nullptr);
  EXPECT_TRUE(s.call.server.wait(
      [](const Status& st) { return st.main.last_channel == channel + 1; }, 10s));
  s.heard_again();
}

TEST(BotCall, AChannelThatCannotBeJoinedIsAWarningAndTheCallGoesOn) {
  Seated s(options());
  s.drain();
  g_object_set(s.p.get("src").get(), "channel-id",
               guint64{channel + loopback::guild_channel::locked}, nullptr);
  EXPECT_NE(s.p.wait(GST_MESSAGE_WARNING), nullptr);
  s.goes_on();
}

TEST(BotCall, MuteAndDeafChangeLive) {
  Seated s(options());
  g_object_set(s.p.get("src").get(), "self-mute", FALSE, "self-deaf", TRUE, nullptr);
  EXPECT_TRUE(s.call.server.wait(
      [](const Status& st) { return !st.main.self_mute && st.main.self_deaf; }, 10s));
  s.goes_on();
}

TEST(BotCall, AKickEndsIt) {
  for (const bool events_first : {false, true}) {
    Seated s(options());
    s.command({{"do", "bot-kick"}, {"events_first", events_first}});
    EXPECT_NE(s.p.error().find("disconnected from the channel"), std::string::npos);
    EXPECT_TRUE(s.p.eos());
  }
}

TEST(BotCall, AnotherRegionIsFollowed) {
  Seated s(options());
  s.drain();
  s.command({{"do", "bot-region"}});
  s.heard_again();
}

TEST(BotCall, NoEndpointIsWaitedOut) {
  Seated s(options());
  s.drain();
  s.command({{"do", "bot-no-endpoint"}, {"ms", 300}});
  s.heard_again();
}

TEST(BotCall, NoEndpointAtTheJoin) {
  loopback::Options o = options();
  o.main.null_endpoint_joins = 1;
  Seated s(std::move(o));
}

TEST(BotCall, AnOutageOfTheGuildIsWaitedOut) {
  Seated s(options());
  s.drain();
  s.command({{"do", "guild-outage"}, {"ms", 200}, {"leave", true}});
  s.heard_again();
}

TEST(BotCall, RemovalFromTheGuildEndsIt) {
  Seated s(options());
  s.command({{"do", "guild-remove"}});
  EXPECT_NE(s.p.error().find("removed from the guild"), std::string::npos);
}

TEST(BotCall, StaleCredentialsAreRenewedByLeavingAndJoining) {
  loopback::Options o = options();
  o.main.stale_joins = 1;
  Seated s(std::move(o));
  EXPECT_EQ(s.call.server.status().main.seated, 2u);
  EXPECT_EQ(s.call.server.status().main.leaves, 1u);
}

// eris#255: 4006 answered with the same values, hundreds of times.
TEST(BotCall, A4006LoopIsBoundedAndSlowed) {
  Seated s(options());
  s.command({{"do", "bot-stale"}, {"count", 3}});
  s.command({{"do", "close"}, {"code", 4006}});
  EXPECT_TRUE(s.call.server.wait([](const Status& st) { return st.main.seated >= 3; }, 10s));
  EXPECT_FALSE(s.call.server.wait([](const Status& st) { return st.main.seated >= 5; }, 2s));
}

TEST(BotCall, BeingDeafenedByAModeratorIsAWarning) {
  Seated s(options());
  s.drain();
  s.command({{"do", "bot-deafen"}});
  const MessagePtr warning = s.p.wait(GST_MESSAGE_WARNING);
  ASSERT_NE(warning, nullptr);
  s.command({{"do", "bot-deafen"}, {"on", false}});
  EXPECT_NE(s.p.told("discord-session", [](auto* m) { return state_is(m, "hearing"); }), nullptr);
}

TEST(BotCall, ThirtyMovesInARow) {
  Seated s(options());
  for (int i = 0; i < 30; ++i) {
    s.drain();
    s.command({{"do", "bot-move"}, {"events_first", i % 2 == 0}, {"code", i % 3 == 0 ? 0 : 4014}});
    ASSERT_NE(s.p.told("discord-session", [](auto* m) { return state_is(m, "connected"); }),
              nullptr);
  }
  s.goes_on();
  s.adds_up();
  EXPECT_EQ(s.call.server.status().main.seated, 31u);
  EXPECT_EQ(s.call.server.status().main.identified, 1u);
}

// --- the main gateway itself: docs/protocol/gateway.md "Close codes of the main gateway" ---

TEST(BotGateway, ADropIsResumedAndVoiceGoesOn) {
  for (const bool resumed_first : {false, true}) {
    loopback::Options o = options();
    o.main.resumed_first = resumed_first;
    Seated s(std::move(o));
    s.drain();
    s.command({{"do", "gateway-drop"}});
    EXPECT_TRUE(s.call.server.wait([](const Status& st) { return st.main.resumed == 1; }, 10s));
    s.goes_on();
    EXPECT_EQ(s.count("connecting"), 0);
    EXPECT_EQ(s.call.server.status().main.joins, 1u);
  }
}

TEST(BotGateway, EventsOfTheGapAreReplayed) {
  for (const bool resumed_first : {false, true}) {
    loopback::Options o = options();
    o.main.resumed_first = resumed_first;
    Seated s(std::move(o));
    s.drain();
    s.command({{"do", "gateway-drop"}});
    s.command({{"do", "bot-move"}});
    s.heard_again();
    EXPECT_EQ(s.call.server.status().main.identified, 1u);
  }
}

// A thousand are done with invented time in tests/unit; here the sockets are real.
TEST(BotGateway, TenDropsInARowCostNothing) {
  Seated s(options());
  s.drain();
  // From the second on each waits a little longer, so they are broken while they wait, too.
  for (int i = 0; i < 10; ++i) {
    s.command({{"do", i % 2 == 0 ? "gateway-drop" : "gateway-reconnect"}});
  }
  EXPECT_TRUE(s.call.server.wait(
      [](const Status& st) { return st.main.resumed >= 1 && st.main.sockets_now == 1; }, 20s));
  s.goes_on();
  s.adds_up();
  EXPECT_EQ(s.count("connecting"), 0);
  EXPECT_EQ(s.call.server.status().main.seated, 1u);
}

class BotGatewayCode : public testing::TestWithParam<int> {};

TEST_P(BotGatewayCode, IsAnsweredAsTheTableSays) {
  const int code = GetParam();
  Seated s(options());
  s.drain();
  s.command({{"do", "gateway-close"}, {"code", code}});
  if (code == 4004 || (code >= 4010 && code <= 4014)) {
    EXPECT_NE(s.p.error().find(std::to_string(code)), std::string::npos);
    EXPECT_TRUE(s.p.eos());
  } else if (code == 4008) {
    EXPECT_FALSE(s.call.server.wait([](const Status& st) { return st.main.resumed > 0; }, 1s));
    s.goes_on();
  } else if (code == 4003 || code == 4005 || code == 4007 || code == 4009) {
    s.heard_again();
    EXPECT_EQ(s.call.server.status().main.identified, 2u);
  } else {
    EXPECT_TRUE(s.call.server.wait([](const Status& st) { return st.main.resumed == 1; }, 10s));
    s.goes_on();
    EXPECT_EQ(s.call.server.status().main.identified, 1u);
  }
}
INSTANTIATE_TEST_SUITE_P(Table, BotGatewayCode,
                         testing::Values(1000, 1001, 4000, 4001, 4002, 4003, 4004, 4005, 4007, 4008,
                                         4009, 4010, 4011, 4012, 4013, 4014),
                         [](const auto& row) { return std::to_string(row.param); });

TEST(BotGateway, InvalidSessionJoinsAnew) {
  Seated s(options());
  s.drain();
  s.command({{"do", "gateway-invalid"}});
  s.heard_again();
  EXPECT_EQ(s.call.server.status().main.identified, 2u);
}

TEST(BotGateway, InvalidSessionThatMayBeResumedIsResumed) {
  Seated s(options());
  s.command({{"do", "gateway-invalid"}, {"resumable", true}});
  EXPECT_TRUE(s.call.server.wait([](const Status& st) { return st.main.resumed == 1; }, 10s));
  s.goes_on();
  EXPECT_EQ(s.call.server.status().main.identified, 1u);
}

TEST(BotGateway, AResumeThatIsRefusedIdentifiesAndJoinsAnew) {
  Seated s(options());
  s.drain();
  s.command({{"do", "gateway-refuse-resume"}});
  s.command({{"do", "gateway-drop"}});
  s.heard_again();
  EXPECT_EQ(s.call.server.status().main.identified, 2u);
}

TEST(BotGateway, AZombieIsResumed) {
  loopback::Options o = options();
  o.main.heartbeat_interval_ms = 400;
  Seated s(std::move(o));
  s.command({{"do", "gateway-silence"}});
  EXPECT_TRUE(s.call.server.wait([](const Status& st) { return st.main.resumed >= 1; }, 10s));
  s.command({{"do", "gateway-silence"}, {"on", false}});
  s.goes_on();
}

namespace {

// Counts what discordvoicesrc logs as a warning about messages that make no sense.
class NonsenseLog {
 public:
  NonsenseLog() {
    gst_debug_set_threshold_for_name("discordvoicesrc", GST_LEVEL_WARNING);
    // In brackets, it is the function: the macros compare it in a way that is not ISO C++.
    (gst_debug_add_log_function)(on_log, this, nullptr);
  }
  ~NonsenseLog() {
    (gst_debug_remove_log_function)(on_log);
    gst_debug_unset_threshold_for_name("discordvoicesrc");
  }
  // Sentences to how often they were logged.
  std::map<std::string, int> seen() {
    Lock lock(mutex_);
    return seen_;
  }

 private:
  static void on_log(GstDebugCategory*, GstDebugLevel level, const gchar*, const gchar*, gint,
                     GObject*, GstDebugMessage* message, gpointer data) {
    auto* self = static_cast<NonsenseLog*>(data);
    const std::string text = gst_debug_message_get(message);
    if (level == GST_LEVEL_WARNING && text.find("makes no sense") != std::string::npos) {
      Lock lock(self->mutex_);
      ++self->seen_[text];
    }
  }
  Mutex mutex_;
  std::map<std::string, int> seen_;
};

std::map<std::string, int> once_each(const char* whom, std::initializer_list<const char*> kinds) {
  std::map<std::string, int> out;
  for (const char* kind : kinds) {
    out["A message of " + std::string(whom) + " makes no sense (" + kind +
        ") and is left out. More of this kind are only counted (malformed-messages)."] = 1;
  }
  return out;
}

}  // namespace

TEST(BotGateway, GarbageIsNotFatalAndLoggedOnce) {
  NonsenseLog log;
  Seated s(options());
  for (int i = 0; i < 3; ++i) {
    for (const nlohmann::json& message :
         {nlohmann::json("{"), nlohmann::json("null"), nlohmann::json{{"op", 77}},
          nlohmann::json::array(), nlohmann::json{{"op", 0}, {"t", "GUILD_CREATE"}}}) {
      s.command({{"do", "gateway-send"}, {"message", message}});
    }
  }
  s.drain();
  s.command({{"do", "bot-move"}});
  s.heard_again();
  EXPECT_EQ(log.seen(), once_each("Discord's gateway", {"not-json", "not-object", "bad-field"}));
}

// The same on the other gateway: what makes no sense is counted, and the call goes on.
TEST(BotCall, GarbageOnTheVoiceGatewayIsNotFatalAndLoggedOnce) {
  NonsenseLog log;
  Seated s(options());
  for (const int op : {5, 6, 9, 11, 12, 13, 14, 15, 18, 20}) {
    for (const nlohmann::json& d :
         {nlohmann::json(), nlohmann::json("text"), nlohmann::json(-1), nlohmann::json::array({1}),
          nlohmann::json{{"user_id", nullptr}, {"ssrc", "x"}, {"user_ids", 7}}}) {
      s.command({{"do", "send"}, {"op", op}, {"d", d}});
    }
  }
  s.goes_on();
  EXPECT_GT(count_of(s.p.get("src").get(), "malformed-messages"), 10u);
  EXPECT_EQ(s.call.server.status().main.seated, 1u) << "not even a reconnection";
  EXPECT_EQ(log.seen(), once_each("the voice gateway", {"bad-field"}));
  s.adds_up();
}

// --- sharing and restarting ---

TEST(BotShared, SourcesWithOneTokenShareOneConnection) {
  loopback::Options o = options();
  loopback::CallOptions other = o.calls.front();
  other.guild_id = 21;
  other.channel_id = 22;
  other.talkers = {talker(201, 3001, 30)};
  o.calls.push_back(std::move(other));
  Seated s(std::move(o));
  Pipeline second("discordvoicesrc name=src bot-token=" + s.call.server.bot_token() +
                  " gateway-url=ws://" + s.call.server.endpoint() + " guild-id=21 channel-id=22 " +
                  chain);
  Counter heard(second.pad("r", "src").get());
  second.play();
  EXPECT_TRUE(heard.wait_for(5));
  EXPECT_EQ(s.call.server.status().main.sockets, 1u);
  second.stop();
  s.goes_on();
  EXPECT_EQ(s.call.server.status().main.sockets_now, 1u);
}

TEST(BotShared, ARestartResumesInsteadOfIdentifying) {
  loopback::Options o = options();
  Call call(std::move(o));
  for (int i = 0; i < 3; ++i) {
    Pipeline p(bot(call) + chain);
    Counter heard(p.pad("r", "src").get());
    p.play();
    ASSERT_TRUE(heard.wait_for(5));
    p.stop();
    EXPECT_TRUE(call.server.wait([](const Status& s) { return s.main.sockets_now == 0; }, 10s));
  }
  EXPECT_EQ(call.server.status().main.identified, 1u);
  EXPECT_EQ(call.server.status().main.resumed, 2u);
}

// discord-record listed its own bot among the speakers.
TEST(BotNames, TheBotItselfIsNotAmongThem) {
  Call call(options());
  Pipeline p(bot(call) + chain);
  p.play();
  std::set<guint64> named;
  EXPECT_NE(p.told("discord-user-info",
                   [&](const GstStructure* s) {
                     guint64 user = 0;
                     gst_structure_get_uint64(s, "user-id", &user);
                     named.insert(user);
                     return named.contains(101) && named.contains(102);
                   }),
            nullptr);
  EXPECT_EQ(named, (std::set<guint64>{101, 102}));
}

TEST(BotNames, ReachPadsTagsAndTheBus) {
  loopback::Options o = options();
  o.calls.front().talkers[0].speaker.name = "Ada";
  Call call(std::move(o));
  Pipeline p(bot(call) +
             "! discorddecrypt ! discordreorder ! discordssrcdemux name=x ! fakesink "
             "sync=false async=false");
  p.play();
  EXPECT_NE(p.told("discord-user-info",
                   [](const GstStructure* s) {
                     return g_strcmp0(gst_structure_get_string(s, "display-name"), "Ada") == 0;
                   }),
            nullptr);
  ASSERT_NE(p.wait(GST_MESSAGE_STREAM_COLLECTION), nullptr);
  bool found = false;
  for (GList* l = p.get("x")->srcpads; l != nullptr; l = l->next) {
    gchar* name = nullptr;
    g_object_get(l->data, "display-name", &name, nullptr);
    found = found || (name != nullptr && *name != '\0');
    g_free(name);
  }
  EXPECT_TRUE(found);
  const nlohmann::json answer =
      call.server.command({{"do", "bot-rename"}, {"user_id", "101"}, {"nick", "Countess"}});
  EXPECT_TRUE(answer["ok"]);
  EXPECT_NE(p.told("discord-user-info",
                   [](const GstStructure* s) {
                     return g_strcmp0(gst_structure_get_string(s, "display-name"), "Countess") == 0;
                   }),
            nullptr);
}
