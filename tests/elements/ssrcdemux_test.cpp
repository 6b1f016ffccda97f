#include "feeder.hpp"

#include <gtest/gtest.h>
#include <algorithm>

namespace {

using namespace discord;
using namespace discord::test;

// Links every pad of the demux to a pad that writes down what arrives.
class Consumer {
 public:
  Consumer(GstPad* source, GstFlowReturn first_answer)
      : answer(first_answer), from(ref_object(source)) {
    pad.reset(GST_PAD(gst_object_ref_sink(gst_pad_new(nullptr, GST_PAD_SINK))));
    gst_pad_set_element_private(pad.get(), this);
    gst_pad_set_chain_function(pad.get(), [](GstPad* p, GstObject*, GstBuffer* b) {
      auto* self = static_cast<Consumer*>(gst_pad_get_element_private(p));
      self->add("data", GST_BUFFER_PTS(b), 0);
      gst_buffer_unref(b);
      return self->answer;
    });
    gst_pad_set_event_function(pad.get(), [](GstPad* p, GstObject*, GstEvent* e) -> gboolean {
      static_cast<Consumer*>(gst_pad_get_element_private(p))->on_event(e);
      gst_event_unref(e);
      return TRUE;
    });
    gst_pad_set_active(pad.get(), TRUE);
    gst_pad_link(source, pad.get());
  }
  ~Consumer() {
    gst_pad_set_active(pad.get(), FALSE);
    gst_pad_unlink(from.get(), pad.get());
  }

  struct Item {
    std::string what;
    GstClockTime at;
    GstClockTime duration;
    bool operator==(const Item&) const = default;
  };

  std::vector<Item> items() {
    Lock lock(mutex);
    return seen;
  }
  std::size_t count(const std::string& what) {
    const auto all = items();
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [&](const Item& i) { return i.what == what; }));
  }

  GstFlowReturn answer;
  ObjectPtr<GstPad> from;
  ObjectPtr<GstPad> pad;
  std::string stream_id;
  guint group_id = 0;
  std::string user_tag;
  std::string title;
  std::string caps;

 private:
  void add(const char* what, GstClockTime at, GstClockTime duration) {
    Lock lock(mutex);
    seen.push_back({what, at, duration});
  }

  void on_event(GstEvent* e) {
    switch (GST_EVENT_TYPE(e)) {
      case GST_EVENT_STREAM_START: {
        const gchar* id;
        gst_event_parse_stream_start(e, &id);
        stream_id = id;
        gst_event_parse_group_id(e, &group_id);
        break;
      }
      case GST_EVENT_CAPS: {
        GstCaps* c;
        gst_event_parse_caps(e, &c);
        const GCharPtr text(gst_caps_to_string(c));
        caps = text.get();
        break;
      }
      case GST_EVENT_TAG: {
        GstTagList* tags;
        gst_event_parse_tag(e, &tags);
        gchar* value = nullptr;
        if (gst_tag_list_get_string(tags, "discord-user-id", &value)) {
          user_tag = value;
          g_free(value);
        }
        if (gst_tag_list_get_string(tags, GST_TAG_TITLE, &value)) {
          title = value;
          g_free(value);
        }
        break;
      }
      case GST_EVENT_GAP: {
        GstClockTime at;
        GstClockTime duration;
        gst_event_parse_gap(e, &at, &duration);
        add("gap", at, duration);
        break;
      }
      case GST_EVENT_EOS:
        add("eos", 0, 0);
        break;
      case GST_EVENT_SEGMENT:
        add("segment", 0, 0);
        break;
      case GST_EVENT_FLUSH_STOP:
        add("flush", 0, 0);
        break;
      case GST_EVENT_CUSTOM_DOWNSTREAM: {
        guint64 at = 0;
        gst_structure_get_uint64(gst_event_get_structure(e), "timestamp", &at);
        add("lost", at, 0);
        break;
      }
      default:
        break;
    }
  }

  Mutex mutex;
  std::vector<Item> seen;
};

