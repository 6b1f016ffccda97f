#include "elements/recordbranch.hpp"

#include "elements/gstdiscordssrcdemuxpad.h"
#include "elements/recordname.hpp"

#include <vector>

namespace discord {

namespace {

// 30 seconds of 20 ms packets: longer than any disk worth recording to stalls.
constexpr guint queue_buffers = 1500;

GstElement* make(const char* factory) {
  return gst_element_factory_make(factory, nullptr);
}

}  // namespace

std::vector<RecordBranch::Need> RecordBranch::needs(RecordFormat format) {
  if (format == RecordFormat::Mka) {
    return {{"appsrc", "gstreamer1.0-plugins-base"},
            {"fdsink", "libgstreamer1.0-0"},
            {"matroskamux", "gstreamer1.0-plugins-good"}};
  }
  std::vector<Need> all = {{"queue", "libgstreamer1.0-0"},
                           {"fdsink", "libgstreamer1.0-0"},
                           {"fakesink", "libgstreamer1.0-0"},
                           {"opusdec", "gstreamer1.0-plugins-base"},
                           {"audiorate", "gstreamer1.0-plugins-base"},
                           {"rtpopusdepay", "gstreamer1.0-plugins-good"}};
  if (format == RecordFormat::Wav) {
    all.push_back({"wavenc", "gstreamer1.0-plugins-good"});
  } else {
    all.push_back({"lamemp3enc", "gstreamer1.0-plugins-good"});
    all.push_back({"id3v2mux", "gstreamer1.0-plugins-good"});
  }
  return all;
}

const char* RecordBranch::extension(RecordFormat format) {
  return format == RecordFormat::Wav ? "wav" : "mp3";
}

RecordBranch::RecordBranch(GstBin* parent, GstPad* pad, const BranchSettings& settings)
    : settings_(settings), parent_(parent), demux_pad_(ref_object(pad)) {
  g_object_get(pad, "ssrc", &ssrc_, nullptr);
  if (CapsPtr caps(gst_pad_get_current_caps(pad)); caps) {
    raw_ = gst_structure_has_name(gst_caps_get_structure(caps.get(), 0), "audio/x-raw");
  }
  const std::string name = std::string("speaker_") + GST_PAD_NAME(pad);
  bin_.reset(GST_ELEMENT(gst_object_ref_sink(gst_bin_new(name.c_str()))));
  // Not a sink in the eyes of the parent: only the permanent sink decides when the whole has ended.
  gst_bin_set_suppressed_flags(GST_BIN(bin_.get()), GST_ELEMENT_FLAG_SINK);
  gst_element_set_locked_state(bin_.get(), TRUE);

  queue_ = make("queue");
  g_object_set(queue_, "max-size-time", G_GUINT64_CONSTANT(0), "max-size-bytes", 0U,
               "max-size-buffers", settings_.live ? 0U : queue_buffers, nullptr);
  gst_bin_add(GST_BIN(bin_.get()), queue_);
  ObjectPtr<GstPad> in(gst_element_get_static_pad(queue_, "sink"));
  ObjectPtr<GstPad> out(gst_element_get_static_pad(queue_, "src"));
  gst_pad_add_probe(
      in.get(),
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST |
                                   GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      on_input, this, nullptr);
  hold_id_ =
      gst_pad_add_probe(out.get(), GST_PAD_PROBE_TYPE_BLOCK_DOWNSTREAM, hold, nullptr, nullptr);
  gst_element_add_pad(bin_.get(), gst_ghost_pad_new("sink", in.get()));
  gst_bin_add(parent_, bin_.get());
  gst_element_set_state(bin_.get(), GST_STATE_PLAYING);

  ObjectPtr<GstPad> ghost(gst_element_get_static_pad(bin_.get(), "sink"));
  gst_pad_link(pad, ghost.get());
}

RecordBranch::~RecordBranch() {
  close(false);
}

guint64 RecordBranch::user_id() const {
  guint64 id = 0;
  g_object_get(demux_pad_.get(), "user-id", &id, nullptr);
  return id;
}

std::string RecordBranch::who() const {
  const guint64 id = user_id();
  return id != 0 ? "user " + std::to_string(id) : "SSRC " + std::to_string(ssrc_);
}

std::string RecordBranch::stem() const {
  const guint64 id = user_id();
  std::string stem = std::to_string(id != 0 ? id : ssrc_);
  const GCharPtr name(
      gst_discord_ssrc_demux_pad_dup_name(GST_DISCORD_SSRC_DEMUX_PAD(demux_pad_.get())));
  if (name) {
    if (const std::string safe = safe_name(name.get()); !safe.empty()) {
      stem += "-" + safe;
    }
  }
  return stem;
}

std::optional<std::string> RecordBranch::build(const RecordFolder& folder) {
  Result<RecordFile, std::string> file =
      RecordFile::create(folder, stem(), extension(settings_.format));
  if (!file.ok()) {
    return file.error();
  }
  const int fd = file->fd();
  {
    Lock lock(mutex_);
    file_.emplace(std::move(file).value());
  }

  std::vector<GstElement*> chain;
  GstElement* decoder = nullptr;
  if (!raw_) {
    chain.push_back(make("rtpopusdepay"));
    decoder = make("opusdec");
    if (decoder != nullptr) {
      g_object_set(decoder, "plc", TRUE, nullptr);
    }
    chain.push_back(decoder);
  }
  GstElement* rate = make("audiorate");
  if (rate != nullptr) {
    g_object_set(rate, "tolerance", G_GUINT64_CONSTANT(0), "skip-to-first", FALSE, nullptr);
  }
  chain.push_back(rate);
  if (settings_.format == RecordFormat::Wav) {
    chain.push_back(make("wavenc"));
  } else {
    GstElement* encoder = make("lamemp3enc");
    if (encoder != nullptr) {
      gst_util_set_object_arg(G_OBJECT(encoder), "target", "bitrate");
      g_object_set(encoder, "cbr", TRUE, "bitrate", static_cast<gint>(settings_.bitrate), nullptr);
    }
    chain.push_back(encoder);
    chain.push_back(make("id3v2mux"));
  }
  GstElement* sink = make("fdsink");
  if (sink != nullptr) {
    g_object_set(sink, "fd", fd, "sync", FALSE, "async", FALSE, nullptr);
  }
  chain.push_back(sink);

  bool complete = true;
  for (GstElement* e : chain) {
    if (e != nullptr) {
      gst_bin_add(GST_BIN(bin_.get()), e);
    }
    complete = complete && e != nullptr;
  }
  if (!complete) {
    return "A GStreamer element for this format is missing; install gstreamer1.0-plugins-base and "
           "gstreamer1.0-plugins-good.";
  }
  // audiorate's own count of what it put out leaves buffers out.
  ObjectPtr<GstPad> samples(gst_element_get_static_pad(rate, "src"));
  gst_pad_add_probe(samples.get(), GST_PAD_PROBE_TYPE_BUFFER, on_samples, this, nullptr);
  if (decoder != nullptr) {
    ObjectPtr<GstPad> in(gst_element_get_static_pad(decoder, "sink"));
    gst_pad_add_probe(in.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_decoder_input, decoder,
                      nullptr);
  }
  // From the sink upwards, so that nothing runs into an element that is not ready.
  for (std::size_t i = chain.size(); i-- > 0;) {
    if (i + 1 < chain.size() && !gst_element_link(chain[i], chain[i + 1])) {
      return std::string("The elements of the branch cannot be linked.");
    }
    if (!gst_element_sync_state_with_parent(chain[i])) {
      return std::string("An element of the branch does not start.");
    }
  }
  if (!gst_element_link(queue_, chain.front())) {
    return std::string("The elements of the branch cannot be linked.");
  }
  ObjectPtr<GstPad> out(gst_element_get_static_pad(queue_, "src"));
  gst_pad_remove_probe(out.get(), hold_id_);
  hold_id_ = 0;
  return std::nullopt;
}

void RecordBranch::close(bool complete) {
  if (closed_.exchange(true)) {
    return;
  }
  given_up_ = true;
  gst_element_set_state(bin_.get(), GST_STATE_NULL);
  ObjectPtr<GstPad> ghost(gst_element_get_static_pad(bin_.get(), "sink"));
  gst_pad_unlink(demux_pad_.get(), ghost.get());
  gst_bin_remove(parent_, bin_.get());
  Lock lock(mutex_);
  if (file_) {
    // wavenc counts in 32 bits, so past 4 GiB its last word on the size is wrong too.
    if (settings_.format == RecordFormat::Wav && (!complete || file_->size() > 0xffffffffu)) {
      file_->refresh_wav_header();
    }
    kept_ = file_->size() > 0;
    if (!kept_) {
      file_->remove();  // nothing of this speaker could be decoded
    }
  }
}

std::string RecordBranch::path() const {
  Lock lock(mutex_);
  return file_ ? file_->path() : std::string();
}

std::uint64_t RecordBranch::bytes() const {
  Lock lock(mutex_);
  return file_ ? file_->size() : 0;
}

void RecordBranch::refresh_header() const {
  Lock lock(mutex_);
  if (file_ && !ending_ && settings_.format == RecordFormat::Wav) {
    file_->refresh_wav_header();
  }
}

GstClockTime RecordBranch::duration() const {
  return gst_util_uint64_scale(samples_, GST_SECOND, 48000);
}

GstPadProbeReturn RecordBranch::on_samples(GstPad*, GstPadProbeInfo* info, gpointer self) {
  static_cast<RecordBranch*>(self)->samples_ +=
      gst_buffer_get_size(GST_PAD_PROBE_INFO_BUFFER(info)) / 4;
  return GST_PAD_PROBE_OK;
}

bool RecordBranch::queue_full() const {
  guint level = 0;
  g_object_get(queue_, "current-level-buffers", &level, nullptr);
  return level >= queue_buffers;
}

GstPadProbeReturn RecordBranch::on_input(GstPad*, GstPadProbeInfo* info, gpointer self) {
  return static_cast<RecordBranch*>(self)->filter(info);
}

GstPadProbeReturn RecordBranch::filter(GstPadProbeInfo* info) {
  if ((info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) != 0) {
    GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
    if (GST_EVENT_TYPE(event) == GST_EVENT_GAP) {
      counts_.gaps++;
      // The queue bounds buffers, not events; audiorate makes up for a gap nobody announced.
      return settings_.live && queue_full() ? GST_PAD_PROBE_DROP : GST_PAD_PROBE_OK;
    }
    if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT) {
      info->data = from_zero(event);
    } else if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) {
      // From here on wavenc writes the end of the file, which is not all samples.
      Lock lock(mutex_);
      ending_ = true;
    } else if (gst_event_has_name(event, "GstRTPPacketLost")) {
      counts_.lost++;
    }
    return GST_PAD_PROBE_OK;
  }
  const guint64 n = (info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0
                        ? gst_buffer_list_length(GST_PAD_PROBE_INFO_BUFFER_LIST(info))
                        : 1;
  counts_.buffers += n;
  if (given_up_) {
    counts_.dropped += n;
    return GST_PAD_PROBE_DROP;
  }
  if (settings_.live && queue_full()) {
    counts_.dropped += n;
    if (!std::exchange(warned_full_, true)) {
      GST_ELEMENT_WARNING(parent_, RESOURCE, WRITE,
                          ("The recording of %s cannot be written as fast as it arrives; packets "
                           "are dropped until it can. Use a faster disk for %s.",
                           who().c_str(), path().c_str()),
                          (nullptr));
    }
    return GST_PAD_PROBE_DROP;
  }
  return GST_PAD_PROBE_OK;
}

