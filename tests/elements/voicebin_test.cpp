// discordvoicebin: the whole chain, alone and behind URIs, against the loopback over real sockets.
#include "call_rig.hpp"
#include "canary.hpp"
#include "discord/discord.h"
#include "listener.hpp"

#include <gio/gio.h>
#include <sys/stat.h>
#include <csignal>
#include <set>

using namespace discord;
using namespace discord::test;
using namespace std::chrono_literals;
using loopback::Status;

namespace {

constexpr double ada = 300;
constexpr double bob = 500;
constexpr double neither = 400;

// Two people with a tone each, nearly all the time.
loopback::Options two_tones() {
  loopback::Options o = bot_options();
  loopback::CallOptions& call = o.calls.front();
  call.talkers = {talker(101, 2001, 3, ada), talker(102, 2002, 3, bob)};
  call.talkers[0].speaker.name = "Ada";
  call.talkers[1].speaker.name = "Bob";
  for (loopback::TalkerOptions& t : call.talkers) {
    t.speaker.repeat = Duration(300ms);
  }
  return o;
}

loopback::Options nobody_speaks() {
  loopback::Options o = bot_options();
  o.calls.front().talkers.clear();
  return o;
}

std::string gateway(Call& call) {
  return "ws://" + call.server.endpoint();
}

std::string bin(Call& call, const std::string& more) {
  return "discordvoicebin name=bin bot-token=" + call.server.bot_token() +
         " gateway-url=" + gateway(call) + " guild-id=11 channel-id=12 " + more + " ";
}

// A pipeline of nothing else; gst_parse_launch() gives a single element without one.
std::string alone(const std::string& element) {
  return "pipeline.( " + element + " )";
}

ContextPtr token_context(Call& call) {
  ContextPtr context(gst_discord_bot_token_context_new(call.server.bot_token().c_str()));
  gst_structure_set(gst_context_writable_structure(context.get()), "gateway-url", G_TYPE_STRING,
                    gateway(call).c_str(), nullptr);
  return context;
}

ObjectPtr<GstElement> make(const char* factory) {
  GstElement* made = gst_element_factory_make(factory, nullptr);
  EXPECT_NE(made, nullptr) << factory;
  return ObjectPtr<GstElement>(GST_ELEMENT(gst_object_ref_sink(made)));
}

// The source made of an URI, or the sentence why not.
ObjectPtr<GstElement> from_uri(const std::string& uri, std::string* problem = nullptr) {
  GError* error = nullptr;
  GstElement* made = gst_element_make_from_uri(GST_URI_SRC, uri.c_str(), nullptr, &error);
  const GErrorPtr owned(error);
  if (problem != nullptr) {
    *problem = error != nullptr ? error->message : "";
  }
  return made != nullptr ? ObjectPtr<GstElement>(GST_ELEMENT(gst_object_ref_sink(made))) : nullptr;
}

bool said(const ShownPads::Pads& pads, const std::string& name, const char* property,
          const std::string& value) {
  const auto found = pads.find(name);
  return found != pads.end() && read_text(found->second.get(), property) == value;
}

bool speaks(const ShownPads::Pads& pads, const std::string& name, bool on) {
  const auto found = pads.find(name);
  return found != pads.end() && (read<gboolean>(found->second.get(), "speaking") != FALSE) == on;
}

}  // namespace

// --- output ---

class VoiceBinRaw : public testing::TestWithParam<const char*> {};

TEST_P(VoiceBinRaw, APadASpeakerWithWhoItIs) {
  Call call(two_tones());
  Pipeline p(alone(bin(call, std::string("isolation=") + GetParam())));
  ShownPads shown(p, "bin", "fakesink sync=false async=false");
  p.play();
  ASSERT_TRUE(shown.wait([](const auto& pads) {
    return said(pads, "src_2001", "display-name", "Ada") &&
           said(pads, "src_2002", "display-name", "Bob");
  }));
  for (const auto& [name, user, ssrc] :
       {std::tuple("src_2001", 101u, 2001u), std::tuple("src_2002", 102u, 2002u)}) {
    const auto pad = shown.pad(name);
    EXPECT_EQ(read<guint64>(pad.get(), "user-id"), user);
    EXPECT_EQ(read<guint>(pad.get(), "ssrc"), ssrc);
    EXPECT_TRUE(Counter(pad.get()).wait_for(3));
    const CapsPtr caps(gst_pad_get_current_caps(pad.get()));
    EXPECT_TRUE(gst_caps_features_is_equal(gst_caps_get_features(caps.get(), 0),
                                           GST_CAPS_FEATURES_MEMORY_SYSTEM_MEMORY));
  }
  // A talk spurt ends and another begins.
  EXPECT_TRUE(shown.wait([](const auto& pads) { return speaks(pads, "src_2001", true); }));
  EXPECT_TRUE(shown.wait([](const auto& pads) { return speaks(pads, "src_2001", false); }));
  EXPECT_TRUE(shown.wait([](const auto& pads) { return speaks(pads, "src_2001", true); }));
  expect_adds_up(p.get("bin").get());
}
INSTANTIATE_TEST_SUITE_P(Isolation, VoiceBinRaw, testing::Values("process", "none"),
                         [](const auto& row) { return std::string(row.param); });

