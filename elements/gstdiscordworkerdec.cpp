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

#include "discord/gstdiscordsession.h"
#include "elements/deadlinetimer.hpp"
#include "elements/decodeengine.hpp"
#include "elements/decodeoutput.hpp"
#include "elements/ledgerstats.hpp"
#include "elements/outputbatch.hpp"
#include "elements/ownkey.hpp"
#include "elements/upstreamtiming.hpp"

#include <atomic>
#include <memory>

GST_DEBUG_CATEGORY_STATIC(discord_worker_dec_debug);
#define GST_CAT_DEFAULT discord_worker_dec_debug

using namespace discord;

typedef enum {
  GST_DISCORD_ISOLATION_PROCESS,
  GST_DISCORD_ISOLATION_NONE,
} GstDiscordIsolation;

#define GST_TYPE_DISCORD_ISOLATION (gst_discord_isolation_get_type())
static GType gst_discord_isolation_get_type(void) {
  static const GEnumValue values[] = {
      {GST_DISCORD_ISOLATION_PROCESS, "Locked-up worker processes", "process"},
      {GST_DISCORD_ISOLATION_NONE, "In this process", "none"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstDiscordIsolation", values);
  return type;
}

namespace {

constexpr guint default_latency = 100;
constexpr guint default_hold_time = 2000;
constexpr guint default_max_speakers = 256;
constexpr guint default_idle_timeout = 30000;
constexpr guint default_worker_timeout = 500;
constexpr guint default_max_restarts = 30;
// What a worker may take to be replaced, and two frames of 20 ms: part of the latency, always, so
// that it does not change when it happens.
constexpr GstClockTime replacement_latency = 40 * GST_MSECOND;
// Records that may be on their way to workers before a source that is not live has to wait.
constexpr std::size_t max_queued = 512;
constexpr const char* raw_caps =
    "audio/x-raw(meta:GstDiscordSpeakerMeta), format=(string)S16LE, rate=(int)48000, "
    "channels=(int)2, layout=(string)interleaved";
constexpr const char* rtp_caps =
    "application/x-rtp, media=(string)audio, encoding-name=(string)OPUS, clock-rate=(int)48000, "
    "payload=(int)120";

struct Settings {
  KeySettings key;
  guint latency = default_latency;
  guint hold_time = default_hold_time;
  guint max_speakers = default_max_speakers;
  guint max_workers = 0;  // as many as there are processors
  guint idle_timeout = default_idle_timeout;
  guint worker_timeout = default_worker_timeout;
  guint max_restarts = default_max_restarts;
  bool decode = true;
  bool require_sandbox = false;
  GstDiscordIsolation isolation = GST_DISCORD_ISOLATION_PROCESS;
};

struct WorkerDec {
  explicit WorkerDec(GstElement* owner)
      : element(owner),
        timer(owner, "discordwrkdec", [this](GstClockTime now) { on_timer(now); }),
        output(owner, [this](Time due) { arm(due); }) {}

  GstElement* element;
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;
  GstPad* rtcp_pad = nullptr;  // object lock

  Settings settings;              // object lock
  std::optional<OwnKey> own_key;  // state changes below PAUSED only

  // Stream lock of the sink pad.
  UpstreamTiming timing;
  Time last_arrival{};
  GObjectPtr<GstDiscordSession> session;
  std::uint64_t listener = 0;
  std::uint64_t seen_version = 0;
  CallFollower follower;

  // Of the task of the source pad.
  bool rtcp_started = false;

  DeadlineTimer timer;
  DecodeOutput output;
  std::atomic<GstFlowReturn> flow{GST_FLOW_OK};
  // Without workers the streaming thread decodes and pushes itself, as decoders do: handing each
  // frame to a thread of ours would cost a tenth of the decoding.
  std::atomic<bool> same_thread{false};

  Mutex mutex;
  // Destroyed without the lock: it waits for threads that call us.
  std::shared_ptr<DecodeEngine> engine GUARDED_BY(mutex);
  media::Ledger last_ledger GUARDED_BY(mutex);  // of the engine before

  std::shared_ptr<DecodeEngine> current() EXCLUDES(mutex) {
    Lock lock(mutex);
    return engine;
  }
  void arm(Time due) {
    timer.arm_no_later(static_cast<GstClockTime>(std::max<std::int64_t>(to_ns(due), 0)));
  }
  void on_timer(GstClockTime now);
  void start_engine() EXCLUDES(mutex);
  void stop_engine() EXCLUDES(mutex);
  void find_session();
  void drop_session();
  void synchronise(DecodeEngine& e, Time now);
  GstFlowReturn process(std::vector<BufferPtr> datagrams);
  void push_rtcp(BufferPtr buffer);
  bool push_item(DecodeOutput::Item item);
  void hand_on();
  GstStructure* stats() EXCLUDES(mutex);
};

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
  PROP_LATENCY,
  PROP_HOLD_TIME,
  PROP_MAX_SPEAKERS,
  PROP_MAX_WORKERS,
  PROP_IDLE_TIMEOUT,
  PROP_WORKER_TIMEOUT,
  PROP_MAX_RESTARTS,
  PROP_DECODE,
  PROP_REQUIRE_SANDBOX,
  PROP_ISOLATION,
  PROP_STATS,
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

namespace {

void WorkerDec::start_engine() {
  GST_OBJECT_LOCK(element);
  const Settings s = settings;
  GST_OBJECT_UNLOCK(element);
  worker::PoolConfig config;
  config.receiver.ingress.hold.hold_time = std::chrono::milliseconds(s.hold_time);
  config.receiver.ingress.max_speakers = s.max_speakers;
  config.receiver.latency = std::chrono::milliseconds(s.latency);
  config.receiver.decode = s.decode;
  std::shared_ptr<DecodeEngine> made;
  if (s.isolation == GST_DISCORD_ISOLATION_NONE) {
    made = make_local_engine(config.receiver, output);
    same_thread = true;
  } else {
    same_thread = false;
    config.program = worker::find_program();
    config.max_workers = s.max_workers != 0 ? s.max_workers : g_get_num_processors();
    config.idle_timeout = std::chrono::milliseconds(s.idle_timeout);
    config.worker_timeout = std::chrono::milliseconds(s.worker_timeout);
    config.max_restarts = s.max_restarts;
    config.require_sandbox = s.require_sandbox;
    made = make_worker_engine(config, output);
  }
  if (own_key) {
    made->set_key(0, own_key->mode, own_key->key, Time{});
  }
  output.set_same_thread(same_thread);
  follower = CallFollower();
  seen_version = 0;
  Lock lock(mutex);
  engine = std::move(made);
}

void WorkerDec::stop_engine() {
  std::shared_ptr<DecodeEngine> old;
  {
    Lock lock(mutex);
    old = std::move(engine);
    if (old) {
      last_ledger = old->ledger();
    }
  }
}

void WorkerDec::find_session() {
  drop_session();
  if (own_key) {
    return;
  }
  session.reset(gst_discord_session_find(sinkpad));
  if (session) {
    // No packet may come for the very SSRC whose user has just become known.
    listener = call_state(session.get()).add_listener([this] { timer.kick(); });
  }
}

void WorkerDec::drop_session() {
  if (session) {
    call_state(session.get()).remove_listener(listener);
    session.reset();
  }
  seen_version = 0;
}

void WorkerDec::synchronise(DecodeEngine& e, Time now) {
  if (!session) {
    return;
  }
  const CallState& call = call_state(session.get());
  const std::uint64_t version = call.version();
  if (version != seen_version) {
    seen_version = version;
    follower.apply(*call.snapshot(), now, e);
  }
}

void WorkerDec::on_timer(GstClockTime now) {
  GST_PAD_STREAM_LOCK(sinkpad);
  const auto e = current();
  if (e && timing.live() && GST_CLOCK_TIME_IS_VALID(now)) {
    const Time time = time_from_ns(static_cast<std::int64_t>(now));
    synchronise(*e, time);
    e->advance(time);
    hand_on();
    // Workers say what is next when they have answered.
    if (const Deadline next = e->next_deadline(); next && *next > time) {
      arm(*next);
    }
  }
  GST_PAD_STREAM_UNLOCK(sinkpad);
}

GstFlowReturn WorkerDec::process(std::vector<BufferPtr> datagrams) {
  if (!session && !own_key) {
    find_session();
    if (!session) {
      GST_ELEMENT_ERROR(element, STREAM, DECRYPT_NOKEY,
                        ("There is no key: put discordvoicesrc upstream, or set mode and "
                         "secret-key-file for a capture."),
                        (nullptr));
      return GST_FLOW_ERROR;
    }
  }
  const auto e = current();
  if (!e) {
    return GST_FLOW_FLUSHING;
  }
  for (const BufferPtr& datagram : datagrams) {
    const Time arrival = timing.arrival(datagram.get(), last_arrival);
    last_arrival = std::max(last_arrival, arrival);
    synchronise(*e, last_arrival);
    if (follower.encrypted()) {
      GST_ELEMENT_ERROR(element, STREAM, DECRYPT,
                        ("This call is end-to-end encrypted, which discordworkerdec cannot open "
                         "yet: use discorddecrypt ! discordreorder in its place."),
                        (nullptr));
      return GST_FLOW_ERROR;
    }
    if (const Deadline due = e->next_deadline(); due && *due <= last_arrival) {
      e->advance(last_arrival);
    }
    const MappedBuffer map(datagram.get(), GST_MAP_READ);
    e->push(map ? ByteSpan(map.data(), map.size()) : ByteSpan(), arrival);
  }
  hand_on();
  if (timing.live()) {
    if (const Deadline next = e->next_deadline()) {
      arm(*next);
    }
  } else {
    // Woken seldom and then for much.
    if (e->queued() >= max_queued) {
      output.wait_until([&] { return e->queued() < max_queued / 2; });
    }
  }
  return flow;
}

void WorkerDec::push_rtcp(BufferPtr buffer) {
  GST_OBJECT_LOCK(element);
  const ObjectPtr<GstPad> pad(rtcp_pad != nullptr ? ref_object(rtcp_pad) : nullptr);
  GST_OBJECT_UNLOCK(element);
  if (!pad) {
    return;  // nobody asked for RTCP; it is counted as not audio
  }
  if (!rtcp_started) {
    rtcp_started = true;
    const GCharPtr id(gst_pad_create_stream_id(pad.get(), element, "rtcp"));
    gst_pad_push_event(pad.get(), gst_event_new_stream_start(id.get()));
    const CapsPtr caps(gst_caps_new_empty_simple("application/x-rtcp"));
    gst_pad_push_event(pad.get(), gst_event_new_caps(caps.get()));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_push_event(pad.get(), gst_event_new_segment(&segment));
  }
  // RTCP is on the side: an unlinked or failing branch must not stop the media.
  const GstFlowReturn result = gst_pad_push(pad.get(), buffer.release());
  if (result != GST_FLOW_OK) {
    GST_LOG_OBJECT(pad.get(), "RTCP was not taken: %s", gst_flow_get_name(result));
  }
}

// False when the task should rest.
bool WorkerDec::push_item(DecodeOutput::Item item) {
  GstFlowReturn result = GST_FLOW_OK;
  if (auto* buffer = std::get_if<BufferPtr>(&item)) {
    result = gst_pad_push(srcpad, buffer->release());
  } else if (auto* event = std::get_if<EventPtr>(&item)) {
    gst_pad_push_event(srcpad, event->release());
  } else if (auto* message = std::get_if<MessagePtr>(&item)) {
    gst_element_post_message(element, message->release());
  } else {
    push_rtcp(std::move(std::get<DecodeOutput::Rtcp>(item).buffer));
  }
  if (result != GST_FLOW_OK) {
    flow = result;
    output.set_flushing(true);
    if (result == GST_FLOW_NOT_LINKED || result < GST_FLOW_EOS) {
      GST_ELEMENT_FLOW_ERROR(element, result);
    }
  }
  return result == GST_FLOW_OK;
}

// What the engine has brought goes on: by this thread, or by the task, which is told.
void WorkerDec::hand_on() {
  if (!same_thread) {
    output.flush();
    return;
  }
  DecodeOutput::Item item;
  while (output.try_take(item) && push_item(std::move(item))) {
  }
}

GstStructure* WorkerDec::stats() {
  GstStructure* out = gst_structure_new_empty("application/x-discordworkerdec-stats");
  media::Ledger ledger;
  std::shared_ptr<DecodeEngine> e;
  {
    Lock lock(mutex);
    e = engine;
    ledger = last_ledger;
  }
  if (e) {
    ledger = e->ledger();
  }
  add_ledger(out, ledger);
  gst_structure_set(out, "workers", G_TYPE_UINT, static_cast<guint>(e ? e->workers() : 0),
                    "restarts", G_TYPE_UINT, e ? e->restarts() : 0U, "frames-dropped",
                    G_TYPE_UINT64, static_cast<guint64>(output.dropped()), nullptr);
  return out;
}

}  // namespace

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
    self.rtcp_started = false;
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
      self.find_session();
      break;
    case GST_EVENT_CAPS: {
      GST_OBJECT_LOCK(parent);
      const bool decode = self.settings.decode;
      GST_OBJECT_UNLOCK(parent);
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
      self.last_arrival = Time{};
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
    GST_OBJECT_LOCK(parent);
    const GstClockTime latency = self.settings.latency * GST_MSECOND;
    GST_OBJECT_UNLOCK(parent);
    return answer_latency_query(self.sinkpad, query, latency + replacement_latency);
  }
  return gst_pad_query_default(pad, parent, query);
}

static GstStateChangeReturn gst_discord_worker_dec_change_state(GstElement* base,
                                                                GstStateChange transition) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(base)->priv;
  switch (transition) {
    case GST_STATE_CHANGE_NULL_TO_READY: {
      GST_OBJECT_LOCK(base);
      const KeySettings key = self.settings.key;
      GST_OBJECT_UNLOCK(base);
      if (!read_own_key(base, key, self.own_key)) {
        return GST_STATE_CHANGE_FAILURE;
      }
      break;
    }
    case GST_STATE_CHANGE_READY_TO_PAUSED:
      self.last_arrival = Time{};
      self.start_engine();
      self.timer.set_flushing(false);
      self.timer.start();
      break;
    case GST_STATE_CHANGE_PLAYING_TO_PAUSED:
      self.timer.set_playing(false);
      break;
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      self.timer.set_flushing(true);
      self.output.set_flushing(true);
      break;
    default:
      break;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(base, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING) {
    self.timer.set_playing(true);
  }
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    // The pads are inactive: nobody streams any more.
    self.timer.stop();
    self.drop_session();
    self.stop_engine();
    self.timing.flush();
  }
  if (transition == GST_STATE_CHANGE_READY_TO_NULL) {
    self.own_key.reset();
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
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(element)->priv;
  GST_OBJECT_LOCK(element);
  const bool taken = self.rtcp_pad != nullptr;
  GST_OBJECT_UNLOCK(element);
  if (taken) {
    GST_WARNING_OBJECT(element, "there is one rtcp_src pad only, and it has been requested");
    return nullptr;
  }
  GstPad* pad = gst_pad_new_from_template(templ, "rtcp_src");
  gst_pad_set_active(pad, TRUE);
  gst_element_add_pad(element, pad);
  GST_OBJECT_LOCK(element);
  self.rtcp_pad = pad;
  GST_OBJECT_UNLOCK(element);
  return pad;
}

static void gst_discord_worker_dec_release_pad(GstElement* element, GstPad* pad) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(element)->priv;
  GST_OBJECT_LOCK(element);
  self.rtcp_pad = nullptr;
  GST_OBJECT_UNLOCK(element);
  gst_pad_set_active(pad, FALSE);
  gst_element_remove_pad(element, pad);
}

static void gst_discord_worker_dec_set_property(GObject* object, guint id, const GValue* value,
                                                GParamSpec* pspec) {
  WorkerDec& self = *GST_DISCORD_WORKER_DEC(object)->priv;
  const auto text = [value] {
    const gchar* s = g_value_get_string(value);
    return std::string(s != nullptr ? s : "");
  };
  GST_OBJECT_LOCK(object);
  Settings& s = self.settings;
  switch (id) {
    case PROP_MODE:
      s.key.mode = text();
      break;
    case PROP_SECRET_KEY:
      s.key.secret_key = SecretString(text());
      break;
    case PROP_SECRET_KEY_FILE:
      s.key.secret_key_file = text();
      break;
    case PROP_LATENCY:
      s.latency = g_value_get_uint(value);
      break;
    case PROP_HOLD_TIME:
      s.hold_time = g_value_get_uint(value);
      break;
    case PROP_MAX_SPEAKERS:
      s.max_speakers = g_value_get_uint(value);
      break;
    case PROP_MAX_WORKERS:
      s.max_workers = g_value_get_uint(value);
      break;
    case PROP_IDLE_TIMEOUT:
      s.idle_timeout = g_value_get_uint(value);
      break;
    case PROP_WORKER_TIMEOUT:
      s.worker_timeout = g_value_get_uint(value);
      break;
    case PROP_MAX_RESTARTS:
      s.max_restarts = g_value_get_uint(value);
      break;
    case PROP_DECODE:
      s.decode = g_value_get_boolean(value) != FALSE;
      break;
    case PROP_REQUIRE_SANDBOX:
      s.require_sandbox = g_value_get_boolean(value) != FALSE;
      break;
    case PROP_ISOLATION:
      s.isolation = static_cast<GstDiscordIsolation>(g_value_get_enum(value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
  const guint hold_time = s.hold_time;
  const guint latency = s.latency;
  GST_OBJECT_UNLOCK(object);
  if (id == PROP_HOLD_TIME || id == PROP_LATENCY) {
    if (const auto engine = self.current()) {
      engine->set_times(std::chrono::milliseconds(hold_time), std::chrono::milliseconds(latency));
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
    return;
  }
  GST_OBJECT_LOCK(object);
  const Settings& s = self.settings;
  switch (id) {
    case PROP_MODE:
      g_value_set_string(value, s.key.mode.c_str());
      break;
    case PROP_SECRET_KEY_FILE:
      g_value_set_string(value, s.key.secret_key_file.c_str());
      break;
    case PROP_LATENCY:
      g_value_set_uint(value, s.latency);
      break;
    case PROP_HOLD_TIME:
      g_value_set_uint(value, s.hold_time);
      break;
    case PROP_MAX_SPEAKERS:
      g_value_set_uint(value, s.max_speakers);
      break;
    case PROP_MAX_WORKERS:
      g_value_set_uint(value, s.max_workers);
      break;
    case PROP_IDLE_TIMEOUT:
      g_value_set_uint(value, s.idle_timeout);
      break;
    case PROP_WORKER_TIMEOUT:
      g_value_set_uint(value, s.worker_timeout);
      break;
    case PROP_MAX_RESTARTS:
      g_value_set_uint(value, s.max_restarts);
      break;
    case PROP_DECODE:
      g_value_set_boolean(value, s.decode);
      break;
    case PROP_REQUIRE_SANDBOX:
      g_value_set_boolean(value, s.require_sandbox);
      break;
    case PROP_ISOLATION:
      g_value_set_enum(value, s.isolation);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK(object);
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

static void gst_discord_worker_dec_install_properties(GObjectClass* object_class) {
  const auto flags = [](int access, int mutability) {
    return static_cast<GParamFlags>(access | mutability | G_PARAM_STATIC_STRINGS);
  };
  const auto ready = flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_READY);
  const auto playing = flags(G_PARAM_READWRITE, GST_PARAM_MUTABLE_PLAYING);
  const auto number = [&](guint id, const char* name, const char* nick, const char* blurb,
                          guint least, guint most, guint standard, GParamFlags f) {
    g_object_class_install_property(object_class, id,
                                    g_param_spec_uint(name, nick, blurb, least, most, standard, f));
  };
  g_object_class_install_property(
      object_class, PROP_MODE,
      g_param_spec_string("mode", "Mode",
                          "Transport encryption mode, for use without a session; its name as in "
                          "Discord's session description",
                          nullptr, ready));
  g_object_class_install_property(
      object_class, PROP_SECRET_KEY,
      g_param_spec_string("secret-key", "Secret key",
                          "Transport key as 64 hexadecimal digits, for use without a session; "
                          "other users of the machine see it in the arguments of gst-launch, "
                          "secret-key-file hides it",
                          nullptr, flags(G_PARAM_WRITABLE, GST_PARAM_MUTABLE_READY)));
  g_object_class_install_property(
      object_class, PROP_SECRET_KEY_FILE,
      g_param_spec_string("secret-key-file", "Secret key file",
                          "File that holds the transport key as 64 hexadecimal digits", nullptr,
                          ready));
  number(PROP_LATENCY, "latency", "Latency",
         "How long a missing packet is waited for, in ms; 40 ms are added for the workers", 0, 5000,
         default_latency, playing);
  number(PROP_HOLD_TIME, "hold-time", "Hold time",
         "How long packets wait for their key, and in an encrypted call for their user, in ms", 0,
         60000, default_hold_time, playing);
  number(PROP_MAX_SPEAKERS, "max-speakers", "Maximum speakers",
         "How many SSRCs are kept; beyond it the longest idle one goes", 1, 65536,
         default_max_speakers, ready);
  number(PROP_MAX_WORKERS, "max-workers", "Maximum workers",
         "How many worker processes there may be, without the spare; 0 = as many as processors", 0,
         1024, 0, ready);
  number(PROP_IDLE_TIMEOUT, "idle-timeout", "Idle timeout",
         "After how long without work a worker leaves, in ms; 0 = never", 0, G_MAXUINT,
         default_idle_timeout, ready);
  number(PROP_WORKER_TIMEOUT, "worker-timeout", "Worker timeout",
         "After how long without progress a worker is replaced, in ms", 10, 60000,
         default_worker_timeout, ready);
  number(PROP_MAX_RESTARTS, "max-restarts", "Maximum restarts",
         "How many times a minute a worker may die of what it was given before it is an error", 0,
         G_MAXUINT, default_max_restarts, ready);
  g_object_class_install_property(
      object_class, PROP_DECODE,
      g_param_spec_boolean("decode", "Decode",
                           "Decode Opus; otherwise the authentic packets come out, in order", TRUE,
                           ready));
  g_object_class_install_property(
      object_class, PROP_REQUIRE_SANDBOX,
      g_param_spec_boolean("require-sandbox", "Require sandbox",
                           "Fail where any part of the workers' sandbox is not available", FALSE,
                           ready));
  g_object_class_install_property(
      object_class, PROP_ISOLATION,
      g_param_spec_enum("isolation", "Isolation", "Where packets are decrypted and decoded",
                        GST_TYPE_DISCORD_ISOLATION, GST_DISCORD_ISOLATION_PROCESS, ready));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "Where every packet went, and how the workers are",
                         GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

static void gst_discord_worker_dec_class_init(GstDiscordWorkerDecClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(discord_worker_dec_debug, "discordworkerdec", 0,
                          "Discord voice decoding in workers");

  object_class->set_property = gst_discord_worker_dec_set_property;
  object_class->get_property = gst_discord_worker_dec_get_property;
  object_class->finalize = gst_discord_worker_dec_finalize;
  gst_discord_worker_dec_install_properties(object_class);

  element_class->change_state = gst_discord_worker_dec_change_state;
  element_class->set_clock = gst_discord_worker_dec_set_clock;
  element_class->request_new_pad = gst_discord_worker_dec_request_new_pad;
  element_class->release_pad = gst_discord_worker_dec_release_pad;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_add_static_pad_template(element_class, &rtcp_template);
  gst_element_class_set_static_metadata(
      element_class, "Discord voice decoder in workers", "Codec/Decoder/Audio/Network",
      "Decrypts, orders and decodes Discord voice in locked-up worker processes",
      "gst-discord maintainers <maintainers@gst-discord.invalid>");
  gst_type_mark_as_plugin_api(GST_TYPE_DISCORD_ISOLATION, static_cast<GstPluginAPIFlags>(0));
}
