// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/speakerpads.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "discord/gstdiscordtags.h"
#include "elements/gstdiscordssrcdemuxpad.h"
#include "elements/lostevents.hpp"
#include "elements/outputbatch.hpp"
#include "elements/recordname.hpp"
#include "media/opus_packet.hpp"

#include <gst/rtp/gstrtpbuffer.h>
#include <algorithm>
#include <utility>
#include <vector>

GST_DEBUG_CATEGORY_EXTERN(discordssrcdemux_debug);
#define GST_CAT_DEFAULT discordssrcdemux_debug

namespace discord {

namespace {

// A GAP stays this far behind what upstream may still deliver: a run of lost packets is announced
// only when the packet behind it is due, and its concealment must find its place still free.
constexpr GstClockTime gap_margin = 200 * GST_MSECOND;
// Where others' progress is the only clock it stays further behind: the newest frame may reach
// 120 ms ahead, and workers may be 50 ms apart.
constexpr GstClockTime progress_margin = 400 * GST_MSECOND;
// Tracks end on a multiple of this, the shortest Opus frame, which is a whole number of samples.
constexpr GstClockTime end_grid = 2500 * GST_USECOND;

// More users than a voice channel ever sees.
constexpr std::size_t max_names = 10000;

GstClockTime add_duration(GstClockTime t, GstClockTime duration) {
  return duration > GST_CLOCK_TIME_NONE - 1 - t ? GST_CLOCK_TIME_NONE - 1 : t + duration;
}

// `a` or `b`, whichever is further; either may be none.
GstClockTime later(GstClockTime a, GstClockTime b) {
  if (!GST_CLOCK_TIME_IS_VALID(a) || !GST_CLOCK_TIME_IS_VALID(b)) {
    return GST_CLOCK_TIME_IS_VALID(a) ? a : b;
  }
  return MAX(a, b);
}

}  // namespace

struct SpeakerPads::Speaker {
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;
  ObjectPtr<GstPad> pad;
  ObjectPtr<GstStream> stream;
  std::string stream_id;
  GstClockTime position = GST_CLOCK_TIME_NONE;   // end of what the pad was given, in segment time
  GstClockTime last_data = GST_CLOCK_TIME_NONE;  // end of its last packet
  GstFlowReturn flow = GST_FLOW_OK;
  std::vector<BufferPtr> part;  // its packets of the list that is being split

