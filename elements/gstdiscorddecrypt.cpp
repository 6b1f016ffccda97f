// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discorddecrypt
 * @title: discorddecrypt
 * @short_description: opens the transport encryption of Discord voice
 *
 * Takes `application/x-discord-rtp` and gives `application/x-rtp` of all speakers, each buffer with
 * a #GstDiscordSpeakerMeta. Keys come from the `discordvoicesrc` upstream, or from properties when
 * a capture is read. See docs/elements/discorddecrypt.md.
 *
 * |[
 * gst-launch-1.0 filesrc location=call.pcap ! pcapparse caps=application/x-discord-rtp \
 *     ! discorddecrypt mode=aead_xchacha20_poly1305_rtpsize secret-key-file=key ! discordreorder !
 * fakesink
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscorddecrypt.h"

#include "base/mutex.hpp"
#include "elements/author.hpp"
#include "elements/callview.hpp"
#include "elements/deadlinetimer.hpp"
#include "elements/ledgerquery.hpp"
#include "elements/ownkey.hpp"
#include "elements/packetgate.hpp"
#include "elements/rtcpbranch.hpp"
#include "elements/upstreamtiming.hpp"
#include "elements/userfilter.hpp"

#include <memory>
#include <optional>
#include <utility>

GST_DEBUG_CATEGORY_STATIC(discord_decrypt_debug);
#define GST_CAT_DEFAULT discord_decrypt_debug

using namespace discord;

namespace {

constexpr guint default_hold_time = 2000;
constexpr guint default_max_speakers = 256;
constexpr const char* rtp_caps =
    "application/x-rtp, media=(string)audio, encoding-name=(string)OPUS, clock-rate=(int)48000, "
    "payload=(int)120";

struct Settings {
  guint hold_time = default_hold_time;
  guint max_speakers = default_max_speakers;
};

struct Decrypt {
  explicit Decrypt(GstElement* owner)
      : element(owner),
        own_key(owner),
        filter(owner),
        call([this] { timer.kick(); }),
        rtcp(owner),
        timer(owner, [this](GstClockTime now) { on_timer(now); }) {}

  GstElement* element;
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;

  Settings settings;  // object lock
  OwnKeyProperties own_key;
  UserFilter filter;

  // Stream lock of the sink pad.
  UpstreamTiming timing;
  Time last_arrival{};
  std::uint64_t seen_rule = 0;
  CallView call;

  Mutex mutex;
  std::unique_ptr<PacketGate> gate GUARDED_BY(mutex);

  RtcpBranch rtcp;
  DeadlineTimer timer;

  void on_timer(GstClockTime now);
  void find_call();
  void synchronise(PacketGate& g, Time now, GateOutput& out) REQUIRES(mutex);
  PacketGate::Position position() const {
    return [this](Time t) { return timing.position(t); };
  }
  GstFlowReturn deliver(GateOutput& out);
  GstFlowReturn process(std::vector<BufferPtr> datagrams);
  void finish();
  void flush();
  void close();
};

}  // namespace

struct _GstDiscordDecrypt {
  GstElement parent;
  Decrypt* priv;
};

enum {
  PROP_0,
  PROP_MODE,
  PROP_SECRET_KEY,
  PROP_SECRET_KEY_FILE,
  PROP_HOLD_TIME,
  PROP_MAX_SPEAKERS,
  PROP_STATS,
  PROP_FILTER,  // and the other one
};

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS("application/x-discord-rtp"));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS,
                            GST_STATIC_CAPS("application/x-rtp, media=(string)audio, "
                                            "encoding-name=(string)OPUS, clock-rate=(int)48000, "
                                            "payload=(int)120"));
static GstStaticPadTemplate rtcp_template = GST_STATIC_PAD_TEMPLATE(
    "rtcp_src", GST_PAD_SRC, GST_PAD_REQUEST, GST_STATIC_CAPS("application/x-rtcp"));

#define gst_discord_decrypt_parent_class parent_class
G_DEFINE_FINAL_TYPE(GstDiscordDecrypt, gst_discord_decrypt, GST_TYPE_ELEMENT)
GST_ELEMENT_REGISTER_DEFINE(discorddecrypt, "discorddecrypt", GST_RANK_NONE,
                            GST_TYPE_DISCORD_DECRYPT)

