// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/gstdiscordopusfill.h"

#include "discord/gstdiscordspeakermeta.h"
#include "discord/gstdiscordtags.h"
#include "discord/gstptr.hpp"
#include "elements/quiet.hpp"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"
#include "record/opustrack.hpp"
#include "rtp/packet.hpp"

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

// What a page may hold, a packet that is longer excepted.
constexpr std::uint32_t page_samples = TrackFeed::page_time / (GST_SECOND / 48000);

struct Fill final : TrackFeed::Taker {
  explicit Fill(GstDiscordOpusFill* owner) : self(owner) {}
  ~Fill() = default;

  void begin_turn() override { page = 0; }
  GstFlowReturn take(BufferPtr buffer) override;
  void take(EventPtr event) override;

  GstDiscordOpusFill* const self;
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;
  // Where others have the thread that writes; none: the streaming thread does everything.
  std::unique_ptr<TrackFeed> feed;

  // Of the thread that writes.
  record::OpusTrack track;
  record::OpusTrack::Packets packets;  // on their way; kept for its memory
  std::optional<GstClockTime> origin;  // timestamp of the track's first sample
  bool from_first = false;
  bool raw = false;
  bool started = false;    // caps and lead-in have gone out
  std::uint64_t sent = 0;  // samples, the lead-in included
  std::uint32_t page = 0;  // samples on the page so far; none: the next packet begins one
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

// oggmux ends a page in front of a buffer whose duration makes the page longer than it may be. It
// may not be long at all (make_track_mux), so a page begins where a buffer has a duration.
GstFlowReturn push(Fill& f, BufferPtr buffer, std::uint32_t samples) {
  const auto at = [](std::uint64_t n) {
    return static_cast<GstClockTime>(
        media::duration_from_samples(static_cast<std::int64_t>(n)).count());
  };
  const bool begins = f.page == 0 || f.page + samples > page_samples;
  f.page = begins ? samples : f.page + samples;
  GST_BUFFER_PTS(buffer.get()) = at(f.sent);
  GST_BUFFER_DTS(buffer.get()) = GST_CLOCK_TIME_NONE;
  f.sent += samples;
  GST_BUFFER_DURATION(buffer.get()) =
      begins ? at(f.sent) - GST_BUFFER_PTS(buffer.get()) : GST_CLOCK_TIME_NONE;
  const GstFlowReturn flow = gst_pad_push(f.srcpad, buffer.release());
  if (flow == GST_FLOW_NOT_LINKED || flow < GST_FLOW_EOS) {
    // Whoever pushed into the feed is long gone, so nobody in front of it ends the branch.
    GST_ELEMENT_FLOW_ERROR(f.self, flow);
  }
  return flow;
}

// What the track has become. `as_it_came`: the last of it, if that is the packet of a buffer, which
// then needs no other.
GstFlowReturn push(Fill& f, BufferPtr as_it_came = nullptr) {
  GstFlowReturn flow = GST_FLOW_OK;
  for (std::size_t i = 0; i < f.packets.size() && flow == GST_FLOW_OK; i++) {
    const record::OpusTrack::Packet& p = f.packets[i];
    const bool same = as_it_came && i + 1 == f.packets.size();
    flow = push(f,
                same ? std::move(as_it_came)
                     : BufferPtr(gst_buffer_new_memdup(p.bytes.data(), p.bytes.size())),
                p.samples);
  }
  f.packets.clear();
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
  f.packets = record::OpusTrack::lead_in();
  push(f);
}

struct Piece {
  BufferPtr opus;
  std::uint32_t samples = 0;
};

// The packet inside a buffer: the payload of RTP, or what the meta of a decoded frame carries.
std::optional<Piece> packet_of(const Fill& f, BufferPtr buffer) {
  gsize begin = 0;
  gsize size = 0;
  if (f.raw) {
    const auto* meta = gst_buffer_get_discord_speaker_meta(buffer.get());
    if (meta == nullptr || meta->packet == nullptr) {
      return std::nullopt;
    }
    buffer.reset(gst_buffer_ref(meta->packet));
    size = gst_buffer_get_size(buffer.get());
  }
  std::uint32_t samples = 0;
  {
    const MappedBuffer map(buffer.get(), GST_MAP_READ);
    if (!map) {
      return std::nullopt;
    }
    if (!f.raw) {
      const auto packet = rtp::parse_packet(ByteSpan(map.data(), map.size()));
      if (!packet) {
        return std::nullopt;
      }
      begin = static_cast<gsize>(packet->payload.data() - map.data());
      size = packet->payload.size();
    }
    const auto opus = media::parse_opus_packet(ByteSpan(map.data() + begin, size));
    if (!opus) {
      return std::nullopt;
    }
    samples = opus->duration;
  }
  BufferPtr out(gst_buffer_make_writable(buffer.release()));
  // oggmux makes a hole of a discontinuity; the track has none.
  GST_BUFFER_FLAG_UNSET(
      out.get(), GST_BUFFER_FLAG_DISCONT | GST_BUFFER_FLAG_DELTA_UNIT | GST_BUFFER_FLAG_HEADER);
  gst_buffer_resize(out.get(), static_cast<gssize>(begin), static_cast<gssize>(size));
  return Piece{std::move(out), samples};
}

}  // namespace

