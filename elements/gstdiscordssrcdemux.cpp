/**
 * SECTION:element-discordssrcdemux
 *
 * Splits a stream of many Discord speakers (RTP, or decoded audio) into one pad per speaker. See
 * docs/elements/discordssrcdemux.md.
 *
 * |[
 * gst-launch-1.0 filesrc location=call.pcap ! pcapparse ! discorddecrypt secret-key-file=key ! \
 *     discordreorder ! discordssrcdemux ! rtpopusdepay ! opusdec ! wavenc ! filesink
 * location=first.wav
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordssrcdemux.h"

#include "discord/gstdiscordspeakermeta.h"
#include "discord/gstdiscordtags.h"
#include "discord/gstptr.hpp"
#include "elements/deadlinetimer.hpp"
#include "elements/gstdiscordssrcdemuxpad.h"
#include "elements/speakertable.hpp"

#include <atomic>
#include "media/opus_packet.hpp"

#include <gst/rtp/gstrtpbuffer.h>
#include <optional>
#include <string>

GST_DEBUG_CATEGORY_STATIC(discordssrcdemux_debug);
#define GST_CAT_DEFAULT discordssrcdemux_debug

namespace {

using namespace discord;

constexpr GstClockTime tick = 100 * GST_MSECOND;
// A GAP stays this far behind what upstream may still deliver: a run of lost packets is announced
// only when the packet behind it is due, and its concealment must find its place still free.
constexpr GstClockTime gap_margin = 200 * GST_MSECOND;
// Tracks end on a multiple of this, the shortest Opus frame, which is a whole number of samples.
constexpr GstClockTime end_grid = 2500 * GST_USECOND;

struct Speaker {
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;
  ObjectPtr<GstPad> pad;
  ObjectPtr<GstStream> stream;
  std::string stream_id;
  GstClockTime position = GST_CLOCK_TIME_NONE;   // end of what the pad was given, in segment time
  GstClockTime last_data = GST_CLOCK_TIME_NONE;  // end of its last packet
  GstFlowReturn flow = GST_FLOW_OK;

  GstDiscordSsrcDemuxPad* own_pad() const { return GST_DISCORD_SSRC_DEMUX_PAD(pad.get()); }
  bool failed() const { return flow <= GST_FLOW_NOT_NEGOTIATED; }
  bool dead() const { return flow == GST_FLOW_EOS || failed(); }
};

struct Stats {
  guint64 packets = 0;
  guint64 malformed = 0;
  guint64 too_many = 0;
  guint64 lost = 0;
  guint64 lost_unknown = 0;
  guint64 gaps = 0;
  guint64 dead_pad = 0;
  guint64 removed = 0;
  guint speakers = 0;
};

}  // namespace

struct GstDiscordSsrcDemuxPrivate {
  explicit GstDiscordSsrcDemuxPrivate(GstDiscordSsrcDemux* self);

  // Guarded by the stream lock of the sink pad, which the timer takes too.
  SpeakerTable<Speaker> speakers;
  GstSegment segment;
  CapsPtr caps;
  std::string parent_stream_id;
  guint group_id = GST_GROUP_ID_INVALID;
  GstClockTime newest = GST_CLOCK_TIME_NONE;      // furthest position of any speaker
  GstClockTime last_limit = GST_CLOCK_TIME_NONE;  // furthest GAP limit so far
  bool warned_too_many = false;
  bool raw = false;

  // What upstream answered to the LATENCY query; asked again when `latency_known` is cleared.
  std::atomic<bool> latency_known = false;
  std::atomic<bool> live = false;
  std::atomic<GstClockTime> latency = 0;
  std::atomic<bool> embedded = false;

  Mutex mutex;
  GroupBy group_by GUARDED_BY(mutex) = GroupBy::User;
  guint max_speakers GUARDED_BY(mutex) = 256;
  guint idle_timeout_ms GUARDED_BY(mutex) = 0;
  Stats stats GUARDED_BY(mutex);
  guint32 last_upstream_seqnum GUARDED_BY(mutex) = GST_SEQNUM_INVALID;

  GstPad* sinkpad = nullptr;
  DeadlineTimer timer;

  template <class F> void count(F&& f) {
    Lock lock(mutex);
    f(stats);
  }
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

GstClockTime add_duration(GstClockTime t, GstClockTime duration) {
  return duration > GST_CLOCK_TIME_NONE - 1 - t ? GST_CLOCK_TIME_NONE - 1 : t + duration;
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

// --- speakers; all under the stream lock of the sink pad ---

GstEvent* tag_event(const Speaker& s) {
  GstTagList* tags = gst_tag_list_new_empty();
  gst_tag_list_set_scope(tags, GST_TAG_SCOPE_STREAM);
  if (s.user_id != 0) {
    gst_tag_list_add(tags, GST_TAG_MERGE_REPLACE, GST_TAG_DISCORD_USER_ID,
                     std::to_string(s.user_id).c_str(), nullptr);
  }
  const GCharPtr name(gst_discord_ssrc_demux_pad_dup_name(s.own_pad()));
  if (name && name.get()[0] != '\0') {
    gst_tag_list_add(tags, GST_TAG_MERGE_REPLACE, GST_TAG_TITLE, name.get(), nullptr);
  }
  if (gst_tag_list_is_empty(tags)) {
    gst_tag_list_unref(tags);
    return nullptr;
  }
  gst_stream_set_tags(s.stream.get(), tags);
  return gst_event_new_tag(tags);
}

void push_tags(const Speaker& s) {
  if (GstEvent* event = tag_event(s)) {
    gst_pad_push_event(s.pad.get(), event);
  }
}

GstEvent* stream_start_event(GstDiscordSsrcDemux* self, const Speaker& s) {
  GstEvent* event = gst_event_new_stream_start(s.stream_id.c_str());
  if (self->priv->group_id != GST_GROUP_ID_INVALID) {
    gst_event_set_group_id(event, self->priv->group_id);
  }
  gst_event_set_stream(event, s.stream.get());
  return event;
}

CapsPtr out_caps(const GstDiscordSsrcDemuxPrivate& p) {
  if (!p.caps) {
    return nullptr;
  }
  CapsPtr caps(gst_caps_copy(p.caps.get()));
  if (p.raw) {
    gst_caps_set_features(caps.get(), 0, nullptr);  // none means plain system memory
  } else {
    gst_structure_remove_field(gst_caps_get_structure(caps.get(), 0), "ssrc");
  }
  return caps;
}

void post_collection(GstDiscordSsrcDemux* self) {
  auto& p = *self->priv;
  GstStreamCollection* collection =
      gst_stream_collection_new(p.parent_stream_id.empty() ? nullptr : p.parent_stream_id.c_str());
  for (const auto& s : p.speakers.all()) {
    gst_stream_collection_add_stream(collection, GST_STREAM(gst_object_ref(s->stream.get())));
  }
  gst_element_post_message(GST_ELEMENT(self),
                           gst_message_new_stream_collection(GST_OBJECT(self), collection));
  gst_object_unref(collection);
}

gboolean src_event(GstPad* pad, GstObject* parent, GstEvent* event);

std::string free_pad_name(GstDiscordSsrcDemux* self, guint32 ssrc) {
  const std::string base = "src_" + std::to_string(ssrc);
  std::string name = base;
  // Grouped by user, an SSRC can pass from one user to another while both pads exist.
  for (unsigned n = 1;; n++) {
    ObjectPtr<GstPad> taken(gst_element_get_static_pad(GST_ELEMENT(self), name.c_str()));
    if (!taken) {
      return name;
    }
    name = base + "_" + std::to_string(n);
  }
}

Speaker* add_speaker(GstDiscordSsrcDemux* self, GroupBy by, guint32 ssrc, guint64 user_id) {
  auto& p = *self->priv;
  const std::string name = free_pad_name(self, ssrc);
  auto made = std::make_unique<Speaker>();
  made->ssrc = ssrc;
  made->user_id = user_id;
  made->stream_id = p.parent_stream_id + "/" +
                    (by == GroupBy::User && user_id != 0 ? "user/" + std::to_string(user_id)
                                                         : name.substr(sizeof("src_") - 1));
  CapsPtr caps = out_caps(p);
  made->stream.reset(gst_stream_new(made->stream_id.c_str(), caps.get(), GST_STREAM_TYPE_AUDIO,
                                    GST_STREAM_FLAG_NONE));
  GstPadTemplate* templ = gst_element_get_pad_template(GST_ELEMENT(self), "src_%u");
  auto* pad = GST_PAD(g_object_new(GST_TYPE_DISCORD_SSRC_DEMUX_PAD, "name", name.c_str(),
                                   "direction", GST_PAD_SRC, "template", templ, nullptr));
  made->pad = ObjectPtr<GstPad>(GST_PAD(gst_object_ref_sink(pad)));
  gst_discord_ssrc_demux_pad_identify(made->own_pad(), ssrc, user_id, nullptr);
  gst_pad_set_event_function(pad, src_event);
  gst_pad_use_fixed_caps(pad);
  gst_pad_set_active(pad, TRUE);

  gst_pad_push_event(pad, stream_start_event(self, *made));
  if (caps) {
    gst_pad_push_event(pad, gst_event_new_caps(caps.get()));
  }
  gst_pad_push_event(pad, gst_event_new_segment(&p.segment));
  push_tags(*made);

  Speaker* s = p.speakers.add(std::move(made));
  p.count([&](Stats& st) { st.speakers = static_cast<guint>(p.speakers.size()); });
  GST_DEBUG_OBJECT(self, "new speaker %s, user %" G_GUINT64_FORMAT, name.c_str(), user_id);
  gst_element_add_pad(GST_ELEMENT(self), pad);
  post_collection(self);
  return s;
}

void remove_speaker(GstDiscordSsrcDemux* self, Speaker* speaker, bool with_eos) {
  auto& p = *self->priv;
  std::unique_ptr<Speaker> s = p.speakers.remove(speaker);
  if (with_eos) {
    gst_pad_push_event(s->pad.get(), gst_event_new_eos());
  }
  gst_pad_set_active(s->pad.get(), FALSE);
  gst_element_remove_pad(GST_ELEMENT(self), s->pad.get());
  p.count([&](Stats& st) {
    st.removed++;
    st.speakers = static_cast<guint>(p.speakers.size());
  });
}

// The flow of the whole from the flows of the pads: fine while one is.
GstFlowReturn combined_flow(GstDiscordSsrcDemux* self) {
  auto& p = *self->priv;
  if (GST_PAD_IS_FLUSHING(p.sinkpad)) {
    return GST_FLOW_FLUSHING;
  }
  if (p.embedded || p.speakers.size() == 0) {
    return GST_FLOW_OK;
  }
  std::size_t eos = 0;
  std::size_t flushing = 0;
  GstFlowReturn failure = GST_FLOW_OK;
  for (const auto& s : p.speakers.all()) {
    if (s->flow == GST_FLOW_OK) {
      return GST_FLOW_OK;
    }
    eos += s->flow == GST_FLOW_EOS ? 1 : 0;
    flushing += s->flow == GST_FLOW_FLUSHING ? 1 : 0;
    failure = s->failed() ? s->flow : failure;
  }
  if (failure != GST_FLOW_OK) {
    return failure;
  }
  if (eos == p.speakers.size()) {
    return GST_FLOW_EOS;
  }
  return flushing == p.speakers.size() ? GST_FLOW_FLUSHING : GST_FLOW_NOT_LINKED;
}

void note_flow(GstDiscordSsrcDemux* self, Speaker& s, GstFlowReturn flow) {
  s.flow = flow;
  if (s.dead()) {
    GST_WARNING_OBJECT(self, "%s answered %s; the other speakers go on", GST_PAD_NAME(s.pad.get()),
                       gst_flow_get_name(flow));
  }
}

void advance(GstDiscordSsrcDemuxPrivate& p, Speaker& s, GstClockTime end) {
  if (!GST_CLOCK_TIME_IS_VALID(s.position) || end > s.position) {
    s.position = end;
  }
  if (!GST_CLOCK_TIME_IS_VALID(p.newest) || end > p.newest) {
    p.newest = end;
  }
}

void push_gap(GstDiscordSsrcDemux* self, Speaker& s, GstClockTime from, GstClockTime until) {
  self->priv->count([](Stats& st) { st.gaps++; });
  GST_LOG_OBJECT(s.pad.get(), "gap %" GST_TIME_FORMAT " to %" GST_TIME_FORMAT, GST_TIME_ARGS(from),
                 GST_TIME_ARGS(until));
  gst_pad_push_event(s.pad.get(), gst_event_new_gap(from, until - from));
}

// Brings every quiet pad up to `limit` (segment time) and removes those idle for too long.
void fill_gaps(GstDiscordSsrcDemux* self, GstClockTime limit) {
  auto& p = *self->priv;
  GstClockTime idle;
  {
    Lock lock(p.mutex);
    idle = p.idle_timeout_ms * GST_MSECOND;
  }
  if (!GST_CLOCK_TIME_IS_VALID(p.last_limit) || limit > p.last_limit) {
    p.last_limit = limit;
  }
  std::vector<Speaker*> gone;
  for (const auto& s : p.speakers.all()) {
    if (idle != 0 && GST_CLOCK_TIME_IS_VALID(s->last_data) && limit > s->last_data &&
        limit - s->last_data >= idle) {
      gone.push_back(s.get());
      continue;
    }
    if (!s->dead() && GST_CLOCK_TIME_IS_VALID(s->position) && limit > s->position &&
        limit - s->position >= tick) {
      push_gap(self, *s, s->position, limit);
      s->position = limit;
    }
  }
  for (Speaker* s : gone) {
    GST_DEBUG_OBJECT(self, "%s has been idle, removing it", GST_PAD_NAME(s->pad.get()));
    remove_speaker(self, s, true);
  }
  if (!gone.empty()) {
    post_collection(self);
  }
}

// Behind a file nothing but the other speakers says how far time has come.
void fill_gaps_from_progress(GstDiscordSsrcDemux* self) {
  auto& p = *self->priv;
  const GstClockTime behind = p.latency + gap_margin;
  if (p.live || !GST_CLOCK_TIME_IS_VALID(p.newest) || p.newest < behind) {
    return;
  }
  const GstClockTime limit = p.newest - behind;
  if (!GST_CLOCK_TIME_IS_VALID(p.last_limit) || limit >= p.last_limit + tick) {
    fill_gaps(self, limit);
  }
}

void on_tick(GstDiscordSsrcDemux* self, GstClockTime now) {
  auto& p = *self->priv;
  query_latency(self);
  if (!p.live) {
    return;  // armed again when upstream may have changed
  }
  GST_PAD_STREAM_LOCK(p.sinkpad);
  const GstClockTime behind = p.latency + gap_margin;
  if (!GST_PAD_IS_FLUSHING(p.sinkpad) && !GST_PAD_IS_EOS(p.sinkpad) && now > behind &&
      p.segment.format == GST_FORMAT_TIME) {
    const guint64 limit =
        gst_segment_position_from_running_time(&p.segment, GST_FORMAT_TIME, now - behind);
    if (limit != GST_CLOCK_TIME_NONE) {
      fill_gaps(self, limit);
    }
  }
  GST_PAD_STREAM_UNLOCK(p.sinkpad);
  p.timer.arm_no_later(now + tick);
}

// --- data ---

struct Identity {
  guint32 ssrc;
  guint64 user_id;
  GstClockTime duration;
};

// Who speaks in this buffer and for how long, or nothing when it is not what the caps promise.
std::optional<Identity> identify(const GstDiscordSsrcDemuxPrivate& p, GstBuffer* buffer) {
  Identity id{0, 0, GST_BUFFER_DURATION(buffer)};
  const GstDiscordSpeakerMeta* meta = gst_buffer_get_discord_speaker_meta(buffer);
  if (meta != nullptr) {
    id.ssrc = meta->ssrc;
    id.user_id = meta->user_id;
  }
  if (p.raw) {
    if (meta == nullptr) {
      return std::nullopt;
    }
    if (!GST_CLOCK_TIME_IS_VALID(id.duration)) {
      id.duration = gst_util_uint64_scale(gst_buffer_get_size(buffer) / 4, GST_SECOND, 48000);
    }
    return id;
  }
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  if (!gst_rtp_buffer_map(buffer, GST_MAP_READ, &rtp)) {
    return std::nullopt;
  }
  if (meta == nullptr) {
    id.ssrc = gst_rtp_buffer_get_ssrc(&rtp);
  }
  if (!GST_CLOCK_TIME_IS_VALID(id.duration)) {
    const auto opus = media::parse_opus_packet(
        {static_cast<const std::uint8_t*>(gst_rtp_buffer_get_payload(&rtp)),
         gst_rtp_buffer_get_payload_len(&rtp)});
    // A packet no decoder will take still passes: it is the decoder's to refuse and to conceal.
    id.duration = opus ? gst_util_uint64_scale(opus->duration, GST_SECOND, 48000) : 0;
  }
  gst_rtp_buffer_unmap(&rtp);
  return id;
}

// The speaker of a packet, made when new; nullptr when there are too many.
Speaker* speaker_for(GstDiscordSsrcDemux* self, const Identity& id) {
  auto& p = *self->priv;
  GroupBy by;
  guint max;
  {
    Lock lock(p.mutex);
    by = p.group_by;
    max = p.max_speakers;
    p.stats.packets++;
  }
  Speaker* s = p.speakers.find(by, id.ssrc, id.user_id);
  if (s == nullptr && p.speakers.size() >= max) {
    p.count([](Stats& st) { st.too_many++; });
    if (!p.warned_too_many) {
      p.warned_too_many = true;
      GST_ELEMENT_WARNING(self, RESOURCE, NO_SPACE_LEFT,
                          ("More than %u speakers: the packets of new ones are dropped. Raise "
                           "max-speakers, or set idle-timeout.",
                           max),
                          ("first refused: SSRC %u", id.ssrc));
    }
    return nullptr;
  }
  if (s == nullptr) {
    return add_speaker(self, by, id.ssrc, id.user_id);
  }
  if (id.user_id != 0 &&
      gst_discord_ssrc_demux_pad_identify(s->own_pad(), s->ssrc, s->user_id, nullptr)) {
    push_tags(*s);
  }
  return s;
}

void account(GstDiscordSsrcDemuxPrivate& p, Speaker& s, const GstBuffer* buffer,
             const Identity& id) {
  GstClockTime pts = GST_BUFFER_PTS(buffer);
  if (!GST_CLOCK_TIME_IS_VALID(pts)) {
    pts = GST_BUFFER_DTS(buffer);  // a capture stamps only DTS
  }
  if (GST_CLOCK_TIME_IS_VALID(pts)) {
    const GstClockTime end = add_duration(pts, id.duration);
    advance(p, s, end);
    s.last_data = end;
  }
}

bool ready_for_data(GstDiscordSsrcDemux* self) {
  auto& p = *self->priv;
  if (!p.latency_known) {
    query_latency(self);
    if (p.live) {
      p.timer.arm_no_later(0);
    }
  }
  if (p.segment.format != GST_FORMAT_TIME) {
    GST_ELEMENT_ERROR(self, STREAM, FORMAT, ("The stream has no TIME segment."), (nullptr));
    return false;
  }
  return true;
}

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* raw_buffer) {
  auto* self = GST_DISCORD_SSRC_DEMUX(parent);
  auto& p = *self->priv;
  BufferPtr buffer(raw_buffer);
  if (!ready_for_data(self)) {
    return GST_FLOW_ERROR;
  }
  const std::optional<Identity> id = identify(p, buffer.get());
  if (!id) {
    p.count([](Stats& st) {
      st.packets++;
      st.malformed++;
    });
    return GST_FLOW_OK;
  }
  Speaker* s = speaker_for(self, *id);
  if (s == nullptr) {
    return GST_FLOW_OK;
  }
  account(p, *s, buffer.get(), *id);
  if (s->dead()) {
    p.count([](Stats& st) { st.dead_pad++; });
  } else {
    note_flow(self, *s, gst_pad_push(s->pad.get(), buffer.release()));
  }
  fill_gaps_from_progress(self);
  return combined_flow(self);
}

GstFlowReturn chain_list(GstPad*, GstObject* parent, GstBufferList* raw_list) {
  auto* self = GST_DISCORD_SSRC_DEMUX(parent);
  auto& p = *self->priv;
  BufferListPtr list(raw_list);
  if (!ready_for_data(self)) {
    return GST_FLOW_ERROR;
  }
  // Speakers in the order in which they appear; each keeps the order of its own packets.
  std::vector<std::pair<Speaker*, BufferListPtr>> split;
  const guint length = gst_buffer_list_length(list.get());
  for (guint i = 0; i < length; i++) {
    GstBuffer* buffer = gst_buffer_list_get(list.get(), i);
    const std::optional<Identity> id = identify(p, buffer);
    if (!id) {
      p.count([](Stats& st) {
        st.packets++;
        st.malformed++;
      });
      continue;
    }
    Speaker* s = speaker_for(self, *id);
    if (s == nullptr) {
      continue;
    }
    account(p, *s, buffer, *id);
    if (s->dead()) {
      p.count([](Stats& st) { st.dead_pad++; });
      continue;
    }
    auto it = split.begin();
    while (it != split.end() && it->first != s) {
      ++it;
    }
    if (it == split.end()) {
      it = split.emplace(it, s, BufferListPtr(gst_buffer_list_new_sized(length)));
    }
    gst_buffer_list_add(it->second.get(), gst_buffer_ref(buffer));
  }
  list.reset();
  for (auto& [s, part] : split) {
    note_flow(self, *s, gst_pad_push_list(s->pad.get(), part.release()));
  }
  fill_gaps_from_progress(self);
  return combined_flow(self);
}

// --- events and queries ---

void push_to_all(GstDiscordSsrcDemux* self, GstEvent* event) {
  for (const auto& s : self->priv->speakers.all()) {
    gst_pad_push_event(s->pad.get(), gst_event_ref(event));
  }
}

void on_lost(GstDiscordSsrcDemux* self, EventPtr event) {
  auto& p = *self->priv;
  const GstStructure* st = gst_event_get_structure(event.get());
  guint ssrc = 0;
  guint64 user_id = 0;
  Speaker* s = nullptr;
  if (gst_structure_get_uint(st, "ssrc", &ssrc)) {
    gst_structure_get_uint64(st, "user-id", &user_id);
    GroupBy by;
    {
      Lock lock(p.mutex);
      by = p.group_by;
    }
    s = p.speakers.find(by, ssrc, user_id);
  } else if (p.speakers.size() == 1) {
    s = p.speakers.all().front().get();
  }
  p.count([&](Stats& c) { s != nullptr ? c.lost++ : c.lost_unknown++; });
  if (s == nullptr) {
    return;
  }
  GstClockTime at = GST_CLOCK_TIME_NONE;
  GstClockTime duration = 0;
  if (gst_structure_get_uint64(st, "timestamp", &at) && GST_CLOCK_TIME_IS_VALID(at)) {
    gst_structure_get_uint64(st, "duration", &duration);
    advance(p, *s, add_duration(at, GST_CLOCK_TIME_IS_VALID(duration) ? duration : 0));
  }
  if (!s->dead()) {
    gst_pad_push_event(s->pad.get(), event.release());
  }
}

// `discord-user-info` (user-id: guint64, display-name: string): how a name reaches the pads.
void on_user_info(GstDiscordSsrcDemux* self, const GstEvent* event) {
  const GstStructure* st = gst_event_get_structure(const_cast<GstEvent*>(event));
  guint64 user_id = 0;
  const gchar* name = gst_structure_get_string(st, "display-name");
  if (!gst_structure_get_uint64(st, "user-id", &user_id) || user_id == 0 || name == nullptr) {
    return;
  }
  Speaker* s = self->priv->speakers.find_user(user_id);
  if (s != nullptr &&
      gst_discord_ssrc_demux_pad_identify(s->own_pad(), s->ssrc, s->user_id, name)) {
    push_tags(*s);
  }
}

void on_eos(GstDiscordSsrcDemux* self, GstEvent* event) {
  auto& p = *self->priv;
  GstClockTime end = p.newest;
  if (GST_CLOCK_TIME_IS_VALID(p.last_limit) &&
      (!GST_CLOCK_TIME_IS_VALID(end) || p.last_limit > end)) {
    end = p.last_limit;
  }
  if (GST_CLOCK_TIME_IS_VALID(end) && end < GST_CLOCK_TIME_NONE - 2 * end_grid) {
    end = (end + end_grid - 1) / end_grid * end_grid;
    for (const auto& s : p.speakers.all()) {
      if (s->dead() || !GST_CLOCK_TIME_IS_VALID(s->position) || end < end_grid) {
        continue;
      }
      // Also a pad that seems complete gets one, for a concealment shorter than what was lost.
      push_gap(self, *s, MIN(s->position, end - end_grid), end);
      s->position = end;
    }
  }
  const bool nobody = p.speakers.size() == 0;
  push_to_all(self, event);
  gst_event_unref(event);
  if (nobody && !p.embedded) {
    GST_ELEMENT_ERROR(self, STREAM, WRONG_TYPE,
                      ("The stream ended before anybody spoke, so there is nothing to play."),
                      ("no packet with a speaker arrived"));
  }
}

gboolean set_caps(GstDiscordSsrcDemux* self, GstEvent* event) {
  auto& p = *self->priv;
  GstCaps* caps;
  gst_event_parse_caps(event, &caps);
  p.caps.reset(gst_caps_ref(caps));
  p.raw = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
  CapsPtr out = out_caps(p);
  EventPtr out_event(gst_event_new_caps(out.get()));
  push_to_all(self, out_event.get());
  return TRUE;
}

gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event) {
  auto* self = GST_DISCORD_SSRC_DEMUX(parent);
  auto& p = *self->priv;
  EventPtr owned(event);
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START: {
      const gchar* id;
      gst_event_parse_stream_start(event, &id);
      p.parent_stream_id = id;
      if (!gst_event_parse_group_id(event, &p.group_id)) {
        p.group_id = gst_util_group_id_next();
      }
      p.latency_known = false;
      for (const auto& s : p.speakers.all()) {
        gst_pad_push_event(s->pad.get(), stream_start_event(self, *s));
      }
      return TRUE;
    }
    case GST_EVENT_CAPS:
      return set_caps(self, event);
    case GST_EVENT_SEGMENT:
      gst_event_copy_segment(event, &p.segment);
      p.latency_known = false;
      push_to_all(self, event);
      return TRUE;
    case GST_EVENT_EOS:
      on_eos(self, owned.release());
      return TRUE;
    case GST_EVENT_GAP: {
      // A gap of the whole stream: time passes for everybody.
      GstClockTime at;
      GstClockTime duration;
      gst_event_parse_gap(event, &at, &duration);
      if (GST_CLOCK_TIME_IS_VALID(duration)) {
        at = add_duration(at, duration);
      }
      if (!GST_CLOCK_TIME_IS_VALID(p.newest) || at > p.newest) {
        p.newest = at;
      }
      fill_gaps_from_progress(self);
      return TRUE;
    }
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      if (gst_event_has_name(event, "GstRTPPacketLost")) {
        on_lost(self, std::move(owned));
        return TRUE;
      }
      if (gst_event_has_name(event, "discord-user-info")) {
        on_user_info(self, event);
      }
      push_to_all(self, event);
      return TRUE;
    case GST_EVENT_FLUSH_START:
      p.timer.set_flushing(true);
      // A recording keeps what it has.
      return p.embedded ? TRUE : gst_pad_event_default(pad, parent, owned.release());
    case GST_EVENT_FLUSH_STOP:
      for (const auto& s : p.speakers.all()) {
        s->flow = GST_FLOW_OK;
        s->position = s->last_data = GST_CLOCK_TIME_NONE;
      }
      p.newest = p.last_limit = GST_CLOCK_TIME_NONE;
      gst_segment_init(&p.segment, GST_FORMAT_UNDEFINED);
      p.latency_known = false;
      p.timer.set_flushing(false);
      return p.embedded ? TRUE : gst_pad_event_default(pad, parent, owned.release());
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
      // Every sink behind every pad sends the same seek; upstream gets it once.
      const guint32 seqnum = gst_event_get_seqnum(event);
      bool again;
      {
        Lock lock(p.mutex);
        again = std::exchange(p.last_upstream_seqnum, seqnum) == seqnum;
      }
      if (again) {
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
  switch (transition) {
    case GST_STATE_CHANGE_READY_TO_PAUSED:
      gst_segment_init(&p.segment, GST_FORMAT_UNDEFINED);
      p.newest = p.last_limit = GST_CLOCK_TIME_NONE;
      p.warned_too_many = false;
      p.latency_known = false;
      p.live = false;
      p.count([](Stats& st) { st = Stats{}; });
      p.timer.start();
      break;
    case GST_STATE_CHANGE_PLAYING_TO_PAUSED:
      p.timer.set_playing(false);
      break;
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      p.timer.set_flushing(true);
      break;
    default:
      break;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_discord_ssrc_demux_parent_class)->change_state(element, transition);
  switch (transition) {
    case GST_STATE_CHANGE_PAUSED_TO_PLAYING:
      p.timer.set_playing(true);
      break;
    case GST_STATE_CHANGE_READY_TO_PAUSED:
      if (result == GST_STATE_CHANGE_FAILURE) {
        p.timer.stop();
      }
      break;
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      // The sink pad is inactive: no streaming thread is inside, and the timer ends here.
      p.timer.stop();
      while (p.speakers.size() > 0) {
        remove_speaker(self, p.speakers.all().back().get(), false);
      }
      p.caps.reset();
      p.parent_stream_id.clear();
      break;
    default:
      break;
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
  auto& p = *self->priv;
  Lock lock(p.mutex);
  const Stats s = p.stats;
  return gst_structure_new(
      "application/x-discordssrcdemux-stats", "num-speakers", G_TYPE_UINT, s.speakers,
      "num-packets", G_TYPE_UINT64, s.packets, "num-malformed", G_TYPE_UINT64, s.malformed,
      "num-too-many-speakers", G_TYPE_UINT64, s.too_many, "num-dead-pad", G_TYPE_UINT64, s.dead_pad,
      "num-lost", G_TYPE_UINT64, s.lost, "num-lost-unknown-ssrc", G_TYPE_UINT64, s.lost_unknown,
      "num-gaps", G_TYPE_UINT64, s.gaps, "num-removed", G_TYPE_UINT64, s.removed, nullptr);
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  auto& p = *GST_DISCORD_SSRC_DEMUX(object)->priv;
  Lock lock(p.mutex);
  switch (id) {
    case PROP_GROUP_BY:
      p.group_by =
          g_value_get_enum(value) == GST_DISCORD_GROUP_BY_SSRC ? GroupBy::Ssrc : GroupBy::User;
      break;
    case PROP_MAX_SPEAKERS:
      p.max_speakers = g_value_get_uint(value);
      break;
    case PROP_IDLE_TIMEOUT:
      p.idle_timeout_ms = g_value_get_uint(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_SSRC_DEMUX(object);
  auto& p = *self->priv;
  if (id == PROP_STATS) {
    g_value_take_boxed(value, make_stats(self));
    return;
  }
  Lock lock(p.mutex);
  switch (id) {
    case PROP_GROUP_BY:
      g_value_set_enum(value, p.group_by == GroupBy::Ssrc ? GST_DISCORD_GROUP_BY_SSRC
                                                          : GST_DISCORD_GROUP_BY_USER);
      break;
    case PROP_MAX_SPEAKERS:
      g_value_set_uint(value, p.max_speakers);
      break;
    case PROP_IDLE_TIMEOUT:
      g_value_set_uint(value, p.idle_timeout_ms);
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
    : timer(GST_ELEMENT(self), "discord-demux", [self](GstClockTime now) { on_tick(self, now); }) {
  gst_segment_init(&segment, GST_FORMAT_UNDEFINED);
}

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
  gst_element_class_set_static_metadata(element_class, "Discord speaker demuxer",
                                        "Demuxer/Network/RTP",
                                        "Splits a stream of many speakers into one pad per speaker",
                                        "gst-discord <gst-discord@gst-discord.invalid>");
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
  self->priv->embedded = embedded != FALSE;
}
