// discorddecrypt in a call: keys and users come while packets wait, and not everybody is heard.
#include "decrypt_rig.hpp"

#include <gst/check/gsttestclock.h>

using namespace discord;
using namespace discord::test;

TEST_F(InACall, FirstWordsWaitForTheKey) {
  push(h_, sealer_.rtp(1, opus_packet()), 0);
  push(h_, sealer_.rtp(2, silence_frame), 20);
  EXPECT_EQ(gst_harness_buffers_received(h_.get()), 0u);
  EXPECT_EQ(count("held"), 2u);
  use_key();  // nothing else arrives: the key alone lets them go
  const BufferPtr first = pull();
  const BufferPtr second = pull();
  EXPECT_EQ(GST_BUFFER_PTS(second.get()), 20 * GST_MSECOND) << "when it came, not when it left";
  EXPECT_EQ(gst_buffer_get_discord_speaker_meta(second.get())->kind, GST_DISCORD_FRAME_SILENCE);
  EXPECT_EQ(count("held"), 0u);
}

TEST_F(InACall, WhatNoKeyComesForIsCounted) {
  g_object_set(h_->element, "hold-time", 500, nullptr);
  push(h_, sealer_.rtp(1, opus_packet()), 100);
  ASSERT_TRUE(gst_harness_wait_for_clock_id_waits(h_.get(), 1, 20));
  const ObjectPtr<GstTestClock> clock(gst_harness_get_testclock(h_.get()));
  EXPECT_EQ(gst_test_clock_get_next_entry_time(clock.get()), 600 * GST_MSECOND);
  gst_harness_crank_single_clock_wait(h_.get());
  // The count changes on the timer's thread.
  while (count("held") != 0) {
    std::this_thread::yield();
  }
  EXPECT_EQ(count("no-key"), 1u);
  expect_adds_up(h_->element);
}

TEST_F(InACall, OnlyTheSpeakerWhoseUserIsUnknownWaits) {
  use_key();
  encrypted_end_to_end();
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet(), 2), 0);
  push(h_, sealer_.rtp(1, opus_packet(), 1), 10);
  EXPECT_EQ(user_of(pull()), 1001u);
  EXPECT_EQ(count("held"), 1u);
  map(2, 1002);
  EXPECT_EQ(user_of(pull()), 1002u) << "the announcement alone lets it go";
}

// A map that was never corrected gave the next user of an SSRC the name of the one before.
TEST_F(InACall, AnSsrcThatPassesToSomebodyElseTakesTheNewName) {
  use_key();
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet()), 0);
  EXPECT_EQ(user_of(pull()), 1001u);
  map(1, 1002);
  push(h_, sealer_.rtp(900, opus_packet()), 20);
  EXPECT_EQ(user_of(pull()), 1002u);
  EXPECT_EQ(speaking(), "1/1001 on @0");
  // When: as soon as the timer thread or the next packet finds the new user, whichever is first.
  EXPECT_EQ(speaking().substr(0, 11), "1/1001 off ");
  EXPECT_EQ(speaking().substr(0, 10), "1/1002 on ");
}

// A move made a second receiver that read the same socket; half the packets were lost in the old.
TEST_F(InACall, ANewConnectionKeepsNothingOfTheOld) {
  use_key(1, 0x21);
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet()), 0);
  EXPECT_EQ(user_of(pull()), 1001u);
  connect_anew();
  use_key(2, 0x55);
  push(h_, sealer_.rtp(2, opus_packet()), 20);
  EXPECT_EQ(count("bad-tag"), 1u) << "the old key opens nothing any more";
  Sealer next(Mode::aead_aes256_gcm_rtpsize, some_key(0x55));
  push(h_, next.rtp(1, opus_packet()), 40);
  EXPECT_EQ(user_of(pull()), 0u) << "SSRCs of the old connection mean nobody";
}

