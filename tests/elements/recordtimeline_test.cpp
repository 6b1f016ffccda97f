// A synthetic call, faster than real time, through every chain to every format: each packet in the
// file is where the timeline put it, and the timeline put it where it was spoken.
//
// DISCORD_TIMELINE_SECONDS: how long the call is; 6 by default, 3600 for the hour.
// DISCORD_TIMELINE_FORMATS: which files are made, of "wav mix flac mp3 ogg mka"; all by default.
#include "rig.hpp"
#include "synthetic_call.hpp"
#include "track_reader.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"
#include "record/opustrack.hpp"

#include <gst/app/gstappsrc.h>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
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

// What entered the recorder for one speaker.
struct Item {
  std::int64_t begin = 0;  // by the timeline, where the frame's first sample belongs
  std::int32_t samples = 0;
  bool lost = false;
  Bytes packet = {};
  bool cut = false;  // decoded, and nothing of it was passed on
};
using Items = std::vector<Item>;

// Looks at what enters the recorder.
class Witness {
 public:
  void attach(GstPad* pad) {
    gst_pad_add_probe(
        pad,
        static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST |
                                     GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
        on_data, this, nullptr);
  }
  std::map<std::uint32_t, Items> speakers;

 private:
  static std::int64_t sample(GstClockTime t) {
    return media::samples_from_duration(Duration(static_cast<std::int64_t>(t)));
  }
  static GstPadProbeReturn on_data(GstPad*, GstPadProbeInfo* info, gpointer data) {
    auto* self = static_cast<Witness*>(data);
    if ((info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) != 0) {
      self->event(GST_PAD_PROBE_INFO_EVENT(info));
    } else if ((info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0) {
      GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
      for (guint i = 0; i < gst_buffer_list_length(list); i++) {
        self->buffer(gst_buffer_list_get(list, i));
      }
    } else {
      self->buffer(GST_PAD_PROBE_INFO_BUFFER(info));
    }
    return GST_PAD_PROBE_OK;
  }
  void event(GstEvent* event) {
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      raw_ = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
    }
    if (!gst_event_has_name(event, "GstRTPPacketLost")) {
      return;
    }
    const GstStructure* s = gst_event_get_structure(event);
    guint ssrc = 0;
    guint64 at = 0;
    guint64 duration = 0;
    gst_structure_get_uint(s, "ssrc", &ssrc);
    gst_structure_get_uint64(s, "timestamp", &at);
    gst_structure_get_uint64(s, "duration", &duration);
    speakers[ssrc].push_back(
        {.begin = sample(at),
         .samples = static_cast<std::int32_t>(sample(at + duration) - sample(at)),
         .lost = true});
  }
  void buffer(GstBuffer* buffer) {
    const auto* meta = gst_buffer_get_discord_speaker_meta(buffer);
    const MappedBuffer map(buffer, GST_MAP_READ);
    const bool decoded = raw_;
    Item item;
    const std::int64_t begin = sample(GST_BUFFER_PTS(buffer));
    const std::int64_t end = sample(GST_BUFFER_PTS(buffer) + GST_BUFFER_DURATION(buffer));
    std::uint32_t ssrc = 0;
    if (decoded) {
      ssrc = meta->ssrc;
      if (meta->packet != nullptr) {
        const MappedBuffer opus(meta->packet, GST_MAP_READ);
        item.packet.assign(opus.data(), opus.data() + opus.size());
      }
    } else {
      ssrc = load_be32(map.data() + 8);
      item.packet.assign(map.data() + 12, map.data() + map.size());
    }
    if (item.packet.empty()) {
      item = {.begin = begin, .samples = static_cast<std::int32_t>(end - begin), .lost = true};
    } else {
      const auto parsed = media::parse_opus_packet(item.packet);
      item.samples = static_cast<std::int32_t>(parsed ? parsed->duration : 0);
      item.begin = decoded ? end - item.samples : begin;
    }
    speakers[ssrc].push_back(std::move(item));
  }
  bool raw_ = false;
};

// Where pieces of a track are in a file.
struct Found {
  std::size_t segments = 0;
  std::int64_t worst = 0;  // samples
  double least_correlation = 1;
  std::size_t different = 0;  // segments not equal to the bit at their place
  std::size_t noisy = 0;      // pauses that are not silent
};

// One decoded file, held against what it must hold.
class FileCheck {
 public:
  FileCheck(std::string name, const std::string& path, bool exact)
      : name_(std::move(name)), heard_(path), exact_(exact) {}

