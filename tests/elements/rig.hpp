// What the element tests share: owners, packets, pipelines and their buses.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "transport/cipher.hpp"

#include <glib/gstdio.h>
#include <gst/check/gstharness.h>
#include <gtest/gtest.h>
#include <cmath>
#include <fstream>
#include <functional>
#include <string>

namespace discord::test {

using HarnessPtr = std::unique_ptr<GstHarness, Releaser<gst_harness_teardown>>;
using transport::Mode;

inline constexpr const char* rtp_caps =
    "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=120";
inline constexpr std::array all_modes = {Mode::aead_aes256_gcm_rtpsize,
                                         Mode::aead_xchacha20_poly1305_rtpsize,
                                         Mode::xsalsa20_poly1305_lite_rtpsize,
                                         Mode::aead_aes256_gcm,
                                         Mode::xsalsa20_poly1305,
                                         Mode::xsalsa20_poly1305_suffix,
                                         Mode::xsalsa20_poly1305_lite};
inline const Bytes silence_frame = {0xF8, 0xFF, 0xFE};

inline transport::Key some_key(std::uint8_t seed = 0x21) {
  std::array<std::uint8_t, 32> bytes;
  for (std::size_t i = 0; i < bytes.size(); i++) {
    bytes[i] = static_cast<std::uint8_t>(seed + 5 * i);
  }
  return transport::Key(bytes);
}

// An Opus packet of one frame; the lengths are those of RFC 6716 table 2.
inline Bytes opus_packet(int ms = 20, std::uint8_t mark = 1) {
  const std::uint8_t toc = ms == 60 ? 0x18 : ms == 40 ? 0x10 : ms == 10 ? 0x70 : 0x78;
  return {toc, mark, 2, 3, 4, 5, 6, 7};
}

inline Bytes rtp_packet(std::uint16_t sequence, std::uint32_t timestamp, const Bytes& payload,
                        std::uint32_t ssrc = 1) {
  rtp::PacketParts parts;
  parts.header.payload_type = 120;
  parts.header.sequence = sequence;
  parts.header.timestamp = timestamp;
  parts.header.ssrc = ssrc;
  parts.payload = payload;
  Bytes out(rtp::packet_size(parts));
  EXPECT_EQ(rtp::write_packet(parts, out), out.size());
  return out;
}

// The sending side of a call.
class Sealer {
 public:
  explicit Sealer(Mode mode = Mode::aead_aes256_gcm_rtpsize, transport::Key key = some_key())
      : cipher_(mode, key) {}

  Bytes rtp(std::uint16_t sequence, const Bytes& payload, std::uint32_t ssrc = 1) {
    return plain_rtp(rtp_packet(sequence, 960u * sequence, payload, ssrc));
  }
  Bytes parts(const rtp::PacketParts& parts) {
    Bytes out(cipher_.sealed_size(parts));
    EXPECT_TRUE(cipher_.seal_rtp(parts, counter_++, out).ok());
    return out;
  }
  Bytes plain_rtp(ByteSpan plain) {
    Bytes out(cipher_.sealed_size(plain.size()));
    EXPECT_TRUE(cipher_.seal_plain_rtp(plain, counter_++, out).ok());
    return out;
  }
  Bytes rtcp(ByteSpan compound) {
    Bytes out(cipher_.sealed_size(compound.size()));
    EXPECT_TRUE(cipher_.seal_rtcp(compound, counter_++, out).ok());
    return out;
  }

 private:
  transport::Cipher cipher_;
  std::uint32_t counter_ = 0x80000000;
};

inline BufferPtr buffer_of(ByteSpan bytes, GstClockTime pts = GST_CLOCK_TIME_NONE) {
  BufferPtr buffer(bytes.empty() ? gst_buffer_new()
                                 : gst_buffer_new_memdup(bytes.data(), bytes.size()));
  GST_BUFFER_PTS(buffer.get()) = pts;
  return buffer;
}

inline Bytes bytes_of(GstBuffer* buffer) {
  const MappedBuffer map(buffer, GST_MAP_READ);
  return map ? Bytes(map.data(), map.data() + map.size()) : Bytes();
}

inline StructurePtr stats_of(gpointer element) {
  GstStructure* stats = nullptr;
  g_object_get(element, "stats", &stats, nullptr);
  return StructurePtr(stats);
}

inline guint64 count_in(const GstStructure* stats, const char* name) {
  guint64 value = 0;
  EXPECT_TRUE(gst_structure_get_uint64(stats, name, &value)) << name;
  return value;
}
inline guint64 count_of(gpointer element, const char* name) {
  return count_in(stats_of(element).get(), name);
}
// Whether a figure of `stats` gets that far. Nothing tells of it, so it is asked for again and
// again; half a minute at most.
inline bool counts_up_to(gpointer element, const char* name, guint64 number) {
  const gint64 until = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
  while (count_of(element, name) < number) {
    if (g_get_monotonic_time() > until) {
      return false;
    }
    g_usleep(2000);
  }
  return true;
}

// Whether received = the sum of all causes, as docs promise.
inline void expect_adds_up(gpointer element) {
  const StructurePtr stats = stats_of(element);
  guint64 sum = 0;
  for (const char* cause : {"played", "silence", "padding-only", "late", "duplicate", "not-audio",
                            "no-user", "no-key", "bad-tag", "not-a-frame", "replayed", "evicted",
                            "paused", "denied", "ring-full", "skipped", "held", "in-flight"}) {
    sum += count_in(stats.get(), cause);
  }
  EXPECT_EQ(count_in(stats.get(), "received"), sum);
}

// A folder that is gone with the test.
class TempDir {
 public:
  TempDir() : path_(g_dir_make_tmp("discord-test-XXXXXX", nullptr)) {}
  ~TempDir() {
    const std::string command = "rm -rf '" + path() + "'";
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
  std::string path() const { return path_.get(); }
  std::string write(const std::string& name, const std::string& content) const {
    const std::string file = path() + "/" + name;
    std::ofstream(file, std::ios::binary) << content;
    EXPECT_EQ(g_chmod(file.c_str(), 0600), 0);
    return file;
  }

 private:
  GCharPtr path_;
};

// Counts what passes a pad and lets a test wait for it. The pad may outlive it.
class Counter {
 public:
  explicit Counter(GstPad* pad) {
    gst_pad_add_probe(
        pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
        [](GstPad*, GstPadProbeInfo* info, gpointer state) {
          (*static_cast<std::shared_ptr<State>*>(state))->add(info);
          return GST_PAD_PROBE_OK;
        },
        new std::shared_ptr<State>(state_),
        [](gpointer state) { delete static_cast<std::shared_ptr<State>*>(state); });
  }
  // Waits until so many buffers have passed, for at most 20 s.
  bool wait_for(std::size_t count) {
    Lock lock(state_->mutex);
    return state_->cond.wait_for(lock.native(), std::chrono::seconds(20),
                                 [&] { return state_->packets.size() >= count; });
  }
  std::vector<Bytes> packets() {
    Lock lock(state_->mutex);
    return state_->packets;
  }

