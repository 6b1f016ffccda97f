#include "examine.hpp"

#include "correlate.hpp"

#include "media/opus_packet.hpp"
#include "media/timeline.hpp"

#include <gst/app/gstappsink.h>
#include <opus/opus.h>
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

namespace discord::e2e {

namespace {

using loopback::FrameRecord;
using loopback::Packet;
using loopback::SpeakerTruth;

constexpr std::int64_t search = 2000;      // samples to either side
constexpr std::int64_t mp3_search = 5000;  // encoders delay by up to two granules more

template <class... Ts> std::string text(const Ts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::int64_t samples_between(std::int64_t from_ns, std::int64_t to_ns) {
  return media::samples_from_duration(Duration(to_ns - from_ns));
}

// What the packets of one speaker sound like. A decoder lives as long as its track.
class Decoder {
 public:
  Decoder() : decoder_(opus_decoder_create(48000, 2, nullptr), opus_decoder_destroy) {}

  void decode(const FrameRecord& record, std::vector<std::int16_t>& out) {
    append(record.opus.data(), static_cast<opus_int32>(record.opus.size()), record.ticks, out);
  }
  void conceal(int ticks, std::vector<std::int16_t>& out) { append(nullptr, 0, ticks, out); }

 private:
  void append(const unsigned char* data, opus_int32 size, int ticks,
              std::vector<std::int16_t>& out) {
    const std::size_t before = out.size();
    const auto samples = static_cast<std::size_t>(ticks) * 2;
    out.resize(before + samples);
    if (opus_decode(decoder_.get(), data, size, out.data() + before, ticks, 0) != ticks) {
      std::fill(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), std::int16_t{0});
    }
  }

  std::unique_ptr<OpusDecoder, void (*)(OpusDecoder*)> decoder_;
};

using Key = std::pair<std::uint32_t, std::uint16_t>;
using PassedPackets = std::map<Key, Passed>;

// A spurt from the first packet that reached the recorder to the last one.
struct Expected {
  std::size_t number = 0;
  std::vector<const FrameRecord*> records;
  std::size_t lost = 0;
  std::int64_t arrived_ns = 0;  // of its first packet, by that which came first
  std::int64_t early = 0;
  std::int64_t sending = 0;  // how long it took to leave: all that is not known of its arrival
  std::int64_t moved = 0;    // samples by which the timeline's steps changed its length
  std::int64_t jitter = 0;   // of its packets as they were sent: all that can explain such steps
  std::int64_t begin = 0;    // the timeline's
  std::int64_t end = 0;
  std::vector<std::int16_t> concealed;
  std::vector<std::int16_t> loss_free;
};

// The same as the recorder does: up to 120 ms of a gap are concealed, the rest is silence.
void decode_gap(Decoder& decoder, const std::vector<const FrameRecord*>& gap,
                std::vector<std::int16_t>& out) {
  int left = static_cast<int>(media::opus_max_duration);
  for (const FrameRecord* r : gap) {
    const int ticks = std::min(left, r->ticks);
    if (ticks > 0) {
      decoder.conceal(ticks, out);
    }
    out.resize(out.size() + static_cast<std::size_t>(r->ticks - ticks) * 2);
    left -= ticks;
  }
}

// Puts the frame that `decode` appends where the timeline put it: up to there it is silent, and
// what lies before the end of the frame in front is cut. Answers by how much that differs from the
// end.
template <class F>
std::int64_t place_frame(std::vector<std::int16_t>& out, std::int64_t at, const F& decode) {
  const auto end = static_cast<std::int64_t>(out.size() / 2);
  out.resize(static_cast<std::size_t>(std::max(at, end)) * 2);
  const std::size_t before = out.size();
  decode(out);
  const auto cut = std::min(static_cast<std::size_t>(std::max<std::int64_t>(end - at, 0)) * 2,
                            out.size() - before);
  const auto front = out.begin() + static_cast<std::ptrdiff_t>(before);
  out.erase(front, front + static_cast<std::ptrdiff_t>(cut));
  return at > end ? at - end : end - at;
}

std::vector<Expected> expect(const SpeakerTruth& truth, const PassedPackets& passed,
                             bool decoder_per_connection) {
  std::vector<Expected> out;
  Decoder concealing;
  Decoder undisturbed;
  std::vector<const FrameRecord*> gap;
  for (const FrameRecord& r : truth.records) {
    if (r.kind == Packet::Kind::padding) {
      continue;
    }
    const FrameRecord* before = out.empty() ? nullptr : out.back().records.back();
    const bool connected_anew =
        before != nullptr && (before->ssrc != r.ssrc || before->clients != r.clients);
    const bool new_spurt = before == nullptr || out.back().number != r.spurt || connected_anew;
    const auto place = passed.find({r.ssrc, r.sequence});
    if (place == passed.end()) {
      gap.push_back(&r);
      continue;
    }
    if (new_spurt) {
      // What is lost between spurts is concealed where nobody compares, but the decoder remembers.
      std::vector<std::int16_t> unheard;
      if (!out.empty() && !connected_anew) {  // what a new connection missed is a pause
        decode_gap(concealing, gap, unheard);
      }
      for (const FrameRecord* missing : gap) {
        undisturbed.decode(*missing, unheard);
      }
      gap.clear();
      if (connected_anew && decoder_per_connection) {
        concealing = Decoder();
        undisturbed = Decoder();
      }
      out.emplace_back();
      out.back().number = r.spurt;
      out.back().begin = place->second.begin;
    }
    Expected& spurt = out.back();
    decode_gap(concealing, gap, spurt.concealed);
    for (const FrameRecord* missing : gap) {
      undisturbed.decode(*missing, spurt.loss_free);
    }
    const std::int64_t at = place->second.begin - spurt.begin;
    spurt.moved += place_frame(spurt.concealed, at, [&](auto& pcm) { concealing.decode(r, pcm); });
    place_frame(spurt.loss_free, at, [&](auto& pcm) { undisturbed.decode(r, pcm); });
    spurt.lost += gap.size();
    spurt.records.insert(spurt.records.end(), gap.begin(), gap.end());
    spurt.records.push_back(&r);
    spurt.end = place->second.begin + place->second.samples;
    gap.clear();
  }
  for (Expected& spurt : out) {
    const FrameRecord& first = *spurt.records.front();
    const FrameRecord* quickest = &first;
    std::int64_t least_late = first.sent_ns - first.due_ns;
    std::int64_t most_late = least_late;
    for (const FrameRecord* r : spurt.records) {
      if (r->delivered()) {
        quickest = r->sent_ns < quickest->sent_ns ? r : quickest;
        least_late = std::min(least_late, r->sent_ns - r->due_ns);
        most_late = std::max(most_late, r->sent_ns - r->due_ns);
      }
    }
    spurt.jitter = samples_between(least_late, most_late);
    spurt.sending = samples_between(quickest->sent_ns, quickest->left_ns);
    spurt.arrived_ns = quickest->sent_ns - (quickest->due_ns - first.due_ns);
    spurt.early = std::max<std::int64_t>(0, samples_between(first.due_ns, spurt.arrived_ns));
  }
  return out;
}

// The first sample in [begin, end) that is not silent although nothing was to be heard there, or
// -1. `sounds` are the announced losses, which a decoder fills with what it likes.
std::int64_t first_noise(const Track& track, std::int64_t begin, std::int64_t end,
                         const std::vector<std::pair<std::int64_t, std::int64_t>>& sounds) {
  for (std::int64_t i = begin; i < end; i++) {
    const auto at = static_cast<std::size_t>(i) * 2;
    if ((track.samples[at] != 0 || track.samples[at + 1] != 0) &&
        std::none_of(sounds.begin(), sounds.end(),
                     [i](const auto& s) { return i >= s.first && i <= s.second; })) {
      return i;
    }
  }
  return -1;
}

class Examination {
 public:
  Examination(const Outcome& outcome, const Bounds& bounds) : outcome_(outcome), bounds_(bounds) {
    for (const Passed& p : outcome.passed) {
      if (!p.lost && !passed_.try_emplace({p.ssrc, p.sequence}, p).second) {
        problem("packet ", p.sequence, " of SSRC ", p.ssrc, " reached the recorder twice");
      }
    }
  }

