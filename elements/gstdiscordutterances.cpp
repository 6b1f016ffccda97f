// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discordutterances
 * @title: discordutterances
 * @short_description: cuts a call into utterances, for speech recognition
 *
 * One buffer an utterance: 16 kHz mono, who said it, when it began and ended. See
 * docs/elements/discordutterances.md.
 *
 * |[
 * gst-launch-1.0 discordvoicesrc endpoint=… session-id=… token-file=token user-id=… guild-id=… \
 *     channel-id=… ! discorddecrypt ! discordreorder ! discordutterances ! fakesink dump=true
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordutterances.h"

#include "discord/gstdiscordspeakermeta.h"
#include "elements/author.hpp"
#include "elements/outputbatch.hpp"
#include "elements/utterances.hpp"

#include <string>

// Shared with utterances.cpp.
GST_DEBUG_CATEGORY(discord_utterances_debug);
#define GST_CAT_DEFAULT discord_utterances_debug

using namespace discord;

struct _GstDiscordUtterances {
  GstElement parent;
  Utterances* priv;
};

enum {
  PROP_0,
  PROP_RATE,
  PROP_GAP,
  PROP_MAX_LENGTH,
  PROP_MIN_LENGTH,
  PROP_PARTIAL_INTERVAL,
  PROP_MAX_WAITING,
  PROP_STATS,
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
    GST_STATIC_CAPS("application/x-rtp, media = (string) audio, encoding-name = (string) OPUS, "
                    "clock-rate = (int) 48000; audio/x-raw(meta:GstDiscordSpeakerMeta), "
                    "format = (string) S16LE, rate = (int) 48000, channels = (int) 2, "
                    "layout = (string) interleaved"));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE(
    "src", GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS("audio/x-raw, format = (string) S16LE, rate = (int) [ 8000, 48000 ], "
                    "channels = (int) 1, layout = (string) interleaved"));

#define gst_discord_utterances_parent_class parent_class
G_DEFINE_FINAL_TYPE(GstDiscordUtterances, gst_discord_utterances, GST_TYPE_ELEMENT)
GST_ELEMENT_REGISTER_DEFINE(discordutterances, "discordutterances", GST_RANK_NONE,
                            GST_TYPE_DISCORD_UTTERANCES)

static GstFlowReturn gst_discord_utterances_chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  std::vector<BufferPtr> buffers;
  buffers.emplace_back(buffer);
  return GST_DISCORD_UTTERANCES(parent)->priv->process(std::move(buffers));
}

static GstFlowReturn gst_discord_utterances_chain_list(GstPad*, GstObject* parent,
                                                       GstBufferList* list) {
  return GST_DISCORD_UTTERANCES(parent)->priv->process(take_buffers(BufferListPtr(list)));
}

static void gst_discord_utterances_task(gpointer element) {
  GST_DISCORD_UTTERANCES(element)->priv->send();
}

static void gst_discord_utterances_name(Utterances& self, GstEvent* event) {
  const GstStructure* s = gst_event_get_structure(event);
  guint64 user = 0;
  const gchar* name = nullptr;
  if (s != nullptr && gst_structure_has_name(s, "discord-user-info") &&
      gst_structure_get_uint64(s, "user-id", &user) &&
      (name = gst_structure_get_string(s, "display-name")) != nullptr) {
    Lock lock(self.mutex);
    if (self.names.size() < 65536) {
      self.names[user] = name;
    }
  }
}

