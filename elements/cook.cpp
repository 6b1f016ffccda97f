// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/cook.hpp"

#include "config.h"
#include "discord/gstptr.hpp"
#include "elements/recordname.hpp"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"
#include "record/opustrack.hpp"

#include <fcntl.h>
#include <gst/app/gstappsrc.h>
#include <gst/audio/gstaudiometa.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace discord {

namespace {

// The muxer writes in order of time, so a quiet track must be told that it is quiet. Packets that
// waited for a key come late in the journal, but never by more than hold time and latency together.
constexpr std::int64_t reach = std::int64_t{48000} * 10;
// What a track may hold: what comes within `reach` and a `stride`, in frames of 2.5 ms with 1275
// bytes each (RFC 6716 section 3.2.1), and more. A full track would wait for one that gets its
// silence only later. Bytes alone would let silence take a hundred times the memory.
constexpr std::int64_t stride = std::int64_t{48000} * 10;
constexpr guint64 max_waiting_bytes = 32 << 20;
constexpr guint64 max_waiting = 32768;
constexpr guint batch = 64;               // packets handed to a track's thread at once
constexpr guint write_at_once = 1 << 20;  // bytes; the muxer makes two pieces of each packet
constexpr auto patience = GST_SECOND;

GstClockTime time_of(std::int64_t samples) {
  return static_cast<GstClockTime>(media::duration_from_samples(samples).count());
}

// RFC 7845 section 5.1, family 0. Little-endian; no pre-skip, because the recording does not begin
// where the encoder did.
BufferPtr opus_head() {
  constexpr guint8 head[19] = {'O', 'p', 'u',  's',  'H', 'e', 'a', 'd', 1, 2,
                               0,   0,   0x80, 0xbb, 0,   0,   0,   0,   0};
  BufferPtr buffer(gst_buffer_new_allocate(nullptr, sizeof head, nullptr));
  gst_buffer_fill(buffer.get(), 0, head, sizeof head);
  return buffer;
}

// RFC 7845 section 5.2: a vendor and no comments.
BufferPtr opus_tags() {
  static constexpr char vendor[] = PACKAGE_NAME;
  Bytes bytes = {'O', 'p', 'u', 's', 'T', 'a', 'g', 's', sizeof vendor - 1, 0, 0, 0};
  bytes.insert(bytes.end(), vendor, vendor + sizeof vendor - 1);
  bytes.insert(bytes.end(), 4, 0);
  BufferPtr buffer(gst_buffer_new_allocate(nullptr, bytes.size(), nullptr));
  gst_buffer_fill(buffer.get(), 0, bytes.data(), bytes.size());
  return buffer;
}

CapsPtr opus_caps() {
  CapsPtr caps(gst_caps_new_simple("audio/x-opus", "channel-mapping-family", G_TYPE_INT, 0,
                                   "channels", G_TYPE_INT, 2, "rate", G_TYPE_INT, 48000, nullptr));
  GValue list = G_VALUE_INIT;
  gst_value_array_init(&list, 2);
  for (const BufferPtr& header : {opus_head(), opus_tags()}) {
    GValue value = G_VALUE_INIT;
    g_value_init(&value, GST_TYPE_BUFFER);
    gst_value_set_buffer(&value, header.get());
    gst_value_array_append_and_take_value(&list, &value);
  }
  gst_structure_take_value(gst_caps_get_structure(caps.get(), 0), "streamheader", &list);
  return caps;
}

class Cook {
 public:
  Cook(ByteSpan file, const std::set<std::uint64_t>& only)
      : file_(file),
        only_(only),
        summary_(record::summarise(file)),
        who_(record::identities(file)) {}

  bool recognised() const { return summary_.recognised(); }
  const record::JournalSummary& summary() const { return summary_; }
  std::size_t tracks() const { return tracks_.size(); }
  std::int64_t length() const { return summary_.length; }

  std::optional<std::string> run(int fd, const std::function<void(double)>& progress);

 private:
  struct Track {
    ObjectPtr<GstElement> source;
    record::OpusTrack stream;
    std::int64_t pushed = 0;  // samples
    BufferListPtr waiting;
  };

  static GstBusSyncReply on_message(GstBus* bus, GstMessage* message, gpointer self);
  std::optional<std::string> build(int fd);
  void add_track(const record::JournalSpeakerKey& key, const record::JournalSpeaker& speaker);
  void set_tags();
  void set_chapters();
  void push(Track& track);
  void hand_over(Track& track);
  bool within_reach(std::int64_t sample) const;
  void quiet_until(std::int64_t newest);
  void feed(const std::function<void(double)>& progress);
  std::optional<std::string> wait() const;

