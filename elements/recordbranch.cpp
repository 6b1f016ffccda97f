// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordbranch.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "elements/gstdiscordssrcdemuxpad.h"
#include "elements/gstdiscordtracksink.h"
#include "elements/lostevents.hpp"
#include "elements/recordname.hpp"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"

namespace discord {

namespace {

// Whether a packet, or a decoded frame, says nothing.
bool says_nothing(GstBuffer* buffer, bool raw, const GstDiscordSpeakerMeta* meta) {
  constexpr gsize rtp_header = 12;
  guint8 tail[3];
  if (raw) {
    if (meta == nullptr || meta->packet == nullptr) {
      return meta != nullptr && meta->kind == GST_DISCORD_FRAME_SILENCE;
    }
    return gst_buffer_get_size(meta->packet) == sizeof tail &&
           gst_buffer_extract(meta->packet, 0, tail, sizeof tail) == sizeof tail &&
           media::is_silence_frame(tail);
  }
  return gst_buffer_get_size(buffer) == rtp_header + sizeof tail &&
         gst_buffer_extract(buffer, rtp_header, tail, sizeof tail) == sizeof tail &&
         media::is_silence_frame(tail);
}

}  // namespace

RecordBranch::RecordBranch(GstBin* parent, GstPad* pad, const BranchContext& context,
                           SpeakerLogPtr log, std::int64_t offset, unsigned part)
    : RecordOutput(parent,
                   std::string("speaker_") + GST_PAD_NAME(pad) +
                       (part > 1 ? "_" + std::to_string(part) : std::string()),
                   context.settings, offset, part),
      context_(context),
      log_(std::move(log)),
      demux_pad_(ref_object(pad)) {
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
  g_object_get(pad, "ssrc", &ssrc_, nullptr);
  if (CapsPtr caps(gst_pad_get_current_caps(pad)); caps) {
    raw_ = gst_structure_has_name(gst_caps_get_structure(caps.get(), 0), "audio/x-raw");
  }
  if (context_.mix) {
    mix_id_ = context_.mix->open(user_id());
  }

  entry_ = make_entry();
  gst_bin_add(GST_BIN(bin_.get()), entry_);
  ObjectPtr<GstPad> in(gst_element_get_static_pad(entry_, "sink"));
  gst_pad_add_probe(
      in.get(),
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST |
                                   GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      on_input, this, nullptr);
  gst_element_add_pad(bin_.get(), gst_ghost_pad_new("sink", in.get()));
  gst_bin_add(parent_, bin_.get());
  gst_element_set_state(bin_.get(), GST_STATE_PLAYING);

  ObjectPtr<GstPad> ghost(gst_element_get_static_pad(bin_.get(), "sink"));
  gst_pad_link(pad, ghost.get());
}

GstElement* RecordBranch::make_entry() {
  if (!settings_->matroska) {
    return passes_only() ? make_fill() : make_queue();
  }
  GstElement* end = gst_element_factory_make("fakesink", nullptr);
  g_object_set(end, "sync", FALSE, "async", FALSE, nullptr);
  return end;
}

GstElement* RecordBranch::make_queue() {
  GstElement* queue = gst_element_factory_make("queue", nullptr);
  g_object_set(queue, "max-size-time", G_GUINT64_CONSTANT(0), "max-size-bytes", 0U,
               "max-size-buffers", settings_->live ? 0U : queue_buffers, nullptr);
  ObjectPtr<GstPad> out(gst_element_get_static_pad(queue, "src"));
  hold_id_ =
      gst_pad_add_probe(out.get(), GST_PAD_PROBE_TYPE_BLOCK_DOWNSTREAM, hold, nullptr, nullptr);
  return queue;
}

GstElement* RecordBranch::make_fill() {
  auto* fill = GST_DISCORD_OPUS_FILL(g_object_new(GST_TYPE_DISCORD_OPUS_FILL, nullptr));
  gst_discord_opus_fill_set_from_first(fill, settings_->from_first);
  if (passes_only()) {
    write_on(fill, context_.turns, settings_->live ? 0U : queue_buffers);
  }
  fill_ = ref_object(fill);
  return GST_ELEMENT(fill);
}

void RecordBranch::unlink() {
  ObjectPtr<GstPad> ghost(gst_element_get_static_pad(bin_.get(), "sink"));
  gst_pad_unlink(demux_pad_.get(), ghost.get());
}

void RecordBranch::detach() {
  if (passes_only()) {
    counts_.dropped += feed_of(fill_.get())->discarded();
  }
  if (context_.mix) {
    context_.mix->close(mix_id_);
  }
}

guint64 RecordBranch::user_id() const {
  guint64 id = 0;
  g_object_get(demux_pad_.get(), "user-id", &id, nullptr);
  return id;
}

std::string RecordBranch::name() const {
  const GCharPtr name(
      gst_discord_ssrc_demux_pad_dup_name(GST_DISCORD_SSRC_DEMUX_PAD(demux_pad_.get())));
  return name ? name.get() : "";
}

std::string RecordBranch::who() const {
  const guint64 id = user_id();
  return id != 0 ? "user " + std::to_string(id) : "SSRC " + std::to_string(ssrc_);
}

std::string RecordBranch::stem() const {
  const guint64 id = user_id();
  std::string stem = std::to_string(id != 0 ? id : ssrc_);
  if (const std::string safe = safe_name(name()); !safe.empty()) {
    stem += "-" + safe;
  }
  return stem;
}

std::int64_t RecordBranch::begin() const {
  return settings_->from_first && first_ >= 0 ? first_.load() : offset_;
}

std::uint64_t RecordBranch::produced() const {
  return fill_ ? gst_discord_opus_fill_get_samples(fill_.get()) : samples_.load();
}

std::optional<std::string> RecordBranch::build(const RecordFolder& folder,
                                               std::function<void()> failed) {
  if (settings_->matroska) {
    return std::nullopt;  // matroskamux takes no track later
  }
  const bool to_file = settings_->layout != Layout::Mix;
  const bool passes = to_file && settings_->format == Format::ogg;
  if (to_file) {
    const guint64 id = user_id();
    const record::TrackTags tags{tag_text(name()), id != 0 ? std::to_string(id) : std::string(),
                                 ""};
    if (auto problem = open_file(folder, stem(), tags)) {
      return problem;
    }
  }
  Chain chain(GST_BIN(bin_.get()));
  chain.branch_off(entry_);
  if (passes) {
    GstElement* split = nullptr;
    if (!passes_only()) {
      split = chain.add("tee");
      chain.add(make_fill());
    }
    chain.add(make_track_mux());
    chain.add(make_track_sink(writer(), passes_only() ? stopping(failed) : failed));
    chain.branch_off(split);
  }
  if (!passes || context_.mix) {
    GstElement* rate = add_samples(chain, raw_, settings_->from_first);
    if (rate != nullptr) {
      // audiorate's own count of what it put out leaves buffers out.
      ObjectPtr<GstPad> samples(gst_element_get_static_pad(rate, "src"));
      gst_pad_add_probe(samples.get(), GST_PAD_PROBE_TYPE_BUFFER, on_samples, this, nullptr);
    }
    if (!passes && to_file) {
      add_encoder(chain, settings_->format, settings_->encoder.get(),
                  make_track_sink(writer(), failed));
    } else if (GstElement* end = chain.add("fakesink")) {
      g_object_set(end, "sync", FALSE, "async", FALSE, nullptr);
    }
  }
  if (auto problem = chain.start()) {
    return problem;
  }
  if (passes_only()) {
    feed_of(fill_.get())->release();
  } else {
    ObjectPtr<GstPad> out(gst_element_get_static_pad(entry_, "src"));
    gst_pad_remove_probe(out.get(), hold_id_);
    hold_id_ = 0;
  }
  return std::nullopt;
}

// A turn may have half a minute to write behind a file; none of it is in the file any more.
std::function<void()> RecordBranch::stopping(std::function<void()> failed) {
  return [feed = feed_of(fill_.get()), failed = std::move(failed)] {
    feed->stop();
    failed();
  };
}

GstPadProbeReturn RecordBranch::on_samples(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto* self = static_cast<RecordBranch*>(data);
  GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  const gsize samples = gst_buffer_get_size(buffer) / 4;
  self->samples_ += samples;
  if (self->context_.mix && GST_BUFFER_PTS_IS_VALID(buffer)) {
    const MappedBuffer map(buffer, GST_MAP_READ);
    if (map) {
      const auto from = static_cast<std::int64_t>(GST_BUFFER_PTS(buffer)) -
                        static_cast<std::int64_t>(self->origin_.load());
      self->context_.mix->samples(self->mix_id_,
                                  self->offset_ + media::samples_from_duration(Duration(from)),
                                  {reinterpret_cast<const std::int16_t*>(map.data()), 2 * samples},
                                  self->context_.newest->load());
    }
  }
  return GST_PAD_PROBE_OK;
}

bool RecordBranch::queue_full() const {
  if (settings_->matroska) {
    return false;
  }
  if (passes_only()) {
    return feed_of(fill_.get())->waiting() >= queue_buffers;
  }
  guint level = 0;
  g_object_get(entry_, "current-level-buffers", &level, nullptr);
  return level >= queue_buffers;
}

std::int64_t RecordBranch::session_sample(GstClockTime pts) const {
  const guint64 running = segment_.format == GST_FORMAT_TIME
                              ? gst_segment_to_running_time(&segment_, GST_FORMAT_TIME, pts)
                              : GST_CLOCK_TIME_NONE;
  return GST_CLOCK_TIME_IS_VALID(running)
             ? media::samples_from_duration(Duration(static_cast<std::int64_t>(running) -
                                                     static_cast<std::int64_t>(settings_->zero)))
             : 0;
}

void RecordBranch::reached(std::int64_t sample) {
  std::int64_t before = *context_.newest;
  while (before < sample && !context_.newest->compare_exchange_weak(before, sample)) {
  }
}

void RecordBranch::note(GstBuffer* buffer) {
  const auto* meta = gst_buffer_get_discord_speaker_meta(buffer);
  const bool silence = says_nothing(buffer, raw_, meta);
  counts_.silence += silence ? 1 : 0;
  if (meta != nullptr && (meta->user_id != known_user_ || meta->ssrc != known_ssrc_)) {
    known_user_ = meta->user_id;
    known_ssrc_ = meta->ssrc;
    log_->identify(meta->user_id, meta->ssrc, name());
    if (context_.mix) {
      context_.mix->identify(mix_id_, meta->user_id);
    }
  }
  if (!GST_BUFFER_PTS_IS_VALID(buffer)) {
    return;
  }
  const std::int64_t begin = session_sample(GST_BUFFER_PTS(buffer));
  GstClockTime length = GST_BUFFER_DURATION(buffer);
  if (!GST_CLOCK_TIME_IS_VALID(length)) {
    length = 20 * GST_MSECOND;
  }
  const std::int64_t end = session_sample(GST_BUFFER_PTS(buffer) + length);
  if (first_ < 0) {
    first_ = begin;
  }
  reached(end);
  const auto kind = meta != nullptr ? meta->kind : GST_DISCORD_FRAME_AUDIO;
  if (kind == GST_DISCORD_FRAME_FEC || kind == GST_DISCORD_FRAME_PLC) {
    (kind == GST_DISCORD_FRAME_FEC ? counts_.recovered : counts_.concealed)++;
    log_->loss(begin, end);
  } else {
    log_->packet(begin, end, silence);
  }
}

void RecordBranch::note_loss(const GstStructure* lost) {
  counts_.lost += lost_packets(lost);
  guint64 at = 0;
  guint64 duration = 0;
  if (gst_structure_get_uint64(lost, "timestamp", &at) &&
      gst_structure_get_uint64(lost, "duration", &duration)) {
    log_->loss(session_sample(at), session_sample(at + duration));
  }
}

GstPadProbeReturn RecordBranch::on_input(GstPad*, GstPadProbeInfo* info, gpointer self) {
  return static_cast<RecordBranch*>(self)->filter(info);
}

GstPadProbeReturn RecordBranch::filter_event(GstPadProbeInfo* info) {
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) == GST_EVENT_GAP) {
    counts_.gaps++;
    GstClockTime at = 0;
    GstClockTime length = 0;
    gst_event_parse_gap(event, &at, &length);
    reached(session_sample(at + (GST_CLOCK_TIME_IS_VALID(length) ? length : 0)));
    // The queue bounds buffers, not events; a gap nobody announced is filled all the same.
    return settings_->live && queue_full() ? GST_PAD_PROBE_DROP : GST_PAD_PROBE_OK;
  }
  if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT) {
    info->data = from_zero(event);
  } else if (GST_EVENT_TYPE(event) == GST_EVENT_TAG) {
    log_->identify(0, ssrc_, name());
    info->data = with_user(event);
  } else if (gst_event_has_name(event, "GstRTPPacketLost")) {
    note_loss(gst_event_get_structure(event));
  }
  return GST_PAD_PROBE_OK;
}