GstFlowReturn Fill::take(BufferPtr buffer) {
  const GstClockTime pts = GST_BUFFER_PTS(buffer.get());
  if (!GST_CLOCK_TIME_IS_VALID(pts)) {
    return GST_FLOW_OK;
  }
  const GstClockTime duration =
      GST_BUFFER_DURATION_IS_VALID(buffer.get()) ? GST_BUFFER_DURATION(buffer.get()) : 0;
  const auto* meta = gst_buffer_get_discord_speaker_meta(buffer.get());
  const bool spoken = meta != nullptr && meta->kind == GST_DISCORD_FRAME_AUDIO;
  const bool missing = meta != nullptr && meta->kind != GST_DISCORD_FRAME_SILENCE;
  const bool quiet = is_quiet(meta);
  std::optional<Piece> piece = packet_of(*this, std::move(buffer));
  if (raw && !piece && spoken) {
    GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                      ("These decoded frames do not carry their Opus packets, so they cannot be "
                       "stored without encoding them again. Choose another format."),
                      (nullptr));
    return GST_FLOW_ERROR;
  }
  start(*this, pts);
  std::int64_t at = sample_of(*this, pts);
  if (!piece) {
    const std::int64_t length = sample_of(*this, pts + duration) - at;
    if (missing && length > 0) {
      track.lost(at, length, packets);
    }
    end = std::max(end, at + length);
    return push(*this);
  }
  if (raw) {
    // Decoded frames are cut in front where the clocks disagree.
    at = sample_of(*this, pts + duration) - piece->samples;
  }
  end = std::max(end, at + static_cast<std::int64_t>(piece->samples));
  if (at + static_cast<std::int64_t>(piece->samples) <= 0) {
    return GST_FLOW_OK;  // before the track
  }
  const std::uint64_t left_out = track.left_out();
  {
    const MappedBuffer map(piece->opus.get(), GST_MAP_READ);
    track.packet(ByteSpan(map.data(), map.size()), piece->samples, at, quiet, packets);
  }
  return push(*this, track.left_out() == left_out ? std::move(piece->opus) : nullptr);
}

