// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordchain.hpp"

#include "discord/gstptr.hpp"
#include "elements/depayloader.hpp"

namespace discord {

namespace {

// What may wait in the muxer for its page to fill; a recorder that is killed loses it.
constexpr guint64 page_time = 30 * GST_MSECOND;
// Samples a FLAC frame; the same is true of it.
constexpr guint flac_block = 1152;

// The shortest frame of Opus, and so the least that its decoder can conceal. opusdec 1.22 takes a
// shorter GAP and gives nothing for it, which GstAudioDecoder makes up for with what follows: that
// all came too early, until the next discontinuity.
constexpr GstClockTime least_concealment = 2500 * GST_USECOND;

// Deliberate silence goes around the decoder: GstAudioDecoder 1.22 conceals every GAP, whatever its
// flags say, and conceals an hour with one 120 ms frame. Same streaming thread, so the order holds.
GstPadProbeReturn on_decoder_input(GstPad*, GstPadProbeInfo* info, gpointer dec) {
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) != GST_EVENT_GAP) {
    return GST_PAD_PROBE_OK;
  }
  GstGapFlags flags = static_cast<GstGapFlags>(0);
  gst_event_parse_gap_flags(event, &flags);
  GstClockTime length = 0;
  gst_event_parse_gap(event, nullptr, &length);
  if ((flags & GST_GAP_FLAG_MISSING_DATA) != 0 && length >= least_concealment) {
    return GST_PAD_PROBE_OK;
  }
  ObjectPtr<GstPad> out(gst_element_get_static_pad(GST_ELEMENT(dec), "src"));
  // Before the first decoded frame there is nothing to continue: audiorate fills from the start.
  if (gst_pad_has_current_caps(out.get())) {
    gst_pad_push_event(out.get(), gst_event_ref(event));
  }
  return GST_PAD_PROBE_DROP;
}

}  // namespace

std::vector<Need> needs_of(Format format, Layout layout) {
  std::vector<Need> all = {{"queue", "libgstreamer1.0-0"}, {"fakesink", "libgstreamer1.0-0"}};
  if (format != Format::ogg || layout != Layout::Tracks) {
    all.push_back({"opusdec", "gstreamer1.0-plugins-base"});
    all.push_back({"audiorate", "gstreamer1.0-plugins-base"});
    all.push_back({"rtpopusdepay", "gstreamer1.0-plugins-good"});
  }
  if (layout != Layout::Tracks) {
    all.push_back({"appsrc", "gstreamer1.0-plugins-base"});
  }
  switch (format) {
    case Format::wav:
      break;
    case Format::mp3:
      all.push_back({"lamemp3enc", "gstreamer1.0-plugins-good"});
      all.push_back({"id3v2mux", "gstreamer1.0-plugins-good"});
      break;
    case Format::flac:
      all.push_back({"flacenc", "gstreamer1.0-plugins-good"});
      break;
    case Format::ogg:
      all.push_back({"oggmux", "gstreamer1.0-plugins-base"});
      if (layout != Layout::Tracks) {
        all.push_back({"opusenc", "gstreamer1.0-plugins-base"});
      }
      break;
  }
  return all;
}

std::vector<Need> needs_of_matroska() {
  return {{"appsrc", "gstreamer1.0-plugins-base"},
          {"fakesink", "libgstreamer1.0-0"},
          {"filesink", "libgstreamer1.0-0"},
          {"matroskamux", "gstreamer1.0-plugins-good"}};
}

GstElement* make_encoder(Format format, unsigned bitrate) {
  GstElement* encoder = nullptr;
  switch (format) {
    case Format::wav:
      return nullptr;
    case Format::mp3:
      encoder = gst_element_factory_make("lamemp3enc", "encoder");
      if (encoder != nullptr) {
        gst_util_set_object_arg(G_OBJECT(encoder), "target", "bitrate");
        g_object_set(encoder, "cbr", TRUE, "bitrate", static_cast<gint>(bitrate), nullptr);
      }
      break;
    case Format::flac:
      encoder = gst_element_factory_make("flacenc", "encoder");
      if (encoder != nullptr) {
        g_object_set(encoder, "blocksize", flac_block, "seekpoints", 0, nullptr);
      }
      break;
    case Format::ogg:
      encoder = gst_element_factory_make("opusenc", "encoder");
      if (encoder != nullptr) {
        g_object_set(encoder, "bitrate", static_cast<gint>(bitrate * 1000), nullptr);
      }
      break;
  }
  return encoder;
}

