// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-discordreorder
 * @title: discordreorder
 * @short_description: puts the packets of all speakers in order and on one timeline
 *
 * One element, and one timer thread, for all SSRCs of a call. What arrives in order passes straight
 * through; a gap waits at most `latency`, then it is announced as lost. PTS is where the packet was
 * spoken, on one timeline for all speakers. See docs/elements/discordreorder.md.
 *
 * |[
 * gst-launch-1.0 -e discordvoicesrc endpoint=… session-id=… token-file=token user-id=… guild-id=… \
 *     channel-id=… ! discorddecrypt ! discordreorder latency=60 ! discordssrcdemux name=d \
 *     d. ! rtpopusdepay max-reorder=0 ! opusdec plc=true ! audioconvert ! autoaudiosink
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordreorder.h"

#include "base/mutex.hpp"
#include "discord/gstdiscordspeakermeta.h"
#include "elements/author.hpp"
#include "elements/deadlinetimer.hpp"
#include "elements/ledgerquery.hpp"
#include "elements/ledgerstats.hpp"
#include "elements/quiet.hpp"
#include "elements/speakerorder.hpp"
#include "elements/upstreamtiming.hpp"
#include "rtp/packet.hpp"

#include <atomic>
#include <limits>
#include <map>
#include <memory>

GST_DEBUG_CATEGORY_STATIC(discord_reorder_debug);
#define GST_CAT_DEFAULT discord_reorder_debug

using namespace discord;

namespace {

constexpr guint default_latency = 100;
constexpr guint default_max_speakers = 256;

struct Reorder {
  explicit Reorder(GstElement* owner)
      : element(owner), timer(owner, [this](GstClockTime now) { on_timer(now); }) {}

  GstElement* element;
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;

  std::atomic<guint> latency{default_latency};
  std::atomic<guint> max_speakers{default_max_speakers};

  // Stream lock of the sink pad.
  UpstreamTiming timing;
  Time last_arrival{};

  Mutex mutex;
  using Speakers = std::map<std::uint32_t, SpeakerOrder>;
  Speakers speakers GUARDED_BY(mutex);
  media::Ledger departed GUARDED_BY(mutex);  // of speakers that made room for others
  std::uint64_t departed_lost GUARDED_BY(mutex) = 0;
  std::uint64_t not_rtp GUARDED_BY(mutex) = 0;  // no RTP, or no Opus packet inside
  Deadline earliest GUARDED_BY(mutex);          // not later than the earliest of all speakers

  DeadlineTimer timer;

  Duration latency_time() const { return std::chrono::milliseconds(latency.load()); }
  SpeakerOrder::Position position() const {
    return [this](Time t) { return timing.position(t); };
  }

  void on_timer(GstClockTime now);
  GstFlowReturn process(std::vector<BufferPtr> buffers);
  void finish();
  void flush() EXCLUDES(mutex);
  bool skip(const GstStructure* skipped);
  GstStructure* stats() EXCLUDES(mutex);

  SpeakerOrder& speaker(std::uint32_t ssrc, std::uint64_t user, OutputBatch& out) REQUIRES(mutex);
  void retire(Speakers::iterator speaker, OutputBatch& out) REQUIRES(mutex);
  void set_latency(guint ms) EXCLUDES(mutex);
  void accept(BufferPtr buffer, OutputBatch& out) REQUIRES(mutex);
  void pop_due(Time now, OutputBatch& out) REQUIRES(mutex);
  void arm() EXCLUDES(mutex);
};

}  // namespace

struct _GstDiscordReorder {
  GstElement parent;
  Reorder* priv;
};

enum {
  PROP_0,
  PROP_LATENCY,
  PROP_MAX_SPEAKERS,
  PROP_STATS,
};

#define RTP_CAPS                                                                    \
  "application/x-rtp, media=(string)audio, encoding-name=(string)OPUS, clock-rate=" \
  "(int)48000"

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS(RTP_CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS(RTP_CAPS));

#define gst_discord_reorder_parent_class parent_class
G_DEFINE_FINAL_TYPE(GstDiscordReorder, gst_discord_reorder, GST_TYPE_ELEMENT)
GST_ELEMENT_REGISTER_DEFINE(discordreorder, "discordreorder", GST_RANK_NONE,
                            GST_TYPE_DISCORD_REORDER)

namespace {

// What still waits leaves, and the figures stay.
void Reorder::retire(Speakers::iterator speaker, OutputBatch& out) {
  speaker->second.drain(last_arrival, out, position());
  departed += speaker->second.ledger();
  departed_lost += speaker->second.lost();
  speakers.erase(speaker);
}

// The order of an SSRC; at the limit the longest idle one makes room, after its packets have left.
SpeakerOrder& Reorder::speaker(std::uint32_t ssrc, std::uint64_t user, OutputBatch& out) {
  const auto known = speakers.find(ssrc);
  if (known != speakers.end()) {
    const std::uint64_t owner = known->second.user_id();
    if (owner == user || owner == 0 || user == 0) {
      return known->second;
    }
    // The server gave the SSRC to somebody else, whose numbers have nothing to do with the old
    // ones.
    retire(known, out);
  }
  while (speakers.size() >= max_speakers) {
    const auto idlest =
        std::min_element(speakers.begin(), speakers.end(), [](const auto& a, const auto& b) {
          return a.second.last_arrival() < b.second.last_arrival();
        });
    retire(idlest, out);
  }
  return speakers.try_emplace(ssrc, ssrc, latency_time()).first->second;
}

void Reorder::accept(BufferPtr buffer, OutputBatch& out) {
  RtpPacket packet;
  rtp::Header header;
  {
    const MappedBuffer map(buffer.get(), GST_MAP_READ);
    const ByteSpan bytes = map ? ByteSpan(map.data(), map.size()) : ByteSpan();
    const auto parsed = rtp::parse_packet(bytes);
    const auto opus = media::parse_opus_packet(parsed ? parsed->payload : ByteSpan());
    if (!opus) {
      not_rtp++;
      return;
    }
    header = parsed->header;
    packet.duration = opus->duration;
    packet.silence = media::is_silence_frame(parsed->payload);
  }
  const auto* meta = gst_buffer_get_discord_speaker_meta(buffer.get());
  packet.quiet = packet.silence || is_quiet(meta);
  packet.timestamp = header.timestamp;
  const Time arrival = timing.arrival(buffer.get(), last_arrival);
  last_arrival = std::max(last_arrival, arrival);
  const bool restarts = GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_BUFFER_FLAG_RESYNC);
  packet.buffer = std::move(buffer);

  // Behind a file time is what the packets say: what was due before this one leaves first.
  if (!timing.live()) {
    pop_due(last_arrival, out);
  }
  SpeakerOrder& order = speaker(header.ssrc, meta != nullptr ? meta->user_id : 0, out);
  if (restarts) {
    order.restart(last_arrival, out, position());
  }
  order.push(std::move(packet), header.sequence, arrival);
  order.pop(last_arrival, out, position());
  earliest = earlier(earliest, order.next_deadline());
}

void Reorder::pop_due(Time now, OutputBatch& out) {
  if (!earliest || *earliest > now) {
    return;
  }
  earliest.reset();
  for (auto& [ssrc, order] : speakers) {
    order.pop(now, out, position());
    earliest = earlier(earliest, order.next_deadline());
  }
}

void Reorder::arm() {
  if (!timing.live()) {
    return;
  }
  Lock lock(mutex);
  if (earliest) {
    timer.arm_no_later(static_cast<GstClockTime>(std::max<std::int64_t>(to_ns(*earliest), 0)));
  }
}

void Reorder::on_timer(GstClockTime now) {
  GST_PAD_STREAM_LOCK(sinkpad);
  if (timing.live() && GST_CLOCK_TIME_IS_VALID(now)) {
    OutputBatch out;
    {
      Lock lock(mutex);
      pop_due(time_from_ns(static_cast<std::int64_t>(now)), out);
    }
    out.push(element, srcpad);
    arm();
  }
  GST_PAD_STREAM_UNLOCK(sinkpad);
}

GstFlowReturn Reorder::process(std::vector<BufferPtr> buffers) {
  OutputBatch out;
  {
    Lock lock(mutex);
    for (BufferPtr& buffer : buffers) {
      accept(std::move(buffer), out);
    }
  }
  const GstFlowReturn flow = out.push(element, srcpad);
  arm();
  return flow;
}

// True if the event was one of ours and is used up.
bool Reorder::skip(const GstStructure* skipped) {
  guint ssrc = 0;
  guint sequence = 0;
  if (skipped == nullptr || !gst_structure_has_name(skipped, "GstDiscordPacketSkipped") ||
      !gst_structure_get_uint(skipped, "ssrc", &ssrc) ||
      !gst_structure_get_uint(skipped, "seqnum", &sequence)) {
    return false;
  }
  OutputBatch out;
  {
    Lock lock(mutex);
    const auto known = speakers.find(ssrc);
    if (known != speakers.end()) {
      known->second.skip(static_cast<std::uint16_t>(sequence), last_arrival);
      known->second.pop(last_arrival, out, position());
      earliest = earlier(earliest, known->second.next_deadline());
    }
  }
  out.push(element, srcpad);
  arm();
  return true;
}

void Reorder::finish() {
  OutputBatch out;
  {
    Lock lock(mutex);
    for (auto& [ssrc, order] : speakers) {
      order.drain(last_arrival, out, position());
    }
    earliest.reset();
  }
  out.push(element, srcpad);
}

void Reorder::set_latency(guint ms) {
  if (latency.exchange(ms) == ms) {
    return;
  }
  {
    Lock lock(mutex);
    earliest.reset();
    for (auto& [ssrc, order] : speakers) {
      order.set_latency(latency_time());
      earliest = earlier(earliest, order.next_deadline());
    }
  }
  timer.kick();  // what waits may be due earlier than the timer knows
  gst_element_post_message(element, gst_message_new_latency(GST_OBJECT_CAST(element)));
}

// Forgets every packet and position; the figures stay.
void Reorder::flush() {
  Lock lock(mutex);
  for (auto& [ssrc, order] : speakers) {
    media::Ledger ledger = order.ledger();
    ledger.evicted += ledger.in_flight;
    ledger.in_flight = 0;
    departed += ledger;
    departed_lost += order.lost();
  }
  speakers.clear();
  earliest.reset();
}

GstStructure* Reorder::stats() {
  Lock lock(mutex);
  media::Ledger total = departed;
  total.received += not_rtp;
  total.not_a_frame += not_rtp;
  std::uint64_t lost = departed_lost;
  std::vector<GstStructure*> rows;
  for (const auto& [ssrc, order] : speakers) {
    GstStructure* row =
        gst_structure_new("speaker", "ssrc", G_TYPE_UINT, ssrc, "user-id", G_TYPE_UINT64,
                          static_cast<guint64>(order.user_id()), "lost", G_TYPE_UINT64,
                          static_cast<guint64>(order.lost()), "resyncs", G_TYPE_UINT64,
                          static_cast<guint64>(order.resyncs()), nullptr);
    add_ledger(row, order.ledger());
    rows.push_back(row);
    total += order.ledger();
    lost += order.lost();
  }
  GstStructure* stats = gst_structure_new("application/x-discordreorder-stats", "lost",
                                          G_TYPE_UINT64, static_cast<guint64>(lost), nullptr);
  add_ledger(stats, total);
  add_list(stats, "speakers", rows);
  return stats;
}

}  // namespace