// Set on the bin, and in force in the decoder inside: who is not heard has no pad.
TEST_P(VoiceBinRaw, WhoIsNotHeardHasNoPad) {
  loopback::Options o = two_tones();
  auto& talkers = o.calls.front().talkers;
  talkers.push_back(talker(103, 2003, 3, bob));
  talkers[2].speaker.name = "Jukebox";
  talkers[2].speaker.bot = true;
  Call call(std::move(o));
  Pipeline p(alone(bin(call, std::string("users=-102 isolation=") + GetParam())));
  ShownPads shown(p, "bin", "fakesink sync=false async=false");
  p.play();
  const auto bin_element = p.get("bin");
  EXPECT_EQ(read_text(bin_element.get(), "users"), "-102");
  EXPECT_TRUE(read<gboolean>(bin_element.get(), "ignore-bots"));
  // Both have been denied a while, and Ada has been heard in it.
  ASSERT_TRUE(counts_up_to(bin_element.get(), "denied", 40));
  ASSERT_TRUE(shown.wait([](const auto& pads) { return pads.contains("src_2001"); }));
  EXPECT_TRUE(shown.wait([](const auto& pads) { return pads.size() == 1; }));
  // Who is admitted while it runs gets one.
  g_object_set(bin_element.get(), "users", "", "ignore-bots", FALSE, nullptr);
  EXPECT_TRUE(shown.wait(
      [](const auto& pads) { return pads.contains("src_2002") && pads.contains("src_2003"); }));
}

TEST(VoiceBin, EachPadCarriesItsOwnSpeaker) {
  Call call(two_tones());
  Ear ears[2];
  Pipeline p(alone(bin(call, "isolation=none")));
  ShownPads shown(p, "bin", "fakesink name=out sync=false async=false signal-handoffs=true");
  p.play();
  ASSERT_TRUE(shown.wait([](const auto& pads) { return pads.size() == 2; }));
  ears[0].listen(shown.behind("src_2001", "out").get());
  ears[1].listen(shown.behind("src_2002", "out").get());
  EXPECT_TRUE(ears[0].hears({ada}, {bob, neither}));
  EXPECT_TRUE(ears[1].hears({bob}, {ada, neither}));
}

TEST(VoiceBin, OpusIsWhatDecodersTake) {
  Call call(two_tones());
  Ear ear;
  Pipeline p(alone(bin(call, "output=opus")));
  ShownPads shown(p, "bin",
                  "opusdec ! fakesink name=pcm sync=false async=false signal-handoffs=true");
  p.play();
  ASSERT_TRUE(shown.wait([](const auto& pads) {
    return said(pads, "src_2002", "display-name", "Bob") && speaks(pads, "src_2002", true);
  }));
  const auto pad = shown.pad("src_2002");
  EXPECT_EQ(read<guint64>(pad.get(), "user-id"), 102u);
  ASSERT_TRUE(Counter(pad.get()).wait_for(3));
  const CapsPtr caps(gst_pad_get_current_caps(pad.get()));
  EXPECT_STREQ(gst_structure_get_name(gst_caps_get_structure(caps.get(), 0)), "audio/x-opus");
  ear.listen(shown.behind("src_2002", "pcm").get());
  EXPECT_TRUE(ear.hears({bob}, {ada, neither}));
  expect_adds_up(p.get("bin").get());
}

// oggmux writes an empty file of Opus that has no headers in its caps.
TEST(VoiceBin, OpusIsWhatMuxersTake) {
  Call call(two_tones());
  Pipeline p(alone(bin(call, "output=opus")));
  ShownPads shown(
      p, "bin", "capsfilter caps=audio/x-opus ! oggmux ! fakesink name=ogg sync=false async=false");
  p.play();
  ASSERT_TRUE(shown.wait([](const auto& pads) { return pads.contains("src_2002"); }));
  const ObjectPtr<GstPad> pages(
      gst_element_get_static_pad(shown.behind("src_2002", "ogg").get(), "sink"));
  EXPECT_TRUE(Counter(pages.get()).wait_for(3));
}

