// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recover/rebuild.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "discord/gstptr.hpp"
#include "elements/cook.hpp"
#include "media/opus_packet.hpp"
#include "media/timeline.hpp"
#include "recover/list.hpp"

#include <gst/gst.h>
#include <gst/rtp/gstrtpbuffer.h>
#include <algorithm>
#include <map>
#include <optional>

namespace recover {

using namespace discord;

namespace {

constexpr std::size_t progress_step = 1 << 18;
constexpr record::JournalSpeakerKey the_mix{};

GstClockTime time_of(std::int64_t samples) {
  return static_cast<GstClockTime>(media::duration_from_samples(samples).count());
}

// Plays a journal into a recorder of its own, as a capture: with the places the packets had.
class Replay {
 public:
  explicit Replay(ByteSpan file)
      : file_(file), summary_(record::summarise(file)), who_(record::identities(file)) {}
  ~Replay() {
    if (sink_) {
      gst_element_set_state(sink_.get(), GST_STATE_NULL);
      gst_pad_set_active(pad_.get(), FALSE);
      gst_bus_set_flushing(bus_.get(), TRUE);
    }
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  bool recognised() const { return summary_.recognised(); }
  std::optional<std::string> start(const Wish& wish);
  void feed(const Wish& wish, const std::function<void(double)>& progress);
  Result<Made, std::string> finish(const Wish& wish);

 private:
  bool wanted(const Wish& wish, const record::JournalSpeakerKey& key) const {
    return wish.users.empty() || wish.users.count(key.user_id) != 0;
  }
  void begin();
  void packet(const record::JournalPacket& packet, std::uint64_t user);
  void loss(const record::JournalLoss& loss, std::uint64_t user);
  void hear(GstMessage* message);
  void find_unwritten(const Wish& wish);

  const ByteSpan file_;
  const record::JournalSummary summary_;
  const record::JournalIdentities who_;
  ObjectPtr<GstElement> sink_;
  ObjectPtr<GstBus> bus_;
  ObjectPtr<GstPad> pad_;
  Made made_;
  std::map<record::JournalSpeakerKey, GstClockTime> ends_;  // of the files
  std::optional<std::string> problem_;
  bool ended_ = false;
};

std::optional<std::string> Replay::start(const Wish& wish) {
  GstElement* sink = gst_element_factory_make("discordrecordsink", nullptr);
  if (sink == nullptr) {
    return "The element discordrecordsink is not found; set GST_PLUGIN_PATH to the folder of "
           "libgstdiscord.so.";
  }
  sink_.reset(GST_ELEMENT(gst_object_ref_sink(sink)));
  g_object_set(sink, "location", wish.folder.c_str(), "flat", TRUE, nullptr);
  gst_util_set_object_arg(G_OBJECT(sink), "format", wish.format.c_str());
  if (!wish.layout.empty()) {
    gst_util_set_object_arg(G_OBJECT(sink), "layout", wish.layout.c_str());
  }
  if (wish.bitrate > 0) {
    g_object_set(sink, "bitrate", wish.bitrate, nullptr);
  }
  bus_.reset(gst_bus_new());
  gst_element_set_bus(sink, bus_.get());
  pad_.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("journal", GST_PAD_SRC))));
  const ObjectPtr<GstPad> in(gst_element_get_static_pad(sink, "sink"));
  gst_pad_link(pad_.get(), in.get());
  if (gst_element_set_state(sink, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
    while (const MessagePtr message{gst_bus_pop(bus_.get())}) {
      hear(message.get());
    }
    return problem_.value_or("The recorder does not start.");
  }
  gst_pad_set_active(pad_.get(), TRUE);
  begin();
  return std::nullopt;
}

void Replay::begin() {
  gst_pad_push_event(pad_.get(), gst_event_new_stream_start("journal"));
  const CapsPtr caps(gst_caps_from_string(
      "application/x-rtp, media=audio, encoding-name=OPUS, clock-rate=48000, payload=120"));
  gst_pad_push_event(pad_.get(), gst_event_new_caps(caps.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(pad_.get(), gst_event_new_segment(&segment));
  for (const auto& [user, name] : summary_.names) {
    const GCharPtr valid(g_utf8_make_valid(name.data(), static_cast<gssize>(name.size())));
    gst_pad_push_event(
        pad_.get(),
        gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                             gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64,
                                               static_cast<guint64>(user), "display-name",
                                               G_TYPE_STRING, valid.get(), nullptr)));
  }
}

void Replay::packet(const record::JournalPacket& p, std::uint64_t user) {
  const auto opus = media::parse_opus_packet(p.opus);
  if (p.sample < 0 || !opus.ok()) {
    return;  // before the recording began
  }
  GstBuffer* buffer = gst_rtp_buffer_new_allocate(static_cast<guint>(p.opus.size()), 0, 0);
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  gst_rtp_buffer_map(buffer, GST_MAP_READWRITE, &rtp);
  gst_rtp_buffer_set_payload_type(&rtp, 120);
  gst_rtp_buffer_set_ssrc(&rtp, p.ssrc);
  gst_rtp_buffer_set_seq(&rtp, p.sequence);
  gst_rtp_buffer_set_timestamp(&rtp, p.timestamp);
  std::copy(p.opus.begin(), p.opus.end(),
            static_cast<std::uint8_t*>(gst_rtp_buffer_get_payload(&rtp)));
  gst_rtp_buffer_unmap(&rtp);
  GST_BUFFER_PTS(buffer) = time_of(p.sample);
  GST_BUFFER_DURATION(buffer) = time_of(p.sample + opus->duration) - time_of(p.sample);
  GstDiscordSpeakerMeta* meta = gst_buffer_add_discord_speaker_meta(buffer, p.ssrc, user);
  meta->kind = p.silence ? GST_DISCORD_FRAME_SILENCE : GST_DISCORD_FRAME_AUDIO;
  if (p.quiet) {
    meta->audio_level = media::quiet_level;  // the journal knows that it is no louder
  }
  gst_pad_push(pad_.get(), buffer);
}

void Replay::loss(const record::JournalLoss& l, std::uint64_t user) {
  if (l.sample < 0) {
    return;
  }
  gst_pad_push_event(
      pad_.get(),
      gst_event_new_custom(
          GST_EVENT_CUSTOM_DOWNSTREAM,
          gst_structure_new(
              "GstRTPPacketLost", "seqnum", G_TYPE_UINT, guint{l.sequence}, "timestamp",
              G_TYPE_UINT64, time_of(l.sample), "duration", G_TYPE_UINT64, time_of(l.samples),
              "retry", G_TYPE_UINT, 0U, "ssrc", G_TYPE_UINT, l.ssrc, "user-id", G_TYPE_UINT64,
              static_cast<guint64>(user), "packets", G_TYPE_UINT, guint{l.packets}, nullptr)));
}

void Replay::feed(const Wish& wish, const std::function<void(double)>& progress) {
  record::JournalReader reader(file_);
  std::size_t told = 0;
  while (const auto item = reader.next()) {
    if (const auto* record = std::get_if<record::JournalRecord>(&item->what)) {
      if (const auto* p = std::get_if<record::JournalPacket>(record)) {
        const auto key = who_.of(p->user_id, p->ssrc);
        if (wanted(wish, key)) {
          packet(*p, key.user_id);
        }
      } else if (const auto* l = std::get_if<record::JournalLoss>(record)) {
        const auto key = who_.of(l->user_id, l->ssrc);
        if (wanted(wish, key)) {
          loss(*l, key.user_id);
        }
      }
    }
    if (reader.offset() - told >= progress_step) {
      told = reader.offset();
      progress(static_cast<double>(told) / static_cast<double>(file_.size()));
    }
  }
  // The tracks are as long as the recording was, also when nobody spoke at its end.
  if (summary_.length > 0) {
    gst_pad_push_event(pad_.get(), gst_event_new_gap(time_of(summary_.length), 0));
  }
  gst_pad_push_event(pad_.get(), gst_event_new_eos());
}

void Replay::hear(GstMessage* message) {
  GError* raw = nullptr;
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_EOS:
      ended_ = true;
      break;
    case GST_MESSAGE_ERROR: {
      gst_message_parse_error(message, &raw, nullptr);
      const GErrorPtr error(raw);
      problem_ = problem_.value_or(error->message);
      break;
    }
    case GST_MESSAGE_WARNING: {
      gst_message_parse_warning(message, &raw, nullptr);
      const GErrorPtr error(raw);
      made_.warnings.emplace_back(error->message);
      break;
    }
    case GST_MESSAGE_ELEMENT: {
      const GstStructure* s = gst_message_get_structure(message);
      const gchar* path = gst_structure_get_string(s, "path");
      if (gst_structure_has_name(s, "discord-file") && path != nullptr) {
        guint64 user = 0;
        guint64 duration = 0;
        gst_structure_get_uint64(s, "user-id", &user);
        gst_structure_get_uint64(s, "duration", &duration);
        guint64 offset = 0;
        guint ssrc = 0;
        gboolean mix = FALSE;
        gst_structure_get_uint64(s, "offset", &offset);
        gst_structure_get_uint(s, "ssrc", &ssrc);
        gst_structure_get_boolean(s, "mix", &mix);
        GstClockTime& end =
            ends_[mix != FALSE ? the_mix : record::JournalSpeakerKey{user, user != 0 ? 0 : ssrc}];
        end = std::max<GstClockTime>(end, offset + duration);
        made_.files.push_back(
            {path, user, static_cast<double>(duration) / static_cast<double>(GST_SECOND)});
      }
      break;
    }
    default:
      break;
  }
}

