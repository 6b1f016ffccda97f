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

#include "base/mutex.hpp"
#include "discord/gstdiscordspeakermeta.h"
#include "elements/author.hpp"
#include "elements/deadlinetimer.hpp"
#include "elements/outputbatch.hpp"
#include "elements/upstreamtiming.hpp"
#include "elements/utterancequeue.hpp"
#include "elements/utterancetrack.hpp"
#include "media/timeline.hpp"
#include "rtp/packet.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <string>

GST_DEBUG_CATEGORY_STATIC(discord_utterances_debug);
#define GST_CAT_DEFAULT discord_utterances_debug

using namespace discord;

namespace {

constexpr guint default_rate = 16000;
constexpr guint default_gap = 500;
constexpr guint default_max_length = 30000;
constexpr guint default_min_length = 100;
constexpr guint default_max_waiting = 64;
constexpr std::size_t max_tracks = 1024;
constexpr GstClockTime tick = 50 * GST_MSECOND;
// Losses are announced late, and decoders deliver late: that much is waited beyond the latency.
constexpr std::int64_t margin = 9600;                    // 200 ms
constexpr std::int64_t idle = std::int64_t{48000} * 60;  // a track is forgotten
constexpr char meta_name[] = "GstDiscordUtterance";

struct Settings {
  guint rate = default_rate;
  guint gap = default_gap;
  guint max_length = default_max_length;
  guint min_length = default_min_length;
  guint partial_interval = 0;
  guint max_waiting = default_max_waiting;
};

struct Speaker {
  explicit Speaker(const record::SegmentSettings& s) : track(s) {}
  UtteranceTrack track;
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;
  bool talking = false;  // something is in the track that time can end
};

struct Utterances {
  explicit Utterances(GstElement* owner)
      : element(owner), timer(owner, [this](GstClockTime now) { on_timer(now); }) {}

  GstElement* element;
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;

  Mutex mutex;
  Settings settings GUARDED_BY(mutex);
  std::map<std::uint64_t, std::string> names GUARDED_BY(mutex);
  std::uint64_t emitted GUARDED_BY(mutex) = 0;
  std::uint64_t partials GUARDED_BY(mutex) = 0;
  std::uint64_t clicks GUARDED_BY(mutex) = 0;

  UtteranceQueue queue;
  std::atomic<bool> want_partials = false;
  std::atomic<GstFlowReturn> flow = GST_FLOW_OK;

  // Stream lock of the sink pad.
  Settings active;
  UpstreamTiming timing;
  std::int64_t latency = 0;  // samples
  bool raw = false;
  Time last_arrival{};
  std::int64_t newest = 0;
  std::int64_t looked = 0;
  std::map<std::uint64_t, Speaker> speakers;  // by user, or by SSRC where none is known

  // The task of the source pad.
  bool introduced = false;

  DeadlineTimer timer;

