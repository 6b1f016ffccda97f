/**
 * SECTION:element-discordrecordsink
 *
 * Writes one file per speaker, all of the same start and length. See
 * docs/elements/discordrecordsink.md.
 *
 * |[
 * gst-launch-1.0 -e filesrc location=call.pcap ! pcapparse ! discorddecrypt secret-key-file=key ! \
 *     discordreorder ! discordrecordsink location=recordings
 * ]|
 *
 * Since: 0.1
 */
#include "elements/gstdiscordrecordsink.h"

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/gstdiscordssrcdemux.h"
#include "elements/ledgerstats.hpp"
#include "elements/recordbranch.hpp"
#include "elements/recordfile.hpp"
#include "elements/recordname.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

GST_DEBUG_CATEGORY_STATIC(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

namespace {

using namespace discord;
using namespace std::chrono_literals;

using BranchPtr = std::shared_ptr<RecordBranch>;

constexpr auto header_interval = 5s;       // a recorder that is killed loses no more than this
constexpr auto closing_time = 10s;         // what a disk gets when the state goes down without EOS
constexpr GstClockTime zero_grid = 62500;  // ns; three samples, so that zero lies on a sample

}  // namespace

struct GstDiscordRecordSinkPrivate {
  Mutex mutex;
  std::condition_variable cond;
  std::string location GUARDED_BY(mutex);
  bool flat GUARDED_BY(mutex) = false;
  RecordFormat format GUARDED_BY(mutex) = RecordFormat::Wav;
  guint bitrate GUARDED_BY(mutex) = 128;

  std::vector<BranchPtr> branches GUARDED_BY(mutex);
  std::deque<std::function<void()>> jobs GUARDED_BY(mutex);
  bool quit GUARDED_BY(mutex) = false;
  bool stopping GUARDED_BY(mutex) = false;
  std::optional<guint32> eos_seqnum GUARDED_BY(mutex);
  bool eos_sent GUARDED_BY(mutex) = false;
  GstClockTime played_at GUARDED_BY(mutex) = GST_CLOCK_TIME_NONE;
  guint files GUARDED_BY(mutex) = 0;
  guint failed GUARDED_BY(mutex) = 0;

  // Written while nothing streams.
  RecordFolder folder;
  GThread* manager = nullptr;

  // Streaming thread only: what the first speaker decided for all.
  std::optional<BranchSettings> settings;

  GstElement* demux = nullptr;
  GstElement* last_sink = nullptr;
  GstPad* sinkpad = nullptr;
};

struct _GstDiscordRecordSink {
  GstBin parent;
  GstDiscordRecordSinkPrivate* priv;
};

G_DEFINE_FINAL_TYPE_WITH_CODE(GstDiscordRecordSink, gst_discord_record_sink, GST_TYPE_BIN,
                              GST_DEBUG_CATEGORY_INIT(discordrecordsink_debug, "discordrecordsink",
                                                      0, "Discord recorder"))
GST_ELEMENT_REGISTER_DEFINE(discordrecordsink, "discordrecordsink", GST_RANK_NONE,
                            GST_TYPE_DISCORD_RECORD_SINK)

namespace {

GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE(
    "sink", GST_PAD_SINK, GST_PAD_ALWAYS,
    GST_STATIC_CAPS("application/x-rtp, media = (string) audio, encoding-name = (string) OPUS, "
                    "clock-rate = (int) 48000; audio/x-raw(meta:GstDiscordSpeakerMeta), "
                    "format = (string) S16LE, rate = (int) 48000, channels = (int) 2, "
                    "layout = (string) interleaved"));

enum { PROP_LOCATION = 1, PROP_FLAT, PROP_FORMAT, PROP_BITRATE, PROP_STATS };

GType format_get_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {{GST_DISCORD_RECORD_WAV, "WAV, 16 bit", "wav"},
                                        {GST_DISCORD_RECORD_MP3, "MP3", "mp3"},
                                        {0, nullptr, nullptr}};
    return g_enum_register_static("GstDiscordRecordFormat", values);
  }();
  return type;
}

// --- the manager: one thread that opens, closes and removes, so that no streaming thread waits ---

void post_job(GstDiscordRecordSinkPrivate& p, std::function<void()> job) {
  Lock lock(p.mutex);
  p.jobs.push_back(std::move(job));
  p.cond.notify_all();
}

GstStructure* ledger(const RecordBranch& b) {
  const BranchCounts& c = b.counts();
  return gst_structure_new("ledger", "num-buffers", G_TYPE_UINT64, c.buffers.load(), "num-lost",
                           G_TYPE_UINT64, c.lost.load(), "num-gaps", G_TYPE_UINT64, c.gaps.load(),
                           "num-dropped", G_TYPE_UINT64, c.dropped.load(), nullptr);
}

