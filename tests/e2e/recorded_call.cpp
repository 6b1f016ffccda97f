#include "recorded_call.hpp"

#include "discord/gstdiscordspeakermeta.h"
#include "media/timeline.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>

namespace discord::e2e {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto patience = 60s;

std::int64_t samples_of(GstClockTime time) {
  return media::samples_from_duration(Duration(static_cast<Duration::rep>(time)));
}

// Everything the pipeline says, collected in whichever thread says it.
class Witness {
 public:
  void attach(GstElement* pipeline) {
    const ObjectPtr<GstBus> bus(gst_element_get_bus(pipeline));
    gst_bus_set_sync_handler(bus.get(), on_message, this, nullptr);
    probe(pipeline, "src", "src",
          static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
          on_datagrams);
    probe(pipeline, "rec", "sink",
          static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST |
                                       GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
          on_packets);
    const ObjectPtr<GstElement> demux(gst_bin_get_by_name(GST_BIN(pipeline), "demux"));
    g_signal_connect(demux.get(), "pad-added", G_CALLBACK(+[](GstElement*, GstPad*, Witness* self) {
                       const std::lock_guard lock(self->mutex_);
                       self->pads_added_++;
                     }),
                     this);
    g_signal_connect(demux.get(), "pad-removed",
                     G_CALLBACK(+[](GstElement*, GstPad*, Witness* self) {
                       const std::lock_guard lock(self->mutex_);
                       self->pads_removed_++;
                     }),
                     this);
  }

  bool wait_for_end() {
    return wait([this] { return eos_; });
  }
  bool wait_for_datagrams(std::uint64_t count) {
    return wait([this, count] { return datagrams_ >= count; });
  }

  void tell(Outcome& outcome) {
    const std::lock_guard lock(mutex_);
    outcome.passed = passed_;
    outcome.files = files_;
    outcome.errors = errors_;
    outcome.warnings = warnings_;
    outcome.infos = infos_;
    outcome.e2ee = e2ee_;
    outcome.elements = elements_;
    outcome.session = session_;
  }
  void tell_pads(Outcome& outcome) {
    const std::lock_guard lock(mutex_);
    outcome.pads_added = pads_added_;
    outcome.pads_removed = pads_removed_;
  }

 private:
  template <class F> bool wait(F&& done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, done);
  }

  void probe(GstElement* pipeline, const char* element, const char* pad, GstPadProbeType type,
             GstPadProbeCallback callback) {
    const ObjectPtr<GstElement> e(gst_bin_get_by_name(GST_BIN(pipeline), element));
    const ObjectPtr<GstPad> p(gst_element_get_static_pad(e.get(), pad));
    gst_pad_add_probe(p.get(), type, callback, this, nullptr);
  }

  static GstBusSyncReply on_message(GstBus*, GstMessage* message, gpointer data) {
    static_cast<Witness*>(data)->hear(message);
    gst_message_unref(message);
    return GST_BUS_DROP;
  }

