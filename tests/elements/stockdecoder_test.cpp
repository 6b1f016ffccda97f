// What leaves discordworkerdec beside GStreamer's own decoder on the same packets.
#include "call_rig.hpp"
#include "tests/unit/receiver_rig.hpp"

using namespace discord;
using namespace std::chrono_literals;
using rig::OnWire;
using rig::Weather;

namespace {

std::string with_key(const char* element) {
  std::string out = std::string(element) + " mode=aead_aes256_gcm_rtpsize secret-key=";
  for (int i = 0; i < 32; ++i) {
    out += "07";
  }
  return out;
}

// All samples that leave the line, behind a source that is not live.
std::string sound_of(const std::string& line, const std::vector<OnWire>& datagrams) {
  const test::HarnessPtr h(gst_harness_new_parse(line.c_str()));
  gst_harness_set_live(h.get(), FALSE);
  gst_harness_set_src_caps_str(h.get(), "application/x-discord-rtp");
  for (const OnWire& datagram : datagrams) {
    GstBuffer* buffer = gst_buffer_new_memdup(datagram.bytes.data(), datagram.bytes.size());
    GST_BUFFER_DTS(buffer) = static_cast<GstClockTime>(to_ns(datagram.arrival));
    EXPECT_EQ(gst_harness_push(h.get(), buffer), GST_FLOW_OK);
  }
  gst_harness_push_event(h.get(), gst_event_new_eos());
  std::string samples;
  for (bool ended = false; !ended;) {
    const EventPtr event(gst_harness_pull_event(h.get()));
    ended = !event || GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;
    while (const BufferPtr buffer{gst_harness_try_pull(h.get())}) {
      const MappedBuffer map(buffer.get(), GST_MAP_READ);
      samples.append(reinterpret_cast<const char*>(map.data()), map.size());
    }
  }
  return samples;
}

}  // namespace

TEST(StockDecoder, SoundsTheSameWhereNothingIsLost) {
  Weather late;
  late.reorder = 0.2;
  const auto everybody = rig::call(3, 95, late);  // hybrid, mono, CELT
  for (std::uint32_t ssrc = 1000; ssrc < 1003; ++ssrc) {
    SCOPED_TRACE(ssrc);
    std::vector<OnWire> datagrams;
    std::copy_if(everybody.begin(), everybody.end(), std::back_inserter(datagrams),
                 [&](const OnWire& d) { return d.ssrc == ssrc; });
    ASSERT_EQ(datagrams.size(), 95u);
    const std::string stock = sound_of(
        with_key("discorddecrypt") +
            " ! discordreorder ! rtpopusdepay ! opusdec ! "
            "capsfilter caps=audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved",
        datagrams);
    EXPECT_EQ(stock.size(), 95u * 960 * 4);
    for (const char* isolation : {" isolation=none", " isolation=process"}) {
      SCOPED_TRACE(isolation);
      EXPECT_TRUE(sound_of(with_key("discordworkerdec") + isolation, datagrams) == stock);
    }
  }
}
