// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/voiceoutput.hpp"

#include "elements/depayloader.hpp"
#include "elements/gstdiscordmix.h"
#include "elements/gstdiscordssrcdemux.h"
#include "elements/gstdiscordvoicebinpad.h"

#include <array>
#include <utility>

namespace discord {

namespace {

struct Need {
  const char* factory;
  const char* package;
};
constexpr std::array<Need, 2> opus_needs = {
    {{"rtpopusdepay", "gstreamer1.0-plugins-good"}, {"opusparse", "gstreamer1.0-plugins-bad"}}};

// So that whoever looks into `pad-added` knows already what will come.
void store_sticky(GstPad* from, GstPad* to, GstEventType type) {
  if (const EventPtr event{gst_pad_get_sticky_event(from, type, 0)}) {
    gst_pad_store_sticky_event(to, event.get());
  }
}

// A stream of nothing, so that whoever is behind the pad gets an end.
void push_empty_stream(GstPad* pad, GstElement* bin, const GstEvent* eos) {
  const GCharPtr id(gst_pad_create_stream_id(pad, bin, "nobody"));
  gst_pad_push_event(pad, gst_event_new_stream_start(id.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(pad, gst_event_new_segment(&segment));
  gst_pad_push_event(pad, gst_event_ref(const_cast<GstEvent*>(eos)));
}

}  // namespace

VoiceOutput::VoiceOutput(GstBin* bin, GstElement* decoder, GstElement* demux)
    : bin_(bin), decoder_(decoder), demux_(ref_object(demux)) {
  gst_discord_ssrc_demux_set_embedded(GST_DISCORD_SSRC_DEMUX(demux), TRUE);
  g_signal_connect(demux, "pad-added", G_CALLBACK(on_pad_added), this);
  g_signal_connect(demux, "pad-removed", G_CALLBACK(on_pad_removed), this);
  const ObjectPtr<GstPad> sink(gst_element_get_static_pad(demux, "sink"));
  gst_pad_add_probe(sink.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_demux_event, this, nullptr);
}

VoiceOutput::~VoiceOutput() {
  g_signal_handlers_disconnect_by_data(demux_.get(), this);
}

bool VoiceOutput::possible() const {
  if (kind_ != GST_DISCORD_VOICE_OUTPUT_OPUS) {
    return true;
  }
  for (const Need& need : opus_needs) {
    if (!ObjectPtr<GstElementFactory>(gst_element_factory_find(need.factory))) {
      GST_ELEMENT_ERROR(bin_, CORE, MISSING_PLUGIN,
                        ("The element %s is missing. On Debian it is in the package %s.",
                         need.factory, need.package),
                        (nullptr));
      return false;
    }
  }
  return true;
}

StructurePtr VoiceOutput::stats() const {
  ObjectPtr<GstElement> last;
  {
    Lock lock(mutex_);
    last = last_ ? ref_object(last_.get()) : nullptr;
  }
  GstStructure* stats = nullptr;
  if (last) {
    g_object_get(last.get(), "stats", &stats, nullptr);
  }
  return StructurePtr(stats);
}

// --- what is there ---

void VoiceOutput::remove(GstElement* element) {
  gst_element_set_state(element, GST_STATE_NULL);
  gst_bin_remove(bin_, element);
}

void VoiceOutput::build(GstDiscordVoiceOutput kind) {
  if (built_ && kind == kind_) {
    return;
  }
  built_ = true;
  kind_ = kind;
  ObjectPtr<GstElement> old;
  {
    Lock lock(mutex_);
    old = std::move(last_);
  }
  if (mix_pad_) {
    gst_element_remove_pad(GST_ELEMENT(bin_), mix_pad_.get());
    mix_pad_.reset();
  }
  if (end_ != nullptr) {
    remove(std::exchange(end_, nullptr));
  }
  if (old) {
    remove(old.get());
  }
  if (kind == GST_DISCORD_VOICE_OUTPUT_MIX) {
    build_mix();
  } else {
    build_speakers();
  }
  g_object_set(decoder_, "decode", gboolean{kind != GST_DISCORD_VOICE_OUTPUT_OPUS}, nullptr);
}

void VoiceOutput::build_mix() {
  auto* mix = GST_ELEMENT(g_object_new(GST_TYPE_DISCORD_MIX, "name", "mix", nullptr));
  gst_bin_add(bin_, mix);
  gst_element_link(decoder_, mix);
  const ObjectPtr<GstPad> out(gst_element_get_static_pad(mix, "src"));
  gst_pad_add_probe(
      out.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      [](GstPad* pad, GstPadProbeInfo* info, gpointer self) {
        static_cast<VoiceOutput*>(self)->name_mix(pad, info);
        return GST_PAD_PROBE_OK;
      },
      this, nullptr);
  {
    Lock lock(mutex_);
    last_ = ref_object(mix);
  }
  // There from the beginning, so that it can be linked like any other.
  mix_pad_ = ref_object(show("src_0", out.get(), nullptr));
}

void VoiceOutput::build_speakers() {
  gst_bin_add(bin_, demux_.get());
  gst_element_link(decoder_, demux_.get());
  // The one sink that is always there: without it a pipeline would have nothing to end with when
  // nobody spoke, or when no pad is linked.
  end_ = gst_element_factory_make("fakesink", "end");
  if (end_ != nullptr) {
    g_object_set(end_, "sync", FALSE, "async", FALSE, nullptr);
    gst_bin_add(bin_, end_);
  }
  Lock lock(mutex_);
  last_ = ref_object(demux_.get());
}

GstPad* VoiceOutput::show(const char* name, GstPad* target, GstPad* speaker) {
  GstPadTemplate* templ = gst_element_get_pad_template(GST_ELEMENT(bin_), "src_%u");
  GstPad* pad = gst_discord_voice_bin_pad_new(name, templ, target, speaker);
  if (speaker != nullptr) {
    store_sticky(speaker, pad, GST_EVENT_STREAM_START);
  }
  if (speaker != nullptr && target == speaker) {
    store_sticky(speaker, pad, GST_EVENT_CAPS);
  }
  gst_element_add_pad(GST_ELEMENT(bin_), pad);
  return pad;
}

void VoiceOutput::start() {
  anybody_ = false;
}

void VoiceOutput::stop() {
  if (nobody_) {
    gst_element_remove_pad(GST_ELEMENT(bin_), nobody_.get());
    nobody_.reset();
  }
}

// --- a pad a speaker ---

void VoiceOutput::on_pad_added(GstElement*, GstPad* pad, gpointer self) {
  static_cast<VoiceOutput*>(self)->add_speaker(pad);
}

void VoiceOutput::on_pad_removed(GstElement*, GstPad* pad, gpointer self) {
  static_cast<VoiceOutput*>(self)->remove_speaker(pad);
}

void VoiceOutput::add_speaker(GstPad* speaker) {
  anybody_ = true;
  Branch branch;
  ObjectPtr<GstPad> out = ref_object(speaker);
  if (kind_ == GST_DISCORD_VOICE_OUTPUT_OPUS) {
    branch.depayloader = ref_object(make_opus_depayloader());
    branch.parser = ref_object(gst_element_factory_make("opusparse", nullptr));
    gst_bin_add_many(bin_, branch.depayloader.get(), branch.parser.get(), nullptr);
    gst_element_link(branch.depayloader.get(), branch.parser.get());
    gst_element_sync_state_with_parent(branch.parser.get());
    gst_element_sync_state_with_parent(branch.depayloader.get());
    const ObjectPtr<GstPad> in(gst_element_get_static_pad(branch.depayloader.get(), "sink"));
    gst_pad_link(speaker, in.get());
    out.reset(gst_element_get_static_pad(branch.parser.get(), "src"));
  }
  branch.pad = ref_object(show(GST_OBJECT_NAME(speaker), out.get(), speaker));
  branches_.emplace(speaker, std::move(branch));
}

void VoiceOutput::remove_speaker(GstPad* speaker) {
  const auto node = branches_.extract(speaker);
  if (node.empty()) {
    return;
  }
  const Branch& branch = node.mapped();
  gst_pad_set_active(branch.pad.get(), FALSE);
  gst_element_remove_pad(GST_ELEMENT(bin_), branch.pad.get());
  if (branch.parser) {
    remove(branch.depayloader.get());
    remove(branch.parser.get());
  }
}

// Before the demux sees it, in the thread that makes its pads, so none is missed.
GstPadProbeReturn VoiceOutput::on_demux_event(GstPad*, GstPadProbeInfo* info, gpointer self) {
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) {
    static_cast<VoiceOutput*>(self)->ended(event);
  }
  return GST_PAD_PROBE_OK;
}

void VoiceOutput::ended(GstEvent* eos) {
  if (!anybody_) {
    // A sink that waits for the pad of a speaker who never came would wait for ever.
    nobody_ = ref_object(show("src_0", nullptr, nullptr));
    push_empty_stream(nobody_.get(), GST_ELEMENT(bin_), eos);
  }
  if (end_ != nullptr) {
    const ObjectPtr<GstPad> pad(gst_element_get_static_pad(end_, "sink"));
    gst_pad_send_event(pad.get(), gst_event_new_stream_start("discordvoicebin"));
    gst_pad_send_event(pad.get(), gst_event_ref(eos));
  }
}

// --- everybody on one pad ---

// The mixer names its stream by chance. A player shows this name, and finds the stream again in the
// collection that goes before its caps.
void VoiceOutput::name_mix(GstPad* pad, GstPadProbeInfo* info) {
  GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START) {
    const GCharPtr id(gst_pad_create_stream_id(pad, GST_ELEMENT(bin_), "mix"));
    const ObjectPtr<GstStream> stream(
        gst_stream_new(id.get(), nullptr, GST_STREAM_TYPE_AUDIO, GST_STREAM_FLAG_NONE));
    GstTagList* tags = gst_tag_list_new(GST_TAG_TITLE, "Everybody", nullptr);
    gst_stream_set_tags(stream.get(), tags);
    gst_tag_list_unref(tags);

    GstEvent* named = gst_event_new_stream_start(id.get());
    gst_event_set_seqnum(named, gst_event_get_seqnum(event));
    guint group = 0;
    gst_event_set_group_id(
        named, gst_event_parse_group_id(event, &group) ? group : gst_util_group_id_next());
    gst_event_set_stream(named, stream.get());
    gst_event_unref(event);
    GST_PAD_PROBE_INFO_DATA(info) = named;

    mix_streams_.reset(gst_stream_collection_new(id.get()));
    gst_stream_collection_add_stream(mix_streams_.get(), ref_object(stream.get()).release());
    gst_element_post_message(
        GST_ELEMENT(bin_), gst_message_new_stream_collection(GST_OBJECT(bin_), mix_streams_.get()));
  } else if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS && mix_streams_) {
    // Through the pad behind this one, whose events so far have all gone out.
    gst_pad_push_event(mix_pad_.get(), gst_event_new_stream_collection(mix_streams_.get()));
  }
}

}  // namespace discord
