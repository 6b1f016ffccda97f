// What a recording costs: CPU for each packet where Opus passes through, the time from the stop to
// finished files, what is written for each byte of a file, an hour in which nobody speaks. Not a
// test: docs/numbers.md has what it printed.
//
// Arguments choose parts (passthrough, stop, silence), formats, and of passthrough what it is about
// (floor, flood, real-time). Without any, everything.
#include "corpus.hpp"
#include "discord/gstptr.hpp"
#include "limit.hpp"

#include <gst/gst.h>
#include <sys/resource.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace discord;
namespace fs = std::filesystem;

constexpr auto mode = transport::Mode::aead_aes256_gcm_rtpsize;
constexpr GstClockTime frame = 20 * GST_MSECOND;

double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}
struct Usage {
  double cpu = 0;
  double user = 0;
  double naps = 0;
};
Usage usage() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return {seconds_of(u.ru_utime) + seconds_of(u.ru_stime), seconds_of(u.ru_utime),
          static_cast<double>(u.ru_nvcsw)};
}
double wall() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void wait_until(double due) {
  if (const double now = wall(); now < due) {
    g_usleep(static_cast<gulong>((due - now) * 1e6));
  }
}

// A field of a file in /proc/self, such as VmRSS (kB) or wchar (bytes).
double proc(const char* file, const std::string& field) {
  std::ifstream in(std::string("/proc/self/") + file);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(field + ":", 0) == 0) {
      return std::atof(line.c_str() + field.size() + 1);
    }
  }
  return 0;
}

class Folder {
 public:
  Folder() {
    const GCharPtr made(g_dir_make_tmp("discord-bench-XXXXXX", nullptr));
    path_ = made.get();
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }
  double bytes() const {
    double sum = 0;
    for (const auto& entry : fs::recursive_directory_iterator(path_)) {
      sum += entry.is_regular_file() ? static_cast<double>(entry.file_size()) : 0;
    }
    return sum;
  }

 private:
  fs::path path_;
};