  const ByteSpan file_;
  const std::set<std::uint64_t>& only_;
  const record::JournalSummary summary_;
  const record::JournalIdentities who_;
  std::map<record::JournalSpeakerKey, Track> tracks_;
  std::int64_t filled_ = 0;             // every track is filled up to here
  record::OpusTrack::Packets packets_;  // to be pushed
  ObjectPtr<GstElement> pipeline_;
  ObjectPtr<GstElement> mux_;
  bool failed_ = false;
};

void Cook::add_track(const record::JournalSpeakerKey& key, const record::JournalSpeaker& speaker) {
  Track track;
  track.source.reset(GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("appsrc", nullptr))));
  const CapsPtr caps = opus_caps();
  g_object_set(track.source.get(), "caps", caps.get(), "format", GST_FORMAT_TIME, "block", TRUE,
               "max-bytes", max_waiting_bytes, "max-buffers", max_waiting, nullptr);
  gst_bin_add(GST_BIN(pipeline_.get()), track.source.get());
  const std::string title = tag_text(speaker_title(key, speaker.name));
  // matroskamux names the track by its title.
  GstTagList* tags = gst_tag_list_new(GST_TAG_TITLE, title.c_str(), nullptr);
  if (key.user_id != 0) {
    gst_tag_list_add(tags, GST_TAG_MERGE_REPLACE, GST_TAG_COMMENT,
                     ("Discord user " + std::to_string(key.user_id)).c_str(), nullptr);
  }
  gst_tag_list_set_scope(tags, GST_TAG_SCOPE_STREAM);
  const ObjectPtr<GstPad> src(gst_element_get_static_pad(track.source.get(), "src"));
  const ObjectPtr<GstPad> sink(gst_element_request_pad_simple(mux_.get(), "audio_%u"));
  gst_pad_link(src.get(), sink.get());
  // In front of the first packet, when stream-start and caps have passed.
  gst_pad_add_probe(
      src.get(),
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
      [](GstPad* pad, GstPadProbeInfo*, gpointer list) {
        gst_pad_push_event(pad,
                           gst_event_new_tag(gst_tag_list_ref(static_cast<GstTagList*>(list))));
        return GST_PAD_PROBE_REMOVE;
      },
      tags, [](gpointer list) { gst_tag_list_unref(static_cast<GstTagList*>(list)); });
  tracks_.emplace(key, std::move(track));
}

void Cook::set_tags() {
  auto* setter = GST_TAG_SETTER(mux_.get());
  gst_tag_setter_add_tags(setter, GST_TAG_MERGE_REPLACE, GST_TAG_TITLE, "Discord call", nullptr);
  if (summary_.session) {
    const GstClockTime zero =
        static_cast<GstClockTime>(std::max<std::int64_t>(summary_.session->zero_utc_ns, 0));
    GDateTime* date = g_date_time_new_from_unix_utc(static_cast<gint64>(zero / GST_SECOND));
    if (date != nullptr) {
      g_object_set(mux_.get(), "creation-time", date, nullptr);
      g_date_time_unref(date);
    }
  }
}

void Cook::set_chapters() {
  if (summary_.marks.empty()) {
    return;
  }
  std::vector<record::JournalEvent> marks = summary_.marks;
  std::sort(marks.begin(), marks.end(),
            [](const auto& a, const auto& b) { return a.sample < b.sample; });
  GstToc* toc = gst_toc_new(GST_TOC_SCOPE_GLOBAL);
  GstTocEntry* edition = gst_toc_entry_new(GST_TOC_ENTRY_TYPE_EDITION, "marks");
  const std::int64_t end = std::max<std::int64_t>(summary_.length, 1);
  gst_toc_entry_set_start_stop_times(edition, 0, static_cast<gint64>(time_of(end)));
  for (std::size_t i = 0; i < marks.size(); i++) {
    const std::int64_t from = std::clamp<std::int64_t>(marks[i].sample, 0, end);
    const std::int64_t to =
        i + 1 < marks.size() ? std::clamp<std::int64_t>(marks[i + 1].sample, from, end) : end;
    GstTocEntry* chapter =
        gst_toc_entry_new(GST_TOC_ENTRY_TYPE_CHAPTER, std::to_string(i + 1).c_str());
    gst_toc_entry_set_start_stop_times(chapter, static_cast<gint64>(time_of(from)),
                                       static_cast<gint64>(time_of(to)));
    const std::string label =
        marks[i].text.empty() ? "Mark " + std::to_string(i + 1) : tag_text(marks[i].text);
    gst_toc_entry_set_tags(chapter, gst_tag_list_new(GST_TAG_TITLE, label.c_str(), nullptr));
    gst_toc_entry_append_sub_entry(edition, chapter);
  }
  gst_toc_append_entry(toc, edition);
  gst_toc_setter_set_toc(GST_TOC_SETTER(mux_.get()), toc);
  gst_toc_unref(toc);
}

