// discordreorder: order, loss, time, limits. Time comes from a test clock or from the stream.
#include "rig.hpp"

#include <gst/check/gsttestclock.h>
#include <gst/rtp/gstrtpbuffer.h>
#include <thread>

using namespace discord;
using namespace discord::test;

namespace {

std::string ms(GstClockTime time) {
  return GST_CLOCK_TIME_IS_VALID(time) ? std::to_string(time / GST_MSECOND) : "none";
}

// Plays the clock and the network to one element and writes down what leaves it: "5@100" is the
// packet with sequence number 5 and a PTS of 100 ms, "lost6@120+20" an announced loss.
class Reorder : public testing::Test {
 protected:
  void SetUp() override {
    h_.reset(gst_harness_new("discordreorder"));
    gst_harness_use_testclock(h_.get());
    gst_harness_set_src_caps_str(h_.get(), rtp_caps);
    gst_pad_add_probe(
        h_->sinkpad,
        // The harness takes lists apart, so each buffer comes by.
        GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM), on_output,
        this, nullptr);
  }

  static GstPadProbeReturn on_output(GstPad*, GstPadProbeInfo* info, gpointer self) {
    static_cast<Reorder*>(self)->note(info);
    return GST_PAD_PROBE_OK;
  }
  void note(GstPadProbeInfo* info) {
    Lock lock(mutex_);
    if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER) {
      note_buffer(GST_PAD_PROBE_INFO_BUFFER(info));
    } else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_CUSTOM_DOWNSTREAM) {
      const GstStructure* s = gst_event_get_structure(GST_PAD_PROBE_INFO_EVENT(info));
      guint sequence = 0;
      guint64 at = 0;
      guint64 duration = 0;
      guint packets = 0;
      gst_structure_get_uint(s, "packets", &packets);
      announced_ += packets;
      gst_structure_get_uint(s, "seqnum", &sequence);
      gst_structure_get_uint64(s, "timestamp", &at);
      gst_structure_get_uint64(s, "duration", &duration);
      log_ += std::string(gst_structure_has_name(s, "GstRTPPacketLost") ? "lost" : "other") +
              std::to_string(sequence) + "@" + ms(at) + "+" + ms(duration) + " ";
    }
    changed_.notify_all();
  }
  void note_buffer(GstBuffer* buffer) {
    const Bytes bytes = bytes_of(buffer);
    log_ += std::to_string(load_be16(bytes.data() + 2)) + "@" + ms(GST_BUFFER_PTS(buffer)) + " ";
    buffers_++;
  }

  // A packet of 20 ms whose timestamp follows from its number, arriving at `at` ms.
  GstFlowReturn push(std::uint16_t sequence, int at, std::uint32_t ssrc = 1) {
    return push_packet(rtp_packet(sequence, 960u * sequence, opus_packet(), ssrc), at);
  }
  GstFlowReturn push_packet(const Bytes& packet, int at) {
    return gst_harness_push(
        h_.get(), buffer_of(packet, static_cast<GstClockTime>(at) * GST_MSECOND).release());
  }
  // The time the timer thread waits for, and lets it be.
  GstClockTime next_wait() {
    EXPECT_TRUE(gst_harness_wait_for_clock_id_waits(h_.get(), 1, 20));
    return gst_test_clock_get_next_entry_time(clock());
  }
  std::string crank_until(std::size_t buffers) {
    EXPECT_TRUE(gst_harness_crank_single_clock_wait(h_.get()));
    return wait_for(buffers);
  }
  std::string wait_for(std::size_t buffers) {
    Lock lock(mutex_);
    changed_.wait_for(lock.native(), std::chrono::seconds(20), [&] { return buffers_ >= buffers; });
    return log_;
  }
  std::string log() {
    Lock lock(mutex_);
    return log_;
  }
  GstTestClock* clock() {
    if (!clock_) {
      clock_.reset(gst_harness_get_testclock(h_.get()));
    }
    return clock_.get();
  }
  guint64 count(const char* name) { return count_of(h_->element, name); }

  HarnessPtr h_;
  ObjectPtr<GstTestClock> clock_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::string log_;
  std::size_t buffers_ = 0;
  std::size_t announced_ = 0;  // packets, by the events
};

}  // namespace

