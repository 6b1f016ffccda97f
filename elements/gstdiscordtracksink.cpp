// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/gstdiscordtracksink.h"

#include "discord/gstptr.hpp"
#include "elements/trackwriter.hpp"

using namespace discord;

struct GstDiscordTrackSinkPrivate {
  std::shared_ptr<TrackWriter> writer;
  std::function<void()> failed;
  // Streaming thread.
  bool told = false;
  bool seeking = false;  // the encoder writes over what is there
  std::uint64_t offset = 0;
};

struct _GstDiscordTrackSink {
  GstBaseSink parent;
  GstDiscordTrackSinkPrivate* priv;
};

G_DEFINE_FINAL_TYPE(GstDiscordTrackSink, gst_discord_track_sink, GST_TYPE_BASE_SINK)

namespace {

GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

GstFlowReturn render(GstBaseSink* sink, GstBuffer* buffer) {
  auto& p = *GST_DISCORD_TRACK_SINK(sink)->priv;
  const MappedBuffer map(buffer, GST_MAP_READ);
  if (!map || map.size() == 0) {
    return GST_FLOW_OK;
  }
  const ByteSpan bytes(map.data(), map.size());
  bool ok = false;
  if (p.seeking) {
    ok = p.writer->overwrite(p.offset, bytes);
    p.offset += bytes.size();
  } else {
    const guint64 end = GST_BUFFER_OFFSET_END(buffer);
    ok = p.writer->append(bytes, end == GST_BUFFER_OFFSET_NONE ? 0 : end);
  }
  if (!ok && !std::exchange(p.told, true)) {
    p.failed();
  }
  return GST_FLOW_OK;
}

gboolean event(GstBaseSink* sink, GstEvent* event) {
  auto& p = *GST_DISCORD_TRACK_SINK(sink)->priv;
  if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT) {
    const GstSegment* segment = nullptr;
    gst_event_parse_segment(event, &segment);
    if (segment->format == GST_FORMAT_BYTES) {
      p.offset = segment->start;
      p.seeking = p.offset < p.writer->bytes() && p.writer->begun();
    }
  }
  return GST_BASE_SINK_CLASS(gst_discord_track_sink_parent_class)->event(sink, event);
}

gboolean query(GstBaseSink* sink, GstQuery* query) {
  GstFormat format = GST_FORMAT_UNDEFINED;
  if (GST_QUERY_TYPE(query) == GST_QUERY_SEEKING) {
    gst_query_parse_seeking(query, &format, nullptr, nullptr, nullptr);
    gst_query_set_seeking(query, format, format == GST_FORMAT_BYTES, 0, -1);
    return TRUE;
  }
  return GST_BASE_SINK_CLASS(gst_discord_track_sink_parent_class)->query(sink, query);
}

void finalize(GObject* object) {
  delete GST_DISCORD_TRACK_SINK(object)->priv;
  G_OBJECT_CLASS(gst_discord_track_sink_parent_class)->finalize(object);
}

}  // namespace

static void gst_discord_track_sink_class_init(GstDiscordTrackSinkClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = finalize;
  auto* base = GST_BASE_SINK_CLASS(klass);
  base->render = render;
  base->event = event;
  base->query = query;
  gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &sink_template);
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Discord track writer",
                                        "Sink/File", "Writes one file of a recording",
                                        "gst-discord");
}

static void gst_discord_track_sink_init(GstDiscordTrackSink* self) {
  self->priv = new GstDiscordTrackSinkPrivate;
  gst_base_sink_set_sync(GST_BASE_SINK(self), FALSE);
  gst_base_sink_set_async_enabled(GST_BASE_SINK(self), FALSE);
  gst_base_sink_set_last_sample_enabled(GST_BASE_SINK(self), FALSE);
}

GstElement* discord::make_track_sink(std::shared_ptr<TrackWriter> writer,
                                     std::function<void()> failed) {
  auto* self = GST_DISCORD_TRACK_SINK(g_object_new(GST_TYPE_DISCORD_TRACK_SINK, nullptr));
  self->priv->writer = std::move(writer);
  self->priv->failed = std::move(failed);
  return GST_ELEMENT(self);
}
