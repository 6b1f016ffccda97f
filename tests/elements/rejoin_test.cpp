// What discordvoicesrc does when the voice gateway ends a call: as a bot, and with an application
// that brings new credentials. And that nothing of it gives a secret away.
#include "call_rig.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

using namespace discord;
using namespace discord::test;
using namespace std::chrono_literals;
using loopback::Status;

namespace {

const std::string chain =
    "! discorddecrypt name=d ! discordreorder name=r ! fakesink name=out sync=false async=false";

loopback::Options options() {
  static int number = 0;
  loopback::Options o = call_options(0.2);
  for (loopback::TalkerOptions& t : o.calls.front().talkers) {
    t.speaker.repeat = 250ms;
  }
  o.main.bot_token = "rejoin-" + std::to_string(++number) + "-" + std::to_string(getpid());
  return o;
}

std::string bot(const loopback::Server& server) {
  return "discordvoicesrc name=src bot-token=" + server.bot_token() + " gateway-url=ws://" +
         server.endpoint() + " guild-id=11 channel-id=12 ";
}

bool connected(const GstStructure* s) {
  return g_strcmp0(gst_structure_get_string(s, "state"), "connected") == 0;
}

}  // namespace

// docs/protocol/voice.md "Close codes of the voice gateway".
class BotVoiceCode : public testing::TestWithParam<int> {};

