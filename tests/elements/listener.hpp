// Ears for tests: sinks that know which tones they hear, and whatever pads an element shows.
#pragma once

#include "rig.hpp"

#include <cstring>
#include <map>

namespace discord::test {

// The last tenth of a second of a signal, left channel, and what is in it. Outlives the pipeline.
class Ear {
 public:
  // Interleaved stereo, S16.
  void hear(ByteSpan pcm) {
    Lock lock(mutex_);
    for (std::size_t i = 0; i + 4 <= pcm.size(); i += 4) {
      std::int16_t left = 0;
      std::memcpy(&left, pcm.data() + i, sizeof left);
      heard_.push_back(left);
    }
    if (heard_.size() > 2 * window) {
      heard_.erase(heard_.begin(), heard_.end() - static_cast<std::ptrdiff_t>(window));
    }
    if (heard_.size() >= window) {
      changed_.notify_all();
    }
  }
  // Waits until these tones sound at once and those do not, for at most 20 s.
  bool hears(const std::vector<double>& tones, const std::vector<double>& others = {}) {
    Lock lock(mutex_);
    return changed_.wait_for(lock.native(), std::chrono::seconds(20),
                             [&] { return sounds(tones, others); });
  }
  bool sounds(const std::vector<double>& tones, const std::vector<double>& others) const {
    if (heard_.size() < window) {
      return false;
    }
    const std::size_t from = heard_.size() - window;
    bool all = true;
    for (const double hz : tones) {
      all = all && amount(heard_, hz, from, heard_.size()) > 4000;
    }
    for (const double hz : others) {
      all = all && amount(heard_, hz, from, heard_.size()) < 400;
    }
    return all;
  }

  // Listens at a fakesink that emits handoffs, as long as that lives.
  void listen(GstElement* sink) {
    g_signal_connect(sink, "handoff",
                     G_CALLBACK(+[](GstElement*, GstBuffer* buffer, GstPad*, Ear* self) {
                       self->hear(bytes_of(buffer));
                     }),
                     this);
  }
  static constexpr const char* sink_line =
      "audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=2 ! "
      "fakesink name=ear sync=true signal-handoffs=true ";
  // A floating sink for players, by the clock.
  GstElement* make_sink() {
    GstElement* bin = gst_parse_bin_from_description(sink_line, TRUE, nullptr);
    const ObjectPtr<GstElement> ear(gst_bin_get_by_name(GST_BIN(bin), "ear"));
    listen(ear.get());
    return bin;
  }

 private:
  static constexpr std::size_t window = 4800;
  Mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int16_t> heard_;
};

template <class T> T read(gpointer object, const char* property) {
  T value{};
  g_object_get(object, property, &value, nullptr);
  return value;
}
inline std::string read_text(gpointer object, const char* property) {
  const GCharPtr text(read<gchar*>(object, property));
  return text ? text.get() : "";
}

// The pads that an element of the pipeline has shown so far, each linked to a sink of its own, or
// to nothing.
class ShownPads {
 public:
  ShownPads(Pipeline& pipeline, const char* element, std::string sink)
      : pipeline_(pipeline), element_(pipeline.get(element)), sink_(std::move(sink)) {
    handlers_ = {
        g_signal_connect(
            element_.get(), "pad-added",
            G_CALLBACK(+[](GstElement*, GstPad* pad, ShownPads* self) { self->added(pad); }), this),
        g_signal_connect(element_.get(), "pad-removed",
                         G_CALLBACK(+[](GstElement*, GstPad* pad, ShownPads* self) {
                           Lock lock(self->mutex_);
                           self->pads_.erase(GST_OBJECT_NAME(pad));
                           self->changed_.notify_all();
                         }),
                         this)};
  }
  ~ShownPads() {
    pipeline_.stop();
    for (const gulong handler : handlers_) {
      g_signal_handler_disconnect(element_.get(), handler);
    }
  }

  using Pads = std::map<std::string, ObjectPtr<GstPad>>;
  // Waits until the pads are as wanted, for at most 20 s. Told of each that comes or goes and of
  // each property that changes.
  bool wait(const std::function<bool(const Pads&)>& wanted) {
    Lock lock(mutex_);
    return changed_.wait_for(lock.native(), std::chrono::seconds(20),
                             [&] { return wanted(pads_); });
  }
  ObjectPtr<GstPad> pad(const std::string& name) {
    Lock lock(mutex_);
    const auto found = pads_.find(name);
    return found != pads_.end() ? ref_object(found->second.get()) : nullptr;
  }
  // An element of what that pad is linked to.
  ObjectPtr<GstElement> behind(const std::string& name, const char* element) {
    const ObjectPtr<GstPad> peer(gst_pad_get_peer(pad(name).get()));
    const ObjectPtr<GstElement> sink(gst_pad_get_parent_element(peer.get()));
    return ObjectPtr<GstElement>(gst_bin_get_by_name(GST_BIN(sink.get()), element));
  }

 private:
  void added(GstPad* pad) {
    if (!sink_.empty()) {
      GstElement* sink = gst_parse_bin_from_description(sink_.c_str(), TRUE, nullptr);
      gst_bin_add(GST_BIN(pipeline_.element()), sink);
      gst_element_sync_state_with_parent(sink);
      const ObjectPtr<GstPad> in(gst_element_get_static_pad(sink, "sink"));
      EXPECT_EQ(gst_pad_link(pad, in.get()), GST_PAD_LINK_OK);
    }
    g_signal_connect(pad, "notify", G_CALLBACK(+[](GstPad*, GParamSpec*, ShownPads* self) {
                       Lock lock(self->mutex_);
                       self->changed_.notify_all();
                     }),
                     this);
    Lock lock(mutex_);
    pads_[GST_OBJECT_NAME(pad)] = ref_object(pad);
    changed_.notify_all();
  }

  Pipeline& pipeline_;
  const ObjectPtr<GstElement> element_;
  const std::string sink_;
  std::vector<gulong> handlers_;
  Mutex mutex_;
  std::condition_variable changed_;
  Pads pads_;
};

}  // namespace discord::test
