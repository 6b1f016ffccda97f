// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discordmix
 * @title: discordmix
 * @short_description: mixes everybody in a call into one stream
 *
 * Takes the decoded audio of many speakers on one pad and gives their sum, without a break from the
 * beginning on, also while nobody speaks. See docs/elements/discordmix.md.
 *
 * |[
 * gst-launch-1.0 -e discordvoicesrc endpoint=… session-id=… token-file=token user-id=… guild-id=… \
 *     channel-id=… ! discordworkerdec ! discordmix ! autoaudiosink
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordmix.h"

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/author.hpp"
#include "elements/gstdiscordssrcdemux.h"

#include <algorithm>
#include <map>
#include <utility>

GST_DEBUG_CATEGORY_STATIC(discordmix_debug);
#define GST_CAT_DEFAULT discordmix_debug

using namespace discord;

namespace {

constexpr guint default_latency = 20;
// Behind a file the mix follows this far behind the furthest speaker: what the demux keeps for a
// concealment that is announced late, and its tick.
constexpr GstClockTime margin = 300 * GST_MSECOND;
constexpr GstClockTime tick = 100 * GST_MSECOND;
// A speaker's queue: 3.75 s of the shortest frames. The demux keeps speakers closer together. Not
// bounded by time, which a pause would use up.
constexpr guint queue_buffers = 1500;
constexpr const char* mixed_caps =
    "audio/x-raw, format=(string)S16LE, rate=(int)48000, channels=(int)2, "
    "layout=(string)interleaved";

enum { PROP_LATENCY = 1, PROP_STATS };

GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
    GST_STATIC_CAPS("audio/x-raw(meta:GstDiscordSpeakerMeta), format = (string) S16LE, "
                    "rate = (int) 48000, channels = (int) 2, layout = (string) interleaved"));
GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src", GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS("audio/x-raw, format = (string) S16LE, rate = (int) 48000, "
                    "channels = (int) 2, layout = (string) interleaved"));

// Between one pad of the demux, or the silence, and the mixer: the thread that brings one speaker
// must not wait for the mixer, which waits for all of them.
struct Branch {
  GstElement* queue;
  ObjectPtr<GstPad> mixer_pad;
};

}  // namespace

struct GstDiscordMixPrivate {
  GstElement* demux = nullptr;
  GstElement* mixer = nullptr;
  ObjectPtr<GstPad> silence;  // the permanent input: it keeps the mixer going, and ends it
  Branch silence_branch;

  // Of the streaming thread.
  bool live = false;
  GstSegment segment;
  GstClockTime furthest = 0;  // end of what came, running time
  GstClockTime silent_until = 0;

  Mutex mutex;
  std::map<GstPad*, Branch> branches GUARDED_BY(mutex);
};

struct _GstDiscordMix {
  GstBin parent;
  GstDiscordMixPrivate* priv;
};

G_DEFINE_FINAL_TYPE_WITH_CODE(GstDiscordMix, gst_discord_mix, GST_TYPE_BIN,
                              GST_DEBUG_CATEGORY_INIT(discordmix_debug, "discordmix", 0,
                                                      "Discord mixer"))
GST_ELEMENT_REGISTER_DEFINE(discordmix, "discordmix", GST_RANK_NONE, GST_TYPE_DISCORD_MIX)

