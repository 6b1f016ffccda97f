// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/journaltap.hpp"

#include "config.h"
#include "discord/gstdiscordspeakermeta.h"
#include "elements/lostevents.hpp"
#include "elements/quiet.hpp"
#include "elements/userfilter.hpp"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"
#include "rtp/packet.hpp"

#include <algorithm>
#include <random>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

namespace discord {

namespace {

constexpr std::int64_t spurt_gap = 9600;  // 200 ms, as in media::SpeakingDetector
constexpr std::size_t max_voices = 65536;
constexpr std::size_t max_early = 256;
constexpr std::size_t max_people = 10000;
constexpr std::size_t max_waiting = 16;

std::int64_t samples_between(GstClockTime from, GstClockTime to) {
  return media::samples_from_duration(
      Duration(static_cast<std::int64_t>(to) - static_cast<std::int64_t>(from)));
}

}  // namespace

// What was last heard of an SSRC, to know where talk spurts begin and end.
struct JournalTap::Voice {
  std::uint64_t user_id = 0;
  std::int64_t end = 0;
  bool speaking = false;
};

JournalTap::JournalTap(GstElement* owner, GstPad* pad, std::function<Zero()> zero)
    : owner_(owner), pad_(ref_object(pad)), ask_zero_(std::move(zero)) {
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
}

Result<std::unique_ptr<JournalTap>, std::string> JournalTap::create(GstElement* owner, GstPad* pad,
                                                                    const RecordFolder& folder,
                                                                    std::function<Zero()> zero) {
  std::unique_ptr<JournalTap> tap(new JournalTap(owner, pad, std::move(zero)));
  JournalWriter::Settings settings;
  settings.trouble = [owner](bool works, const std::string& sentence) {
    if (works) {
      GST_ELEMENT_INFO_WITH_DETAILS(owner, RESOURCE, WRITE, ("%s", sentence.c_str()), (nullptr),
                                    ("journal", G_TYPE_BOOLEAN, TRUE, nullptr));
    } else {
      GST_ELEMENT_WARNING_WITH_DETAILS(owner, RESOURCE, WRITE, ("%s", sentence.c_str()), (nullptr),
                                       ("journal", G_TYPE_BOOLEAN, TRUE, nullptr));
    }
  };
  auto writer = JournalWriter::create(folder, std::move(settings));
  if (!writer.ok()) {
    return Failure{writer.error()};
  }
  tap->writer_ = std::move(writer).value();
  tap->probe_ = gst_pad_add_probe(
      pad,
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST |
                                   GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      on_data, tap.get(), nullptr);
  return tap;
}

JournalTap::~JournalTap() {
  finish(std::nullopt);
}

void JournalTap::finish(std::optional<GstClockTime> length) {
  if (finished_.exchange(true)) {
    return;
  }
  gst_pad_remove_probe(pad_.get(), probe_);
  std::map<guint64, Person> people;
  {
    Lock lock(mutex_);
    people.swap(people_);
  }
  for (auto& [user, person] : people) {
    if (!person.waiting.empty() && heard_upstream(pad_.get(), user) != media::Admission::denied) {
      std::for_each(person.waiting.begin(), person.waiting.end(),
                    [this](Early& e) { happened(std::move(e)); });
    }
  }
  writer_->finish(length ? std::optional(samples_between(0, *length)) : std::nullopt);
}

GstClockTime JournalTap::length() const {
  return static_cast<GstClockTime>(media::duration_from_samples(end_).count());
}

GstStructure* JournalTap::stats() const {
  const JournalWriter::Stats s = writer_->stats();
  return gst_structure_new("journal", "path", G_TYPE_STRING, path().c_str(), "bytes", G_TYPE_UINT64,
                           static_cast<guint64>(s.bytes), "num-records", G_TYPE_UINT64,
                           static_cast<guint64>(s.records), "num-dropped", G_TYPE_UINT64,
                           static_cast<guint64>(s.dropped), "failing", G_TYPE_BOOLEAN,
                           gboolean{s.failing}, nullptr);
}

// --- time ---

std::optional<std::int64_t> JournalTap::position(GstClockTime stream_time) const {
  if (segment_.format != GST_FORMAT_TIME || !GST_CLOCK_TIME_IS_VALID(stream_time)) {
    return std::nullopt;
  }
  guint64 running = 0;
  const int sign =
      gst_segment_to_running_time_full(&segment_, GST_FORMAT_TIME, stream_time, &running);
  if (sign == 0) {
    return std::nullopt;
  }
  const std::int64_t from_zero = samples_between(zero_.running_time, running);
  return sign > 0 ? from_zero
                  : -samples_between(0, running) - samples_between(0, zero_.running_time);
}

std::int64_t JournalTap::now() const {
  if (!started_) {
    return 0;
  }
  const GstClockTime running =
      zero_.live ? gst_element_get_current_running_time(owner_) : GST_CLOCK_TIME_NONE;
  return GST_CLOCK_TIME_IS_VALID(running) ? samples_between(zero_.running_time, running)
                                          : end_.load();
}

// --- streaming thread ---

void JournalTap::start() {
  zero_ = ask_zero_();
  record::JournalSession session;
  std::random_device random;
  std::generate(session.id.begin(), session.id.end(),
                [&] { return static_cast<std::uint8_t>(random()); });
  session.software = PACKAGE_NAME " " PACKAGE_VERSION;
  {
    Lock lock(mutex_);
    started_ = true;
  }
  const std::int64_t wall = g_get_real_time() * 1000;
  session.zero_utc_ns = wall - (zero_.live ? media::duration_from_samples(now()).count() : 0);
  writer_->begin(session);
  std::vector<Early> early;
  {
    Lock lock(mutex_);
    early.swap(early_);
  }
  for (Early& e : early) {
    e.event.sample = zero_.live ? samples_between(zero_.running_time, e.running_time) : 0;
    writer_->append(e.event);
  }
}

GstPadProbeReturn JournalTap::on_data(GstPad*, GstPadProbeInfo* info, gpointer self) {
  auto* tap = static_cast<JournalTap*>(self);
  if ((info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0) {
    GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
    for (guint i = 0; i < gst_buffer_list_length(list); i++) {
      tap->buffer(gst_buffer_list_get(list, i));
    }
  } else if ((info->type & GST_PAD_PROBE_TYPE_BUFFER) != 0) {
    tap->buffer(GST_PAD_PROBE_INFO_BUFFER(info));
  } else {
    tap->event(GST_PAD_PROBE_INFO_EVENT(info));
  }
  return GST_PAD_PROBE_OK;
}

void JournalTap::buffer(GstBuffer* buffer) {
  if (!started_) {
    start();
  }
  const auto at = position(GST_BUFFER_DTS_OR_PTS(buffer));
  const auto exact = position(GST_BUFFER_PTS(buffer));
  if (!at && !exact) {
    return;
  }
  record::JournalPacket packet;
  packet.sample = exact.value_or(at.value_or(0));
  packet.arrival = zero_.live ? now() : packet.sample;
  const GstDiscordSpeakerMeta* meta = gst_buffer_get_discord_speaker_meta(buffer);
  if (meta != nullptr) {
    packet.ssrc = meta->ssrc;
    packet.user_id = meta->user_id;
  }
  const auto write = [&](const MappedBuffer& map, ByteSpan opus) {
    const auto parsed = media::parse_opus_packet(opus);
    if (!map || !parsed.ok()) {
      return;
    }
    if (raw_ && GST_BUFFER_DURATION_IS_VALID(buffer)) {
      // Decoded frames are cut in front where the clocks disagree; their packets are not.
      packet.sample += samples_between(0, GST_BUFFER_DURATION(buffer)) -
                       static_cast<std::int64_t>(parsed->duration);
    }
    packet.opus = opus;
    packet.silence = media::is_silence_frame(opus);
    packet.quiet = is_quiet(meta);
    voice(packet, parsed->duration);
    writer_->append(packet);
  };
  if (!raw_) {
    const MappedBuffer map(buffer, GST_MAP_READ);
    const auto rtp = rtp::parse_packet(map ? ByteSpan(map.data(), map.size()) : ByteSpan());
    if (!rtp.ok()) {
      return;
    }
    packet.ssrc = meta != nullptr ? meta->ssrc : rtp->header.ssrc;
    packet.sequence = rtp->header.sequence;
    packet.timestamp = rtp->header.timestamp;
    write(map, rtp->payload);
    return;
  }
  if (meta == nullptr) {
    return;
  }
  if (meta->packet != nullptr && meta->kind != GST_DISCORD_FRAME_FEC) {
    const MappedBuffer map(meta->packet, GST_MAP_READ);
    write(map, map ? ByteSpan(map.data(), map.size()) : ByteSpan());
  } else if (meta->kind == GST_DISCORD_FRAME_PLC || meta->kind == GST_DISCORD_FRAME_FEC) {
    writer_->append(record::JournalLoss{
        packet.sample,
        static_cast<std::uint32_t>(samples_between(
            0, GST_BUFFER_DURATION_IS_VALID(buffer) ? GST_BUFFER_DURATION(buffer) : 0)),
        packet.user_id, packet.ssrc, 0, 1});
  }
}

// Where spurts begin and end, and whose an SSRC is, when that is news.
void JournalTap::voice(const record::JournalPacket& packet, std::int64_t duration) {
  end_ = std::max<std::int64_t>(end_, packet.sample + duration);
  auto known = voices_.find(packet.ssrc);
  if (known == voices_.end()) {
    if (voices_.size() >= max_voices) {
      return;
    }
    known = voices_.try_emplace(packet.ssrc).first;
  }
  Voice& v = known->second;
  if (packet.user_id != 0 && v.user_id != packet.user_id) {
    v.user_id = packet.user_id;
    writer_->append(record::JournalUser{packet.user_id, packet.ssrc, heard(packet.user_id)});
  }
  const auto tell = [&](record::JournalEventKind kind, std::int64_t sample) {
    v.speaking = kind == record::JournalEventKind::speaking;
    writer_->append(record::JournalEvent{kind, sample, v.user_id, packet.ssrc, 0, {}});
  };
  if (v.speaking && (packet.silence || packet.sample - v.end >= spurt_gap)) {
    tell(record::JournalEventKind::silent, v.end);
  }
  if (!packet.silence && !v.speaking) {
    tell(record::JournalEventKind::speaking, packet.sample);
  }
  v.end = packet.sample + duration;
}

void JournalTap::lost(const GstStructure* structure) {
  guint ssrc = 0;
  guint sequence = 0;
  guint64 user = 0;
  guint64 at = 0;
  guint64 duration = 0;
  if (!gst_structure_get_uint(structure, "ssrc", &ssrc) ||
      !gst_structure_get_uint64(structure, "timestamp", &at) ||
      !gst_structure_get_uint64(structure, "duration", &duration)) {
    return;
  }
  gst_structure_get_uint64(structure, "user-id", &user);
  gst_structure_get_uint(structure, "seqnum", &sequence);
  if (const auto sample = position(at); sample && started_) {
    writer_->append(
        record::JournalLoss{*sample, static_cast<std::uint32_t>(samples_between(0, duration)), user,
                            ssrc, static_cast<std::uint16_t>(sequence), lost_packets(structure)});
  }
}

void JournalTap::event(GstEvent* event) {
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_SEGMENT:
      gst_event_copy_segment(event, &segment_);
      break;
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      raw_ = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
      break;
    }
    case GST_EVENT_CUSTOM_DOWNSTREAM:
    case GST_EVENT_CUSTOM_DOWNSTREAM_OOB:
      if (const GstStructure* s = gst_event_get_structure(event)) {
        if (gst_structure_has_name(s, "GstRTPPacketLost")) {
          lost(s);
        } else {
          told(s);
        }
      }
      break;
    default:
      break;
  }
}