static gboolean gst_discord_utterances_sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  Utterances& self = *GST_DISCORD_UTTERANCES(parent)->priv;
  EventPtr owned(event);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      self.raw = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
      return TRUE;
    }
    case GST_EVENT_SEGMENT:
      if (!self.timing.segment_arrived(pad, event)) {
        return FALSE;
      }
      self.begin();
      return TRUE;
    case GST_EVENT_EOS:
      self.finish();
      self.queue.push({}, 0, false);
      return TRUE;
    case GST_EVENT_FLUSH_START:
      self.timer.set_flushing(true);
      self.queue.set_flushing(true);
      return gst_pad_event_default(pad, parent, owned.release());
    case GST_EVENT_FLUSH_STOP:
      gst_pad_pause_task(self.srcpad);
      self.reset();
      self.timing.flush();
      self.queue.set_flushing(false);
      self.timer.set_flushing(false);
      self.introduced = false;
      gst_pad_event_default(pad, parent, owned.release());
      gst_pad_start_task(self.srcpad, gst_discord_utterances_task, GST_ELEMENT_CAST(parent),
                         nullptr);
      return TRUE;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      gst_discord_utterances_name(self, event);
      return TRUE;
    case GST_EVENT_CUSTOM_DOWNSTREAM_OOB:
      gst_discord_utterances_name(self, event);
      return gst_pad_event_default(pad, parent, owned.release());
    default:
      // What is in the stream must not overtake what waits in the queue, and concerns the packets.
      return (static_cast<guint>(GST_EVENT_TYPE(event)) & GST_EVENT_TYPE_SERIALIZED) != 0
                 ? TRUE
                 : gst_pad_event_default(pad, parent, owned.release());
  }
}

static GstStateChangeReturn gst_discord_utterances_change_state(GstElement* element,
                                                                GstStateChange transition) {
  Utterances& self = *GST_DISCORD_UTTERANCES(element)->priv;
  switch (transition) {
    case GST_STATE_CHANGE_READY_TO_PAUSED: {
      self.reset();
      self.introduced = false;
      {
        Lock lock(self.mutex);
        self.emitted = self.partials = self.clicks = 0;
      }
      self.queue.set_flushing(false);
      self.timer.set_flushing(false);
      self.timer.start();
      break;
    }
    case GST_STATE_CHANGE_PLAYING_TO_PAUSED:
      self.timer.set_playing(false);
      break;
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      self.timer.set_flushing(true);
      self.queue.set_flushing(true);
      break;
    default:
      break;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(element, transition);
  const bool failed = result == GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !failed) {
    gst_pad_start_task(self.srcpad, gst_discord_utterances_task, element, nullptr);
  }
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING) {
    self.timer.set_playing(true);
  }
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (failed && transition == GST_STATE_CHANGE_READY_TO_PAUSED)) {
    self.queue.set_flushing(true);
    gst_pad_stop_task(self.srcpad);
    self.timer.stop();
    self.reset();
    self.timing.flush();
  }
  return result;
}

static gboolean gst_discord_utterances_set_clock(GstElement* element, GstClock* clock) {
  const gboolean result = GST_ELEMENT_CLASS(parent_class)->set_clock(element, clock);
  GST_DISCORD_UTTERANCES(element)->priv->timer.clock_changed();
  return result;
}

static void gst_discord_utterances_request_partials(GstElement* element, gpointer) {
  Utterances& self = *GST_DISCORD_UTTERANCES(element)->priv;
  self.want_partials = true;
  self.timer.kick();
}

static guint* utterances_setting(UtteranceSettings& s, guint id) {
  switch (id) {
    case PROP_RATE:
      return &s.rate;
    case PROP_GAP:
      return &s.gap;
    case PROP_MAX_LENGTH:
      return &s.max_length;
    case PROP_MIN_LENGTH:
      return &s.min_length;
    case PROP_PARTIAL_INTERVAL:
      return &s.partial_interval;
    case PROP_MAX_WAITING:
      return &s.max_waiting;
    default:
      return nullptr;
  }
}