class SsrcDemux : public testing::Test {
 protected:
  void SetUp() override {
    demux_ = gst_element_factory_make("discordssrcdemux", nullptr);
    ASSERT_NE(demux_, nullptr);
    g_signal_connect(demux_, "pad-added", G_CALLBACK(+[](GstElement*, GstPad* pad, gpointer self) {
                       auto* t = static_cast<SsrcDemux*>(self);
                       t->added_.push_back(GST_PAD_NAME(pad));
                       if (t->link_) {
                         t->pads_[GST_PAD_NAME(pad)] = std::make_unique<Consumer>(pad, t->answer_);
                       }
                     }),
                     this);
    g_signal_connect(demux_, "pad-removed",
                     G_CALLBACK(+[](GstElement*, GstPad* pad, gpointer self) {
                       static_cast<SsrcDemux*>(self)->removed_.push_back(GST_PAD_NAME(pad));
                     }),
                     this);
  }
  void TearDown() override {
    feeder_.stop();
    pads_.clear();
  }

  Consumer& at(const std::string& name) { return *pads_.at(name); }

  guint64 stat(const char* field) {
    GstStructure* raw = nullptr;
    g_object_get(demux_, "stats", &raw, nullptr);
    const StructurePtr stats(raw);
    guint64 value = 0;
    EXPECT_TRUE(gst_structure_get_uint64(raw, field, &value)) << field;
    return value;
  }

  template <class T> T property(const std::string& pad, const char* name) {
    T value{};
    g_object_get(at(pad).from.get(), name, &value, nullptr);
    return value;
  }

  // Cranks the tick once and waits until the next one is armed, that is, until it has run.
  void tick() {
    gst_test_clock_wait_for_next_pending_id(feeder_.clock.get(), nullptr);
    gst_test_clock_crank(feeder_.clock.get());
    gst_test_clock_wait_for_next_pending_id(feeder_.clock.get(), nullptr);
  }

  GstElement* demux_ = nullptr;
  bool link_ = true;
  GstFlowReturn answer_ = GST_FLOW_OK;
  std::map<std::string, std::unique_ptr<Consumer>> pads_;
  std::vector<std::string> added_;
  std::vector<std::string> removed_;
  Feeder feeder_;  // last: the element says which pads it loses until it is gone
};

TEST_F(SsrcDemux, OnePadPerSpeakerWithItsIdentity) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(200, 0, 0);
  feeder_.push(100, 7, frame);
  ASSERT_EQ(added_, (std::vector<std::string>{"src_100", "src_200"}));
  EXPECT_EQ(at("src_100").count("data"), 2u);
  EXPECT_EQ(at("src_200").count("data"), 1u);
  EXPECT_EQ(property<guint>("src_100", "ssrc"), 100u);
  EXPECT_EQ(property<guint64>("src_100", "user-id"), 7u);
  EXPECT_EQ(property<guint64>("src_200", "user-id"), 0u);
  EXPECT_EQ(at("src_100").stream_id, "test/user/7");
  EXPECT_EQ(at("src_200").stream_id, "test/200");
  EXPECT_EQ(at("src_100").group_id, at("src_200").group_id);
  EXPECT_EQ(at("src_100").user_tag, "7");
  EXPECT_EQ(at("src_100").items().front().what, "segment");
  EXPECT_TRUE(feeder_.message(GST_MESSAGE_STREAM_COLLECTION));
}

TEST_F(SsrcDemux, ARejoiningUserStaysOnThePad) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(300, 7, frame);
  feeder_.push(300, 0, 2 * frame);
  EXPECT_EQ(added_.size(), 1u);
  EXPECT_EQ(at("src_100").count("data"), 3u);
  EXPECT_EQ(property<guint>("src_100", "ssrc"), 100u) << "the SSRC of first sight";
}

TEST_F(SsrcDemux, GroupedBySsrcARejoinIsANewPad) {
  gst_util_set_object_arg(G_OBJECT(demux_), "group-by", "ssrc");
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(300, 7, frame);
  EXPECT_EQ(added_, (std::vector<std::string>{"src_100", "src_300"}));
  EXPECT_EQ(at("src_300").stream_id, "test/300");
}