 private:
  struct State {
    void add(GstPadProbeInfo* info) {
      Lock lock(mutex);
      if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER) {
        packets.push_back(bytes_of(GST_PAD_PROBE_INFO_BUFFER(info)));
      } else {
        GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
        for (guint i = 0; i < gst_buffer_list_length(list); i++) {
          packets.push_back(bytes_of(gst_buffer_list_get(list, i)));
        }
      }
      cond.notify_all();
    }

    Mutex mutex;
    std::condition_variable cond;
    std::vector<Bytes> packets;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// A pipeline from text, stopped at the end of its scope.
class Pipeline {
 public:
  explicit Pipeline(const std::string& launch) {
    GError* error = nullptr;
    element_.reset(gst_parse_launch_full(launch.c_str(), nullptr, GST_PARSE_FLAG_NONE, &error));
    EXPECT_EQ(error, nullptr) << (error != nullptr ? error->message : "");
    g_clear_error(&error);
    gst_object_ref_sink(element_.get());
    bus_.reset(gst_element_get_bus(element_.get()));
  }
  ~Pipeline() { stop(); }

  GstElement* element() { return element_.get(); }
  ObjectPtr<GstElement> get(const char* name) {
    return ObjectPtr<GstElement>(gst_bin_get_by_name(GST_BIN(element_.get()), name));
  }
  ObjectPtr<GstPad> pad(const char* name, const char* pad) {
    return ObjectPtr<GstPad>(gst_element_get_static_pad(get(name).get(), pad));
  }
  GstStateChangeReturn set(GstState state) { return gst_element_set_state(element_.get(), state); }
  void play() { set(GST_STATE_PLAYING); }
  void stop() {
    set(GST_STATE_NULL);
    gst_bus_set_flushing(bus_.get(), TRUE);
    gst_bus_set_flushing(bus_.get(), FALSE);
  }

  // The next message of these types that `wanted` wants, within 20 s; an error that nobody wants
  // fails the test.
  MessagePtr wait(int types, const std::function<bool(GstMessage*)>& wanted = {}) {
    for (;;) {
      MessagePtr message(gst_bus_timed_pop_filtered(bus_.get(), 20 * GST_SECOND,
                                                    GstMessageType(types | GST_MESSAGE_ERROR)));
      if (!message) {
        ADD_FAILURE() << "no message of that kind came";
        return nullptr;
      }
      if (!(GST_MESSAGE_TYPE(message.get()) & types)) {
        ADD_FAILURE() << sentence_of(message.get());
        return nullptr;
      }
      if (!wanted || wanted(message.get())) {
        return message;
      }
    }
  }
  bool eos() { return wait(GST_MESSAGE_EOS) != nullptr; }
  // Waits for the pipeline's error and gives its sentence.
  std::string error() {
    const MessagePtr message = wait(GST_MESSAGE_ERROR);
    return message ? sentence_of(message.get()) : "";
  }
  // A message from an element whose structure has that name.
  MessagePtr told(const char* name, const std::function<bool(const GstStructure*)>& wanted = {}) {
    return wait(GST_MESSAGE_ELEMENT, [&](GstMessage* m) {
      return gst_message_has_name(m, name) && (!wanted || wanted(gst_message_get_structure(m)));
    });
  }

  static std::string sentence_of(GstMessage* message) {
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    std::string text = error->message;
    g_error_free(error);
    return text;
  }

 private:
  ObjectPtr<GstElement> element_;
  ObjectPtr<GstBus> bus_;
};

// How much of a tone there is between two samples.
inline double amount(const std::vector<std::int16_t>& pcm, double hz, std::size_t from,
                     std::size_t to) {
  double re = 0;
  double im = 0;
  for (std::size_t i = from; i < to; ++i) {
    const double angle = 2 * G_PI * hz * static_cast<double>(i) / 48000;
    re += pcm[i] * std::cos(angle);
    im += pcm[i] * std::sin(angle);
  }
  return 2 * std::hypot(re, im) / static_cast<double>(to - from);
}

inline int threads_of_process() {
  int count = 0;
  GDir* dir = g_dir_open("/proc/self/task", 0, nullptr);
  while (g_dir_read_name(dir) != nullptr) {
    count++;
  }
  g_dir_close(dir);
  return count;
}

}  // namespace discord::test
