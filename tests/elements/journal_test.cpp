// The journal of discordrecordsink and its writer on bad disks.
#include "elements/journalwriter.hpp"
#include "feeder.hpp"
#include "record/journal_summary.hpp"
#include "temp_folder.hpp"
#include "track_reader.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

namespace {

using namespace discord;
using namespace discord::test;
using namespace std::chrono_literals;

Bytes read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

// --- the writer ---

// A disk that a test can stop, and fill.
struct Disk {
  std::mutex mutex;
  std::condition_variable changed;
  bool stalled = false;
  bool full = false;
  unsigned writes_while_stalled = 0;
  unsigned troubles = 0;
  unsigned recoveries = 0;

  JournalDisk hooks() {
    return {[this](int fd, const void* bytes, std::size_t size, std::int64_t at) -> ssize_t {
              std::unique_lock lock(mutex);
              writes_while_stalled += stalled ? 1 : 0;
              changed.notify_all();
              changed.wait(lock, [this] { return !stalled; });
              if (full) {
                errno = ENOSPC;
                return -1;
              }
              return pwrite(fd, bytes, size > 1000 ? 1000 : size, at);  // never all at once
            },
            [](int fd) { return fdatasync(fd); }};
  }
  void set(bool is_stalled, bool is_full) {
    const std::lock_guard lock(mutex);
    stalled = is_stalled;
    full = is_full;
    changed.notify_all();
  }
  template <class F> bool wait(F&& done) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, 20s, done);
  }
};

class Writer : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = open_record_folder(temp_.path.string());
    ASSERT_TRUE(folder.ok());
    JournalWriter::Settings settings;
    settings.capacity = 64 << 10;
    settings.gather = 1ms;
    settings.sync_interval = 5ms;
    settings.disk = disk_.hooks();
    settings.trouble = [this](bool works, const std::string&) {
      const std::lock_guard lock(disk_.mutex);
      (works ? disk_.recoveries : disk_.troubles)++;
      disk_.changed.notify_all();
    };
    auto writer = JournalWriter::create(*folder, std::move(settings));
    ASSERT_TRUE(writer.ok());
    writer_ = std::move(writer).value();
  }
  void put(std::int64_t n) {
    const Bytes opus(100, 0x78);
    record::JournalPacket p;
    p.sample = n * 960;
    p.user_id = 7;
    p.ssrc = 100;
    p.opus = opus;
    writer_->append(p);
  }
  record::JournalSummary written() { return record::summarise(read_file(writer_->path())); }

  TempFolder temp_;
  Disk disk_;
  std::unique_ptr<JournalWriter> writer_;
};