TEST_F(SsrcDemux, AUserWhoBecomesKnownAdoptsThePad) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 0, 0);
  int notified = 0;
  g_signal_connect(at("src_100").from.get(), "notify::user-id",
                   G_CALLBACK(+[](GObject*, GParamSpec*, gpointer n) { ++*static_cast<int*>(n); }),
                   &notified);
  feeder_.push(100, 7, frame);
  EXPECT_EQ(added_.size(), 1u);
  EXPECT_EQ(property<guint64>("src_100", "user-id"), 7u);
  EXPECT_EQ(notified, 1);
  EXPECT_EQ(at("src_100").user_tag, "7");
  feeder_.push(101, 7, 2 * frame);
  EXPECT_EQ(added_.size(), 1u) << "the adopted pad is the user's";
}

TEST_F(SsrcDemux, AnSsrcThatPassesToAnotherUserGetsItsOwnPad) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(100, 8, frame);
  EXPECT_EQ(added_, (std::vector<std::string>{"src_100", "src_100_1"}));
  EXPECT_EQ(property<guint64>("src_100_1", "user-id"), 8u);
}

TEST_F(SsrcDemux, ANameReachesPadAndTag) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  gst_pad_push_event(
      feeder_.pad.get(),
      gst_event_new_custom(
          GST_EVENT_CUSTOM_DOWNSTREAM,
          gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64, guint64{7},
                            "display-name", G_TYPE_STRING, "Anna", nullptr)));
  const GCharPtr name(property<gchar*>("src_100", "display-name"));
  EXPECT_STREQ(name.get(), "Anna");
  EXPECT_EQ(at("src_100").title, "Anna");
}

// A talk spurt may be announced before the first packet has made a pad, and a user may come back
// with another SSRC before the spurt of the old one is over.
TEST_F(SsrcDemux, SpeakingFollowsTheTalkSpurtsOfTheUser) {
  ASSERT_TRUE(feeder_.start(demux_));
  const auto say = [&](guint ssrc, guint64 user, bool speaking) {
    gst_pad_push_event(
        feeder_.pad.get(),
        gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                             gst_structure_new("discord-speaking", "ssrc", G_TYPE_UINT, ssrc,
                                               "user-id", G_TYPE_UINT64, user, "speaking",
                                               G_TYPE_BOOLEAN, gboolean{speaking}, nullptr)));
  };
  const auto speaks = [&](const char* pad) { return property<gboolean>(pad, "speaking") != FALSE; };
  say(100, 7, true);
  feeder_.push(100, 7, 0);
  feeder_.push(200, 9, 0);
  EXPECT_TRUE(speaks("src_100"));
  EXPECT_FALSE(speaks("src_200"));
  say(101, 7, true);
  say(100, 7, false);
  EXPECT_TRUE(speaks("src_100"));
  say(101, 7, false);
  EXPECT_FALSE(speaks("src_100"));
  say(200, 9, true);
  EXPECT_TRUE(speaks("src_200"));
  EXPECT_FALSE(speaks("src_100"));
}

TEST_F(SsrcDemux, EachPadIsToldTheStreamsThereAre) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(200, 9, 0);
  for (const char* name : {"src_100", "src_200"}) {
    const EventPtr event(
        gst_pad_get_sticky_event(at(name).from.get(), GST_EVENT_STREAM_COLLECTION, 0));
    ASSERT_TRUE(event) << name;
    GstStreamCollection* raw = nullptr;
    gst_event_parse_stream_collection(event.get(), &raw);
    const ObjectPtr<GstStreamCollection> collection(raw);
    EXPECT_EQ(gst_stream_collection_get_size(raw), 2u);
  }
}