TEST_F(Reorder, WhatIsInOrderPassesStraightThrough) {
  for (int i = 0; i < 4; i++) {
    ASSERT_EQ(push(static_cast<std::uint16_t>(100 + i), 1000 + 20 * i), GST_FLOW_OK);
  }
  EXPECT_EQ(log(), "100@1000 101@1020 102@1040 103@1060 ");
  EXPECT_EQ(gst_test_clock_peek_id_count(clock()), 0u) << "nothing waits";
  EXPECT_EQ(count("played"), 4u);
  EXPECT_EQ(count("lost"), 0u);
}

TEST_F(Reorder, AGapWaitsExactlyTheLatencyAndIsThenAnnounced) {
  push(1, 0);
  push(2, 20);
  push(4, 60);
  EXPECT_EQ(log(), "1@0 2@20 ");
  EXPECT_EQ(count("in-flight"), 1u);
  EXPECT_EQ(next_wait(), 160 * GST_MSECOND) << "100 ms after the packet behind the gap came";
  EXPECT_EQ(crank_until(3), "1@0 2@20 lost3@40+20 4@60 ");
  EXPECT_EQ(count("lost"), 1u);
  expect_adds_up(h_->element);
}

TEST_F(Reorder, EachLostPacketIsAnEventOfItsOwn) {
  push(1, 0);
  push(4, 60);
  next_wait();
  EXPECT_EQ(crank_until(2), "1@0 lost2@20+20 lost3@40+20 4@60 ");
  EXPECT_EQ(count("lost"), 2u);
}

TEST_F(Reorder, MoreThan120MsOfLossIsSilenceNotConcealment) {
  push(1, 0);
  push(12, 220);
  next_wait();
  const std::string got = crank_until(2);
  EXPECT_EQ(got,
            "1@0 lost2@20+20 lost3@40+20 lost4@60+20 lost5@80+20 lost6@100+20 lost7@120+20 "
            "12@220 ");
  EXPECT_EQ(count("lost"), 10u) << "all of them were lost";
  EXPECT_EQ(announced_, 10u);
}

TEST_F(Reorder, LossesTooShortToConcealAreAnnouncedTogether) {
  push_packet(rtp_packet(1, 960, opus_packet()), 0);
  push_packet(rtp_packet(22, 1920 + 300, opus_packet()), 27);
  next_wait();
  EXPECT_EQ(crank_until(2), "1@0 lost2@20+3 lost12@23+3 22@26 ");
  EXPECT_EQ(announced_, 20u);
}

TEST_F(Reorder, LessThanOpusCanConcealIsNotAnnounced) {
  push_packet(rtp_packet(1, 960, opus_packet()), 0);
  push_packet(rtp_packet(3, 1920 + 48, opus_packet()), 21);
  next_wait();
  EXPECT_EQ(crank_until(2), "1@0 3@21 ");
  EXPECT_EQ(count("lost"), 1u) << "it is counted all the same";
}

TEST_F(Reorder, APacketThatComesInTimeIsPutInItsPlace) {
  push(1, 0);
  push(3, 40);
  push(4, 60);
  push(2, 70);
  EXPECT_EQ(log(), "1@0 2@20 3@40 4@60 ");
  EXPECT_EQ(count("lost"), 0u);
}

TEST_F(Reorder, LateAndDuplicatePacketsAreCountedAndDropped) {
  push(1, 0);
  push(3, 40);
  next_wait();
  crank_until(2);
  push(2, 150);
  EXPECT_EQ(count("late"), 1u);
  push(3, 155);
  EXPECT_EQ(count("duplicate"), 1u);
  push(4, 160);
  EXPECT_EQ(log(), "1@0 lost2@20+20 3@40 4@60 ");
  expect_adds_up(h_->element);
}

