// Everybody in one stream: sums that are exact, no break, and an end also when nobody spoke.
#include "rig.hpp"

#include "discord/gstdiscordspeakermeta.h"

#include <gst/app/gstappsrc.h>
#include <gst/check/gstharness.h>
#include <cmath>
#include <cstring>

using namespace discord;
using namespace discord::test;

namespace {

constexpr const char* speaker_caps =
    "audio/x-raw(meta:GstDiscordSpeakerMeta), format=S16LE, rate=48000, channels=2, "
    "layout=interleaved";
constexpr int frame = 960;

std::int16_t tone_at(double hz, std::int64_t sample) {
  return static_cast<std::int16_t>(
      std::lround(6000 * std::sin(2 * G_PI * hz * static_cast<double>(sample) / 48000)));
}

// 20 ms of a tone, frame n since zero.
GstBuffer* tone(std::uint32_t ssrc, double hz, std::int64_t n) {
  std::vector<std::int16_t> pcm;
  for (int i = 0; i < frame; ++i) {
    pcm.insert(pcm.end(), 2, tone_at(hz, n * frame + i));
  }
  GstBuffer* buffer = gst_buffer_new_memdup(pcm.data(), pcm.size() * 2);
  GST_BUFFER_PTS(buffer) = static_cast<GstClockTime>(n) * 20 * GST_MSECOND;
  GST_BUFFER_DURATION(buffer) = 20 * GST_MSECOND;
  gst_buffer_add_discord_speaker_meta(buffer, ssrc, 500 + ssrc);
  return buffer;
}

class Mix {
 public:
  Mix() : harness_(gst_harness_new("discordmix")) {
    gst_harness_set_live(harness_, FALSE);
    gst_harness_set_src_caps_str(harness_, speaker_caps);
  }
  ~Mix() { gst_harness_teardown(harness_); }

  void push(std::uint32_t ssrc, double hz, std::int64_t n) {
    EXPECT_EQ(gst_harness_push(harness_, tone(ssrc, hz, n)), GST_FLOW_OK);
  }
  // Ends the stream; the left channel of all that came out, which is without a break from zero on.
  std::vector<std::int16_t> finish() {
    EXPECT_TRUE(gst_harness_push_event(harness_, gst_event_new_eos()));
    for (bool ended = false; !ended;) {
      const EventPtr event(gst_harness_pull_event(harness_));  // waits, a minute at most
      if (!event) {
        ADD_FAILURE() << "no end came";
        break;
      }
      ended = GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;
    }
    std::vector<std::int16_t> left;
    while (const BufferPtr buffer{gst_harness_try_pull(harness_)}) {
      EXPECT_EQ(GST_BUFFER_PTS(buffer.get()),
                gst_util_uint64_scale(left.size(), GST_SECOND, 48000));
      const MappedBuffer map(buffer.get(), GST_MAP_READ);
      std::vector<std::int16_t> pcm(map.size() / 2);
      std::memcpy(pcm.data(), map.data(), pcm.size() * 2);
      for (std::size_t i = 0; i < pcm.size(); i += 2) {
        left.push_back(pcm[i]);
      }
    }
    return left;
  }
  GstElement* element() { return harness_->element; }

 private:
  GstHarness* harness_;
};

}  // namespace

TEST(Mix, TwoTonesAreBothInTheSum) {
  Mix mix;
  constexpr std::int64_t frames = 150;
  constexpr std::int64_t late = 50;  // the second one joins after a second
  for (std::int64_t n = 0; n < frames; ++n) {
    mix.push(1, 440, n);
    if (n >= late) {
      mix.push(2, 1000, n);
    }
  }
  const StructurePtr stats = discord::test::stats_of(mix.element());
  guint speakers = 0;
  EXPECT_TRUE(gst_structure_get_uint(stats.get(), "num-speakers", &speakers));
  EXPECT_EQ(speakers, 2u);
  const auto left = mix.finish();
  ASSERT_EQ(left.size(), static_cast<std::size_t>(frames * frame));
  EXPECT_NEAR(amount(left, 440, 0, 48000), 6000, 60);
  EXPECT_NEAR(amount(left, 1000, 0, 48000), 0, 60);
  EXPECT_NEAR(amount(left, 440, 48000, 96000), 6000, 60);
  EXPECT_NEAR(amount(left, 1000, 48000, 96000), 6000, 60);
  for (std::size_t i = 0; i < left.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const int sum = tone_at(440, at) + (at >= late * frame ? tone_at(1000, at) : 0);
    ASSERT_EQ(left[i], sum) << "sample " << i;
  }
}