// Elements behind a bare pad, so that no source adds its cost.
class Line {
 public:
  Line(const std::string& elements, const char* caps, bool live) : live_(live) {
    GError* raw = nullptr;
    GstElement* made = gst_parse_bin_from_description(elements.c_str(), FALSE, &raw);
    const GErrorPtr error(raw);
    if (made == nullptr || error) {
      std::fprintf(stderr, "%s\n", error ? error->message : "no elements");
      std::exit(1);
    }
    pipeline_.reset(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr))));
    gst_bin_add(GST_BIN(pipeline_.get()), made);
    record_.reset(gst_bin_get_by_name(GST_BIN(made), "record"));
    bus_.reset(gst_element_get_bus(pipeline_.get()));
    pad_.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("in", GST_PAD_SRC))));
    gst_pad_set_element_private(pad_.get(), this);
    gst_pad_set_query_function(pad_.get(), query);
    // Not a ghost pad: the search for one finds the recorder's idle encoder.
    const ObjectPtr<GstElement> first(gst_bin_get_by_name(GST_BIN(made), "first"));
    const ObjectPtr<GstPad> sink(
        first ? gst_element_get_compatible_pad(first.get(), pad_.get(), nullptr)
              : gst_element_get_static_pad(record_.get(), "sink"));
    gst_pad_link_full(pad_.get(), sink.get(), GST_PAD_LINK_CHECK_NOTHING);
    gst_pad_set_active(pad_.get(), TRUE);
    gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
    gst_pad_push_event(pad_.get(), gst_event_new_stream_start("bench"));
    const CapsPtr c(gst_caps_from_string(caps));
    gst_pad_push_event(pad_.get(), gst_event_new_caps(c.get()));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(pad_.get(), gst_event_new_segment(&segment));
  }
  ~Line() { gst_element_set_state(pipeline_.get(), GST_STATE_NULL); }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void push(GstBuffer* buffer) { check(gst_pad_push(pad_.get(), buffer)); }
  void push(GstBufferList* list) { check(gst_pad_push_list(pad_.get(), list)); }
  void push(GstEvent* event) { gst_pad_push_event(pad_.get(), event); }
  // Until every file is complete.
  void finish() {
    push(gst_event_new_eos());
    const MessagePtr m(gst_bus_timed_pop_filtered(
        bus_.get(), GST_CLOCK_TIME_NONE,
        static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
    if (GST_MESSAGE_TYPE(m.get()) == GST_MESSAGE_ERROR) {
      std::fputs("the recorder broke\n", stderr);
      std::exit(1);
    }
  }
  struct Written {
    std::size_t files = 0;  // that have something in them
    guint64 dropped = 0;
    guint64 bytes = 0;
  };
  Written written() const {
    GstStructure* raw = nullptr;
    g_object_get(record_.get(), "stats", &raw, nullptr);
    const StructurePtr stats(raw);
    const GValue* files = gst_structure_get_value(stats.get(), "files");
    Written out;
    for (guint i = 0; files != nullptr && i < gst_value_array_get_size(files); i++) {
      const auto* one =
          static_cast<const GstStructure*>(g_value_get_boxed(gst_value_array_get_value(files, i)));
      guint64 value = 0;
      gst_structure_get_uint64(one, "num-dropped", &value);
      out.dropped += value;
      gst_structure_get_uint64(one, "bytes", &value);
      out.bytes += value;
      out.files += value > 0 ? 1 : 0;
    }
    return out;
  }
  void wait_for_files(std::size_t number) const {
    while (written().files < number) {
      g_usleep(100000);
    }
  }
  // Until nothing is on its way to a file any more.
  void settle() const {
    guint64 before = ~guint64{0};
    for (guint64 now = written().bytes; now != before;) {
      g_usleep(300000);
      before = std::exchange(now, written().bytes);
    }
  }

 private:
  static void check(GstFlowReturn flow) {
    if (flow != GST_FLOW_OK) {
      std::fprintf(stderr, "refused: %s\n", gst_flow_get_name(flow));
      std::exit(1);
    }
  }
  static gboolean query(GstPad* pad, GstObject* parent, GstQuery* query) {
    auto* self = static_cast<Line*>(gst_pad_get_element_private(pad));
    if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
      gst_query_set_latency(query, gboolean{self->live_}, 0, GST_CLOCK_TIME_NONE);
      return TRUE;
    }
    return gst_pad_query_default(pad, parent, query);
  }

  bool live_;
  ObjectPtr<GstElement> pipeline_;
  ObjectPtr<GstElement> record_;
  ObjectPtr<GstBus> bus_;
  ObjectPtr<GstPad> pad_;
};

// --- Opus passes through ---

BufferListPtr list_of(const std::vector<corpus::Datagram>& all, std::size_t from, std::size_t to) {
  GstBufferList* list = gst_buffer_list_new_sized(static_cast<guint>(to - from));
  for (std::size_t i = from; i < to; ++i) {
    GstBuffer* buffer = gst_buffer_new_memdup(all[i].bytes.data(), all[i].bytes.size());
    GST_BUFFER_PTS(buffer) = GST_BUFFER_DTS(buffer) =
        static_cast<GstClockTime>(to_ns(all[i].arrival));
    gst_buffer_list_add(list, buffer);
  }
  return BufferListPtr(list);
}

// Ten milliseconds of arrivals at a time, as a source that sleeps in poll(2) hands them on.
std::vector<BufferListPtr> lists_of(const std::vector<corpus::Datagram>& all,
                                    std::size_t speakers) {
  const std::size_t each = std::max<std::size_t>(1, speakers / 2);
  std::vector<BufferListPtr> lists;
  for (std::size_t i = 0; i < all.size(); i += each) {
    lists.push_back(list_of(all, i, std::min(i + each, all.size())));
  }
  return lists;
}

