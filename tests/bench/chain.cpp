#include "chain.hpp"

#include <cstdio>
#include <cstdlib>

namespace discord::bench {

Lists::Lists(const std::vector<corpus::Datagram>& datagrams, std::size_t each) {
  for (std::size_t i = 0; i < datagrams.size(); i += each) {
    GstBufferList* list = gst_buffer_list_new();
    for (std::size_t n = i; n < std::min(datagrams.size(), i + each); ++n) {
      const corpus::Datagram& d = datagrams[n];
      GstBuffer* buffer = gst_buffer_new_memdup(d.bytes.data(), d.bytes.size());
      GST_BUFFER_PTS(buffer) = GST_BUFFER_DTS(buffer) = static_cast<GstClockTime>(to_ns(d.arrival));
      gst_buffer_list_add(list, buffer);
    }
    lists_.emplace_back(list);
  }
}

Chain::Chain(const std::string& properties, bool live) : live_(live) {
  GError* error = nullptr;
  const std::string line =
      "discordworkerdec mode=aead_aes256_gcm_rtpsize secret-key=" +
      std::string("0707070707070707070707070707070707070707070707070707070707") + "070707 " +
      properties;
  GstElement* made = gst_parse_launch(line.c_str(), &error);
  if (made == nullptr || error != nullptr) {
    std::fprintf(stderr, "%s\n", error != nullptr ? error->message : "no element");
    std::exit(1);
  }
  element_.reset(GST_ELEMENT(gst_object_ref_sink(made)));
  in_.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("in", GST_PAD_SRC))));
  out_.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("out", GST_PAD_SINK))));
  for (GstPad* pad : {in_.get(), out_.get()}) {
    gst_pad_set_element_private(pad, this);
  }
  gst_pad_set_query_function(in_.get(), query);
  gst_pad_set_chain_function(out_.get(), take);
  gst_pad_set_event_function(out_.get(), event);
  const ObjectPtr<GstPad> sink(gst_element_get_static_pad(made, "sink"));
  const ObjectPtr<GstPad> src(gst_element_get_static_pad(made, "src"));
  gst_pad_link(in_.get(), sink.get());
  gst_pad_link(src.get(), out_.get());
  gst_pad_set_active(out_.get(), TRUE);
  gst_pad_set_active(in_.get(), TRUE);
  const ObjectPtr<GstClock> clock(gst_system_clock_obtain());
  gst_element_set_clock(made, clock.get());
  gst_element_set_base_time(made, gst_clock_get_time(clock.get()));
  gst_element_set_state(made, GST_STATE_PLAYING);
  gst_pad_push_event(in_.get(), gst_event_new_stream_start("bench"));
  const CapsPtr caps(gst_caps_new_empty_simple("application/x-discord-rtp"));
  gst_pad_push_event(in_.get(), gst_event_new_caps(caps.get()));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_pad_push_event(in_.get(), gst_event_new_segment(&segment));
}

Chain::~Chain() {
  gst_element_set_state(element_.get(), GST_STATE_NULL);
  gst_pad_set_active(in_.get(), FALSE);
  gst_pad_set_active(out_.get(), FALSE);
}

void Chain::push(GstBufferList* list) {
  if (gst_pad_push_list(in_.get(), gst_buffer_list_ref(list)) != GST_FLOW_OK) {
    std::fputs("discordworkerdec refused a packet\n", stderr);
    std::exit(1);
  }
}

void Chain::finish() {
  gst_pad_push_event(in_.get(), gst_event_new_eos());
  Lock lock(mutex_);
  changed_.wait(lock.native(), [this] { return ended_; });
}

std::uint64_t Chain::samples() const {
  return samples_;
}

std::uint64_t Chain::stat(const char* name) const {
  GstStructure* raw = nullptr;
  g_object_get(element_.get(), "stats", &raw, nullptr);
  const StructurePtr stats(raw);
  guint64 out = 0;
  if (!gst_structure_get_uint64(raw, name, &out)) {
    guint small = 0;
    gst_structure_get_uint(raw, name, &small);
    out = small;
  }
  return out;
}

GstClockTime Chain::running_time() const {
  const ObjectPtr<GstClock> clock(gst_element_get_clock(element_.get()));
  return gst_clock_get_time(clock.get()) - gst_element_get_base_time(element_.get());
}

GstFlowReturn Chain::take(GstPad* pad, GstObject*, GstBuffer* buffer) {
  auto* self = static_cast<Chain*>(gst_pad_get_element_private(pad));
  self->samples_ += gst_buffer_get_size(buffer) / 4;
  gst_buffer_unref(buffer);
  return GST_FLOW_OK;
}

gboolean Chain::event(GstPad* pad, GstObject*, GstEvent* event) {
  auto* self = static_cast<Chain*>(gst_pad_get_element_private(pad));
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) {
    Lock lock(self->mutex_);
    self->ended_ = true;
    self->changed_.notify_all();
  }
  gst_event_unref(event);
  return TRUE;
}

gboolean Chain::query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto* self = static_cast<Chain*>(gst_pad_get_element_private(pad));
  if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
    gst_query_set_latency(query, gboolean{self->live_}, 0, GST_CLOCK_TIME_NONE);
    return TRUE;
  }
  return gst_pad_query_default(pad, parent, query);
}

}  // namespace discord::bench