TEST_F(Writer, EverythingIsThereInOrder) {
  writer_->begin({});
  for (int i = 0; i < 300; i++) {
    put(i);
    if (i % 100 == 50) {
      std::this_thread::yield();
    }
  }
  writer_->finish(300 * 960);
  const auto s = written();
  EXPECT_EQ(s.speakers.at({7, 0}).packets, 300u);
  EXPECT_EQ(s.damaged_stretches, 0u);
  EXPECT_EQ(s.missing_records, 0u);
  EXPECT_TRUE(s.ended);
  struct stat info;
  ASSERT_EQ(stat(writer_->path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Writer, AStalledDiskNeverHoldsUpWhoAppendsAndDropsAreCounted) {
  writer_->begin({});
  disk_.set(true, false);
  put(0);
  ASSERT_TRUE(disk_.wait([this] { return disk_.writes_while_stalled > 0; }));
  for (int i = 1; i < 1000; i++) {
    put(i);  // would hang here if it waited
  }
  const auto stats = writer_->stats();
  EXPECT_GT(stats.dropped, 0u);
  disk_.set(false, false);
  writer_->finish(std::nullopt);
  const auto s = written();
  EXPECT_EQ(s.speakers.at({7, 0}).packets + s.dropped, 1000u);
  EXPECT_EQ(s.dropped, stats.dropped) << "the journal says so itself";
  EXPECT_EQ(s.damaged_stretches, 0u);
}

TEST_F(Writer, AStallWithinTheBufferCostsNothing) {
  writer_->begin({});
  disk_.set(true, false);
  for (int i = 0; i < 100; i++) {
    put(i);
  }
  disk_.set(false, false);
  writer_->finish(std::nullopt);
  EXPECT_EQ(written().speakers.at({7, 0}).packets, 100u);
}

TEST_F(Writer, AFullDiskIsSaidOnceAndTheJournalGoesOnWhereItWas) {
  writer_->begin({});
  put(0);
  disk_.set(false, true);
  for (int i = 1; i < 50; i++) {
    put(i);
  }
  ASSERT_TRUE(disk_.wait([this] { return disk_.troubles > 0; }));
  disk_.set(false, false);
  put(50);
  ASSERT_TRUE(disk_.wait([this] { return disk_.recoveries > 0; }));
  writer_->finish(std::nullopt);
  EXPECT_EQ(disk_.troubles, 1u);
  EXPECT_EQ(disk_.recoveries, 1u);
  const auto s = written();
  EXPECT_EQ(s.speakers.at({7, 0}).packets, 51u);
  EXPECT_EQ(s.damaged_stretches, 0u);
}

TEST_F(Writer, WithoutASessionNothingIsLeft) {
  put(0);
  writer_->finish(0);
  EXPECT_FALSE(fs::exists(writer_->path()));
}

// --- the recorder ---

class Journal : public testing::Test {
 protected:
  void TearDown() override { feeder_.stop(); }

  bool start(const char* format, bool journal) {
    GstElement* e = gst_element_factory_make("discordrecordsink", nullptr);
    g_object_set(e, "location", temp_.path.c_str(), "journal", journal, nullptr);
    gst_util_set_object_arg(G_OBJECT(e), "format", format);
    return feeder_.start(e);
  }
  bool wait_for_eos() {
    const MessagePtr m =
        feeder_.message(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
    return m && GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_EOS;
  }
  void tell(const char* text) {
    ObjectPtr<GstPad> sink(gst_element_get_static_pad(feeder_.element.get(), "sink"));
    gst_pad_send_event(sink.get(), gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM_OOB,
                                                        gst_structure_new_from_string(text)));
  }
  // 2 s: user 7 talks, pauses from 0.5 to 1 s, loses a packet at 1.4 s; user 9 from 1.0 to 1.5 s.
  void two_speakers() {
    Tone a(440);
    Tone b(1000);
    for (unsigned i = 0; i < 100; i++) {
      if (i < 25 || i >= 50) {
        const auto packet = a.next();
        if (i == 70) {
          feeder_.lose(100, 7, i * frame);
        } else {
          feeder_.push(100, 7, i * frame, packet);
        }
      }
      if (i >= 50 && i < 75) {
        feeder_.push(200, 9, i * frame, b.next());
      }
      if (i == 60) {
        g_signal_emit_by_name(feeder_.element.get(), "mark", "the joke");
      }
    }
  }

  TempFolder temp_;
  Feeder feeder_;
};

TEST_F(Journal, HoldsEveryPacketWithItsPlaceAndWhatHappened) {
  ASSERT_TRUE(start("wav", true));
  tell("discord-e2ee, epoch=(guint64)4, privacy-code=(string)\"012345678901234567890123456789\"");
  tell("discord-user-joined, user-id=(guint64)9");
  tell("discord-user-info, user-id=(guint64)7, display-name=(string)Ada");
  two_speakers();
  tell("discord-user-left, user-id=(guint64)9");
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto found = temp_.files(".journal");
  ASSERT_EQ(found.size(), 1u);
  const Bytes file = read_file(found[0]);
  const auto s = record::summarise(file);
  ASSERT_TRUE(s.session);
  EXPECT_EQ(s.damaged_stretches, 0u);
  EXPECT_TRUE(s.ended);
  EXPECT_EQ(s.length, 96000) << "as long as the tracks";
  const auto& ada = s.speakers.at({7, 0});
  EXPECT_EQ(ada.name, "Ada");
  EXPECT_EQ(ada.packets, 74u);
  EXPECT_EQ(ada.spoken, 74 * 960);
  EXPECT_EQ(ada.losses, 1u);
  EXPECT_EQ(ada.lost_samples, 960);
  EXPECT_EQ(s.speakers.at({9, 0}).first, 48000);
  ASSERT_EQ(s.marks.size(), 1u);
  EXPECT_EQ(s.marks[0].text, "the joke");
  EXPECT_EQ(s.marks[0].sample, 61 * 960);

  std::vector<std::pair<record::JournalEventKind, std::int64_t>> ada_speaks;
  unsigned joined = 0;
  unsigned left = 0;
  std::string code;
  record::JournalReader reader(file);
  while (const auto item = reader.next()) {
    const auto* record = std::get_if<record::JournalRecord>(&item->what);
    ASSERT_NE(record, nullptr);
    if (const auto* e = std::get_if<record::JournalEvent>(record)) {
      using Kind = record::JournalEventKind;
      if ((e->kind == Kind::speaking || e->kind == Kind::silent) && e->user_id == 7) {
        ada_speaks.emplace_back(e->kind, e->sample);
      }
      joined += e->kind == Kind::joined && e->user_id == 9 ? 1 : 0;
      left += e->kind == Kind::left && e->user_id == 9 ? 1 : 0;
      if (e->kind == Kind::encryption && e->value == 4) {
        code = e->text;
      }
    }
  }
  const decltype(ada_speaks) expected = {{record::JournalEventKind::speaking, 0},
                                         {record::JournalEventKind::silent, 24000},
                                         {record::JournalEventKind::speaking, 48000}};
  EXPECT_EQ(ada_speaks, expected);
  EXPECT_EQ(joined, 1u) << "also before the first packet";
  EXPECT_EQ(left, 1u);
  EXPECT_EQ(code, "012345678901234567890123456789");
}

TEST_F(Journal, KnowsHowManyPacketsALossStoodFor) {
  ASSERT_TRUE(start("wav", true));
  feeder_.push(100, 7, 0);
  feeder_.lose(100, 7, frame, 3 * frame, 3);
  feeder_.push(100, 7, 4 * frame);
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto s = record::summarise(read_file(temp_.files(".journal").at(0)));
  EXPECT_EQ(s.speakers.at({7, 0}).losses, 1u);
  EXPECT_EQ(s.speakers.at({7, 0}).lost_packets, 3u);
}

TEST_F(Journal, TakesThePacketsOfDecodedFrames) {
  GstElement* e = gst_element_factory_make("discordrecordsink", nullptr);
  g_object_set(e, "location", temp_.path.c_str(), "journal", TRUE, nullptr);
  ASSERT_TRUE(feeder_.start(e));
  CapsPtr caps(
      gst_caps_from_string("audio/x-raw(meta:GstDiscordSpeakerMeta), format=S16LE, "
                           "rate=48000, channels=2, layout=interleaved"));
  gst_pad_push_event(feeder_.pad.get(), gst_event_new_caps(caps.get()));
  feeder_.segment();
  const Bytes opus = {0x78, 1, 2, 3};
  for (unsigned i = 0; i < 10; i++) {
    const unsigned cut = i == 8 ? 120 : 0;  // in front, because the sender's clock is fast
    BufferPtr buffer(gst_buffer_new_allocate(nullptr, (960 - cut) * 4, nullptr));
    gst_buffer_memset(buffer.get(), 0, 0, (960 - cut) * 4);
    GST_BUFFER_PTS(buffer.get()) = i * frame + cut * GST_SECOND / 48000;
    GST_BUFFER_DURATION(buffer.get()) = frame - cut * GST_SECOND / 48000;
    auto* meta = gst_buffer_add_discord_speaker_meta(buffer.get(), 100, 7);
    if (i == 5) {
      meta->kind = GST_DISCORD_FRAME_PLC;
    } else {
      meta->packet = gst_buffer_new_allocate(nullptr, opus.size(), nullptr);
      gst_buffer_fill(meta->packet, 0, opus.data(), opus.size());
    }
    EXPECT_EQ(feeder_.push(std::move(buffer)), GST_FLOW_OK);
  }
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const Bytes file = read_file(temp_.files(".journal").at(0));
  const auto s = record::summarise(file);
  EXPECT_EQ(s.speakers.at({7, 0}).packets, 9u);
  EXPECT_EQ(s.speakers.at({7, 0}).losses, 1u);
  std::vector<std::int64_t> places;
  record::JournalReader reader(file);
  while (const auto item = reader.next()) {
    const auto* record = std::get_if<record::JournalRecord>(&item->what);
    if (const auto* p = record != nullptr ? std::get_if<record::JournalPacket>(record) : nullptr) {
      places.push_back(p->sample / 960);
      EXPECT_EQ(p->sample % 960, 0) << "where the packet begins, not where the cut frame does";
    }
  }
  EXPECT_EQ(places, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 6, 7, 8, 9}));
}