void post_file_message(GstDiscordRecordSink* self, const RecordBranch& b) {
  StructurePtr counted(ledger(b));
  GstStructure* s = gst_structure_new("discord-file", "path", G_TYPE_STRING, b.path().c_str(),
                                      "user-id", G_TYPE_UINT64, b.user_id(), "ssrc", G_TYPE_UINT,
                                      b.ssrc(), "duration", G_TYPE_UINT64, b.duration(), "ledger",
                                      GST_TYPE_STRUCTURE, counted.get(), nullptr);
  gst_element_post_message(GST_ELEMENT(self), gst_message_new_element(GST_OBJECT(self), s));
}

void warn(GstDiscordRecordSink* self, const RecordBranch& b, const GError* cause,
          const std::string& reason, const gchar* debug) {
  const std::string text = "The recording of " + b.who() +
                           (b.path().empty() ? std::string() : " to " + b.path()) +
                           " has stopped; the other speakers go on. " + reason;
  const GErrorPtr error(g_error_new_literal(
      cause != nullptr ? cause->domain : GST_RESOURCE_ERROR,
      cause != nullptr ? cause->code : static_cast<gint>(GST_RESOURCE_ERROR_OPEN_WRITE),
      text.c_str()));
  GST_WARNING_OBJECT(self, "%s (%s)", text.c_str(), debug != nullptr ? debug : "");
  gst_element_post_message(GST_ELEMENT(self),
                           gst_message_new_warning(GST_OBJECT(self), error.get(), debug));
}

// Ends the permanent sink once the stream has ended and every file is complete.
void end_when_done(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  guint32 seqnum;
  {
    Lock lock(p.mutex);
    p.cond.notify_all();
    if (!p.eos_seqnum || !p.branches.empty() || p.eos_sent || p.stopping) {
      return;
    }
    p.eos_sent = true;
    seqnum = *p.eos_seqnum;
  }
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(p.last_sink, "sink"));
  GstEvent* eos = gst_event_new_eos();
  gst_event_set_seqnum(eos, seqnum);
  gst_pad_send_event(pad.get(), gst_event_new_stream_start("discordrecordsink"));
  gst_pad_send_event(pad.get(), eos);
}

// Manager thread.
void close_branch(GstDiscordRecordSink* self, const BranchPtr& branch, bool complete) {
  auto& p = *self->priv;
  branch->close(complete);
  if (branch->kept()) {
    post_file_message(self, *branch);
  }
  {
    Lock lock(p.mutex);
    std::erase(p.branches, branch);
    p.files += branch->kept() ? 1 : 0;
  }
  end_when_done(self);
}

// Manager thread.
void build_branch(GstDiscordRecordSink* self, const BranchPtr& branch) {
  auto& p = *self->priv;
  const std::optional<std::string> problem = branch->build(p.folder);
  if (!problem) {
    GST_DEBUG_OBJECT(self, "recording %s to %s", branch->who().c_str(), branch->path().c_str());
    return;
  }
  if (branch->give_up()) {
    {
      Lock lock(p.mutex);
      p.failed++;
    }
    warn(self, *branch, nullptr, *problem, nullptr);
  }
  close_branch(self, branch, false);
}

gpointer manager_main(gpointer data) {
  auto* self = static_cast<GstDiscordRecordSink*>(data);
  auto& p = *self->priv;
  auto refresh_at = std::chrono::steady_clock::now() + header_interval;
  Lock lock(p.mutex);
  while (!p.quit || !p.jobs.empty()) {
    if (!p.jobs.empty()) {
      const std::function<void()> job = std::move(p.jobs.front());
      p.jobs.pop_front();
      lock.unlock();
      job();
      lock.lock();
      continue;
    }
    if (p.cond.wait_until(lock.native(), refresh_at) == std::cv_status::timeout) {
      const std::vector<BranchPtr> branches = p.branches;
      lock.unlock();
      for (const BranchPtr& b : branches) {
        b->refresh_header();
      }
      refresh_at = std::chrono::steady_clock::now() + header_interval;
      lock.lock();
    }
  }
  return nullptr;
}

// --- streaming thread ---

BranchSettings decide_settings(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  BranchSettings s;
  QueryPtr query(gst_query_new_latency());
  gboolean live = FALSE;
  if (gst_pad_peer_query(p.sinkpad, query.get())) {
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  }
  Lock lock(p.mutex);
  s.live = live != FALSE;
  s.format = p.format;
  s.bitrate = p.bitrate;
  if (s.live && GST_CLOCK_TIME_IS_VALID(p.played_at)) {
    s.zero = p.played_at / zero_grid * zero_grid;
  }
  return s;
}