namespace {

// --- branches ---

Branch make_branch(GstDiscordMix* self) {
  auto& p = *self->priv;
  Branch branch{gst_element_factory_make("queue", nullptr),
                ObjectPtr<GstPad>(gst_element_request_pad_simple(p.mixer, "sink_%u"))};
  g_object_set(branch.queue, "max-size-buffers", queue_buffers, "max-size-bytes", 0U,
               "max-size-time", guint64{0}, nullptr);
  gst_bin_add(GST_BIN(self), branch.queue);
  const ObjectPtr<GstPad> out(gst_element_get_static_pad(branch.queue, "src"));
  gst_pad_link(out.get(), branch.mixer_pad.get());
  return branch;
}

void drop_branch(GstDiscordMix* self, Branch& branch) {
  gst_element_set_state(branch.queue, GST_STATE_NULL);
  gst_element_release_request_pad(self->priv->mixer, branch.mixer_pad.get());
  gst_bin_remove(GST_BIN(self), branch.queue);
}

void on_pad_added(GstElement*, GstPad* pad, gpointer data) {
  auto* self = GST_DISCORD_MIX(data);
  Branch branch = make_branch(self);
  gst_element_sync_state_with_parent(branch.queue);
  const ObjectPtr<GstPad> in(gst_element_get_static_pad(branch.queue, "sink"));
  gst_pad_link(pad, in.get());
  Lock lock(self->priv->mutex);
  self->priv->branches.emplace(pad, std::move(branch));
}

void on_pad_removed(GstElement*, GstPad* pad, gpointer data) {
  auto* self = GST_DISCORD_MIX(data);
  Lock lock(self->priv->mutex);
  auto node = self->priv->branches.extract(pad);
  lock.unlock();
  if (!node.empty()) {
    drop_branch(self, node.mapped());
  }
}

// --- silence ---

void begin_silence(GstDiscordMixPrivate& p) {
  gst_pad_push_event(p.silence.get(), gst_event_new_stream_start("discordmix/silence"));
  const CapsPtr caps(gst_caps_from_string(mixed_caps));
  gst_pad_push_event(p.silence.get(), gst_event_new_caps(caps.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(p.silence.get(), gst_event_new_segment(&segment));
  p.furthest = p.silent_until = 0;
}

void be_silent_until(GstDiscordMixPrivate& p, GstClockTime until) {
  if (until > p.silent_until) {
    gst_pad_push_event(p.silence.get(), gst_event_new_gap(p.silent_until, until - p.silent_until));
    p.silent_until = until;
  }
}

// A live mixer goes by the clock. Behind a file there is no time but that of the speakers.
void follow(GstDiscordMixPrivate& p, GstBuffer* buffer) {
  if (p.live || !GST_BUFFER_PTS_IS_VALID(buffer) || p.segment.format != GST_FORMAT_TIME) {
    return;
  }
  const GstClockTime end = GST_BUFFER_PTS(buffer) +
                           (GST_BUFFER_DURATION_IS_VALID(buffer) ? GST_BUFFER_DURATION(buffer) : 0);
  const guint64 running = gst_segment_to_running_time(&p.segment, GST_FORMAT_TIME, end);
  if (GST_CLOCK_TIME_IS_VALID(running)) {
    p.furthest = std::max<GstClockTime>(p.furthest, running);
    if (p.furthest >= p.silent_until + margin + tick) {
      be_silent_until(p, p.furthest - margin);
    }
  }
}

void take_event(GstDiscordMix* self, GstEvent* event) {
  auto& p = *self->priv;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_SEGMENT: {
      gst_event_copy_segment(event, &p.segment);
      const QueryPtr query(gst_query_new_latency());
      const ObjectPtr<GstPad> sink(gst_element_get_static_pad(GST_ELEMENT(self), "sink"));
      gboolean live = FALSE;
      if (gst_pad_peer_query(sink.get(), query.get())) {
        gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
      }
      p.live = live != FALSE;
      break;
    }
    case GST_EVENT_EOS:
      if (!p.live) {
        be_silent_until(p, p.furthest);
      }
      gst_pad_push_event(p.silence.get(), gst_event_ref(event));
      break;
    case GST_EVENT_FLUSH_START:
      gst_pad_push_event(p.silence.get(), gst_event_ref(event));
      break;
    case GST_EVENT_FLUSH_STOP:
      gst_pad_push_event(p.silence.get(), gst_event_ref(event));
      begin_silence(p);
      break;
    default:
      break;
  }
}

GstPadProbeReturn on_sink(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto* self = GST_DISCORD_MIX(data);
  if ((info->type & GST_PAD_PROBE_TYPE_BUFFER) != 0) {
    follow(*self->priv, GST_PAD_PROBE_INFO_BUFFER(info));
  } else if ((info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0) {
    GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
    for (guint i = 0; i < gst_buffer_list_length(list); i++) {
      follow(*self->priv, gst_buffer_list_get(list, i));
    }
  } else {
    take_event(self, GST_PAD_PROBE_INFO_EVENT(info));
  }
  return GST_PAD_PROBE_OK;
}

// The silence is as live as what is upstream, so that the mixer goes by the clock before anybody
// has spoken.
gboolean silence_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
    auto* self = GST_DISCORD_MIX(gst_pad_get_element_private(pad));
    const ObjectPtr<GstPad> sink(gst_element_get_static_pad(GST_ELEMENT(self), "sink"));
    return gst_pad_peer_query(sink.get(), query);
  }
  return gst_pad_query_default(pad, parent, query);
}

// What comes out is one stream: the speakers inside are nothing to select from.
void handle_message(GstBin* bin, GstMessage* message) {
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_STREAM_COLLECTION) {
    gst_message_unref(message);
  } else {
    GST_BIN_CLASS(gst_discord_mix_parent_class)->handle_message(bin, message);
  }
}