TEST_F(Journal, NobodyLeavesNone) {
  ASSERT_TRUE(start("wav", true));
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  EXPECT_TRUE(temp_.files(".journal").empty());
}

TEST_F(Journal, GoingDownWithoutAnEndCompletesItToo) {
  ASSERT_TRUE(start("wav", true));
  two_speakers();
  feeder_.stop();
  const auto s = record::summarise(read_file(temp_.files(".journal").at(0)));
  EXPECT_TRUE(s.ended);
  EXPECT_EQ(s.length, 96000);
}

// --- Matroska ---

struct Decoded {
  std::string title;
  std::vector<std::int16_t> left;
};

// Every track, decoded by stock elements, by its title.
std::map<std::string, std::vector<std::int16_t>> decode_mka(const fs::path& path, GstToc** toc) {
  std::map<std::string, std::vector<std::int16_t>> tracks;
  const std::string line = "filesrc location=" + path.string() + " ! matroskademux name=d";
  ObjectPtr<GstElement> pipeline(
      GST_ELEMENT(gst_object_ref_sink(gst_parse_launch(line.c_str(), nullptr))));
  struct Track {
    std::string title;
    Bytes pcm;
  };
  struct Shared {
    GstElement* pipeline;
    std::mutex mutex;
    std::map<std::string, std::unique_ptr<Track>> tracks;
  } shared{pipeline.get(), {}, {}};
  ObjectPtr<GstElement> demux(gst_bin_get_by_name(GST_BIN(pipeline.get()), "d"));
  g_signal_connect(
      demux.get(), "pad-added", G_CALLBACK(+[](GstElement*, GstPad* pad, gpointer data) {
        auto* all = static_cast<Shared*>(data);
        GstElement* bin = gst_parse_bin_from_description(
            "queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! opusdec plc=true ! "
            "audio/x-raw,format=S16LE,channels=2,rate=48000 ! fakesink name=s sync=false "
            "async=false",
            TRUE, nullptr);
        auto track = std::make_unique<Track>();
        ObjectPtr<GstElement> sink(gst_bin_get_by_name(GST_BIN(bin), "s"));
        ObjectPtr<GstPad> in(gst_element_get_static_pad(sink.get(), "sink"));
        gst_pad_add_probe(
            in.get(),
            static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                         GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
            [](GstPad*, GstPadProbeInfo* info, gpointer t) {
              auto* one = static_cast<Track*>(t);
              if ((info->type & GST_PAD_PROBE_TYPE_BUFFER) != 0) {
                const MappedBuffer map(GST_PAD_PROBE_INFO_BUFFER(info), GST_MAP_READ);
                one->pcm.insert(one->pcm.end(), map.data(), map.data() + map.size());
              } else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_TAG) {
                GstTagList* tags = nullptr;
                gst_event_parse_tag(GST_PAD_PROBE_INFO_EVENT(info), &tags);
                gchar* title = nullptr;
                if (gst_tag_list_get_scope(tags) == GST_TAG_SCOPE_STREAM &&
                    gst_tag_list_get_string(tags, GST_TAG_TITLE, &title)) {
                  one->title = title;
                  g_free(title);
                }
              }
              return GST_PAD_PROBE_OK;
            },
            track.get(), nullptr);
        gst_bin_add(GST_BIN(all->pipeline), bin);
        ObjectPtr<GstPad> ghost(gst_element_get_static_pad(bin, "sink"));
        gst_pad_link(pad, ghost.get());
        gst_element_sync_state_with_parent(bin);
        const std::lock_guard lock(all->mutex);
        all->tracks.emplace(GST_PAD_NAME(pad), std::move(track));
      }),
      &shared);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline.get()));
  for (;;) {
    const MessagePtr m(gst_bus_timed_pop_filtered(
        bus.get(), 20 * GST_SECOND,
        static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR | GST_MESSAGE_TOC)));
    EXPECT_TRUE(m);
    if (m && GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_TOC) {
      if (*toc == nullptr) {
        gst_message_parse_toc(m.get(), toc, nullptr);
      }
      continue;
    }
    EXPECT_TRUE(m && GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_EOS);
    break;
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  gst_bus_set_flushing(bus.get(), TRUE);
  for (const auto& [name, track] : shared.tracks) {
    auto& left = tracks[track->title];
    for (std::size_t i = 0; i + 4 <= track->pcm.size(); i += 4) {
      left.push_back(static_cast<std::int16_t>(track->pcm[i] | track->pcm[i + 1] << 8));
    }
  }
  return tracks;
}