// A disk that is full is a warning of the recorder, which goes on with who is left: what tells is
// how far the files go. All should go as far as the recording.
void Replay::find_unwritten(const Wish& wish) {
  const GstClockTime length = time_of(summary_.length);
  const auto check = [&](const record::JournalSpeakerKey& key, const std::string& who) {
    const GstClockTime end = ends_[key];
    if (end + 10 * GST_MSECOND < length) {
      made_.unwritten.push_back(
          end == 0 ? "There is no file of " + who + "."
                   : "The file of " + who + " ends " +
                         clock_time(media::samples_from_duration(Duration(length - end))) +
                         " too early.");
    }
  };
  if (wish.layout != "mix") {
    for (const auto& [key, speaker] : summary_.speakers) {
      if (wanted(wish, key)) {
        check(key, speaker_title(key, speaker.name));
      }
    }
  }
  if (wish.layout == "mix" || wish.layout == "both") {
    check(the_mix, "the mix");
  }
}

Result<Made, std::string> Replay::finish(const Wish& wish) {
  while (!ended_ && !problem_) {
    const MessagePtr message(gst_bus_timed_pop(bus_.get(), GST_CLOCK_TIME_NONE));
    if (message) {
      hear(message.get());
    }
  }
  gst_element_set_state(sink_.get(), GST_STATE_NULL);
  while (const MessagePtr message{gst_bus_pop(bus_.get())}) {
    hear(message.get());
  }
  find_unwritten(wish);
  if (problem_) {
    return Failure{*problem_};
  }
  return std::move(made_);
}

