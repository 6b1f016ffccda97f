// A synthetic call, faster than real time, through every chain to every format: each packet in the
// file is where the timeline put it, and the timeline put it where it was spoken.
//
// DISCORD_TIMELINE_SECONDS: how long the call is; 6 by default, 3600 for the hour.
#include "rig.hpp"
#include "synthetic_call.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"

#include <gst/app/gstappsrc.h>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
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
  Bytes packet;
  bool discont = false;  // the decoder begins anew, as GstAudioDecoder has it
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
    speakers[ssrc].push_back({sample(at),
                              static_cast<std::int32_t>(sample(at + duration) - sample(at)),
                              true,
                              {},
                              false});
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
      item = {begin, static_cast<std::int32_t>(end - begin), true, {}, false};
    } else {
      const auto parsed = media::parse_opus_packet(item.packet);
      item.samples = static_cast<std::int32_t>(parsed ? parsed->duration : 0);
      item.begin = decoded ? end - item.samples : begin;
      item.discont = !decoded && GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT);
    }
    speakers[ssrc].push_back(std::move(item));
  }
  bool raw_ = false;
};

// A file's samples, from FFmpeg, front to back.
class Heard {
 public:
  explicit Heard(const std::string& path)
      : pipe_(
            popen(("ffmpeg -v error -i '" + path + "' -f s16le -ac 2 -ar 48000 -").c_str(), "r")) {}
  ~Heard() { pclose(pipe_); }
  Heard(const Heard&) = delete;
  Heard& operator=(const Heard&) = delete;

  // Left channel from `begin` on, 0 where there is nothing; windows may go back by a second.
  std::vector<float> window(std::int64_t begin, std::int64_t count) {
    while (first_ + static_cast<std::int64_t>(kept_.size()) < begin + count && read()) {
    }
    std::vector<float> out(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; i++) {
      const std::int64_t at = begin + i - first_;
      if (at >= 0 && at < static_cast<std::int64_t>(kept_.size())) {
        out[static_cast<std::size_t>(i)] = kept_[static_cast<std::size_t>(at)];
      }
    }
    while (first_ < begin - 480000 && !kept_.empty()) {
      kept_.pop_front();
      first_++;
    }
    return out;
  }
  std::int64_t length() {
    while (read()) {
      const auto drop = kept_.size();
      kept_.clear();
      first_ += static_cast<std::int64_t>(drop);
    }
    return first_ + static_cast<std::int64_t>(kept_.size());
  }

 private:
  bool read() {
    std::int16_t block[2 * 4096];
    const std::size_t n = fread(block, 4, 4096, pipe_);
    for (std::size_t i = 0; i < n; i++) {
      kept_.push_back(block[2 * i]);
    }
    return n > 0;
  }
  FILE* pipe_;
  std::deque<std::int16_t> kept_;
  std::int64_t first_ = 0;
};

double correlation(const std::vector<float>& a, const float* b) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); i++) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : (aa == bb ? 1 : 0);
}

struct Found {
  std::size_t segments = 0;
  std::int64_t worst = 0;  // samples
  double least_correlation = 1;
  std::size_t different = 0;  // segments not equal to the bit at their place
  std::size_t noisy = 0;      // pauses that are not silent
};

