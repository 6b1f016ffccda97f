// discorddecrypt in a harness: sealed datagrams in, and what comes out.
#pragma once

#include "call_rig.hpp"
#include "discord/gstdiscordspeakermeta.h"

namespace discord::test {

inline GstFlowReturn push(const HarnessPtr& h, const Bytes& datagram, int at = 0) {
  return gst_harness_push(
      h.get(), buffer_of(datagram, static_cast<GstClockTime>(at) * GST_MSECOND).release());
}

// What left: payloads of RTP packets.
inline std::optional<Bytes> pull_payload(const HarnessPtr& h) {
  const BufferPtr buffer(gst_harness_try_pull(h.get()));
  if (!buffer) {
    return std::nullopt;
  }
  const auto packet = rtp::parse_packet(bytes_of(buffer.get()));
  EXPECT_TRUE(packet.ok());
  // The view dies with the copy it points into.
  const Bytes all = bytes_of(buffer.get());
  return Bytes(all.begin() + rtp::fixed_header_size, all.end());
}

// A harness whose upstream answers with a session that the test writes itself.
class InACall : public testing::Test {
 protected:
  void SetUp() override {
    source_.reset(
        GST_ELEMENT(gst_object_ref_sink(gst_element_factory_make("discordvoicesrc", nullptr))));
    session_ = std::make_unique<SessionView>(source_.get());
    h_.reset(gst_harness_new("discorddecrypt"));
    gst_harness_use_testclock(h_.get());
    session_->answer(h_.get());
    bus_.reset(gst_bus_new());
    gst_element_set_bus(h_->element, bus_.get());
    // As after Identify: a connection, and no key yet.
    session_->state().update([](CallSnapshot& call) { call.generation = 1; });
    gst_harness_set_src_caps_str(h_.get(), "application/x-discord-rtp");
  }
  void TearDown() override {
    gst_element_set_bus(h_->element, nullptr);
    session_->state().update([](CallSnapshot& call) { call = CallSnapshot(); });
  }

  void use_key(std::uint64_t generation = 1, std::uint8_t seed = 0x21) {
    session_->state().update([&](CallSnapshot& call) {
      call.generation = generation;
      call.mode = Mode::aead_aes256_gcm_rtpsize;
      call.key = some_key(seed);
    });
  }
  // A second connection, as after a move; `after` is the one whose packets may still come.
  void connect_anew(std::uint64_t after = 0) {
    session_->state().update([&](CallSnapshot& call) {
      call = CallSnapshot();
      call.generation = 2;
      call.after = after;
    });
  }
  void map(std::uint32_t ssrc, std::uint64_t user) {
    session_->state().update([&](CallSnapshot& call) { call.users[ssrc] = user; });
  }
  void encrypted_end_to_end() {
    auto keys = std::make_shared<dave::MediaKeys>();
    keys->active = true;
    keys->passthrough = true;  // frames go in the clear: what waits, waits for its user
    session_->state().update([&](CallSnapshot& call) { call.media_keys = keys; });
  }
  guint64 count(const char* name) { return count_of(h_->element, name); }
  BufferPtr pull() { return BufferPtr(gst_harness_pull(h_.get())); }
  std::uint64_t user_of(const BufferPtr& buffer) {
    return gst_buffer_get_discord_speaker_meta(buffer.get())->user_id;
  }
  // The next discord-speaking message as "ssrc/user on|off @ms".
  std::string speaking() {
    const MessagePtr m(gst_bus_timed_pop_filtered(bus_.get(), 0, GST_MESSAGE_ELEMENT));
    if (!m) {
      return "";
    }
    const GstStructure* s = gst_message_get_structure(m.get());
    guint ssrc = 0;
    guint64 user = 0;
    guint64 when = 0;
    gboolean on = FALSE;
    gst_structure_get(s, "ssrc", G_TYPE_UINT, &ssrc, "user-id", G_TYPE_UINT64, &user, "speaking",
                      G_TYPE_BOOLEAN, &on, "running-time", GST_TYPE_CLOCK_TIME, &when, nullptr);
    return std::to_string(ssrc) + "/" + std::to_string(user) + (on ? " on @" : " off @") +
           std::to_string(when / GST_MSECOND);
  }

  ObjectPtr<GstElement> source_;
  std::unique_ptr<SessionView> session_;
  HarnessPtr h_;
  ObjectPtr<GstBus> bus_;
  Sealer sealer_;
};

}  // namespace discord::test