// The segment cut so that it starts at zero: audiorate fills every track from there.
GstEvent* RecordBranch::from_zero(GstEvent* event) const {
  GstSegment segment;
  gst_event_copy_segment(event, &segment);
  const guint64 position =
      segment.format == GST_FORMAT_TIME
          ? gst_segment_position_from_running_time(&segment, GST_FORMAT_TIME, settings_.zero)
          : GST_CLOCK_TIME_NONE;
  if (position == GST_CLOCK_TIME_NONE || position <= segment.start) {
    return event;
  }
  segment.time += position - segment.start;
  segment.base = 0;
  segment.offset = 0;
  segment.start = segment.position = position;
  GstEvent* cut = gst_event_new_segment(&segment);
  gst_event_set_seqnum(cut, gst_event_get_seqnum(event));
  gst_event_unref(event);
  return cut;
}

// Deliberate silence goes around the decoder: GstAudioDecoder 1.22 conceals every GAP, whatever its
// flags say, and conceals an hour with one 120 ms frame. Same streaming thread, so the order holds.
GstPadProbeReturn RecordBranch::on_decoder_input(GstPad*, GstPadProbeInfo* info, gpointer dec) {
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) != GST_EVENT_GAP) {
    return GST_PAD_PROBE_OK;
  }
  GstGapFlags flags = static_cast<GstGapFlags>(0);
  gst_event_parse_gap_flags(event, &flags);
  if ((flags & GST_GAP_FLAG_MISSING_DATA) != 0) {
    return GST_PAD_PROBE_OK;
  }
  ObjectPtr<GstPad> out(gst_element_get_static_pad(GST_ELEMENT(dec), "src"));
  // Before the first decoded frame there is nothing to continue: audiorate fills from the start.
  if (gst_pad_has_current_caps(out.get())) {
    gst_pad_push_event(out.get(), gst_event_ref(event));
  }
  return GST_PAD_PROBE_DROP;
}

}  // namespace discord