void delay(GstBufferList* list, double seconds) {
  gst_buffer_list_foreach(
      list,
      [](GstBuffer** buffer, guint, gpointer by) -> gboolean {
        GST_BUFFER_PTS(*buffer) += *static_cast<GstClockTime*>(by);
        GST_BUFFER_DTS(*buffer) = GST_BUFFER_PTS(*buffer);
        return TRUE;
      },
      std::make_unique<GstClockTime>(static_cast<GstClockTime>(seconds * 1e9)).get());
}

// In real time, so that every packet wakes whom it must wake; behind a file queues fill and threads
// run through.
void pass_through(const std::vector<corpus::Talk>& talks, std::size_t speakers, std::size_t seconds,
                  bool live) {
  const std::size_t packets = 50 * seconds;
  const auto datagrams = corpus::call(talks, speakers, packets, mode, corpus::some_key());
  const Folder folder;
  Line line("discorddecrypt name=first mode=aead_aes256_gcm_rtpsize max-speakers=4096 secret-key=" +
                std::string("0707070707070707070707070707070707070707070707070707070707") +
                "070707 ! discordreorder max-speakers=4096 ! discordrecordsink name=record "
                "flat=true demux::max-speakers=4096 format=ogg location=" +
                folder.path().string(),
            "application/x-discord-rtp", live);
  // The first second makes the files and is not counted.
  std::vector<BufferListPtr> lists = lists_of(datagrams, speakers);
  Usage before;
  double wrote = 0;
  std::size_t counted = 0;
  double start = wall();
  for (std::size_t i = 0; i < lists.size(); ++i) {
    if (i == 100) {
      line.wait_for_files(speakers);
      if (live) {
        // Making files took its time, and packets do not come from the past.
        const double late = wall() - start - 1;
        start += late;
        for (std::size_t k = i; k < lists.size(); ++k) {
          delay(lists[k].get(), late);
        }
      } else {
        line.settle();
      }
      before = usage();
      wrote = proc("io", "wchar");
    }
    if (live) {
      wait_until(start + static_cast<double>(i) * 0.01);
    }
    counted += i >= 100 ? gst_buffer_list_length(lists[i].get()) : 0;
    line.push(lists[i].release());
  }
  const guint64 dropped = line.written().dropped;
  if (!live) {
    line.settle();
  }
  const Usage after = usage();
  const double bytes = proc("io", "wchar") - wrote;
  const auto n = static_cast<double>(counted);
  const double us = (after.cpu - before.cpu) / n * 1e6;
  std::printf("| %zu | %s | %zu | %.2f | %.2f | %.2f | %.0f | %.0f | %llu |\n", speakers,
              live ? "real time" : "flood", counted, us, (after.user - before.user) / n * 1e6,
              (after.naps - before.naps) / n, 1e6 / us / 50, bytes / n,
              static_cast<unsigned long long>(dropped));
  std::fflush(stdout);
  line.finish();
}