TEST(VoiceBin, MixIsOnePadWithEverybody) {
  Call call(two_tones());
  Ear ear;
  Pipeline p(bin(call, "output=mix") + "! " + Ear::sink_line);
  ear.listen(p.get("ear").get());
  p.play();
  EXPECT_TRUE(ear.hears({ada, bob}, {neither}));
  const auto pad = p.pad("bin", "src_0");
  EXPECT_EQ(read<guint64>(pad.get(), "user-id"), 0u);
  EXPECT_EQ(read_text(pad.get(), "display-name"), "");
  expect_adds_up(p.get("bin").get());
}

TEST(VoiceBin, TheOutputChangesWhileNothingFlows) {
  const auto element = make("discordvoicebin");
  EXPECT_EQ(element->numpads, 0u);
  for (const char* output : {"mix", "opus", "mix", "raw", "mix"}) {
    gst_util_set_object_arg(G_OBJECT(element.get()), "output", output);
    EXPECT_EQ(element->numpads, g_str_equal(output, "mix") ? 1u : 0u) << output;
    EXPECT_EQ(GST_BIN_NUMCHILDREN(element.get()), g_str_equal(output, "mix") ? 3 : 4) << output;
  }
}

// A message on a bus keeps what posted it alive.
TEST(VoiceBin, WhatIsInsideMayLiveLonger) {
  const GLogLevelFlags before = g_log_set_always_fatal(
      static_cast<GLogLevelFlags>(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING));
  auto element = make("discordvoicebin");
  std::vector<ObjectPtr<GstElement>> inside;
  for (const char* name : {"source", "decoder", "demux"}) {
    inside.emplace_back(gst_bin_get_by_name(GST_BIN(element.get()), name));
  }
  element.reset();
  inside.clear();
  g_log_set_always_fatal(before);
}

// --- streams ---

TEST(VoiceBin, TheCollectionFollowsTheSpeakers) {
  Call call(two_tones());
  Pipeline p(alone(bin(call, "")));
  ShownPads shown(p, "bin", "fakesink sync=false async=false");
  p.play();
  std::size_t most = 0;
  while (most < 2) {
    const MessagePtr message = p.wait(GST_MESSAGE_STREAM_COLLECTION);
    ASSERT_NE(message, nullptr);
    GstStreamCollection* raw = nullptr;
    gst_message_parse_stream_collection(message.get(), &raw);
    const ObjectPtr<GstStreamCollection> collection(raw);
    most = std::max<std::size_t>(most, gst_stream_collection_get_size(raw));
  }
  ASSERT_TRUE(shown.wait([](const auto& pads) {
    return said(pads, "src_2001", "display-name", "Ada") && pads.size() == 2;
  }));
  const auto pad = shown.pad("src_2001");
  ASSERT_TRUE(Counter(pad.get()).wait_for(1));
  const ObjectPtr<GstStream> stream(gst_pad_get_stream(pad.get()));
  ASSERT_TRUE(stream);
  GstTagList* tags = gst_stream_get_tags(stream.get());
  ASSERT_NE(tags, nullptr);
  gchar* title = nullptr;
  EXPECT_TRUE(gst_tag_list_get_string(tags, GST_TAG_TITLE, &title));
  EXPECT_STREQ(title, "Ada");
  g_free(title);
  gst_tag_list_unref(tags);
  const EventPtr event(gst_pad_get_sticky_event(pad.get(), GST_EVENT_STREAM_COLLECTION, 0));
  ASSERT_TRUE(event);
  GstStreamCollection* raw = nullptr;
  gst_event_parse_stream_collection(event.get(), &raw);
  const ObjectPtr<GstStreamCollection> collection(raw);
  EXPECT_EQ(gst_stream_collection_get_size(raw), 2u);
}