std::optional<std::string> Cook::build(int fd) {
  pipeline_.reset(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new("cook"))));
  GstElement* mux = gst_element_factory_make("matroskamux", nullptr);
  GstElement* sink = gst_element_factory_make("filesink", nullptr);
  if (mux == nullptr || sink == nullptr) {
    for (GstElement* e : {mux, sink}) {
      if (e != nullptr) {
        gst_object_unref(e);
      }
    }
    return "The element matroskamux is missing; on Debian it is in gstreamer1.0-plugins-good.";
  }
  mux_ = ref_object(mux);
  g_object_set(mux, "writing-app", PACKAGE_NAME " " PACKAGE_VERSION, nullptr);
  // The file that is open, whatever its name leads to by now.
  g_object_set(sink, "location", ("/proc/self/fd/" + std::to_string(fd)).c_str(), "buffer-mode", 0,
               "buffer-size", write_at_once, "sync", FALSE, "async", FALSE, nullptr);
  gst_bin_add_many(GST_BIN(pipeline_.get()), mux, sink, nullptr);
  gst_element_link(mux, sink);
  set_tags();
  set_chapters();
  for (const auto& [key, speaker] : summary_.speakers) {
    if (only_.empty() || only_.count(key.user_id) != 0) {
      add_track(key, speaker);
    }
  }
  if (tracks_.empty()) {
    return "Nobody who is asked for says anything in this journal.";
  }
  return std::nullopt;
}

// Opus ends on a grid, and with who was ahead of it: what lies behind the end of the recording is
// cut, so that all tracks are equally long to the sample.
void Cook::push(Track& track) {
  for (const record::OpusTrack::Packet& p : packets_) {
    const std::int64_t begin = track.pushed;
    track.pushed += p.samples;
    const std::int64_t behind = track.pushed - length();
    if (behind >= p.samples) {
      continue;
    }
    GstBuffer* buffer = gst_buffer_new_memdup(p.bytes.data(), p.bytes.size());
    GST_BUFFER_PTS(buffer) = time_of(begin);
    GST_BUFFER_DURATION(buffer) = time_of(std::min(track.pushed, length())) - time_of(begin);
    if (behind > 0) {
      gst_buffer_add_audio_clipping_meta(buffer, GST_FORMAT_DEFAULT, 0,
                                         static_cast<guint64>(behind));
    }
    if (!track.waiting) {
      track.waiting.reset(gst_buffer_list_new_sized(batch));
    }
    gst_buffer_list_add(track.waiting.get(), buffer);
    if (gst_buffer_list_length(track.waiting.get()) >= batch) {
      hand_over(track);
    }
  }
  packets_.clear();
}

void Cook::hand_over(Track& track) {
  if (track.waiting) {
    failed_ = gst_app_src_push_buffer_list(GST_APP_SRC(track.source.get()),
                                           track.waiting.release()) != GST_FLOW_OK ||
              failed_;
  }
}

// What lies further away is damage, and must not fill a disk.
bool Cook::within_reach(std::int64_t sample) const {
  return sample <= length() && sample <= filled_ + record::OpusTrack::max_fill;
}

// Who is silent is told so in strides, all in turn: days in which nobody spoke would not fit in a
// track that waits for the others.
void Cook::quiet_until(std::int64_t newest) {
  while (newest >= filled_ + reach + stride && !failed_) {
    filled_ += stride;
    for (auto& [key, track] : tracks_) {
      track.stream.silence_until(filled_, packets_);
      push(track);
      hand_over(track);
    }
  }
}

