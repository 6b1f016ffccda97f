// Utterances: what was said, by whom, from when to when, whatever the reader does.
#include "elements/utterancequeue.hpp"
#include "elements/utterancetrack.hpp"
#include "feeder.hpp"

#include <gst/app/gstappsink.h>
#include <gtest/gtest.h>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <thread>

namespace {

using namespace discord;
using namespace discord::test;

// --- the track ---

std::vector<std::int16_t> stereo_tone(std::size_t frames, double hz, std::size_t from = 0) {
  std::vector<std::int16_t> out(frames * 2);
  for (std::size_t i = 0; i < frames; i++) {
    out[2 * i] = out[2 * i + 1] = static_cast<std::int16_t>(
        8000 * std::sin(2 * G_PI * hz * static_cast<double>(from + i) / 48000));
  }
  return out;
}

TEST(UtteranceTrack, SamplesLieWhereTheyWereSaid) {
  UtteranceTrack track((record::SegmentSettings()));
  const std::int64_t start = 48000 * 100 + 30;
  for (std::size_t i = 0; i < 50; i++) {
    track.pcm(start + static_cast<std::int64_t>(i) * 960, stereo_tone(960, 440, i * 960));
  }
  track.quiet_until(start + 48000 + 48000);
  const auto segment = track.next();
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->start, start / 3);
  EXPECT_EQ(segment->end, start / 3 + 16000);
  ASSERT_EQ(segment->pcm.size(), 16000u);
  // The resampler delays nothing: within half a sample at 48 kHz each is that of its place.
  for (std::size_t i = 200; i < 15800; i++) {
    const double expected = 8000 * std::sin(2 * G_PI * 440 * static_cast<double>(i) / 16000);
    ASSERT_NEAR(segment->pcm[i], expected, 250) << i;
  }
}

TEST(UtteranceTrack, AShortHoleIsSilenceOfItsLength) {
  UtteranceTrack track((record::SegmentSettings()));
  track.pcm(0, stereo_tone(9600, 440));
  track.pcm(9600 + 4800, stereo_tone(9600, 440));
  track.finish();
  const auto segment = track.next();
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->pcm.size(), 24000u / 3);
  for (std::size_t i = 3300; i < 4700; i++) {
    ASSERT_EQ(segment->pcm[i], 0) << i;
  }
}

// --- the queue ---

UtteranceQueue::Item item(std::uint64_t number, bool partial = false) {
  return {BufferPtr(gst_buffer_new()), 7, number, partial};
}

TEST(UtteranceQueue, TheOldestGoesWhenALiveReaderIsSlow) {
  UtteranceQueue queue;
  queue.set_flushing(false);
  for (std::uint64_t i = 0; i < 5; i++) {
    EXPECT_TRUE(queue.push(item(i), 3, false));
  }
  EXPECT_EQ(queue.dropped(), 2u);
  EXPECT_EQ(queue.pop()->number, 2u);
}

TEST(UtteranceQueue, PartialsGoFirstAndAreNotCounted) {
  UtteranceQueue queue;
  queue.set_flushing(false);
  queue.push(item(0), 2, false);
  queue.push(item(1, true), 2, false);
  queue.push(item(2), 2, false);
  queue.push(item(3, true), 2, false);
  EXPECT_EQ(queue.dropped(), 0u);
  EXPECT_EQ(queue.pop()->number, 0u);
  EXPECT_EQ(queue.pop()->number, 2u);
}

TEST(UtteranceQueue, APartialIsReplacedByItsSuccessor) {
  UtteranceQueue queue;
  queue.set_flushing(false);
  queue.push(item(0, true), 10, false);
  queue.push(item(0, true), 10, false);
  queue.push(item(0), 10, false);
  queue.push({}, 10, false);
  EXPECT_FALSE(queue.pop()->partial);
  EXPECT_FALSE(queue.pop()->buffer) << "the end";
}

TEST(UtteranceQueue, BehindAFileWhoeverBringsWaits) {
  UtteranceQueue queue;
  queue.set_flushing(false);
  queue.push(item(0), 1, true);
  std::thread reader([&] { EXPECT_EQ(queue.pop()->number, 0u); });
  EXPECT_TRUE(queue.push(item(1), 1, true));
  reader.join();
  EXPECT_EQ(queue.dropped(), 0u);
  queue.set_flushing(true);
  EXPECT_FALSE(queue.push(item(2), 1, true));
  EXPECT_FALSE(queue.pop());
}

// --- the element ---

struct Utterance {
  GstClockTime start = 0;
  GstClockTime duration = 0;
  guint64 user = 0;
  guint64 number = 0;
  bool partial = false;
  std::string name;
  std::size_t samples = 0;
};