  Verdict run() {
    if (!outcome_.problem.empty()) {
      problem(outcome_.problem);
      return verdict_;
    }
    check_origin();
    std::set<std::string> used;
    for (const SpeakerTruth& truth : outcome_.truth) {
      speaker(truth, used);
    }
    for (const std::string& path : outcome_.on_disk) {
      if (!used.contains(path)) {
        problem("a file that belongs to nobody: ", path);
      }
    }
    return verdict_;
  }

 private:
  template <class... Ts> void problem(const Ts&... parts) {
    verdict_.problems.push_back(text(parts...));
  }

  // Nothing may reach the recorder that no speaker sent.
  void check_origin() {
    std::set<Key> sent;
    for (const SpeakerTruth& truth : outcome_.truth) {
      for (const FrameRecord& r : truth.records) {
        if (r.delivered() && r.kind != Packet::Kind::padding) {
          sent.emplace(r.ssrc, r.sequence);
        }
      }
    }
    for (const auto& [key, packet] : passed_) {
      if (!sent.contains(key)) {
        problem("packet ", key.second, " of SSRC ", key.first, " was sent by nobody");
      }
    }
  }

  void speaker(const SpeakerTruth& truth, std::set<std::string>& used) {
    for (const FrameRecord& r : truth.records) {
      verdict_.missing += r.kind != Packet::Kind::padding && r.delivered() &&
                          !passed_.contains({r.ssrc, r.sequence});
    }
    std::vector<Expected> spurts = expect(truth, passed_, bounds_.decoded);
    const auto mine = [&](const RecordedFile& f) { return f.user_id == truth.user_id; };
    const auto files = std::count_if(outcome_.files.begin(), outcome_.files.end(), mine);
    if (files != (spurts.empty() ? 0 : 1)) {
      problem(truth.name, " has ", files, " files");
      return;
    }
    if (spurts.empty()) {
      return;
    }
    const RecordedFile& file = *std::find_if(outcome_.files.begin(), outcome_.files.end(), mine);
    used.insert(file.path);
    const Track track = read_track(file.path);
    check_length(truth, file, track);
    if (!bounds_.places) {
      return;
    }
    std::int64_t measured_end = 0;
    std::int64_t timeline_end = 0;
    for (std::size_t i = 0; i < spurts.size(); i++) {
      const Expected& spurt = spurts[i];
      const std::int64_t begin = find_spurt(truth, spurt, track);
      if (bounds_.lossy) {
        continue;
      }
      if (i > 0) {
        const std::int64_t silence = begin - measured_end;
        const std::int64_t wanted = spurt.begin - timeline_end;
        if (silence < wanted - 1 || silence > wanted + 1) {
          problem(truth.name, " spurt ", spurt.number, ": ", silence, " samples of silence before",
                  " it, the timeline says ", wanted);
        }
      }
      check_silence(truth, spurt, track, measured_end + (i > 0 ? 1 : 0), begin - 1,
                    begin - spurt.begin);
      measured_end = begin + (spurt.end - spurt.begin);
      timeline_end = spurt.end;
    }
    if (!bounds_.lossy) {
      check_silence(truth, spurts.back(), track, measured_end + 1,
                    static_cast<std::int64_t>(track.frames()), measured_end - timeline_end);
    }
  }

