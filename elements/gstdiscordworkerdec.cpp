// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discordworkerdec
 * @title: discordworkerdec
 * @short_description: decrypts, orders and decodes Discord voice in locked-up worker processes
 *
 * Takes `application/x-discord-rtp` and gives the decoded audio of all speakers on one pad, each
 * buffer with a #GstDiscordSpeakerMeta that also carries the authentic Opus packet. What network
 * bytes can do to a decoder they do in a helper process that has no files, no network and no other
 * keys; one that dies is replaced, and no packet is lost. See docs/elements/discordworkerdec.md.
 *
 * |[
 * gst-launch-1.0 -e discordvoicesrc endpoint=… session-id=… token-file=token user-id=… guild-id=… \
 *     channel-id=… ! discordworkerdec ! discordrecordsink location=recordings
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordworkerdec.h"

#include "elements/author.hpp"
#include "elements/ledgerquery.hpp"
#include "elements/outputbatch.hpp"
#include "elements/workerdec.hpp"

GST_DEBUG_CATEGORY(discord_worker_dec_debug);
#define GST_CAT_DEFAULT discord_worker_dec_debug

using namespace discord;

namespace {

// What a worker may take to be replaced, and two frames of 20 ms: part of the latency, always, so
// that it does not change when it happens.
constexpr GstClockTime replacement_latency = 40 * GST_MSECOND;
// With the mask, which lamemp3enc wants to be told even for stereo.
constexpr const char* raw_caps =
    "audio/x-raw(meta:GstDiscordSpeakerMeta), format=(string)S16LE, rate=(int)48000, "
    "channels=(int)2, channel-mask=(bitmask)0x3, layout=(string)interleaved";
constexpr const char* rtp_caps =
    "application/x-rtp, media=(string)audio, encoding-name=(string)OPUS, clock-rate=(int)48000, "
    "payload=(int)120";

}  // namespace

struct _GstDiscordWorkerDec {
  GstElement parent;
  WorkerDec* priv;
};

enum {
  PROP_0,
  PROP_MODE,
  PROP_SECRET_KEY,
  PROP_SECRET_KEY_FILE,
  PROP_STATS,
  PROP_FILTER,
  PROP_IGNORE_BOTS,
  PROP_SETTINGS,  // and those behind it
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS("application/x-discord-rtp"));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src", GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS("audio/x-raw(meta:GstDiscordSpeakerMeta), format=(string)S16LE, "
                    "rate=(int)48000, channels=(int)2, layout=(string)interleaved; "
                    "application/x-rtp, media=(string)audio, encoding-name=(string)OPUS, "
                    "clock-rate=(int)48000, payload=(int)120"));
static GstStaticPadTemplate rtcp_template = GST_STATIC_PAD_TEMPLATE(
    "rtcp_src", GST_PAD_SRC, GST_PAD_REQUEST, GST_STATIC_CAPS("application/x-rtcp"));

#define gst_discord_worker_dec_parent_class parent_class
G_DEFINE_FINAL_TYPE(GstDiscordWorkerDec, gst_discord_worker_dec, GST_TYPE_ELEMENT)
GST_ELEMENT_REGISTER_DEFINE(discordworkerdec, "discordworkerdec", GST_RANK_NONE,
                            GST_TYPE_DISCORD_WORKER_DEC)

static void gst_discord_worker_dec_loop(gpointer data) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(data)->priv;
  DecodeOutput::Item item;
  if (!self.output.take(item) || !self.push_item(std::move(item))) {
    gst_pad_pause_task(self.srcpad);
  }
}

static gboolean gst_discord_worker_dec_activate_src(GstPad* pad, GstObject* parent, GstPadMode mode,
                                                    gboolean active) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(parent)->priv;
  if (mode != GST_PAD_MODE_PUSH) {
    return FALSE;
  }
  if (active) {
    self.flow = GST_FLOW_OK;
    self.output.set_flushing(false);
    return self.same_thread ||
           gst_pad_start_task(pad, gst_discord_worker_dec_loop, parent, nullptr);
  }
  self.output.set_flushing(true);
  return gst_pad_stop_task(pad);
}

static GstFlowReturn gst_discord_worker_dec_chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  std::vector<BufferPtr> datagrams;
  datagrams.emplace_back(buffer);
  return GST_DISCORD_WORKER_DEC(parent)->priv->process(std::move(datagrams));
}

static GstFlowReturn gst_discord_worker_dec_chain_list(GstPad*, GstObject* parent,
                                                       GstBufferList* list) {
  return GST_DISCORD_WORKER_DEC(parent)->priv->process(take_buffers(BufferListPtr(list)));
}