TEST_F(SsrcDemux, LostPacketsGoToTheirSpeaker) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(200, 9, 0);
  feeder_.lose(200, 9, frame);
  feeder_.lose(999, 0, frame);
  EXPECT_EQ(at("src_100").count("lost"), 0u);
  EXPECT_EQ(at("src_200").count("lost"), 1u);
  EXPECT_EQ(added_.size(), 2u) << "a loss makes no speaker";
  EXPECT_EQ(stat("num-lost"), 1u);
  EXPECT_EQ(stat("num-lost-unknown-ssrc"), 1u);
}

TEST_F(SsrcDemux, WithoutMetaTheHeaderSays) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(rtp_packet(100, 0, 0, 0, silence(), false));
  EXPECT_EQ(added_, std::vector<std::string>{"src_100"});
}

TEST_F(SsrcDemux, MalformedPacketsAreCountedAndDropped) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  EXPECT_EQ(feeder_.push(BufferPtr(gst_buffer_new_allocate(nullptr, 5, nullptr))), GST_FLOW_OK);
  EXPECT_EQ(feeder_.push(BufferPtr(gst_buffer_new())), GST_FLOW_OK);
  EXPECT_EQ(stat("num-malformed"), 2u);
  EXPECT_EQ(added_.size(), 1u);
}

TEST_F(SsrcDemux, BufferListsAreSplitInOrder) {
  ASSERT_TRUE(feeder_.start(demux_));
  GstBufferList* list = gst_buffer_list_new();
  for (unsigned i = 0; i < 4; i++) {
    gst_buffer_list_add(
        list, rtp_packet(100, 7, static_cast<std::uint16_t>(i), i * frame, silence()).release());
    gst_buffer_list_add(
        list, rtp_packet(200, 9, static_cast<std::uint16_t>(i), i * frame, silence()).release());
  }
  gst_buffer_list_add(list, gst_buffer_new_allocate(nullptr, 3, nullptr));
  EXPECT_EQ(gst_pad_push_list(feeder_.pad.get(), list), GST_FLOW_OK);
  for (const char* name : {"src_100", "src_200"}) {
    const auto items = at(name).items();
    ASSERT_EQ(at(name).count("data"), 4u);
    for (unsigned i = 0; i < 4; i++) {
      EXPECT_EQ(items[i + 1].at, i * frame);  // the first is the segment
    }
  }
  EXPECT_EQ(stat("num-malformed"), 1u);
}

TEST_F(SsrcDemux, MoreSpeakersThanAllowedAreDroppedWithOneWarning) {
  g_object_set(demux_, "max-speakers", 2U, nullptr);
  ASSERT_TRUE(feeder_.start(demux_));
  for (std::uint32_t ssrc = 1; ssrc <= 5; ssrc++) {
    EXPECT_EQ(feeder_.push(ssrc, 0, 0), GST_FLOW_OK);
  }
  EXPECT_EQ(added_.size(), 2u);
  EXPECT_EQ(stat("num-too-many-speakers"), 3u);
  EXPECT_TRUE(feeder_.message(GST_MESSAGE_WARNING, 0));
  EXPECT_FALSE(feeder_.message(GST_MESSAGE_WARNING, 0));
}

TEST_F(SsrcDemux, ToleratesUnlinkedPadsUnlessAllAre) {
  link_ = false;
  ASSERT_TRUE(feeder_.start(demux_));
  EXPECT_EQ(feeder_.push(100, 7, 0), GST_FLOW_NOT_LINKED);
  link_ = true;
  EXPECT_EQ(feeder_.push(200, 9, 0), GST_FLOW_OK);
  EXPECT_EQ(feeder_.push(100, 7, frame), GST_FLOW_OK);
}

TEST_F(SsrcDemux, AFailingPadIsLeftOutUntilAllFail) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(200, 9, 0);
  at("src_100").answer = GST_FLOW_ERROR;
  EXPECT_EQ(feeder_.push(100, 7, frame), GST_FLOW_OK);
  EXPECT_EQ(feeder_.push(100, 7, 2 * frame), GST_FLOW_OK);
  EXPECT_EQ(at("src_100").count("data"), 2u) << "a dead pad gets nothing more";
  EXPECT_EQ(stat("num-dead-pad"), 1u);
  EXPECT_EQ(feeder_.push(200, 9, frame), GST_FLOW_OK);
  at("src_200").answer = GST_FLOW_ERROR;
  EXPECT_EQ(feeder_.push(200, 9, 2 * frame), GST_FLOW_ERROR);
}