// A worker that sorted by the raw number put 0 to 5 in front of 65533 here.
TEST_F(Reorder, WrapWithOneLostPacketDoesNotReorder) {
  push(65533, 0);
  push(65535, 40);
  push(0, 60);
  push(1, 80);
  next_wait();
  EXPECT_EQ(crank_until(4), "65533@0 lost65534@20+20 65535@40 0@60 1@80 ");
}

// An unmute that changes the numbers was taken for "late" for 21 minutes.
TEST_F(Reorder, SequenceRestartIsNot21MinutesOfSilence) {
  push_packet(rtp_packet(40099, 0, opus_packet()), 0);
  for (int i = 0; i < 50; i++) {
    push_packet(rtp_packet(static_cast<std::uint16_t>(5000 + i),
                           static_cast<std::uint32_t>(960 + 960 * i), opus_packet()),
                20 + 20 * i);
  }
  EXPECT_EQ(count("played"), 51u);
  EXPECT_EQ(count("late"), 0u);
  EXPECT_EQ(count("lost"), 0u) << "a restart is no loss";
}

// Filling a gap left its deadline standing, so the next gap got no time at all.
TEST_F(Reorder, FillingAGapForgetsItsDeadline) {
  push(1, 0);
  push(3, 40);
  EXPECT_EQ(next_wait(), 140 * GST_MSECOND);
  push(2, 60);
  push(5, 120);
  ASSERT_TRUE(gst_harness_crank_single_clock_wait(h_.get()));
  EXPECT_EQ(next_wait(), 220 * GST_MSECOND);
  EXPECT_EQ(log(), "1@0 2@20 3@40 ") << "the second gap has its own 100 ms";
  EXPECT_EQ(crank_until(4), "1@0 2@20 3@40 lost4@60+20 5@80 ");
}

// The deadline was looked at only when another packet came, so the end of a sentence stayed inside.
TEST_F(Reorder, TheTailOfASentenceLeavesByItself) {
  push(1, 0);
  push(3, 40);
  push(4, 60);
  next_wait();
  EXPECT_EQ(crank_until(3), "1@0 lost2@20+20 3@40 4@60 ") << "without another packet";
}

// Stopping waited for 1 s, flushing for 3 s: whatever was inside vanished, for all but one speaker.
TEST_F(Reorder, TheEndDrainsEverySpeaker) {
  for (const std::uint32_t ssrc : {1u, 2u, 3u}) {
    push(1, 0, ssrc);
    push(3, 40, ssrc);
  }
  gst_harness_push_event(h_.get(), gst_event_new_eos());
  EXPECT_EQ(log(), "1@0 1@0 1@0 lost2@20+20 3@40 lost2@20+20 3@40 lost2@20+20 3@40 ");
  EXPECT_EQ(count("in-flight"), 0u);
}

// Every gap was computed as if packets lasted 20 ms: 60 ms packets made a file full of holes.
TEST_F(Reorder, PacketsOfSixtyMillisecondsLeaveNoHoles) {
  for (int i = 0; i < 5; i++) {
    push_packet(rtp_packet(static_cast<std::uint16_t>(i), static_cast<std::uint32_t>(2880 * i),
                           opus_packet(60)),
                60 * i);
  }
  EXPECT_EQ(log(), "0@0 1@60 2@120 3@180 4@240 ");
}

// Silence frames moved the clock but wrote nothing: 20 ms less in the file for each of them.
TEST_F(Reorder, SilenceFramesTakeTheirTime) {
  push(0, 0);
  for (int i = 1; i <= 5; i++) {
    push_packet(rtp_packet(static_cast<std::uint16_t>(i), static_cast<std::uint32_t>(960 * i),
                           silence_frame),
                20 * i);
  }
  push(6, 120);
  EXPECT_EQ(log(), "0@0 1@20 2@40 3@60 4@80 5@100 6@120 ");
}