static gboolean gst_discord_worker_dec_sink_event(GstPad* pad, GstObject* parent,
                                                  GstEvent* raw_event) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(parent)->priv;
  EventPtr event(raw_event);
  switch (GST_EVENT_TYPE(raw_event)) {
    case GST_EVENT_STREAM_START:
      self.find_call();
      break;
    case GST_EVENT_CAPS: {
      const bool decode = self.current_settings().decode;
      if (decode && !CapsPtr(gst_pad_get_current_caps(self.srcpad))) {
        self.warn_of_strangers();  // once, not for each new caps event
      }
      const CapsPtr caps(gst_caps_from_string(decode ? raw_caps : rtp_caps));
      event.reset(gst_event_new_caps(caps.get()));
      break;
    }
    case GST_EVENT_SEGMENT: {
      // Frames are stamped with their running time: time zero is the same for all speakers.
      self.timing.segment_arrived(pad, raw_event);
      self.output.set_live(self.timing.live());
      GstSegment segment;
      gst_segment_init(&segment, GST_FORMAT_TIME);
      const guint32 seqnum = gst_event_get_seqnum(raw_event);
      event.reset(gst_event_new_segment(&segment));
      gst_event_set_seqnum(event.get(), seqnum);
      break;
    }
    case GST_EVENT_FLUSH_START:
      self.timer.set_flushing(true);
      self.output.set_flushing(true);
      gst_pad_push_event(self.srcpad, event.release());
      gst_pad_pause_task(self.srcpad);
      return TRUE;
    case GST_EVENT_FLUSH_STOP:
      self.stop_engine();
      self.timing.flush();
      self.last_arrival = self.last_stats = Time{};
      gst_pad_push_event(self.srcpad, event.release());
      self.flow = GST_FLOW_OK;
      self.output.set_flushing(false);
      self.start_engine();
      self.timer.set_flushing(false);
      if (!self.same_thread) {
        gst_pad_start_task(self.srcpad, gst_discord_worker_dec_loop, parent, nullptr);
      }
      return TRUE;
    case GST_EVENT_EOS:
      if (const auto engine = self.current()) {
        engine->drain(self.last_arrival);
        self.output.release();
        self.post_stats();
      }
      break;
    case GST_EVENT_CUSTOM_DOWNSTREAM_STICKY:
      if (self.call.left(raw_event)) {
        self.timer.kick();  // also when no packet follows
        return TRUE;
      }
      break;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
    case GST_EVENT_CUSTOM_DOWNSTREAM_OOB:
      if (!self.filter.passes(raw_event, self.call.session())) {
        return TRUE;
      }
      break;
    default:
      break;
  }
  // The macro for this mixes two enumerations, which C++20 frowns upon.
  if ((gst_event_type_get_flags(GST_EVENT_TYPE(event.get())) & GST_EVENT_TYPE_SERIALIZED) == 0) {
    return gst_pad_push_event(self.srcpad, event.release());
  }
  self.output.add(std::move(event));
  if (self.same_thread) {
    self.hand_on();
  }
  return TRUE;
}

static gboolean gst_discord_worker_dec_src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(parent)->priv;
  if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
    const GstClockTime latency = self.current_settings().latency * GST_MSECOND;
    return answer_latency_query(self.sinkpad, query, latency + replacement_latency);
  }
  return answer_ledger_query(GST_ELEMENT(parent), self.sinkpad, query) ||
         self.filter.answer(query, self.sinkpad) ||
         gst_pad_query_default(pad, parent, query) != FALSE;
}

static GstStateChangeReturn gst_discord_worker_dec_change_state(GstElement* base,
                                                                GstStateChange transition) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(base)->priv;
  if ((transition == GST_STATE_CHANGE_NULL_TO_READY ||
       transition == GST_STATE_CHANGE_READY_TO_PAUSED) &&
      !self.own_key.prepare()) {
    return GST_STATE_CHANGE_FAILURE;
  }
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    self.last_arrival = self.last_stats = Time{};
    self.start_engine();
  } else if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    self.output.set_flushing(true);
  }
  self.timer.before_change(transition);
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(base, transition);
  self.timer.after_change(transition, result);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE)) {
    // The pads are inactive: nobody streams any more.
    self.call.drop();
    self.stop_engine();
    self.timing.flush();
  }
  if (transition == GST_STATE_CHANGE_READY_TO_NULL) {
    self.own_key.forget();
  }
  return result;
}

static gboolean gst_discord_worker_dec_set_clock(GstElement* element, GstClock* clock) {
  const gboolean result = GST_ELEMENT_CLASS(parent_class)->set_clock(element, clock);
  GST_DISCORD_WORKER_DEC(element)->priv->timer.clock_changed();
  return result;
}