// --- any thread ---

JournalTap::Early JournalTap::early(record::JournalEvent event) const {
  const GstClockTime running = gst_element_get_current_running_time(owner_);
  event.sample = end_;
  return {GST_CLOCK_TIME_IS_VALID(running) ? running : 0, std::move(event)};
}

// What happens before the first packet waits for it: only then it is known where zero is.
void JournalTap::happened(Early happening) {
  {
    Lock lock(mutex_);
    if (!started_) {
      if (early_.size() < max_early) {
        early_.push_back(std::move(happening));
      }
      return;
    }
  }
  if (zero_.live) {
    happening.event.sample = samples_between(zero_.running_time, happening.running_time);
  }
  writer_->append(happening.event);
}

void JournalTap::named(guint64 user, const std::string& name) {
  std::vector<Early> waiting;
  bool heard = false;
  {
    Lock lock(mutex_);
    if (people_.size() >= max_people && !people_.contains(user)) {
      return;
    }
    Person& person = people_[user];
    person.name = name;
    heard = person.heard;
    waiting.swap(person.waiting);
  }
  if (heard) {
    writer_->append(record::JournalUser{user, 0, name});
  }
  // The name of somebody who is not heard would not have come.
  for (Early& e : waiting) {
    happened(std::move(e));
  }
}