void on_pad_added(GstElement*, GstPad* pad, gpointer data) {
  auto* self = static_cast<GstDiscordRecordSink*>(data);
  auto& p = *self->priv;
  if (!p.settings) {
    p.settings = decide_settings(self);
  }
  auto branch = std::make_shared<RecordBranch>(GST_BIN(self), pad, *p.settings);
  {
    Lock lock(p.mutex);
    p.branches.push_back(branch);
  }
  post_job(p, [self, branch] { build_branch(self, branch); });
}

// Runs before the demux sees the event and in the thread that made the branches, so none is missed.
GstPadProbeReturn on_sink_event(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto* self = static_cast<GstDiscordRecordSink*>(data);
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) {
    auto& p = *self->priv;
    {
      Lock lock(p.mutex);
      p.eos_seqnum = gst_event_get_seqnum(event);
    }
    post_job(p, [self] { end_when_done(self); });
  }
  return GST_PAD_PROBE_OK;
}

// --- messages of the children ---

BranchPtr branch_of(GstDiscordRecordSinkPrivate& p, GstObject* object) {
  Lock lock(p.mutex);
  for (const BranchPtr& b : p.branches) {
    auto* bin = GST_OBJECT(b->bin());
    if (object == bin || gst_object_has_as_ancestor(object, bin)) {
      return b;
    }
  }
  return nullptr;
}

// A branch fails alone: its error becomes a warning of the recorder and the branch is taken out.
void contain(GstDiscordRecordSink* self, const BranchPtr& branch, GstMessage* message) {
  auto& p = *self->priv;
  if (!branch->give_up()) {
    return;  // the rest of the branch complains about the same failure
  }
  GError* raw_error = nullptr;
  gchar* raw_debug = nullptr;
  gst_message_parse_error(message, &raw_error, &raw_debug);
  const GErrorPtr error(raw_error);
  const GCharPtr debug(raw_debug);
  {
    Lock lock(p.mutex);
    p.failed++;
  }
  warn(self, *branch, error.get(), error->message, debug.get());
  post_job(p, [self, branch] { close_branch(self, branch, false); });
}

void handle_message(GstBin* bin, GstMessage* message) {
  auto* self = GST_DISCORD_RECORD_SINK(bin);
  const GstMessageType type = GST_MESSAGE_TYPE(message);
  if (type == GST_MESSAGE_WARNING) {
    const BranchPtr branch = branch_of(*self->priv, GST_MESSAGE_SRC(message));
    if (branch && branch->given_up()) {
      gst_message_unref(message); // wavenc misses its end; why it has none has been said
      return;
    }
  }
  if (type == GST_MESSAGE_ERROR || type == GST_MESSAGE_EOS) {
    if (const BranchPtr branch = branch_of(*self->priv, GST_MESSAGE_SRC(message))) {
      const MessagePtr owned(message);
      if (type == GST_MESSAGE_ERROR) {
        contain(self, branch, message);
      } else if (branch->give_up()) {
        post_job(*self->priv, [self, branch] { close_branch(self, branch, true); });
      }
      return;
    }
  }
  GST_BIN_CLASS(gst_discord_record_sink_parent_class)->handle_message(bin, message);
}

// --- element ---

bool check_setup(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  std::string location;
  RecordFormat format;
  {
    Lock lock(p.mutex);
    location = p.location;
    format = p.format;
  }
  for (const RecordBranch::Need& need : RecordBranch::needs(format)) {
    ObjectPtr<GstElementFactory> factory(gst_element_factory_find(need.factory));
    if (!factory) {
      GST_ELEMENT_ERROR(self, CORE, MISSING_PLUGIN,
                        ("The element %s is missing. On Debian it is in the package %s.",
                         need.factory, need.package),
                        (nullptr));
      return false;
    }
  }
  if (location.empty()) {
    GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND,
                      ("No folder to record to. Set location to one; it is created if missing."),
                      (nullptr));
    return false;
  }
  const Result<RecordFolder, std::string> folder = open_record_folder(location);
  if (!folder.ok()) {
    GST_ELEMENT_ERROR(self, RESOURCE, OPEN_WRITE,
                      ("%s Set location to a folder you may write to.", folder.error().c_str()),
                      (nullptr));
    return false;
  }
  return true;
}