// An hour of quiet was written as one allocation of 691 MB.
TEST_F(Reorder, AnHourOfQuietIsAJumpInTimeAndNothingElse) {
  push(1, 0);
  push_packet(rtp_packet(2, 960 + 48000u * 3600, opus_packet()), 3600 * 1000);
  EXPECT_EQ(log(), "1@0 2@3600000 ");
  EXPECT_EQ(count("lost"), 0u);
}

// Bots freeze their timestamps over a pause and drifted earlier and earlier against the others.
TEST_F(Reorder, APauseWithFrozenTimestampsIsAnchoredToItsArrival) {
  push(1, 0);
  push_packet(rtp_packet(2, 2 * 960, opus_packet()), 5000);
  EXPECT_EQ(log(), "1@0 2@5000 ");
}

TEST_F(Reorder, APaddingPacketIsNoGap) {
  push(1, 0);
  gst_harness_push_event(
      h_.get(),
      gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                           gst_structure_new("GstDiscordPacketSkipped", "ssrc", G_TYPE_UINT, 1u,
                                             "seqnum", G_TYPE_UINT, 2u, nullptr)));
  push_packet(rtp_packet(3, 2 * 960, opus_packet()), 20);
  EXPECT_EQ(log(), "1@0 3@20 ");
  EXPECT_EQ(count("lost"), 0u);
}

// A user was denied for a while: discorddecrypt marks the first packet that is heard again.
TEST_F(Reorder, WhatWasNotHeardIsAPauseAndNoLoss) {
  push(1, 0);
  BufferPtr again = buffer_of(rtp_packet(501, 501 * 960, opus_packet()), 9000 * GST_MSECOND);
  GST_BUFFER_FLAG_SET(again.get(), GST_BUFFER_FLAG_RESYNC);
  EXPECT_EQ(gst_harness_push(h_.get(), again.release()), GST_FLOW_OK);
  push_packet(rtp_packet(502, 502 * 960, opus_packet()), 9020);
  EXPECT_EQ(log(), "1@0 501@9000 502@9020 ");
  EXPECT_EQ(count("lost"), 0u);
  expect_adds_up(h_->element);
}

TEST_F(Reorder, ABadPacketIsCountedAndNothingElseChanges) {
  push(1, 0);
  push_packet({1, 2, 3}, 5);                   // no RTP
  push_packet(rtp_packet(2, 960, {}), 6);      // no Opus in it
  push_packet(rtp_packet(2, 960, {0x03}), 7);  // Opus code 3 without a count
  push(2, 20);
  EXPECT_EQ(log(), "1@0 2@20 ");
  EXPECT_EQ(count("not-a-frame"), 3u);
  expect_adds_up(h_->element);
}

TEST_F(Reorder, HeadersWithExtensionAndPaddingAreRead) {
  rtp::PacketParts parts;
  parts.header = {.payload_type = 120, .sequence = 1, .timestamp = 960, .ssrc = 1};
  const Bytes elements = {0x10, 0xB0, 0x90, 0x02};
  const Bytes payload = opus_packet();
  parts.has_extension = true;
  parts.elements = elements;
  parts.payload = payload;
  parts.padding = 4;
  Bytes packet(rtp::packet_size(parts));
  rtp::write_packet(parts, packet);
  push_packet(packet, 0);
  push(2, 20);
  EXPECT_EQ(log(), "1@0 2@20 ");
}

TEST_F(Reorder, ManySpeakersShareOneTimerThread) {
  const int before = threads_of_process();
  for (std::uint32_t ssrc = 1; ssrc <= 200; ssrc++) {
    push(1, 0, ssrc);
    push(3, 40, ssrc);
  }
  next_wait();
  EXPECT_EQ(threads_of_process(), before);
  crank_until(400);
  EXPECT_EQ(count("lost"), 200u);
  EXPECT_EQ(count("played"), 400u);
}