// What lay in the socket of a left call was opened with the key of the next one: ten packets of two
// thousand were lost.
TEST_F(InACall, WhatTheLeftConnectionSentIsOpenedWithItsKey) {
  use_key(1, 0x21);
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet()), 0);
  EXPECT_EQ(user_of(pull()), 1001u);
  connect_anew(1);
  push(h_, sealer_.rtp(2, opus_packet()), 20);
  EXPECT_EQ(user_of(pull()), 1001u);
  use_key(2, 0x55);
  map(1, 1002);
  push(h_, sealer_.rtp(3, opus_packet()), 40);
  EXPECT_EQ(user_of(pull()), 1001u);

  gst_harness_push_event(h_.get(), connection_left(1).release());
  Sealer next(Mode::aead_aes256_gcm_rtpsize, some_key(0x55));
  push(h_, next.rtp(1, opus_packet()), 60);
  EXPECT_EQ(user_of(pull()), 1002u);
  EXPECT_EQ(count("bad-tag"), 0u);
  push(h_, sealer_.rtp(4, opus_packet()), 80);
  EXPECT_EQ(count("bad-tag"), 1u) << "what comes after the end of its connection is nothing";
}

// Speakers of the left call would stay until somebody speaks in the next one.
TEST_F(InACall, TheNextConnectionBeginsWithoutAPacketToo) {
  use_key(1, 0x21);
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet()), 0);
  EXPECT_EQ(user_of(pull()), 1001u);
  EXPECT_EQ(speaking(), "1/1001 on @0");
  connect_anew(1);
  gst_harness_push_event(h_.get(), connection_left(1).release());
  const MessagePtr off(
      gst_bus_timed_pop_filtered(bus_.get(), 20 * GST_SECOND, GST_MESSAGE_ELEMENT));
  EXPECT_TRUE(off) << "who spoke there, speaks no more";
}

TEST_F(InACall, SpeechEndsByTheClockWhenNothingComes) {
  use_key();
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet()), 1000);
  EXPECT_EQ(speaking(), "1/1001 on @1000");
  ASSERT_TRUE(gst_harness_wait_for_clock_id_waits(h_.get(), 1, 20));
  gst_harness_crank_single_clock_wait(h_.get());
  const MessagePtr off(
      gst_bus_timed_pop_filtered(bus_.get(), 20 * GST_SECOND, GST_MESSAGE_ELEMENT));
  ASSERT_NE(off, nullptr);
  GstClockTime when = 0;
  gst_structure_get_clock_time(gst_message_get_structure(off.get()), "running-time", &when);
  EXPECT_EQ(when, 1200 * GST_MSECOND);
}

TEST_F(InACall, AFlushForgetsWhatWaitsAndLearnsTheUsersAgain) {
  use_key();
  encrypted_end_to_end();
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet(), 2), 0);
  EXPECT_EQ(count("held"), 1u);
  gst_harness_push_event(h_.get(), gst_event_new_flush_start());
  gst_harness_push_event(h_.get(), gst_event_new_flush_stop(TRUE));
  EXPECT_EQ(count("held"), 0u);
  EXPECT_EQ(count("evicted"), 1u);
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(h_.get(), gst_event_new_segment(&segment));
  push(h_, sealer_.rtp(2, opus_packet()), 0);
  EXPECT_EQ(user_of(pull()), 1001u);
}

TEST_F(InACall, MaxSpeakersBoundsTheRows) {
  use_key();
  g_object_set(h_->element, "max-speakers", 2, nullptr);  // takes effect at the next start
  gst_element_set_state(h_->element, GST_STATE_READY);
  gst_harness_play(h_.get());
  gst_harness_set_src_caps_str(h_.get(), "application/x-discord-rtp");
  for (std::uint32_t ssrc = 1; ssrc <= 5; ssrc++) {
    push(h_, sealer_.rtp(1, opus_packet(), ssrc), static_cast<int>(300 * ssrc));
  }
  const StructurePtr stats = stats_of(h_->element);
  const GValue* rows = gst_structure_get_value(stats.get(), "speakers");
  int here = 0;
  for (guint i = 0; i < gst_value_array_get_size(rows); i++) {
    gboolean gone = FALSE;
    gst_structure_get_boolean(gst_value_get_structure(gst_value_array_get_value(rows, i)), "gone",
                              &gone);
    here += gone ? 0 : 1;
  }
  EXPECT_EQ(here, 2);
  EXPECT_EQ(count("played"), 5u);
}

