// SPDX-License-Identifier: LGPL-2.1-or-later
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
#include "elements/author.hpp"
#include "elements/gstdiscordssrcdemux.h"
#include "elements/recording.hpp"

// Shared with recording.cpp.
GST_DEBUG_CATEGORY(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

using namespace discord;

struct GstDiscordRecordSinkPrivate {
  GstDiscordRecordSinkPrivate(GstBin* bin, GstElement* demux, GstElement* last_sink)
      : recording(bin, demux, last_sink) {}

  Mutex mutex;
  RecordSettings settings GUARDED_BY(mutex);
  // A child that never runs: every encoder gets its settings. None for formats without one.
  ObjectPtr<GstElement> encoder GUARDED_BY(mutex);

  Recording recording;

  ObjectPtr<GstElement> copy_encoder() EXCLUDES(mutex) {
    Lock lock(mutex);
    return encoder ? ref_object(encoder.get()) : nullptr;
  }
  RecordSettings copy_settings() EXCLUDES(mutex) {
    Lock lock(mutex);
    return settings;
  }
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

enum {
  PROP_LOCATION = 1,
  PROP_FLAT,
  PROP_FORMAT,
  PROP_LAYOUT,
  PROP_ALIGN,
  PROP_BITRATE,
  PROP_JOURNAL,
  PROP_STATS
};
enum { SIGNAL_MARK, SIGNAL_SPEAKER_GAIN, N_SIGNALS };
guint signals[N_SIGNALS];

GType format_get_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {GST_DISCORD_RECORD_WAV, "WAV, 16 bit; RF64 from 4 GiB on", "wav"},
        {GST_DISCORD_RECORD_MP3, "MP3", "mp3"},
        {GST_DISCORD_RECORD_FLAC, "FLAC", "flac"},
        {GST_DISCORD_RECORD_OGG, "Ogg Opus, the packets as they came", "ogg"},
        {GST_DISCORD_RECORD_MKA, "Matroska, all tracks in one", "mka"},
        {0, nullptr, nullptr}};
    return g_enum_register_static("GstDiscordRecordFormat", values);
  }();
  return type;
}

GType layout_get_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {GST_DISCORD_RECORD_TRACKS, "One file per speaker", "tracks"},
        {GST_DISCORD_RECORD_MIX, "One file with everybody", "mix"},
        {GST_DISCORD_RECORD_BOTH, "One file per speaker, and one with everybody", "both"},
        {0, nullptr, nullptr}};
    return g_enum_register_static("GstDiscordRecordLayout", values);
  }();
  return type;
}

GType align_get_type() {
  static const GType type = [] {
    static const GEnumValue values[] = {
        {GST_DISCORD_RECORD_ALIGN_SESSION, "Every file starts with the recording", "session"},
        {GST_DISCORD_RECORD_ALIGN_SPEAKER, "A file starts with the speaker's first word",
         "speaker"},
        {0, nullptr, nullptr}};
    return g_enum_register_static("GstDiscordRecordAlign", values);
  }();
  return type;
}

// The child named `encoder` as format and bitrate want it.
void renew_encoder(GstDiscordRecordSink* self) {
  auto& p = *self->priv;
  ObjectPtr<GstElement> old;
  RecordSettings settings;
  {
    Lock lock(p.mutex);
    old = std::move(p.encoder);
    settings = p.settings;
  }
  if (old) {
    gst_bin_remove(GST_BIN(self), old.get());
    old.reset();
  }
  GstElement* fresh = make_encoder(settings.format, settings.bitrate);
  if (fresh == nullptr) {
    return;  // nothing to set, or missing, which READY tells
  }
  gst_element_set_locked_state(fresh, TRUE);
  ObjectPtr<GstElement> ours = ref_object(fresh);
  gst_bin_add(GST_BIN(self), fresh);
  Lock lock(p.mutex);
  p.encoder = std::move(ours);
}

void set_bitrate(GstDiscordRecordSink* self, guint bitrate) {
  auto& p = *self->priv;
  Lock lock(p.mutex);
  p.settings.bitrate = bitrate;
  if (p.encoder && p.settings.format == Format::mp3) {
    g_object_set(p.encoder.get(), "bitrate", static_cast<gint>(bitrate), nullptr);
  } else if (p.encoder && p.settings.format == Format::ogg) {
    g_object_set(p.encoder.get(), "bitrate", static_cast<gint>(bitrate * 1000), nullptr);
  }
}

void on_mark(GstDiscordRecordSink* self, const gchar* label) {
  self->priv->recording.mark(label != nullptr ? label : "");
}