  GstDiscordSsrcDemuxPad* own_pad() const { return GST_DISCORD_SSRC_DEMUX_PAD(pad.get()); }
  bool failed() const { return flow <= GST_FLOW_NOT_NEGOTIATED; }
  bool dead() const { return flow == GST_FLOW_EOS || failed(); }
  void push_tags() const;
};

struct SpeakerPads::Identity {
  guint32 ssrc;
  guint64 user_id;
  GstClockTime duration;
};

SpeakerPads::SpeakerPads(GstElement* element, GstPadEventFunction src_event)
    : element_(element), src_event_(src_event) {
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
}

SpeakerPads::~SpeakerPads() = default;

SpeakerPads::Settings SpeakerPads::settings() const {
  Lock lock(mutex_);
  return settings_;
}

SpeakerPads::Stats SpeakerPads::stats() const {
  Lock lock(mutex_);
  return stats_;
}

// --- pads ---

void SpeakerPads::Speaker::push_tags() const {
  GstTagList* tags = gst_tag_list_new_empty();
  gst_tag_list_set_scope(tags, GST_TAG_SCOPE_STREAM);
  if (user_id != 0) {
    gst_tag_list_add(tags, GST_TAG_MERGE_REPLACE, GST_TAG_DISCORD_USER_ID,
                     std::to_string(user_id).c_str(), nullptr);
  }
  const GCharPtr name(gst_discord_ssrc_demux_pad_dup_name(own_pad()));
  if (const std::string title = name ? tag_text(name.get()) : std::string(); !title.empty()) {
    gst_tag_list_add(tags, GST_TAG_MERGE_REPLACE, GST_TAG_TITLE, title.c_str(), nullptr);
  }
  if (gst_tag_list_is_empty(tags)) {
    gst_tag_list_unref(tags);
    return;
  }
  gst_stream_set_tags(stream.get(), tags);
  gst_pad_push_event(pad.get(), gst_event_new_tag(tags));
}

GstEvent* SpeakerPads::stream_start_event(const Speaker& s) const {
  GstEvent* event = gst_event_new_stream_start(s.stream_id.c_str());
  if (group_id_ != GST_GROUP_ID_INVALID) {
    gst_event_set_group_id(event, group_id_);
  }
  gst_event_set_stream(event, s.stream.get());
  return event;
}

CapsPtr SpeakerPads::out_caps() const {
  if (!caps_) {
    return nullptr;
  }
  CapsPtr caps(gst_caps_copy(caps_.get()));
  if (raw_) {
    gst_caps_set_features(caps.get(), 0, nullptr);  // none means plain system memory
    // flacenc and lamemp3enc take two channels only when told which.
    gst_caps_set_simple(caps.get(), "channel-mask", GST_TYPE_BITMASK, guint64{3}, nullptr);
  } else {
    gst_structure_remove_field(gst_caps_get_structure(caps.get(), 0), "ssrc");
  }
  return caps;
}

// To the application, and along each stream to whoever selects streams downstream. Inside a
// recorder or a mix nobody does, and with each speaker it would be told to all of them.
void SpeakerPads::tell_collection() {
  if (unselected_) {
    return;
  }
  GstStreamCollection* collection =
      gst_stream_collection_new(parent_stream_id_.empty() ? nullptr : parent_stream_id_.c_str());
  for (const auto& s : speakers_.all()) {
    gst_stream_collection_add_stream(collection, GST_STREAM(gst_object_ref(s->stream.get())));
  }
  gst_element_post_message(element_,
                           gst_message_new_stream_collection(GST_OBJECT(element_), collection));
  const EventPtr event(gst_event_new_stream_collection(collection));
  gst_object_unref(collection);
  push_to_all(event.get());
}

std::string SpeakerPads::free_pad_name(guint32 ssrc) const {
  const std::string base = "src_" + std::to_string(ssrc);
  std::string name = base;
  // Grouped by user, an SSRC can pass from one user to another while both pads exist.
  for (unsigned n = 1;; n++) {
    ObjectPtr<GstPad> taken(gst_element_get_static_pad(element_, name.c_str()));
    if (!taken) {
      return name;
    }
    name = base + "_" + std::to_string(n);
  }
}

SpeakerPads::Speaker* SpeakerPads::add(GroupBy by, guint32 ssrc, guint64 user_id) {
  const std::string name = free_pad_name(ssrc);
  auto made = std::make_unique<Speaker>();
  made->ssrc = ssrc;
  made->user_id = user_id;
  made->stream_id = parent_stream_id_ + "/" +
                    (by == GroupBy::User && user_id != 0 ? "user/" + std::to_string(user_id)
                                                         : name.substr(sizeof("src_") - 1));
  CapsPtr caps = out_caps();
  made->stream.reset(gst_stream_new(made->stream_id.c_str(), caps.get(), GST_STREAM_TYPE_AUDIO,
                                    GST_STREAM_FLAG_NONE));
  GstPadTemplate* templ = gst_element_get_pad_template(element_, "src_%u");
  auto* pad = GST_PAD(g_object_new(GST_TYPE_DISCORD_SSRC_DEMUX_PAD, "name", name.c_str(),
                                   "direction", GST_PAD_SRC, "template", templ, nullptr));
  made->pad = ObjectPtr<GstPad>(GST_PAD(gst_object_ref_sink(pad)));
  gst_discord_ssrc_demux_pad_identify(made->own_pad(), ssrc, user_id, name_of(user_id));
  gst_pad_set_event_function(pad, src_event_);
  gst_pad_use_fixed_caps(pad);
  gst_pad_set_active(pad, TRUE);

  gst_pad_push_event(pad, stream_start_event(*made));
  if (caps) {
    gst_pad_push_event(pad, gst_event_new_caps(caps.get()));
  }
  gst_pad_push_event(pad, gst_event_new_segment(&segment_));
  made->push_tags();

  Speaker* s = speakers_.add(std::move(made));
  count([&](Stats& st) { st.speakers = static_cast<guint>(speakers_.size()); });
  GST_DEBUG_OBJECT(element_, "new speaker %s, user %" G_GUINT64_FORMAT, name.c_str(), user_id);
  gst_discord_ssrc_demux_pad_set_speaking(s->own_pad(), speaks(ssrc, user_id));
  gst_element_add_pad(element_, pad);
  tell_collection();
  return s;
}

void SpeakerPads::remove(Speaker* speaker, bool with_eos) {
  std::unique_ptr<Speaker> s = speakers_.remove(speaker);
  if (with_eos) {
    gst_pad_push_event(s->pad.get(), gst_event_new_eos());
  }
  gst_pad_set_active(s->pad.get(), FALSE);
  gst_element_remove_pad(element_, s->pad.get());
  count([&](Stats& st) {
    st.removed++;
    st.speakers = static_cast<guint>(speakers_.size());
  });
}

void SpeakerPads::reset() {
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
  newest_ = last_limit_ = GST_CLOCK_TIME_NONE;
  warned_too_many_ = false;
  count([](Stats& st) { st = Stats{}; });
}

void SpeakerPads::clear() {
  while (speakers_.size() > 0) {
    remove(speakers_.all().back().get(), false);
  }
  caps_.reset();
  names_.clear();
  speaking_.clear();
  parent_stream_id_.clear();
}

// --- flows ---

GstFlowReturn SpeakerPads::flow() const {
  if (embedded_ || speakers_.size() == 0) {
    return GST_FLOW_OK;
  }
  std::size_t eos = 0;
  std::size_t flushing = 0;
  GstFlowReturn failure = GST_FLOW_OK;
  for (const auto& s : speakers_.all()) {
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
  if (eos == speakers_.size()) {
    return GST_FLOW_EOS;
  }
  return flushing == speakers_.size() ? GST_FLOW_FLUSHING : GST_FLOW_NOT_LINKED;
}

void SpeakerPads::note_flow(Speaker& s, GstFlowReturn flow) {
  s.flow = flow;
  if (s.dead()) {
    GST_WARNING_OBJECT(element_, "%s answered %s; the other speakers go on",
                       GST_PAD_NAME(s.pad.get()), gst_flow_get_name(flow));
  }
}

// --- time ---

void SpeakerPads::advance(Speaker& s, GstClockTime end) {
  s.position = later(s.position, end);
  newest_ = later(newest_, end);
}

void SpeakerPads::push_gap(Speaker& s, GstClockTime from, GstClockTime until) {
  count([](Stats& st) { st.gaps++; });
  GST_LOG_OBJECT(s.pad.get(), "gap %" GST_TIME_FORMAT " to %" GST_TIME_FORMAT, GST_TIME_ARGS(from),
                 GST_TIME_ARGS(until));
  gst_pad_push_event(s.pad.get(), gst_event_new_gap(from, until - from));
}

void SpeakerPads::fill_gaps(GstClockTime limit) {
  const GstClockTime idle = settings().idle_timeout_ms * GST_MSECOND;
  last_limit_ = later(last_limit_, limit);
  std::vector<Speaker*> gone;
  for (const auto& s : speakers_.all()) {
    if (idle != 0 && GST_CLOCK_TIME_IS_VALID(s->last_data) && limit > s->last_data &&
        limit - s->last_data >= idle) {
      gone.push_back(s.get());
      continue;
    }
    if (!s->dead() && GST_CLOCK_TIME_IS_VALID(s->position) && limit > s->position &&
        limit - s->position >= tick) {
      push_gap(*s, s->position, limit);
      s->position = limit;
    }
  }
  for (Speaker* s : gone) {
    GST_DEBUG_OBJECT(element_, "%s has been idle, removing it", GST_PAD_NAME(s->pad.get()));
    remove(s, true);
  }
  if (!gone.empty()) {
    tell_collection();
  }
}

void SpeakerPads::fill_gaps_by_clock(GstClockTime now, GstClockTime latency) {
  const GstClockTime behind = latency + gap_margin;
  if (now <= behind || segment_.format != GST_FORMAT_TIME) {
    return;
  }
  const guint64 limit =
      gst_segment_position_from_running_time(&segment_, GST_FORMAT_TIME, now - behind);
  if (limit != GST_CLOCK_TIME_NONE) {
    fill_gaps(limit);
  }
}

void SpeakerPads::fill_gaps_by_progress(GstClockTime latency) {
  const GstClockTime behind = latency + progress_margin;
  if (!GST_CLOCK_TIME_IS_VALID(newest_) || newest_ < behind) {
    return;
  }
  const GstClockTime limit = newest_ - behind;
  if (!GST_CLOCK_TIME_IS_VALID(last_limit_) || limit >= last_limit_ + tick) {
    fill_gaps(limit);
  }
}

void SpeakerPads::time_passed(GstClockTime from, GstClockTime duration) {
  newest_ = later(newest_, add_duration(from, GST_CLOCK_TIME_IS_VALID(duration) ? duration : 0));
}

// --- data ---

// Who speaks in this buffer and for how long, or nothing when it is not what the caps promise.
std::optional<SpeakerPads::Identity> SpeakerPads::identify(GstBuffer* buffer) const {
  Identity id{0, 0, GST_BUFFER_DURATION(buffer)};
  const GstDiscordSpeakerMeta* meta = gst_buffer_get_discord_speaker_meta(buffer);
  if (meta != nullptr) {
    id.ssrc = meta->ssrc;
    id.user_id = meta->user_id;
  }
  if (meta != nullptr && GST_CLOCK_TIME_IS_VALID(id.duration)) {
    return id;
  }
  if (raw_) {
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

// The speaker to push the buffer to, made when new. None, and counted, when it is not a packet of a
// speaker, when there are too many, or when the pad takes no more.
SpeakerPads::Speaker* SpeakerPads::speaker_of(GstBuffer* buffer, const Settings& settings) {
  const std::optional<Identity> id = identify(buffer);
  if (!id) {
    count([](Stats& st) { st.malformed++; });
    return nullptr;
  }
  Speaker* s = speakers_.find(settings.group_by, id->ssrc, id->user_id);
  if (s == nullptr && speakers_.size() >= settings.max_speakers) {
    count([](Stats& st) { st.too_many++; });
    if (!std::exchange(warned_too_many_, true)) {
      GST_ELEMENT_WARNING(element_, RESOURCE, NO_SPACE_LEFT,
                          ("More than %u speakers: the packets of new ones are dropped. Raise "
                           "max-speakers, or set idle-timeout.",
                           settings.max_speakers),
                          ("first refused: SSRC %u", id->ssrc));
    }
    return nullptr;
  }
  if (s == nullptr) {
    s = add(settings.group_by, id->ssrc, id->user_id);
  } else if (id->user_id != 0 && gst_discord_ssrc_demux_pad_identify(
                                     s->own_pad(), s->ssrc, s->user_id, name_of(s->user_id))) {
    s->push_tags();
  }
  // A capture stamps only DTS.
  const GstClockTime start =
      GST_BUFFER_PTS_IS_VALID(buffer) ? GST_BUFFER_PTS(buffer) : GST_BUFFER_DTS(buffer);
  if (GST_CLOCK_TIME_IS_VALID(start)) {
    s->last_data = add_duration(start, id->duration);
    advance(*s, s->last_data);
  }
  if (s->dead()) {
    count([](Stats& st) { st.dead_pad++; });
    return nullptr;
  }
  return s;
}

void SpeakerPads::push(BufferPtr buffer) {
  count([](Stats& st) { st.packets++; });
  if (Speaker* s = speaker_of(buffer.get(), settings())) {
    note_flow(*s, gst_pad_push(s->pad.get(), buffer.release()));
  }
}

void SpeakerPads::push(BufferListPtr list) {
  std::vector<BufferPtr> buffers = take_buffers(std::move(list));
  count([&](Stats& st) { st.packets += buffers.size(); });
  const Settings settings = this->settings();
  // Speakers in the order in which they appear; each keeps the order of its own packets.
  for (BufferPtr& buffer : buffers) {
    Speaker* s = speaker_of(buffer.get(), settings);
    if (s == nullptr) {
      continue;
    }
    if (s->part.empty()) {
      parts_.push_back(s);
    }
    s->part.push_back(std::move(buffer));
  }
  for (Speaker* s : parts_) {
    GstFlowReturn flow = GST_FLOW_OK;
    if (s->part.size() == 1) {
      flow = gst_pad_push(s->pad.get(), s->part.front().release());
    } else {
      GstBufferList* part = gst_buffer_list_new_sized(static_cast<guint>(s->part.size()));
      for (BufferPtr& buffer : s->part) {
        gst_buffer_list_add(part, buffer.release());
      }
      flow = gst_pad_push_list(s->pad.get(), part);
    }
    s->part.clear();
    note_flow(*s, flow);
  }
  parts_.clear();
}

// --- events ---

void SpeakerPads::push_to_all(GstEvent* event) {
  for (const auto& s : speakers_.all()) {
    gst_pad_push_event(s->pad.get(), gst_event_ref(event));
  }
}

void SpeakerPads::stream_start(const gchar* id, guint group_id) {
  parent_stream_id_ = id;
  group_id_ = group_id;
  for (const auto& s : speakers_.all()) {
    gst_pad_push_event(s->pad.get(), stream_start_event(*s));
  }
}

void SpeakerPads::caps(GstCaps* caps) {
  caps_.reset(gst_caps_ref(caps));
  raw_ = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
  const CapsPtr out = out_caps();
  const EventPtr event(gst_event_new_caps(out.get()));
  push_to_all(event.get());
}

void SpeakerPads::segment(GstEvent* event) {
  gst_event_copy_segment(event, &segment_);
  push_to_all(event);
}

void SpeakerPads::flush_stop() {
  for (const auto& s : speakers_.all()) {
    s->flow = GST_FLOW_OK;
    s->position = s->last_data = GST_CLOCK_TIME_NONE;
  }
  newest_ = last_limit_ = GST_CLOCK_TIME_NONE;
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
}

void SpeakerPads::lost(EventPtr event) {
  const GstStructure* st = gst_event_get_structure(event.get());
  guint ssrc = 0;
  guint64 user_id = 0;
  Speaker* s = nullptr;
  if (gst_structure_get_uint(st, "ssrc", &ssrc)) {
    gst_structure_get_uint64(st, "user-id", &user_id);
    s = speakers_.find(settings().group_by, ssrc, user_id);
  } else if (speakers_.size() == 1) {
    s = speakers_.all().front().get();
  }
  count([&](Stats& c) { (s != nullptr ? c.lost : c.lost_unknown) += lost_packets(st); });
  if (s == nullptr) {
    return;
  }
  GstClockTime at = GST_CLOCK_TIME_NONE;
  GstClockTime duration = 0;
  if (gst_structure_get_uint64(st, "timestamp", &at) && GST_CLOCK_TIME_IS_VALID(at)) {
    gst_structure_get_uint64(st, "duration", &duration);
    advance(*s, add_duration(at, GST_CLOCK_TIME_IS_VALID(duration) ? duration : 0));
  }
  if (!s->dead()) {
    gst_pad_push_event(s->pad.get(), event.release());
  }
}

const gchar* SpeakerPads::name_of(std::uint64_t user_id) const {
  const auto named = names_.find(user_id);
  return named != names_.end() ? named->second.c_str() : nullptr;
}

void SpeakerPads::user_info(const GstEvent* event) {
  const GstStructure* st = gst_event_get_structure(const_cast<GstEvent*>(event));
  guint64 user_id = 0;
  const gchar* name = gst_structure_get_string(st, "display-name");
  if (!gst_structure_get_uint64(st, "user-id", &user_id) || user_id == 0 || name == nullptr) {
    return;
  }
  if (names_.size() < max_names || names_.contains(user_id)) {
    names_[user_id] = name;
  }
  Speaker* s = speakers_.find_user(user_id);
  if (s != nullptr &&
      gst_discord_ssrc_demux_pad_identify(s->own_pad(), s->ssrc, s->user_id, name)) {
    s->push_tags();
  }
}

// A user may come back with a new SSRC before the spurt of the old one is over.
bool SpeakerPads::speaks(std::uint32_t ssrc, std::uint64_t user_id) const {
  if (user_id == 0 || settings().group_by == GroupBy::Ssrc) {
    return speaking_.contains(ssrc);
  }
  return std::any_of(speaking_.begin(), speaking_.end(),
                     [&](const auto& spurt) { return spurt.second == user_id; });
}

void SpeakerPads::speaking(const GstEvent* event) {
  const GstStructure* st = gst_event_get_structure(const_cast<GstEvent*>(event));
  guint ssrc = 0;
  guint64 user_id = 0;
  gboolean begins = FALSE;
  if (!gst_structure_get_uint(st, "ssrc", &ssrc) ||
      !gst_structure_get_uint64(st, "user-id", &user_id) ||
      !gst_structure_get_boolean(st, "speaking", &begins)) {
    return;
  }
  if (begins == FALSE) {
    speaking_.erase(ssrc);
  } else if (speaking_.size() < max_names) {
    speaking_[ssrc] = user_id;
  }
  Speaker* s = speakers_.find(settings().group_by, ssrc, user_id);
  if (s != nullptr) {
    gst_discord_ssrc_demux_pad_set_speaking(s->own_pad(), speaks(ssrc, s->user_id));
  }
}

void SpeakerPads::eos(EventPtr event) {
  GstClockTime end = later(newest_, last_limit_);
  if (GST_CLOCK_TIME_IS_VALID(end) && end < GST_CLOCK_TIME_NONE - 2 * end_grid) {
    end = (end + end_grid - 1) / end_grid * end_grid;
    for (const auto& s : speakers_.all()) {
      if (s->dead() || !GST_CLOCK_TIME_IS_VALID(s->position) || end < end_grid) {
        continue;
      }
      // Also a pad that seems complete gets one, for a concealment shorter than what was lost.
      push_gap(*s, MIN(s->position, end - end_grid), end);
      s->position = end;
    }
  }
  const bool nobody = speakers_.size() == 0;
  push_to_all(event.get());
  event.reset();
  if (nobody && !embedded_) {
    GST_ELEMENT_ERROR(element_, STREAM, WRONG_TYPE,
                      ("The stream ended before anybody spoke, so there is nothing to play."),
                      ("no packet with a speaker arrived"));
  }
}

}  // namespace discord