static GstFlowReturn gst_discord_reorder_chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  std::vector<BufferPtr> buffers;
  buffers.emplace_back(buffer);
  return GST_DISCORD_REORDER(parent)->priv->process(std::move(buffers));
}

static GstFlowReturn gst_discord_reorder_chain_list(GstPad*, GstObject* parent,
                                                    GstBufferList* list) {
  return GST_DISCORD_REORDER(parent)->priv->process(take_buffers(BufferListPtr(list)));
}

static gboolean gst_discord_reorder_sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  Reorder& self = *GST_DISCORD_REORDER(parent)->priv;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_SEGMENT:
      if (!self.timing.segment_arrived(pad, event)) {
        gst_event_unref(event);
        return FALSE;
      }
      break;
    case GST_EVENT_FLUSH_START:
      self.timer.set_flushing(true);
      break;
    case GST_EVENT_FLUSH_STOP:
      self.flush();
      self.timing.flush();
      self.last_arrival = Time{};
      self.timer.set_flushing(false);
      break;
    case GST_EVENT_EOS:
      self.finish();
      break;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      if (self.skip(gst_event_get_structure(event))) {
        gst_event_unref(event);
        return TRUE;
      }
      break;
    default:
      break;
  }
  return gst_pad_event_default(pad, parent, event);
}

