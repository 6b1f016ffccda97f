// The public library: messages read, and one copy of everything in a process that has the plugin
// too.
#include "discord/call_state.hpp"
#include "discord/gstptr.hpp"

#include <gst/discord/discord.h>
#include <gtest/gtest.h>
#include <fstream>
#include <set>
#include <string>

using namespace discord;

namespace {

constexpr guint64 snowflake = G_GUINT64_CONSTANT(1234567890123456789);

MessagePtr message(const char* text) {
  return MessagePtr(gst_message_new_element(nullptr, gst_structure_new_from_string(text)));
}

const char* const whole[] = {
    "discord-session, state=(string)connected, reason=(string)\"It is done.\"",
    "discord-speaking, ssrc=(uint)7, user-id=(guint64)1234567890123456789, speaking=(boolean)true, "
    "running-time=(guint64)5",
    "discord-user-joined, user-id=(guint64)1234567890123456789",
    "discord-user-left, user-id=(guint64)1234567890123456789",
    "discord-user-info, user-id=(guint64)1234567890123456789, platform=(gint64)1",
    "discord-e2ee, version=(int)1, epoch=(guint64)4, privacy-code=(string)12345",
    "discord-worker, event=(string)lost, pid=(int)99, reason=(string)SIGSEGV, "
    "blamed=(boolean)true, ssrc=(uint)7",
    "discord-file, path=(string)/x/y.wav, user-id=(guint64)1234567890123456789, "
    "duration=(guint64)60, ledger=(structure)\"ledger, num-lost=(guint64)2;\"",
    "discord-stats, received=(guint64)3"};

// How many parse functions say that the message is theirs.
int parsers_of(GstMessage* m) {
  return gst_discord_message_parse_session(m, nullptr, nullptr) +
         gst_discord_message_parse_speaking(m, nullptr, nullptr, nullptr, nullptr) +
         gst_discord_message_parse_user_joined(m, nullptr) +
         gst_discord_message_parse_user_left(m, nullptr) +
         gst_discord_message_parse_user_info(m, nullptr, nullptr, nullptr, nullptr) +
         gst_discord_message_parse_e2ee(m, nullptr, nullptr, nullptr) +
         gst_discord_message_parse_worker(m, nullptr, nullptr, nullptr, nullptr, nullptr) +
         gst_discord_message_parse_file(m, nullptr, nullptr, nullptr, nullptr) +
         gst_discord_message_parse_stats(m, nullptr);
}

}  // namespace

TEST(Messages, EachIsItsOwnParsersOnly) {
  int type = GST_DISCORD_MESSAGE_SESSION;
  for (const char* text : whole) {
    const MessagePtr m = message(text);
    EXPECT_EQ(gst_discord_message_get_message_type(m.get()), type++) << text;
    EXPECT_EQ(parsers_of(m.get()), 1) << text;
  }
}

TEST(Messages, ThoseOfOthersAreNobodys) {
  const MessagePtr level = message("level, rms=(double)1");
  const MessagePtr eos(gst_message_new_eos(nullptr));
  for (GstMessage* m : {level.get(), eos.get()}) {
    EXPECT_EQ(gst_discord_message_get_message_type(m), GST_DISCORD_MESSAGE_NONE);
    EXPECT_EQ(parsers_of(m), 0);
  }
}

TEST(Messages, OneWithoutItsFieldsIsRefusedAndNothingIsWritten) {
  for (const char* text :
       {"discord-session", "discord-session, state=(int)1",
        "discord-speaking, ssrc=(uint)7, user-id=(string)x, speaking=(boolean)true",
        "discord-speaking, ssrc=(uint)7, user-id=(guint64)1", "discord-user-joined",
        "discord-user-left, user-id=(int)4", "discord-user-info, platform=(gint64)1",
        "discord-e2ee, version=(int)1", "discord-worker, event=(string)lost",
        "discord-file, user-id=(guint64)4"}) {
    const MessagePtr m = message(text);
    EXPECT_EQ(parsers_of(m.get()), 0) << text;
  }
  const MessagePtr m = message("discord-speaking, ssrc=(uint)7, user-id=(guint64)1");
  guint32 ssrc = 42;
  guint64 user = 43;
  EXPECT_FALSE(gst_discord_message_parse_speaking(m.get(), &ssrc, &user, nullptr, nullptr));
  EXPECT_EQ(ssrc, 42u);
  EXPECT_EQ(user, 43u);
}