  void piece(std::int64_t begin, const std::vector<std::int16_t>& expected) {
    constexpr std::int64_t around = 4;
    const auto size = static_cast<std::int64_t>(expected.size());
    const std::vector<std::int16_t> window = heard_.window(begin - around, size + 2 * around);
    found_.segments++;
    if (std::equal(expected.begin(), expected.end(), window.begin() + around)) {
      return;
    }
    std::int64_t best = 0;
    double most = -2;
    for (std::int64_t lag = -around; lag <= around; lag++) {
      const double c = correlation(expected, window.data() + around + lag);
      if (c > most) {
        most = c;
        best = lag;
      }
    }
    if (most < 0.7) {
      elsewhere(begin, expected);
    }
    found_.worst = std::max(found_.worst, std::abs(best));
    found_.least_correlation = std::min(found_.least_correlation, most);
    found_.different +=
        std::equal(expected.begin(), expected.end(), window.begin() + around + best) ? 0 : 1;
  }
  void pause(std::int64_t begin, std::int64_t samples) {
    if (exact_) {
      const auto quiet = heard_.window(begin, samples);
      found_.noisy +=
          std::any_of(quiet.begin(), quiet.end(), [](std::int16_t v) { return v != 0; }) ? 1 : 0;
    }
  }
  const std::string& name() const { return name_; }
  bool exact() const { return exact_; }
  const Found& found() const { return found_; }
  std::int64_t length() { return heard_.length(); }

 private:
  // Where a piece is that is not where it should be, for whoever must find out why.
  void elsewhere(std::int64_t begin, const std::vector<std::int16_t>& expected) {
    constexpr std::int64_t far = 5760;
    const auto window =
        heard_.window(begin - far, static_cast<std::int64_t>(expected.size()) + 2 * far);
    std::int64_t best = 0;
    double most = -2;
    for (std::int64_t lag = -far; lag <= far; lag++) {
      const double c = correlation(expected, window.data() + far + lag);
      if (c > most) {
        most = c;
        best = lag;
      }
    }
    std::printf("  %s: a piece of %zu samples at %lld is at %+lld, correlation %.4f\n",
                name_.c_str(), expected.size(), static_cast<long long>(begin),
                static_cast<long long>(best), most);
  }

  std::string name_;
  Heard heard_;
  bool exact_;
  Found found_;
};

// What a decoder makes of losses: `opusdec` of 1.22 in multiples of 2.5 ms, and what is less or
// more than was lost is made up for by the next; ours to the sample.
class Concealment {
 public:
  explicit Concealment(bool stock) : stock_(stock) {}
  int operator()(OpusDecoder* decoder, int lost, std::vector<std::int16_t>& pcm) {
    int count = lost;
    if (stock_) {
      if (lost < 120) {
        return 0;  // goes around it
      }
      owed_ += lost;
      count = (owed_ + 60) / 120 * 120;
      owed_ -= count;
    }
    const int whole = count / 120 * 120;
    if (whole > 0 && opus_decode(decoder, nullptr, 0, pcm.data(), whole, 0) != whole) {
      return 0;
    }
    std::vector<std::int16_t> rest(2 * 120);
    if (count > whole && opus_decode(decoder, nullptr, 0, rest.data(), 120, 0) == 120) {
      std::copy_n(rest.begin(), 2 * (count - whole), pcm.begin() + 2 * whole);
    }
    return count;
  }

 private:
  bool stock_;
  int owed_ = 0;
};

