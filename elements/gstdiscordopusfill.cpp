// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/gstdiscordopusfill.h"

#include "discord/gstdiscordspeakermeta.h"
#include "discord/gstdiscordtags.h"
#include "discord/gstptr.hpp"
#include "elements/quiet.hpp"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"
#include "record/opustrack.hpp"

#include <gst/rtp/gstrtpbuffer.h>
#include <gst/tag/tag.h>
#include <algorithm>
#include <atomic>
#include <optional>

using namespace discord;

namespace {

void release_tags(GstTagList* tags) noexcept {
  gst_tag_list_unref(tags);
}
using TagListPtr = std::unique_ptr<GstTagList, Releaser<release_tags>>;

struct Fill {
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;

  // Streaming thread.
  record::OpusTrack track;
  std::optional<GstClockTime> origin;  // timestamp of the track's first sample
  bool from_first = false;
  bool raw = false;
  bool started = false;    // caps and lead-in have gone out
  std::uint64_t sent = 0;  // samples, the lead-in included
  std::int64_t end = 0;    // furthest point that the speaker's stream has spoken of
  TagListPtr tags;

  std::atomic<guint64> samples = 0;
};

}  // namespace

struct _GstDiscordOpusFill {
  GstElement parent;
  Fill* priv;
};

G_DEFINE_FINAL_TYPE(GstDiscordOpusFill, gst_discord_opus_fill, GST_TYPE_ELEMENT)

namespace {

GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS("application/x-rtp; audio/x-raw"));
GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS,
                            GST_STATIC_CAPS("audio/x-opus, channel-mapping-family = (int) 0"));

std::int64_t sample_of(const Fill& f, GstClockTime time) {
  return media::samples_from_duration(
      Duration(static_cast<std::int64_t>(time) - static_cast<std::int64_t>(*f.origin)));
}

// RFC 7845 section 5.1.
BufferPtr opus_head() {
  const guint8 head[19] = {'O',
                           'p',
                           'u',
                           's',
                           'H',
                           'e',
                           'a',
                           'd',
                           1,
                           2,
                           record::OpusTrack::pre_skip & 0xff,
                           record::OpusTrack::pre_skip >> 8,
                           0x80,
                           0xbb,
                           0,
                           0,
                           0,
                           0,
                           0};  // 48000 Hz, no gain, one stream
  return BufferPtr(gst_buffer_new_memdup(head, sizeof head));
}

BufferPtr opus_tags(const GstTagList* tags) {
  TagListPtr owned(tags != nullptr ? gst_tag_list_copy(tags) : gst_tag_list_new_empty());
  return BufferPtr(gst_tag_list_to_vorbiscomment_buffer(
      owned.get(), reinterpret_cast<const guint8*>("OpusTags"), 8, "gst-discord"));
}