// The floor: the same packets opened by libcrypto, and stock elements behind bare pads, all from
// one thread and without a queue. What is left out of the recorder's way is a row of its own.
enum class Floor { open, mux, file };
void floor_of(const std::vector<corpus::Talk>& talks, std::size_t speakers, std::size_t seconds,
              Floor what, bool live) {
  const auto datagrams = corpus::call(talks, speakers, 50 * seconds, mode, corpus::some_key());
  const Folder folder;
  const ObjectPtr<GstElement> pipeline(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr))));
  const CapsPtr caps(gst_caps_from_string(
      "audio/x-opus, channel-mapping-family=0, channels=2, rate=48000, streamheader=(buffer)"
      "<4f707573486561640102000080bb0000000000, 4f707573546167730000000000000000>"));
  struct Track {
    ObjectPtr<GstPad> pad;
    GstClockTime next = 0;
  };
  std::map<std::uint32_t, Track> tracks;
  for (std::size_t s = 0; s < speakers && what != Floor::open; s++) {
    const std::string to =
        what == Floor::mux ? std::string("fakesink sync=false async=false")
                           : "filesink sync=false async=false buffer-mode=unbuffered location=" +
                                 (folder.path() / (std::to_string(s) + ".ogg")).string();
    GstElement* line = gst_parse_bin_from_description(
        ("oggmux name=mux max-delay=30000000 max-page-delay=30000000 ! " + to).c_str(), FALSE,
        nullptr);
    gst_bin_add(GST_BIN(pipeline.get()), line);
    const ObjectPtr<GstElement> mux(gst_bin_get_by_name(GST_BIN(line), "mux"));
    const ObjectPtr<GstPad> in(gst_element_request_pad_simple(mux.get(), "audio_%u"));
    Track& track = tracks[datagrams[s].ssrc];
    track.pad.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("out", GST_PAD_SRC))));
    gst_pad_link_full(track.pad.get(), in.get(), GST_PAD_LINK_CHECK_NOTHING);
    gst_pad_set_active(track.pad.get(), TRUE);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  for (auto& [ssrc, track] : tracks) {
    gst_pad_push_event(track.pad.get(), gst_event_new_stream_start("bench"));
    gst_pad_push_event(track.pad.get(), gst_event_new_caps(caps.get()));
    gst_pad_push_event(track.pad.get(), gst_event_new_segment(&segment));
  }
  bench::BareOpener opener(mode);
  std::array<std::uint8_t, 2048> opus;
  Usage before;
  const std::size_t skipped = 50 * speakers;
  const std::size_t each = std::max<std::size_t>(1, speakers / 2);
  const double start = wall();
  for (std::size_t i = 0; i < datagrams.size(); i++) {
    if (live && i % each == 0) {
      wait_until(start + static_cast<double>(i / each) * 0.01);
    }
    if (i == skipped) {
      before = usage();
    }
    const std::size_t size = opener.open(datagrams[i].bytes, opus.data());
    if (what == Floor::open) {
      continue;
    }
    Track& track = tracks[datagrams[i].ssrc];
    GstBuffer* buffer = gst_buffer_new_memdup(opus.data(), size);
    GST_BUFFER_PTS(buffer) = track.next;
    GST_BUFFER_DURATION(buffer) = frame;
    track.next += frame;
    if (gst_pad_push(track.pad.get(), buffer) != GST_FLOW_OK) {
      std::fputs("the floor broke\n", stderr);
      std::exit(1);
    }
  }
  const Usage after = usage();
  const auto n = static_cast<double>(datagrams.size() - skipped);
  const double us = (after.cpu - before.cpu) / n * 1e6;
  constexpr const char* names[] = {"libcrypto", "+ oggmux", "+ filesink"};
  std::printf("| %zu | floor%s: %s | %.0f | %.2f | %.2f | %.2f | %.0f | | |\n", speakers,
              live ? " in real time" : "", names[static_cast<int>(what)], n, us,
              (after.user - before.user) / n * 1e6, (after.naps - before.naps) / n, 1e6 / us / 50);
  std::fflush(stdout);
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}

// What the elements in front of the recorder cost.
void in_front(const std::vector<corpus::Talk>& talks, std::size_t speakers, std::size_t seconds,
              const char* elements, bool live) {
  const auto datagrams = corpus::call(talks, speakers, 50 * seconds, mode, corpus::some_key());
  Line line("discorddecrypt name=first mode=aead_aes256_gcm_rtpsize max-speakers=4096 secret-key=" +
                std::string("0707070707070707070707070707070707070707070707070707070707") +
                "070707 ! " + elements + "fakesink name=record sync=false async=false",
            "application/x-discord-rtp", live);
  std::vector<BufferListPtr> lists = lists_of(datagrams, speakers);
  Usage before;
  std::size_t counted = 0;
  const double start = wall();
  for (std::size_t i = 0; i < lists.size(); i++) {
    if (live) {
      wait_until(start + static_cast<double>(i) * 0.01);
    }
    if (i == 100) {
      before = usage();
    }
    counted += i >= 100 ? gst_buffer_list_length(lists[i].get()) : 0;
    line.push(lists[i].release());
  }
  const Usage after = usage();
  const auto n = static_cast<double>(counted);
  std::printf("| %zu | discorddecrypt ! %sfakesink%s | %.0f | %.2f | %.2f | %.2f | | | |\n",
              speakers, elements, live ? ", in real time" : "", n,
              (after.cpu - before.cpu) / n * 1e6, (after.user - before.user) / n * 1e6,
              (after.naps - before.naps) / n);
  std::fflush(stdout);
}