  void reset();
  void begin();
  Speaker* speaker(std::uint32_t ssrc, std::uint64_t user);
  void accept(GstBuffer* buffer);
  void advance(std::int64_t limit);
  void finish();
  void take(Speaker& speaker);
  void on_timer(GstClockTime now);
  GstFlowReturn process(std::vector<BufferPtr> buffers);
  void send();
  void introduce();
  GstStructure* stats() EXCLUDES(mutex);
};

record::SegmentSettings segment_settings(const Settings& s) {
  const auto samples = [&](guint ms) { return std::int64_t{s.rate} * ms / 1000; };
  record::SegmentSettings out;
  out.rate = s.rate;
  out.gap = std::max<std::int64_t>(samples(s.gap), 1);
  out.max_length = samples(s.max_length);
  out.min_length = samples(s.min_length);
  out.partial_every = samples(s.partial_interval);
  return out;
}

void Utterances::reset() {
  speakers.clear();
  last_arrival = Time{};
  newest = looked = 0;
  flow = GST_FLOW_OK;
}

// --- speakers; stream lock ---

Speaker* Utterances::speaker(std::uint32_t ssrc, std::uint64_t user) {
  // Users and SSRCs do not meet: a snowflake is larger than 32 bits.
  if (user != 0) {
    const auto before = speakers.find(ssrc);
    if (before != speakers.end()) {
      before->second.track.finish();
      take(before->second);
      speakers.erase(before);
    }
  }
  const std::uint64_t key = user != 0 ? user : ssrc;
  auto known = speakers.find(key);
  if (known == speakers.end()) {
    if (speakers.size() >= max_tracks) {
      return nullptr;
    }
    known = speakers.try_emplace(key, segment_settings(active)).first;
  }
  known->second.ssrc = ssrc;
  known->second.user_id = user;
  return &known->second;
}

void Utterances::accept(GstBuffer* buffer) {
  const Time arrival = timing.arrival(buffer, last_arrival);
  last_arrival = std::max(last_arrival, arrival);
  const std::int64_t at = media::samples_from_duration(Duration(to_ns(arrival)));
  newest = std::max(newest, at);
  const GstDiscordSpeakerMeta* meta = gst_buffer_get_discord_speaker_meta(buffer);
  const MappedBuffer map(buffer, GST_MAP_READ);
  if (!map) {
    return;
  }
  Speaker* s = nullptr;
  if (raw) {
    if (meta == nullptr || meta->kind == GST_DISCORD_FRAME_SILENCE) {
      return;
    }
    s = speaker(meta->ssrc, meta->user_id);
    if (s != nullptr) {
      s->track.pcm(at, {reinterpret_cast<const std::int16_t*>(map.data()), map.size() / 2});
    }
  } else {
    const auto rtp = rtp::parse_packet(ByteSpan(map.data(), map.size()));
    if (!rtp.ok() || media::is_silence_frame(rtp->payload)) {
      return;
    }
    s = speaker(meta != nullptr ? meta->ssrc : rtp->header.ssrc,
                meta != nullptr ? meta->user_id : 0);
    if (s != nullptr) {
      s->track.packet(at, rtp->payload, false);
    }
  }
  if (s != nullptr) {
    s->talking = true;
    take(*s);
  }
}

// What nobody can add to any more ends.
void Utterances::advance(std::int64_t limit) {
  const bool partial = want_partials.exchange(false);
  for (auto it = speakers.begin(); it != speakers.end();) {
    Speaker& s = it->second;
    if (partial) {
      s.track.request_partial();
    }
    s.track.quiet_until(limit);
    take(s);
    const std::int64_t quiet = limit - s.track.end();
    s.talking = s.talking && quiet < std::int64_t{48} * active.gap;
    if (quiet > idle) {
      Lock lock(mutex);
      clicks += s.track.clicks();
      it = speakers.erase(it);
    } else {
      ++it;
    }
  }
}

void Utterances::finish() {
  for (auto& [key, s] : speakers) {
    s.track.finish();
    take(s);
  }
}

// Hands on what is ready.
void Utterances::take(Speaker& s) {
  while (const auto segment = s.track.next()) {
    const gsize bytes = segment->pcm.size() * 2;
    BufferPtr buffer(gst_buffer_new_allocate(nullptr, bytes, nullptr));
    gst_buffer_fill(buffer.get(), 0, segment->pcm.data(), bytes);
    const auto time = [&](std::int64_t sample) {
      return gst_util_uint64_scale(static_cast<guint64>(std::max<std::int64_t>(sample, 0)),
                                   GST_SECOND, active.rate);
    };
    GST_BUFFER_PTS(buffer.get()) = time(segment->start);
    GST_BUFFER_DURATION(buffer.get()) = time(segment->end) - time(segment->start);
    gst_buffer_add_discord_speaker_meta(buffer.get(), s.ssrc, s.user_id);
    GstCustomMeta* custom = gst_buffer_add_custom_meta(buffer.get(), meta_name);
    std::string name;
    {
      Lock lock(mutex);
      const auto known = names.find(s.user_id);
      name = known != names.end() ? known->second : "";
      (segment->partial ? partials : emitted)++;
    }
    gst_structure_set(gst_custom_meta_get_structure(custom), "user-id", G_TYPE_UINT64,
                      static_cast<guint64>(s.user_id), "ssrc", G_TYPE_UINT, s.ssrc, "display-name",
                      G_TYPE_STRING, name.c_str(), "number", G_TYPE_UINT64,
                      static_cast<guint64>(segment->number), "partial", G_TYPE_BOOLEAN,
                      gboolean{segment->partial}, "goes-on", G_TYPE_BOOLEAN, gboolean{segment->cut},
                      nullptr);
    queue.push(
        {std::move(buffer), s.user_id != 0 ? s.user_id : s.ssrc, segment->number, segment->partial},
        active.max_waiting, !timing.live());
  }
}

GstFlowReturn Utterances::process(std::vector<BufferPtr> buffers) {
  for (const BufferPtr& buffer : buffers) {
    accept(buffer.get());
  }
  if (timing.live()) {
    const GstClockTime now = timer.now();
    if (GST_CLOCK_TIME_IS_VALID(now)) {
      timer.arm_no_later(now + tick);
    }
  } else if (newest - looked >= margin / 4) {
    looked = newest;
    advance(newest - margin);
  }
  return flow;
}

void Utterances::on_timer(GstClockTime now) {
  GST_PAD_STREAM_LOCK(sinkpad);
  if (GST_CLOCK_TIME_IS_VALID(now)) {
    advance(media::samples_from_duration(Duration(static_cast<std::int64_t>(now))) - latency -
            margin);
    if (std::any_of(speakers.begin(), speakers.end(),
                    [](const auto& s) { return s.second.talking; })) {
      timer.arm_no_later(now + tick);
    }
  }
  GST_PAD_STREAM_UNLOCK(sinkpad);
}

// A new segment: whether time is the clock's, and how late what is upstream may come.
void Utterances::begin() {
  latency = 0;
  const QueryPtr query(gst_query_new_latency());
  if (gst_pad_peer_query(sinkpad, query.get())) {
    GstClockTime least = 0;
    gst_query_parse_latency(query.get(), nullptr, &least, nullptr);
    latency = media::samples_from_duration(Duration(static_cast<std::int64_t>(least)));
  }
  Lock lock(mutex);
  active = settings;
}

// --- the task of the source pad ---

void Utterances::introduce() {
  const GCharPtr id(gst_pad_create_stream_id(srcpad, element, "utterances"));
  gst_pad_push_event(srcpad, gst_event_new_stream_start(id.get()));
  guint rate;
  {
    Lock lock(mutex);
    rate = settings.rate;
  }
  const CapsPtr caps(gst_caps_new_simple(
      "audio/x-raw", "format", G_TYPE_STRING, "S16LE", "layout", G_TYPE_STRING, "interleaved",
      "rate", G_TYPE_INT, static_cast<gint>(rate), "channels", G_TYPE_INT, 1, nullptr));
  gst_pad_push_event(srcpad, gst_event_new_caps(caps.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(srcpad, gst_event_new_segment(&segment));
  introduced = true;
}

void Utterances::send() {
  auto item = queue.pop();
  if (!item) {
    gst_pad_pause_task(srcpad);
    return;
  }
  if (!introduced) {
    introduce();
  }
  if (!item->buffer) {
    gst_pad_push_event(srcpad, gst_event_new_eos());
    gst_pad_pause_task(srcpad);
    return;
  }
  const GstFlowReturn result = gst_pad_push(srcpad, item->buffer.release());
  if (result == GST_FLOW_OK) {
    return;
  }
  flow = result;
  queue.set_flushing(true);
  gst_pad_pause_task(srcpad);
  if (result < GST_FLOW_EOS) {
    GST_ELEMENT_FLOW_ERROR(element, result);
    gst_pad_push_event(srcpad, gst_event_new_eos());
  }
}

GstStructure* Utterances::stats() {
  Lock lock(mutex);
  return gst_structure_new("application/x-discordutterances-stats", "utterances", G_TYPE_UINT64,
                           emitted, "partials", G_TYPE_UINT64, partials, "clicks", G_TYPE_UINT64,
                           clicks, "dropped", G_TYPE_UINT64, static_cast<guint64>(queue.dropped()),
                           nullptr);
}

}  // namespace

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

static guint* utterances_setting(Settings& s, guint id) {
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
  const auto add = [&](guint id, const char* name, const char* nick, const char* blurb, guint least,
                       guint most, guint value) {
    g_object_class_install_property(
        object_class, id,
        g_param_spec_uint(name, nick, blurb, least, most, value,
                          static_cast<GParamFlags>(G_PARAM_READWRITE | GST_PARAM_MUTABLE_READY |
                                                   G_PARAM_STATIC_STRINGS)));
  };
  add(PROP_RATE, "rate", "Rate", "Samples a second", 8000, 48000, default_rate);
  add(PROP_GAP, "gap", "Gap", "A pause of so many ms ends an utterance", 20, 10000, default_gap);
  add(PROP_MAX_LENGTH, "max-length", "Maximum length",
      "An utterance of so many ms is cut and goes on as the next", 1000, 600000,
      default_max_length);
  add(PROP_MIN_LENGTH, "min-length", "Minimum length",
      "What is shorter, in ms, is a click and left out", 0, 1000, default_min_length);
  add(PROP_PARTIAL_INTERVAL, "partial-interval", "Partial interval",
      "ms of speech after which what there is so far is handed out; 0 = never", 0, 60000, 0);
  add(PROP_MAX_WAITING, "max-waiting", "Maximum waiting",
      "How many utterances wait for a slow reader; beyond it, live, the oldest one is dropped", 1,
      10000, default_max_waiting);
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