Result<Made, std::string> cook(const Wish& wish, const std::function<void(double)>& progress) {
  const auto folder = open_record_folder(wish.folder);
  if (!folder.ok()) {
    return Failure{folder.error()};
  }
  const auto cooked = cook_matroska(wish.journal, *folder, "recording", progress, wish.users);
  if (!cooked.ok()) {
    return Failure{cooked.error()};
  }
  Made made;
  made.files.push_back(
      {cooked->path, 0, static_cast<double>(cooked->duration) / static_cast<double>(GST_SECOND)});
  return made;
}

}  // namespace

std::vector<std::string> formats() {
  std::vector<std::string> names;
  if (GstElement* sink = gst_element_factory_make("discordrecordsink", nullptr)) {
    const ObjectPtr<GstElement> owned(GST_ELEMENT(gst_object_ref_sink(sink)));
    GParamSpec* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(sink), "format");
    const GEnumClass* values = G_PARAM_SPEC_ENUM(spec)->enum_class;
    for (guint i = 0; i < values->n_values; i++) {
      names.emplace_back(values->values[i].value_nick);
    }
  }
  if (std::find(names.begin(), names.end(), "mka") == names.end()) {
    names.emplace_back("mka");
  }
  return names;
}

Result<Made, std::string> rebuild(const Wish& wish, const std::function<void(double)>& progress) {
  if (wish.format == "mka") {
    return cook(wish, progress);
  }
  const auto file = MappedFile::open(wish.journal);
  if (!file.ok()) {
    return Failure{file.error()};
  }
  Replay replay(file->bytes());
  if (!replay.recognised()) {
    return Failure{"The file " + wish.journal + " is no journal, or nothing is left of it."};
  }
  if (auto problem = replay.start(wish)) {
    return Failure{*problem};
  }
  replay.feed(wish, progress);
  return replay.finish(wish);
}

}  // namespace recover