static GstPad* gst_discord_worker_dec_request_new_pad(GstElement* element, GstPadTemplate* templ,
                                                      const gchar*, const GstCaps*) {
  return GST_DISCORD_WORKER_DEC(element)->priv->rtcp.request(templ);
}

static void gst_discord_worker_dec_release_pad(GstElement* element, GstPad* pad) {
  GST_DISCORD_WORKER_DEC(element)->priv->rtcp.release(pad);
}

static void gst_discord_worker_dec_set_property(GObject* object, guint id, const GValue* value,
                                                GParamSpec* pspec) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(object)->priv;
  if (id <= PROP_SECRET_KEY_FILE) {
    self.own_key.set(id - PROP_MODE, value);
    return;
  }
  if (id == PROP_FILTER || id == PROP_IGNORE_BOTS) {
    self.filter.set(id - PROP_FILTER, value);
    self.timer.kick();
    return;
  }
  GST_OBJECT_LOCK(object);
  const bool known = self.settings.set(id - PROP_SETTINGS, value);
  GST_OBJECT_UNLOCK(object);
  if (!known) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  } else if (WorkerSettings::is_time(id - PROP_SETTINGS)) {
    const WorkerSettings s = self.current_settings();
    if (const auto engine = self.current()) {
      engine->set_times(std::chrono::milliseconds(s.hold_time),
                        std::chrono::milliseconds(s.latency));
    }
    gst_element_post_message(GST_ELEMENT_CAST(object),
                             gst_message_new_latency(GST_OBJECT_CAST(object)));
  }
}

static void gst_discord_worker_dec_get_property(GObject* object, guint id, GValue* value,
                                                GParamSpec* pspec) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(object)->priv;
  if (id == PROP_STATS) {
    g_value_take_boxed(value, self.stats());
  } else if (id <= PROP_SECRET_KEY_FILE) {
    self.own_key.get(id - PROP_MODE, value);
  } else if (id == PROP_FILTER || id == PROP_IGNORE_BOTS) {
    self.filter.get(id - PROP_FILTER, value);
  } else if (!self.current_settings().get(id - PROP_SETTINGS, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

static void gst_discord_worker_dec_init(GstDiscordWorkerDec* element) {
  element->priv = new WorkerDec(GST_ELEMENT_CAST(element));
  WorkerDec& self = *element->priv;
  self.sinkpad = gst_pad_new_from_static_template(&sink_template, "sink");
  gst_pad_set_chain_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_worker_dec_chain));
  gst_pad_set_chain_list_function(self.sinkpad,
                                  GST_DEBUG_FUNCPTR(gst_discord_worker_dec_chain_list));
  gst_pad_set_event_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_worker_dec_sink_event));
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.sinkpad);
  self.srcpad = gst_pad_new_from_static_template(&src_template, "src");
  gst_pad_set_activatemode_function(self.srcpad,
                                    GST_DEBUG_FUNCPTR(gst_discord_worker_dec_activate_src));
  gst_pad_set_query_function(self.srcpad, GST_DEBUG_FUNCPTR(gst_discord_worker_dec_src_query));
  gst_pad_use_fixed_caps(self.srcpad);
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.srcpad);
}

static void gst_discord_worker_dec_finalize(GObject* object) {
  delete GST_DISCORD_WORKER_DEC(object)->priv;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

static void gst_discord_worker_dec_class_init(GstDiscordWorkerDecClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(discord_worker_dec_debug, "discordworkerdec", 0,
                          "Discord voice decoding in workers");

  object_class->set_property = gst_discord_worker_dec_set_property;
  object_class->get_property = gst_discord_worker_dec_get_property;
  object_class->finalize = gst_discord_worker_dec_finalize;
  OwnKeyProperties::install(object_class, PROP_MODE);
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "Where every packet went, and how the workers are",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
  UserFilter::install(object_class, PROP_FILTER);
  WorkerSettings::install(object_class, PROP_SETTINGS);

  element_class->change_state = gst_discord_worker_dec_change_state;
  element_class->set_clock = gst_discord_worker_dec_set_clock;
  element_class->request_new_pad = gst_discord_worker_dec_request_new_pad;
  element_class->release_pad = gst_discord_worker_dec_release_pad;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_add_static_pad_template(element_class, &rtcp_template);
  gst_element_class_set_static_metadata(
      element_class, "Discord voice decoder in workers", "Codec/Decoder/Audio/Network",
      "Decrypts, orders and decodes Discord voice in locked-up worker processes", element_author);
  gst_type_mark_as_plugin_api(GST_TYPE_DISCORD_ISOLATION, static_cast<GstPluginAPIFlags>(0));
}
