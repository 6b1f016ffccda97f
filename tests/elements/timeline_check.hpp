// Holds a recording of a synthetic call against what entered the recorder and when it was spoken.
#pragma once

#include "rig.hpp"
#include "synthetic_call.hpp"
#include "track_reader.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"
#include "record/opustrack.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace discord::test {

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
inline void decode(const Items& items, bool stock, std::vector<std::unique_ptr<FileCheck>>& files) {
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
inline Placed place(const Items& items, const PacketTrack& track, bool may_be_ahead) {
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
inline Summed add_up(const std::vector<std::string>& tracks, const std::string& mix) {
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

}  // namespace discord::test