// Also when the speakers that it is made of come and go.
TEST(VoiceBin, AMixIsOneStream) {
  Call call(two_tones());
  Ear ear;
  Pipeline p(bin(call, "output=mix") + "! " + Ear::sink_line);
  ear.listen(p.get("ear").get());
  p.play();
  EXPECT_TRUE(ear.hears({ada, bob}, {neither}));
  const MessagePtr message = p.wait(GST_MESSAGE_STREAM_COLLECTION);
  ASSERT_NE(message, nullptr);
  EXPECT_EQ(GST_MESSAGE_SRC(message.get()), GST_OBJECT(p.get("bin").get()));
  const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
  const MessagePtr another(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_STREAM_COLLECTION));
  EXPECT_FALSE(another);
  const auto pad = p.pad("bin", "src_0");
  const ObjectPtr<GstStream> stream(gst_pad_get_stream(pad.get()));
  ASSERT_TRUE(stream);
  const EventPtr event(gst_pad_get_sticky_event(pad.get(), GST_EVENT_STREAM_COLLECTION, 0));
  ASSERT_TRUE(event);
  GstStreamCollection* raw = nullptr;
  gst_event_parse_stream_collection(event.get(), &raw);
  const ObjectPtr<GstStreamCollection> collection(raw);
  EXPECT_EQ(gst_stream_collection_get_stream(raw, 0), stream.get());
  EXPECT_EQ(gst_stream_collection_get_size(raw), 1u);
}

// --- how it ends ---

class VoiceBinEnd : public testing::TestWithParam<const char*> {};

TEST_P(VoiceBinEnd, ComesWhenNobodySpoke) {
  Call call(nobody_speaks());
  // As gst-launch-1.0 -e does it: the sink waits for a pad, and then for an end.
  Pipeline p(bin(call, std::string("output=") + GetParam()) + "! fakesink sync=false async=false");
  p.play();
  ASSERT_TRUE(call.server.wait([](const Status& s) { return s.speaking == 1; }, 10s));
  gst_element_send_event(p.element(), gst_event_new_eos());
  EXPECT_TRUE(p.eos());
}

TEST_P(VoiceBinEnd, ComesWhenNoPadIsLinked) {
  Call call(two_tones());
  Pipeline p(alone(bin(call, std::string("output=") + GetParam())));
  if (std::string(GetParam()) == "mix") {
    GTEST_SKIP() << "one pad that nobody links is a mistake: the error says so";
  }
  ShownPads shown(p, "bin", "");
  p.play();
  ASSERT_TRUE(shown.wait([](const auto& pads) { return speaks(pads, "src_2001", true); }));
  gst_element_send_event(p.element(), gst_event_new_eos());
  EXPECT_TRUE(p.eos());
}

TEST_P(VoiceBinEnd, ComesWhenTheCallEnds) {
  Call call(two_tones());
  Pipeline p(bin(call, std::string("output=") + GetParam()) + "! fakesink sync=false async=false");
  p.play();
  ASSERT_NE(p.told("discord-speaking"), nullptr);
  EXPECT_TRUE(call.server.command({{"do", "bot-kick"}})["ok"]);
  EXPECT_NE(p.error().find("disconnected from the channel"), std::string::npos);
  EXPECT_TRUE(p.eos());
}
INSTANTIATE_TEST_SUITE_P(Output, VoiceBinEnd, testing::Values("raw", "opus", "mix"),
                         [](const auto& row) { return std::string(row.param); });

class VoiceBinStates : public testing::TestWithParam<const char*> {};

TEST_P(VoiceBinStates, PadsGoAndComeAgain) {
  Call call(two_tones());
  Pipeline p(alone(bin(call, std::string("output=") + GetParam())));
  ShownPads shown(p, "bin", "fakesink sync=false async=false");
  for (int round = 0; round < 3; round++) {
    p.play();
    EXPECT_TRUE(shown.wait([](const auto& pads) { return pads.size() == 2; }));
    p.set(round == 0 ? GST_STATE_READY : GST_STATE_NULL);
    EXPECT_TRUE(shown.wait([](const auto& pads) { return pads.empty(); }));
    EXPECT_EQ(p.get("bin")->numpads, 0u);
    EXPECT_EQ(GST_BIN_NUMCHILDREN(p.get("bin").get()), 4);
  }
}
INSTANTIATE_TEST_SUITE_P(Output, VoiceBinStates, testing::Values("raw", "opus"),
                         [](const auto& row) { return std::string(row.param); });

// --- properties and signals ---