GstPadProbeReturn on_mixed_event(GstPad*, GstPadProbeInfo* info, gpointer) {
  return GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_STREAM_COLLECTION
             ? GST_PAD_PROBE_DROP
             : GST_PAD_PROBE_OK;
}

// --- element ---

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto& p = *GST_DISCORD_MIX(element)->priv;
  if (p.mixer == nullptr) {
    GST_ELEMENT_ERROR(element, CORE, MISSING_PLUGIN,
                      ("The element audiomixer is missing. On Debian it is in the package "
                       "gstreamer1.0-plugins-base."),
                      (nullptr));
    return GST_STATE_CHANGE_FAILURE;
  }
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    gst_segment_init(&p.segment, GST_FORMAT_UNDEFINED);
    p.live = false;
    gst_pad_set_active(p.silence.get(), TRUE);
  } else if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    gst_pad_set_active(p.silence.get(), FALSE);
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_discord_mix_parent_class)->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result != GST_STATE_CHANGE_FAILURE) {
    begin_silence(p);
  }
  return result;
}

GstStructure* stats_of(GstDiscordMix* self) {
  GstStructure* raw = nullptr;
  g_object_get(self->priv->demux, "stats", &raw, nullptr);
  const StructurePtr demux(raw);
  GstStructure* out = gst_structure_new_empty("application/x-discordmix-stats");
  for (const char* field : {"num-speakers", "num-packets", "num-too-many-speakers"}) {
    gst_structure_set_value(out, field, gst_structure_get_value(demux.get(), field));
  }
  return out;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  auto& p = *GST_DISCORD_MIX(object)->priv;
  if (id == PROP_LATENCY) {
    if (p.mixer != nullptr) {
      g_object_set(p.mixer, "latency", g_value_get_uint(value) * GST_MSECOND, nullptr);
    }
  } else {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_MIX(object);
  switch (id) {
    case PROP_LATENCY: {
      guint64 latency = 0;
      if (self->priv->mixer != nullptr) {
        g_object_get(self->priv->mixer, "latency", &latency, nullptr);
      }
      g_value_set_uint(value, static_cast<guint>(latency / GST_MSECOND));
      break;
    }
    case PROP_STATS:
      g_value_take_boxed(value, stats_of(self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

void dispose(GObject* object) {
  auto* self = GST_DISCORD_MIX(object);
  if (self->priv != nullptr && self->priv->silence_branch.mixer_pad) {
    drop_branch(self, self->priv->silence_branch);
    self->priv->silence_branch.mixer_pad.reset();
  }
  G_OBJECT_CLASS(gst_discord_mix_parent_class)->dispose(object);
}

void finalize(GObject* object) {
  delete GST_DISCORD_MIX(object)->priv;
  G_OBJECT_CLASS(gst_discord_mix_parent_class)->finalize(object);
}

}  // namespace

static void gst_discord_mix_class_init(GstDiscordMixClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->dispose = dispose;
  object_class->finalize = finalize;
  element_class->change_state = change_state;
  GST_BIN_CLASS(klass)->handle_message = handle_message;

  g_object_class_install_property(
      object_class, PROP_LATENCY,
      g_param_spec_uint("latency", "Latency",
                        "How long the mixer of a live stream waits for a speaker beyond the "
                        "latency upstream, in ms",
                        0, 5000, default_latency,
                        static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                                 GST_PARAM_MUTABLE_PLAYING)));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "Who is mixed", GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));

  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_set_static_metadata(element_class, "Discord mixer", "Filter/Audio/Mixer",
                                        "Mixes everybody in a call into one stream",
                                        element_author);
}

static void gst_discord_mix_init(GstDiscordMix* self) {
  self->priv = new GstDiscordMixPrivate;
  auto& p = *self->priv;
  gst_segment_init(&p.segment, GST_FORMAT_UNDEFINED);
  p.demux = GST_ELEMENT(g_object_new(GST_TYPE_DISCORD_SSRC_DEMUX, "name", "demux", nullptr));
  gst_discord_ssrc_demux_set_embedded(GST_DISCORD_SSRC_DEMUX(p.demux), TRUE);
  gst_discord_ssrc_demux_set_unselected(GST_DISCORD_SSRC_DEMUX(p.demux), TRUE);
  // It loses its pads when it is disposed of, which a message on some bus may put off.
  for (const auto& [signal, handler] : {std::pair("pad-added", G_CALLBACK(on_pad_added)),
                                        std::pair("pad-removed", G_CALLBACK(on_pad_removed))}) {
    g_signal_connect_object(p.demux, signal, handler, self, static_cast<GConnectFlags>(0));
  }
  gst_bin_add(GST_BIN(self), p.demux);
  const ObjectPtr<GstPad> in(gst_element_get_static_pad(p.demux, "sink"));
  gst_pad_add_probe(in.get(),
                    static_cast<GstPadProbeType>(
                        GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST |
                        GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM | GST_PAD_PROBE_TYPE_EVENT_FLUSH),
                    on_sink, self, nullptr);
  const ObjectPtr<GstPadTemplate> sink(gst_static_pad_template_get(&sink_template));
  const ObjectPtr<GstPadTemplate> src(gst_static_pad_template_get(&src_template));
  gst_element_add_pad(GST_ELEMENT(self),
                      gst_ghost_pad_new_from_template("sink", in.get(), sink.get()));

  p.mixer = gst_element_factory_make("audiomixer", "mixer");
  if (p.mixer == nullptr) {
    gst_element_add_pad(GST_ELEMENT(self),
                        gst_ghost_pad_new_no_target_from_template("src", src.get()));
    return;  // said at READY
  }
  // A frame goes exactly where its time says: the default would glue over pauses of up to 40 ms.
  g_object_set(p.mixer, "latency", default_latency * GST_MSECOND, "alignment-threshold", guint64{0},
               "discont-wait", guint64{0}, nullptr);
  GstElement* filter = gst_element_factory_make("capsfilter", "caps");
  const CapsPtr caps(gst_caps_from_string(mixed_caps));
  g_object_set(filter, "caps", caps.get(), nullptr);
  gst_bin_add_many(GST_BIN(self), p.mixer, filter, nullptr);
  gst_element_link(p.mixer, filter);
  const ObjectPtr<GstPad> mixed(gst_element_get_static_pad(p.mixer, "src"));
  gst_pad_add_probe(mixed.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_mixed_event, nullptr,
                    nullptr);
  const ObjectPtr<GstPad> out(gst_element_get_static_pad(filter, "src"));
  gst_element_add_pad(GST_ELEMENT(self),
                      gst_ghost_pad_new_from_template("src", out.get(), src.get()));

  p.silence_branch = make_branch(self);
  p.silence.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("silence", GST_PAD_SRC))));
  gst_pad_set_element_private(p.silence.get(), self);
  gst_pad_set_query_function(p.silence.get(), silence_query);
  const ObjectPtr<GstPad> first(gst_element_get_static_pad(p.silence_branch.queue, "sink"));
  // It is no pad of an element, so there is no hierarchy to check.
  gst_pad_link_full(p.silence.get(), first.get(), GST_PAD_LINK_CHECK_NOTHING);
}