// --- who is to be heard ---

TEST_F(InACall, ADeniedUserIsNotHeardAndLeavesNoName) {
  use_key();
  g_object_set(h_->element, "users", "-1001", nullptr);
  map(1, 1001);
  map(2, 1002);
  push(h_, sealer_.rtp(1, opus_packet(20, 1), 1), 0);
  push(h_, sealer_.rtp(1, opus_packet(20, 2), 2), 0);
  EXPECT_EQ(user_of(pull()), 1002u);
  EXPECT_EQ(count("denied"), 1u);
  EXPECT_EQ(speaking(), "2/1002 on @0");
  EXPECT_EQ(speaking(), "");
  const StructurePtr stats = stats_of(h_->element);
  const GCharPtr text(gst_structure_to_string(stats.get()));
  EXPECT_EQ(std::string(text.get()).find("1001"), std::string::npos) << text.get();
  expect_adds_up(h_->element);
}

TEST_F(InACall, TheListChangesFromTheNextPacketOn) {
  use_key();
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet()), 0);
  g_object_set(h_->element, "users", "1002", nullptr);
  push(h_, sealer_.rtp(2, opus_packet()), 20);
  EXPECT_EQ(speaking(), "1/1001 on @0");
  // At once or with the next packet: the timer is kicked, and may be first.
  EXPECT_EQ(speaking().substr(0, 11), "1/1001 off ") << "whoever is not heard does not speak";
  g_object_set(h_->element, "users", "", nullptr);
  push(h_, sealer_.rtp(3, opus_packet()), 40);
  EXPECT_EQ(count("played"), 2u);
  EXPECT_EQ(count("denied"), 1u);
  EXPECT_EQ(speaking(), "1/1001 on @40");
}

TEST_F(InACall, WithAListPacketsWaitForTheirUserAlsoWithoutEncryption) {
  use_key();
  g_object_set(h_->element, "users", "-1001", nullptr);
  push(h_, sealer_.rtp(1, opus_packet(20, 1), 1), 0);
  push(h_, sealer_.rtp(1, opus_packet(20, 2), 2), 0);
  EXPECT_EQ(count("held"), 2u);
  map(1, 1001);
  map(2, 1002);
  EXPECT_EQ(user_of(pull()), 1002u) << "the timer thread takes the news from the session";
  EXPECT_EQ(count("held"), 0u);
  EXPECT_EQ(count("denied"), 1u);
}

TEST_F(InACall, BotsAreIgnoredOnceTheyAreKnown) {
  use_key();
  const auto name = [&](std::uint64_t user, bool bot) {
    session_->state().update([&](CallSnapshot& call) {
      auto names = std::make_shared<UserNames>(*call.names);
      (*names)[user] = {"Name", bot};
      call.names = names;
    });
  };
  name(1001, true);
  map(1, 1001);
  map(2, 1002);
  push(h_, sealer_.rtp(1, opus_packet(), 1), 0);
  push(h_, sealer_.rtp(1, opus_packet(), 2), 0);
  EXPECT_EQ(user_of(pull()), 1002u) << "an application that says nothing of bots is not deaf";
  name(1002, true);
  push(h_, sealer_.rtp(2, opus_packet(), 2), 20);
  EXPECT_EQ(count("denied"), 2u);
  g_object_set(h_->element, "ignore-bots", FALSE, nullptr);
  push(h_, sealer_.rtp(2, opus_packet(), 1), 40);
  EXPECT_EQ(user_of(pull()), 1001u);
  g_object_set(h_->element, "ignore-bots", TRUE, "users", "1001", nullptr);
  push(h_, sealer_.rtp(3, opus_packet(), 1), 60);
  EXPECT_EQ(user_of(pull()), 1001u) << "asked for by id";
}