void Cook::feed(const std::function<void(double)>& progress) {
  record::JournalReader reader(file_);
  std::size_t told = 0;
  while (!failed_) {
    const auto item = reader.next();
    if (!item) {
      break;
    }
    const auto* record = std::get_if<record::JournalRecord>(&item->what);
    if (record == nullptr) {
      continue;
    }
    if (const auto* packet = std::get_if<record::JournalPacket>(record)) {
      const auto track = tracks_.find(who_.of(packet->user_id, packet->ssrc));
      const auto opus = media::parse_opus_packet(packet->opus);
      if (track != tracks_.end() && opus && within_reach(packet->sample)) {
        quiet_until(packet->sample);
        track->second.stream.packet(packet->opus, opus->duration, packet->sample, packet->quiet,
                                    packets_);
        push(track->second);
      }
    } else if (const auto* loss = std::get_if<record::JournalLoss>(record)) {
      const auto track = tracks_.find(who_.of(loss->user_id, loss->ssrc));
      if (track != tracks_.end() && loss->sample < filled_ + reach + 2 * stride) {
        track->second.stream.lost(loss->sample, loss->samples, packets_);
        push(track->second);
      }
    }
    if (progress && reader.offset() - told >= (1 << 20)) {
      told = reader.offset();
      progress(static_cast<double>(told) / static_cast<double>(file_.size()));
    }
  }
  if (within_reach(length())) {
    quiet_until(length());
    for (auto& [key, track] : tracks_) {
      track.stream.end(length(), packets_);
      push(track);
    }
  }
  for (auto& [key, track] : tracks_) {
    hand_over(track);
  }
  for (auto& [key, track] : tracks_) {
    gst_app_src_end_of_stream(GST_APP_SRC(track.source.get()));
  }
}

std::optional<std::string> Cook::wait() const {
  const ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
  for (;;) {
    const MessagePtr message(gst_bus_timed_pop_filtered(
        bus.get(), patience, static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
    if (!message) {
      continue;  // the disk takes its time
    }
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_EOS) {
      return std::nullopt;
    }
    GError* raw = nullptr;
    gst_message_parse_error(message.get(), &raw, nullptr);
    const GErrorPtr error(raw);
    return std::string(error->message);
  }
}

// Where the sink fails: a track's thread ends with it, and nobody would make room in its queue.
GstBusSyncReply Cook::on_message(GstBus*, GstMessage* message, gpointer self) {
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    for (const auto& [key, track] : static_cast<Cook*>(self)->tracks_) {
      gst_app_src_end_of_stream(GST_APP_SRC(track.source.get()));
    }
  }
  return GST_BUS_PASS;
}

std::optional<std::string> Cook::run(int fd, const std::function<void(double)>& progress) {
  if (auto problem = build(fd)) {
    return problem;
  }
  const ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
  gst_bus_set_sync_handler(bus.get(), on_message, this, nullptr);
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
  feed(progress);
  auto problem = wait();
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  return problem;
}

}  // namespace

// --- files ---

Result<MappedFile, std::string> MappedFile::open(const std::string& path) {
  const auto because = [&](int error) {
    return Failure{"The file " + path + " cannot be read: " + g_strerror(error) + "."};
  };
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    return because(errno);
  }
  struct stat info;
  if (fstat(fd.get(), &info) != 0) {
    return because(errno);
  }
  if (!S_ISREG(info.st_mode)) {
    return Failure{"The file " + path + " is no ordinary file."};
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) {
    return MappedFile(ByteSpan());
  }
  void* memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (memory == MAP_FAILED) {
    return because(errno);
  }
  madvise(memory, size, MADV_SEQUENTIAL);
  return MappedFile(ByteSpan(static_cast<const std::uint8_t*>(memory), size));
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
  }
}

std::string speaker_title(const record::JournalSpeakerKey& key, const std::string& name) {
  if (!name.empty()) {
    return name;
  }
  return key.user_id != 0 ? "user " + std::to_string(key.user_id)
                          : "SSRC " + std::to_string(key.ssrc);
}

Result<CookedFile, std::string> cook_matroska(const std::string& journal,
                                              const RecordFolder& folder, std::string_view stem,
                                              const std::function<void(double)>& progress,
                                              const std::set<std::uint64_t>& only) {
  const auto file = MappedFile::open(journal);
  if (!file.ok()) {
    return Failure{file.error()};
  }
  Cook cook(file->bytes(), only);
  if (!cook.recognised()) {
    return Failure{"The file " + journal + " is no journal, or nothing is left of it."};
  }
  auto out = RecordFile::create(folder, stem, "mka");
  if (!out.ok()) {
    return Failure{out.error()};
  }
  if (auto problem = cook.run(out->fd(), progress)) {
    out->remove();
    return Failure{*problem};
  }
  return CookedFile{out->path(), time_of(cook.length()), static_cast<guint>(cook.tracks()),
                    cook.summary().damaged_stretches};
}

}  // namespace discord
