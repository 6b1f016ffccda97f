/**
 * SECTION:element-discordssrcdemux
 *
 * Splits a stream of many Discord speakers (RTP, or decoded audio) into one pad per speaker. See
 * docs/elements/discordssrcdemux.md.
 *
 * |[
 * gst-launch-1.0 filesrc location=call.pcap ! pcapparse ! discorddecrypt secret-key-file=key ! \
 *     discordreorder ! discordssrcdemux ! rtpopusdepay max-reorder=0 ! opusdec ! wavenc ! filesink
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordssrcdemux.h"

#include "discord/gstdiscordtags.h"
#include "discord/gstptr.hpp"
#include "elements/author.hpp"
#include "elements/deadlinetimer.hpp"
#include "elements/gstdiscordssrcdemuxpad.h"
#include "elements/speakerpads.hpp"

#include <atomic>
#include <utility>

// Shared with speakerpads.cpp.
GST_DEBUG_CATEGORY(discordssrcdemux_debug);
#define GST_CAT_DEFAULT discordssrcdemux_debug

using namespace discord;

struct GstDiscordSsrcDemuxPrivate {
  explicit GstDiscordSsrcDemuxPrivate(GstDiscordSsrcDemux* self);

  SpeakerPads pads;

  // What upstream answered to the LATENCY query; asked again when `latency_known` is cleared.
  std::atomic<bool> latency_known = false;
  std::atomic<bool> live = false;
  std::atomic<GstClockTime> latency = 0;

  // Of the last seek that came from below; every sink behind every pad sends the same.
  std::atomic<guint32> last_seek = GST_SEQNUM_INVALID;

  GstPad* sinkpad = nullptr;
  DeadlineTimer timer;
};

struct _GstDiscordSsrcDemux {
  GstElement parent;
  GstDiscordSsrcDemuxPrivate* priv;
};

G_DEFINE_FINAL_TYPE_WITH_CODE(GstDiscordSsrcDemux, gst_discord_ssrc_demux, GST_TYPE_ELEMENT,
                              GST_DEBUG_CATEGORY_INIT(discordssrcdemux_debug, "discordssrcdemux", 0,
                                                      "Discord speaker demuxer"))
GST_ELEMENT_REGISTER_DEFINE(discordssrcdemux, "discordssrcdemux", GST_RANK_NONE,
                            GST_TYPE_DISCORD_SSRC_DEMUX)

namespace {

#define RTP_CAPS                                                               \
  "application/x-rtp, media = (string) audio, encoding-name = (string) OPUS, " \
  "clock-rate = (int) 48000"
#define RAW_FORMAT \
  "format = (string) S16LE, rate = (int) 48000, channels = (int) 2, layout = (string) interleaved"

GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
    GST_STATIC_CAPS(RTP_CAPS "; audio/x-raw(meta:GstDiscordSpeakerMeta), " RAW_FORMAT));
GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src_%u", GST_PAD_SRC, GST_PAD_SOMETIMES,
                            GST_STATIC_CAPS(RTP_CAPS "; audio/x-raw, " RAW_FORMAT));

enum { PROP_GROUP_BY = 1, PROP_MAX_SPEAKERS, PROP_IDLE_TIMEOUT, PROP_STATS };

GType group_by_get_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {GST_DISCORD_GROUP_BY_USER, "One pad a user, also when the SSRC changes", "user"},
        {GST_DISCORD_GROUP_BY_SSRC, "One pad an SSRC", "ssrc"},
        {0, nullptr, nullptr}};
    return g_enum_register_static("GstDiscordGroupBy", values);
  }();
  return type;
}

void query_latency(GstDiscordSsrcDemux* self) {
  auto& p = *self->priv;
  p.latency_known = true;
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  GstClockTime min = 0;
  if (gst_pad_peer_query(p.sinkpad, query.get())) {
    gst_query_parse_latency(query.get(), &live, &min, nullptr);
  }
  p.live = live != FALSE;
  p.latency = GST_CLOCK_TIME_IS_VALID(min) ? min : 0;
}

void on_tick(GstDiscordSsrcDemux* self, GstClockTime now) {
  auto& p = *self->priv;
  query_latency(self);
  if (!p.live) {
    return;  // armed again when upstream may have changed
  }
  GST_PAD_STREAM_LOCK(p.sinkpad);
  if (!GST_PAD_IS_FLUSHING(p.sinkpad) && !GST_PAD_IS_EOS(p.sinkpad)) {
    p.pads.fill_gaps_by_clock(now, p.latency);
  }
  GST_PAD_STREAM_UNLOCK(p.sinkpad);
  p.timer.arm_no_later(now + SpeakerPads::tick);
}

// --- data ---

bool ready_for_data(GstDiscordSsrcDemux* self) {
  auto& p = *self->priv;
  if (!p.latency_known) {
    query_latency(self);
    if (p.live) {
      p.timer.arm_no_later(0);
    }
  }
  if (p.pads.current_segment().format != GST_FORMAT_TIME) {
    GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                      ("The stream does not count time: set format=time on the source."),
                      (nullptr));
    return false;
  }
  return true;
}

// After data, and after events that say that time has passed.
void fill_gaps_by_progress(GstDiscordSsrcDemux* self) {
  auto& p = *self->priv;
  if (!p.live) {
    p.pads.fill_gaps_by_progress(p.latency);
  }
}

template <class Data> GstFlowReturn take(GstDiscordSsrcDemux* self, Data data) {
  auto& p = *self->priv;
  if (!ready_for_data(self)) {
    return GST_FLOW_ERROR;
  }
  p.pads.push(std::move(data));
  fill_gaps_by_progress(self);
  return GST_PAD_IS_FLUSHING(p.sinkpad) ? GST_FLOW_FLUSHING : p.pads.flow();
}

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  return take(GST_DISCORD_SSRC_DEMUX(parent), BufferPtr(buffer));
}

GstFlowReturn chain_list(GstPad*, GstObject* parent, GstBufferList* list) {
  return take(GST_DISCORD_SSRC_DEMUX(parent), BufferListPtr(list));
}

// --- events and queries ---

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = GST_DISCORD_SSRC_DEMUX(parent);
  auto& p = *self->priv;
  EventPtr owned(event);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START: {
      const gchar* id;
      guint group_id;
      gst_event_parse_stream_start(event, &id);
      if (!gst_event_parse_group_id(event, &group_id)) {
        group_id = gst_util_group_id_next();
      }
      p.latency_known = false;
      p.pads.stream_start(id, group_id);
      return TRUE;
    }
    case GST_EVENT_CAPS: {
      GstCaps* caps;
      gst_event_parse_caps(event, &caps);
      p.pads.caps(caps);
      return TRUE;
    }
    case GST_EVENT_SEGMENT:
      p.latency_known = false;
      p.pads.segment(event);
      return TRUE;
    case GST_EVENT_EOS:
      p.pads.eos(std::move(owned));
      return TRUE;
    case GST_EVENT_GAP: {
      GstClockTime at;
      GstClockTime duration;
      gst_event_parse_gap(event, &at, &duration);
      p.pads.time_passed(at, duration);
      fill_gaps_by_progress(self);
      return TRUE;
    }
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      if (gst_event_has_name(event, "GstRTPPacketLost")) {
        p.pads.lost(std::move(owned));
        return TRUE;
      }
      if (gst_event_has_name(event, "discord-speaking")) {
        p.pads.speaking(event);
        return TRUE;
      }
      if (gst_event_has_name(event, "discord-user-info")) {
        p.pads.user_info(event);
      }
      p.pads.push_to_all(event);
      return TRUE;
    case GST_EVENT_FLUSH_START:
      p.timer.set_flushing(true);
      // A recording keeps what it has.
      return p.pads.embedded() ? TRUE : gst_pad_event_default(pad, parent, owned.release());
    case GST_EVENT_FLUSH_STOP:
      p.pads.flush_stop();
      p.latency_known = false;
      p.timer.set_flushing(false);
      return p.pads.embedded() ? TRUE : gst_pad_event_default(pad, parent, owned.release());
    case GST_EVENT_TAG:
      return TRUE;  // they say something of all speakers at once; each pad has its own
    default:
      return gst_pad_event_default(pad, parent, owned.release());
  }
}

gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  switch (GST_QUERY_TYPE(query)) {
    case GST_QUERY_CAPS: {
      GstCaps* filter;
      gst_query_parse_caps(query, &filter);
      CapsPtr caps(gst_pad_get_pad_template_caps(pad));
      if (filter != nullptr) {
        caps.reset(gst_caps_intersect_full(filter, caps.get(), GST_CAPS_INTERSECT_FIRST));
      }
      gst_query_set_caps_result(query, caps.get());
      return TRUE;
    }
    case GST_QUERY_ALLOCATION:
      return FALSE;  // no pool fits several consumers
    default:
      return gst_pad_query_default(pad, parent, query);
  }
}

gboolean src_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = GST_DISCORD_SSRC_DEMUX(parent);
  auto& p = *self->priv;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_QOS:          // one slow consumer must not throttle what all others hear
    case GST_EVENT_RECONFIGURE:  // a pad's caps are fixed; upstream has nothing to decide
      gst_event_unref(event);
      return TRUE;
    case GST_EVENT_SEEK: {
      // Upstream gets it once.
      const guint32 seqnum = gst_event_get_seqnum(event);
      if (p.last_seek.exchange(seqnum) == seqnum) {
        gst_event_unref(event);
        return TRUE;
      }
      return gst_pad_push_event(p.sinkpad, event);
    }
    case GST_EVENT_LATENCY:
      p.latency_known = false;
      return gst_pad_event_default(pad, parent, event);
    default:
      return gst_pad_event_default(pad, parent, event);
  }
}

// --- element ---

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto* self = GST_DISCORD_SSRC_DEMUX(element);
  auto& p = *self->priv;
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    p.pads.reset();
    p.latency_known = false;
    p.live = false;
  }
  p.timer.before_change(transition);
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_discord_ssrc_demux_parent_class)->change_state(element, transition);
  p.timer.after_change(transition, result);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    // The sink pad is inactive and the timer has ended: nobody is inside.
    p.pads.clear();
  }
  return result;
}

gboolean set_clock(GstElement* element, GstClock* clock) {
  const gboolean ok =
      GST_ELEMENT_CLASS(gst_discord_ssrc_demux_parent_class)->set_clock(element, clock);
  GST_DISCORD_SSRC_DEMUX(element)->priv->timer.clock_changed();
  return ok;
}

GstStructure* make_stats(GstDiscordSsrcDemux* self) {
  const SpeakerPads::Stats s = self->priv->pads.stats();
  return gst_structure_new(
      "application/x-discordssrcdemux-stats", "num-speakers", G_TYPE_UINT, s.speakers,
      "num-packets", G_TYPE_UINT64, s.packets, "num-malformed", G_TYPE_UINT64, s.malformed,
      "num-too-many-speakers", G_TYPE_UINT64, s.too_many, "num-dead-pad", G_TYPE_UINT64, s.dead_pad,
      "num-lost", G_TYPE_UINT64, s.lost, "num-lost-unknown-ssrc", G_TYPE_UINT64, s.lost_unknown,
      "num-gaps", G_TYPE_UINT64, s.gaps, "num-removed", G_TYPE_UINT64, s.removed, nullptr);
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  GST_DISCORD_SSRC_DEMUX(object)->priv->pads.configure([&](SpeakerPads::Settings& settings) {
    switch (id) {
      case PROP_GROUP_BY:
        settings.group_by =
            g_value_get_enum(value) == GST_DISCORD_GROUP_BY_SSRC ? GroupBy::Ssrc : GroupBy::User;
        break;
      case PROP_MAX_SPEAKERS:
        settings.max_speakers = g_value_get_uint(value);
        break;
      case PROP_IDLE_TIMEOUT:
        settings.idle_timeout_ms = g_value_get_uint(value);
        break;
      default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
        break;
    }
  });
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_SSRC_DEMUX(object);
  const SpeakerPads::Settings settings = self->priv->pads.settings();
  switch (id) {
    case PROP_GROUP_BY:
      g_value_set_enum(value, settings.group_by == GroupBy::Ssrc ? GST_DISCORD_GROUP_BY_SSRC
                                                                 : GST_DISCORD_GROUP_BY_USER);
      break;
    case PROP_MAX_SPEAKERS:
      g_value_set_uint(value, settings.max_speakers);
      break;
    case PROP_IDLE_TIMEOUT:
      g_value_set_uint(value, settings.idle_timeout_ms);
      break;
    case PROP_STATS:
      g_value_take_boxed(value, make_stats(self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

void finalize(GObject* object) {
  delete GST_DISCORD_SSRC_DEMUX(object)->priv;
  G_OBJECT_CLASS(gst_discord_ssrc_demux_parent_class)->finalize(object);
}

}  // namespace

GstDiscordSsrcDemuxPrivate::GstDiscordSsrcDemuxPrivate(GstDiscordSsrcDemux* self)
    : pads(GST_ELEMENT(self), src_event),
      timer(GST_ELEMENT(self), [self](GstClockTime now) { on_tick(self, now); }) {}

static void gst_discord_ssrc_demux_class_init(GstDiscordSsrcDemuxClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  element_class->change_state = change_state;
  element_class->set_clock = set_clock;

  const auto rw = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                           GST_PARAM_MUTABLE_READY);
  const auto rw_playing = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                                   GST_PARAM_MUTABLE_PLAYING);
  g_object_class_install_property(
      object_class, PROP_GROUP_BY,
      g_param_spec_enum("group-by", "Group by", "What one pad stands for", group_by_get_type(),
                        GST_DISCORD_GROUP_BY_USER, rw));
  g_object_class_install_property(
      object_class, PROP_MAX_SPEAKERS,
      g_param_spec_uint("max-speakers", "Maximum speakers",
                        "Pads at most; packets of further speakers are dropped and counted", 1,
                        65536, 256, rw_playing));
  g_object_class_install_property(
      object_class, PROP_IDLE_TIMEOUT,
      g_param_spec_uint("idle-timeout", "Idle timeout",
                        "Milliseconds of silence after which a pad gets EOS and is removed "
                        "(0 = never)",
                        0, 86400000, 0, rw_playing));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "What came in and where it went",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));

  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template_with_gtype(element_class, &src_template,
                                                       GST_TYPE_DISCORD_SSRC_DEMUX_PAD);
  gst_element_class_set_static_metadata(
      element_class, "Discord speaker demuxer", "Demuxer/Network/RTP",
      "Splits a stream of many speakers into one pad per speaker", element_author);
  gst_type_mark_as_plugin_api(group_by_get_type(), static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_DISCORD_SSRC_DEMUX_PAD, static_cast<GstPluginAPIFlags>(0));
  gst_discord_tags_register();
}

static void gst_discord_ssrc_demux_init(GstDiscordSsrcDemux* self) {
  self->priv = new GstDiscordSsrcDemuxPrivate(self);
  GstPad* pad = gst_pad_new_from_static_template(&sink_template, "sink");
  gst_pad_set_chain_function(pad, chain);
  gst_pad_set_chain_list_function(pad, chain_list);
  gst_pad_set_event_function(pad, sink_event);
  gst_pad_set_query_function(pad, sink_query);
  gst_element_add_pad(GST_ELEMENT(self), pad);
  self->priv->sinkpad = pad;
}

void gst_discord_ssrc_demux_set_embedded(GstDiscordSsrcDemux* self, gboolean embedded) {
  self->priv->pads.set_embedded(embedded != FALSE);
}

void gst_discord_ssrc_demux_set_unselected(GstDiscordSsrcDemux* self, gboolean unselected) {
  self->priv->pads.set_unselected(unselected != FALSE);
}