namespace {

// The caller holds the stream lock of the sink pad.
void Decrypt::find_call() {
  if (own_key.key()) {
    call.drop();
  } else {
    call.find(sinkpad);
  }
}

// Two atomic loads when nothing has changed.
void Decrypt::synchronise(PacketGate& g, Time now, GateOutput& out) {
  if (const std::uint64_t rule = filter.version(); rule != seen_rule) {
    seen_rule = rule;
    g.use_rule(filter.rule(), now, out, position());
  }
  if (const CallState::SnapshotPtr view = call.take()) {
    g.apply(*view, now, out, position());
  }
}

// Runs on the timer thread: when live, on the clock; a mapping that arrives also kicks it.
void Decrypt::on_timer(GstClockTime now) {
  GST_PAD_STREAM_LOCK(sinkpad);
  GateOutput out;
  if (timing.live() && GST_CLOCK_TIME_IS_VALID(now)) {
    Lock lock(mutex);
    if (gate) {
      const Time time = time_from_ns(static_cast<std::int64_t>(now));
      synchronise(*gate, time, out);
      gate->on_timer(time, out, position());
    }
  }
  deliver(out);
  GST_PAD_STREAM_UNLOCK(sinkpad);
}

// Pushes what was collected and arms the timer for what comes next. Under the stream lock.
GstFlowReturn Decrypt::deliver(GateOutput& out) {
  if (out.undecryptable) {
    call.report_undecryptable(*out.undecryptable);
  }
  const GstFlowReturn flow = out.rtp.push(element, srcpad);
  rtcp.push(sinkpad, std::move(out.rtcp));
  if (timing.live()) {
    Lock lock(mutex);
    const Deadline deadline = gate ? gate->next_deadline() : std::nullopt;
    if (deadline) {
      timer.arm(static_cast<GstClockTime>(std::max<std::int64_t>(to_ns(*deadline), 0)));
    }
  }
  return flow;
}

GstFlowReturn Decrypt::process(std::vector<BufferPtr> datagrams) {
  if (!call && !own_key.key()) {
    find_call();
    if (!call) {
      GST_ELEMENT_ERROR(element, STREAM, DECRYPT_NOKEY,
                        ("There is no key: put discordvoicesrc upstream, or set mode and "
                         "secret-key-file for a capture."),
                        (nullptr));
      return GST_FLOW_ERROR;
    }
  }
  GateOutput out;
  {
    Lock lock(mutex);
    if (!gate) {
      return GST_FLOW_FLUSHING;
    }
    for (BufferPtr& datagram : datagrams) {
      last_arrival = std::max(last_arrival, timing.arrival(datagram.get(), last_arrival));
      synchronise(*gate, last_arrival, out);
      // Behind a file time is what the packets say: what was due before this one happens first.
      for (Deadline due = gate->next_deadline(); !timing.live() && due && *due <= last_arrival;
           due = gate->next_deadline()) {
        gate->on_timer(*due, out, position());
      }
      const Time arrival = timing.arrival(datagram.get(), last_arrival);
      gate->push(std::move(datagram), arrival, out, position());
    }
    call.report(last_arrival, [&] { return gate->ledger(); });
  }
  return deliver(out);
}

// End of the stream: whatever has a deadline has it now.
void Decrypt::finish() {
  GateOutput out;
  {
    Lock lock(mutex);
    for (Deadline due = gate ? gate->next_deadline() : std::nullopt; due;
         due = gate->next_deadline()) {
      gate->on_timer(*due, out, position());
    }
  }
  deliver(out);
}

// A seek or a restart: what waited is of no use any more. Keys and users still are.
void Decrypt::flush() {
  GateOutput out;
  {
    Lock lock(mutex);
    if (gate) {
      gate->flush(last_arrival, out, position());
    }
  }
  deliver(out);  // who spoke, speaks no more
  call.reset();
  timing.flush();
  last_arrival = Time{};
}

// The figures stay readable until the next start; packets and key do not stay.
void Decrypt::close() {
  flush();
  Lock lock(mutex);
  if (gate) {
    gate->forget_key();
  }
}

}  // namespace

static GstFlowReturn gst_discord_decrypt_chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  std::vector<BufferPtr> datagrams;
  datagrams.emplace_back(buffer);
  return GST_DISCORD_DECRYPT(parent)->priv->process(std::move(datagrams));
}

static GstFlowReturn gst_discord_decrypt_chain_list(GstPad*, GstObject* parent,
                                                    GstBufferList* list) {
  return GST_DISCORD_DECRYPT(parent)->priv->process(take_buffers(BufferListPtr(list)));
}

