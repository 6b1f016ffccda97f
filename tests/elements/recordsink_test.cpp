#include "record_rig.hpp"

#include "elements/recordfile.hpp"
#include "elements/recordname.hpp"

#include <gst/app/gstappsink.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>

namespace {

using namespace discord;
using namespace discord::test;

class RecordSink : public RecorderTest {};

TEST_F(RecordSink, TracksOfTwoSpeakersAreAlignedToTheSample) {
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.eos();
  guint64 seen = 0;
  for (int i = 0; i < 2; i++) {
    const MessagePtr m = feeder_.message(GST_MESSAGE_ELEMENT);
    ASSERT_TRUE(m);
    const GstStructure* s = gst_message_get_structure(m.get());
    ASSERT_STREQ(gst_structure_get_name(s), "discord-file");
    guint64 user = 0;
    guint64 duration = 0;
    guint ssrc = 0;
    ASSERT_TRUE(gst_structure_get_uint64(s, "user-id", &user));
    ASSERT_TRUE(gst_structure_get_uint64(s, "duration", &duration));
    ASSERT_TRUE(gst_structure_get_uint(s, "ssrc", &ssrc));
    EXPECT_EQ(duration, 2 * GST_SECOND);
    EXPECT_EQ(ssrc, user == 7 ? 100u : 200u);
    EXPECT_TRUE(fs::exists(gst_structure_get_string(s, "path")));
    StructurePtr ledger;
    GstStructure* raw = nullptr;
    ASSERT_TRUE(gst_structure_get(s, "ledger", GST_TYPE_STRUCTURE, &raw, nullptr));
    ledger.reset(raw);
    guint64 buffers = 0;
    guint64 lost = 0;
    gst_structure_get_uint64(raw, "num-buffers", &buffers);
    gst_structure_get_uint64(raw, "num-lost", &lost);
    EXPECT_EQ(buffers, user == 7 ? 74u : 25u);
    EXPECT_EQ(lost, user == 7 ? 1u : 0u);
    seen += user;
  }
  EXPECT_EQ(seen, 16u);
  ASSERT_TRUE(wait_for_eos());
  expect_two_tracks(file("7.wav"), file("9.wav"));
  struct stat info;
  ASSERT_EQ(stat(file("7.wav").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  for (fs::path p = file("7.wav").parent_path(); p != base_; p = p.parent_path()) {
    ASSERT_EQ(stat(p.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u) << p;
  }
}

// A sender that begins its numbers anew: the hole is short and many are missing in it. What came
// behind such a hole was once 300 ms early.
TEST_F(RecordSink, LossesTooShortToConcealMoveNothing) {
  ASSERT_TRUE(start());
  Tone tone(440);
  for (unsigned i = 0; i < 25; i++) {
    feeder_.push(100, 7, i * frame, tone.next());
  }
  constexpr GstClockTime piece = 1800 * GST_USECOND;
  GstClockTime at = 25 * frame;
  for (int i = 0; i < 20; i++, at += piece) {
    feeder_.lose(100, 7, at, piece);
  }
  for (unsigned i = 0; i < 25; i++, at += frame) {
    feeder_.push(100, 7, at, tone.next());
  }
  feeder_.push(200, 9, 2 * GST_SECOND, tone.next());
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto track = read_wav(file("7.wav"));
  ASSERT_TRUE(track);
  ASSERT_EQ(track->size(), 96960u);
  const std::size_t begin = 24000 + 1728;
  EXPECT_GT(rms(*track, begin + 960, begin + 24000 - 960), 4000);
  EXPECT_GT(rms(*track, begin + 24000 - 480, begin + 24000), 3000) << "up to the last sample";
  EXPECT_TRUE(silent(*track, begin + 24000, 96000));
}

// Once the depayloader took them for packets that came late.
TEST_F(RecordSink, NumbersThatBeginAnewALittleLowerLoseNothing) {
  ASSERT_TRUE(start());
  Tone tone(440);
  feeder_.seq[100] = 8318;
  for (unsigned i = 0; i < 50; i++) {
    feeder_.push(100, 7, i * frame, tone.next());
  }
  feeder_.seq[100] = 8350;
  for (unsigned i = 100; i < 150; i++) {
    feeder_.push(100, 7, i * frame, tone.next());
  }
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto track = read_wav(file("7.wav"));
  ASSERT_TRUE(track);
  ASSERT_EQ(track->size(), 150u * 960);
  EXPECT_GT(rms(*track, 100 * 960 + 480, 101 * 960 + 480), 4000) << "from the first packet on";
}

TEST_F(RecordSink, LiveTracksStartWhenTheRecorderDid) {
  feeder_.live = true;
  feeder_.start_time = 3 * GST_SECOND + 12345;
  ASSERT_TRUE(start());
  two_speakers(3 * GST_SECOND);
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  expect_two_tracks(file("7.wav"), file("9.wav"));
}

TEST_F(RecordSink, EndsWhenNobodySpoke) {
  ASSERT_TRUE(start());
  feeder_.eos();
  EXPECT_TRUE(wait_for_eos());
  EXPECT_TRUE(files().empty());
}

TEST_F(RecordSink, ARecordingOfNobodyLeavesNoEmptyFolder) {
  ASSERT_TRUE(start());
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  feeder_.stop();
  EXPECT_TRUE(fs::exists(where_));
  EXPECT_TRUE(fs::is_empty(where_));
}

TEST_F(RecordSink, CompletesTheFilesWithoutEos) {
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.stop();
  expect_two_tracks(file("7.wav"), file("9.wav"));
}

TEST_F(RecordSink, ASecondRunMakesASecondFolder) {
  for (int run = 0; run < 2; run++) {
    ASSERT_TRUE(start());
    two_speakers();
    feeder_.eos();
    ASSERT_TRUE(wait_for_eos());
    feeder_.stop();
    feeder_.seq.clear();
  }
  const auto all = files();
  ASSERT_EQ(all.size(), 4u);
  expect_two_tracks(all[0], all[1]);
  expect_two_tracks(all[2], all[3]);
  EXPECT_NE(all[0].parent_path(), all[2].parent_path());
}

TEST_F(RecordSink, FlatNeverOverwrites) {
  properties_["flat"] = "true";
  for (int run = 0; run < 2; run++) {
    ASSERT_TRUE(start());
    feeder_.push(100, 7, 0);
    feeder_.eos();
    ASSERT_TRUE(wait_for_eos());
    feeder_.stop();
  }
  EXPECT_TRUE(fs::exists(where_ / "7.wav"));
  EXPECT_TRUE(fs::exists(where_ / "7-2.wav"));
}

TEST_F(RecordSink, ASpeakerWithoutAUserIsNamedByItsSsrc) {
  ASSERT_TRUE(start());
  feeder_.push(4000000000u, 0, 0);
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  EXPECT_FALSE(file("4000000000.wav").empty());
}

TEST_F(RecordSink, AFailingFileStopsNobodyElse) {
  ASSERT_TRUE(start());
  std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  struct rlimit small = old;
  small.rlim_cur = 150000;
  setrlimit(RLIMIT_FSIZE, &small);
  Tone a(440);
  Tone b(1000);
  // User 7 gets past the limit; user 9 stays below it, being in another folder's worth of time.
  for (unsigned i = 0; i < 60; i++) {
    EXPECT_EQ(feeder_.push(100, 7, i * frame, a.next()), GST_FLOW_OK);
  }
  const MessagePtr warning =
      feeder_.message(static_cast<GstMessageType>(GST_MESSAGE_WARNING | GST_MESSAGE_ERROR));
  setrlimit(RLIMIT_FSIZE, &old);
  ASSERT_TRUE(warning);
  ASSERT_EQ(GST_MESSAGE_TYPE(warning.get()), GST_MESSAGE_WARNING);
  GError* raw = nullptr;
  gst_message_parse_warning(warning.get(), &raw, nullptr);
  const GErrorPtr error(raw);
  EXPECT_NE(std::string(error->message).find("user 7"), std::string::npos) << error->message;
  EXPECT_NE(std::string(error->message).find("7.wav"), std::string::npos) << error->message;
  for (unsigned i = 60; i < 100; i++) {
    EXPECT_EQ(feeder_.push(100, 7, i * frame, a.next()), GST_FLOW_OK) << "the call goes on";
    EXPECT_EQ(feeder_.push(200, 9, i * frame, b.next()), GST_FLOW_OK);
  }
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto whole = read_wav(file("9.wav"));
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size(), 96000u);
  const auto cut = read_wav(file("7.wav"));
  ASSERT_TRUE(cut) << "what was written before stays playable";
  EXPECT_GT(cut->size(), 30000u);
}

TEST_F(RecordSink, AFileThatCannotBeCreatedIsAWarning) {
  ASSERT_TRUE(start());
  fs::remove_all(where_);  // the folder is open, but nothing can be created in it any more
  EXPECT_EQ(feeder_.push(100, 7, 0), GST_FLOW_OK);
  const MessagePtr warning =
      feeder_.message(static_cast<GstMessageType>(GST_MESSAGE_WARNING | GST_MESSAGE_ERROR));
  ASSERT_TRUE(warning);
  EXPECT_EQ(GST_MESSAGE_TYPE(warning.get()), GST_MESSAGE_WARNING);
  EXPECT_EQ(feeder_.push(100, 7, frame), GST_FLOW_OK);
  feeder_.eos();
  EXPECT_TRUE(wait_for_eos());
}

TEST_F(RecordSink, RefusesAtReadyWithoutAFolder) {
  Feeder feeder;
  EXPECT_FALSE(feeder.start(make_recorder()));
  const MessagePtr error = feeder.message(GST_MESSAGE_ERROR, 0);
  ASSERT_TRUE(error);
}

TEST_F(RecordSink, RefusesAtReadyAFolderThatCannotBeMade) {
  std::ofstream(base_ / "plain") << "not a folder";
  where_ = base_ / "plain" / "x";
  EXPECT_FALSE(start());
  const MessagePtr error = feeder_.message(GST_MESSAGE_ERROR, 0);
  ASSERT_TRUE(error);
  GError* raw = nullptr;
  gst_message_parse_error(error.get(), &raw, nullptr);
  EXPECT_NE(std::string(raw->message).find(where_.string()), std::string::npos) << raw->message;
  g_error_free(raw);
}

TEST_F(RecordSink, Mp3FilesDecode) {
  ObjectPtr<GstElementFactory> lame(gst_element_factory_find("lamemp3enc"));
  ObjectPtr<GstElementFactory> mpg123(gst_element_factory_find("mpg123audiodec"));
  if (!lame || !mpg123) {
    GTEST_SKIP() << "lamemp3enc and mpg123audiodec come with gstreamer1.0-plugins-good";
  }
  properties_["format"] = "mp3";
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const fs::path path = file("9.mp3");
  ASSERT_FALSE(path.empty());
  const std::string line = "filesrc location=" + path.string() +
                           " ! id3demux ! mpegaudioparse ! mpg123audiodec ! audioconvert ! "
                           "audio/x-raw,format=S16LE ! appsink name=out sync=false";
  ObjectPtr<GstElement> pipeline(gst_parse_launch(line.c_str(), nullptr));
  ObjectPtr<GstElement> out(gst_bin_get_by_name(GST_BIN(pipeline.get()), "out"));
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  gsize bytes = 0;
  while (GstSample* sample = gst_app_sink_pull_sample(GST_APP_SINK(out.get()))) {
    bytes += gst_buffer_get_size(gst_sample_get_buffer(sample));
    gst_sample_unref(sample);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  EXPECT_GE(bytes / 4, 96000u);
  EXPECT_LT(bytes / 4, 96000u + 4 * 1152u) << "an MP3 is padded to whole frames";
}

TEST_F(RecordSink, StatsSayWhatIsBeingWritten) {
  ASSERT_TRUE(start());
  feeder_.push(100, 7, 0);
  feeder_.push(100, 7, frame);
  GstStructure* stats = nullptr;
  g_object_get(feeder_.element.get(), "stats", &stats, nullptr);
  const StructurePtr owned(stats);
  const GValue* list = gst_structure_get_value(stats, "files");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(gst_value_array_get_size(list), 1u);
  const auto* one =
      static_cast<const GstStructure*>(g_value_get_boxed(gst_value_array_get_value(list, 0)));
  guint64 buffers = 0;
  gst_structure_get_uint64(one, "num-buffers", &buffers);
  EXPECT_EQ(buffers, 2u);
}

TEST(SafeName, KeepsNamesAndDropsTricks) {
  EXPECT_EQ(safe_name("Anna"), "Anna");
  EXPECT_EQ(safe_name("Zo\xc3\xab \xe2\x99\xa5"), "Zo\xc3\xab_\xe2\x99\xa5");
  EXPECT_EQ(safe_name("../../etc/passwd"), "etc_passwd");
  EXPECT_EQ(safe_name("..."), "");
  EXPECT_EQ(safe_name("-rf *"), "rf");
  EXPECT_EQ(safe_name(std::string_view("a\0b", 3)), "ab");
  EXPECT_EQ(safe_name("a\xe2\x80\xaegpj.exe"), "agpj.exe") << "right-to-left override";
  EXPECT_EQ(safe_name("\xff\xfe"
                      "x\xc3"),
            "x")
      << "not UTF-8";
  EXPECT_EQ(safe_name("a\x1b[31m\n"), "a[31m");
}

TEST(SafeName, AnyBytesGiveAShortValidPart) {
  std::uint32_t state = 1;
  for (int round = 0; round < 10000; round++) {
    std::string any;
    for (int i = 0; i < 200; i++) {
      state = state * 1664525u + 1013904223u;
      any += static_cast<char>(state >> 24);
    }
    const std::string safe = safe_name(any, 40);
    EXPECT_LE(safe.size(), 40u);
    EXPECT_TRUE(g_utf8_validate(safe.data(), static_cast<gssize>(safe.size()), nullptr));
    EXPECT_EQ(safe.find_first_of(std::string("/\\\0\n\r\x7f", 6)), std::string::npos);
    EXPECT_TRUE(safe.empty() || (safe.front() != '.' && safe.front() != '-'));
    EXPECT_EQ(safe_name(safe, 40), safe) << "a safe name is safe already";
  }
}

// As a recording names its files, from pieces that have tricked somebody before.
TEST(RecordFile, TenThousandNamesStayInTheFolder) {
  const std::vector<std::string> pieces = {"/",
                                           "..",
                                           "../",
                                           "\\",
                                           "%s",
                                           "%n",
                                           "%05d",
                                           "~",
                                           "-",
                                           ".",
                                           " ",
                                           "\n",
                                           "\x1b[2J",
                                           "\x7f",
                                           "a",
                                           "Z\xc3\xb6",
                                           "\xe2\x80\xae",
                                           "\xe2\x81\xa6",
                                           "\xcc\x88",
                                           "\xf0\x9f\x91\xbb",
                                           "\xff",
                                           "\xc3",
                                           std::string(1, '\0'),
                                           ".wav",
                                           "con",
                                           ":",
                                           "*",
                                           "'",
                                           "\"",
                                           "$(x)",
                                           std::string(90, 'x')};
  const GCharPtr made(g_dir_make_tmp("discord-names-XXXXXX", nullptr));
  const fs::path base(made.get());
  const auto folder = open_record_folder((base / "in").string());
  ASSERT_TRUE(folder.ok());
  std::uint32_t state = 1;
  const auto dice = [&state](std::uint32_t sides) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % sides;
  };
  for (int i = 0; i < 10000; i++) {
    std::string name;
    for (std::uint32_t n = dice(8); n > 0; n--) {
      name += pieces[dice(static_cast<std::uint32_t>(pieces.size()))];
    }
    const std::string safe = safe_name(name);
    const auto file = RecordFile::create(*folder, "7" + (safe.empty() ? safe : "-" + safe), "wav");
    // A name that thousands have is refused in the end; none is ever shared.
    if (file.ok()) {
      ASSERT_EQ(fs::path(file->path()).parent_path(), base / "in");
      struct stat info;
      ASSERT_EQ(fstat(file->fd(), &info), 0);
      ASSERT_EQ(info.st_mode & 0777, 0600u);
      ASSERT_EQ(info.st_nlink, 1u);
    }
  }
  std::size_t outside = 0;
  for (const auto& entry : fs::recursive_directory_iterator(base)) {
    outside += entry.path() != base / "in" && entry.path().parent_path() != base / "in" ? 1 : 0;
  }
  EXPECT_EQ(outside, 0u);
  fs::remove_all(base);
}

TEST(RecordFile, FollowsNoLinkAndOverwritesNothing) {
  gchar* made = g_dir_make_tmp("discord-file-XXXXXX", nullptr);
  const fs::path base(made);
  g_free(made);
  std::ofstream(base / "victim") << "precious";
  fs::create_symlink(base / "victim", base / "7.wav");
  auto folder = open_record_folder(base.string());
  ASSERT_TRUE(folder.ok());
  auto file = RecordFile::create(*folder, "7", "wav");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(fs::path(file->path()).filename(), "7-2.wav");
  EXPECT_EQ(fs::file_size(base / "victim"), 8u);
  fs::remove_all(base);
}

}  // namespace