std::string recording_name() {
  GDateTime* now = g_date_time_new_now_utc();
  const GCharPtr text(g_date_time_format(now, "%Y%m%dT%H%M%SZ-call"));
  g_date_time_unref(now);
  return text.get();
}

bool start(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  std::string location;
  bool flat;
  {
    Lock lock(p.mutex);
    location = p.location;
    flat = p.flat;
  }
  Result<RecordFolder, std::string> folder = open_record_folder(location);
  if (folder.ok() && !flat) {
    folder = make_record_folder(*folder, recording_name());
  }
  if (!folder.ok()) {
    GST_ELEMENT_ERROR(self, RESOURCE, OPEN_WRITE,
                      ("%s Set location to a folder you may write to.", folder.error().c_str()),
                      (nullptr));
    return false;
  }
  p.folder = std::move(folder).value();
  p.settings.reset();
  {
    Lock lock(p.mutex);
    p.quit = p.stopping = p.eos_sent = false;
    p.eos_seqnum.reset();
    p.played_at = GST_CLOCK_TIME_NONE;
    p.files = p.failed = 0;
  }
  p.manager = g_thread_new("discord-record", manager_main, self);
  return true;
}

// Completes the files when the state goes down without EOS. The streaming thread may still push.
void finish_files(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  {
    Lock lock(p.mutex);
    p.stopping = true;
  }
  ObjectPtr<GstPad> pad(gst_element_get_static_pad(p.demux, "sink"));
  gst_pad_send_event(pad.get(), gst_event_new_eos());  // refused when there has been one: as good
  Lock lock(p.mutex);
  const auto until = std::chrono::steady_clock::now() + closing_time;
  while (!p.branches.empty()) {
    if (p.cond.wait_until(lock.native(), until) == std::cv_status::timeout) {
      GST_WARNING_OBJECT(self, "%zu files could not be completed in time", p.branches.size());
      break;
    }
  }
}

void stop(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  if (p.manager == nullptr) {
    return;
  }
  {
    Lock lock(p.mutex);
    for (const BranchPtr& b : p.branches) {
      p.jobs.push_back([self, b] {
        if (!b->closed()) {
          close_branch(self, b, false);
        }
      });
    }
    p.quit = true;
    p.cond.notify_all();
  }
  g_thread_join(std::exchange(p.manager, nullptr));
  p.folder = RecordFolder{};
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto* self = GST_DISCORD_RECORD_SINK(element);
  auto& p = *self->priv;
  switch (transition) {
    case GST_STATE_CHANGE_NULL_TO_READY:
      if (!check_setup(self)) {
        return GST_STATE_CHANGE_FAILURE;
      }
      break;
    case GST_STATE_CHANGE_READY_TO_PAUSED:
      if (!start(self)) {
        return GST_STATE_CHANGE_FAILURE;
      }
      break;
    case GST_STATE_CHANGE_PAUSED_TO_PLAYING: {
      ObjectPtr<GstClock> clock(gst_element_get_clock(element));
      const GstClockTime base = gst_element_get_base_time(element);
      Lock lock(p.mutex);
      if (clock && !GST_CLOCK_TIME_IS_VALID(p.played_at)) {
        const GstClockTime now = gst_clock_get_time(clock.get());
        p.played_at = now > base ? now - base : 0;
      }
      break;
    }
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      finish_files(self);
      break;
    default:
      break;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_discord_record_sink_parent_class)->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE)) {
    stop(self);
  }
  return result;
}