void push_start(Fill& f) {
  const BufferPtr head = opus_head();
  const BufferPtr comments = opus_tags(f.tags.get());
  GValue headers = G_VALUE_INIT;
  gst_value_array_init(&headers, 2);
  for (GstBuffer* b : {head.get(), comments.get()}) {
    GST_BUFFER_FLAG_SET(b, GST_BUFFER_FLAG_HEADER);
    GValue value = G_VALUE_INIT;
    g_value_init(&value, GST_TYPE_BUFFER);
    gst_value_set_buffer(&value, b);
    gst_value_array_append_and_take_value(&headers, &value);
  }
  CapsPtr caps(gst_caps_new_simple(
      "audio/x-opus", "channel-mapping-family", G_TYPE_INT, 0, "channels", G_TYPE_INT, 2, "rate",
      G_TYPE_INT, 48000, "stream-count", G_TYPE_INT, 1, "coupled-count", G_TYPE_INT, 1, nullptr));
  gst_caps_set_value(caps.get(), "streamheader", &headers);
  g_value_unset(&headers);
  gst_pad_push_event(f.srcpad, gst_event_new_caps(caps.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(f.srcpad, gst_event_new_segment(&segment));
}

GstFlowReturn push(Fill& f, const record::OpusTrack::Packets& packets) {
  GstFlowReturn flow = GST_FLOW_OK;
  for (const record::OpusTrack::Packet& p : packets) {
    BufferPtr buffer(gst_buffer_new_memdup(p.bytes.data(), p.bytes.size()));
    const auto at = [](std::uint64_t samples) {
      return static_cast<GstClockTime>(
          media::duration_from_samples(static_cast<std::int64_t>(samples)).count());
    };
    GST_BUFFER_PTS(buffer.get()) = at(f.sent);
    f.sent += p.samples;
    GST_BUFFER_DURATION(buffer.get()) = at(f.sent) - GST_BUFFER_PTS(buffer.get());
    flow = gst_pad_push(f.srcpad, buffer.release());
    if (flow != GST_FLOW_OK) {
      break;
    }
  }
  f.samples = static_cast<guint64>(std::max(f.end, std::int64_t{0}));
  return flow;
}

// What the first data decide: where the track begins.
void start(Fill& f, GstClockTime first) {
  if (f.started) {
    return;
  }
  f.started = true;
  if (f.from_first || !f.origin) {
    f.origin = first;
  }
  push_start(f);
  push(f, record::OpusTrack::lead_in());
}

struct Piece {
  Bytes opus;
  std::uint32_t samples = 0;
};

// The packet inside a buffer: the payload of RTP, or what the meta of a decoded frame carries.
std::optional<Piece> packet_of(const Fill& f, GstBuffer* buffer) {
  Piece out;
  if (f.raw) {
    const auto* meta = gst_buffer_get_discord_speaker_meta(buffer);
    if (meta == nullptr || meta->packet == nullptr) {
      return std::nullopt;
    }
    const MappedBuffer map(meta->packet, GST_MAP_READ);
    out.opus.assign(map.data(), map.data() + map.size());
  } else {
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    if (!gst_rtp_buffer_map(buffer, GST_MAP_READ, &rtp)) {
      return std::nullopt;
    }
    const auto* payload = static_cast<const guint8*>(gst_rtp_buffer_get_payload(&rtp));
    out.opus.assign(payload, payload + gst_rtp_buffer_get_payload_len(&rtp));
    gst_rtp_buffer_unmap(&rtp);
  }
  const auto parsed = media::parse_opus_packet(out.opus);
  if (!parsed) {
    return std::nullopt;
  }
  out.samples = parsed->duration;
  return out;
}

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* raw_buffer) {
  auto* self = GST_DISCORD_OPUS_FILL(parent);
  Fill& f = *self->priv;
  const BufferPtr buffer(raw_buffer);
  if (!GST_BUFFER_PTS_IS_VALID(raw_buffer)) {
    return GST_FLOW_OK;
  }
  const auto* meta = gst_buffer_get_discord_speaker_meta(raw_buffer);
  const std::optional<Piece> piece = packet_of(f, raw_buffer);
  if (f.raw && !piece && meta != nullptr && meta->kind == GST_DISCORD_FRAME_AUDIO) {
    GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                      ("These decoded frames do not carry their Opus packets, so they cannot be "
                       "stored without encoding them again. Choose another format."),
                      (nullptr));
    return GST_FLOW_ERROR;
  }
  const GstClockTime pts = GST_BUFFER_PTS(raw_buffer);
  const GstClockTime duration =
      GST_BUFFER_DURATION_IS_VALID(raw_buffer) ? GST_BUFFER_DURATION(raw_buffer) : 0;
  start(f, pts);
  std::int64_t at = sample_of(f, pts);
  record::OpusTrack::Packets out;
  if (!piece) {
    const std::int64_t samples = sample_of(f, pts + duration) - at;
    if (meta != nullptr && meta->kind != GST_DISCORD_FRAME_SILENCE && samples > 0) {
      f.track.lost(at, samples, out);
    }
    f.end = std::max(f.end, at + samples);
    return push(f, out);
  }
  if (f.raw) {
    // Decoded frames are cut in front where the clocks disagree.
    at = sample_of(f, pts + duration) - piece->samples;
  }
  if (at + static_cast<std::int64_t>(piece->samples) <= 0) {
    return GST_FLOW_OK;  // before the track
  }
  f.track.packet(piece->opus, piece->samples, at, is_quiet(meta), out);
  f.end = std::max(f.end, at + static_cast<std::int64_t>(piece->samples));
  return push(f, out);
}