static gboolean gst_discord_decrypt_sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  Decrypt& self = *GST_DISCORD_DECRYPT(parent)->priv;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START: {
      self.find_call();
      // The RTCP branch is a stream of its own.
      return gst_pad_push_event(self.srcpad, event);
    }
    case GST_EVENT_CAPS: {
      gst_event_unref(event);
      const CapsPtr caps(gst_caps_from_string(rtp_caps));
      return gst_pad_push_event(self.srcpad, gst_event_new_caps(caps.get()));
    }
    case GST_EVENT_SEGMENT:
      if (!self.timing.segment_arrived(pad, event)) {
        gst_event_unref(event);
        return FALSE;
      }
      self.rtcp.segment(pad, event);
      return gst_pad_push_event(self.srcpad, event);
    case GST_EVENT_FLUSH_START:
      self.timer.set_flushing(true);
      return gst_pad_event_default(pad, parent, event);
    case GST_EVENT_FLUSH_STOP:
      self.flush();
      self.timer.set_flushing(false);
      return gst_pad_event_default(pad, parent, event);
    case GST_EVENT_EOS:
      self.finish();
      return gst_pad_event_default(pad, parent, event);
    case GST_EVENT_CUSTOM_DOWNSTREAM_STICKY:
      if (self.call.left(event)) {
        gst_event_unref(event);
        self.timer.kick();  // also when no packet follows
        return TRUE;
      }
      return gst_pad_event_default(pad, parent, event);
    case GST_EVENT_CUSTOM_DOWNSTREAM:
    case GST_EVENT_CUSTOM_DOWNSTREAM_OOB:
      if (!self.filter.passes(event, self.call.session())) {
        gst_event_unref(event);
        return TRUE;
      }
      return gst_pad_event_default(pad, parent, event);
    default:
      return gst_pad_event_default(pad, parent, event);
  }
}

static gboolean gst_discord_decrypt_src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  const Decrypt& self = *GST_DISCORD_DECRYPT(parent)->priv;
  return answer_ledger_query(GST_ELEMENT(parent), self.sinkpad, query) ||
         self.filter.answer(query, self.sinkpad) ||
         gst_pad_query_default(pad, parent, query) != FALSE;
}

static void gst_discord_decrypt_start(GstDiscordDecrypt* element) {
  Decrypt& self = *element->priv;
  media::IngressConfig config;
  GST_OBJECT_LOCK(element);
  config.hold.hold_time = std::chrono::milliseconds(self.settings.hold_time);
  config.max_speakers = self.settings.max_speakers;
  GST_OBJECT_UNLOCK(element);

  auto gate = std::make_unique<PacketGate>(GST_ELEMENT_CAST(element), config, self.filter.rule());
  if (const auto& key = self.own_key.key()) {
    GateOutput nothing;
    gate->use_key(key->mode, key->key, Time{}, nothing, self.position());
  }
  {
    Lock lock(self.mutex);
    self.gate = std::move(gate);
  }
  self.call.reset_report();
  self.last_arrival = Time{};
}

static GstStateChangeReturn gst_discord_decrypt_change_state(GstElement* base,
                                                             GstStateChange transition) {
  auto* element = GST_DISCORD_DECRYPT(base);
  Decrypt& self = *element->priv;
  if ((transition == GST_STATE_CHANGE_NULL_TO_READY ||
       transition == GST_STATE_CHANGE_READY_TO_PAUSED) &&
      !self.own_key.prepare()) {
    return GST_STATE_CHANGE_FAILURE;
  }
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    gst_discord_decrypt_start(element);
  }
  self.timer.before_change(transition);
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(base, transition);
  self.timer.after_change(transition, result);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    // The pads are inactive: nobody streams any more.
    self.call.drop();
    self.close();
  }
  if (transition == GST_STATE_CHANGE_READY_TO_NULL) {
    self.own_key.forget();
  }
  return result;
}

static gboolean gst_discord_decrypt_set_clock(GstElement* element, GstClock* clock) {
  const gboolean result = GST_ELEMENT_CLASS(parent_class)->set_clock(element, clock);
  GST_DISCORD_DECRYPT(element)->priv->timer.clock_changed();
  return result;
}

static GstPad* gst_discord_decrypt_request_new_pad(GstElement* element, GstPadTemplate* templ,
                                                   const gchar*, const GstCaps*) {
  return GST_DISCORD_DECRYPT(element)->priv->rtcp.request(templ);
}

static void gst_discord_decrypt_release_pad(GstElement* element, GstPad* pad) {
  GST_DISCORD_DECRYPT(element)->priv->rtcp.release(pad);
}