void on_speaker_gain(GstDiscordRecordSink* self, guint64 user, gdouble gain) {
  self->priv->recording.set_gain(user, CLAMP(gain, 0.0, 100.0));
}

// --- children ---

void on_pad_added(GstElement*, GstPad* pad, gpointer self) {
  GST_DISCORD_RECORD_SINK(self)->priv->recording.add_speaker(pad);
}

// Runs before the demux sees the event and in the thread that made the branches, so none is missed.
GstPadProbeReturn on_sink_event(GstPad*, GstPadProbeInfo* info, gpointer self) {
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) {
    GST_DISCORD_RECORD_SINK(self)->priv->recording.stream_ended(gst_event_get_seqnum(event));
  }
  return GST_PAD_PROBE_OK;
}

void handle_message(GstBin* bin, GstMessage* message) {
  if (!GST_DISCORD_RECORD_SINK(bin)->priv->recording.take_message(message)) {
    GST_BIN_CLASS(gst_discord_record_sink_parent_class)->handle_message(bin, message);
  }
}

// --- element ---

GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
  auto& p = *GST_DISCORD_RECORD_SINK(element)->priv;
  switch (transition) {
    case GST_STATE_CHANGE_NULL_TO_READY:
      if (!can_record(element, p.copy_settings())) {
        return GST_STATE_CHANGE_FAILURE;
      }
      break;
    case GST_STATE_CHANGE_READY_TO_PAUSED:
      if (!p.recording.start(p.copy_settings(), p.copy_encoder().get())) {
        return GST_STATE_CHANGE_FAILURE;
      }
      break;
    case GST_STATE_CHANGE_PAUSED_TO_PLAYING: {
      ObjectPtr<GstClock> clock(gst_element_get_clock(element));
      if (clock) {
        const GstClockTime base = gst_element_get_base_time(element);
        const GstClockTime now = gst_clock_get_time(clock.get());
        p.recording.played(now > base ? now - base : 0);
      }
      break;
    }
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      p.recording.finish_files();
      break;
    default:
      break;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_discord_record_sink_parent_class)->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE)) {
    p.recording.stop();
  }
  return result;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
  auto* self = GST_DISCORD_RECORD_SINK(object);
  auto& p = *self->priv;
  const auto change = [&](auto&& what) {
    Lock lock(p.mutex);
    what(p.settings);
  };
  switch (id) {
    case PROP_LOCATION: {
      const gchar* location = g_value_get_string(value);
      change([&](RecordSettings& s) { s.location = location != nullptr ? location : ""; });
      break;
    }
    case PROP_FLAT:
      change([&](RecordSettings& s) { s.flat = g_value_get_boolean(value) != FALSE; });
      break;
    case PROP_FORMAT:
      change([&](RecordSettings& s) {
        s.matroska = g_value_get_enum(value) == GST_DISCORD_RECORD_MKA;
        s.format = s.matroska ? Format::wav : static_cast<Format>(g_value_get_enum(value));
      });
      renew_encoder(self);
      break;
    case PROP_LAYOUT:
      change([&](RecordSettings& s) { s.layout = static_cast<Layout>(g_value_get_enum(value)); });
      break;
    case PROP_ALIGN:
      change([&](RecordSettings& s) {
        s.from_first = g_value_get_enum(value) == GST_DISCORD_RECORD_ALIGN_SPEAKER;
      });
      break;
    case PROP_BITRATE:
      set_bitrate(self, g_value_get_uint(value));
      break;
    case PROP_JOURNAL:
      change([&](RecordSettings& s) { s.journal = g_value_get_boolean(value) != FALSE; });
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
  auto& p = *GST_DISCORD_RECORD_SINK(object)->priv;
  const RecordSettings settings = p.copy_settings();
  switch (id) {
    case PROP_LOCATION:
      g_value_set_string(value, settings.location.empty() ? nullptr : settings.location.c_str());
      break;
    case PROP_FLAT:
      g_value_set_boolean(value, settings.flat);
      break;
    case PROP_FORMAT:
      g_value_set_enum(
          value, settings.matroska ? GST_DISCORD_RECORD_MKA : static_cast<gint>(settings.format));
      break;
    case PROP_LAYOUT:
      g_value_set_enum(value, static_cast<gint>(settings.layout));
      break;
    case PROP_ALIGN:
      g_value_set_enum(value, settings.from_first ? GST_DISCORD_RECORD_ALIGN_SPEAKER
                                                  : GST_DISCORD_RECORD_ALIGN_SESSION);
      break;
    case PROP_BITRATE:
      g_value_set_uint(value, settings.bitrate);
      break;
    case PROP_JOURNAL:
      g_value_set_boolean(value, settings.journal);
      break;
    case PROP_STATS:
      g_value_take_boxed(value, p.recording.stats());
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
      object_class, PROP_LAYOUT,
      g_param_spec_enum("layout", "Layout", "Which files are made", layout_get_type(),
                        GST_DISCORD_RECORD_TRACKS, flags));
  g_object_class_install_property(
      object_class, PROP_ALIGN,
      g_param_spec_enum("align", "Align", "Where the file of a speaker starts", align_get_type(),
                        GST_DISCORD_RECORD_ALIGN_SESSION, flags));
  g_object_class_install_property(
      object_class, PROP_BITRATE,
      g_param_spec_uint("bitrate", "Bitrate",
                        "kbit/s of MP3, which takes the steps of its standard, and of an Ogg mix",
                        least_bitrate, most_bitrate, default_bitrate, flags));
  g_object_class_install_property(
      object_class, PROP_JOURNAL,
      g_param_spec_boolean("journal", "Journal",
                           "Write every Opus packet to recording.journal as well, from which "
                           "discord-recover makes any format",
                           FALSE, flags));
  g_object_class_install_property(
      object_class, PROP_STATS,
      g_param_spec_boxed("stats", "Statistics", "The files being written", GST_TYPE_STRUCTURE,
                         static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));

  /**
   * GstDiscordRecordSink::mark:
   * @label: what to call this moment
   *
   * Writes the moment down in `session.json` and in the journal; of it a Matroska file makes a
   * chapter. Before the recording starts it waits for that.
   */
  signals[SIGNAL_MARK] = g_signal_new_class_handler(
      "mark", G_TYPE_FROM_CLASS(klass),
      static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION), G_CALLBACK(on_mark), nullptr,
      nullptr, nullptr, G_TYPE_NONE, 1, G_TYPE_STRING);
  /**
   * GstDiscordRecordSink::speaker-gain:
   * @user_id: whose
   * @gain: factor; 1 is as it came, 0 is silence
   *
   * How loud a user is in the mix, from now on; before the user is there it waits.
   */
  signals[SIGNAL_SPEAKER_GAIN] = g_signal_new_class_handler(
      "speaker-gain", G_TYPE_FROM_CLASS(klass),
      static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION), G_CALLBACK(on_speaker_gain),
      nullptr, nullptr, nullptr, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_DOUBLE);

  gst_element_class_add_static_pad_template(element_class, &sink_template);
  gst_element_class_set_static_metadata(element_class, "Discord recorder", "Sink/File/Audio",
                                        "Writes one audio file per speaker, all of the same length",
                                        element_author);
  for (const GType type : {format_get_type(), layout_get_type(), align_get_type()}) {
    gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
  }
}