TEST_F(SsrcDemux, EveryPadEosEndsTheStream) {
  ASSERT_TRUE(feeder_.start(demux_));
  answer_ = GST_FLOW_EOS;
  EXPECT_EQ(feeder_.push(100, 7, 0), GST_FLOW_EOS);
}

TEST_F(SsrcDemux, AnEndWithoutAnySpeakerIsAnError) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.eos();
  EXPECT_TRUE(feeder_.message(GST_MESSAGE_ERROR, 0));
}

TEST_F(SsrcDemux, EosBringsAllPadsToTheSameEnd) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  feeder_.push(200, 9, 5 * frame + 1);
  feeder_.eos();
  const GstClockTime end = 6 * frame + 2500 * GST_USECOND;
  for (const char* name : {"src_100", "src_200"}) {
    const auto items = at(name).items();
    ASSERT_GE(items.size(), 3u);
    EXPECT_EQ(items.back().what, "eos");
    const auto gap = items[items.size() - 2];
    EXPECT_EQ(gap.what, "gap");
    EXPECT_EQ(gap.at + gap.duration, end);
  }
  EXPECT_FALSE(feeder_.message(GST_MESSAGE_ERROR, 0));
}

TEST_F(SsrcDemux, BehindAFileTheOthersMoveAQuietPad) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  for (unsigned i = 0; i < 50; i++) {
    feeder_.push(200, 9, i * frame);
  }
  GstClockTime end = frame;
  for (const auto& item : at("src_100").items()) {
    if (item.what == "gap") {
      EXPECT_EQ(item.at, end) << "a gap goes on where the pad stood";
      end = item.at + item.duration;
    }
  }
  EXPECT_GE(end, 500 * GST_MSECOND);
  EXPECT_LE(end, 800 * GST_MSECOND) << "stays behind what may still come";
  EXPECT_EQ(at("src_200").count("gap"), 0u);
}

TEST_F(SsrcDemux, LiveAQuietPadGetsGapsOnATick) {
  feeder_.live = true;
  feeder_.latency = 100 * GST_MSECOND;
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  for (int i = 0; i < 10; i++) {
    tick();
  }
  const GstClockTime now = gst_clock_get_time(GST_CLOCK(feeder_.clock.get()));
  GstClockTime end = frame;
  std::size_t gaps = 0;
  for (const auto& item : at("src_100").items()) {
    if (item.what == "gap") {
      EXPECT_EQ(item.at, end);
      EXPECT_LE(item.duration, 200 * GST_MSECOND) << "never one burst";
      end = item.at + item.duration;
      gaps++;
    }
  }
  EXPECT_GE(gaps, 5u);
  EXPECT_LE(end + feeder_.latency, now) << "a packet that waits upstream is never overtaken";
  // What comes next starts where it likes, and the next gap goes on behind it.
  feeder_.push(100, 7, end + 5 * GST_MSECOND);
  for (int i = 0; i < 3; i++) {
    tick();
  }
  const auto items = at("src_100").items();
  EXPECT_EQ(items.back().what, "gap");
  const auto data =
      std::find_if(items.rbegin(), items.rend(), [](const auto& i) { return i.what == "data"; });
  EXPECT_EQ((data - 1)->at, end + 5 * GST_MSECOND + frame);
}

TEST_F(SsrcDemux, AnIdlePadIsRemovedWithEos) {
  g_object_set(demux_, "idle-timeout", 500U, nullptr);
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 0);
  for (unsigned i = 0; i < 60; i++) {
    feeder_.push(200, 9, i * frame);
  }
  EXPECT_EQ(removed_, std::vector<std::string>{"src_100"});
  EXPECT_EQ(at("src_100").items().back().what, "eos");
  feeder_.push(100, 7, 61 * frame);
  EXPECT_EQ(added_.size(), 3u) << "who speaks again gets a new pad";
}