GstStructure* make_stats(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  std::vector<BranchPtr> branches;
  GstStructure* stats;
  {
    Lock lock(p.mutex);
    branches = p.branches;
    stats = gst_structure_new("application/x-discordrecordsink-stats", "num-files-complete",
                              G_TYPE_UINT, p.files, "num-failed", G_TYPE_UINT, p.failed, nullptr);
  }
  std::vector<GstStructure*> rows;
  for (const BranchPtr& b : branches) {
    const BranchCounts& c = b->counts();
    rows.push_back(gst_structure_new(
        "file", "user-id", G_TYPE_UINT64, b->user_id(), "ssrc", G_TYPE_UINT, b->ssrc(), "path",
        G_TYPE_STRING, b->path().c_str(), "bytes", G_TYPE_UINT64, b->bytes(), "num-buffers",
        G_TYPE_UINT64, c.buffers.load(), "num-lost", G_TYPE_UINT64, c.lost.load(), "num-dropped",
        G_TYPE_UINT64, c.dropped.load(), nullptr));
  }
  add_list(stats, "files", rows);
  return stats;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  auto& p = *GST_DISCORD_RECORD_SINK(object)->priv;
  Lock lock(p.mutex);
  switch (id) {
    case PROP_LOCATION: {
      const gchar* location = g_value_get_string(value);
      p.location = location != nullptr ? location : "";
      break;
    }
    case PROP_FLAT:
      p.flat = g_value_get_boolean(value) != FALSE;
      break;
    case PROP_FORMAT:
      p.format =
          g_value_get_enum(value) == GST_DISCORD_RECORD_MP3 ? RecordFormat::Mp3 : RecordFormat::Wav;
      break;
    case PROP_BITRATE:
      p.bitrate = g_value_get_uint(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_RECORD_SINK(object);
  auto& p = *self->priv;
  if (id == PROP_STATS) {
    g_value_take_boxed(value, make_stats(self));
    return;
  }
  Lock lock(p.mutex);
  switch (id) {
    case PROP_LOCATION:
      g_value_set_string(value, p.location.empty() ? nullptr : p.location.c_str());
      break;
    case PROP_FLAT:
      g_value_set_boolean(value, p.flat);
      break;
    case PROP_FORMAT:
      g_value_set_enum(
          value, p.format == RecordFormat::Mp3 ? GST_DISCORD_RECORD_MP3 : GST_DISCORD_RECORD_WAV);
      break;
    case PROP_BITRATE:
      g_value_set_uint(value, p.bitrate);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

void finalize(GObject* object) {
  delete GST_DISCORD_RECORD_SINK(object)->priv;
  G_OBJECT_CLASS(gst_discord_record_sink_parent_class)->finalize(object);
}

}  // namespace

static void gst_discord_record_sink_class_init(GstDiscordRecordSinkClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  auto* element_class = GST_ELEMENT_CLASS(klass);
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  element_class->change_state = change_state;
  GST_BIN_CLASS(klass)->handle_message = handle_message;

  const auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                              GST_PARAM_MUTABLE_READY);
  g_object_class_install_property(
      object_class, PROP_LOCATION,
      g_param_spec_string("location", "Location",
                          "Folder to record to; it and its parents are created if missing", nullptr,
                          flags));
  g_object_class_install_property(
      object_class, PROP_FLAT,
      g_param_spec_boolean("flat", "Flat",
                           "Put the files right into location, without a folder per recording",
                           FALSE, flags));
  g_object_class_install_property(
      object_class, PROP_FORMAT,
      g_param_spec_enum("format", "Format", "Format of the files", format_get_type(),
                        GST_DISCORD_RECORD_WAV, flags));
  g_object_class_install_property(
      object_class, PROP_BITRATE,
      g_param_spec_uint("bitrate", "Bitrate",
                        "kbit/s of lossy formats (MP3 takes the steps of its standard)", 32, 320,
                        128, flags));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "The files being written", GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));

  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_set_static_metadata(element_class, "Discord recorder", "Sink/File/Audio",
                                        "Writes one audio file per speaker, all of the same length",
                                        "gst-discord <gst-discord@gst-discord.invalid>");
  gst_type_mark_as_plugin_api(format_get_type(), static_cast<GstPluginAPIFlags>(0));
}

static void gst_discord_record_sink_init(GstDiscordRecordSink* self) {
  self->priv = new GstDiscordRecordSinkPrivate();
  auto& p = *self->priv;
  p.demux = GST_ELEMENT(g_object_new(GST_TYPE_DISCORD_SSRC_DEMUX, "name", "demux", nullptr));
  gst_discord_ssrc_demux_set_embedded(GST_DISCORD_SSRC_DEMUX(p.demux), TRUE);
  gst_bin_add(GST_BIN(self), p.demux);
  g_signal_connect(p.demux, "pad-added", G_CALLBACK(on_pad_added), self);

  // The one sink that is always there: without it EOS would have nowhere to arrive when nobody
  // spoke, and with the branches as sinks the recording would end before its last file is closed.
  p.last_sink = gst_element_factory_make("fakesink", "end");
  if (p.last_sink != nullptr) {
    g_object_set(p.last_sink, "sync", FALSE, "async", FALSE, nullptr);
    gst_bin_add(GST_BIN(self), p.last_sink);
  }

  ObjectPtr<GstPad> target(gst_element_get_static_pad(p.demux, "sink"));
  gst_pad_add_probe(target.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_sink_event, self,
                    nullptr);
  ObjectPtr<GstPadTemplate> templ(gst_static_pad_template_get(&sink_template));
  p.sinkpad = gst_ghost_pad_new_from_template("sink", target.get(), templ.get());
  gst_element_add_pad(GST_ELEMENT(self), p.sinkpad);
}