static gboolean gst_discord_reorder_src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  Reorder& self = *GST_DISCORD_REORDER(parent)->priv;
  if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
    return answer_latency_query(self.sinkpad, query, self.latency * GST_MSECOND);
  }
  return answer_ledger_query(GST_ELEMENT(parent), self.sinkpad, query) ||
         gst_pad_query_default(pad, parent, query) != FALSE;
}

static GstStateChangeReturn gst_discord_reorder_change_state(GstElement* element,
                                                             GstStateChange transition) {
  Reorder& self = *GST_DISCORD_REORDER(element)->priv;
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED) {
    self.flush();
    {
      Lock lock(self.mutex);
      self.departed = media::Ledger();
      self.departed_lost = 0;
      self.not_rtp = 0;
    }
    self.last_arrival = Time{};
  }
  self.timer.before_change(transition);
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(parent_class)->change_state(element, transition);
  self.timer.after_change(transition, result);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) {
    // The pads are inactive: nobody streams any more.
    self.flush();
    self.timing.flush();
  }
  return result;
}

static gboolean gst_discord_reorder_set_clock(GstElement* element, GstClock* clock) {
  const gboolean result = GST_ELEMENT_CLASS(parent_class)->set_clock(element, clock);
  GST_DISCORD_REORDER(element)->priv->timer.clock_changed();
  return result;
}