GstPadProbeReturn RecordBranch::filter(GstPadProbeInfo* info) {
  if ((info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) != 0) {
    return filter_event(info);
  }
  guint64 n = 1;
  if ((info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0) {
    GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
    n = gst_buffer_list_length(list);
    for (guint i = 0; i < n; i++) {
      note(gst_buffer_list_get(list, i));
    }
  } else {
    note(GST_PAD_PROBE_INFO_BUFFER(info));
  }
  counts_.buffers += n;
  if (given_up()) {
    counts_.dropped += n;
    return GST_PAD_PROBE_DROP;
  }
  if (settings_->live && queue_full()) {
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

// The segment cut so that it starts where the file does: the track is filled from there.
GstEvent* RecordBranch::from_zero(GstEvent* event) {
  gst_event_copy_segment(event, &segment_);
  GstSegment segment = segment_;
  const GstClockTime zero =
      settings_->zero + static_cast<GstClockTime>(media::duration_from_samples(offset_).count());
  const guint64 position =
      segment.format == GST_FORMAT_TIME
          ? gst_segment_position_from_running_time(&segment, GST_FORMAT_TIME, zero)
          : GST_CLOCK_TIME_NONE;
  origin_ = position != GST_CLOCK_TIME_NONE ? position : segment.start;
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

// Formats know no tag for a Discord user: the id goes into the comment.
GstEvent* RecordBranch::with_user(GstEvent* event) const {
  const guint64 id = user_id();
  if (id == 0) {
    return event;
  }
  GstTagList* tags = nullptr;
  gst_event_parse_tag(event, &tags);
  GstTagList* more = gst_tag_list_copy(tags);
  gst_tag_list_add(more, GST_TAG_MERGE_REPLACE, GST_TAG_COMMENT,
                   ("Discord user " + std::to_string(id)).c_str(), nullptr);
  gst_event_unref(event);
  return gst_event_new_tag(more);
}

}  // namespace discord