std::string JournalTap::heard(guint64 user) {
  std::vector<Early> waiting;
  std::string name;
  {
    Lock lock(mutex_);
    if (people_.size() >= max_people && !people_.contains(user)) {
      return {};
    }
    Person& person = people_[user];
    person.heard = true;
    name = person.name;
    waiting.swap(person.waiting);
  }
  for (Early& e : waiting) {
    happened(std::move(e));
  }
  return name;
}

void JournalTap::came_or_went(guint64 user, Early happening) {
  if (heard_upstream(pad_.get(), user) == media::Admission::undecided) {
    Lock lock(mutex_);
    if (people_.size() >= max_people && !people_.contains(user)) {
      return;
    }
    if (Person& person = people_[user]; !person.heard) {
      if (person.waiting.size() < max_waiting) {
        person.waiting.push_back(std::move(happening));
      }
      return;
    }
  }
  happened(std::move(happening));
}

void JournalTap::told(const GstStructure* s) {
  guint64 user = 0;
  gst_structure_get_uint64(s, "user-id", &user);
  const auto event = [&](record::JournalEventKind kind) {
    came_or_went(user, early({kind, 0, user, 0, 0, {}}));
  };
  if (gst_structure_has_name(s, "discord-user-info")) {
    const gchar* name = gst_structure_get_string(s, "display-name");
    if (name != nullptr && user != 0) {
      named(user, name);
    }
  } else if (gst_structure_has_name(s, "discord-user-joined")) {
    event(record::JournalEventKind::joined);
  } else if (gst_structure_has_name(s, "discord-user-left")) {
    event(record::JournalEventKind::left);
  } else if (gst_structure_has_name(s, "discord-e2ee")) {
    guint64 epoch = 0;
    gst_structure_get_uint64(s, "epoch", &epoch);
    const gchar* code = gst_structure_get_string(s, "privacy-code");
    happened(
        early({record::JournalEventKind::encryption, 0, 0, 0, epoch, code != nullptr ? code : ""}));
  }
}

void JournalTap::mark(const std::string& label) {
  happened(early({record::JournalEventKind::mark, 0, 0, 0, 0, label}));
}

}  // namespace discord