// --- from the stop to finished files ---

BufferPtr rtp(std::uint32_t ssrc, std::size_t number, ByteSpan opus) {
  Bytes packet = {0x80, 120};
  const auto sequence = static_cast<std::uint16_t>(number);
  const auto stamp = static_cast<std::uint32_t>(number * 960);
  for (const std::uint32_t value : {std::uint32_t{sequence}, stamp, ssrc}) {
    for (int shift = value == sequence && packet.size() == 2 ? 8 : 24; shift >= 0; shift -= 8) {
      packet.push_back(static_cast<std::uint8_t>(value >> shift));
    }
  }
  packet.insert(packet.end(), opus.begin(), opus.end());
  BufferPtr buffer(gst_buffer_new_memdup(packet.data(), packet.size()));
  GST_BUFFER_PTS(buffer.get()) = number * frame;
  GST_BUFFER_DURATION(buffer.get()) = frame;
  return buffer;
}

// People who take turns, ten seconds each.
void stop(const std::vector<corpus::Talk>& talks, const char* format, std::size_t people,
          std::size_t minutes) {
  const Folder folder;
  Line line("discordrecordsink name=record flat=true location=" + folder.path().string() +
                " format=" + format,
            "application/x-rtp, media=audio, encoding-name=OPUS, clock-rate=48000, payload=120",
            false);
  const double wrote = proc("io", "wchar");
  for (std::size_t i = 0; i < minutes * 3000; ++i) {
    const std::size_t who = i / 500 % people;
    line.push(rtp(100 + static_cast<std::uint32_t>(who), i,
                  talks[who % talks.size()][i % talks[0].size()])
                  .release());
  }
  line.settle();
  const double rss = proc("status", "VmRSS");
  const double began = wall();
  line.finish();
  const double took = wall() - began;
  const double more = proc("status", "VmRSS") - rss;
  const double bytes = folder.bytes();
  std::printf("| %s | %zu | %zu | %.1f | %.1f | %.2f | %.0f | %.1f |\n", format, people, minutes,
              took * 1e3, bytes / 1e6, (proc("io", "wchar") - wrote) / bytes, bytes / took / 1e6,
              more / 1024);
  std::fflush(stdout);
}

// --- an hour in which nobody speaks ---