static void gst_discord_record_sink_init(GstDiscordRecordSink* self) {
  auto* demux = GST_ELEMENT(g_object_new(GST_TYPE_DISCORD_SSRC_DEMUX, "name", "demux", nullptr));
  gst_discord_ssrc_demux_set_embedded(GST_DISCORD_SSRC_DEMUX(demux), TRUE);
  gst_discord_ssrc_demux_set_unselected(GST_DISCORD_SSRC_DEMUX(demux), TRUE);
  g_signal_connect(demux, "pad-added", G_CALLBACK(on_pad_added), self);

  // The one sink that is always there: without it EOS would have nowhere to arrive when nobody
  // spoke, and with the branches as sinks the recording would end before its last file is closed.
  GstElement* last_sink = gst_element_factory_make("fakesink", "end");
  if (last_sink != nullptr) {
    g_object_set(last_sink, "sync", FALSE, "async", FALSE, nullptr);
  }
  self->priv = new GstDiscordRecordSinkPrivate(GST_BIN(self), demux, last_sink);
  gst_bin_add(GST_BIN(self), demux);
  if (last_sink != nullptr) {
    gst_bin_add(GST_BIN(self), last_sink);
  }

  ObjectPtr<GstPad> target(gst_element_get_static_pad(demux, "sink"));
  gst_pad_add_probe(target.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_sink_event, self,
                    nullptr);
  ObjectPtr<GstPadTemplate> templ(gst_static_pad_template_get(&sink_template));
  gst_element_add_pad(GST_ELEMENT(self),
                      gst_ghost_pad_new_from_template("sink", target.get(), templ.get()));
}

void discord::set_record_disk(GstDiscordRecordSink* sink, std::shared_ptr<Disk> disk,
                              std::uint64_t riff_limit) {
  Lock lock(sink->priv->mutex);
  if (disk) {
    sink->priv->settings.disk = std::move(disk);
  }
  sink->priv->settings.riff_limit = riff_limit;
}
