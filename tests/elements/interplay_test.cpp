// The stock elements behind discorddecrypt, as the reference for what discordreorder announces.
#include "base/hex.hpp"
#include "rig.hpp"

#include <gst/check/gsttestclock.h>
#include <opus.h>
#include <cmath>
#include <set>

using namespace discord;
using namespace discord::test;

namespace {

constexpr int packets = 31;

// A second and a bit of a tone, 20 ms a packet.
std::vector<Bytes> encoded_tone() {
  int error = 0;
  const std::unique_ptr<OpusEncoder, Releaser<opus_encoder_destroy>> encoder(
      opus_encoder_create(48000, 2, OPUS_APPLICATION_VOIP, &error));
  std::vector<Bytes> out;
  std::vector<opus_int16> pcm(960 * 2);
  for (int i = 0; i < packets; i++) {
    for (int k = 0; k < 960; k++) {
      pcm[static_cast<std::size_t>(2 * k)] = pcm[static_cast<std::size_t>(2 * k + 1)] =
          static_cast<opus_int16>(8000 * std::sin(2 * M_PI * 440 * (960 * i + k) / 48000.0));
    }
    Bytes packet(1275);
    packet.resize(
        static_cast<std::size_t>(opus_encode(encoder.get(), pcm.data(), 960, packet.data(), 1275)));
    out.push_back(packet);
  }
  return out;
}

struct Heard {
  std::uint64_t samples = 0;
  std::uint64_t concealed_ns = 0;
  std::vector<std::string> lost;
};

GstPadProbeReturn note_loss(GstPad*, GstPadProbeInfo* info, gpointer heard) {
  const GstStructure* s = gst_event_get_structure(GST_PAD_PROBE_INFO_EVENT(info));
  if (s != nullptr && gst_structure_has_name(s, "GstRTPPacketLost")) {
    guint sequence = 0;
    guint64 at = 0;
    guint64 duration = 0;
    gst_structure_get(s, "seqnum", G_TYPE_UINT, &sequence, "timestamp", G_TYPE_UINT64, &at,
                      "duration", G_TYPE_UINT64, &duration, nullptr);
    static_cast<Heard*>(heard)->lost.push_back(std::to_string(sequence) + "@" +
                                               std::to_string(at / GST_MSECOND) + "+" +
                                               std::to_string(duration / GST_MSECOND));
  }
  return GST_PAD_PROBE_OK;
}

// Plays the packets but the `missing` ones through a chain, on a clock of its own, and counts what
// the decoder gives.
Heard listen(const std::string& order, const std::set<int>& missing, std::uint16_t first = 65520) {
  const HarnessPtr h(gst_harness_new_parse(
      ("discorddecrypt mode=aead_aes256_gcm_rtpsize secret-key=" + to_hex(some_key().view()) +
       " ! " + order + " ! rtpopusdepay name=depay ! opusdec name=dec plc=true")
          .c_str()));
  gst_harness_use_testclock(h.get());
  gst_harness_set_src_caps_str(h.get(), "application/x-discord-rtp");
  const ObjectPtr<GstElement> depay(gst_bin_get_by_name(GST_BIN(h->element), "depay"));
  const ObjectPtr<GstElement> dec(gst_bin_get_by_name(GST_BIN(h->element), "dec"));
  const ObjectPtr<GstPad> pad(gst_element_get_static_pad(depay.get(), "sink"));
  Heard heard;
  gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, note_loss, &heard, nullptr);

