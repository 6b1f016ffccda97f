// An ingress that receives and a server that seals, for tests; the ledger is checked at every step.
#pragma once

#include "media/ingress.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace discord::media {

using namespace std::chrono_literals;
using transport::Mode;
using Handle = std::unique_ptr<Bytes>;

inline transport::Key key_of(std::uint8_t fill) {
  std::array<std::uint8_t, 32> bytes;
  bytes.fill(fill);
  return transport::Key(bytes);
}

struct Talk {
  std::uint32_t ssrc = 1;
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  Bytes payload = {0x78, 1, 2, 3, 4};
  std::uint8_t payload_type = 120;
  std::uint8_t padding = 0;
  Bytes elements = {};
};
inline const Bytes silence = {0xF8, 0xFF, 0xFE};

struct Sent {
  AudioPacket packet;
  Bytes payload;
};

struct Sink {
  std::vector<Sent> audio_out, padding_out;
  std::vector<std::string> said;
  std::size_t rtcp_out = 0;

  void audio(const AudioPacket& packet, Handle&& handle) {
    const auto at = handle->begin() + static_cast<std::ptrdiff_t>(packet.offset);
    audio_out.push_back({packet, Bytes(at, at + static_cast<std::ptrdiff_t>(packet.size))});
  }
  void padding(const AudioPacket& packet, Handle&&) { padding_out.push_back({packet, {}}); }
  void rtcp(std::size_t offset, std::size_t size, Handle&& handle, Time) {
    EXPECT_EQ((*handle)[offset + 1], 201);
    EXPECT_LE(offset + size, handle->size());
    ++rtcp_out;
  }
  void speaking(std::uint32_t ssrc, std::uint64_t user, bool on, Time at) {
    said.push_back(std::to_string(ssrc) + "/" + std::to_string(user) + (on ? "+" : "-") +
                   std::to_string(to_ns(at) / 1000000));
  }
};

// A server that seals and an ingress that receives; the ledger is checked after every step.
struct Call {
  Mode mode = Mode::aead_aes256_gcm_rtpsize;
  transport::Cipher server;
  std::uint32_t counter = 0;
  Ingress<Handle> ingress;
  Sink sink;

  explicit Call(const IngressConfig& config = {}, bool with_key = true)
      : server(mode, key_of(1)), ingress(config) {
    if (with_key) {
      give_key(Time{});
    }
  }
  void give_key(Time now, std::uint64_t generation = 1) {
    EXPECT_TRUE(ingress.set_key(generation, mode, key_of(1), now, sink));
    check();
  }
  Bytes seal(const Talk& talk) {
    rtp::PacketParts parts;
    parts.header.payload_type = talk.payload_type;
    parts.header.sequence = talk.sequence;
    parts.header.timestamp = talk.timestamp;
    parts.header.ssrc = talk.ssrc;
    parts.has_extension = !talk.elements.empty();
    parts.elements = talk.elements;
    parts.payload = talk.payload;
    parts.padding = talk.padding;
    Bytes out(server.sealed_size(parts));
    EXPECT_TRUE(server.seal_rtp(parts, counter++, out));
    return out;
  }
  void receive(Bytes datagram, Time now) {
    auto handle = std::make_unique<Bytes>(std::move(datagram));
    const MutableByteSpan span(*handle);
    ingress.push(span, std::move(handle), now, sink);
    check();
  }
  void push(const Talk& talk, Time now) { receive(seal(talk), now); }
  void map(std::uint32_t ssrc, std::uint64_t user, Time now) {
    EXPECT_TRUE(ingress.map_user(ssrc, user, now, sink));
    check();
  }
  void timer(Time now) {
    ingress.on_timer(now, sink);
    check();
  }
  void e2ee(bool on) {
    auto keys = std::make_shared<dave::MediaKeys>();
    keys->active = on;
    keys->passthrough = true;  // frames go in the clear: what waits, waits for its user
    publish(std::move(keys));
  }
  void publish(dave::MediaKeysPtr keys) {
    ingress.set_media_keys(std::move(keys), Time{}, Time{}, sink);
    check();
  }
  // A second of speech from sequence `from`.
  void speak(std::uint32_t ssrc, std::uint16_t from, int packets, Time start) {
    for (int i = 0; i < packets; ++i) {
      push({.ssrc = ssrc,
            .sequence = static_cast<std::uint16_t>(from + i),
            .timestamp = static_cast<std::uint32_t>((from + i) * 960)},
           start + i * 20ms);
    }
  }
  void check() {
    EXPECT_TRUE(ingress.ledger().adds_up());
    EXPECT_TRUE(ingress.nobody().adds_up());
    for (const SpeakerStats& row : ingress.speakers()) {
      EXPECT_TRUE(row.ledger.adds_up()) << row.ssrc;
    }
  }
};

}  // namespace discord::media