// The values live in the elements inside; whatever those have, the bin has.
TEST(VoiceBin, HasThePropertiesOfTheElementsInside) {
  const auto element = make("discordvoicebin");
  const std::set<std::string> inside = {"name",       "parent",          "blocksize", "num-buffers",
                                        "typefind",   "do-timestamp",    "stats",     "decode",
                                        "secret-key", "secret-key-file", "mode"};
  for (const char* child : {"source", "decoder", "demux"}) {
    const ObjectPtr<GstElement> inner(gst_bin_get_by_name(GST_BIN(element.get()), child));
    guint count = 0;
    GParamSpec** specs = g_object_class_list_properties(G_OBJECT_GET_CLASS(inner.get()), &count);
    for (guint i = 0; i < count; i++) {
      std::string name = specs[i]->name;
      if (inside.contains(name)) {
        continue;
      }
      if (std::string(child) == "demux" && name == "idle-timeout") {
        name = "pad-idle-timeout";
      }
      SCOPED_TRACE(name);
      GParamSpec* outer =
          g_object_class_find_property(G_OBJECT_GET_CLASS(element.get()), name.c_str());
      ASSERT_NE(outer, nullptr);
      EXPECT_EQ(outer->flags & G_PARAM_READWRITE, specs[i]->flags & G_PARAM_READWRITE);
      EXPECT_TRUE(g_value_type_compatible(outer->value_type, specs[i]->value_type));
      GValue value = G_VALUE_INIT;
      g_value_init(&value, outer->value_type);
      if (outer->value_type == G_TYPE_STRING) {
        g_value_set_string(&value, "101");
      } else if (outer->value_type == G_TYPE_BOOLEAN) {
        const auto* flag = G_PARAM_SPEC_BOOLEAN(outer);
        g_value_set_boolean(&value, flag->default_value == FALSE);
      } else if (G_IS_PARAM_SPEC_ENUM(outer)) {
        g_value_set_enum(&value, 1);
      } else if (outer->value_type == G_TYPE_UINT64) {
        g_value_set_uint64(&value, 1234567890123456789u);
      } else if (outer->value_type == G_TYPE_UINT) {
        g_value_set_uint(&value, 77);
      } else {
        g_value_set_int(&value, 77777);
      }
      g_object_set_property(G_OBJECT(element.get()), name.c_str(), &value);
      if ((outer->flags & G_PARAM_READABLE) != 0) {
        for (const auto& [object, property] :
             {std::pair<gpointer, const char*>(element.get(), name.c_str()),
              std::pair<gpointer, const char*>(inner.get(), specs[i]->name)}) {
          GValue got = G_VALUE_INIT;
          g_value_init(&got, outer->value_type);
          g_object_get_property(G_OBJECT(object), property, &got);
          EXPECT_EQ(gst_value_compare(&got, &value), GST_VALUE_EQUAL);
          g_value_unset(&got);
        }
      }
      g_value_unset(&value);
    }
    g_free(specs);
  }
}

TEST(VoiceBin, PropertiesChangeTheCallThatGoesOn) {
  Call call(two_tones());
  Pipeline p(bin(call, "") + "! fakesink sync=false");
  p.play();
  ASSERT_NE(p.told("discord-speaking"), nullptr);
  g_object_set(p.get("bin").get(), "self-mute", FALSE, "self-deaf", TRUE, nullptr);
  EXPECT_TRUE(call.server.wait(
      [](const Status& st) { return !st.main.self_mute && st.main.self_deaf; }, 10s));
}

// A moderator moves the bot: the property of the source changes, and with it that of the bin.
TEST(VoiceBin, TellsOfPropertiesThatChangeInside) {
  const auto element = make("discordvoicebin");
  const ObjectPtr<GstElement> source(gst_bin_get_by_name(GST_BIN(element.get()), "source"));
  int told = 0;
  g_signal_connect(element.get(), "notify::channel-id",
                   G_CALLBACK(+[](GstElement*, GParamSpec*, int* count) { ++*count; }), &told);
  g_object_set(source.get(), "channel-id", guint64{7}, nullptr);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(read<guint64>(element.get(), "channel-id"), 7u);
  g_object_set(element.get(), "channel-id", guint64{8}, nullptr);
  EXPECT_EQ(told, 2);
}