TEST_F(SsrcDemux, FlushesAndGoesOn) {
  ASSERT_TRUE(feeder_.start(demux_));
  feeder_.push(100, 7, 10 * GST_SECOND);
  gst_pad_push_event(feeder_.pad.get(), gst_event_new_flush_start());
  EXPECT_EQ(feeder_.push(100, 7, frame), GST_FLOW_FLUSHING);
  gst_pad_push_event(feeder_.pad.get(), gst_event_new_flush_stop(TRUE));
  feeder_.segment();
  EXPECT_EQ(feeder_.push(100, 7, 0), GST_FLOW_OK);
  feeder_.push(200, 9, 0);
  feeder_.eos();
  EXPECT_EQ(at("src_100").count("flush"), 1u);
  const auto items = at("src_100").items();
  const auto gap = items[items.size() - 2];
  EXPECT_EQ(gap.at + gap.duration, frame) << "what was before the flush is forgotten";
}

TEST_F(SsrcDemux, StartsAgainWithNobody) {
  for (int run = 0; run < 2; run++) {
    ASSERT_TRUE(feeder_.start(demux_));
    EXPECT_EQ(feeder_.push(100, 7, 0), GST_FLOW_OK);
    feeder_.stop();
    pads_.clear();
  }
  EXPECT_EQ(added_.size(), 2u);
  EXPECT_EQ(removed_.size(), 2u);
}

TEST_F(SsrcDemux, RawAudioLeavesWithPlainCaps) {
  ASSERT_TRUE(feeder_.start(demux_));
  CapsPtr caps(gst_caps_from_string(
      "audio/x-raw(meta:GstDiscordSpeakerMeta), format=S16LE, rate=48000, channels=2, "
      "layout=interleaved"));
  gst_pad_push_event(feeder_.pad.get(), gst_event_new_caps(caps.get()));
  for (unsigned i = 0; i < 2; i++) {
    BufferPtr b(gst_buffer_new_allocate(nullptr, 3840, nullptr));
    GST_BUFFER_PTS(b.get()) = i * frame;
    gst_buffer_add_discord_speaker_meta(b.get(), 100, 7);
    EXPECT_EQ(feeder_.push(std::move(b)), GST_FLOW_OK);
  }
  EXPECT_EQ(at("src_100").caps.find("meta:"), std::string::npos) << at("src_100").caps;
  EXPECT_EQ(at("src_100").caps.find("audio/x-raw"), 0u);
  EXPECT_EQ(feeder_.push(BufferPtr(gst_buffer_new_allocate(nullptr, 3840, nullptr))), GST_FLOW_OK);
  EXPECT_EQ(stat("num-malformed"), 1u) << "decoded audio of nobody";
}

TEST_F(SsrcDemux, UpstreamGetsOneSeekAndNoQos) {
  static int seeks;
  static int qos;
  seeks = qos = 0;
  ASSERT_TRUE(feeder_.start(demux_));
  gst_pad_set_event_function(feeder_.pad.get(), [](GstPad*, GstObject*, GstEvent* e) -> gboolean {
    seeks += GST_EVENT_TYPE(e) == GST_EVENT_SEEK;
    qos += GST_EVENT_TYPE(e) == GST_EVENT_QOS;
    gst_event_unref(e);
    return TRUE;
  });
  feeder_.push(100, 7, 0);
  feeder_.push(200, 9, 0);
  GstEvent* seek = gst_event_new_seek(1, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET, 0,
                                      GST_SEEK_TYPE_NONE, 0);
  for (const auto& [name, c] : pads_) {
    gst_pad_push_event(c->pad.get(), gst_event_ref(seek));
    gst_pad_push_event(c->pad.get(), gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 1.0, 0, 0));
  }
  gst_event_unref(seek);
  EXPECT_EQ(seeks, 1);
  EXPECT_EQ(qos, 0);
}

}  // namespace
