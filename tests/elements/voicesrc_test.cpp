// discordvoicesrc against the loopback Discord, over real sockets; the tests wait for messages.
#include "base/hex.hpp"
#include "call_rig.hpp"
#include "canary.hpp"

#include <gio/gio.h>

using namespace discord;
using namespace discord::test;
using namespace std::chrono_literals;
using loopback::Status;

namespace {

const std::string chain =
    "! discorddecrypt name=d ! discordreorder name=r ! fakesink name=out "
    "sync=false async=false";

// The error of a source that cannot join, which must come soon.
std::string failure(const std::string& source) {
  Pipeline p(source + chain);
  const gint64 begin = g_get_monotonic_time();
  p.play();
  const std::string sentence = p.error();
  EXPECT_LT(g_get_monotonic_time() - begin, 15 * G_USEC_PER_SEC);
  EXPECT_TRUE(p.eos()) << "what is downstream can finish";
  return sentence;
}

std::string refusal(const std::string& properties) {
  Pipeline p("discordvoicesrc " + properties + " " + chain);
  EXPECT_EQ(p.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  return p.error();
}

std::string tls_source(Call& call, const std::string& more = "") {
  return call.source("wss://" + call.server.tls_endpoint()) + more + " ";
}

}  // namespace

TEST(VoiceSrc, ReceivesEveryPacketOfACall) {
  Call call(call_options());
  Pipeline p(call.source() + chain);
  Counter sent(p.pad("src", "src").get());
  Counter heard(p.pad("r", "src").get());
  EXPECT_EQ(p.set(GST_STATE_PAUSED), GST_STATE_CHANGE_NO_PREROLL) << "a live source";
  p.play();
  const MessagePtr progress = p.wait(GST_MESSAGE_PROGRESS, [](GstMessage* m) {
    GstProgressType type;
    gst_message_parse_progress(m, &type, nullptr, nullptr);
    return type == GST_PROGRESS_TYPE_COMPLETE;
  });
  EXPECT_NE(progress, nullptr);
  const std::size_t packets = call.all_sent();
  ASSERT_TRUE(sent.wait_for(packets));
  ASSERT_TRUE(heard.wait_for(packets));
  EXPECT_EQ(count_of(p.get("d").get(), "received"), packets);
  EXPECT_EQ(count_of(p.get("r").get(), "lost"), 0u);
  expect_adds_up(p.get("d").get());
  expect_adds_up(p.get("r").get());
  gst_element_send_event(p.element(), gst_event_new_eos());
  EXPECT_TRUE(p.eos());
  const StructurePtr stats = stats_of(p.get("src").get());
  EXPECT_STREQ(gst_structure_get_string(stats.get(), "state"), "connected");
  p.stop();
  EXPECT_TRUE(call.server.wait([](const Status& s) { return s.left == 1; }, 10s))
      << "it says goodbye (close 1000)";
  EXPECT_TRUE(call.server.status().complaints.empty());
}

TEST(VoiceSrc, TellsWhoComesAndSpeaks) {
  Call call(call_options());
  Pipeline p(call.source() + chain);
  p.play();
  const auto user_is = [](std::uint64_t wanted) {
    return [wanted](const GstStructure* s) {
      guint64 user = 0;
      return gst_structure_get_uint64(s, "user-id", &user) && user == wanted;
    };
  };
  EXPECT_NE(p.told("discord-session"), nullptr);
  EXPECT_NE(p.told("discord-user-joined", user_is(101)), nullptr);
  EXPECT_NE(p.told("discord-speaking", user_is(102)), nullptr);
  call.all_sent();
  call.server.command({{"do", "leave"}, {"user_id", "101"}});
  EXPECT_NE(p.told("discord-user-left", user_is(101)), nullptr);
}

TEST(VoiceSrc, ReceivingFalsePausesAndTrueResumes) {
  Call call(call_options(6));
  Pipeline p(call.source() + chain);
  Counter heard(p.pad("r", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  const ObjectPtr<GstElement> src = p.get("src");
  g_object_set(src.get(), "receiving", FALSE, nullptr);
  const auto paused = [&] { return count_of(src.get(), "paused"); };
  for (int i = 0; i < 20 && paused() < 5; i++) {
    const std::uint64_t before = call.server.status().delivered;
    call.server.wait([&](const Status& s) { return s.delivered >= before + 5; }, 5s);
  }
  EXPECT_GE(paused(), 5u);
  const std::size_t passed = count_of(p.get("d").get(), "received");
  g_object_set(src.get(), "receiving", TRUE, nullptr);
  EXPECT_TRUE(heard.wait_for(passed + 5));
  const guint64 then = paused();
  EXPECT_TRUE(heard.wait_for(passed + 10));
  EXPECT_EQ(paused(), then);
}

TEST(VoiceSrc, MediaGoesOnWhileALostSocketIsResumed) {
  Call call(call_options(6));
  Pipeline p(call.source() + chain);
  Counter heard(p.pad("r", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  call.server.command({{"do", "drop-socket"}});
  EXPECT_TRUE(call.server.wait([](const Status& s) { return s.resumed == 1; }, 10s));
  ASSERT_TRUE(heard.wait_for(heard.packets().size() + 10));
  EXPECT_EQ(count_of(p.get("d").get(), "bad-tag"), 0u);
}

TEST(VoiceSrc, StopsAndStartsAgain) {
  Call call(call_options(20));
  Pipeline p(call.source() + chain);
  Counter heard(p.pad("r", "src").get());
  for (std::size_t round = 1; round <= 2; round++) {
    p.play();
    ASSERT_TRUE(heard.wait_for(heard.packets().size() + 5));
    p.set(GST_STATE_READY);
    EXPECT_TRUE(call.server.wait([&](const Status& s) { return s.left == round; }, 10s));
  }
}

TEST(VoiceSrc, StopsWhileItIsStillConnecting) {
  loopback::Options o = call_options();
  o.udp.drop_discovery = 1000;
  Call call(std::move(o));
  Pipeline p(call.source() + chain);
  p.play();
  ASSERT_NE(p.told("discord-session",
                   [](const GstStructure* s) {
                     return g_strcmp0(gst_structure_get_string(s, "state"), "discovering") == 0;
                   }),
            nullptr);
  EXPECT_EQ(p.set(GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
  const MessagePtr canceled = p.wait(GST_MESSAGE_PROGRESS, [](GstMessage* m) {
    GstProgressType type;
    gst_message_parse_progress(m, &type, nullptr, nullptr);
    return type == GST_PROGRESS_TYPE_CANCELED;
  });
  EXPECT_NE(canceled, nullptr);
}

// gst-launch-1.0 -e waits in PAUSED for the end of the progress; Ctrl-C there took until the
// connection timed out, ten seconds later.
TEST(VoiceSrc, AnEndWhileConnectingCallsTheAttemptOff) {
  const GObjectPtr<GSocketListener> silent(g_socket_listener_new());
  const guint16 port = g_socket_listener_add_any_inet_port(silent.get(), nullptr, nullptr);
  Pipeline p("discordvoicesrc endpoint=ws://127.0.0.1:" + std::to_string(port) +
             " session-id=s token=t user-id=1 guild-id=2 channel-id=3 " + chain);
  p.set(GST_STATE_PAUSED);
  ASSERT_NE(p.told("discord-session",
                   [](const GstStructure* s) {
                     return g_strcmp0(gst_structure_get_string(s, "state"), "connecting") == 0;
                   }),
            nullptr);
  const gint64 begin = g_get_monotonic_time();
  gst_element_send_event(p.element(), gst_event_new_eos());
  const MessagePtr over = p.wait(GST_MESSAGE_PROGRESS, [](GstMessage* m) {
    GstProgressType type;
    gst_message_parse_progress(m, &type, nullptr, nullptr);
    return type == GST_PROGRESS_TYPE_CANCELED || type == GST_PROGRESS_TYPE_ERROR;
  });
  ASSERT_NE(over, nullptr);
  GstProgressType type;
  gst_message_parse_progress(over.get(), &type, nullptr, nullptr);
  EXPECT_EQ(type, GST_PROGRESS_TYPE_CANCELED);
  p.play();
  EXPECT_TRUE(p.eos());
  EXPECT_LT(g_get_monotonic_time() - begin, 5 * G_USEC_PER_SEC);
}

TEST(VoiceSrc, DatagramsThatAreNoMediaAreNotPassedOn) {
  loopback::Options o = call_options(1);
  o.udp.keepalive_echo = true;
  o.noise.video = true;
  o.noise.forged = 200;
  o.noise.rtcp = 50ms;
  Call call(std::move(o));
  Pipeline p(call.source() + chain);
  Counter heard(p.pad("r", "src").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(call.all_sent()));
  const ObjectPtr<GstElement> d = p.get("d");
  EXPECT_GT(count_of(d.get(), "bad-tag"), 0u);
  EXPECT_GT(count_of(d.get(), "not-audio"), 0u);
  expect_adds_up(d.get());
}

TEST(VoiceSrc, MissingValuesAreOneErrorAtReady) {
  EXPECT_EQ(
      refusal(""),
      "The voice connection cannot be made: endpoint is missing; session-id is missing; token "
      "is missing; user-id is missing; guild-id is missing.");
  EXPECT_EQ(refusal("endpoint=ws://example.com session-id=s token=t user-id=1 guild-id=2"),
            "The voice connection cannot be made: endpoint asks for plain ws://, which is accepted "
            "only for 127.0.0.0/8 and [::1] because the token would travel readable; use wss://.");
  EXPECT_EQ(refusal("endpoint=a:99999 session-id=s token=t user-id=1 guild-id=2"),
            "The voice connection cannot be made: endpoint has a port that is not a number from 1 "
            "to 65535.");
  EXPECT_EQ(refusal("endpoint=a:1 session-id=s token-file=/nowhere/token user-id=1 guild-id=2"),
            "The file /nowhere/token cannot be read: No such file or directory.");
}

TEST(VoiceSrc, AWrongTokenIsToldAsSuch) {
  Call call(call_options());
  EXPECT_EQ(failure(call.source("", "wrong")),
            "Discord refused the voice token (4004); join the channel again and set endpoint, "
            "session-id and token to the values of that join (this token is not the bot token).");
}

TEST(VoiceSrc, AnUnknownModeIsToldAsSuch) {
  Call call(call_options());
  Pipeline p(call.source() + chain);
  p.play();
  ASSERT_NE(p.told("discord-speaking"), nullptr);
  call.server.command({{"do", "send"},
                       {"op", 4},
                       {"d",
                        {{"mode", "rot13_rtpsize"},
                         {"secret_key", std::vector<int>(32, 7)},
                         {"dave_protocol_version", 0},
                         {"audio_codec", "opus"}}}});
  EXPECT_EQ(p.error(),
            "The voice server chose the transport encryption \"rot13_rtpsize\", which this version "
            "does not know; a newer version of this plugin is needed.");
}

TEST(VoiceSrc, AModeThatIsRefusedIsToldAsSuch) {
  loopback::Options o = call_options();
  o.session.modes = {Mode::xsalsa20_poly1305_suffix};
  Call call(std::move(o));
  const std::string sentence = failure(call.source());
  EXPECT_NE(sentence.find("4016"), std::string::npos) << sentence;
}

// What the description names counts, not what was asked for.
TEST(VoiceSrc, TheModeThatTheServerNamesIsUsed) {
  loopback::Options o = call_options();
  o.session.other_mode = true;
  Call call(std::move(o));
  Pipeline p(call.source() + chain);
  Counter heard(p.pad("r", "src").get());
  p.play();
  EXPECT_TRUE(heard.wait_for(5));
  EXPECT_EQ(count_of(p.get("d").get(), "bad-tag"), 0u);
}

TEST(VoiceSrc, ACallThatDemandsDaveIsToldAsSuch) {
  loopback::Options o = call_options();
  o.dave.delivery.version = 1;
  Call call(std::move(o));
  const std::string sentence = failure(call.source() + "e2ee=off ");
  EXPECT_NE(sentence.find("4017"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("end-to-end encryption"), std::string::npos) << sentence;
  EXPECT_EQ(call.server.status().sockets, 1u) << "it must not be tried again";
}

TEST(VoiceSrc, AnUnreachableEndpointIsToldAsSuch) {
  std::string endpoint;
  {
    Call gone(call_options());
    endpoint = gone.server.endpoint();
  }
  Call call(call_options());
  EXPECT_EQ(failure(call.source("ws://" + endpoint)),
            "The voice server at ws://" + endpoint +
                " cannot be reached; check the endpoint with its port, the network and the "
                "firewall.");
}

TEST(VoiceSrc, UdpThatIsBlockedIsToldAsSuch) {
  loopback::Options o = call_options();
  o.udp.drop_discovery = 1000;
  Call call(std::move(o));
  const std::string sentence = failure(call.source());
  EXPECT_NE(sentence.find("does not answer over UDP; allow outgoing UDP"), std::string::npos)
      << sentence;
}

TEST(VoiceSrc, AnUnknownAuthorityIsToldAsSuch) {
  loopback::Options o = call_options();
  o.tls = true;
  Call call(std::move(o));
  if (g_tls_backend_supports_tls(g_tls_backend_get_default()) == FALSE) {
    GTEST_SKIP() << "This machine has no TLS module (package glib-networking).";
  }
  const std::string at = "The voice server at wss://" + call.server.tls_endpoint();
  EXPECT_EQ(failure(tls_source(call)),
            at +
                " could not prove its identity, so nothing was sent to it; check the endpoint, the "
                "clock of this computer and tls-ca-file.");
  EXPECT_EQ(failure(tls_source(call, "tls-ca-file=/nowhere")),
            at +
                " could not prove its identity, so nothing was sent to it; check the endpoint, the "
                "clock of this computer and tls-ca-file.");
  EXPECT_EQ(call.server.status().identified, 0u) << "the token stayed here";
}

TEST(VoiceSrc, ATrustedAuthorityConnects) {
  loopback::Options o = call_options();
  o.tls = true;
  Call call(std::move(o));
  if (g_tls_backend_supports_tls(g_tls_backend_get_default()) == FALSE) {
    GTEST_SKIP() << "This machine has no TLS module (package glib-networking).";
  }
  Pipeline p(tls_source(call, "tls-ca-file=" + call.server.ca_file()) + chain);
  Counter heard(p.pad("r", "src").get());
  p.play();
  EXPECT_TRUE(heard.wait_for(5));
}

TEST(WithoutTls, TheMissingPackageIsNamed) {
  if (g_tls_backend_supports_tls(g_tls_backend_get_default()) != FALSE) {
    GTEST_SKIP() << "Runs with GIO_USE_TLS=dummy only.";
  }
  const std::string source =
      "discordvoicesrc endpoint=example.invalid:2048 session-id=s token=t user-id=1 guild-id=2 "
      "channel-id=3 ";
  EXPECT_EQ(failure(source),
            "No TLS module is installed, so example.invalid:2048 cannot be reached safely; install "
            "the package glib-networking.");
}

TEST(VoiceSrc, TheSessionIsFoundInEveryStateAndThroughQueues) {
  Call call(call_options());
  Pipeline p(call.source() + "! queue name=q ! identity name=i ! fakesink");
  for (const char* name : {"src", "q", "i"}) {
    const ObjectPtr<GstPad> pad = p.pad(name, "src");
    const QueryPtr query(gst_query_new_context("gst.discord.Session"));
    EXPECT_TRUE(gst_pad_query(pad.get(), query.get())) << name << " in NULL";
    const QueryPtr other(gst_query_new_context("gst.other.Session"));
    EXPECT_FALSE(gst_pad_query(pad.get(), other.get())) << name;
  }
}

TEST(VoiceSrc, LatencyIsNone) {
  Call call(call_options());
  Pipeline p(call.source() + "! fakesink async=false");
  p.play();
  p.told("discord-session");
  const QueryPtr query(gst_query_new_latency());
  ASSERT_TRUE(gst_pad_query(p.pad("src", "src").get(), query.get()));
  gboolean live = FALSE;
  GstClockTime min = 1;
  gst_query_parse_latency(query.get(), &live, &min, nullptr);
  EXPECT_TRUE(live);
  EXPECT_EQ(min, 0u);
}

TEST(VoiceSrc, NoSecretInDumpsLogsCapsOrStatistics) {
  Call call(call_options());
  const loopback::Credentials c = call.server.add_client();
  Canary canary({c.token});
  {
    Pipeline p("discordvoicesrc name=src session-id=" + c.session_id +
               " user-id=" + std::to_string(c.user_id) + " guild-id=" + std::to_string(c.guild_id) +
               " channel-id=" + std::to_string(c.channel_id) + " endpoint=ws://" +
               call.server.endpoint() + " " + chain);
    canary.listen();
    // Through the file form: the arguments of gst-launch are public anyway.
    const TempDir dir;
    const std::string file = dir.write("token", "Bot \"" + c.token + "\"\n");
    g_object_set(p.get("src").get(), "token-file", file.c_str(), nullptr);
    canary.dump(p, {"src", "d", "r"});
    Counter heard(p.pad("r", "src").get());
    p.play();
    ASSERT_TRUE(heard.wait_for(5));
    SessionView session(p.get("src").get());
    const transport::Key key = *session.state().snapshot()->key;
    const std::string hex = to_hex(key.view());
    std::string upper = hex;
    std::transform(hex.begin(), hex.end(), upper.begin(),
                   [](char x) { return static_cast<char>(g_ascii_toupper(x)); });
    canary.add(
        {hex, upper, hex.substr(0, 16), std::string(reinterpret_cast<const char*>(key.data()), 8)});
    canary.dump(p, {"src", "d", "r"});
    ASSERT_TRUE(heard.wait_for(20));
    canary.dump(p, {"src", "d", "r"});
    p.set(GST_STATE_READY);
    canary.dump(p, {"src", "d", "r"});
    g_object_set(p.get("src").get(), "token", c.token.c_str(), nullptr);
    canary.dump(p, {"src", "d", "r"});
  }
  canary.expect_nothing();
}
