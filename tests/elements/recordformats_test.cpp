// Every format of the recorder, read by programs nobody here wrote.
#include "record_rig.hpp"

#include "elements/trackwriter.hpp"

#include <gst/app/gstappsrc.h>
#include <cmath>
#include <nlohmann/json.hpp>

namespace {

using namespace discord;
using namespace discord::test;

class RecordFormats : public RecorderTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    RecorderTest::SetUp();
    properties_["format"] = GetParam();
  }
  std::string format() const { return GetParam(); }
  fs::path track(const std::string& stem) { return file(stem + "." + format()); }

  bool lossy() const { return format() == "mp3"; }

  // As RecorderTest::expect_two_tracks, in what FFmpeg hears.
  void expect_tracks(const fs::path& first, const fs::path& second) {
    ASSERT_FALSE(first.empty());
    ASSERT_FALSE(second.empty());
    const auto a = heard_by_ffmpeg(first);
    const auto b = heard_by_ffmpeg(second);
    ASSERT_EQ(a.size(), 96000u);
    ASSERT_EQ(b.size(), 96000u);
    // An encoder smears what is beside a pause.
    const std::size_t smear = lossy() ? 2400 : format() == "ogg" ? 480 : 0;
    EXPECT_GT(rms(a, 960, 24000), 4000);
    EXPECT_LT(rms(a, 24000 + smear, 48000 - smear), lossy() ? 20 : 0.1);
    EXPECT_GT(rms(a, 48960, 96000), 4000);
    EXPECT_GT(rms(a, 70 * 960, 71 * 960), 1000) << "a loss is concealed";
    EXPECT_LT(rms(b, 0, 48000 - smear), lossy() ? 20 : 0.1) << "a late joiner is back-filled";
    EXPECT_GT(rms(b, 48960, 72000), 4000);
    EXPECT_LT(rms(b, 73000 + smear, 96000 - smear), lossy() ? 20 : 0.1)
        << "all tracks end together";
  }
};

INSTANTIATE_TEST_SUITE_P(Formats, RecordFormats, testing::Values("wav", "flac", "ogg", "mp3"),
                         [](const auto& one) { return std::string(one.param); });

TEST_P(RecordFormats, TracksAreAlignedToTheSample) {
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  expect_tracks(track("7"), track("9"));
}

TEST_P(RecordFormats, LiveTracksStartWhenTheRecorderDid) {
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  feeder_.live = true;
  feeder_.start_time = 3 * GST_SECOND + 12345;
  ASSERT_TRUE(start());
  two_speakers(3 * GST_SECOND);
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  expect_tracks(track("7"), track("9"));
}

TEST_P(RecordFormats, StoppingWithoutEosCompletesTheFiles) {
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.stop();
  expect_tracks(track("7"), track("9"));
}

// Readers nobody here wrote: no complaint about any file.
TEST_P(RecordFormats, StrangersAcceptTheFiles) {
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  for (const char* user : {"7", "9"}) {
    const std::string path = track(user).string();
    if (has_program("ffprobe")) {
      const Ran r = run({"sh", "-c",
                         "ffprobe -v warning -show_entries format=duration:stream=codec_name,"
                         "sample_rate,channels,start_time -of default=nw=1:nk=0 \"$1\" 2>&1",
                         "sh", path});
      EXPECT_EQ(r.status, 0) << r.output;
      EXPECT_NE(r.output.find("sample_rate=48000\nchannels=2\n"), std::string::npos) << r.output;
      const auto at = r.output.find("duration=");
      ASSERT_NE(at, std::string::npos) << r.output;
      // MP3 counts the encoder's delay and whole frames; Ogg what decoders throw away.
      EXPECT_NEAR(std::stod(r.output.substr(at + 9)), 2.0,
                  format() == "mp3"   ? 0.06
                  : format() == "ogg" ? 0.081
                                      : 0.000001);
    }
    if (format() == "flac" && has_program("flac")) {
      const Ran r = run({"sh", "-c", "flac -t -w \"$1\" 2>&1", "sh", path});
      EXPECT_EQ(r.status, 0) << r.output;
    }
    if (format() == "ogg" && has_program("opusinfo")) {
      const Ran r = run({"sh", "-c", "opusinfo \"$1\" 2>&1", "sh", path});
      EXPECT_EQ(r.status, 0) << r.output;
      EXPECT_EQ(r.output.find("WARNING"), std::string::npos) << r.output;
      EXPECT_EQ(r.output.find("ERROR"), std::string::npos) << r.output;
      EXPECT_NE(r.output.find("Playback length: 0m:02.000s"), std::string::npos) << r.output;
    }
    if (format() == "wav" && has_program("python3")) {
      const Ran r = run({"python3", "-c",
                         "import sys, wave\n"
                         "w = wave.open(sys.argv[1])\n"
                         "print(w.getnchannels(), w.getsampwidth(), w.getframerate(), "
                         "w.getnframes(), len(w.readframes(10**9)))",
                         path});
      EXPECT_EQ(r.output, "2 2 48000 96000 384000\n");
    }
  }
}