// Holds a decoded track against what entered the recorder, in pieces of at most a second.
Found compare(const Items& items, Heard& heard, bool exact) {
  Found found;
  int error = 0;
  std::unique_ptr<OpusDecoder, void (*)(OpusDecoder*)> decoder(
      opus_decoder_create(48000, 2, &error), opus_decoder_destroy);
  std::vector<float> expected;
  std::int64_t begin = 0;  // of `expected`
  std::int64_t end = 0;    // of the frame before
  const auto check = [&] {
    if (expected.size() < 480) {
      expected.clear();
      return;
    }
    constexpr std::int64_t around = 4;
    const auto size = static_cast<std::int64_t>(expected.size());
    const std::vector<float> window = heard.window(begin - around, size + 2 * around);
    double energy = 0;
    for (const float v : expected) {
      energy += static_cast<double>(v) * v;
    }
    if (energy < 1e4 * static_cast<double>(size)) {
      expected.clear();
      return;  // silence has no place
    }
    if (std::equal(expected.begin(), expected.end(), window.begin() + around)) {
      found.segments++;
      expected.clear();
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
    found.segments++;
    found.worst = std::max(found.worst, std::abs(best));
    found.least_correlation = std::min(found.least_correlation, most);
    if (exact && !std::equal(expected.begin(), expected.end(), window.begin() + around + best)) {
      found.different++;
    }
    expected.clear();
  };
  std::vector<std::int16_t> pcm(2 * 5760);
  for (const Item& item : items) {
    const std::int64_t gap = item.begin - end;
    if (gap > 2 || expected.size() >= 48000) {
      check();
      if (gap > 960 && exact) {
        const auto quiet = heard.window(end + 2, gap - 4);
        found.noisy +=
            std::any_of(quiet.begin(), quiet.end(), [](float v) { return v != 0; }) ? 1 : 0;
      }
    }
    int samples = 0;
    if (item.discont) {
      opus_decoder_ctl(decoder.get(), OPUS_RESET_STATE);
    }
    if (item.lost) {
      for (int left = item.samples; left >= 120; left -= 5760) {
        const int count = std::min(left, 5760) / 120 * 120;
        samples += opus_decode(decoder.get(), nullptr, 0, pcm.data(), count, 0);
      }
    } else {
      samples = opus_decode(decoder.get(), item.packet.data(),
                            static_cast<opus_int32>(item.packet.size()), pcm.data(), 5760, 0);
    }
    samples = std::max(samples, 0);
    const auto cut = static_cast<int>(std::clamp<std::int64_t>(end - item.begin, 0, samples));
    if (expected.empty()) {
      begin = item.begin + cut;
    }
    for (int i = cut; i < samples; i++) {
      expected.push_back(pcm[static_cast<std::size_t>(2 * i)]);
    }
    end = std::max(end, item.begin + samples);
  }
  check();
  return found;
}

// The packets of an Ogg file, each with the sample it begins at.
struct OggPacket {
  std::int64_t begin;
  Bytes bytes;
};
struct OggTrack {
  std::vector<OggPacket> packets;
  std::int64_t length = 0;
};
OggTrack read_ogg(const std::string& path) {
  OggTrack out;
  std::ifstream in(path, std::ios::binary);
  Bytes partial;
  std::int64_t position = 0;
  int number = 0;
  std::uint8_t header[27];
  while (in.read(reinterpret_cast<char*>(header), 27)) {
    std::uint8_t lacing[255];
    in.read(reinterpret_cast<char*>(lacing), header[26]);
    std::int64_t granule = 0;
    for (int i = 7; i >= 0; i--) {
      granule = granule << 8 | header[6 + i];
    }
    for (int i = 0; i < header[26]; i++) {
      const std::size_t before = partial.size();
      partial.resize(before + lacing[i]);
      in.read(reinterpret_cast<char*>(partial.data() + before), lacing[i]);
      if (lacing[i] == 255) {
        continue;
      }
      if (number++ >= 2) {
        const auto parsed = media::parse_opus_packet(partial);
        EXPECT_TRUE(parsed);
        out.packets.push_back({position - 3840, partial});
        position += parsed ? parsed->duration : 0;
      }
      partial.clear();
    }
    out.length = granule - 3840;
  }
  return out;
}

struct Shape {
  const char* chain;
  const char* format;
  bool loss;
};

class Timeline : public testing::TestWithParam<Shape> {};

std::vector<Shape> shapes() {
  std::vector<Shape> out;
  for (const char* chain : {"reorder", "decrypt", "worker"}) {
    for (const char* format : {"wav", "flac", "mp3", "ogg"}) {
      for (const bool loss : {false, true}) {
        out.push_back({chain, format, loss});
      }
    }
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(Call, Timeline, testing::ValuesIn(shapes()), [](const auto& one) {
  return std::string(one.param.chain) + "_" + one.param.format + (one.param.loss ? "_loss" : "");
});

std::string line_of(const Shape& shape, const std::string& folder) {
  std::string key;
  for (int i = 0; i < 32; i++) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", (0x21 + 5 * i) & 0xff);
    key += two;
  }
  const std::string secret = " mode=aead_aes256_gcm_rtpsize secret-key=" + key;
  const std::string chain = shape.chain;
  const std::string source =
      "appsrc name=in format=time is-live=false block=true max-bytes=200000 ";
  const std::string sink =
      " ! discordrecordsink name=rec flat=true location=" + folder + " format=" + shape.format;
  if (chain == "reorder") {
    return source + "caps=\"" + rtp_caps + "\" ! discordreorder" + sink;
  }
  if (chain == "decrypt") {
    return source + "caps=application/x-discord-rtp ! discorddecrypt" + secret +
           " ! discordreorder" + sink;
  }
  return source + "caps=application/x-discord-rtp ! discordworkerdec" + secret + sink;
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
  // The truth: when a packet was made, by sender and payload order.
  std::vector<std::vector<SyntheticPacket>> truth(habits().size());
  {
    Pipeline pipeline(line_of(shape, folder.path()));
    witness.attach(pipeline.pad("rec", "sink").get());
    pipeline.play();
    const auto in = pipeline.get("in");
    Sealer sealer;
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
      ASSERT_EQ(gst_app_src_push_buffer(GST_APP_SRC(in.get()), buffer.release()), GST_FLOW_OK);
      truth[p.sender].push_back(p);
    }
    gst_app_src_end_of_stream(GST_APP_SRC(in.get()));
    const ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline.element()));
    const MessagePtr m(gst_bus_timed_pop_filtered(
        bus.get(), GST_CLOCK_TIME_NONE, GstMessageType(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
    ASSERT_EQ(GST_MESSAGE_TYPE(m.get()), GST_MESSAGE_EOS) << Pipeline::sentence_of(m.get());
  }
  const bool ogg = std::string(shape.format) == "ogg";
  const bool exact = !shape.loss && std::string(shape.format) != "mp3" && !ogg;
  std::set<std::int64_t> lengths;
  std::int64_t worst_truth = 0;
  for (std::size_t s = 0; s < habits().size(); s++) {
    SCOPED_TRACE(habits()[s].name);
    const Items& items = witness.speakers[SyntheticCall::ssrc(s)];
    ASSERT_FALSE(items.empty());
    // Where the timeline put it against when it was made.
    std::sort(truth[s].begin(), truth[s].end(),
              [](const auto& a, const auto& b) { return a.made < b.made; });
    std::size_t n = 0;
    std::size_t late = 0;
    for (const Item& item : items) {
      if (item.lost) {
        continue;
      }
      // What was overtaken by the first packets of its sender comes late, and is not passed on.
      const std::size_t before = n;
      while (n < truth[s].size() && *truth[s][n].payload != item.packet) {
        n++;
      }
      ASSERT_LT(n, truth[s].size()) << "a packet that nobody sent, behind number " << before;
      late += n - before;
      const SyntheticPacket& p = truth[s][n++];
      const auto made = static_cast<std::int64_t>((p.made + SyntheticCall::delay) * 48000);
      const std::int64_t off = std::abs(item.begin - made);
      const std::int64_t allowed = std::max(habits()[s].frame, 960) +
                                   static_cast<std::int64_t>(SyntheticCall::jitter * 48000) + 1;
      worst_truth = std::max(worst_truth, off);
      ASSERT_LE(off, allowed) << "packet " << n << " made at " << p.made;
    }
    EXPECT_EQ(n, truth[s].size()) << "every packet reached the recorder";
    // The same happens where a sender begins its numbers anew.
    const auto restarts =
        habits()[s].stamps == Stamps::restart ? static_cast<std::size_t>(seconds / 10) : 0;
    EXPECT_LE(late, (habits()[s].frame < 960 ? 12u : 2u) + restarts);

    const std::string path =
        folder.path() + "/" + std::to_string(SyntheticCall::ssrc(s)) + "." + shape.format;
    if (ogg) {
      const OggTrack track = read_ogg(path);
      lengths.insert(track.length);
      std::size_t at = 0;
      std::size_t missing = 0;
      std::int64_t worst_start = 0;
      std::int64_t worst_inside = 0;
      std::int64_t end = -48000;
      for (const Item& item : items) {
        if (item.lost || item.packet.size() <= 3) {
          continue;  // silence is free to go
        }
        std::size_t look = at;
        while (look < track.packets.size() && track.packets[look].begin < item.begin + 9600 &&
               track.packets[look].bytes != item.packet) {
          look++;
        }
        if (look == track.packets.size() || track.packets[look].bytes != item.packet) {
          missing++;
          continue;
        }
        const std::int64_t off = std::abs(track.packets[look].begin - item.begin);
        (item.begin - end > 4800 ? worst_start : worst_inside) =
            std::max(item.begin - end > 4800 ? worst_start : worst_inside, off);
        end = item.begin + item.samples;
        at = look + 1;
      }
      std::printf(
          "  %-22s spurts off by at most %3lld samples, inside by %4lld; %zu packets left out\n",
          habits()[s].name, static_cast<long long>(worst_start),
          static_cast<long long>(worst_inside), missing);
      EXPECT_LE(worst_start, 60);
      EXPECT_LE(worst_inside, habits()[s].pauses ? 600 : 1920 + 2880);
      EXPECT_LE(missing, habits()[s].pauses ? 0 : static_cast<std::size_t>(seconds / 50) + 1);
    } else {
      Heard heard(path);
      const Found found = compare(items, heard, exact);
      lengths.insert(heard.length());
      std::printf(
          "  %-22s %5zu pieces, off by at most %lld, correlation %.4f, %zu not to the bit\n",
          habits()[s].name, found.segments, static_cast<long long>(found.worst),
          found.least_correlation, found.different);
      EXPECT_GT(found.segments, 0u);
      EXPECT_LE(found.worst, 1);
      EXPECT_GT(found.least_correlation, exact ? 0.999 : shape.loss ? 0.7 : 0.95);
      EXPECT_EQ(found.different, 0u);
      EXPECT_EQ(found.noisy, 0u) << "a pause is silent";
    }
  }
  EXPECT_EQ(lengths.size(), 1u) << "all tracks are of one length";
  std::printf("  off the truth by at most %lld samples; tracks of %lld samples\n",
              static_cast<long long>(worst_truth),
              static_cast<long long>(lengths.empty() ? 0 : *lengths.begin()));
}

}  // namespace