TEST_F(Reorder, BeyondMaxSpeakersTheLongestIdleGoes) {
  g_object_set(h_->element, "max-speakers", 2, nullptr);
  push(1, 0, 1);
  push(3, 5, 1);  // waits behind a gap
  push(1, 10, 2);
  push(1, 20, 3);
  EXPECT_EQ(log(), "1@0 1@10 lost2@20+20 3@40 1@20 ") << "what waited left, it was not thrown away";
  push(2, 30, 2);
  EXPECT_EQ(count("played"), 5u);
  g_object_set(h_->element, "max-speakers", 1, nullptr);
  push(1, 40, 4);
  const StructurePtr stats = stats_of(h_->element);
  EXPECT_EQ(gst_value_array_get_size(gst_structure_get_value(stats.get(), "speakers")), 1u)
      << "a lower limit holds at once";
  expect_adds_up(h_->element);
}

TEST_F(Reorder, ListsAreTakenAndGiven) {
  GstBufferList* list = gst_buffer_list_new();
  for (int i = 1; i <= 3; i++) {
    gst_buffer_list_add(list,
                        buffer_of(rtp_packet(static_cast<std::uint16_t>(i),
                                             static_cast<std::uint32_t>(960 * i), opus_packet()),
                                  static_cast<GstClockTime>(i) * 20 * GST_MSECOND)
                            .release());
  }
  ASSERT_EQ(gst_pad_push_list(h_->srcpad, list), GST_FLOW_OK);
  EXPECT_EQ(log(), "1@20 2@40 3@60 ");
}

// A tee hands one list to two branches; its buffers were released once too often.
TEST_F(Reorder, AListThatSomebodyElseHoldsStaysWhole) {
  GstBufferList* list = gst_buffer_list_new();
  gst_buffer_list_add(list, buffer_of(rtp_packet(1, 960, opus_packet()), 0).release());
  gst_buffer_list_add(list, buffer_of(rtp_packet(2, 1920, opus_packet()), 0).release());
  const BufferListPtr held(gst_buffer_list_ref(list));
  ASSERT_EQ(gst_pad_push_list(h_->srcpad, list), GST_FLOW_OK);
  BufferPtr(gst_harness_pull(h_.get()));
  BufferPtr(gst_harness_pull(h_.get()));
  for (guint i = 0; i < 2; i++) {
    GstBuffer* buffer = gst_buffer_list_get(held.get(), i);
    EXPECT_EQ(GST_MINI_OBJECT_REFCOUNT_VALUE(buffer), 1);
    EXPECT_EQ(GST_BUFFER_PTS(buffer), 0u) << "the other branch's buffer was changed";
  }
}

TEST_F(Reorder, AFlushForgetsWhatWaitsAndStartsAnew) {
  push(1, 0);
  push(3, 40);
  gst_harness_push_event(h_.get(), gst_event_new_flush_start());
  gst_harness_push_event(h_.get(), gst_event_new_flush_stop(TRUE));
  EXPECT_EQ(count("evicted"), 1u);
  EXPECT_EQ(count("in-flight"), 0u);
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(h_.get(), gst_event_new_segment(&segment));
  EXPECT_EQ(push(500, 10), GST_FLOW_OK);
  EXPECT_EQ(log(), "1@0 500@10 ") << "numbers of before mean nothing";
  expect_adds_up(h_->element);
}

TEST_F(Reorder, StartsAgainAfterAStop) {
  push(1, 0);
  push(3, 40);
  gst_element_set_state(h_->element, GST_STATE_NULL);
  EXPECT_EQ(count("evicted"), 1u) << "the figures are readable after the end";
  h_.reset();
  SetUp();
  log_.clear();
  push(9, 0);
  EXPECT_EQ(log(), "9@0 ");
  EXPECT_EQ(count("received"), 1u);
}