  void check_length(const SpeakerTruth& truth, const RecordedFile& file, const Track& track) {
    if (verdict_.frames == 0) {
      verdict_.frames = track.frames();
    }
    if (track.frames() == 0 || track.frames() != verdict_.frames) {
      problem("the track of ", truth.name, " has ", track.frames(), " samples, another one ",
              verdict_.frames);
    }
    const std::int64_t told = samples_between(0, static_cast<std::int64_t>(file.duration));
    const std::int64_t more = static_cast<std::int64_t>(track.frames()) - told;
    if (more < 0 || more > (bounds_.lossy ? mp3_search : 0)) {
      problem("discord-file tells of ", told, " samples of ", truth.name, ", the file has ",
              track.frames());
    }
  }

  // Where the spurt begins in the track.
  std::int64_t find_spurt(const SpeakerTruth& truth, const Expected& spurt, const Track& track) {
    FoundSpurt found;
    found.speaker = truth.name;
    found.number = spurt.number;
    found.packets = spurt.records.size();
    found.lost = spurt.lost;
    found.early = spurt.early;
    found.moved = spurt.moved;
    const std::int64_t expected = samples_between(outcome_.zero_ns, spurt.arrived_ns);
    // An encoder's delay apart, the timeline knows where it is; whether that is right comes below.
    const std::int64_t from = bounds_.lossy ? expected - spurt.early : spurt.begin;
    const std::int64_t to = bounds_.lossy ? expected + mp3_search : spurt.begin + search;
    // A connection may have brought no more of a spurt than the silence at its end.
    const bool audible = std::any_of(spurt.concealed.begin(), spurt.concealed.end(),
                                     [](std::int16_t sample) { return sample != 0; });
    const Match match =
        audible ? find(spurt.concealed, track.samples, from - search, to)
                : Match{spurt.begin + zero_shift_, 1};
    zero_shift_ = match.at - spurt.begin;
    found.lag = match.at - expected;
    found.correlation = match.correlation;
    found.loss_free = correlation_at(spurt.loss_free, track.samples, match.at);
    if (bounds_.lossy) {
      if (!delay_) {
        delay_ = found.lag;
      }
      found.lag -= *delay_;
    }
    const std::int64_t late = bounds_.server_may_be_late ? spurt.jitter + spurt.sending : 0;
    if (found.lag > bounds_.lag + late || found.lag < -bounds_.lag - found.early) {
      problem(truth.name, " spurt ", spurt.number, " lags by ", found.lag, " samples");
    }
    if (spurt.moved > spurt.jitter + 2 * media::Timeline::step) {
      problem(truth.name, " spurt ", spurt.number, " was changed by ", spurt.moved,
              " samples, its packets came with a jitter of ", spurt.jitter);
    }
    if (!(found.correlation >= bounds_.correlation)) {
      problem(truth.name, " spurt ", spurt.number, " has a correlation of ", found.correlation);
    }
    verdict_.spurts.push_back(found);
    return match.at;
  }