namespace {

void gap(Fill& f, GstEvent* event) {
  GstClockTime at = 0;
  GstClockTime duration = 0;
  gst_event_parse_gap(event, &at, &duration);
  if (!f.started && (f.from_first || !f.origin)) {
    return;
  }
  start(f, at);
  const std::int64_t until = sample_of(f, at + (GST_CLOCK_TIME_IS_VALID(duration) ? duration : 0));
  f.track.silence_until(until, f.packets);
  f.end = std::max(f.end, until);
  push(f);
}

void lost(Fill& f, GstEvent* event) {
  const GstStructure* s = gst_event_get_structure(event);
  guint64 at = 0;
  guint64 duration = 0;
  if (!f.started || !gst_structure_get_uint64(s, "timestamp", &at) ||
      !gst_structure_get_uint64(s, "duration", &duration)) {
    return;
  }
  const std::int64_t begin = sample_of(f, at);
  const std::int64_t end = sample_of(f, at + duration);
  f.track.lost(begin, end - begin, f.packets);
  f.end = std::max(f.end, end);
  push(f);
}

void finish(Fill& f) {
  if (f.started) {
    f.track.end(f.end, f.packets);
    push(f);
  }
}

// True: it goes on to the muxer.
bool goes_on(Fill& f, GstEvent* event) {
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      f.raw = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
      return false;
    }
    case GST_EVENT_SEGMENT: {
      const GstSegment* segment = nullptr;
      gst_event_parse_segment(event, &segment);
      if (!f.started) {
        f.origin = segment->start;
      }
      return false;
    }
    case GST_EVENT_TAG: {
      GstTagList* tags = nullptr;
      gst_event_parse_tag(event, &tags);
      f.tags.reset(gst_tag_list_ref(tags));
      return false;
    }
    case GST_EVENT_GAP:
      gap(f, event);
      return false;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      if (gst_event_has_name(event, "GstRTPPacketLost")) {
        lost(f, event);
      }
      return false;
    case GST_EVENT_EOS:
      finish(f);
      return true;
    default:
      return true;
  }
}

}  // namespace

void Fill::take(EventPtr event) {
  if (goes_on(*this, event.get())) {
    gst_pad_event_default(sinkpad, GST_OBJECT(self), event.release());
  }
}

namespace {

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  Fill& f = *GST_DISCORD_OPUS_FILL(parent)->priv;
  return f.feed ? f.feed->push(BufferPtr(buffer)) : f.take(BufferPtr(buffer));
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  Fill& f = *GST_DISCORD_OPUS_FILL(parent)->priv;
  if ((gst_event_type_get_flags(GST_EVENT_TYPE(event)) & GST_EVENT_TYPE_SERIALIZED) == 0) {
    return gst_pad_event_default(pad, parent, event);
  }
  f.feed ? f.feed->push(EventPtr(event)) : f.take(EventPtr(event));
  return TRUE;
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  Fill& f = *GST_DISCORD_OPUS_FILL(element)->priv;
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY && f.feed) {
    f.feed->close();
  }
  return GST_ELEMENT_CLASS(gst_discord_opus_fill_parent_class)->change_state(element, transition);
}

void finalize(GObject* object) {
  delete GST_DISCORD_OPUS_FILL(object)->priv;
  G_OBJECT_CLASS(gst_discord_opus_fill_parent_class)->finalize(object);
}

}  // namespace

static void gst_discord_opus_fill_class_init(GstDiscordOpusFillClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = finalize;
  auto* element_class = GST_ELEMENT_CLASS(klass);
  element_class->change_state = change_state;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_set_static_metadata(element_class, "Discord Opus filler", "Filter/Audio",
                                        "Makes one gapless Opus stream of a speaker's packets",
                                        "gst-discord");
}

static void gst_discord_opus_fill_init(GstDiscordOpusFill* self) {
  self->priv = new Fill(self);
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

void discord::write_on(GstDiscordOpusFill* fill, std::shared_ptr<BranchTurns> turns, guint most) {
  fill->priv->feed = std::make_unique<TrackFeed>(std::move(turns), most, *fill->priv);
}

TrackFeed* discord::feed_of(GstDiscordOpusFill* fill) {
  return fill->priv->feed.get();
}

guint64 gst_discord_opus_fill_get_samples(GstDiscordOpusFill* self) {
  return self->priv->samples;
}
