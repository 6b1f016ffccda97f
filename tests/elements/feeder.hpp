// What stands upstream in the tests: a source pad that stamps packets of many speakers, and the
// bus, clock and state of the element it feeds.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstdiscordspeakermeta.h"
#include "discord/gstptr.hpp"

#include <gst/check/gsttestclock.h>
#include <gst/rtp/gstrtpbuffer.h>
#include <opus.h>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace discord::test {

constexpr GstClockTime frame = 20 * GST_MSECOND;

// A tone as 20 ms stereo Opus packets.
class Tone {
 public:
  explicit Tone(double hz, double peak = 8000) : hz_(hz), peak_(peak) {
    int error;
    encoder_ = opus_encoder_create(48000, 2, OPUS_APPLICATION_AUDIO, &error);
  }
  ~Tone() { opus_encoder_destroy(encoder_); }
  Tone(const Tone&) = delete;
  Tone& operator=(const Tone&) = delete;

  std::vector<std::uint8_t> next() {
    std::vector<opus_int16> pcm(960 * 2);
    for (int i = 0; i < 960; i++, at_++) {
      pcm[2 * i] = pcm[2 * i + 1] =
          static_cast<opus_int16>(peak_ * std::sin(2 * G_PI * hz_ * at_ / 48000));
    }
    std::vector<std::uint8_t> packet(1500);
    const int size = opus_encode(encoder_, pcm.data(), 960, packet.data(), 1500);
    packet.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return packet;
  }

 private:
  OpusEncoder* encoder_;
  double hz_;
  double peak_;
  int at_ = 0;
};

inline BufferPtr rtp_packet(std::uint32_t ssrc, std::uint64_t user, std::uint16_t seq,
                            GstClockTime pts, const std::vector<std::uint8_t>& payload,
                            bool meta = true) {
  BufferPtr buffer(gst_rtp_buffer_new_allocate(static_cast<guint>(payload.size()), 0, 0));
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  gst_rtp_buffer_map(buffer.get(), GST_MAP_READWRITE, &rtp);
  gst_rtp_buffer_set_payload_type(&rtp, 120);
  gst_rtp_buffer_set_ssrc(&rtp, ssrc);
  gst_rtp_buffer_set_seq(&rtp, seq);
  gst_rtp_buffer_set_timestamp(&rtp,
                               static_cast<guint32>(gst_util_uint64_scale(pts, 48000, GST_SECOND)));
  std::copy(payload.begin(), payload.end(),
            static_cast<std::uint8_t*>(gst_rtp_buffer_get_payload(&rtp)));
  gst_rtp_buffer_unmap(&rtp);
  GST_BUFFER_PTS(buffer.get()) = pts;
  if (meta) {
    gst_buffer_add_discord_speaker_meta(buffer.get(), ssrc, user);
  }
  return buffer;
}

// A silence frame: the shortest valid packet, 20 ms.
inline std::vector<std::uint8_t> silence() {
  return {0xf8, 0xff, 0xfe};
}

inline constexpr const char* rtp_caps =
    "application/x-rtp, media=audio, encoding-name=OPUS, clock-rate=48000, payload=120";

class Feeder {
 public:
  Feeder() = default;
  ~Feeder() {
    stop();
    if (bus) {
      gst_bus_set_flushing(bus.get(), TRUE);  // messages nobody read keep their sources alive
    }
  }
  Feeder(const Feeder&) = delete;
  Feeder& operator=(const Feeder&) = delete;

  bool live = false;
  GstClockTime latency = 0;
  GstClockTime start_time = 0;  // of the clock; base time is 0