TEST_F(InACall, WhereBotsAreToldWhoIsNotNamedYetWaits) {
  use_key();
  session_->state().update([](CallSnapshot& call) { call.bots_are_told = true; });
  map(1, 1001);
  push(h_, sealer_.rtp(1, opus_packet()), 0);
  EXPECT_EQ(count("held"), 1u);
  session_->state().update([](CallSnapshot& call) {
    call.names = std::make_shared<UserNames>(UserNames{{1001, {"Ada", false}}});
  });
  EXPECT_EQ(user_of(pull()), 1001u);
}

TEST_F(InACall, NamesOfThoseWhoAreNotHeardGoNoFurther) {
  g_object_set(h_->element, "users", "-1001", nullptr);
  session_->state().update([](CallSnapshot& call) {
    call.names = std::make_shared<UserNames>(UserNames{{1001, {"Ada", false}}});
  });
  use_key();
  map(2, 1002);
  push(h_, sealer_.rtp(1, opus_packet(), 2), 0);
  const auto tell = [&](const char* what, guint64 user) {
    gst_harness_push_event(
        h_.get(),
        gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM_OOB,
                             gst_structure_new(what, "user-id", G_TYPE_UINT64, user, "display-name",
                                               G_TYPE_STRING, "X", nullptr)));
  };
  const auto told = [&] {
    std::string out;
    while (const EventPtr event{gst_harness_try_pull_event(h_.get())}) {
      const GstStructure* s = gst_event_get_structure(event.get());
      guint64 user = 0;
      if (s != nullptr && gst_structure_get_uint64(s, "user-id", &user)) {
        out += std::string(gst_structure_get_name(s)) + " " + std::to_string(user) + "; ";
      }
    }
    return out;
  };
  for (const char* what : {"discord-user-info", "discord-user-joined", "discord-user-left"}) {
    tell(what, 1001);
    tell(what, 1002);
  }
  EXPECT_EQ(told(),
            "discord-speaking 1002; discord-user-info 1002; discord-user-joined 1002; "
            "discord-user-left 1002; ");
  g_object_set(h_->element, "users", "", nullptr);
  push(h_, sealer_.rtp(2, opus_packet(), 2), 20);
  EXPECT_EQ(told(), "discord-user-info 1001; ") << "now the name is told after all";
}

TEST_F(InACall, AListThatCannotBeReadIsAWarningAndChangesNothing) {
  g_object_set(h_->element, "users", "-1001", nullptr);
  std::string warning;
  const GLogFunc before =
      g_log_set_default_handler([](const gchar*, GLogLevelFlags, const gchar* text,
                                   gpointer to) { *static_cast<std::string*>(to) += text; },
                                &warning);
  g_object_set(h_->element, "users", "-1001,Ada", nullptr);
  g_log_set_default_handler(before, nullptr);
  EXPECT_NE(warning.find("\"Ada\" is not a user id"), std::string::npos) << warning;
  gchar* now = nullptr;
  g_object_get(h_->element, "users", &now, nullptr);
  EXPECT_STREQ(now, "-1001");
  g_free(now);
}

TEST_F(InACall, ElementsDownstreamCanAskWhoIsHeard) {
  const auto heard = [&](guint64 user) {
    const QueryPtr query(gst_query_new_custom(
        GST_QUERY_CUSTOM,
        gst_structure_new("GstDiscordUserHeard", "user-id", G_TYPE_UINT64, user, nullptr)));
    EXPECT_TRUE(gst_pad_peer_query(h_->sinkpad, query.get()));
    gboolean out = FALSE;
    EXPECT_TRUE(gst_structure_get_boolean(gst_query_get_structure(query.get()), "heard", &out));
    return out != FALSE;
  };
  EXPECT_TRUE(heard(1001));
  g_object_set(h_->element, "users", "-1001", nullptr);
  EXPECT_FALSE(heard(1001));
  EXPECT_TRUE(heard(1002));
}
