// discorddecrypt: what goes in sealed comes out as plain RTP, and nothing bad changes anything.
#include "base/hex.hpp"
#include "decrypt_rig.hpp"
#include "discord/gstdiscordspeakermeta.h"

#include <gst/check/gsttestclock.h>
#include <gst/rtp/gstrtcpbuffer.h>
#include <gst/rtp/gstrtpbuffer.h>

using namespace discord;
using namespace discord::test;

namespace {

std::string key_hex(std::uint8_t seed = 0x21) {
  return to_hex(some_key(seed).view());
}

// An element of its own with a key from properties.
HarnessPtr with_key(Mode mode = Mode::aead_aes256_gcm_rtpsize, const char* src = "src") {
  GstElement* element = gst_element_factory_make("discorddecrypt", nullptr);
  g_object_set(element, "mode", std::string(transport::to_string(mode)).c_str(), "secret-key",
               key_hex().c_str(), nullptr);
  HarnessPtr h(gst_harness_new_with_element(element, "sink", src));
  gst_object_unref(element);
  gst_harness_use_testclock(h.get());
  gst_harness_set_src_caps_str(h.get(), "application/x-discord-rtp");
  return h;
}

class EveryMode : public testing::TestWithParam<Mode> {};

// The sentence with which an element with these properties refuses to go to READY.
std::string refusal(const std::string& properties) {
  Pipeline p("appsrc caps=application/x-discord-rtp ! discorddecrypt " + properties +
             " ! fakesink");
  EXPECT_EQ(p.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  return p.error();
}

const std::string modes =
    "aead_aes256_gcm_rtpsize, aead_xchacha20_poly1305_rtpsize, xsalsa20_poly1305_lite_rtpsize, "
    "aead_aes256_gcm, xsalsa20_poly1305, xsalsa20_poly1305_suffix or xsalsa20_poly1305_lite";

}  // namespace

TEST_P(EveryMode, GivesPlainRtpWithTheSpeakerAttached) {
  const HarnessPtr h = with_key(GetParam());
  Sealer sealer(GetParam());
  rtp::PacketParts parts;
  parts.header = {.marker = true, .payload_type = 120, .sequence = 7, .timestamp = 960, .ssrc = 42};
  const Bytes elements = {0x10, 0x80 | 30, 0x90, 0x02};
  const Bytes payload = opus_packet();
  parts.has_extension = true;
  parts.elements = elements;
  parts.payload = payload;
  parts.padding = 9;
  ASSERT_EQ(push(h, sealer.parts(parts), 500), GST_FLOW_OK);
  const BufferPtr out(gst_harness_pull(h.get()));
  EXPECT_EQ(GST_BUFFER_PTS(out.get()), 500 * GST_MSECOND);
  EXPECT_EQ(GST_BUFFER_DTS(out.get()), 500 * GST_MSECOND) << "rtpjitterbuffer reads the DTS";
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  ASSERT_TRUE(gst_rtp_buffer_map(out.get(), GST_MAP_READ, &rtp));
  EXPECT_FALSE(gst_rtp_buffer_get_extension(&rtp));
  EXPECT_FALSE(gst_rtp_buffer_get_padding(&rtp));
  EXPECT_TRUE(gst_rtp_buffer_get_marker(&rtp));
  EXPECT_EQ(gst_rtp_buffer_get_seq(&rtp), 7);
  EXPECT_EQ(gst_rtp_buffer_get_ssrc(&rtp), 42u);
  EXPECT_EQ(gst_rtp_buffer_get_payload_len(&rtp), payload.size());
  gst_rtp_buffer_unmap(&rtp);
  const auto* meta = gst_buffer_get_discord_speaker_meta(out.get());
  ASSERT_NE(meta, nullptr);
  EXPECT_EQ(meta->ssrc, 42u);
  EXPECT_EQ(meta->audio_level, 30);
  EXPECT_EQ(meta->kind, GST_DISCORD_FRAME_AUDIO);
}
INSTANTIATE_TEST_SUITE_P(Decrypt, EveryMode, testing::ValuesIn(all_modes));

// One bad packet ended the worker, then the pool, then every recording.
TEST(Decrypt, ABadPacketIsCountedByItsCauseAndChangesNothing) {
  const HarnessPtr h = with_key();
  Sealer sealer;
  Sealer stranger(Mode::aead_aes256_gcm_rtpsize, some_key(0x99));
  Bytes flipped = sealer.rtp(900, opus_packet());
  flipped[14] ^= 1;
  Bytes video = sealer.rtp(901, opus_packet());
  video[1] = 101;
  const Bytes no_padding = {0xA0, 120, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 0};
  const Bytes long_padding = {0xA0, 120, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 200};
  Bytes version_one = sealer.rtp(902, opus_packet());
  version_one[0] = 0x40;
  const std::vector<std::tuple<const char*, Bytes, const char*>> bad = {
      {"nothing", {}, "not-audio"},
      {"one byte", {0x80}, "not-audio"},
      {"header only", rtp_packet(1, 0, {}), "not-audio"},
      {"keepalive echo", {1, 0, 0, 0, 0, 0, 0, 0}, "not-audio"},
      {"video", video, "not-audio"},
      {"version 1", version_one, "not-audio"},
      {"another key", stranger.rtp(5, opus_packet()), "bad-tag"},
      {"changed on the way", flipped, "bad-tag"},
      {"padding count 0", sealer.plain_rtp(no_padding), "not-a-frame"},
      {"padding longer than the packet", sealer.plain_rtp(long_padding), "not-a-frame"},
      {"RTCP with a bad tag", Bytes(40, 0xC8), "not-audio"},
  };
  std::uint16_t sequence = 100;
  ASSERT_EQ(push(h, sealer.rtp(sequence, opus_packet())), GST_FLOW_OK);
  ASSERT_TRUE(pull_payload(h));
  for (const auto& [what, datagram, cause] : bad) {
    const guint64 before = count_of(h->element, cause);
    EXPECT_EQ(push(h, datagram), GST_FLOW_OK) << what;
    EXPECT_EQ(count_of(h->element, cause), before + 1) << what;
    EXPECT_FALSE(pull_payload(h)) << what;
    const Bytes good = opus_packet(20, static_cast<std::uint8_t>(sequence));
    EXPECT_EQ(push(h, sealer.rtp(++sequence, good)), GST_FLOW_OK);
    EXPECT_EQ(pull_payload(h), good) << "after " << what;
    expect_adds_up(h->element);
  }
  EXPECT_EQ(count_of(h->element, "played"), 1 + bad.size());
  const StructurePtr stats = stats_of(h->element);
  EXPECT_EQ(gst_value_array_get_size(gst_structure_get_value(stats.get(), "speakers")), 1u)
      << "nothing forged got a row";
}

TEST(Decrypt, ADuplicateIsCountedOnce) {
  const HarnessPtr h = with_key();
  Sealer sealer;
  const Bytes packet = sealer.rtp(1, opus_packet());
  push(h, packet);
  push(h, packet);
  EXPECT_TRUE(pull_payload(h));
  EXPECT_FALSE(pull_payload(h));
  EXPECT_EQ(count_of(h->element, "duplicate"), 1u);
}

// Padding was cut off the ciphertext, so every padded packet failed; and packets of nothing but
// padding were taken for losses.
TEST(Decrypt, APacketOfPaddingIsAnEventAndNoBuffer) {
  const HarnessPtr h = with_key();
  Sealer sealer;
  rtp::PacketParts parts;
  parts.header = {.payload_type = 120, .sequence = 3, .timestamp = 0, .ssrc = 8};
  parts.padding = 200;
  push(h, sealer.parts(parts));
  EXPECT_FALSE(pull_payload(h));
  EXPECT_EQ(count_of(h->element, "padding-only"), 1u);
  guint sequence = 0;
  while (const EventPtr event{gst_harness_try_pull_event(h.get())}) {
    const GstStructure* s = gst_event_get_structure(event.get());
    if (s != nullptr && gst_structure_has_name(s, "GstDiscordPacketSkipped")) {
      gst_structure_get_uint(s, "seqnum", &sequence);
    }
  }
  EXPECT_EQ(sequence, 3u);
}

TEST(Decrypt, NonsenseInPropertiesIsAnErrorAtReady) {
  const TempDir dir;
  EXPECT_EQ(refusal("mode=rot13 secret-key=" + key_hex()),
            "The mode \"rot13\" is unknown: set mode to " + modes + ".");
  EXPECT_EQ(refusal("secret-key=" + key_hex()),
            "There is a secret key but no mode: set mode to " + modes + ".");
  EXPECT_EQ(refusal("mode=aead_aes256_gcm"),
            "There is a mode but no secret key: set secret-key-file to a file with 64 hexadecimal "
            "digits.");
  const std::string not_hex =
      "The secret key is not 64 hexadecimal digits: check secret-key-file or secret-key.";
  for (const std::string& bad :
       {std::string("xyz"), std::string(63, 'a'), std::string(66, 'a'), std::string(64, 'g')}) {
    EXPECT_EQ(refusal("mode=aead_aes256_gcm secret-key=" + bad), not_hex) << bad;
  }
  EXPECT_EQ(refusal("mode=aead_aes256_gcm secret-key-file=" + dir.write("bad", "not a key\n")),
            not_hex);
  EXPECT_EQ(refusal("mode=aead_aes256_gcm secret-key-file=" + dir.write("empty", " \n")),
            "The file " + dir.path() + "/empty is empty.");
  EXPECT_EQ(
      refusal("mode=aead_aes256_gcm secret-key-file=" + dir.write("big", std::string(5000, '0'))),
      "The file " + dir.path() + "/big is too long to hold a secret.");
  EXPECT_EQ(refusal("mode=aead_aes256_gcm secret-key-file=/nowhere/key"),
            "The file /nowhere/key cannot be read: No such file or directory.");
}

TEST(Decrypt, AKeyFileThatOthersCanReadIsAWarning) {
  const TempDir dir;
  const std::string file = dir.write("key", "'" + key_hex() + "'\n");
  ASSERT_EQ(std::system(("chmod 644 " + file).c_str()), 0);
  Pipeline p("appsrc ! discorddecrypt mode=aead_aes256_gcm secret-key-file=" + file +
             " ! fakesink");
  EXPECT_NE(p.set(GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  const MessagePtr message = p.wait(GST_MESSAGE_WARNING);
  GError* warning = nullptr;
  gst_message_parse_warning(message.get(), &warning, nullptr);
  EXPECT_EQ(std::string(warning->message),
            "Other users of this machine can read " + file + "; run: chmod 600 " + file);
  g_error_free(warning);
}

TEST(Decrypt, PropertiesChangedInReadyCount) {
  Pipeline p(
      "appsrc name=in format=time caps=application/x-discord-rtp ! discorddecrypt name=d "
      "mode=aead_aes256_gcm secret-key=" +
      std::string(64, '0') + " ! fakesink async=false");
  p.set(GST_STATE_READY);
  g_object_set(p.get("d").get(), "mode", "rot13", nullptr);
  EXPECT_EQ(p.set(GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
  EXPECT_EQ(p.error(), "The mode \"rot13\" is unknown: set mode to " + modes + ".");
}

TEST(Decrypt, WithoutAnyKeyThereIsOneSentence) {
  Pipeline p(
      "appsrc name=in format=time caps=application/x-discord-rtp ! discorddecrypt ! "
      "fakesink async=false");
  p.play();
  Sealer sealer;
  GstFlowReturn flow = GST_FLOW_OK;
  g_signal_emit_by_name(p.get("in").get(), "push-buffer",
                        buffer_of(sealer.rtp(1, opus_packet()), 0).get(), &flow);
  EXPECT_EQ(p.error(),
            "There is no key: put discordvoicesrc upstream, or set mode and secret-key-file for a "
            "capture.");
}

TEST(Decrypt, AddsNoLatency) {
  const HarnessPtr h = with_key();
  gst_harness_set_upstream_latency(h.get(), 30 * GST_MSECOND);
  EXPECT_EQ(gst_harness_query_latency(h.get()), 30 * GST_MSECOND);
}

TEST(Decrypt, ListsStayLists) {
  const HarnessPtr h = with_key();
  Sealer sealer;
  GstBufferList* list = gst_buffer_list_new();
  for (std::uint16_t i = 1; i <= 3; i++) {
    gst_buffer_list_add(list, buffer_of(sealer.rtp(i, opus_packet()), 0).release());
  }
  int lists = 0;
  gst_pad_add_probe(
      h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER_LIST,
      [](GstPad*, GstPadProbeInfo*, gpointer n) {
        ++*static_cast<int*>(n);
        return GST_PAD_PROBE_OK;
      },
      &lists, nullptr);
  ASSERT_EQ(gst_pad_push_list(h->srcpad, list), GST_FLOW_OK);
  EXPECT_EQ(lists, 1);
  EXPECT_EQ(gst_harness_buffers_received(h.get()), 3u);
}

// Decryption works in place: another branch of a tee must still see the ciphertext.
TEST(Decrypt, WhatOthersHoldIsNotDecryptedUnderTheirFeet) {
  const HarnessPtr h = with_key();
  Sealer sealer;
  const Bytes sealed = sealer.rtp(1, opus_packet());
  const BufferPtr held = buffer_of(sealed, 0);
  ASSERT_EQ(gst_harness_push(h.get(), gst_buffer_ref(held.get())), GST_FLOW_OK);
  EXPECT_EQ(pull_payload(h), opus_packet());
  EXPECT_EQ(bytes_of(held.get()), sealed);
}

TEST(Decrypt, APooledBufferIsWholeAgainWhenItReturns) {
  const HarnessPtr h = with_key();
  const ObjectPtr<GstBufferPool> pool(gst_buffer_pool_new());
  GstStructure* config = gst_buffer_pool_get_config(pool.get());
  gst_buffer_pool_config_set_params(config, nullptr, 2048, 1, 1);
  gst_buffer_pool_set_config(pool.get(), config);
  gst_buffer_pool_set_active(pool.get(), TRUE);
  Sealer sealer;
  GstMemory* memory = nullptr;
  for (std::uint16_t i = 1; i <= 3; i++) {
    GstBuffer* buffer = nullptr;
    ASSERT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_OK);
    gsize offset = 1;
    gsize size = gst_buffer_get_sizes(buffer, &offset, nullptr);
    EXPECT_EQ(size, 2048u);
    EXPECT_EQ(offset, 0u);
    EXPECT_EQ(gst_buffer_get_discord_speaker_meta(buffer), nullptr);
    EXPECT_TRUE(memory == nullptr || memory == gst_buffer_peek_memory(buffer, 0))
        << "the buffer was thrown away instead of recycled";
    memory = gst_buffer_peek_memory(buffer, 0);
    rtp::PacketParts parts;
    const Bytes payload = opus_packet();
    const Bytes elements = {0x10, 0x90, 0x90, 0x02};
    parts.header = {.payload_type = 120, .sequence = i, .timestamp = 0, .ssrc = 1};
    parts.has_extension = true;
    parts.elements = elements;
    parts.payload = payload;
    const Bytes sealed = sealer.parts(parts);
    gst_buffer_fill(buffer, 0, sealed.data(), sealed.size());
    gst_buffer_set_size(buffer, static_cast<gssize>(sealed.size()));
    GST_BUFFER_PTS(buffer) = 0;
    ASSERT_EQ(gst_harness_push(h.get(), buffer), GST_FLOW_OK);
    EXPECT_EQ(pull_payload(h), opus_packet());
  }
  gst_buffer_pool_set_active(pool.get(), FALSE);
}

TEST(Decrypt, AFlushEndsSpeechAndKeepsTheKey) {
  const HarnessPtr h = with_key();
  const ObjectPtr<GstBus> bus(gst_bus_new());
  gst_element_set_bus(h->element, bus.get());
  Sealer sealer;
  push(h, sealer.rtp(1, opus_packet()), 5000);
  ASSERT_TRUE(pull_payload(h));
  gst_harness_push_event(h.get(), gst_event_new_flush_start());
  gst_harness_push_event(h.get(), gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(h.get(), gst_event_new_segment(&segment));
  // The same packet again, as after a seek to the beginning of a capture.
  push(h, sealer.rtp(1, opus_packet()), 5000);
  EXPECT_TRUE(pull_payload(h)) << "not a duplicate: time began anew";
  std::string said;
  while (const MessagePtr m{gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ELEMENT)}) {
    gboolean on = FALSE;
    gst_structure_get_boolean(gst_message_get_structure(m.get()), "speaking", &on);
    said += on ? "on " : "off ";
  }
  EXPECT_EQ(said, "on off on ");
  gst_element_set_bus(h->element, nullptr);
  expect_adds_up(h->element);
}

TEST(Decrypt, RtcpIsOfferedOnAPadOfItsOwn) {
  Bytes compound(512);
  std::size_t size = rtp::write_sender_report(7, 0x0102030405060708, 960, 10, 1000, {}, compound);
  const auto rest = [&] { return MutableByteSpan(compound).subspan(size); };
  size += rtp::write_sdes_cname(7, "somebody", rest());
  const Bytes app = {0x81, 204, 0, 3, 0, 0, 0, 7, 'T', 'E', 'S', 'T', 1, 2, 3, 4};
  std::copy(app.begin(), app.end(), rest().begin());
  size += app.size();
  size += rtp::write_bye(7, "gone", rest());
  compound.resize(size);

  const HarnessPtr h = with_key();
  HarnessPtr side(gst_harness_new_with_element(h->element, nullptr, "rtcp_src"));
  Sealer sealer;
  ASSERT_EQ(push(h, sealer.rtcp(compound), 40), GST_FLOW_OK);
  const BufferPtr out(gst_harness_try_pull(side.get()));
  ASSERT_NE(out, nullptr);
  EXPECT_EQ(GST_BUFFER_PTS(out.get()), 40 * GST_MSECOND);
  const CapsPtr caps(gst_pad_get_current_caps(side->sinkpad));
  EXPECT_TRUE(gst_structure_has_name(gst_caps_get_structure(caps.get(), 0), "application/x-rtcp"));
  GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
  ASSERT_TRUE(gst_rtcp_buffer_map(out.get(), GST_MAP_READ, &rtcp));
  std::vector<int> types;
  GstRTCPPacket packet;
  for (gboolean more = gst_rtcp_buffer_get_first_packet(&rtcp, &packet); more;
       more = gst_rtcp_packet_move_to_next(&packet)) {
    types.push_back(gst_rtcp_packet_get_type(&packet));
  }
  EXPECT_EQ(types, (std::vector<int>{200, 202, 204, 203}));
  gst_rtcp_buffer_unmap(&rtcp);
  EXPECT_EQ(count_of(h->element, "not-audio"), 1u);

  // Receiver reports alone, and a second request for the pad.
  Bytes rr(64);
  const rtp::ReportBlock blocks[] = {{.ssrc = 7, .highest_sequence = 5}};
  rr.resize(rtp::write_receiver_report(9, blocks, rr));
  push(h, sealer.rtcp(rr), 60);
  const BufferPtr second(gst_harness_try_pull(side.get()));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(bytes_of(second.get()), rr);
  GstPadTemplate* templ = gst_element_get_pad_template(h->element, "rtcp_src");
  EXPECT_EQ(gst_element_request_pad(h->element, templ, nullptr, nullptr), nullptr)
      << "there is one such pad";
  push(h, sealer.rtp(1, opus_packet()), 80);
  EXPECT_TRUE(pull_payload(h)) << "media goes on beside it";
}

TEST(Decrypt, RtcpWithoutAPadIsCountedAndAPadMayComeLater) {
  const HarnessPtr h = with_key();
  Sealer sealer;
  Bytes bye(64);
  bye.resize(rtp::write_bye(7, "", bye));
  EXPECT_EQ(push(h, sealer.rtcp(bye)), GST_FLOW_OK);
  EXPECT_EQ(count_of(h->element, "not-audio"), 1u);
  for (int round = 0; round < 2; round++) {
    HarnessPtr side(gst_harness_new_with_element(h->element, nullptr, "rtcp_src"));
    EXPECT_EQ(push(h, sealer.rtcp(bye)), GST_FLOW_OK);
    const BufferPtr out(gst_harness_try_pull(side.get()));
    ASSERT_NE(out, nullptr) << "round " << round;
    EXPECT_EQ(bytes_of(out.get()), bye);
  }
}