TEST_F(RecorderTest, StrangersAcceptTheMatroskaFile) {
  properties_ = {{"format", "mka"}};
  ASSERT_TRUE(start());
  name(7, "Ada");
  two_speakers();
  g_signal_emit_by_name(feeder_.element.get(), "mark", "the point");
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const std::string path = file("recording.mka");
  std::ifstream in(file("recording.mka").parent_path() / "session.json");
  const auto record = nlohmann::json::parse(in);
  EXPECT_TRUE(record["complete"]);
  EXPECT_EQ(record["format"], "mka");
  EXPECT_EQ(record["samples"], 96000);
  ASSERT_EQ(record["speakers"].size(), 2u) << "as beside any other format";
  const auto& ada = record["speakers"][0];
  EXPECT_EQ(ada["name"], "Ada");
  EXPECT_EQ(ada["user-id"], "7");
  EXPECT_EQ(ada["files"][0]["name"], "recording.mka");
  EXPECT_EQ(ada["files"][0]["samples"], 96000);
  EXPECT_EQ(ada["spurts"], nlohmann::json::parse("[[0,24000],[48000,96000]]"));
  EXPECT_EQ(ada["losses"], nlohmann::json::parse("[[67200,68160]]"));
  EXPECT_NE(ada["verdict"].get<std::string>().find("98.7 % original"), std::string::npos);
  if (has_program("mkvinfo")) {
    const Ran r = run({"mkvinfo", "--ui-language", "en_US", path});
    EXPECT_EQ(r.status, 0) << r.output;
    for (const char* said : {"Name: Ada", "Name: user 9", "Codec ID: A_OPUS", "Chapter display",
                             "Chapter string: the point", "Duration: 00:00:02.0"}) {
      EXPECT_NE(r.output.find(said), std::string::npos) << said << " in " << r.output;
    }
    EXPECT_EQ(r.output.find("rror"), std::string::npos) << r.output;
  }
  if (has_program("ffprobe")) {
    const Ran r = run({"sh", "-c",
                       "ffprobe -v warning -show_entries stream=codec_name:chapter=start_time:"
                       "chapter_tags:format=duration -of default=nw=1 \"$1\" 2>&1",
                       "sh", path});
    EXPECT_EQ(r.status, 0) << r.output;
    EXPECT_NE(r.output.find("codec_name=opus\ncodec_name=opus\n"), std::string::npos) << r.output;
    EXPECT_NE(r.output.find("TAG:title=the point"), std::string::npos) << r.output;
    EXPECT_NE(r.output.find("duration=2.0"), std::string::npos) << r.output;
  }
}

TEST_P(RecordFormats, TheNameIsInTheTags) {
  if (!has_program("ffprobe")) {
    GTEST_SKIP() << "ffprobe comes with the Debian package ffmpeg";
  }
  ASSERT_TRUE(start());
  name(7, "Zo\xc3\xab\x1b[2J \xe2\x99\xa5");  // clears the terminal of who reads it
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const Ran r = run({"ffprobe", "-v", "error", "-show_entries", "format_tags:stream_tags", "-of",
                     "default=nw=1", track("7-Zo\xc3\xab[2J_\xe2\x99\xa5").string()});
  EXPECT_NE(r.output.find("=Zo\xc3\xab[2J \xe2\x99\xa5"), std::string::npos) << r.output;
  EXPECT_EQ(r.output.find('\x1b'), std::string::npos);
  EXPECT_NE(r.output.find("7\n"), std::string::npos) << "the user id: " << r.output;
}

TEST_F(RecorderTest, AWavPastItsLimitIsRf64) {
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  GstElement* e = make_recorder();
  g_object_set(e, "location", where_.c_str(), nullptr);
  set_record_disk(GST_DISCORD_RECORD_SINK(e), nullptr, 200000);
  ASSERT_TRUE(feeder_.start(e));
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  std::ifstream in(file("7.wav"), std::ios::binary);
  char id[4] = {};
  in.read(id, 4);
  EXPECT_EQ(std::string(id, 4), "RF64");
  const auto heard = heard_by_ffmpeg(file("7.wav"));
  EXPECT_EQ(heard.size(), 96000u);
  EXPECT_GT(rms(heard, 960, 24000), 4000);
  const Ran r = run({"sh", "-c",
                     "ffprobe -v warning -show_entries format=duration -of default=nw=1:nk=1 "
                     "\"$1\" 2>&1",
                     "sh", file("7.wav").string()});
  EXPECT_EQ(r.output, "2.000000\n");
}

TEST_F(RecorderTest, EncoderSettingsGoThroughTheChildProxy) {
  GstElement* e = make_recorder();
  g_object_set(e, "location", where_.c_str(), nullptr);
  gst_util_set_object_arg(G_OBJECT(e), "format", "mp3");
  gst_child_proxy_set(GST_CHILD_PROXY(e), "encoder::target", 0, "encoder::quality", 9.0f, nullptr);
  ASSERT_TRUE(feeder_.start(e));
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  std::ifstream in(file("7.mp3"), std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(in)), {});
  EXPECT_NE(all.find("Xing"), std::string::npos) << "a variable bitrate says so";
  if (has_program("ffmpeg")) {
    EXPECT_EQ(heard_by_ffmpeg(file("7.mp3")).size(), 96000u);
  }
}