TEST_F(Reorder, LatencyIsAddedToWhatUpstreamSays) {
  gst_harness_set_upstream_latency(h_.get(), 30 * GST_MSECOND);
  EXPECT_EQ(gst_harness_query_latency(h_.get()), 130 * GST_MSECOND);
  const ObjectPtr<GstBus> bus(gst_bus_new());
  gst_element_set_bus(h_->element, bus.get());
  g_object_set(h_->element, "latency", 60, nullptr);
  EXPECT_EQ(gst_harness_query_latency(h_.get()), 90 * GST_MSECOND);
  const MessagePtr message(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_LATENCY));
  EXPECT_NE(message, nullptr) << "the pipeline must ask again";
  g_object_set(h_->element, "latency", 60, nullptr);
  EXPECT_EQ(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_LATENCY), nullptr) << "nothing changed";
  gst_element_set_bus(h_->element, nullptr);
}

TEST_F(Reorder, ALowerLatencyHoldsForWhatWaitsAlready) {
  g_object_set(h_->element, "latency", 1000, nullptr);
  push(1, 0);
  push(3, 40);
  EXPECT_EQ(next_wait(), 1040 * GST_MSECOND);
  g_object_set(h_->element, "latency", 50, nullptr);
  while (next_wait() != 90 * GST_MSECOND) {
    std::this_thread::yield();
  }
  EXPECT_EQ(crank_until(2), "1@0 lost2@20+20 3@40 ");
}

TEST_F(Reorder, TheTimerPushesUnderTheStreamLockOfTheSinkPad) {
  struct Check {
    GstPad* sinkpad;
    bool locked = false;
  } check{gst_element_get_static_pad(h_->element, "sink"), false};
  push(1, 0);
  push(3, 40);
  gst_pad_add_probe(
      h_->sinkpad, GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo*, gpointer data) {
        auto* c = static_cast<Check*>(data);
        std::thread([c] {
          c->locked = !GST_PAD_STREAM_TRYLOCK(c->sinkpad);
          if (!c->locked) {
            GST_PAD_STREAM_UNLOCK(c->sinkpad);
          }
        }).join();
        return GST_PAD_PROBE_OK;
      },
      &check, nullptr);
  next_wait();
  crank_until(2);
  BufferPtr(gst_harness_pull(h_.get()));
  BufferPtr(gst_harness_pull(h_.get()));
  EXPECT_TRUE(check.locked);
  gst_object_unref(check.sinkpad);
}

TEST_F(Reorder, LossTellsWhoseItIs) {
  push(1, 0, 77);
  push(3, 40, 77);
  guint ssrc = 0;
  gst_pad_add_probe(
      h_->sinkpad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      [](GstPad*, GstPadProbeInfo* info, gpointer out) {
        if (const GstStructure* s = gst_event_get_structure(GST_PAD_PROBE_INFO_EVENT(info))) {
          gst_structure_get_uint(s, "ssrc", static_cast<guint*>(out));
        }
        return GST_PAD_PROBE_OK;
      },
      &ssrc, nullptr);
  next_wait();
  crank_until(2);
  EXPECT_EQ(ssrc, 77u);
}

TEST(ReorderFormat, AStreamThatCountsBytesIsRefusedWithASentence) {
  Pipeline p(std::string("appsrc name=in format=bytes caps=") + rtp_caps +
             " ! discordreorder ! fakesink async=false");
  p.play();
  const ObjectPtr<GstElement> in = p.get("in");
  GstFlowReturn flow = GST_FLOW_OK;
  g_signal_emit_by_name(in.get(), "push-buffer", buffer_of(rtp_packet(1, 0, opus_packet())).get(),
                        &flow);
  EXPECT_EQ(p.error(), "The stream counts bytes, not time: set format=time on the source.");
}