static void gst_discord_decrypt_set_property(GObject* object, guint id, const GValue* value,
                                             GParamSpec* pspec) {
  Decrypt& self = *GST_DISCORD_DECRYPT(object)->priv;
  if (id >= PROP_MODE && id <= PROP_SECRET_KEY_FILE) {
    self.own_key.set(id - PROP_MODE, value);
    return;
  }
  if (id >= PROP_FILTER) {
    self.filter.set(id - PROP_FILTER, value);
    self.timer.kick();
    return;
  }
  GST_OBJECT_LOCK(object);
  switch (id) {
    case PROP_HOLD_TIME:
      self.settings.hold_time = g_value_get_uint(value);
      break;
    case PROP_MAX_SPEAKERS:
      self.settings.max_speakers = g_value_get_uint(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
  const guint hold_time = self.settings.hold_time;
  GST_OBJECT_UNLOCK(object);
  if (id == PROP_HOLD_TIME) {
    Lock lock(self.mutex);
    if (self.gate) {
      self.gate->set_hold_time(std::chrono::milliseconds(hold_time));
    }
  }
}

static void gst_discord_decrypt_get_property(GObject* object, guint id, GValue* value,
                                             GParamSpec* pspec) {
  Decrypt& self = *GST_DISCORD_DECRYPT(object)->priv;
  if (id == PROP_STATS) {
    Lock lock(self.mutex);
    g_value_take_boxed(value, self.gate
                                  ? self.gate->stats()
                                  : gst_structure_new_empty("application/x-discorddecrypt-stats"));
    return;
  }
  if (id == PROP_MODE || id == PROP_SECRET_KEY_FILE) {
    self.own_key.get(id - PROP_MODE, value);
    return;
  }
  if (id >= PROP_FILTER) {
    self.filter.get(id - PROP_FILTER, value);
    return;
  }
  GST_OBJECT_LOCK(object);
  switch (id) {
    case PROP_HOLD_TIME:
      g_value_set_uint(value, self.settings.hold_time);
      break;
    case PROP_MAX_SPEAKERS:
      g_value_set_uint(value, self.settings.max_speakers);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK(object);
}

static void gst_discord_decrypt_init(GstDiscordDecrypt* element) {
  element->priv = new Decrypt(GST_ELEMENT_CAST(element));
  Decrypt& self = *element->priv;
  self.sinkpad = gst_pad_new_from_static_template(&sink_template, "sink");
  gst_pad_set_chain_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_decrypt_chain));
  gst_pad_set_chain_list_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_decrypt_chain_list));
  gst_pad_set_event_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_decrypt_sink_event));
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.sinkpad);
  self.srcpad = gst_pad_new_from_static_template(&src_template, "src");
  gst_pad_use_fixed_caps(self.srcpad);
  gst_pad_set_query_function(self.srcpad, GST_DEBUG_FUNCPTR(gst_discord_decrypt_src_query));
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.srcpad);
}

static void gst_discord_decrypt_finalize(GObject* object) {
  delete GST_DISCORD_DECRYPT(object)->priv;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

static void gst_discord_decrypt_install_properties(GObjectClass* object_class) {
  const auto flags = [](int access, int mutability) {
    return static_cast<GParamFlags>(access | mutability | G_PARAM_STATIC_STRINGS);
  };
  const auto ready = flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_READY);
  OwnKeyProperties::install(object_class, PROP_MODE);
  UserFilter::install(object_class, PROP_FILTER);
  g_object_class_install_property(
      object_class, PROP_HOLD_TIME,
      g_param_spec_uint("hold-time", "Hold time",
                        "How long packets wait for their key, and in an encrypted call for their "
                        "user, in ms",
                        0, 60000, default_hold_time,
                        flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_PLAYING)));
  g_object_class_install_property(
      object_class, PROP_MAX_SPEAKERS,
      g_param_spec_uint("max-speakers", "Maximum speakers",
                        "How many SSRCs are kept; beyond it the longest idle one goes", 1, 65536,
                        default_max_speakers, ready));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics",
                         "The ledger of the session and of each speaker: where every packet went",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

static void gst_discord_decrypt_class_init(GstDiscordDecryptClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(discord_decrypt_debug, "discorddecrypt", 0, "Discord voice decryption");

  object_class->set_property = gst_discord_decrypt_set_property;
  object_class->get_property = gst_discord_decrypt_get_property;
  object_class->finalize = gst_discord_decrypt_finalize;
  gst_discord_decrypt_install_properties(object_class);

  element_class->change_state = gst_discord_decrypt_change_state;
  element_class->set_clock = gst_discord_decrypt_set_clock;
  element_class->request_new_pad = gst_discord_decrypt_request_new_pad;
  element_class->release_pad = gst_discord_decrypt_release_pad;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_add_static_pad_template(element_class, &rtcp_template);
  gst_element_class_set_static_metadata(
      element_class, "Discord voice decryption", "Decryptor/Network/RTP",
      "Opens the encryption of Discord voice datagrams and tells whose they are", element_author);
}