// Ten quiet seconds between two words: silence of that length, of all speakers there are.
TEST(Mix, PauseIsSilenceOfItsLength) {
  Mix mix;
  for (std::int64_t n = 0; n < 10; ++n) {
    mix.push(1, 440, n);
    mix.push(2, 1000, n);
  }
  for (std::int64_t n = 510; n < 520; ++n) {
    mix.push(1, 440, n);
  }
  const auto left = mix.finish();
  ASSERT_EQ(left.size(), std::size_t{520 * frame});
  for (std::size_t i = 10 * frame; i < 510 * frame; ++i) {
    ASSERT_EQ(left[i], 0) << "sample " << i;
  }
  EXPECT_EQ(left[511 * frame + 30], tone_at(440, 511 * frame + 30));
}

TEST(Mix, EndsWhenNobodySpoke) {
  Mix mix;
  EXPECT_TRUE(mix.finish().empty());
}

TEST(Mix, TooManyAtOnceAreClippedNotWrapped) {
  Mix mix;
  for (std::int64_t n = 0; n < 30; ++n) {
    for (std::uint32_t s = 1; s <= 8; ++s) {
      mix.push(s, 440, n);
    }
  }
  const auto left = mix.finish();
  const auto peak = std::max_element(left.begin(), left.end());
  EXPECT_EQ(*peak, 32767);
  for (std::size_t i = 1; i < left.size(); ++i) {
    ASSERT_LT(std::abs(left[i] - left[i - 1]), 5000) << "it wrapped";
  }
}

// Live, and nobody says a word: sound flows from the start, by the clock, and -e ends it.
TEST(Mix, LiveStreamFlowsBeforeAnybodySpeaks) {
  Pipeline p(std::string("appsrc name=in is-live=true format=time caps=\"") + speaker_caps +
             "\" ! discordmix ! fakesink name=out sync=false");
  Counter heard(p.pad("out", "sink").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(30));
  for (const Bytes& buffer : heard.packets()) {
    EXPECT_TRUE(std::all_of(buffer.begin(), buffer.end(), [](auto b) { return b == 0; }));
  }
  gst_element_send_event(p.element(), gst_event_new_eos());
  EXPECT_TRUE(p.eos());
}

// Live, one who speaks now is heard, and the silence around goes on.
TEST(Mix, LiveSpeakerIsHeard) {
  Pipeline p(std::string("appsrc name=in is-live=true format=time caps=\"") + speaker_caps +
             "\" ! discordmix latency=200 ! fakesink name=out sync=false");
  Counter heard(p.pad("out", "sink").get());
  p.play();
  ASSERT_TRUE(heard.wait_for(5));
  const ObjectPtr<GstElement> in = p.get("in");
  const ObjectPtr<GstClock> clock(gst_element_get_clock(p.element()));
  const auto now = static_cast<std::int64_t>(
      (gst_clock_get_time(clock.get()) - gst_element_get_base_time(p.element())) /
      (20 * GST_MSECOND));
  // A little ahead of the clock, so that a busy machine is not too late.
  for (std::int64_t n = now + 5; n < now + 30; ++n) {
    ASSERT_EQ(gst_app_src_push_buffer(GST_APP_SRC(in.get()), tone(1, 440, n)), GST_FLOW_OK);
  }
  gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
  EXPECT_TRUE(p.eos());
  std::size_t loud = 0;
  for (const Bytes& buffer : heard.packets()) {
    loud += static_cast<std::size_t>(
        std::count_if(buffer.begin(), buffer.end(), [](auto b) { return b != 0; }));
  }
  EXPECT_GT(loud, 25u * frame * 3);
}

TEST(Mix, FlushInTheMiddleStartsAgain) {
  GstHarness* h = gst_harness_new("discordmix");
  gst_harness_set_live(h, FALSE);
  gst_harness_set_src_caps_str(h, speaker_caps);
  for (std::int64_t n = 0; n < 30; ++n) {
    gst_harness_push(h, tone(1, 440, n));
  }
  gst_harness_push_event(h, gst_event_new_flush_start());
  gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(h, gst_event_new_segment(&segment));
  for (std::int64_t n = 0; n < 30; ++n) {
    EXPECT_EQ(gst_harness_push(h, tone(1, 440, n)), GST_FLOW_OK);
  }
  EXPECT_TRUE(gst_harness_push_event(h, gst_event_new_eos()));
  for (bool ended = false; !ended;) {
    const EventPtr event(gst_harness_pull_event(h));
    ASSERT_TRUE(event);
    ended = GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;
  }
  gst_harness_teardown(h);
}

// A message on a bus keeps what posted it alive.
TEST(Mix, WhatIsInsideMayLiveLonger) {
  GstElement* mix = gst_element_factory_make("discordmix", nullptr);
  const GLogLevelFlags before = g_log_set_always_fatal(
      static_cast<GLogLevelFlags>(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING));
  ObjectPtr<GstElement> demux(gst_bin_get_by_name(GST_BIN(mix), "demux"));
  gst_object_unref(gst_object_ref_sink(mix));
  demux.reset();
  g_log_set_always_fatal(before);
}
