// The element with both kinds of isolation, against one receiver on the same packets.
#include "discord/gstdiscordspeakermeta.h"
#include "discord/gstptr.hpp"
#include "tests/unit/receiver_rig.hpp"

#include <gst/check/gstharness.h>
#include <signal.h>
#include <atomic>
#include <map>

using namespace discord;
using namespace discord::rig;

namespace {

struct HarnessDeleter {
  void operator()(GstHarness* h) const { gst_harness_teardown(h); }
};

class Decoder {
 public:
  explicit Decoder(const char* properties, bool live = true) {
    const std::string line =
        std::string("discordworkerdec mode=aead_aes256_gcm_rtpsize secret-key=") +
        "0707070707070707070707070707070707070707070707070707070707070707 " + properties;
    harness_.reset(gst_harness_new_parse(line.c_str()));
    bus_.reset(gst_bus_new());
    gst_element_set_bus(harness_->element, bus_.get());
    gst_harness_set_live(harness_.get(), live);
    gst_harness_set_src_caps_str(harness_.get(), "application/x-discord-rtp");
  }
  ~Decoder() {
    gst_element_set_bus(harness_->element, nullptr);
    harness_.reset();
    gst_bus_set_flushing(bus_.get(), TRUE);
  }

  GstFlowReturn push(const OnWire& d) {
    GstBuffer* buffer = gst_buffer_new_memdup(d.bytes.data(), d.bytes.size());
    GST_BUFFER_DTS(buffer) = static_cast<GstClockTime>(to_ns(d.arrival));
    return gst_harness_push(harness_.get(), buffer);
  }
  bool eos() { return gst_harness_push_event(harness_.get(), gst_event_new_eos()) != FALSE; }
  // Everything up to EOS.
  Tracks pull_all() {
    Tracks out;
    for (;;) {
      while (BufferPtr buffer{gst_harness_try_pull(harness_.get())}) {
        take(buffer.get(), out);
      }
      if (ended_) {
        return out;
      }
      EventPtr event(gst_harness_pull_event(harness_.get()));  // waits, a minute at most
      ended_ = !event || GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;
      if (event && GST_EVENT_TYPE(event.get()) == GST_EVENT_CAPS) {
        GstCaps* caps = nullptr;
        gst_event_parse_caps(event.get(), &caps);
        const GCharPtr text(gst_caps_to_string(caps));
        caps_ = text.get();
      }
    }
  }
  GstStructure* stats() {
    GstStructure* out = nullptr;
    const ObjectPtr<GstElement> element(
        gst_harness_find_element(harness_.get(), "discordworkerdec"));
    g_object_get(element.get(), "stats", &out, nullptr);
    return out;
  }
  MessagePtr message(GstMessageType types, GstClockTime timeout = 0) {
    return MessagePtr(gst_bus_timed_pop_filtered(bus_.get(), timeout, types));
  }
  // The next element message of that name.
  MessagePtr named(const char* name, GstClockTime timeout = 10 * GST_SECOND) {
    for (;;) {
      MessagePtr m = message(GST_MESSAGE_ELEMENT, timeout);
      if (!m || gst_message_has_name(m.get(), name)) {
        return m;
      }
    }
  }
  // Counts the frames that the calling thread pushes out, from now on.
  void count_own_pushes() {
    own_thread_ = g_thread_self();
    gst_pad_add_probe(
        harness_->sinkpad, GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad*, GstPadProbeInfo*, gpointer data) {
          auto& self = *static_cast<Decoder*>(data);
          self.own_pushes_ += g_thread_self() == self.own_thread_;
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
  }
  std::size_t own_pushes() const { return own_pushes_; }
  void set_time(GstClockTime t) { gst_harness_set_time(harness_.get(), t); }
  void crank() { gst_harness_crank_single_clock_wait(harness_.get()); }
  GstClockTime latency() { return gst_harness_query_latency(harness_.get()); }
  const std::string& caps() const { return caps_; }
  // How far a frame lay before one that had come already.
  std::int64_t most_behind() const { return most_behind_; }

 private:
  void take(GstBuffer* buffer, Tracks& out) {
    const auto* meta = gst_buffer_get_discord_speaker_meta(buffer);
    ASSERT_NE(meta, nullptr);
    Frame frame{};
    frame.kind = static_cast<FrameKind>(meta->kind);
    frame.user_id = meta->user_id;
    frame.sample =
        media::samples_from_duration(Duration(static_cast<std::int64_t>(GST_BUFFER_PTS(buffer))));
    furthest_ = std::max(furthest_, frame.sample);
    most_behind_ = std::max(most_behind_, furthest_ - frame.sample);
    const MappedBuffer map(buffer, GST_MAP_READ);
    if (meta->packet != nullptr) {
      const MappedBuffer opus(meta->packet, GST_MAP_READ);
      frame.opus.assign(opus.data(), opus.data() + opus.size());
    }
    frame.pcm.resize(map.size() / 2);
    std::memcpy(frame.pcm.data(), map.data(), frame.pcm.size() * 2);
    out[meta->ssrc].push_back(std::move(frame));
  }

  std::unique_ptr<GstHarness, HarnessDeleter> harness_;
  ObjectPtr<GstBus> bus_;
  std::string caps_;
  bool ended_ = false;
  std::int64_t furthest_ = 0;
  std::int64_t most_behind_ = 0;
  GThread* own_thread_ = nullptr;
  std::atomic<std::size_t> own_pushes_{0};
};

guint64 count(GstStructure* stats, const char* field) {
  guint64 n = 0;
  EXPECT_TRUE(gst_structure_get_uint64(stats, field, &n)) << field;
  return n;
}

class WorkerDec : public testing::TestWithParam<const char*> {};

}  // namespace

TEST_P(WorkerDec, SameAsOneReceiver) {
  for (const Weather& weather : {Weather{}, Weather{0.05, 0.7, 0.1, 0.1, 15ms, 3}}) {
    // More than may be on the way at once, so that a source that is not live has to wait.
    const auto datagrams = call(6, 120, weather);
    Received expected;
    receive(datagrams, expected);
    Decoder decoder(GetParam(), weather.loss > 0);
    for (const OnWire& d : datagrams) {
      ASSERT_EQ(decoder.push(d), GST_FLOW_OK);
    }
    ASSERT_TRUE(decoder.eos());
    const Tracks got = decoder.pull_all();
    EXPECT_TRUE(got == expected.out.tracks);
    EXPECT_NE(decoder.caps().find("audio/x-raw(meta:GstDiscordSpeakerMeta)"), std::string::npos);
    const StructurePtr stats(decoder.stats());
    EXPECT_EQ(count(stats.get(), "received"), datagrams.size());
    EXPECT_EQ(count(stats.get(), "played"), expected.ledger.played);
    EXPECT_EQ(count(stats.get(), "in-flight"), 0u);
    EXPECT_EQ(count(stats.get(), "lost-concealed"), expected.ledger.lost.concealed);
    const MessagePtr said = decoder.named("discord-speaking");
    EXPECT_TRUE(said);
  }
}

TEST_P(WorkerDec, WithoutDecodingItGivesRtp) {
  const auto datagrams = call(2, 30);
  Received expected;
  receive(datagrams, expected);
  Decoder decoder((std::string("decode=false ") + GetParam()).c_str());
  for (const OnWire& d : datagrams) {
    ASSERT_EQ(decoder.push(d), GST_FLOW_OK);
  }
  ASSERT_TRUE(decoder.eos());
  const Tracks got = decoder.pull_all();
  EXPECT_NE(decoder.caps().find("application/x-rtp"), std::string::npos);
  ASSERT_EQ(got.size(), 2u);
  for (const auto& [ssrc, frames] : expected.out.tracks) {
    ASSERT_EQ(got.at(ssrc).size(), frames.size());
    EXPECT_EQ(got.at(ssrc)[0].sample, frames[0].sample);
  }
}

// Without workers there is no thread to hand frames to; with them no worker is waited for.
TEST_P(WorkerDec, OnlyWithoutWorkersTheStreamingThreadPushes) {
  const auto datagrams = call(2, 30);
  Decoder decoder(GetParam());
  decoder.count_own_pushes();
  for (const OnWire& d : datagrams) {
    ASSERT_EQ(decoder.push(d), GST_FLOW_OK);
  }
  ASSERT_TRUE(decoder.eos());
  std::size_t frames = 0;
  for (const auto& [ssrc, track] : decoder.pull_all()) {
    frames += track.size();
  }
  ASSERT_GT(frames, 0u);
  EXPECT_EQ(decoder.own_pushes(), GetParam() == std::string("isolation=none") ? frames : 0u);
}

TEST_P(WorkerDec, StopsInTheMiddleAndStartsAgain) {
  const auto datagrams = call(2, 30);
  Decoder decoder(GetParam());
  for (std::size_t i = 0; i < 20; ++i) {
    ASSERT_EQ(decoder.push(datagrams[i]), GST_FLOW_OK);
  }
}

// Nothing more comes, so only the clock can say that speech has ended.
TEST_P(WorkerDec, SpeechEndsByTheClock) {
  Decoder decoder(GetParam());
  ASSERT_EQ(decoder.push(call(1, 1)[0]), GST_FLOW_OK);
  const auto speaking = [&] {
    gboolean on = FALSE;
    const MessagePtr said = decoder.named("discord-speaking");
    EXPECT_TRUE(said &&
                gst_structure_get_boolean(gst_message_get_structure(said.get()), "speaking", &on));
    return on != FALSE;
  };
  EXPECT_TRUE(speaking());
  decoder.set_time(GST_SECOND + 199 * GST_MSECOND);
  decoder.crank();
  EXPECT_FALSE(speaking());
}

TEST_P(WorkerDec, LatencyIsItsOwnAndThatOfAReplacement) {
  Decoder decoder((std::string("latency=60 ") + GetParam()).c_str());
  EXPECT_EQ(decoder.latency(), 100 * GST_MSECOND);
}

INSTANTIATE_TEST_SUITE_P(Isolation, WorkerDec,
                         testing::Values("isolation=none", "isolation=process"),
                         [](const auto& how) { return std::string(how.param).substr(10); });

TEST(WorkerDecProcess, KilledWorkerIsReplacedAndNothingIsLost) {
  const auto datagrams = call(3, 80);
  Received expected;
  receive(datagrams, expected);
  Decoder decoder("isolation=process max-workers=1");
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    ASSERT_EQ(decoder.push(datagrams[i]), GST_FLOW_OK);
    if (i == 100) {
      const MessagePtr started = decoder.named("discord-worker");
      ASSERT_TRUE(started);
      gint pid = 0;
      ASSERT_TRUE(gst_structure_get_int(gst_message_get_structure(started.get()), "pid", &pid));
      kill(pid, SIGKILL);
    }
  }
  ASSERT_TRUE(decoder.eos());
  const Tracks got = decoder.pull_all();
  for (const auto& [ssrc, frames] : expected.out.tracks) {
    ASSERT_EQ(got.at(ssrc).size(), frames.size());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      EXPECT_EQ(got.at(ssrc)[i].opus, frames[i].opus);
      EXPECT_EQ(got.at(ssrc)[i].sample, frames[i].sample);
    }
  }
  const MessagePtr lost = decoder.named("discord-worker");
  ASSERT_TRUE(lost);
  EXPECT_STREQ(gst_structure_get_string(gst_message_get_structure(lost.get()), "event"), "lost");
  EXPECT_STREQ(gst_structure_get_string(gst_message_get_structure(lost.get()), "reason"),
               "SIGKILL");
}