  const std::vector<Bytes> tone = encoded_tone();
  Sealer sealer;
  for (int i = 0; i < packets; i++) {
    const GstClockTime now = static_cast<GstClockTime>(20 * i) * GST_MSECOND;
    gst_harness_set_time(h.get(), now);
    if (missing.contains(i)) {
      continue;
    }
    const Bytes sealed = sealer.plain_rtp(rtp_packet(static_cast<std::uint16_t>(first + i),
                                                     static_cast<std::uint32_t>(960 * i),
                                                     tone[static_cast<std::size_t>(i)]));
    EXPECT_EQ(gst_harness_push(h.get(), buffer_of(sealed, now).release()), GST_FLOW_OK);
  }
  // What still waits does so for the clock, or for the jitter buffer's own thread.
  const ObjectPtr<GstTestClock> clock(gst_harness_get_testclock(h.get()));
  const gint64 patience = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
  while (heard.samples < packets * 960u && g_get_monotonic_time() < patience) {
    if (const BufferPtr buffer{gst_harness_try_pull(h.get())}) {
      heard.samples += gst_buffer_get_size(buffer.get()) / 4;  // 16 bit, stereo
    } else if (gst_test_clock_peek_id_count(clock.get()) == 0 ||
               !gst_test_clock_crank(clock.get())) {
      g_thread_yield();
    }
  }
  const StructurePtr stats = stats_of(dec.get());
  heard.concealed_ns = count_in(stats.get(), "plc-duration");
  return heard;
}

const char* ours = "discordreorder latency=60";
const char* stock = "rtpjitterbuffer do-lost=true latency=60 faststart-min-packets=1";

}  // namespace

TEST(Interplay, ThreeLostPacketsAreConcealedLikeBehindTheJitterBuffer) {
  const std::set<int> missing = {5, 6, 20};
  const Heard reference = listen(stock, missing);
  const Heard heard = listen(ours, missing);
  EXPECT_EQ(reference.samples, packets * 960u) << "the reference itself";
  EXPECT_EQ(heard.samples, reference.samples);
  EXPECT_EQ(heard.concealed_ns, 60 * GST_MSECOND);
  EXPECT_EQ(heard.concealed_ns, reference.concealed_ns);
  EXPECT_EQ(heard.lost, reference.lost) << "the same events: number, time, duration";
  EXPECT_EQ(heard.lost, (std::vector<std::string>{"65525@100+20", "65526@120+20", "4@400+20"}));
}

TEST(Interplay, WithoutLossNothingIsAdded) {
  const Heard heard = listen(ours, {});
  EXPECT_EQ(heard.samples, packets * 960u);
  EXPECT_EQ(heard.samples, listen(stock, {}).samples);
  EXPECT_EQ(heard.concealed_ns, 0u);
}

TEST(Interplay, TheStockDemuxTakesWhatDecryptGives) {
  Pipeline p(
      "appsrc name=in format=time caps=application/x-discord-rtp ! discorddecrypt "
      "mode=aead_aes256_gcm_rtpsize secret-key=" +
      to_hex(some_key().view()) +
      " ! rtpssrcdemux name=s s.src_1 ! rtpjitterbuffer do-lost=true ! rtpopusdepay ! "
      "opusdec plc=true name=one ! fakesink sync=false async=false "
      "s.src_2 ! rtpjitterbuffer do-lost=true ! rtpopusdepay ! opusdec plc=true name=two ! "
      "fakesink sync=false async=false");
  Counter one(p.pad("one", "src").get());
  Counter two(p.pad("two", "src").get());
  p.play();
  const std::vector<Bytes> tone = encoded_tone();
  const ObjectPtr<GstElement> in = p.get("in");
  Sealer sealer;
  GstFlowReturn flow = GST_FLOW_OK;
  for (int i = 0; i < packets; i++) {
    for (const std::uint32_t ssrc : {1u, 2u}) {
      const Bytes sealed = sealer.plain_rtp(rtp_packet(static_cast<std::uint16_t>(i),
                                                       static_cast<std::uint32_t>(960 * i),
                                                       tone[static_cast<std::size_t>(i)], ssrc));
      g_signal_emit_by_name(
          in.get(), "push-buffer",
          buffer_of(sealed, static_cast<GstClockTime>(20 * i) * GST_MSECOND).get(), &flow);
    }
  }
  g_signal_emit_by_name(in.get(), "end-of-stream", &flow);
  EXPECT_TRUE(p.eos());
  EXPECT_EQ(one.packets().size(), static_cast<std::size_t>(packets));
  EXPECT_EQ(two.packets().size(), static_cast<std::size_t>(packets));
}