// Decodes what entered the recorder, in pieces of at most a second, each on its place by the
// timeline, and shows them to the files.
void decode(const Items& items, bool stock, std::vector<std::unique_ptr<FileCheck>>& files) {
  int error = 0;
  std::unique_ptr<OpusDecoder, void (*)(OpusDecoder*)> decoder(
      opus_decoder_create(48000, 2, &error), opus_decoder_destroy);
  Concealment conceal(stock);
  std::vector<std::int16_t> expected;
  std::int64_t begin = 0;   // of `expected`
  std::int64_t end = 0;     // of the frame before
  std::size_t made_up = 0;  // of `expected`, of losses
  std::size_t tail = 0;     // of those, at its end
  std::size_t faded = 0;    // and of silence frames
  const auto check = [&] {
    double energy = 0;
    for (const std::int16_t v : expected) {
      energy += static_cast<double>(v) * v;
    }
    // Silence has no place, and neither has what a decoder lets fade away.
    if (expected.size() >= 480 && 4 * made_up <= expected.size() &&
        2 * (made_up + faded) <= expected.size() &&
        energy >= 1e4 * static_cast<double>(expected.size())) {
      for (const auto& file : files) {
        file->piece(begin, expected);
      }
    }
    expected.clear();
    made_up = faded = tail = 0;
  };
  std::vector<std::int16_t> pcm(2 * 5760 + 2 * 120);
  for (const Item& item : items) {
    if (item.cut) {
      EXPECT_GT(opus_decode(decoder.get(), item.packet.data(),
                            static_cast<opus_int32>(item.packet.size()), pcm.data(), 5760, 0),
                0);
      continue;
    }
    const std::int64_t gap = item.begin - end;
    if (gap > 2 || expected.size() >= 48000) {
      if (gap > 2) {
        // That the last of a spurt was lost is known when the next begins. By then there is silence
        // in the file, which is not written twice.
        expected.resize(expected.size() - tail);
        made_up -= tail;
      }
      check();
      if (gap > 960) {
        for (const auto& file : files) {
          file->pause(end + 2, gap - 4);
        }
      }
    }
    int samples = 0;
    if (item.lost) {
      samples = conceal(decoder.get(), item.samples, pcm);
    } else {
      samples = opus_decode(decoder.get(), item.packet.data(),
                            static_cast<opus_int32>(item.packet.size()), pcm.data(), 5760, 0);
    }
    samples = std::max(samples, 0);
    if (!expected.empty()) {
      expected.resize(expected.size() + static_cast<std::size_t>(std::max<std::int64_t>(gap, 0)));
    }
    const auto cut = static_cast<int>(std::clamp<std::int64_t>(end - item.begin, 0, samples));
    if (expected.empty()) {
      begin = item.begin + cut;
    }
    const auto added = static_cast<std::size_t>(samples - cut);
    tail = item.lost ? tail + added : 0;
    if (item.lost || item.packet.size() <= 3) {
      (item.lost ? made_up : faded) += added;
    }
    for (int i = cut; i < samples; i++) {
      expected.push_back(pcm[static_cast<std::size_t>(2 * i)]);
    }
    end = std::max(end, item.begin + samples);
  }
  check();
}

// Where Opus passes through: how far packets are from their places.
struct Placed {
  std::size_t packets = 0;
  std::size_t missing = 0;
  std::int64_t first = 0;   // samples, at the beginning of a talk spurt
  std::int64_t inside = 0;  // and behind it

  bool operator==(const Placed&) const = default;
};
Placed place(const Items& items, const PacketTrack& track, bool may_be_ahead) {
  Placed out;
  std::size_t at = 0;
  std::int64_t end = -48000;
  for (const Item& item : items) {
    if (item.lost) {
      end = std::max(end, item.begin + item.samples);  // the spurt goes on
      continue;
    }
    if (item.cut || item.packet.size() <= 3) {
      continue;  // silence is free to go
    }
    std::size_t look = at;
    while (look < track.packets.size() && track.packets[look].begin < item.begin + 9600 &&
           track.packets[look].bytes != item.packet) {
      look++;
    }
    if (look == track.packets.size() || track.packets[look].bytes != item.packet) {
      // The last of who is ahead can lie behind the end of the recording, where tracks are cut.
      const bool cut = may_be_ahead && item.begin + record::OpusTrack::most_off >= track.length;
      out.missing += cut ? 0 : 1;
      continue;
    }
    out.packets++;
    std::int64_t& worst = item.begin - end > 4800 ? out.first : out.inside;
    worst = std::max(worst, std::abs(track.packets[look].begin - item.begin));
    end = item.begin + item.samples;
    at = look + 1;
  }
  return out;
}