void copy_settings(GstElement* from, GstElement* to) {
  guint count = 0;
  GParamSpec** all = g_object_class_list_properties(G_OBJECT_GET_CLASS(from), &count);
  for (guint i = 0; i < count; i++) {
    const GParamSpec* p = all[i];
    if ((p->flags & G_PARAM_READWRITE) != G_PARAM_READWRITE ||
        (p->flags & G_PARAM_CONSTRUCT_ONLY) != 0 || g_str_equal(p->name, "name") ||
        g_str_equal(p->name, "parent")) {
      continue;
    }
    GValue value = G_VALUE_INIT;
    g_value_init(&value, p->value_type);
    g_object_get_property(G_OBJECT(from), p->name, &value);
    g_object_set_property(G_OBJECT(to), p->name, &value);
    g_value_unset(&value);
  }
  g_free(all);
}

GstElement* Chain::add(GstElement* element) {
  if (element == nullptr) {
    complete_ = false;
    return nullptr;
  }
  gst_bin_add(bin_, element);
  parts_.push_back({element, last_});
  last_ = element;
  return element;
}

void Chain::branch_off(GstElement* element) {
  last_ = element;
}

std::optional<std::string> Chain::start() {
  if (!complete_) {
    return "A GStreamer element for this format is missing; install gstreamer1.0-plugins-base and "
           "gstreamer1.0-plugins-good.";
  }
  for (std::size_t i = parts_.size(); i-- > 0;) {
    if (!gst_element_sync_state_with_parent(parts_[i].element)) {
      return "An element of the branch does not start.";
    }
    // An element that others are linked to comes before them, so both ends of a link exist.
    if (parts_[i].upstream != nullptr && !gst_element_link(parts_[i].upstream, parts_[i].element)) {
      return "The elements of the branch cannot be linked.";
    }
  }
  return std::nullopt;
}

GstElement* add_samples(Chain& chain, bool raw, bool skip_to_first) {
  if (!raw) {
    chain.add(make_opus_depayloader());
    if (GstElement* decoder = chain.add("opusdec")) {
      g_object_set(decoder, "plc", TRUE, nullptr);
      ObjectPtr<GstPad> in(gst_element_get_static_pad(decoder, "sink"));
      gst_pad_add_probe(in.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_decoder_input, decoder,
                        nullptr);
    }
  }
  GstElement* rate = chain.add("audiorate");
  if (rate != nullptr) {
    g_object_set(rate, "tolerance", G_GUINT64_CONSTANT(0), "skip-to-first", gboolean{skip_to_first},
                 nullptr);
  }
  return rate;
}

GstElement* make_oggmux() {
  GstElement* mux = gst_element_factory_make("oggmux", nullptr);
  if (mux != nullptr) {
    g_object_set(mux, "max-delay", page_time, "max-page-delay", page_time, nullptr);
  }
  return mux;
}

GstElement* make_track_mux() {
  GstElement* mux = gst_element_factory_make("oggmux", nullptr);
  if (mux != nullptr) {
    g_object_set(mux, "max-page-delay", guint64{0}, nullptr);
  }
  return mux;
}

void add_encoder(Chain& chain, Format format, GstElement* settings, GstElement* sink) {
  if (format != Format::wav) {
    GstElement* encoder = chain.add(make_encoder(format, default_bitrate));
    if (encoder != nullptr && settings != nullptr) {
      copy_settings(settings, encoder);
    }
    if (format == Format::mp3) {
      chain.add("id3v2mux");
    } else if (format == Format::ogg) {
      chain.add(make_oggmux());
    }
  }
  chain.add(sink);
}

}  // namespace discord