TEST(VoiceBin, AnApplicationJoinsByItself) {
  Call call(two_tones());
  const loopback::Credentials c = call.server.add_client();
  Pipeline p(alone("discordvoicebin name=bin user-id=" + std::to_string(c.user_id) + " guild-id=" +
                   std::to_string(c.guild_id) + " channel-id=" + std::to_string(c.channel_id)));
  struct Library {
    Call& call;
    const loopback::Credentials& c;
  } library{call, c};
  g_signal_connect(p.get("bin").get(), "credentials-needed",
                   G_CALLBACK(+[](GstElement* element, const gchar*, Library* l) {
                     g_signal_emit_by_name(element, "update-voice-state", l->c.session_id.c_str());
                     g_signal_emit_by_name(element, "update-voice-server", gateway(l->call).c_str(),
                                           l->c.token.c_str());
                     g_signal_emit_by_name(element, "set-user", guint64{101}, "Countess", FALSE);
                   }),
                   &library);
  ShownPads shown(p, "bin", "fakesink sync=false async=false");
  p.play();
  EXPECT_TRUE(shown.wait(
      [](const auto& pads) { return said(pads, "src_2001", "display-name", "Countess"); }));
  GstPromise* promise = nullptr;
  g_signal_emit_by_name(p.get("bin").get(), "verification-code", guint64{101}, &promise);
  ASSERT_NE(promise, nullptr);
  EXPECT_EQ(gst_promise_wait(promise), GST_PROMISE_RESULT_REPLIED);
  gst_promise_unref(promise);
}

// --- URIs and tokens ---

TEST(VoiceBinUri, SaysWhichCallAndNothingElse) {
  const auto element = from_uri("discord://11/12");
  ASSERT_TRUE(element) << "found without a rank";
  EXPECT_EQ(read<guint64>(element.get(), "guild-id"), 11u);
  EXPECT_EQ(read<guint64>(element.get(), "channel-id"), 12u);
  EXPECT_EQ(read<int>(element.get(), "output"), 2) << "a player wants the mix";
  const GCharPtr uri(gst_uri_handler_get_uri(GST_URI_HANDLER(element.get())));
  EXPECT_STREQ(uri.get(), "discord://11/12");
  const auto raw = from_uri("Discord://18446744073709551615/1/?output=raw");
  ASSERT_TRUE(raw);
  EXPECT_EQ(read<guint64>(raw.get(), "guild-id"), 18446744073709551615u);
  EXPECT_EQ(read<int>(raw.get(), "output"), 0);
  const auto unset = make("discordvoicebin");
  EXPECT_EQ(gst_uri_handler_get_uri(GST_URI_HANDLER(unset.get())), nullptr);
}

TEST(VoiceBinUri, RefusesTokensAndDoesNotRepeatThem) {
  for (const char* uri :
       {"discord://canary@11/12", "discord://bot:canary@11/12", "discord://11/12?token=canary",
        "discord://11/12?bot-token-file=canary", "discord://11/12?gateway-url=wss://canary",
        "discord://11/12?output=mix&token=canary", "discord://11/12?output=canary",
        "discord://11/12#canary", "discord://11/12/canary", "discord://11:443/12"}) {
    std::string problem;
    EXPECT_FALSE(from_uri(uri, &problem)) << uri;
    EXPECT_FALSE(problem.empty());
    EXPECT_EQ(problem.find("canary"), std::string::npos) << problem;
  }
  std::string problem;
  from_uri("discord://canary@11/12", &problem);
  EXPECT_NE(problem.find("a token has no place in one"), std::string::npos) << problem;
}

TEST(VoiceBinUri, NeedsTwoNumbers) {
  for (const char* uri :
       {"discord://", "discord://11", "discord://11/", "discord:///12", "discord://0/12",
        "discord://11/0", "discord://-1/12", "discord://18446744073709551616/12",
        "discord://11/12/13", "discord://general/voice"}) {
    std::string problem;
    EXPECT_FALSE(from_uri(uri, &problem)) << uri;
    EXPECT_NE(problem.find("discord://GUILD/CHANNEL"), std::string::npos) << problem;
  }
}

TEST(VoiceBinUri, OfACallThatGoesOnDoesNotChange) {
  Call call(nobody_speaks());
  Pipeline p(bin(call, "") + "! fakesink");
  p.set(GST_STATE_PAUSED);
  GError* error = nullptr;
  EXPECT_FALSE(
      gst_uri_handler_set_uri(GST_URI_HANDLER(p.get("bin").get()), "discord://1/2", &error));
  const GErrorPtr owned(error);
  EXPECT_EQ(error->code, GST_URI_ERROR_BAD_STATE);
}