TEST_P(BotVoiceCode, IsAnsweredAsTheTableSays) {
  const int code = GetParam();
  Call call(options());
  Pipeline p(bot(call.server) + chain);
  Counter heard(p.pad("r", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  ASSERT_NE(p.told("discord-session", connected), nullptr);
  call.server.command(code == 0 ? nlohmann::json{{"do", "drop-socket"}}
                                : nlohmann::json{{"do", "close"}, {"code", code}});
  if (code < 4000 || code == 4013 || code == 4015) {
    EXPECT_TRUE(call.server.wait([](const Status& s) { return s.resumed == 1; }, 10s));
    EXPECT_EQ(call.server.status().main.seated, 1u);
  } else if (code == 4012 || code == 4016 || code == 4017 || code == 4021) {
    EXPECT_NE(p.error().find(std::to_string(code)), std::string::npos);
    EXPECT_TRUE(p.eos());
    return;
  } else {
    // 4014 and 4022 say that a move or a kick may be on its way; when neither shows, it joins anew.
    ASSERT_NE(p.told("discord-session", connected), nullptr);
    EXPECT_EQ(call.server.status().main.seated, 2u);
  }
  EXPECT_TRUE(heard.wait_for(heard.packets().size() + 10));
  expect_adds_up(p.get("d").get());
  expect_adds_up(p.get("r").get());
  EXPECT_EQ(call.server.status().main.identified, 1u);
}
INSTANTIATE_TEST_SUITE_P(Table, BotVoiceCode,
                         testing::Values(0, 1000, 1001, 4001, 4002, 4003, 4004, 4005, 4006, 4009,
                                         4011, 4012, 4013, 4014, 4015, 4016, 4017, 4020, 4021,
                                         4022),
                         [](const auto& row) {
                           return row.param == 0 ? "lost" : std::to_string(row.param);
                         });

namespace {

// An application whose own library joins when it is asked to.
struct Application {
  Application() : call(options()) {}

  void connect(Pipeline& p) {
    source = p.get("src");
    g_signal_connect(source.get(), "credentials-needed",
                     G_CALLBACK(+[](GstElement*, const gchar* reason, gpointer self) {
                       EXPECT_NE(reason[0], '\0');
                       static_cast<Application*>(self)->join();
                     }),
                     this);
  }
  void join() {
    loopback::Credentials c = call.server.credentials();
    if (asked++ > 0) {
      c = renewed("change-server");
    }
    tell(c, asked % 2 == 0);
  }
  loopback::Credentials renewed(const char* how) {
    const nlohmann::json answer = call.server.command({{"do", how}, {"channel_id", "12"}});
    loopback::Credentials c = call.server.credentials();
    c.token = answer["credentials"]["token"];
    return c;
  }
  void tell(const loopback::Credentials& c, bool server_first) {
    const std::string endpoint = "ws://" + call.server.endpoint();
    if (!server_first) {
      g_signal_emit_by_name(source.get(), "update-voice-state", c.session_id.c_str());
    }
    g_signal_emit_by_name(source.get(), "update-voice-server", endpoint.c_str(), c.token.c_str());
    if (server_first) {
      g_signal_emit_by_name(source.get(), "update-voice-state", c.session_id.c_str());
    }
  }
  std::string line() const {
    return "discordvoicesrc name=src user-id=" + std::to_string(call.server.credentials().user_id) +
           " guild-id=11 channel-id=12 " + chain;
  }

  Call call;
  ObjectPtr<GstElement> source;
  std::atomic<int> asked{0};
};

}  // namespace

TEST(Application, IsAskedAtTheStartAndWhenACallIsOver) {
  Application app;
  Pipeline p(app.line());
  app.connect(p);
  Counter heard(p.pad("r", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  EXPECT_EQ(app.asked, 1);
  for (int i = 2; i < 4; ++i) {
    app.call.server.command({{"do", "close"}, {"code", 4006}});
    ASSERT_TRUE(heard.wait_for(heard.packets().size() + 20));
    EXPECT_EQ(app.asked, i);
  }
  expect_adds_up(p.get("d").get());
}

TEST(Application, TellsOfAMoveByItself) {
  Application app;
  Pipeline p(app.line());
  app.connect(p);
  Counter heard(p.pad("r", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  app.tell(app.renewed("move"), false);
  ASSERT_TRUE(heard.wait_for(heard.packets().size() + 20));
  EXPECT_EQ(app.asked, 1);
}

TEST(Application, WithoutAnybodyToAskMissingValuesAreAnError) {
  Application app;
  Pipeline p(app.line());
  EXPECT_EQ(p.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  EXPECT_NE(p.error().find("endpoint is missing"), std::string::npos);
}

TEST(Application, UpdatesBeforeTheStartAreLikeProperties) {
  Application app;
  Pipeline p(app.line());
  app.source = p.get("src");
  app.tell(app.call.server.credentials(), true);
  Counter heard(p.pad("r", "src").get());
  p.play();
  EXPECT_TRUE(heard.wait_for(5));
}

TEST(Application, NamesPeople) {
  Application app;
  Pipeline p(app.line());
  app.connect(p);
  g_signal_emit_by_name(app.source.get(), "set-user", guint64{101}, "Ada", FALSE);
  p.play();
  EXPECT_NE(p.told("discord-user-info",
                   [](const GstStructure* s) {
                     return g_strcmp0(gst_structure_get_string(s, "display-name"), "Ada") == 0;
                   }),
            nullptr);
  ASSERT_NE(p.told("discord-session", connected), nullptr);
  SessionView view(app.source.get());
  EXPECT_EQ(view.state().snapshot()->names->at(101).name, "Ada") << "a new connection keeps it";
}

// A wrong id is answered with 4006, which says nothing of ids.
TEST(Rejoin, AWrongIdIsHintedAt) {
  Call call(options());
  const loopback::Credentials c = call.server.credentials();
  Pipeline p("discordvoicesrc endpoint=ws://" + call.server.endpoint() + " session-id=" +
             c.session_id + " token=" + c.token + " user-id=77 guild-id=11 channel-id=12 " + chain);
  p.play();
  const std::string sentence = p.error();
  EXPECT_NE(sentence.find("user-id, guild-id and channel-id"), std::string::npos) << sentence;
}

namespace {

// Runs gst-launch with everything logged, and looks for the secret wherever it could be seen.
void expect_secret_stays(const std::string& line, const std::string& secret) {
  TempDir dir;
  const std::string log = dir.path() + "/log";
  gchar** env = g_get_environ();
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, std::string>>{
           {"GST_DEBUG", "*:9"},
           {"GST_DEBUG_FILE", log},
           {"GST_DEBUG_NO_COLOR", "1"},
           {"G_MESSAGES_DEBUG", "all"},
           {"SOUP_DEBUG", "3"},
           {"GST_TRACERS", ""},
           {"GST_DEBUG_DUMP_DOT_DIR", dir.path()}}) {
    env = g_environ_setenv(env, key, value.c_str(), TRUE);
  }
  const std::string command = "gst-launch-1.0 -m " + line;
  gchar** argv = nullptr;
  ASSERT_TRUE(g_shell_parse_argv(command.c_str(), nullptr, &argv, nullptr));
  gchar* out = nullptr;
  gchar* err = nullptr;
  gint status = 0;
  ASSERT_TRUE(g_spawn_sync(nullptr, argv, env, G_SPAWN_SEARCH_PATH, nullptr, nullptr, &out, &err,
                           &status, nullptr));
  EXPECT_EQ(status, 0) << err;
  const auto clean = [&](const std::string& text, const std::string& where) {
    EXPECT_EQ(text.find(secret), std::string::npos) << "found in " << where;
  };
  clean(out, "standard output");
  clean(err, "standard error");
  g_strfreev(argv);
  g_strfreev(env);
  g_free(out);
  g_free(err);
  std::size_t dots = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_FALSE(text.empty()) << entry.path();
    clean(text, entry.path());
    dots += entry.path().extension() == ".dot";
  }
  EXPECT_GT(dots, 0u);
}

}  // namespace

TEST(Secrets, ABotTokenIsNeverShown) {
  loopback::Options o = options();
  o.main.bot_token = "canary-of-the-bot-" + std::to_string(getpid());
  const std::string token = o.main.bot_token;
  Call call(std::move(o));
  TempDir dir;
  expect_secret_stays("discordvoicesrc num-buffers=20 bot-token-file=" + dir.write("t", token) +
                          " gateway-url=ws://" + call.server.endpoint() +
                          " guild-id=11 channel-id=12 ! tee name=t ! queue ! discorddecrypt ! "
                          "fakesink t. ! queue ! discordworkerdec ! fakesink",
                      token);
  EXPECT_EQ(call.server.status().main.seated, 1u);
}

TEST(Secrets, AVoiceTokenIsNeverShown) {
  Call call(options());
  const loopback::Credentials c = call.server.credentials();
  TempDir dir;
  expect_secret_stays("discordvoicesrc num-buffers=20 endpoint=ws://" + call.server.endpoint() +
                          " session-id=" + c.session_id + " token-file=" + dir.write("t", c.token) +
                          " user-id=" + std::to_string(c.user_id) +
                          " guild-id=11 channel-id=12 ! discorddecrypt ! fakesink",
                      c.token);
}

// Workers get keys through shared memory, and nothing through what everybody on the machine can
// read.
TEST(Secrets, WorkersAreStartedWithoutAny) {
  loopback::Options o = options();
  o.main.bot_token = "canary-of-the-bot-" + std::to_string(getpid());
  Call call(std::move(o));
  TempDir dir;
  Pipeline p("discordvoicesrc name=src bot-token-file=" + dir.write("t", call.server.bot_token()) +
             " gateway-url=ws://" + call.server.endpoint() +
             " guild-id=11 channel-id=12 ! discordworkerdec name=d ! fakesink name=out sync=false");
  Counter heard(p.pad("out", "sink").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  std::size_t workers = 0;
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const auto read = [&](const char* what) {
      std::ifstream file(process.path() / what, std::ios::binary);
      return std::string{std::istreambuf_iterator<char>(file), {}};
    };
    const std::string name = read("comm");
    if (name.find("gst-discord-wor") == std::string::npos ||
        read("stat").find(" " + std::to_string(getpid()) + " ") == std::string::npos) {
      continue;
    }
    ++workers;
    EXPECT_EQ(read("cmdline").find("canary"), std::string::npos);
    EXPECT_EQ(read("environ").find("canary"), std::string::npos);
  }
  EXPECT_GT(workers, 0u);
}

// The file that outlives the process has no token in it, nor has its name, and is for its owner.
TEST(Secrets, TheKeptSessionHoldsNoToken) {
  loopback::Options o = options();
  const std::string token = o.main.bot_token;
  Call call(std::move(o));
  {
    Pipeline p(bot(call.server) + chain);
    Counter heard(p.pad("r", "src").get());
    p.play();
    ASSERT_TRUE(heard.wait_for(5));
  }
  const std::string folder = std::string(g_get_user_state_dir()) + "/gst-discord";
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(text.find(token), std::string::npos);
    EXPECT_EQ(entry.path().string().find(token), std::string::npos);
    const auto mode = std::filesystem::status(entry.path()).permissions();
    EXPECT_EQ(mode & std::filesystem::perms(077), std::filesystem::perms::none) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 0u);
}
