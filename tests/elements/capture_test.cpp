// discorddecrypt behind a capture: the whole stock pipeline, at any speed.
#include "base/hex.hpp"
#include "pcap.hpp"
#include "rig.hpp"

using namespace discord;
using namespace discord::test;

namespace {

// Two speakers: one in order, one with a packet that comes in time, one that comes too late, one
// that never comes; and a forged one.
std::string conversation(Mode mode) {
  Sealer sealer(mode);
  Sealer stranger(mode, some_key(0x77));
  Capture capture;
  for (int i = 0; i < 20; i++) {
    capture.add(20 * i, sealer.rtp(static_cast<std::uint16_t>(65530 + i), opus_packet(), 1));
    const auto sequence = static_cast<std::uint16_t>(i);
    if (i == 5) {
      capture.add(20 * i, stranger.rtp(sequence, opus_packet(), 2));
    } else if (i != 3 && i != 8) {
      capture.add(20 * i + 1, sealer.rtp(sequence, opus_packet(), 2));
    }
    if (i == 6) {
      capture.add(20 * i + 2, sealer.rtp(3, opus_packet(), 2));  // 3 after 62 ms
    }
    if (i == 15) {
      capture.add(20 * i + 2, sealer.rtp(8, opus_packet(), 2));  // 8 after 142 ms
    }
  }
  return capture.file();
}

std::string line(const TempDir& dir, Mode mode) {
  return "filesrc location=" + dir.path() +
         "/call.pcap ! pcapparse caps=application/x-discord-rtp ! discorddecrypt name=d mode=" +
         std::string(transport::to_string(mode)) + " secret-key-file=" + dir.path() +
         "/key ! discordreorder name=r ! ";
}

// What leaves, with its time: the whole of what a recording would be made of.
struct Outcome {
  std::vector<std::string> speakers[2];
  std::string stats;

  bool operator==(const Outcome&) const = default;
};

Outcome run(const TempDir& dir, Mode mode, const std::string& tail) {
  Outcome out;
  Pipeline p(line(dir, mode) + tail);
  const ObjectPtr<GstPad> pad = p.pad("r", "src");
  gst_pad_add_probe(
      pad.get(),
      GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST |
                      GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      [](GstPad*, GstPadProbeInfo* info, gpointer data) {
        auto* o = static_cast<Outcome*>(data);
        const auto note = [o](GstBuffer* buffer) {
          const Bytes bytes = bytes_of(buffer);
          o->speakers[load_be32(bytes.data() + 8) - 1].push_back(
              std::to_string(load_be16(bytes.data() + 2)) + "@" +
              std::to_string(GST_BUFFER_PTS(buffer)));
        };
        if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER) {
          note(GST_PAD_PROBE_INFO_BUFFER(info));
        } else if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER_LIST) {
          GstBufferList* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
          for (guint i = 0; i < gst_buffer_list_length(list); i++) {
            note(gst_buffer_list_get(list, i));
          }
        } else if (const GstStructure* s = gst_event_get_structure(GST_PAD_PROBE_INFO_EVENT(info));
                   s != nullptr && gst_structure_has_name(s, "GstRTPPacketLost")) {
          guint sequence = 0;
          gst_structure_get_uint(s, "seqnum", &sequence);
          o->speakers[1].push_back("lost" + std::to_string(sequence));
        }
        return GST_PAD_PROBE_OK;
      },
      &out, nullptr);
  p.play();
  EXPECT_TRUE(p.eos());
  for (const char* name : {"d", "r"}) {
    const GCharPtr text(gst_structure_to_string(stats_of(p.get(name).get()).get()));
    out.stats += text.get();
    expect_adds_up(p.get(name).get());
  }
  return out;
}

class EveryMode : public testing::TestWithParam<Mode> {};

}  // namespace

TEST_P(EveryMode, TheStockPipelineReadsACapture) {
  const TempDir dir;
  dir.write("call.pcap", conversation(GetParam()));
  dir.write("key", to_hex(some_key().view()) + "\n");
  const Outcome out = run(dir, GetParam(), "fakesink sync=false");
  EXPECT_EQ(out.speakers[0].size(), 20u);
  std::string second;
  for (const std::string& item : out.speakers[1]) {
    second += item.substr(0, item.find('@')) + " ";
  }
  EXPECT_EQ(second, "0 1 2 3 4 lost5 6 7 lost8 9 10 11 12 13 14 15 16 17 18 19 ");
}
INSTANTIATE_TEST_SUITE_P(Capture, EveryMode, testing::ValuesIn(all_modes));

TEST(Capture, TheResultDoesNotDependOnTheSpeed) {
  const TempDir dir;
  dir.write("call.pcap", conversation(Mode::aead_xchacha20_poly1305_rtpsize));
  dir.write("key", to_hex(some_key().view()));
  const Outcome fast = run(dir, Mode::aead_xchacha20_poly1305_rtpsize, "fakesink sync=false");
  const Outcome real = run(dir, Mode::aead_xchacha20_poly1305_rtpsize, "fakesink sync=true");
  const Outcome queued =
      run(dir, Mode::aead_xchacha20_poly1305_rtpsize, "queue max-size-buffers=2 ! fakesink");
  EXPECT_EQ(fast, real);
  EXPECT_EQ(fast, queued);
}

TEST(Capture, SpeechHasItsTimesFromTheStream) {
  const TempDir dir;
  dir.write("call.pcap", conversation(Mode::aead_aes256_gcm));
  dir.write("key", to_hex(some_key().view()));
  Pipeline p(line(dir, Mode::aead_aes256_gcm) + "fakesink sync=false");
  p.play();
  std::string said;
  for (int i = 0; i < 4; i++) {
    const MessagePtr m = p.told("discord-speaking");
    ASSERT_NE(m, nullptr);
    const GstStructure* s = gst_message_get_structure(m.get());
    guint ssrc = 0;
    gboolean on = FALSE;
    GstClockTime when = 0;
    gst_structure_get_uint(s, "ssrc", &ssrc);
    gst_structure_get_boolean(s, "speaking", &on);
    gst_structure_get_clock_time(s, "running-time", &when);
    said +=
        std::to_string(ssrc) + (on ? " on " : " off ") + std::to_string(when / GST_MSECOND) + ", ";
  }
  EXPECT_EQ(said, "1 on 0, 2 on 1, 1 off 580, 2 off 581, ");
  EXPECT_TRUE(p.eos());
}

TEST(Capture, TheWrongKeyOpensNothingAndSaysHowMuch) {
  const TempDir dir;
  dir.write("call.pcap", conversation(Mode::aead_aes256_gcm));
  dir.write("key", std::string(64, '0'));
  Pipeline p(line(dir, Mode::aead_aes256_gcm) + "fakesink sync=false");
  p.play();
  EXPECT_TRUE(p.eos());
  EXPECT_EQ(count_of(p.get("d").get(), "bad-tag"), 40u);
  EXPECT_EQ(count_of(p.get("d").get(), "played"), 0u);
}

// RTCP comes every few seconds or never; its branch must not hold up the start of the others.
TEST(Capture, AnRtcpBranchWithoutRtcpDoesNotHoldUpTheStart) {
  const TempDir dir;
  dir.write("call.pcap", conversation(Mode::aead_aes256_gcm));
  dir.write("key", to_hex(some_key().view()));
  Pipeline p(line(dir, Mode::aead_aes256_gcm) +
             "queue ! fakesink d.rtcp_src ! queue ! application/x-rtcp ! fakesink");
  p.play();
  EXPECT_TRUE(p.eos());
}