// What plays an URI, and how its sink is set.
class Player : public testing::TestWithParam<const char*> {
 protected:
  // `uridecodebin…` shows a pad, which is linked here; `playbin…` takes a sink.
  void load(Pipeline& p, Ear& ear) {
    const auto player = this->player(p);
    g_object_set(player.get(), "uri", "discord://11/12", nullptr);
    if (g_str_has_prefix(GetParam(), "playbin")) {
      g_object_set(player.get(), "audio-sink", ear.make_sink(), nullptr);
    } else {
      ear.listen(p.get("ear").get());
    }
  }
  // A playbin is a pipeline itself.
  ObjectPtr<GstElement> player(Pipeline& p) {
    auto inside = p.get("player");
    return inside ? std::move(inside) : ref_object(p.element());
  }
  std::string line() const {
    return std::string(GetParam()) + " name=player " +
           (g_str_has_prefix(GetParam(), "playbin") ? "" : std::string("! ") + Ear::sink_line);
  }
};

TEST_P(Player, PlaysTheMixWithATokenFromTheContextOfThePipeline) {
  Call call(two_tones());
  Ear ear;
  Pipeline p(line());
  load(p, ear);
  gst_element_set_context(p.element(), token_context(call).get());
  p.play();
  EXPECT_TRUE(ear.hears({ada, bob}, {neither}));
}

TEST_P(Player, PlaysTheMixWithATokenFromSourceSetup) {
  Call call(two_tones());
  const TempDir dir;
  const std::string token = dir.write("token", call.server.bot_token() + "\n");
  Ear ear;
  Pipeline p(line());
  load(p, ear);
  struct Setup {
    std::string token;
    std::string gateway;
  } setup{token, gateway(call)};
  g_signal_connect(player(p).get(), "source-setup",
                   G_CALLBACK(+[](GstElement*, GstElement* source, Setup* s) {
                     g_object_set(source, "bot-token-file", s->token.c_str(), "gateway-url",
                                  s->gateway.c_str(), nullptr);
                   }),
                   &setup);
  p.play();
  EXPECT_TRUE(ear.hears({ada, bob}, {neither}));
}

TEST_P(Player, EndsWhenTheCallDoes) {
  Call call(nobody_speaks());
  Ear ear;
  Pipeline p(line());
  load(p, ear);
  gst_element_set_context(p.element(), token_context(call).get());
  p.play();
  ASSERT_TRUE(ear.hears({}, {ada, bob, neither})) << "silence, before anybody has spoken";
  gst_element_send_event(p.element(), gst_event_new_eos());
  EXPECT_TRUE(p.eos());
}
INSTANTIATE_TEST_SUITE_P(Of, Player,
                         testing::Values("uridecodebin", "uridecodebin3", "playbin", "playbin3"),
                         [](const auto& row) { return std::string(row.param); });

TEST(VoiceBinToken, IsAskedForOnTheBus) {
  Call call(two_tones());
  const TempDir dir;
  const std::string token = dir.write("token", call.server.bot_token());
  Pipeline p("discordvoicebin name=bin guild-id=11 channel-id=12 ! fakesink sync=false");
  struct Answer {
    std::string token;
    std::string gateway;
    int asked = 0;
  } answer{token, gateway(call)};
  const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
  gst_bus_set_sync_handler(
      bus.get(),
      [](GstBus*, GstMessage* message, gpointer data) {
        auto* a = static_cast<Answer*>(data);
        const gchar* type = nullptr;
        if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_NEED_CONTEXT &&
            gst_message_parse_context_type(message, &type) != FALSE &&
            g_str_equal(type, GST_DISCORD_BOT_TOKEN_CONTEXT_TYPE)) {
          a->asked++;
          const ContextPtr context(gst_discord_bot_token_context_new_from_file(a->token.c_str()));
          gst_structure_set(gst_context_writable_structure(context.get()), "gateway-url",
                            G_TYPE_STRING, a->gateway.c_str(), nullptr);
          gst_element_set_context(GST_ELEMENT(GST_MESSAGE_SRC(message)), context.get());
        }
        return GST_BUS_PASS;
      },
      &answer, nullptr);
  p.play();
  EXPECT_NE(p.told("discord-speaking"), nullptr);
  EXPECT_EQ(answer.asked, 1);
  p.stop();
  EXPECT_EQ(read_text(p.get("bin").get(), "bot-token-file"), "") << "lent, not kept";
  EXPECT_EQ(read_text(p.get("bin").get(), "gateway-url"), "");
}