static void gst_discord_utterances_set_property(GObject* object, guint id, const GValue* value,
                                                GParamSpec* pspec) {
  Utterances& self = *GST_DISCORD_UTTERANCES(object)->priv;
  Lock lock(self.mutex);
  if (guint* setting = utterances_setting(self.settings, id)) {
    *setting = g_value_get_uint(value);
  } else {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

static void gst_discord_utterances_get_property(GObject* object, guint id, GValue* value,
                                                GParamSpec* pspec) {
  Utterances& self = *GST_DISCORD_UTTERANCES(object)->priv;
  if (id == PROP_STATS) {
    g_value_take_boxed(value, self.stats());
    return;
  }
  Lock lock(self.mutex);
  if (const guint* setting = utterances_setting(self.settings, id)) {
    g_value_set_uint(value, *setting);
  } else {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
}

static void gst_discord_utterances_finalize(GObject* object) {
  delete GST_DISCORD_UTTERANCES(object)->priv;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

static void gst_discord_utterances_init(GstDiscordUtterances* element) {
  element->priv = new Utterances(GST_ELEMENT_CAST(element));
  Utterances& self = *element->priv;
  self.sinkpad = gst_pad_new_from_static_template(&sink_template, "sink");
  gst_pad_set_chain_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_utterances_chain));
  gst_pad_set_chain_list_function(self.sinkpad,
                                  GST_DEBUG_FUNCPTR(gst_discord_utterances_chain_list));
  gst_pad_set_event_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_utterances_sink_event));
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.sinkpad);
  self.srcpad = gst_pad_new_from_static_template(&src_template, "src");
  gst_pad_use_fixed_caps(self.srcpad);
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.srcpad);
}

static void gst_discord_utterances_class_init(GstDiscordUtterancesClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(discord_utterances_debug, "discordutterances", 0, "Discord utterances");
  if (gst_meta_get_info(meta_name) == nullptr) {
    static const gchar* tags[] = {nullptr};
    gst_meta_register_custom(meta_name, tags, nullptr, nullptr, nullptr);
  }

  object_class->set_property = gst_discord_utterances_set_property;
  object_class->get_property = gst_discord_utterances_get_property;
  object_class->finalize = gst_discord_utterances_finalize;
  const UtteranceSettings defaults;
  const auto add = [&](guint id, const char* name, const char* nick, const char* blurb, guint least,
                       guint most, guint value) {
    g_object_class_install_property(
        object_class, id,
        g_param_spec_uint(name, nick, blurb, least, most, value,
                          static_cast<GParamFlags>(G_PARAM_READWRITE | GST_PARAM_MUTABLE_READY |
                                                   G_PARAM_STATIC_STRINGS)));
  };
  add(PROP_RATE, "rate", "Rate", "Samples a second", 8000, 48000, defaults.rate);
  add(PROP_GAP, "gap", "Gap", "A pause of so many ms ends an utterance", 20, 10000, defaults.gap);
  add(PROP_MAX_LENGTH, "max-length", "Maximum length",
      "An utterance of so many ms is cut and goes on as the next", 1000, 600000,
      defaults.max_length);
  add(PROP_MIN_LENGTH, "min-length", "Minimum length",
      "What is shorter, in ms, is a click and left out", 0, 1000, defaults.min_length);
  add(PROP_PARTIAL_INTERVAL, "partial-interval", "Partial interval",
      "ms of speech after which what there is so far is handed out; 0 = never", 0, 60000, 0);
  add(PROP_MAX_WAITING, "max-waiting", "Maximum waiting",
      "How many utterances wait for a slow reader; beyond it, live, the oldest one is dropped", 1,
      10000, defaults.max_waiting);
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "How many utterances there were and were dropped",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
  // A partial of everybody who is talking, now.
  g_signal_new_class_handler("request-partials", G_TYPE_FROM_CLASS(klass),
                             static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION),
                             G_CALLBACK(gst_discord_utterances_request_partials), nullptr, nullptr,
                             nullptr, G_TYPE_NONE, 0);

  element_class->change_state = gst_discord_utterances_change_state;
  element_class->set_clock = gst_discord_utterances_set_clock;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_set_static_metadata(
      element_class, "Discord utterances", "Filter/Audio",
      "Cuts a call into utterances, one buffer each, for speech recognition", element_author);
}
