// A recorder that is killed: what it had not written yet, and that its files open.
//
// DISCORD_KILLS: how often it is killed for each format, and 0.1 s is the most it may lose; once by
// default, when the machine may be busy with other tests.
#include "record_rig.hpp"

#include "elements/cook.hpp"
#include "elements/gstdiscordopusfill.h"
#include "elements/gstdiscordtracksink.h"
#include "elements/recordchain.hpp"
#include "elements/recordsettings.hpp"

#include <gst/check/gstharness.h>
#include <signal.h>
#include <sys/mman.h>
#include <atomic>
#include <cstdlib>
#include <random>
#include <sstream>

namespace {

using namespace discord;
using namespace discord::test;

constexpr const char* raw_caps =
    "audio/x-raw, format=S16LE, rate=48000, channels=2, layout=interleaved, "
    "channel-mask=(bitmask)0x3";

// 20 ms of a tone.
BufferPtr samples(int number) {
  std::vector<std::int16_t> pcm(2 * 960);
  for (int i = 0; i < 960; i++) {
    pcm[2 * i] = pcm[2 * i + 1] =
        static_cast<std::int16_t>(8000 * std::sin(2 * G_PI * 440 * (number * 960 + i) / 48000));
  }
  BufferPtr buffer(gst_buffer_new_memdup(pcm.data(), 4 * 960));
  GST_BUFFER_PTS(buffer.get()) = static_cast<GstClockTime>(number) * frame;
  GST_BUFFER_DURATION(buffer.get()) = frame;
  return buffer;
}

// --- what a file is behind once a frame has been dealt with ---

// Where the recorder has a thread that writes.
class AtOnce final : public BranchTurns {
 public:
  void wake(Branch& branch) override { branch.run(); }
  void hurry() override {}
  void forget(Branch&) override {}
};

struct Bound {
  const char* format;
  std::int64_t samples;
};
class Behind : public testing::TestWithParam<Bound> {};
INSTANTIATE_TEST_SUITE_P(Format, Behind,
                         testing::Values(Bound{"wav", 0}, Bound{"flac", 1152}, Bound{"mp3", 3648},
                                         Bound{"ogg", 2880}),
                         [](const auto& one) { return std::string(one.param.format); });

// Together with the frame on its way, 20 ms, no more than a tenth of a second: whatever the machine
// is doing, since nothing of the chain waits for anything but the next frame.
TEST_P(Behind, IsNoMoreThanTheFormatNeeds) {
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  const std::string name = GetParam().format;
  const Format format = name == "wav"    ? Format::wav
                        : name == "flac" ? Format::flac
                        : name == "mp3"  ? Format::mp3
                                         : Format::ogg;
  const GCharPtr where(g_dir_make_tmp("discord-behind-XXXXXX", nullptr));
  const auto folder = open_record_folder(where.get());
  ASSERT_TRUE(folder.ok());
  auto file = RecordFile::create(*folder, "7", record::extension(format));
  ASSERT_TRUE(file.ok());
  const std::string path = file->path();
  const RecordSettings settings;
  auto writer = std::make_shared<TrackWriter>(
      std::move(file).value(), record::make_container(format, {}, settings.riff_limit),
      settings.disk);
  ASSERT_TRUE(writer->begin());

  const ObjectPtr<GstElement> bin(GST_ELEMENT(gst_object_ref_sink(gst_bin_new("chain"))));
  Chain chain(GST_BIN(bin.get()));
  GstElement* first = chain.add("identity");
  const ObjectPtr<GstElement> encoder(
      format == Format::ogg || format == Format::wav
          ? nullptr
          : GST_ELEMENT(gst_object_ref_sink(make_encoder(format, settings.bitrate))));
  GstElement* sink = make_track_sink(writer, [] {});
  if (format == Format::ogg) {
    auto* fill = GST_DISCORD_OPUS_FILL(g_object_new(GST_TYPE_DISCORD_OPUS_FILL, nullptr));
    write_on(fill, std::make_shared<AtOnce>(), 0);
    feed_of(fill)->release();
    chain.add(GST_ELEMENT(fill));
    chain.add(make_track_mux());
    chain.add(sink);
  } else {
    add_encoder(chain, format, encoder.get(), sink);
  }
  gst_element_set_state(bin.get(), GST_STATE_PLAYING);
  ASSERT_EQ(chain.start(), std::nullopt);
  const ObjectPtr<GstPad> in(gst_element_get_static_pad(first, "sink"));
  const ObjectPtr<GstPad> out(GST_PAD(gst_object_ref_sink(gst_pad_new("out", GST_PAD_SRC))));
  gst_pad_set_active(out.get(), TRUE);
  ASSERT_EQ(gst_pad_link_full(out.get(), in.get(), GST_PAD_LINK_CHECK_NOTHING), GST_PAD_LINK_OK);
  gst_pad_push_event(out.get(), gst_event_new_stream_start("test"));
  const CapsPtr caps(gst_caps_from_string(format == Format::ogg ? rtp_caps : raw_caps));
  gst_pad_push_event(out.get(), gst_event_new_caps(caps.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(out.get(), gst_event_new_segment(&segment));

  Tone tone(440);
  std::int64_t worst = 0;
  // Frames of 960 samples against pages and blocks of 1152 or 1920: six cover every phase.
  for (int i = 0; i < 56; i++) {
    BufferPtr buffer = format == Format::ogg
                           ? rtp_packet(100, 7, static_cast<std::uint16_t>(i),
                                        static_cast<GstClockTime>(i) * frame, tone.next())
                           : samples(i);
    ASSERT_EQ(gst_pad_push(out.get(), buffer.release()), GST_FLOW_OK);
    if (format == Format::ogg && i == 30) {
      // An odd packet is handed over by itself: from now on pages must begin elsewhere.
      gst_pad_push_event(out.get(), gst_event_new_gap(static_cast<GstClockTime>(i + 1) * frame, 0));
    }
    if (i >= 50) {
      const auto heard = heard_by_ffmpeg(path);
      worst = std::max(worst, (i + 1) * 960 - static_cast<std::int64_t>(heard.size()));
      EXPECT_GT(rms(heard, 2000, heard.size() - 1000), 3000);
    }
  }
  std::printf("  %s: at most %.1f ms behind\n", name.c_str(), static_cast<double>(worst) / 48);
  EXPECT_LE(worst, GetParam().samples);
  EXPECT_LE(worst + 960, 4800);
  gst_element_set_state(bin.get(), GST_STATE_NULL);
  fs::remove_all(where.get());
}

// LAME looks ahead and keeps up to 511 bytes of its bit reservoir back, with them the headers of
// the frames that those bytes lie in. This is why the default is 192 kbit/s: there a frame has 576.
std::int64_t held_by_lame(const std::string& settings) {
  GstHarness* h = gst_harness_new_parse(("lamemp3enc " + settings).c_str());
  gst_harness_set_src_caps_str(h, raw_caps);
  gst_harness_play(h);
  std::int64_t frames = 0;
  std::int64_t worst = 0;
  for (int i = 0; i < 150; i++) {
    gst_harness_push(h, samples(i).release());
    while (GstBuffer* out = gst_harness_try_pull(h)) {
      frames++;
      gst_buffer_unref(out);
    }
    if (i >= 20) {
      // What a player takes out in front: the delays of encoder and decoder.
      worst = std::max<std::int64_t>(worst, (i + 1) * 960 - (frames * 1152 - 576 - 529));
    }
  }
  gst_harness_teardown(h);
  return worst;
}

TEST(Lame, HoldsLessThanAHundredMillisecondsOfLargeFrames) {
  const auto ms = [](const std::string& settings) {
    const std::int64_t held = held_by_lame(settings);
    std::printf("  lamemp3enc %-45s holds %5.1f ms\n", settings.c_str(),
                static_cast<double>(held) / 48);
    return held / 48;
  };
  EXPECT_EQ(ms("target=bitrate cbr=true bitrate=128"), 99);
  EXPECT_EQ(ms("target=bitrate cbr=true bitrate=160"), 99);
  EXPECT_EQ(ms("target=bitrate cbr=true bitrate=192"), 75);
  EXPECT_EQ(ms("target=bitrate cbr=true bitrate=320"), 75);
  EXPECT_GT(ms("target=quality quality=4"), 100);
}

// --- kill -9 ---

// The process that is killed: 20 ms of a tone every 20 ms, and how many have been handed over.
[[noreturn]] void be_killed(const char* format, const std::string& folder,
                            std::atomic<int>* pushed) {
  Feeder feeder;
  GstElement* e = make_recorder();
  g_object_set(e, "location", folder.c_str(), "flat", TRUE, nullptr);
  gst_util_set_object_arg(G_OBJECT(e), "format", format);
  if (!feeder.start(e)) {
    _exit(1);
  }
  Tone tone(440);
  const ObjectPtr<GstClock> clock(gst_system_clock_obtain());
  const GstClockTime begin = gst_clock_get_time(clock.get());
  for (int i = 0;; i++) {
    const GstClockID id =
        gst_clock_new_single_shot_id(clock.get(), begin + static_cast<GstClockTime>(i) * frame);
    gst_clock_id_wait(id, nullptr);
    gst_clock_id_unref(id);
    feeder.push(100, 7, static_cast<GstClockTime>(i) * frame, tone.next());
    *pushed = i + 1;
  }
}

class RecordKill : public RecorderTest {
 protected:
  // Starts a recorder, kills it at a random moment; returns the packets it had been given.
  int kill_one(const std::string& format, const std::string& folder) {
    // A program of its own: threads do not survive a fork.
    const std::string self = fs::read_symlink("/proc/self/exe");
    const int shared = memfd_create("pushed", 0);
    EXPECT_EQ(ftruncate(shared, 4096), 0);
    auto* pushed = static_cast<std::atomic<int>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0));
    const std::string fd = std::to_string(shared);
    const char* argv[] = {self.c_str(), "--gtest_filter=Victim.*", nullptr};
    g_setenv("DISCORD_VICTIM", (format + " " + fd + " " + folder).c_str(), TRUE);
    const pid_t pid = vfork();
    if (pid == 0) {
      execv(self.c_str(), const_cast<char**>(argv));
      _exit(127);
    }
    g_unsetenv("DISCORD_VICTIM");
    close(shared);
    const ObjectPtr<GstClock> clock(gst_system_clock_obtain());
    const auto sleep_for = [&](GstClockTime time) {
      const GstClockID id =
          gst_clock_new_single_shot_id(clock.get(), gst_clock_get_time(clock.get()) + time);
      gst_clock_id_wait(id, nullptr);
      gst_clock_id_unref(id);
    };
    const GstClockTime patience = gst_clock_get_time(clock.get()) + 20 * GST_SECOND;
    while (*pushed == 0 && gst_clock_get_time(clock.get()) < patience) {
      sleep_for(GST_MSECOND);
    }
    sleep_for(300 * GST_MSECOND + random_() % (700 * GST_MSECOND));
    const int before = *pushed;
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
    munmap(pushed, 4096);
    return before;
  }

  std::mt19937 random_{static_cast<unsigned>(getpid())};
};

TEST_F(RecordKill, CostsLessThanATenthOfASecond) {
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  const char* wanted = std::getenv("DISCORD_KILLS");
  const int kills = wanted != nullptr ? std::atoi(wanted) : 1;
  const std::int64_t allowed = wanted != nullptr ? 4800 : 48000;
  struct Row {
    std::vector<std::int64_t> lost;
    int unreadable = 0;
  };
  std::map<std::string, Row> table;
  for (int k = 0; k < kills; k++) {
    for (const std::string format : {"wav", "flac", "mp3", "ogg", "mka"}) {
      const std::string folder = (base_ / (format + std::to_string(k))).string();
      const int before = kill_one(format, folder);
      fs::path path = folder + "/7." + format;
      if (format == "mka") {
        const auto out = open_record_folder(folder);
        ASSERT_TRUE(out.ok());
        const auto cooked = cook_matroska(folder + "/recording.journal", *out, "recording");
        ASSERT_TRUE(cooked.ok()) << cooked.error();
        path = cooked->path;
      }
      const auto heard = heard_by_ffmpeg(path);
      const std::int64_t lost = before * 960 - static_cast<std::int64_t>(heard.size());
      Row& row = table[format];
      row.lost.push_back(lost);
      row.unreadable += heard.empty() ? 1 : 0;
      EXPECT_LE(lost, allowed) << format << " after " << before << " packets";
      if (heard.size() > 9600) {
        EXPECT_GT(rms(heard, 2000, heard.size() - 1000), 3000) << format;
      }
      fs::remove_all(folder);
    }
  }
  std::printf(
      "| format | kills | worst loss (ms) | mean (ms) | unreadable |\n|---|---|---|---|---|\n");
  for (auto& [format, row] : table) {
    std::int64_t sum = 0;
    for (const std::int64_t l : row.lost) {
      sum += l;
    }
    std::printf("| %s | %zu | %.1f | %.1f | %d |\n", format.c_str(), row.lost.size(),
                static_cast<double>(*std::max_element(row.lost.begin(), row.lost.end())) / 48,
                static_cast<double>(sum) / static_cast<double>(row.lost.size()) / 48,
                row.unreadable);
  }
}

TEST(Victim, IsKilled) {
  const char* text = std::getenv("DISCORD_VICTIM");
  if (text == nullptr) {
    return;  // it is the process that the kill test starts, and only that
  }
  std::istringstream in(text);
  std::string format;
  int fd = -1;
  std::string folder;
  in >> format >> fd >> folder;
  auto* pushed = static_cast<std::atomic<int>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  be_killed(format.c_str(), folder, pushed);
}

}  // namespace