double rms(const std::vector<std::int16_t>& s, std::size_t from, std::size_t to) {
  double sum = 0;
  for (std::size_t i = from; i < to && i < s.size(); i++) {
    sum += static_cast<double>(s[i]) * s[i];
  }
  return std::sqrt(sum / static_cast<double>(to - from));
}

void expect_two_tracks(const fs::path& path) {
  GstToc* toc = nullptr;
  auto tracks = decode_mka(path, &toc);
  ASSERT_EQ(tracks.size(), 2u);
  const auto& a = tracks["Ada"];
  const auto& b = tracks["user 9"];
  ASSERT_EQ(a.size(), 96000u);
  ASSERT_EQ(b.size(), 96000u);
  EXPECT_GT(rms(a, 960, 24000), 4000);
  EXPECT_LT(rms(a, 26000, 47900), 1);
  EXPECT_GT(rms(a, 48960, 96000), 4000);
  EXPECT_GT(rms(a, 70 * 960, 71 * 960), 1000) << "a loss is concealed";
  EXPECT_LT(rms(b, 0, 47900), 1);
  EXPECT_GT(rms(b, 48960, 72000), 4000);
  EXPECT_LT(rms(b, 74000, 96000), 1);
  ASSERT_NE(toc, nullptr) << "chapters";
  const GList* editions = gst_toc_get_entries(toc);
  ASSERT_NE(editions, nullptr);
  const GList* chapters =
      gst_toc_entry_get_sub_entries(static_cast<const GstTocEntry*>(editions->data));
  ASSERT_EQ(g_list_length(const_cast<GList*>(chapters)), 1u);
  gint64 from = 0;
  gst_toc_entry_get_start_stop_times(static_cast<const GstTocEntry*>(chapters->data), &from,
                                     nullptr);
  EXPECT_EQ(from, static_cast<gint64>(61 * frame));
  gst_toc_unref(toc);
}