  void hear(GstMessage* message) {
    const std::lock_guard lock(mutex_);
    switch (GST_MESSAGE_TYPE(message)) {
      case GST_MESSAGE_ERROR:
      case GST_MESSAGE_WARNING:
      case GST_MESSAGE_INFO: {
        GError* error = nullptr;
        if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
          gst_message_parse_error(message, &error, nullptr);
          errors_.emplace_back(error->message);
        } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_INFO) {
          gst_message_parse_info(message, &error, nullptr);
          infos_.emplace_back(error->message);
        } else {
          gst_message_parse_warning(message, &error, nullptr);
          warnings_.emplace_back(error->message);
        }
        g_error_free(error);
        break;
      }
      case GST_MESSAGE_EOS:
        eos_ = true;
        break;
      case GST_MESSAGE_ELEMENT: {
        const GstStructure* s = gst_message_get_structure(message);
        elements_.emplace_back(gst_structure_get_name(s));
        if (elements_.back() == "discord-file") {
          RecordedFile file;
          file.path = gst_structure_get_string(s, "path");
          gst_structure_get_uint64(s, "user-id", &file.user_id);
          gst_structure_get_uint64(s, "duration", &file.duration);
          files_.push_back(std::move(file));
        } else if (elements_.back() == "discord-session") {
          session_.emplace_back(gst_structure_get_string(s, "state"));
        } else if (elements_.back() == "discord-e2ee") {
          e2ee_.push_back(encryption_news(s));
        }
        break;
      }
      default:
        break;
    }
    changed_.notify_all();
  }

  static EncryptionNews encryption_news(const GstStructure* s) {
    EncryptionNews news;
    gst_structure_get_int(s, "version", &news.version);
    gst_structure_get_uint64(s, "epoch", &news.epoch);
    const GValue* members = gst_structure_get_value(s, "members");
    for (guint i = 0; i < gst_value_array_get_size(members); ++i) {
      news.members.push_back(g_value_get_uint64(gst_value_array_get_value(members, i)));
    }
    news.privacy_code = gst_structure_get_string(s, "privacy-code");
    return news;
  }

  static GstPadProbeReturn on_datagrams(GstPad*, GstPadProbeInfo* info, gpointer data) {
    auto* self = static_cast<Witness*>(data);
    const std::lock_guard lock(self->mutex_);
    self->datagrams_ += (info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0
                            ? gst_buffer_list_length(GST_PAD_PROBE_INFO_BUFFER_LIST(info))
                            : 1;
    self->changed_.notify_all();
    return GST_PAD_PROBE_OK;
  }

  static GstPadProbeReturn on_packets(GstPad*, GstPadProbeInfo* info, gpointer data) {
    auto* self = static_cast<Witness*>(data);
    const std::lock_guard lock(self->mutex_);
    if ((info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) != 0) {
      GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
      if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
        GstCaps* caps = nullptr;
        gst_event_parse_caps(event, &caps);
        self->decoded_ = gst_structure_has_name(gst_caps_get_structure(caps, 0), "audio/x-raw");
      }
      self->lost(gst_event_get_structure(event));
    } else if ((info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) != 0) {
      GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
      for (guint i = 0; i < gst_buffer_list_length(list); i++) {
        self->packet(gst_buffer_list_get(list, i));
      }
    } else {
      self->packet(GST_PAD_PROBE_INFO_BUFFER(info));
    }
    return GST_PAD_PROBE_OK;
  }

  void packet(GstBuffer* buffer) {
    Passed p;
    p.begin = samples_of(GST_BUFFER_PTS(buffer));
    p.samples = samples_of(GST_BUFFER_DURATION(buffer));
    if (decoded_) {
      const GstDiscordSpeakerMeta* meta = gst_buffer_get_discord_speaker_meta(buffer);
      p.ssrc = meta->ssrc;
      p.sequence = meta->sequence;
      // What a decoder makes in place of a packet.
      p.lost = meta->kind == GST_DISCORD_FRAME_PLC || meta->kind == GST_DISCORD_FRAME_FEC;
      if (!p.lost && meta->packet == nullptr) {
        return;  // silence that was filled in
      }
    } else {
      std::uint8_t header[12] = {};
      gst_buffer_extract(buffer, 0, header, sizeof header);
      p.sequence = load_be16(header + 2);
      p.ssrc = load_be32(header + 8);
    }
    passed_.push_back(p);
  }

  void lost(const GstStructure* s) {
    if (s == nullptr || !gst_structure_has_name(s, "GstRTPPacketLost")) {
      return;
    }
    guint ssrc = 0;
    guint sequence = 0;
    guint64 at = 0;
    guint64 duration = 0;
    gst_structure_get_uint(s, "ssrc", &ssrc);
    gst_structure_get_uint(s, "seqnum", &sequence);
    gst_structure_get_uint64(s, "timestamp", &at);
    gst_structure_get_uint64(s, "duration", &duration);
    passed_.push_back(
        {ssrc, static_cast<std::uint16_t>(sequence), samples_of(at), samples_of(duration), true});
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool eos_ = false;
  std::uint64_t datagrams_ = 0;
  bool decoded_ = false;  // what enters the recorder
  std::vector<Passed> passed_;
  std::vector<RecordedFile> files_;
  std::vector<std::string> errors_;
  std::vector<std::string> warnings_;
  std::vector<std::string> infos_;
  std::vector<std::string> elements_;
  std::vector<std::string> session_;
  unsigned pads_added_ = 0;
  unsigned pads_removed_ = 0;
  std::vector<EncryptionNews> e2ee_;
};

gboolean copy_figure(GQuark field, const GValue* value, gpointer data) {
  if (G_VALUE_HOLDS_UINT64(value)) {
    (*static_cast<Outcome::Figures*>(data))[g_quark_to_string(field)] = g_value_get_uint64(value);
  }
  return TRUE;
}

Outcome::Figures figures(const Live& live, const char* name) {
  Outcome::Figures out;
  const ObjectPtr<GstElement> element = live.element(name);
  if (!element) {
    return out;
  }
  GstStructure* raw = nullptr;
  g_object_get(element.get(), "stats", &raw, nullptr);
  const StructurePtr stats(raw);
  gst_structure_foreach(stats.get(), copy_figure, &out);
  return out;
}

