// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/utterances.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "elements/outputbatch.hpp"
#include "media/timeline.hpp"
#include "rtp/packet.hpp"

#include <algorithm>
#include <memory>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(discord_utterances_debug);
#define GST_CAT_DEFAULT discord_utterances_debug

namespace discord {

namespace {

constexpr std::size_t max_tracks = 1024;
constexpr GstClockTime tick = 50 * GST_MSECOND;
// Losses are announced late, and decoders deliver late: that much is waited beyond the latency.
constexpr std::int64_t margin = 9600;                    // 200 ms
constexpr std::int64_t idle = std::int64_t{48000} * 60;  // a track is forgotten

record::SegmentSettings segment_settings(const UtteranceSettings& s) {
  const auto samples = [&](guint ms) { return std::int64_t{s.rate} * ms / 1000; };
  record::SegmentSettings out;
  out.rate = s.rate;
  out.gap = std::max<std::int64_t>(samples(s.gap), 1);
  out.max_length = samples(s.max_length);
  out.min_length = samples(s.min_length);
  out.partial_every = samples(s.partial_interval);
  return out;
}

}  // namespace

void Utterances::reset() {
  speakers.clear();
  last_arrival = Time{};
  newest = looked = 0;
  flow = GST_FLOW_OK;
}

// --- speakers; stream lock ---

UtteranceSpeaker* Utterances::speaker(std::uint32_t ssrc, std::uint64_t user) {
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
  UtteranceSpeaker* s = nullptr;
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
    UtteranceSpeaker& s = it->second;
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
void Utterances::take(UtteranceSpeaker& s) {
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

}  // namespace discord