TEST_F(RecorderTest, BitrateIsThatOfTheFile) {
  properties_ = {{"format", "mp3"}, {"bitrate", "64"}};
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  EXPECT_NEAR(static_cast<double>(fs::file_size(file("7.mp3"))), 2 * 8000, 2000);
}

TEST_F(RecorderTest, AlignedToTheSpeakerAFileBeginsWithTheFirstWord) {
  properties_ = {{"align", "speaker"}};
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.eos();
  guint64 offset = 0;
  for (int i = 0; i < 2; i++) {
    const MessagePtr m = feeder_.message(GST_MESSAGE_ELEMENT);
    ASSERT_TRUE(m);
    guint64 user = 0;
    gst_structure_get_uint64(gst_message_get_structure(m.get()), "user-id", &user);
    if (user == 9) {
      gst_structure_get_uint64(gst_message_get_structure(m.get()), "offset", &offset);
    }
  }
  ASSERT_TRUE(wait_for_eos());
  EXPECT_EQ(offset, GST_SECOND);
  const auto track = read_wav(file("9.wav"));
  ASSERT_TRUE(track);
  EXPECT_EQ(track->size(), 48000u);
  EXPECT_GT(rms(*track, 960, 24000), 4000);
}

// --- the mix ---

class RecordMixTest : public RecorderTest {};

TEST_F(RecordMixTest, OneSpeakerAloneIsBitExact) {
  properties_ = {{"layout", "both"}};
  ASSERT_TRUE(start());
  Tone a(440, 32700);
  for (unsigned i = 0; i < 150; i++) {
    if (i < 40 || i > 70) {
      feeder_.push(100, 7, i * frame + 1000000, a.next());  // on no block of the mixer
    }
  }
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto alone = read_wav(file("7.wav"));
  const auto mix = read_wav(file("mix.wav"));
  ASSERT_TRUE(alone);
  ASSERT_TRUE(mix);
  EXPECT_EQ(*alone, *mix);
  EXPECT_GT(*std::max_element(mix->begin(), mix->end()), 32000);
}

TEST_F(RecordMixTest, TwentyAtFullScaleStayBelowMinusOneDecibel) {
  properties_ = {{"layout", "mix"}};
  ASSERT_TRUE(start());
  std::vector<std::unique_ptr<Tone>> voices;
  for (unsigned v = 0; v < 20; v++) {
    voices.push_back(std::make_unique<Tone>(200 + 137 * v, 32767));
  }
  for (unsigned i = 0; i < 150; i++) {
    for (unsigned v = 0; v < 20; v++) {
      feeder_.push(100 + v, 7 + v, i * frame, voices[v]->next());
    }
  }
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  EXPECT_EQ(files().size(), 1u) << "only the mix";
  const auto mix = read_wav(file("mix.wav"));
  ASSERT_TRUE(mix);
  EXPECT_EQ(mix->size(), 150u * 960);
  EXPECT_GT(rms(*mix, 24000, 96000), 4000);
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  const Ran r = run({"sh", "-c",
                     "ffmpeg -nostats -i \"$1\" -af ebur128=peak=true -f null - 2>&1 | "
                     "grep -A1 'True peak' | tail -1",
                     "sh", file("mix.wav").string()});
  const auto at = r.output.find("Peak:");
  ASSERT_NE(at, std::string::npos) << r.output;
  std::printf("  true peak of 20 speakers: %s", r.output.c_str() + at);
  EXPECT_LE(std::stod(r.output.substr(at + 5)), -1.0);
}

TEST_F(RecordMixTest, AGainChangesTheMixAndNothingElse) {
  properties_ = {{"layout", "both"}};
  ASSERT_TRUE(start());
  g_signal_emit_by_name(feeder_.element.get(), "speaker-gain", guint64{7}, 0.5);
  g_signal_emit_by_name(feeder_.element.get(), "speaker-gain", guint64{9}, 0.0);
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto track = read_wav(file("7.wav"));
  const auto mix = read_wav(file("mix.wav"));
  ASSERT_TRUE(track && mix);
  EXPECT_NEAR(rms(*mix, 960, 24000), rms(*track, 960, 24000) / 2, 20);
  EXPECT_NEAR(rms(*mix, 48960, 72000), rms(*track, 48960, 72000) / 2, 20) << "user 9 is silent";
}

TEST_P(RecordFormats, HasAMixToo) {
  if (!has_program("ffmpeg")) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  properties_["layout"] = "both";
  ASSERT_TRUE(start());
  two_speakers();
  feeder_.eos();
  ASSERT_TRUE(wait_for_eos());
  const auto mix = heard_by_ffmpeg(track("mix"));
  ASSERT_EQ(mix.size(), 96000u);
  EXPECT_GT(rms(mix, 960, 24000), 3000);
  EXPECT_LT(rms(mix, 27000, 45000), 20);
  EXPECT_GT(rms(mix, 48960, 72000), 5000);
  expect_tracks(track("7"), track("9"));
}

}  // namespace