TEST(VoiceBinToken, IsMissed) {
  Pipeline p("discordvoicebin name=bin guild-id=11 channel-id=12 ! fakesink");
  EXPECT_EQ(p.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  EXPECT_EQ(p.error(),
            "There is no bot token: set bot-token-file, or hand the token over in a context of "
            "type gst.discord.BotToken.");
  const auto player = from_uri("discord://11/12");
  Pipeline by_uri(alone("fakesink "));
  gst_bin_add(GST_BIN(by_uri.element()), player.get());
  EXPECT_EQ(by_uri.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  EXPECT_NE(by_uri.error().find("/gst-discord/bot-token"), std::string::npos);
}

// It knows nothing but an URI, so the token waits in the user's configuration.
TEST(VoiceBinToken, OfAPlayerIsInTheConfiguration) {
  const GCharPtr program(g_find_program_in_path("gst-play-1.0"));
  if (!program) {
    GTEST_SKIP() << "gst-play-1.0 is not installed (package gstreamer1.0-plugins-base-apps).";
  }
  for (const char* engine : {"playbin", "playbin3"}) {
    SCOPED_TRACE(engine);
    Call call(two_tones());
    const TempDir dir;
    const std::string folder = dir.path() + "/gst-discord";
    ASSERT_EQ(g_mkdir(folder.c_str(), 0700), 0);
    dir.write("gst-discord/bot-token", call.server.bot_token() + "\n");
    dir.write("gst-discord/gateway-url", gateway(call) + "\n");
    const std::string fifo = dir.path() + "/pcm";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const std::string sink =
        "--audiosink=audioconvert ! audioresample ! "
        "audio/x-raw,format=S16LE,rate=48000,channels=2 ! filesink location=" +
        fifo + " buffer-mode=unbuffered";
    const GObjectPtr<GSubprocessLauncher> launcher(
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE));
    g_subprocess_launcher_setenv(launcher.get(), "XDG_CONFIG_HOME", dir.path().c_str(), TRUE);
    g_subprocess_launcher_setenv(launcher.get(), "USE_PLAYBIN3",
                                 g_str_equal(engine, "playbin3") ? "1" : "0", TRUE);
    g_subprocess_launcher_unsetenv(launcher.get(), "GST_TRACERS");
    GError* error = nullptr;
    const GObjectPtr<GSubprocess> player(
        g_subprocess_launcher_spawn(launcher.get(), &error, program.get(), "--no-interactive",
                                    sink.c_str(), "discord://11/12", nullptr));
    ASSERT_EQ(error, nullptr) << error->message;
    std::ifstream pcm(fifo, std::ios::binary);
    Ear ear;
    bool heard = false;
    std::array<char, 19200> piece;
    // Twenty seconds of sound at most.
    for (int i = 0; i < 200 && !heard && pcm.read(piece.data(), piece.size()); i++) {
      ear.hear({reinterpret_cast<const std::uint8_t*>(piece.data()), piece.size()});
      heard = ear.sounds({ada, bob}, {neither});
    }
    EXPECT_TRUE(heard);
    g_subprocess_send_signal(player.get(), SIGINT);
    g_subprocess_wait(player.get(), nullptr, nullptr);
  }
}

// --- secrets ---

TEST(VoiceBinToken, IsShownNowhere) {
  Call call(nobody_speaks());
  const std::string token = call.server.bot_token();
  const TempDir dir;
  const std::string file = dir.write("token", token);
  const GCharPtr coded(
      g_base64_encode(reinterpret_cast<const guchar*>(token.data()), token.size()));
  Canary canary({token, coded.get()});
  canary.listen();
  for (const char* way : {"bot-token", "bot-token-file", "context"}) {
    SCOPED_TRACE(way);
    Pipeline p("discordvoicebin name=bin guild-id=11 channel-id=12 gateway-url=" + gateway(call) +
               " output=mix ! fakesink sync=false");
    const auto element = p.get("bin");
    if (g_str_equal(way, "context")) {
      const ContextPtr context = token_context(call);
      const GCharPtr text(gst_structure_to_string(gst_context_get_structure(context.get())));
      canary.look("context", text.get());
      gst_element_set_context(p.element(), context.get());
    } else {
      g_object_set(element.get(), way, g_str_equal(way, "bot-token") ? token.c_str() : file.c_str(),
                   nullptr);
    }
    canary.dump(p, {"bin"});
    Counter heard(p.pad("bin", "src_0").get());
    p.play();
    EXPECT_TRUE(heard.wait_for(5));
    EXPECT_NE(p.told("discord-session",
                     [](const GstStructure* s) {
                       return g_strcmp0(gst_structure_get_string(s, "state"), "connected") == 0;
                     }),
              nullptr);
    canary.dump(p, {"bin"});
  }
  canary.expect_nothing();
}