// discordssrcdemux would take it for silence that the others' sound has not come.
TEST(WorkerDecProcess, BehindAFileNobodyIsAheadOfAWorkerThatStandsStill) {
  const auto datagrams = call(12, 120);
  Received expected;
  receive(datagrams, expected);
  Decoder decoder("isolation=process max-workers=2", false);
  gint stopped = 0;
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    ASSERT_EQ(decoder.push(datagrams[i]), GST_FLOW_OK);
    if (i == 200) {
      const MessagePtr started = decoder.named("discord-worker");
      ASSERT_TRUE(started);
      ASSERT_TRUE(gst_structure_get_int(gst_message_get_structure(started.get()), "pid", &stopped));
      kill(stopped, SIGSTOP);  // until it is found to make no progress
    }
  }
  ASSERT_TRUE(decoder.eos());
  EXPECT_TRUE(decoder.pull_all() == expected.out.tracks);
  EXPECT_LE(decoder.most_behind(), 960);
  EXPECT_EQ(count(StructurePtr(decoder.stats()).get(), "received"), datagrams.size());
}

TEST(WorkerDecKeys, WithoutKeyOrSessionItSaysSo) {
  GstElement* element = gst_element_factory_make("discordworkerdec", nullptr);
  ASSERT_NE(element, nullptr);
  GstHarness* harness = gst_harness_new_with_element(element, "sink", "src");
  ObjectPtr<GstBus> bus(gst_bus_new());
  gst_element_set_bus(element, bus.get());
  gst_harness_set_src_caps_str(harness, "application/x-discord-rtp");
  EXPECT_EQ(gst_harness_push(harness, gst_buffer_new_allocate(nullptr, 50, nullptr)),
            GST_FLOW_ERROR);
  const MessagePtr error(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR));
  EXPECT_TRUE(error);
  gst_element_set_bus(element, nullptr);
  gst_harness_teardown(harness);
  gst_object_unref(element);
}

TEST(WorkerDecKeys, WrongModeIsAnErrorAtReady) {
  ObjectPtr<GstElement> element(
      GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("discordworkerdec", nullptr))));
  g_object_set(element.get(), "mode", "rot13", nullptr);
  EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  gst_element_set_state(element.get(), GST_STATE_NULL);
}