// Behind a file nothing waits for a clock: what is due is decided by the next packet's time.
TEST(ReorderFile, DeadlinesComeFromTheStream) {
  Pipeline p(std::string("appsrc name=in format=time caps=") + rtp_caps +
             " ! discordreorder name=r ! fakesink name=out sync=false");
  Counter counter(p.pad("out", "sink").get());
  p.play();
  const ObjectPtr<GstElement> in = p.get("in");
  const auto push = [&](std::uint16_t sequence, int at) {
    GstFlowReturn flow = GST_FLOW_OK;
    g_signal_emit_by_name(in.get(), "push-buffer",
                          buffer_of(rtp_packet(sequence, 960u * sequence, opus_packet()),
                                    static_cast<GstClockTime>(at) * GST_MSECOND)
                              .get(),
                          &flow);
    EXPECT_EQ(flow, GST_FLOW_OK);
  };
  push(1, 0);
  push(3, 40);
  push(2, 139);  // one millisecond before it would be lost
  push(5, 200);
  push(4, 301);  // one too late
  GstFlowReturn flow = GST_FLOW_OK;
  g_signal_emit_by_name(in.get(), "end-of-stream", &flow);
  ASSERT_TRUE(p.eos());
  EXPECT_EQ(counter.packets().size(), 4u);
  EXPECT_EQ(count_of(p.get("r").get(), "late"), 1u);
  EXPECT_EQ(count_of(p.get("r").get(), "lost"), 1u);
}

// The segment is offered again with each buffer and event; the sentence was there five times.
TEST(ReorderOfBytes, AStreamThatCountsBytesIsOneError) {
  Pipeline p(
      "fakesrc num-buffers=3 format=bytes sizetype=fixed sizemax=100 "
      "! application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000 "
      "! discordreorder name=r ! fakesink");
  const ObjectPtr<GstElement> reorder = p.get("r");
  const ObjectPtr<GstBus> bus(gst_element_get_bus(p.element()));
  for (int run = 0; run < 2; run++) {
    int told = 0;
    int others = 0;
    const auto count = [&](GstMessage* m) {
      (GST_MESSAGE_SRC(m) == GST_OBJECT(reorder.get()) ? told : others)++;
      return others > 0;
    };
    p.set(GST_STATE_PAUSED);
    p.wait(GST_MESSAGE_ERROR, count);  // until the source has given up
    p.set(GST_STATE_READY);            // ends the streaming thread; the bus keeps what it posted
    while (const MessagePtr m{gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR)}) {
      count(m.get());
    }
    EXPECT_EQ(told, 1);
  }
}

// A hole of 36 ms in which 20 numbers are missing: of pieces that are too short to conceal opusdec
// makes nothing, but its base class counts them, and what followed was 20 frames early.
TEST(ReorderStock, OpusdecKeepsTimeBehindLossesShorterThanAFrameOfOpus) {
  Pipeline p(std::string("appsrc name=in format=time caps=") + rtp_caps +
             " ! discordreorder ! rtpopusdepay ! opusdec plc=true ! fakesink name=out sync=false");
  std::vector<GstClockTime> heard;
  gst_pad_add_probe(
      p.pad("out", "sink").get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad*, GstPadProbeInfo* info, gpointer out) {
        GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
        if (gst_buffer_get_size(buffer) == gsize{960 * 4}) {
          static_cast<std::vector<GstClockTime>*>(out)->push_back(GST_BUFFER_PTS(buffer));
        }
        return GST_PAD_PROBE_OK;
      },
      &heard, nullptr);
  p.play();
  const ObjectPtr<GstElement> in = p.get("in");
  std::vector<GstClockTime> spoken;
  const auto say = [&](unsigned from, unsigned samples, GstClockTime later) {
    for (unsigned i = 0; i < 25; i++) {
      spoken.push_back(i * 20 * GST_MSECOND + later);
      const Bytes packet =
          rtp_packet(static_cast<std::uint16_t>(from + i), samples + 960 * i, opus_packet());
      GstFlowReturn flow = GST_FLOW_OK;
      g_signal_emit_by_name(in.get(), "push-buffer", buffer_of(packet, spoken.back()).get(), &flow);
      EXPECT_EQ(flow, GST_FLOW_OK);
    }
  };
  say(0, 0, 0);
  say(45, 25 * 960 + 1728, 536 * GST_MSECOND);
  GstFlowReturn flow = GST_FLOW_OK;
  g_signal_emit_by_name(in.get(), "end-of-stream", &flow);
  ASSERT_TRUE(p.eos());
  EXPECT_EQ(heard, spoken);
}