// The mix against the sum of the tracks, second by second.
struct Summed {
  std::size_t exact = 0;    // to the bit
  std::size_t limited = 0;  // where the sum is louder than a file can hold
  std::size_t elsewhere = 0;
  double least_correlation = 1;
};
Summed add_up(const std::vector<std::string>& tracks, const std::string& mix) {
  std::vector<std::unique_ptr<Heard>> heard;
  for (const std::string& path : tracks) {
    heard.push_back(std::make_unique<Heard>(path));
  }
  Heard sum(mix);
  Summed out;
  constexpr std::int64_t second = 48000;
  std::vector<int> all(second);
  const std::int64_t length = Heard(mix).length();
  for (std::int64_t at = second; at + second + 1 < length; at += second) {
    std::fill(all.begin(), all.end(), 0);
    for (const auto& h : heard) {
      const auto part = h->window(at, second);
      for (std::size_t i = 0; i < part.size(); i++) {
        all[i] += part[i];
      }
    }
    const auto window = sum.window(at - 1, second + 2);
    if (std::equal(all.begin(), all.end(), window.begin() + 1)) {
      out.exact++;
      continue;
    }
    std::vector<std::int16_t> expected(second);
    std::transform(all.begin(), all.end(), expected.begin(),
                   [](int v) { return static_cast<std::int16_t>(v / 4); });
    const double here = correlation(expected, window.data() + 1);
    out.limited++;
    out.least_correlation = std::min(out.least_correlation, here);
    out.elsewhere += correlation(expected, window.data()) > here ||
                             correlation(expected, window.data() + 2) > here
                         ? 1
                         : 0;
  }
  return out;
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

// Where the timeline put a sender's packets against when they were made; samples. Packets that were
// decoded and cut whole go into the items, since a decoder has heard them.
class TruthCheck {
 public:
  TruthCheck(const Habit& habit, bool decoded, double seconds)
      : habit_(habit), decoded_(decoded), seconds_(seconds) {}

  std::int64_t run(Items& items, std::vector<SyntheticPacket>& sent) {
    std::sort(sent.begin(), sent.end(),
              [](const auto& a, const auto& b) { return a.made < b.made; });
    Items all;
    std::size_t n = 0;
    for (Item& item : items) {
      if (!item.lost) {
        // What was overtaken by the first packets of its sender comes late, and is not passed on.
        const std::size_t before = n;
        while (n < sent.size() && *sent[n].payload != item.packet) {
          n++;
        }
        if (n == sent.size()) {
          ADD_FAILURE() << "a packet that nobody sent, behind number " << before;
          return worst_;
        }
        if (n == before + 1 && before > 0 && !all.empty() && cut(all.back(), item, sent[before])) {
          all.push_back({.packet = *sent[before].payload, .cut = true});
        } else {
          late_ += n - before;
        }
        const auto made = static_cast<std::int64_t>((sent[n].made + SyntheticCall::delay) * 48000);
        worst_ = std::max(worst_, std::abs(item.begin - made));
        n++;
      }
      all.push_back(std::move(item));
    }
    items = std::move(all);
    judge(n, sent.size());
    return worst_;
  }

 private:
  // A clock is corrected within a spurt by `Timeline::step` at most, once a second, and by cutting
  // that much off the front of a decoded frame. Of 2.5 ms nothing is left, and its neighbours
  // touch.
  bool cut(const Item& before, const Item& behind, const SyntheticPacket& between) {
    if (!decoded_ || habit_.frame > media::Timeline::step || before.lost ||
        std::abs(behind.begin - (before.begin + before.samples)) > 2 ||
        between.made - last_cut_ < 0.9) {
      return false;
    }
    last_cut_ = between.made;
    cut_++;
    return true;
  }
  void judge(std::size_t reached, std::size_t sent) const {
    const std::int64_t allowed =
        std::max(habit_.frame, 960) + static_cast<std::int64_t>(SyntheticCall::jitter * 48000) + 1;
    EXPECT_LE(worst_, allowed);
    EXPECT_EQ(reached, sent) << "every packet reached the recorder";
    if (late_ + cut_ != 0) {
      std::printf("  %-20s      %6zu packets of %zu were too late, %zu were cut whole\n",
                  habit_.name, late_, sent, cut_);
    }
    // The same as at the beginning happens where a sender begins its numbers anew.
    const auto restarts =
        habit_.stamps == Stamps::restart ? static_cast<std::size_t>(seconds_ / 10) : 0;
    // Its clock is right, so only jitter is taken back.
    EXPECT_LE(static_cast<double>(cut_), 3 + seconds_ / 60);
    EXPECT_LE(late_, (habit_.frame < 960 ? 12u : 2u) + restarts);
  }

  const Habit& habit_;
  const bool decoded_;
  const double seconds_;
  std::int64_t worst_ = 0;
  std::size_t late_ = 0;
  std::size_t cut_ = 0;
  double last_cut_ = -1;
};

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
    EXPECT_EQ(all.size(), 1u) << "all tracks are of one length: " << kind;
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
