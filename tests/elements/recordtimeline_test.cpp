// A synthetic call, faster than real time, through every chain to every format: each packet in the
// file is where the timeline put it, and the timeline put it where it was spoken.
//
// DISCORD_TIMELINE_SECONDS: how long the call is; 6 by default, 3600 for the hour.
// DISCORD_TIMELINE_FORMATS: which files are made, of "wav mix flac mp3 ogg mka"; all by default.
#include "programs.hpp"
#include "rig.hpp"
#include "synthetic_call.hpp"
#include "timeline_check.hpp"
#include "track_reader.hpp"

#include <gst/app/gstappsrc.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

namespace {

using namespace discord;
using namespace discord::test;
namespace fs = std::filesystem;

double call_seconds() {
  const char* text = std::getenv("DISCORD_TIMELINE_SECONDS");
  return text != nullptr ? std::atof(text) : 6;
}

struct Shape {
  const char* chain;
  bool loss;
};

class Timeline : public testing::TestWithParam<Shape> {};

std::vector<Shape> shapes() {
  std::vector<Shape> out;
  for (const char* chain : {"reorder", "decrypt", "process", "none"}) {
    for (const bool loss : {false, true}) {
      out.push_back({chain, loss});
    }
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(Call, Timeline, testing::ValuesIn(shapes()), [](const auto& one) {
  return std::string(one.param.chain) + (one.param.loss ? "_loss" : "");
});

// Which files are made at once: all, or those that DISCORD_TIMELINE_FORMATS names.
bool wanted(const std::string& format) {
  const char* text = std::getenv("DISCORD_TIMELINE_FORMATS");
  return text == nullptr ||
         (" " + std::string(text) + " ").find(" " + format + " ") != std::string::npos;
}

// The same stream to a recorder for each format.
std::string line_of(const Shape& shape, const std::string& folder) {
  std::string key;
  for (int i = 0; i < 32; i++) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", (0x21 + 5 * i) & 0xff);
    key += two;
  }
  const std::string secret = " mode=aead_aes256_gcm_rtpsize secret-key=" + key;
  const std::string chain = shape.chain;
  std::string line = "appsrc name=in format=time is-live=false block=true max-bytes=200000 ";
  if (chain == "reorder") {
    line += std::string("caps=\"") + rtp_caps + "\" ! discordreorder";
  } else if (chain == "decrypt") {
    line += "caps=application/x-discord-rtp ! discorddecrypt" + secret + " ! discordreorder";
  } else {
    line += "caps=application/x-discord-rtp ! discordworkerdec isolation=" + chain + secret;
  }
  line += " ! tee name=all";
  for (const char* format : {"wav", "flac", "mp3", "ogg", "mka"}) {
    if (wanted(format)) {
      line +=
          " all. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=2000 ! "
          "discordrecordsink flat=true location=" +
          folder + "/" + format + " format=" + format +
          (format == std::string("wav") && wanted("mix") ? " layout=both" : "");
    }
  }
  return line;
}

// Says now and then how far a long call is.
class Progress {
 public:
  void at(double seconds) {
    if (seconds >= next_) {
      const double took = static_cast<double>(g_get_monotonic_time() - began_) / 1e6;
      std::fprintf(stderr, "  %.0f minutes of the call in %.0f s\n", seconds / 60, took);
      next_ += 300;
    }
  }

 private:
  double next_ = 300;
  gint64 began_ = g_get_monotonic_time();
};

// Plays the call; false when it broke. `truth` gets what was sent, by sender, and lives no longer
// than the call.
using Truth = std::vector<std::vector<SyntheticPacket>>;
bool play(const Shape& shape, SyntheticCall& call, const std::string& folder, Witness& witness,
          Truth& truth) {
  Pipeline pipeline(line_of(shape, folder));
  witness.attach(pipeline.pad("all", "sink").get());
  pipeline.play();
  const auto in = pipeline.get("in");
  Sealer sealer;
  Progress progress;
  const bool sealed = std::string(shape.chain) != "reorder";
  SyntheticPacket p;
  while (call.next(p)) {
    if (p.lost) {
      continue;
    }
    const Bytes plain =
        rtp_packet(p.sequence, p.timestamp, *p.payload, SyntheticCall::ssrc(p.sender));
    BufferPtr buffer = buffer_of(sealed ? sealer.plain_rtp(plain) : plain);
    GST_BUFFER_DTS(buffer.get()) = static_cast<GstClockTime>(p.arrival * 1e9);
    if (gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer.release()) != GST_FLOW_OK) {
      break;  // the error is on the bus
    }
    truth[p.sender].push_back(p);
    progress.at(p.arrival);
  }
  gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
  const ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline.element()));
  const MessagePtr m(gst_bus_timed_pop_filtered(
      bus.get(), GST_CLOCK_TIME_NONE, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
  EXPECT_EQ(GST_MESSAGE_TYPE(m.get()), GST_MESSAGE_EOS) << Pipeline::sentence_of(m.get());
  return GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_EOS;
}

// The session record has what each element counted, and it added up whenever it was looked at.
void check_ledgers(const Shape& shape, const std::string& path, const Truth& truth) {
  std::ifstream in(path);
  const auto record = nlohmann::json::parse(in, nullptr, false);
  ASSERT_TRUE(record.is_object()) << path;
  std::size_t sent = 0;
  for (const auto& sender : truth) {
    sent += sender.size();
  }
  const std::string chain = shape.chain;
  const std::vector<std::string> elements =
      chain == "reorder"   ? std::vector<std::string>{"discordreorder"}
      : chain == "decrypt" ? std::vector<std::string>{"discorddecrypt", "discordreorder"}
                           : std::vector<std::string>{"discordworkerdec"};
  const auto& ledgers = record["ledgers"];
  EXPECT_EQ(ledgers["checks-failed"], 0);
  EXPECT_EQ(ledgers.size(), elements.size() + 1);
  for (const std::string& element : elements) {
    EXPECT_EQ(ledgers[element]["received"], sent) << element;
    EXPECT_EQ(ledgers[element]["speakers"].size(), truth.size()) << element;
  }
}

// Readers that nobody here wrote take every file to its end, without a complaint.
void check_readers(const std::string& folder) {
  const std::map<std::string, std::vector<std::string>> readers = {
      {".wav",
       {"python3", "-c",
        "import os, sys, wave\n"
        "w = wave.open(sys.argv[1])\n"
        "assert (w.getnchannels(), w.getsampwidth(), w.getframerate()) == (2, 2, 48000)\n"
        "n = 0\n"
        "while part := w.readframes(48000):\n"
        "  n += len(part)\n"
        "assert n == 4 * w.getnframes() > 0, (n, w.getnframes())\n"}},
      {".flac", {"flac", "-t", "-s", "-w"}},
      {".ogg", {"opusinfo", "-q"}},
      {".mka", {"mkvinfo", "--ui-language", "en_US"}}};
  std::map<std::string, std::size_t> taken;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    const auto reader = readers.find(extension);
    if (reader == readers.end() && extension != ".mp3") {
      continue;
    }
    SCOPED_TRACE(entry.path().filename().string());
    if (has_program("ffprobe")) {
      const Ran r = run({"sh", "-c",
                         "exec ffprobe -v warning -show_entries stream=codec_type "
                         "-of default=nw=1:nk=1 \"$1\" 2>&1",
                         "sh", entry.path().string()});
      EXPECT_EQ(r.status, 0);
      const std::size_t tracks = extension == ".mka" ? habits().size() : 1;
      std::string expected;
      for (std::size_t i = 0; i < tracks; i++) {
        expected += "audio\n";
      }
      EXPECT_EQ(r.output, expected) << "ffprobe complains";
    }
    if (reader == readers.end() || !has_program(reader->second[0].c_str())) {
      continue;
    }
    std::vector<std::string> argv = {"sh", "-c", "exec \"$@\" 2>&1", "sh"};
    argv.insert(argv.end(), reader->second.begin(), reader->second.end());
    argv.push_back(entry.path().string());
    const Ran r = run(argv);
    EXPECT_EQ(r.status, 0) << r.output;
    for (const char* complaint : {"WARNING", "ERROR", "Error", "error:"}) {
      EXPECT_EQ(r.output.find(complaint), std::string::npos) << r.output;
    }
    taken[reader->second[0]]++;
  }
  for (const auto& [reader, files] : taken) {
    std::printf("  %s accepts %zu files\n", reader.c_str(), files);
  }
}