  // Takes the element, floating or not, to PLAYING on a test clock and links the pad.
  bool start(GstElement* e) {
    if (!element) {
      element.reset(GST_ELEMENT(gst_object_ref_sink(e)));
      bus.reset(gst_bus_new());
      gst_element_set_bus(element.get(), bus.get());
      clock.reset(GST_TEST_CLOCK(gst_test_clock_new_with_start_time(start_time)));
      gst_element_set_clock(element.get(), GST_CLOCK(clock.get()));
      gst_element_set_base_time(element.get(), 0);
      gst_element_set_start_time(element.get(), GST_CLOCK_TIME_NONE);
      pad.reset(GST_PAD(gst_object_ref_sink(gst_pad_new("feed", GST_PAD_SRC))));
      gst_pad_set_element_private(pad.get(), this);
      gst_pad_set_query_function(pad.get(), query);
      ObjectPtr<GstPad> sink(gst_element_get_static_pad(element.get(), "sink"));
      gst_pad_link(pad.get(), sink.get());
    }
    if (gst_element_set_state(element.get(), GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
      return false;
    }
    gst_pad_set_active(pad.get(), TRUE);
    stream_start();
    return true;
  }

  void stream_start() {
    gst_pad_push_event(pad.get(), gst_event_new_stream_start("test"));
    CapsPtr caps(gst_caps_from_string(rtp_caps));
    gst_pad_push_event(pad.get(), gst_event_new_caps(caps.get()));
    segment();
  }

  void segment() {
    GstSegment s;
    gst_segment_init(&s, GST_FORMAT_TIME);
    gst_pad_push_event(pad.get(), gst_event_new_segment(&s));
  }

  void stop() {
    if (element) {
      gst_element_set_state(element.get(), GST_STATE_NULL);
      gst_pad_set_active(pad.get(), FALSE);
    }
  }

  GstFlowReturn push(BufferPtr buffer) { return gst_pad_push(pad.get(), buffer.release()); }
  GstFlowReturn push(std::uint32_t ssrc, std::uint64_t user, GstClockTime pts,
                     const std::vector<std::uint8_t>& payload = silence()) {
    return push(rtp_packet(ssrc, user, seq[ssrc]++, pts, payload));
  }

  // The next packets of the speaker are lost.
  bool lose(std::uint32_t ssrc, std::uint64_t user, GstClockTime pts, GstClockTime duration = frame,
            guint packets = 1) {
    const guint first = seq[ssrc];
    seq[ssrc] = static_cast<std::uint16_t>(first + packets);
    return gst_pad_push_event(
        pad.get(),
        gst_event_new_custom(
            GST_EVENT_CUSTOM_DOWNSTREAM,
            gst_structure_new("GstRTPPacketLost", "seqnum", G_TYPE_UINT, first, "timestamp",
                              G_TYPE_UINT64, pts, "duration", G_TYPE_UINT64, duration, "retry",
                              G_TYPE_UINT, 0U, "ssrc", G_TYPE_UINT, ssrc, "user-id", G_TYPE_UINT64,
                              user, "packets", G_TYPE_UINT, packets, nullptr)));
  }

  bool eos() { return gst_pad_push_event(pad.get(), gst_event_new_eos()); }

  // The next message of these types, waited for a while.
  MessagePtr message(GstMessageType types, GstClockTime timeout = 20 * GST_SECOND) {
    return MessagePtr(gst_bus_timed_pop_filtered(bus.get(), timeout, types));
  }

  ObjectPtr<GstElement> element;
  ObjectPtr<GstBus> bus;
  ObjectPtr<GstTestClock> clock;
  ObjectPtr<GstPad> pad;
  std::map<std::uint32_t, std::uint16_t> seq;

 private:
  static gboolean query(GstPad* pad, GstObject* parent, GstQuery* q) {
    auto* self = static_cast<Feeder*>(gst_pad_get_element_private(pad));
    if (GST_QUERY_TYPE(q) == GST_QUERY_LATENCY) {
      gst_query_set_latency(q, self->live ? TRUE : FALSE, self->latency, GST_CLOCK_TIME_NONE);
      return TRUE;
    }
    return gst_pad_query_default(pad, parent, q);
  }
};

}  // namespace discord::test