TEST_F(Journal, MkaIsOneFileWithATrackForEachSpeaker) {
  ASSERT_TRUE(start("mka", false));
  tell("discord-user-info, user-id=(guint64)7, display-name=(string)Ada");
  two_speakers();
  feeder_.eos();
  const MessagePtr m = feeder_.message(GST_MESSAGE_ELEMENT);
  ASSERT_TRUE(m);
  const GstStructure* s = gst_message_get_structure(m.get());
  ASSERT_STREQ(gst_structure_get_name(s), "discord-file");
  guint64 duration = 0;
  guint tracks = 0;
  gst_structure_get_uint64(s, "duration", &duration);
  gst_structure_get_uint(s, "tracks", &tracks);
  EXPECT_EQ(duration, 2 * GST_SECOND);
  EXPECT_EQ(tracks, 2u);
  ASSERT_TRUE(wait_for_eos());
  EXPECT_TRUE(temp_.files(".journal").empty()) << "only its raw material";
  ASSERT_EQ(temp_.files(".mka").size(), 1u);
  struct stat info;
  ASSERT_EQ(stat(temp_.files(".mka")[0].c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  expect_two_tracks(temp_.files(".mka")[0]);
}

TEST_F(Journal, MkaKeepsTheJournalThatWasAskedFor) {
  ASSERT_TRUE(start("mka", true));
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  EXPECT_EQ(temp_.files(".journal").size(), 1u);
  EXPECT_EQ(temp_.files(".mka").size(), 1u);
}

TEST_F(Journal, MkaIsMadeWhenTheStateGoesDown) {
  ASSERT_TRUE(start("mka", false));
  two_speakers();
  feeder_.stop();
  EXPECT_EQ(temp_.files(".mka").size(), 1u);
}

}  // namespace