TEST_P(Timeline, EveryPacketIsWhereItWasSpoken) {
  const Shape& shape = GetParam();
  if (g_find_program_in_path("ffmpeg") == nullptr) {
    GTEST_SKIP() << "ffmpeg comes with the Debian package of that name";
  }
  const double seconds = call_seconds();
  const TempDir folder;
  Witness witness;
  SyntheticCall call(seconds, shape.loss ? 0.02 : 0);
  Truth truth(habits().size());
  ASSERT_TRUE(play(shape, call, folder.path(), witness, truth));
  check_ledgers(shape, folder.path() + "/" + (wanted("wav") ? "wav" : "ogg") + "/session.json",
                truth);
  check_readers(folder.path());
  const auto mka = wanted("mka") ? read_mka(folder.path() + "/mka/recording.mka")
                                 : std::map<std::string, PacketTrack>();
  std::map<std::string, std::set<std::int64_t>> lengths;
  std::vector<std::string> wavs;
  std::int64_t worst_truth = 0;
  for (std::size_t s = 0; s < habits().size(); s++) {
    const Habit& habit = habits()[s];
    SCOPED_TRACE(habit.name);
    Items& items = witness.speakers[SyntheticCall::ssrc(s)];
    ASSERT_FALSE(items.empty());
    const std::string chain = shape.chain;
    const bool decoded = chain == "process" || chain == "none";
    worst_truth = std::max(worst_truth, TruthCheck(habit, decoded, seconds).run(items, truth[s]));

    const std::string ssrc = std::to_string(SyntheticCall::ssrc(s));
    const auto path = [&](const std::string& format) {
      return folder.path() + "/" + format + "/" + ssrc + "." + format;
    };
    std::vector<std::unique_ptr<FileCheck>> files;
    for (const char* format : {"wav", "flac", "mp3"}) {
      if (wanted(format)) {
        files.push_back(
            std::make_unique<FileCheck>(format, path(format), format != std::string("mp3")));
      }
    }
    wavs.push_back(path("wav"));
    if (!files.empty()) {
      decode(items, !decoded, files);
    }
    for (const auto& file : files) {
      SCOPED_TRACE(file->name());
      const Found& found = file->found();
      lengths["decoded"].insert(file->length());
      std::printf(
          "  %-20s %-4s %6zu pieces, off by at most %lld, correlation %.4f, %zu not to "
          "the bit\n",
          habit.name, file->name().c_str(), found.segments, static_cast<long long>(found.worst),
          found.least_correlation, found.different);
      EXPECT_GT(found.segments, 0u);
      if (file->exact()) {
        EXPECT_EQ(found.different, 0u) << "all that was said, and what makes up for losses";
        EXPECT_EQ(found.worst, 0);
      } else {
        EXPECT_LE(found.worst, 1);
        EXPECT_GT(found.least_correlation, shape.loss ? 0.9 : 0.95);
      }
      EXPECT_EQ(found.noisy, 0u) << "a pause is silent";
    }
    std::optional<Placed> before;
    for (const char* format : {"ogg", "mka"}) {
      if (!wanted(format)) {
        continue;
      }
      SCOPED_TRACE(format);
      const bool live = format == std::string("ogg");
      const PacketTrack track = live ? read_ogg(path(format)) : mka.at("SSRC " + ssrc);
      lengths[format].insert(track.length);
      const Placed placed = place(items, track, !habit.pauses);
      std::printf(
          "  %-20s %-4s %6zu packets, spurts off by at most %lld samples, inside by %lld; "
          "%zu left out\n",
          habit.name, format, placed.packets, static_cast<long long>(placed.first),
          static_cast<long long>(placed.inside), placed.missing);
      EXPECT_GT(placed.packets, 0u);
      EXPECT_EQ(before.value_or(placed), placed) << "both files are made by one rule";
      before = placed;
      EXPECT_LE(placed.first, 60);
      // Inside a talk spurt there is no seam: what the timeline takes back is taken in silence.
      EXPECT_LE(placed.inside, habit.pauses ? 600 : 1920 + 2880);
      EXPECT_LE(placed.missing, habit.pauses ? 0 : static_cast<std::size_t>(seconds / 50) + 1);
    }
    std::fflush(stdout);
  }
  for (const auto& [kind, all] : lengths) {
    EXPECT_EQ(all.size(), 1u) << "all tracks are of one length: " << kind << ", but they have "
                              << *all.begin() << " to " << *all.rbegin() << " samples";
  }
  if (wanted("mix") && wanted("wav")) {
    const Summed mix = add_up(wavs, folder.path() + "/wav/mix.wav");
    std::printf(
        "  mix: %zu seconds to the bit the sum of the tracks, %zu limited (correlation "
        "%.4f)\n",
        mix.exact, mix.limited, mix.least_correlation);
    EXPECT_GT(mix.exact + mix.limited, 0u);
    EXPECT_EQ(mix.elsewhere, 0u);
    EXPECT_GT(mix.least_correlation, 0.9);
    lengths["mix"].insert(Heard(folder.path() + "/wav/mix.wav").length());
    EXPECT_EQ(lengths["mix"], lengths["decoded"]);
  }
  std::printf("  off the truth by at most %lld samples; tracks of %lld samples\n",
              static_cast<long long>(worst_truth),
              static_cast<long long>(lengths.empty() ? 0 : *lengths.begin()->second.begin()));
}

}  // namespace