static void gst_discord_reorder_set_property(GObject* object, guint id, const GValue* value,
                                             GParamSpec* pspec) {
  Reorder& self = *GST_DISCORD_REORDER(object)->priv;
  switch (id) {
    case PROP_LATENCY:
      self.set_latency(g_value_get_uint(value));
      break;
    case PROP_MAX_SPEAKERS:
      self.max_speakers = g_value_get_uint(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

static void gst_discord_reorder_get_property(GObject* object, guint id, GValue* value,
                                             GParamSpec* pspec) {
  Reorder& self = *GST_DISCORD_REORDER(object)->priv;
  switch (id) {
    case PROP_LATENCY:
      g_value_set_uint(value, self.latency);
      break;
    case PROP_MAX_SPEAKERS:
      g_value_set_uint(value, self.max_speakers);
      break;
    case PROP_STATS:
      g_value_take_boxed(value, self.stats());
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

static void gst_discord_reorder_init(GstDiscordReorder* element) {
  element->priv = new Reorder(GST_ELEMENT_CAST(element));
  Reorder& self = *element->priv;
  self.sinkpad = gst_pad_new_from_static_template(&sink_template, "sink");
  gst_pad_set_chain_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_reorder_chain));
  gst_pad_set_chain_list_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_reorder_chain_list));
  gst_pad_set_event_function(self.sinkpad, GST_DEBUG_FUNCPTR(gst_discord_reorder_sink_event));
  GST_PAD_SET_PROXY_CAPS(self.sinkpad);
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.sinkpad);
  self.srcpad = gst_pad_new_from_static_template(&src_template, "src");
  gst_pad_set_query_function(self.srcpad, GST_DEBUG_FUNCPTR(gst_discord_reorder_src_query));
  GST_PAD_SET_PROXY_CAPS(self.srcpad);
  gst_element_add_pad(GST_ELEMENT_CAST(element), self.srcpad);
}

static void gst_discord_reorder_finalize(GObject* object) {
  delete GST_DISCORD_REORDER(object)->priv;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

static void gst_discord_reorder_class_init(GstDiscordReorderClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(discord_reorder_debug, "discordreorder", 0, "Discord packet order");

  object_class->set_property = gst_discord_reorder_set_property;
  object_class->get_property = gst_discord_reorder_get_property;
  object_class->finalize = gst_discord_reorder_finalize;
  const auto flags = [](int mutability) {
    return static_cast<GParamFlags>(G_PARAM_READWRITE | mutability | G_PARAM_STATIC_STRINGS);
  };
  g_object_class_install_property(
      object_class, PROP_LATENCY,
      g_param_spec_uint("latency", "Latency",
                        "How long a gap waits for the packets that are missing, in ms", 0, 5000,
                        default_latency, flags(GST_PARAM_MUTABLE_PLAYING)));
  g_object_class_install_property(
      object_class, PROP_MAX_SPEAKERS,
      g_param_spec_uint("max-speakers", "Maximum speakers",
                        "How many SSRCs are kept; beyond it the longest idle one goes", 1, 65536,
                        default_max_speakers, flags(GST_PARAM_MUTABLE_PLAYING)));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed(
          "stats", "Statistics", "Where the packets of each speaker went, and how many never came",
          GST_TYPE_STRUCTURE, static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));

  element_class->change_state = gst_discord_reorder_change_state;
  element_class->set_clock = gst_discord_reorder_set_clock;
  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_add_static_pad_template(element_class, &src_template);
  gst_element_class_set_static_metadata(
      element_class, "Discord packet order", "Filter/Network/RTP",
      "Puts the packets of all speakers in order and on one timeline, and announces losses",
      element_author);
}