class Element : public testing::Test {
 protected:
  void TearDown() override {
    feeder_.stop();
    if (sink_) {
      gst_element_set_state(sink_.get(), GST_STATE_NULL);
    }
  }
  bool start() {
    element_ = gst_element_factory_make("discordutterances", nullptr);
    sink_.reset(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("appsink", nullptr))));
    if (element_ == nullptr || !sink_) {
      return false;
    }
    g_object_set(sink_.get(), "sync", FALSE, "async", FALSE, nullptr);
    if (partials_ > 0) {
      g_object_set(element_, "partial-interval", partials_, nullptr);
    }
    gst_object_ref_sink(element_);
    const ObjectPtr<GstElement> own(element_);
    const ObjectPtr<GstPad> src(gst_element_get_static_pad(element_, "src"));
    const ObjectPtr<GstPad> in(gst_element_get_static_pad(sink_.get(), "sink"));
    gst_pad_link(src.get(), in.get());
    gst_element_set_state(sink_.get(), GST_STATE_PLAYING);
    return feeder_.start(element_);
  }
  std::optional<Utterance> next() {
    GstSample* sample = gst_app_sink_try_pull_sample(GST_APP_SINK(sink_.get()), 10 * GST_SECOND);
    if (sample == nullptr) {
      return std::nullopt;
    }
    GstBuffer* buffer = gst_sample_get_buffer(sample);
    Utterance u;
    u.start = GST_BUFFER_PTS(buffer);
    u.duration = GST_BUFFER_DURATION(buffer);
    u.samples = gst_buffer_get_size(buffer) / 2;
    u.user = gst_buffer_get_discord_speaker_meta(buffer)->user_id;
    const GstStructure* s =
        gst_custom_meta_get_structure(gst_buffer_get_custom_meta(buffer, "GstDiscordUtterance"));
    gboolean partial = FALSE;
    gst_structure_get_boolean(s, "partial", &partial);
    gst_structure_get_uint64(s, "number", &u.number);
    u.partial = partial != FALSE;
    u.name = gst_structure_get_string(s, "display-name");
    gst_sample_unref(sample);
    return u;
  }
  void speak(std::uint32_t ssrc, std::uint64_t user, unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
      feeder_.push(ssrc, user, i * frame, tone_.next());
    }
  }

  Feeder feeder_;
  GstElement* element_ = nullptr;
  ObjectPtr<GstElement> sink_;
  guint partials_ = 0;
  Tone tone_{440};
};

TEST_F(Element, OneBufferForEachUtteranceOfEachSpeaker) {
  ASSERT_TRUE(start());
  gst_pad_push_event(
      feeder_.pad.get(),
      gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                           gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64,
                                             G_GUINT64_CONSTANT(70000000000), "display-name",
                                             G_TYPE_STRING, "Ada", nullptr)));
  speak(100, 70000000000, 0, 50);
  for (unsigned i = 50; i < 55; i++) {
    feeder_.push(100, 70000000000, i * frame, silence());
  }
  speak(200, 90000000000, 60, 120);
  speak(100, 70000000000, 150, 170);
  feeder_.eos();
  const auto a = next();
  ASSERT_TRUE(a);
  EXPECT_EQ(a->user, 70000000000u);
  EXPECT_EQ(a->name, "Ada");
  EXPECT_EQ(a->start, 0u);
  EXPECT_EQ(a->duration, GST_SECOND) << "silence frames are a pause";
  EXPECT_EQ(a->samples, 16000u);
  EXPECT_FALSE(a->partial);
  const auto b = next();
  ASSERT_TRUE(b);
  EXPECT_EQ(b->user, 90000000000u);
  EXPECT_EQ(b->start, 60 * frame);
  EXPECT_EQ(b->duration, 60 * frame);
  const auto c = next();
  ASSERT_TRUE(c);
  EXPECT_EQ(c->start, 150 * frame);
  EXPECT_EQ(c->number, 1u);
  EXPECT_FALSE(next());
  EXPECT_TRUE(gst_app_sink_is_eos(GST_APP_SINK(sink_.get())));
}

TEST_F(Element, LiveAnUtteranceEndsByTheClock) {
  feeder_.live = true;
  ASSERT_TRUE(start());
  speak(100, 70000000000, 0, 50);
  // Half a second of pause, and 200 ms for what may still come.
  while (gst_clock_get_time(GST_CLOCK(feeder_.clock.get())) < 1700 * GST_MSECOND) {
    gst_test_clock_wait_for_next_pending_id(feeder_.clock.get(), nullptr);
    gst_test_clock_crank(feeder_.clock.get());
  }
  const auto u = next();
  ASSERT_TRUE(u);
  EXPECT_EQ(u->duration, GST_SECOND);
  feeder_.eos();
}

TEST_F(Element, PartialsGrow) {
  partials_ = 300;
  ASSERT_TRUE(start());
  speak(100, 70000000000, 0, 20);
  const auto first = next();
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->partial);
  EXPECT_EQ(first->start, 0u);
  speak(100, 70000000000, 20, 60);
  feeder_.eos();
  std::size_t samples = first->samples;
  for (;;) {
    const auto u = next();
    ASSERT_TRUE(u);
    EXPECT_GT(u->samples, samples);
    EXPECT_EQ(u->number, 0u);
    samples = u->samples;
    if (!u->partial) {
      break;
    }
  }
  EXPECT_EQ(samples, 60 * 320u);
}

TEST_F(Element, GoingDownWithAReaderThatReadsNothing) {
  ASSERT_TRUE(start());
  g_object_set(sink_.get(), "max-buffers", 1u, nullptr);
  feeder_.live = true;
  for (unsigned i = 0; i < 5; i++) {
    speak(100, 70000000000, i * 100, i * 100 + 20);
  }
  // What follows would hang if anybody waited for the reader.
  gst_element_set_state(sink_.get(), GST_STATE_NULL);
  feeder_.stop();
}

}  // namespace