std::string source_of(const loopback::Server& server, const CallPlan& plan) {
  const loopback::Credentials c = server.credentials();
  const std::string place =
      " guild-id=" + std::to_string(c.guild_id) + " channel-id=" + std::to_string(c.channel_id);
  if (plan.join == CallPlan::Join::application) {
    return "discordvoicesrc name=src user-id=" + std::to_string(c.user_id) + place;
  }
  if (plan.join == CallPlan::Join::bot) {
    return "discordvoicesrc name=src bot-token=" + server.bot_token() + " gateway-url=ws://" +
           server.endpoint() + place;
  }
  const std::string source = "discordvoicesrc name=src session-id=" + c.session_id +
                             " token=" + c.token + " user-id=" + std::to_string(c.user_id) + place;
  return plan.server.tls
             ? source + " endpoint=" + server.tls_endpoint() + " tls-ca-file=" + server.ca_file()
             : source + " endpoint=ws://" + server.endpoint();
}

std::string pipeline_of(const loopback::Server& server, const CallPlan& plan,
                        const std::string& folder) {
  return source_of(server, plan) + " " + plan.source + " ! " + plan.receiver +
         " ! discordrecordsink name=rec location=" + folder + " " + plan.recorder;
}

// Every datagram the source passes on: those of the speakers and the noise.
std::uint64_t media_datagrams(const loopback::Status& status) {
  return status.udp.media_sent + status.udp.other_sent;
}

std::string run(const Live& live, const CallPlan& plan, Witness& witness, Outcome& outcome) {
  if (plan.before) {
    plan.before(live);
  }
  if (gst_element_set_state(live.pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
    return "the pipeline does not start";
  }
  if (plan.during) {
    plan.during(live);
  }
  if (plan.end == CallPlan::End::session) {
    if (!witness.wait_for_end()) {
      return "the session did not end";
    }
  } else {
    if (!live.server.wait([](const loopback::Status& s) { return s.finished; }, patience)) {
      return "the speakers did not finish";
    }
    const std::uint64_t sent = media_datagrams(live.server.status());
    const std::uint64_t paused = figures(live, "src").at("paused");
    if (!witness.wait_for_datagrams(sent - paused)) {
      return "not every datagram arrived";
    }
  }
  outcome.dave = live.server.dave();
  if (plan.end == CallPlan::End::eos) {
    gst_element_send_event(live.pipeline, gst_event_new_eos());
    if (!witness.wait_for_end()) {
      return "EOS did not come through";
    }
  }
  outcome.source = figures(live, "src");
  outcome.decrypt = figures(live, "dec");
  outcome.reorder = figures(live, "order");
  return {};
}

}  // namespace

bool Live::wait_for_packets(std::uint64_t packets) const {
  return server.wait([packets](const loopback::Status& s) { return s.packets >= packets; },
                     patience);
}

void Live::wait_until(const std::function<bool(const loopback::Status&)>& done) const {
  EXPECT_TRUE(server.wait(done, patience));
}

void Live::hear(std::uint64_t packets) const {
  const std::uint64_t wanted = server.status().delivered + packets;
  wait_until([wanted](const loopback::Status& s) { return s.delivered >= wanted; });
}

void Live::command(const nlohmann::json& what) const {
  const nlohmann::json answer = server.command(what);
  EXPECT_TRUE(answer.value("ok", false)) << answer;
}

Outcome record(CallPlan plan) {
  Outcome outcome;
  std::string folder = fs::temp_directory_path() / "gst-discord-e2e-XXXXXX";
  if (g_mkdtemp(folder.data()) == nullptr) {
    outcome.problem = "no temporary folder";
    return outcome;
  }
  outcome.folder = std::shared_ptr<void>(new fs::path(folder), [](void* p) {
    const std::unique_ptr<fs::path> path(static_cast<fs::path*>(p));
    std::error_code error;
    fs::remove_all(*path, error);
  });

  loopback::Server server(plan.server);
  if (const std::optional<std::string> problem = server.start()) {
    outcome.problem = *problem;
    return outcome;
  }
  Witness witness;  // outlives the pipeline that talks to it
  GError* error = nullptr;
  GstElement* parsed = gst_parse_launch(pipeline_of(server, plan, folder).c_str(), &error);
  const GErrorPtr parse_error(error);
  if (parsed == nullptr || parse_error) {
    outcome.problem = parse_error ? parse_error->message : "no pipeline";
    return outcome;
  }
  const ObjectPtr<GstElement> pipeline(GST_ELEMENT(gst_object_ref_sink(parsed)));
  witness.attach(pipeline.get());
  const Live live{server, pipeline.get()};
  outcome.problem = run(live, plan, witness, outcome);
  witness.tell_pads(outcome);
  outcome.zero_ns = static_cast<std::int64_t>(gst_element_get_base_time(pipeline.get()));
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  server.stop();
  witness.tell(outcome);
  if (!outcome.problem.empty() && !outcome.errors.empty()) {
    outcome.problem += ": " + outcome.errors.front();
  }
  outcome.truth = server.truth();
  outcome.server = server.status();
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() != ".json") {
      outcome.on_disk.push_back(entry.path());
    }
  }
  return outcome;
}

}  // namespace discord::e2e