TEST(Messages, FieldsArriveWhole) {
  const gchar* a = nullptr;
  const gchar* b = nullptr;
  guint64 user = 0;
  guint32 ssrc = 0;
  gboolean flag = FALSE;
  GstClockTime time = 0;

  const MessagePtr session = message(whole[0]);
  ASSERT_TRUE(gst_discord_message_parse_session(session.get(), &a, &b));
  EXPECT_STREQ(a, "connected");
  EXPECT_STREQ(b, "It is done.");

  const MessagePtr speaking = message(whole[1]);
  ASSERT_TRUE(gst_discord_message_parse_speaking(speaking.get(), &ssrc, &user, &flag, &time));
  EXPECT_EQ(ssrc, 7u);
  EXPECT_EQ(user, snowflake);
  EXPECT_TRUE(flag);
  EXPECT_EQ(time, 5u);

  const MessagePtr info = message(whole[4]);
  gint64 platform = 0;
  gint64 flags = 0;
  gint video = 0;
  ASSERT_TRUE(gst_discord_message_parse_user_info(info.get(), &user, &platform, &flags, &video));
  EXPECT_EQ(platform, 1);
  EXPECT_EQ(flags, -1);
  EXPECT_EQ(video, -1);

  const MessagePtr e2ee = message(whole[5]);
  gint version = 0;
  guint64 epoch = 0;
  ASSERT_TRUE(gst_discord_message_parse_e2ee(e2ee.get(), &version, &epoch, &a));
  EXPECT_EQ(version, 1);
  EXPECT_EQ(epoch, 4u);
  EXPECT_STREQ(a, "12345");

  const MessagePtr worker = message(whole[6]);
  gint pid = 0;
  ASSERT_TRUE(gst_discord_message_parse_worker(worker.get(), &a, &pid, &b, &flag, &ssrc));
  EXPECT_STREQ(a, "lost");
  EXPECT_EQ(pid, 99);
  EXPECT_STREQ(b, "SIGSEGV");
  EXPECT_TRUE(flag);

  const MessagePtr file = message(whole[7]);
  const GstStructure* ledger = nullptr;
  ASSERT_TRUE(gst_discord_message_parse_file(file.get(), &a, &user, &time, &ledger));
  EXPECT_STREQ(a, "/x/y.wav");
  EXPECT_EQ(time, 60u);
  guint64 lost = 0;
  EXPECT_TRUE(gst_structure_get_uint64(ledger, "num-lost", &lost));
  EXPECT_EQ(lost, 2u);
}

// Two copies would be two metas: a buffer marked by the plugin would carry nothing for the
// application.
TEST(OneCopy, ThePluginUsesTheLibraryOfTheApplication) {
  const ObjectPtr<GstElement> source(
      GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("discordvoicesrc", nullptr))));
  ASSERT_TRUE(source) << "the plugin of this build was not found";
  const ObjectPtr<GstPad> sink(GST_PAD(gst_object_ref_sink(gst_pad_new("sink", GST_PAD_SINK))));
  EXPECT_EQ(gst_discord_session_find(sink.get()), nullptr);
  const ObjectPtr<GstPad> src(gst_element_get_static_pad(source.get(), "src"));
  ASSERT_EQ(gst_pad_link(src.get(), sink.get()), GST_PAD_LINK_OK);
  const GObjectPtr<GstDiscordSession> session(gst_discord_session_find(sink.get()));
  EXPECT_TRUE(GST_IS_DISCORD_SESSION(session.get()));

  std::ifstream maps("/proc/self/maps");
  std::set<std::string> copies;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libgstdiscord-1.0.so") != std::string::npos) {
      copies.insert(line.substr(line.find('/')));
    }
  }
  EXPECT_EQ(copies.size(), 1u);
  gst_pad_unlink(src.get(), sink.get());
}

TEST(OneCopy, WhatASessionKnowsIsMadeOnceAndKept) {
  const GObjectPtr<GstDiscordSession> session(gst_discord_session_new());
  CallState& state = call_state(session.get());
  state.update([](CallSnapshot& call) { call.generation = 3; });
  EXPECT_EQ(&call_state(session.get()), &state);
  EXPECT_EQ(call_state(session.get()).snapshot()->generation, 3u);
}