void gap(Fill& f, GstEvent* event) {
  GstClockTime at = 0;
  GstClockTime duration = 0;
  gst_event_parse_gap(event, &at, &duration);
  if (!f.started && (f.from_first || !f.origin)) {
    return;
  }
  start(f, at);
  record::OpusTrack::Packets out;
  const std::int64_t until = sample_of(f, at + (GST_CLOCK_TIME_IS_VALID(duration) ? duration : 0));
  f.track.silence_until(until, out);
  f.end = std::max(f.end, until);
  push(f, out);
}

void lost(Fill& f, GstEvent* event) {
  const GstStructure* s = gst_event_get_structure(event);
  guint64 at = 0;
  guint64 duration = 0;
  if (!f.started || !gst_structure_get_uint64(s, "timestamp", &at) ||
      !gst_structure_get_uint64(s, "duration", &duration)) {
    return;
  }
  record::OpusTrack::Packets out;
  const std::int64_t begin = sample_of(f, at);
  const std::int64_t end = sample_of(f, at + duration);
  f.track.lost(begin, end - begin, out);
  f.end = std::max(f.end, end);
  push(f, out);
}

void finish(Fill& f) {
  if (f.started) {
    record::OpusTrack::Packets out;
    f.track.end(f.end, out);
    push(f, out);
  }
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  Fill& f = *GST_DISCORD_OPUS_FILL(parent)->priv;
  const EventPtr owned(event);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      f.raw = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
      return TRUE;
    }
    case GST_EVENT_SEGMENT: {
      const GstSegment* segment = nullptr;
      gst_event_parse_segment(event, &segment);
      if (!f.started) {
        f.origin = segment->start;
      }
      return TRUE;
    }
    case GST_EVENT_TAG: {
      GstTagList* tags = nullptr;
      gst_event_parse_tag(event, &tags);
      f.tags.reset(gst_tag_list_ref(tags));
      return TRUE;
    }
    case GST_EVENT_GAP:
      gap(f, event);
      return TRUE;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      if (gst_event_has_name(event, "GstRTPPacketLost")) {
        lost(f, event);
      }
      return TRUE;
    case GST_EVENT_EOS:
      finish(f);
      break;
    default:
      break;
  }
  return gst_pad_event_default(pad, parent, gst_event_ref(event));
}

void finalize(GObject* object) {
  delete GST_DISCORD_OPUS_FILL(object)->priv;
  G_OBJECT_CLASS(gst_discord_opus_fill_parent_class)->finalize(object);
}

}  // namespace

static void gst_discord_opus_fill_class_init(GstDiscordOpusFillClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = finalize;
  auto* element_class = GST_ELEMENT_CLASS(klass);
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_set_static_metadata(element_class, "Discord Opus filler", "Filter/Audio",
                                        "Makes one gapless Opus stream of a speaker's packets",
                                        "gst-discord");
}

static void gst_discord_opus_fill_init(GstDiscordOpusFill* self) {
  self->priv = new Fill;
  self->priv->sinkpad = gst_pad_new_from_static_template(&sink_template, "sink");
  gst_pad_set_chain_function(self->priv->sinkpad, chain);
  gst_pad_set_event_function(self->priv->sinkpad, sink_event);
  gst_element_add_pad(GST_ELEMENT(self), self->priv->sinkpad);
  self->priv->srcpad = gst_pad_new_from_static_template(&src_template, "src");
  gst_pad_use_fixed_caps(self->priv->srcpad);
  gst_element_add_pad(GST_ELEMENT(self), self->priv->srcpad);
}

void gst_discord_opus_fill_set_from_first(GstDiscordOpusFill* self, gboolean from_first) {
  self->priv->from_first = from_first != FALSE;
}

guint64 gst_discord_opus_fill_get_samples(GstDiscordOpusFill* self) {
  return self->priv->samples;
}