  void check_silence(const SpeakerTruth& truth, const Expected& next, const Track& track,
                     std::int64_t begin, std::int64_t end, std::int64_t offset) {
    std::vector<std::pair<std::int64_t, std::int64_t>> sounds;
    for (const Passed& p : outcome_.passed) {
      if (p.lost && p.ssrc == next.records.front()->ssrc) {
        sounds.emplace_back(p.begin + offset, p.begin + offset + p.samples);
      }
    }
    begin = std::max<std::int64_t>(begin, 0);
    end = std::min(end, static_cast<std::int64_t>(track.frames()));
    if (const std::int64_t at = first_noise(track, begin, end, sounds); at >= 0) {
      problem(truth.name, ": sound at sample ", at, " in the silence from ", begin, " to ", end,
              " beside spurt ", next.number);
    }
  }

  const Outcome& outcome_;
  const Bounds& bounds_;
  PassedPackets passed_;
  Verdict verdict_;
  std::optional<std::int64_t> delay_;
  // Between the zero of the timeline and that of the files: the same for all, and known once
  // something was heard.
  std::int64_t zero_shift_ = 0;
};

}  // namespace

Track read_track(const std::string& path) {
  Track track;
  const ObjectPtr<GstElement> pipeline(GST_ELEMENT(gst_object_ref_sink(
      gst_parse_launch("filesrc name=file ! decodebin ! audioconvert ! "
                       "audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved ! "
                       "appsink name=out sync=false",
                       nullptr))));
  const ObjectPtr<GstElement> file(gst_bin_get_by_name(GST_BIN(pipeline.get()), "file"));
  const ObjectPtr<GstElement> out(gst_bin_get_by_name(GST_BIN(pipeline.get()), "out"));
  g_object_set(file.get(), "location", path.c_str(), nullptr);
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  while (GstSample* sample =
             gst_app_sink_try_pull_sample(GST_APP_SINK(out.get()), 20 * GST_SECOND)) {
    GstBuffer* buffer = gst_sample_get_buffer(sample);
    const std::size_t before = track.samples.size();
    track.samples.resize(before + gst_buffer_get_size(buffer) / sizeof(std::int16_t));
    gst_buffer_extract(buffer, 0, track.samples.data() + before, gst_buffer_get_size(buffer));
    gst_sample_unref(sample);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return track;
}

Verdict examine(const Outcome& outcome, const Bounds& bounds) {
  return Examination(outcome, bounds).run();
}

void print(const std::string& call, const Verdict& verdict) {
  for (const FoundSpurt& s : verdict.spurts) {
    std::printf(
        "  %s: %-12s spurt %zu  lag %5lld samples  correlation %.4f  (loss-free %.4f)  "
        "lost %zu of %zu packets%s\n",
        call.c_str(), s.speaker.c_str(), s.number, static_cast<long long>(s.lag), s.correlation,
        s.loss_free, s.lost, s.packets,
        s.moved != 0 ? text("  stretched or cut by ", s.moved, " samples").c_str() : "");
  }
}

}  // namespace discord::e2e