void silence(const char* format) {
  const Folder folder;
  Line line("discordrecordsink name=record flat=true location=" + folder.path().string() +
                " format=" + format,
            "application/x-rtp, media=audio, encoding-name=OPUS, clock-rate=48000, payload=120",
            false);
  const Bytes quiet = {0xf8, 0xff, 0xfe};
  for (std::uint32_t s = 0; s < 10; ++s) {
    line.push(rtp(100 + s, 0, quiet).release());
  }
  line.settle();
  const double rss = proc("status", "VmRSS");
  double most = rss;
  double burst = 0;
  double bytes = static_cast<double>(line.written().bytes);
  const double first = bytes;
  const Usage before = usage();
  constexpr std::size_t seconds = 3600;
  for (std::size_t i = 1; i <= seconds; ++i) {
    // What the demux makes of the clock, at most a thousand times as fast.
    line.push(gst_event_new_gap(0, i * GST_SECOND));
    g_usleep(1000);
    if (i % 10 == 0) {
      most = std::max(most, proc("status", "VmRSS"));
      const auto now = static_cast<double>(line.written().bytes);
      burst = std::max(burst, now - bytes);
      bytes = now;
    }
  }
  line.settle();
  most = std::max(most, proc("status", "VmRSS"));
  bytes = static_cast<double>(line.written().bytes) - first;
  const Usage after = usage();
  std::printf("| %s | %.1f | %.1f | %.2f | %.2f |\n", format, (most - rss) / 1024, bytes / 1e6,
              burst / std::max(bytes / (seconds / 10), 1.0), after.cpu - before.cpu);
  std::fflush(stdout);
  line.finish();
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;  // 3000 speakers have 3000 files
  setrlimit(RLIMIT_NOFILE, &files);
  const auto wants = [&](const char* what) {
    return argc < 2 || std::any_of(argv + 1, argv + argc,
                                   [&](const char* a) { return std::strcmp(a, what) == 0; });
  };
  constexpr const char* formats[] = {"wav", "flac", "mp3", "ogg", "mka"};
  const bool named = argc >= 2 && std::any_of(std::begin(formats), std::end(formats), wants);
  const auto chosen = [&](const char* format) { return !named || wants(format); };
  constexpr const char* paces[] = {"floor", "flood", "real-time"};
  const bool some = argc >= 2 && std::any_of(std::begin(paces), std::end(paces), wants);
  const auto paced = [&](const char* pace) { return !some || wants(pace); };
  const auto talks = corpus::speech(8, 750);
  if (!talks) {
    std::fprintf(stderr, "%s\n", talks.error().c_str());
    return 1;
  }
  if (wants("passthrough")) {
    std::puts(
        "\n## Opus passes through: discorddecrypt ! discordreorder ! discordrecordsink "
        "format=ogg\n\n"
        "| speakers | pace | packets | µs CPU a packet | of it in user space | sleeps a packet | "
        "speakers a core | bytes written a packet | dropped "
        "|\n|---|---|---|---|---|---|---|---|---|");
    for (const std::size_t speakers : {20, 250, 3000}) {
      const std::size_t seconds = speakers > 1000 ? 5 : 10;
      if (paced("floor")) {
        for (const Floor floor : {Floor::open, Floor::mux, Floor::file}) {
          floor_of(*talks, speakers, seconds, floor, false);
        }
        floor_of(*talks, speakers, seconds, Floor::file, true);
        in_front(*talks, speakers, seconds, "", false);
        in_front(*talks, speakers, seconds, "discordreorder max-speakers=4096 ! ", false);
        in_front(*talks, speakers, seconds, "discordreorder max-speakers=4096 ! ", true);
      }
      if (paced("flood")) {
        pass_through(*talks, speakers, seconds, false);
      }
      if (paced("real-time")) {
        pass_through(*talks, speakers, seconds, true);
      }
    }
  }
  if (wants("stop")) {
    std::puts(
        "\n## From the stop to finished files\n\n"
        "| format | speakers | minutes | ms | MB | bytes written / bytes of the files | MB/s | "
        "MiB more |\n|---|---|---|---|---|---|---|---|");
    for (const char* format : formats) {
      for (const std::size_t minutes : {1, 10, 60}) {
        if (chosen(format)) {
          stop(*talks, format, 2, minutes);
        }
      }
    }
    for (const std::size_t people : {20, 100}) {
      if (chosen("mka")) {
        stop(*talks, "mka", people, 10);
      }
    }
  }
  if (wants("silence")) {
    std::puts(
        "\n## An hour in which nobody speaks, ten speakers\n\n"
        "| format | MiB more | MB written | most in ten seconds / mean | s CPU |\n"
        "|---|---|---|---|---|");
    for (const char* format : {"wav", "flac", "mp3", "ogg"}) {
      if (chosen(format)) {
        silence(format);
      }
    }
  }
  return 0;
}
