#include "media/ingress.hpp"
#include "media/reorder_queue.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

using namespace discord;
using namespace discord::media;
using namespace std::chrono_literals;

namespace {

using transport::Mode;
using Handle = std::unique_ptr<Bytes>;

transport::Key key_of(std::uint8_t fill) {
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
const Bytes silence = {0xF8, 0xFF, 0xFE};

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
    ingress.set_e2ee(on, sink);
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

}  // namespace

TEST(Ledger, AddsUpAndFolds) {
  Ledger first;
  first.received = 10;
  first.played = 6;
  first.silence = 2;
  first.bad_tag = 2;
  EXPECT_TRUE(first.adds_up());
  Ledger next;
  next.received = 7;
  next.played = 4;
  next.late = 1;
  next.in_flight = 2;
  Ledger all = first;
  all.then(next);
  EXPECT_TRUE(all.adds_up());
  EXPECT_EQ(all.played, 4u);
  EXPECT_EQ(all.in_flight, 3u) << "two in the next stage, one between";
  EXPECT_EQ(all.undecryptable(), 2u);
  ++first.received;
  EXPECT_FALSE(first.adds_up());
}

TEST(Ingress, AudioComesOutOpenedAndStripped) {
  for (int m = 0; m < static_cast<int>(transport::mode_count); ++m) {
    Call call({}, false);
    call.mode = static_cast<Mode>(m);
    call.server = transport::Cipher(call.mode, key_of(1));
    call.give_key(Time{});
    call.map(7, 70, Time{});
    call.push({.ssrc = 7,
               .sequence = 65535,
               .timestamp = 9,
               .padding = 40,
               .elements = {0x10, 0x80 | 33, 0x90, 1}},
              Time(5ms));
    ASSERT_EQ(call.sink.audio_out.size(), 1u) << m;
    const Sent& sent = call.sink.audio_out[0];
    EXPECT_EQ(sent.payload, Talk{}.payload)
        << "seed 16, 18, 19: padding and extension come off after opening";
    EXPECT_EQ(sent.packet.user_id, 70u);
    EXPECT_EQ(sent.packet.sequence & 0xFFFF, 65535u);
    EXPECT_EQ(sent.packet.audio_level, 33);
    EXPECT_TRUE(sent.packet.voice_activity);
    EXPECT_EQ(sent.packet.speaking_flags & 4, 4);
    EXPECT_FALSE(sent.packet.silence);
    EXPECT_EQ(sent.packet.arrival, Time(5ms));
  }
}

TEST(Ingress, EveryKindOfDatagramHasACause) {
  Call call;
  call.receive({}, Time{});
  call.receive(Bytes(8, 0), Time{});
  call.receive({0x13, 0x37, 0xF0, 0x0D, 0, 0, 0, 1}, Time{});
  call.receive(Bytes(100, 0), Time{});
  EXPECT_EQ(call.ingress.ledger().not_audio, 4u);
  // seed 20: video went to the Opus decoder.
  call.push({.payload_type = 101}, Time{});
  EXPECT_EQ(call.ingress.ledger().not_audio, 5u);
  EXPECT_TRUE(call.ingress.speakers().empty());
  EXPECT_TRUE(call.sink.audio_out.empty());
}

TEST(Ingress, RtcpIsOpenedAndIsNotAudio) {
  Call call;
  std::array<std::uint8_t, 8> report = {0x80, 201, 0, 1, 0, 0, 0, 9};
  Bytes sealed(call.server.sealed_size(report.size()));
  ASSERT_TRUE(call.server.seal_rtcp(report, 77, sealed));
  call.receive(sealed, Time{});
  EXPECT_EQ(call.sink.rtcp_out, 1u);
  EXPECT_EQ(call.ingress.ledger().not_audio, 1u);
  sealed.back() ^= 1;
  call.receive(sealed, Time{});
  EXPECT_EQ(call.sink.rtcp_out, 1u);
  EXPECT_EQ(call.ingress.ledger().bad_tag, 1u);
}

TEST(Ingress, ForgedPacketsChangeNothing) {
  Call call;
  call.e2ee(true);
  call.map(1, 10, Time{});
  call.speak(1, 100, 10, Time{});
  call.push({.ssrc = 2, .sequence = 5}, Time(100ms));  // held
  const auto before = call.ingress.speakers();
  const Deadline deadline = call.ingress.next_deadline();
  const auto said = call.sink.said;
  const auto out = call.sink.audio_out.size();
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    // Known SSRCs, the held one, unknown ones, with sequences that would resync if believed.
    Bytes forged =
        call.seal({.ssrc = static_cast<std::uint32_t>(i % 3 == 0 ? random() : 1 + random() % 2),
                   .sequence = static_cast<std::uint16_t>(random())});
    forged[12 + random() % (forged.size() - 12)] ^= static_cast<std::uint8_t>(1 + random() % 255);
    call.receive(std::move(forged), Time(190ms));
  }
  EXPECT_EQ(call.ingress.ledger().bad_tag, 5000u);
  const auto after = call.ingress.speakers();
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].ssrc, before[i].ssrc);
    EXPECT_EQ(after[i].ledger, before[i].ledger);
    EXPECT_EQ(after[i].jitter, before[i].jitter);
  }
  EXPECT_EQ(call.ingress.next_deadline(), deadline);
  EXPECT_EQ(call.sink.said, said);
  EXPECT_EQ(call.sink.audio_out.size(), out);
  call.speak(1, 110, 1, Time(195ms));
  EXPECT_EQ(call.sink.audio_out.back().packet.sequence,
            call.sink.audio_out.front().packet.sequence + 10);
}

TEST(Ingress, AuthenticButMalformedIsNotAFrame) {
  Call call;
  Bytes plain(20, 0);
  plain[0] = 0xA0;  // padding whose count is 0
  plain[1] = 120;
  Bytes out(call.server.sealed_size(plain.size()));
  ASSERT_TRUE(call.server.seal_plain_rtp(plain, 500, out));
  call.receive(out, Time{});
  EXPECT_EQ(call.ingress.ledger().not_a_frame, 1u);
  EXPECT_TRUE(call.ingress.speakers().empty());
}

TEST(Ingress, DuplicatesAreDroppedWhateverTheyCarry) {
  Call call;
  call.speak(1, 65530, 20, Time{});
  call.speak(1, 65530, 20, Time(5ms));
  EXPECT_EQ(call.ingress.ledger().duplicate, 20u);
  call.push({.ssrc = 1, .sequence = 65535, .timestamp = 65535 * 960, .payload = {9, 9}}, Time(6ms));
  EXPECT_EQ(call.ingress.ledger().duplicate, 21u);
  EXPECT_EQ(call.sink.audio_out.size(), 20u);
}

TEST(Ingress, RestartInsideTheWindowIsNotADuplicate) {
  Call call;
  call.speak(1, 1000, 300, Time{});
  for (int i = 0; i < 50; ++i) {
    call.push({.sequence = static_cast<std::uint16_t>(1100 + i),
               .timestamp = 0x55550000u + static_cast<std::uint32_t>(i) * 960},
              Time(6s + i * 20ms));
  }
  EXPECT_EQ(call.ingress.ledger().duplicate, 0u);
  EXPECT_EQ(call.sink.audio_out.size(), 350u);
}

// Ingress and ReorderQueue together: voice-recv went deaf for minutes after such a jump.
TEST(Ingress, VoiceRecvDeafnessThroughBothStages) {
  for (const int jump : {15000, 20000, -20000, 32767, -32767, -300}) {
    Call call;
    ReorderQueue<int> queue;
    std::size_t given = 0, played = 0;
    Time heard{};
    const auto run = [&](Time now) {
      for (; given < call.sink.audio_out.size(); ++given) {
        queue.push(0, call.sink.audio_out[given].packet.sequence, now);
      }
      while (std::holds_alternative<ReorderQueue<int>::Packet>(queue.pop(now))) {
        ++played;
        heard = now;
      }
    };
    std::uint16_t sequence = 40000;
    Time now{};
    for (int i = 0; i < 400; ++i, now += 20ms) {
      call.push({.sequence = sequence++, .timestamp = static_cast<std::uint32_t>(i * 960)}, now);
      run(now);
    }
    EXPECT_EQ(played, 400u);
    sequence = static_cast<std::uint16_t>(sequence + jump);
    const Time jumped = now;
    while (heard < jumped && now < jumped + 10s) {
      call.push({.sequence = sequence++, .timestamp = static_cast<std::uint32_t>(to_ns(now) / 7)},
                now);
      run(now);
      now += 20ms;
    }
    EXPECT_LE(heard - jumped, 260ms) << jump;
    // And long enough for a stale reference to unwrap wrongly.
    const std::size_t before = played;
    for (int i = 0; i < 70000; ++i, now += 20ms) {
      call.push({.sequence = sequence++, .timestamp = static_cast<std::uint32_t>(i)}, now);
      run(now);
    }
    EXPECT_EQ(played - before, 70000u) << jump;
    EXPECT_EQ(queue.resyncs(), 1u) << jump;
    EXPECT_EQ(call.ingress.ledger().duplicate, 0u);
  }
}

TEST(Ingress, PaddingOnlyIsCountedAndSpendsItsSequence) {
  Call call;
  call.push({.sequence = 1, .payload = {}, .padding = 255}, Time{});
  call.push({.sequence = 2, .payload = {}}, Time{});
  EXPECT_EQ(call.ingress.ledger().padding_only, 2u);
  EXPECT_EQ(call.sink.padding_out.size(), 2u);
  EXPECT_TRUE(call.sink.said.empty()) << "nobody spoke";
}

TEST(Ingress, FirstWordsAreNotLost) {
  Call call;
  call.e2ee(true);
  call.speak(1, 10, 50, Time{});
  call.map(2, 20, Time(1s));
  call.speak(2, 500, 3, Time(1s));
  EXPECT_EQ(call.sink.audio_out.size(), 3u) << "only its own SSRC is blocked";
  EXPECT_EQ(call.ingress.ledger().held, 50u);
  call.map(1, 10, Time(1500ms));
  ASSERT_EQ(call.sink.audio_out.size(), 53u);
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(call.sink.audio_out[3 + i].packet.sequence & 0xFFFF, 10 + i);
    EXPECT_EQ(call.sink.audio_out[3 + i].packet.user_id, 10u);
    EXPECT_EQ(call.sink.audio_out[3 + i].payload, Talk{}.payload);
  }
  EXPECT_EQ(call.ingress.ledger().held, 0u);
  EXPECT_EQ(call.sink.said[1], "1/10+0") << "speaking since the first word, under its name";
}

TEST(Ingress, AUserWhoNeverComesIsGivenUp) {
  Call call;
  call.e2ee(true);
  call.speak(1, 10, 10, Time{});
  EXPECT_EQ(call.ingress.next_deadline(), Time(2s));
  call.timer(Time(2s));
  EXPECT_EQ(call.ingress.ledger().no_user, 1u);
  call.timer(Time(3s));
  EXPECT_EQ(call.ingress.ledger().no_user, 10u);
  call.speak(1, 20, 10, Time(4s));
  EXPECT_EQ(call.ingress.ledger().no_user, 20u) << "later packets do not wait again";
  EXPECT_FALSE(call.ingress.next_deadline());
  call.map(1, 10, Time(5s));
  call.speak(1, 30, 10, Time(5s));
  EXPECT_EQ(call.sink.audio_out.size(), 10u);
}

TEST(Ingress, WithoutEndToEndEncryptionNobodyWaits) {
  Call call;
  call.speak(1, 10, 10, Time{});
  EXPECT_EQ(call.sink.audio_out.size(), 10u);
  EXPECT_EQ(call.sink.audio_out[0].packet.user_id, 0u);
  call.map(1, 10, Time(100ms));
  call.speak(1, 20, 1, Time(200ms));
  EXPECT_EQ(call.sink.audio_out.back().packet.user_id, 10u);
}

TEST(Ingress, EndOfEncryptionReleases) {
  Call call;
  call.e2ee(true);
  call.speak(1, 10, 10, Time{});
  call.e2ee(false);
  EXPECT_EQ(call.sink.audio_out.size(), 10u);
  EXPECT_EQ(call.sink.audio_out[9].packet.sequence & 0xFFFF, 19u);
}

TEST(Ingress, PacketsBeforeTheKeyWait) {
  Call call({}, false);
  call.speak(1, 10, 10, Time{});
  EXPECT_EQ(call.ingress.ledger().held, 10u);
  EXPECT_TRUE(call.ingress.speakers().empty()) << "an SSRC is only a claim until then";
  call.give_key(Time(1s));
  EXPECT_EQ(call.sink.audio_out.size(), 10u);
  EXPECT_EQ(call.sink.audio_out[3].packet.arrival, Time(60ms)) << "time is that of arrival";
}

TEST(Ingress, AKeyThatNeverComesIsCounted) {
  Call call({}, false);
  call.speak(1, 10, 10, Time{});
  EXPECT_EQ(call.ingress.next_deadline(), Time(2s));
  call.timer(Time(5s));
  call.speak(1, 20, 10, Time(5s));
  EXPECT_EQ(call.ingress.ledger().no_key, 20u);
  call.give_key(Time(6s));
  call.speak(1, 30, 10, Time(6s));
  EXPECT_EQ(call.sink.audio_out.size(), 10u);
}

TEST(Ingress, FloodBeforeTheKeyIsBounded) {
  Call call({}, false);
  for (int i = 0; i < 5000; ++i) {
    call.push({.ssrc = static_cast<std::uint32_t>(i), .payload = Bytes(200, 1)}, Time{});
  }
  EXPECT_LE(call.ingress.ledger().held, 256u * 1024 / 200);
  EXPECT_GT(call.ingress.ledger().evicted, 0u);
}

TEST(Ingress, AnOldGenerationCannotWriteIntoANewerOne) {
  Call call;
  call.map(1, 10, Time{});
  call.speak(1, 10, 2, Time{});
  EXPECT_TRUE(call.ingress.set_key(5, call.mode, key_of(1), Time(1s), call.sink));
  EXPECT_FALSE(call.ingress.set_key(4, call.mode, key_of(9), Time(1s), call.sink));
  call.speak(1, 10, 1, Time(1s));
  EXPECT_EQ(call.sink.audio_out.size(), 3u) << "same numbers, but a new connection";
  EXPECT_EQ(call.sink.audio_out.back().packet.user_id, 0u) << "SSRCs of the old one mean nothing";
}

// Opcode 5 and 12 may come between Ready and the session description.
TEST(Ingress, UsersThatComeBeforeTheNewKeySurviveIt) {
  Call call;
  call.ingress.clear_key();
  call.ingress.forget_all(Time{}, call.sink);
  call.map(1, 10, Time{});
  call.speak(1, 10, 2, Time{});
  call.give_key(Time(1s), 2);
  ASSERT_EQ(call.sink.audio_out.size(), 2u);
  EXPECT_EQ(call.sink.audio_out[0].packet.user_id, 10u);
}

// seed: the SSRC map never changed, so after a reuse the wrong name spoke.
TEST(Ingress, Seed21SsrcReuse) {
  Call call;
  call.map(1, 10, Time{});
  call.speak(1, 10, 2, Time{});
  call.map(1, 20, Time(40ms));
  call.speak(1, 12, 2, Time(40ms));
  EXPECT_EQ(call.sink.audio_out.back().packet.user_id, 20u);
  const auto rows = call.ingress.speakers();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows[0].gone);
  EXPECT_EQ(rows[0].user_id, 10u);
  EXPECT_EQ(rows[0].ledger.played, 2u);
  EXPECT_EQ(rows[1].user_id, 20u);
}

TEST(Ingress, AUsersOldSsrcIsRetired) {
  Call call;
  call.e2ee(true);
  call.map(1, 10, Time{});
  call.map(2, 10, Time{});
  call.speak(1, 10, 1, Time{});
  EXPECT_TRUE(call.sink.audio_out.empty());
  EXPECT_EQ(call.ingress.ledger().held, 1u);
  call.ingress.retire(1, Time{}, call.sink);
  call.check();
  EXPECT_EQ(call.ingress.ledger().no_user, 1u);
}

// seed: decoders were keyed by SSRC in a process shared by guilds.
TEST(Ingress, Seed15SameSsrcInTwoCalls) {
  Call one, two;
  one.map(1, 10, Time{});
  two.map(1, 20, Time{});
  one.speak(1, 10, 2, Time{});
  two.speak(1, 10, 2, Time{});
  EXPECT_EQ(one.sink.audio_out[0].packet.user_id, 10u);
  EXPECT_EQ(two.sink.audio_out[0].packet.user_id, 20u);
  EXPECT_EQ(two.ingress.ledger().duplicate, 0u);
}

TEST(Ingress, SsrcZeroIsAnSsrc) {
  Call call;
  call.e2ee(true);
  call.map(0, 10, Time{});
  call.speak(0, 1, 3, Time{});
  EXPECT_EQ(call.sink.audio_out.size(), 3u);
}

TEST(Speaking, FromTheFirstSoundToTheSilenceRun) {
  Call call;
  call.map(1, 10, Time{});
  call.speak(1, 10, 5, Time{});
  for (int i = 0; i < 5; ++i) {
    call.push({.sequence = static_cast<std::uint16_t>(15 + i), .payload = silence},
              Time(100ms + i * 20ms));
  }
  EXPECT_EQ(call.sink.said, (std::vector<std::string>{"1/10+0", "1/10-120"}));
  EXPECT_FALSE(call.ingress.next_deadline());
  EXPECT_EQ(call.ingress.ledger().silence, 5u);
  EXPECT_EQ(call.ingress.ledger().played, 5u);
  // A straggler of the speech before it does not start a new one.
  call.push({.sequence = 9, .timestamp = 1}, Time(190ms));
  EXPECT_EQ(call.sink.said.size(), 2u);
}

TEST(Speaking, EndsWithoutSilenceFramesAfter200Milliseconds) {
  Call call;
  call.speak(1, 10, 5, Time{});
  EXPECT_EQ(call.ingress.next_deadline(), Time(280ms));
  call.timer(Time(279ms));
  EXPECT_EQ(call.sink.said.size(), 1u);
  call.timer(Time(300ms));
  EXPECT_EQ(call.sink.said.back(), "1/0-280");
}

TEST(Speaking, OneSilenceFrameInTheMiddleIsNotTheEnd) {
  Call call;
  call.speak(1, 10, 5, Time{});
  call.push({.sequence = 15, .payload = silence}, Time(100ms));
  call.speak(1, 16, 5, Time(120ms));
  EXPECT_EQ(call.sink.said.size(), 1u);
}

TEST(Speaking, SilenceAloneIsNotSpeaking) {
  Call call;
  for (int i = 0; i < 50; ++i) {
    call.push({.sequence = static_cast<std::uint16_t>(i), .payload = silence}, Time(i * 20ms));
  }
  EXPECT_TRUE(call.sink.said.empty());
}

TEST(Speaking, PausesWhileHeldAreStillPauses) {
  Call call;
  call.e2ee(true);
  call.speak(1, 10, 2, Time{});
  call.speak(1, 12, 2, Time(1s));
  call.map(1, 10, Time(1100ms));
  EXPECT_EQ(call.sink.said, (std::vector<std::string>{"1/10+0", "1/10-220", "1/10+1000"}));
}

TEST(SpeakerTable, AFloodOfSsrcsCannotPushOutKnownUsers) {
  IngressConfig config;
  config.max_speakers = 16;
  Call call(config);
  call.e2ee(true);
  for (std::uint32_t i = 0; i < 8; ++i) {
    call.map(i, 100 + i, Time{});
    call.speak(i, 10, 1, Time{});
  }
  for (std::uint32_t i = 0; i < 10000; ++i) {
    call.push({.ssrc = 1000 + i}, Time(1s));
  }
  const auto rows = call.ingress.speakers();
  std::size_t here = 0, users = 0;
  for (const SpeakerStats& row : rows) {
    here += row.gone ? 0 : 1;
    users += !row.gone && row.user_id != 0 ? 1 : 0;
  }
  EXPECT_EQ(here, 16u);
  EXPECT_EQ(users, 8u);
  EXPECT_LE(rows.size(), 32u) << "the departed are bounded too";
  EXPECT_EQ(call.ingress.ledger().received, 10008u);
  EXPECT_EQ(call.ingress.ledger().held, 8u);
}

TEST(SpeakerTable, SpeakingUsersAreNeverEvicted) {
  IngressConfig config;
  config.max_speakers = 2;
  Call call(config);
  call.map(1, 10, Time{});
  call.map(2, 20, Time{});
  call.map(3, 30, Time{});
  call.speak(1, 10, 1, Time{});
  call.speak(2, 10, 1, Time{});
  call.speak(3, 10, 1, Time(10ms));
  EXPECT_EQ(call.ingress.nobody().evicted, 1u);
  call.timer(Time(205ms));
  call.speak(3, 11, 1, Time(210ms));
  EXPECT_EQ(call.sink.audio_out.back().packet.user_id, 30u);
  call.speak(1, 11, 1, Time(500ms));
  EXPECT_EQ(call.sink.audio_out.back().packet.user_id, 10u) << "the name outlives the row";
}

TEST(Jitter, FollowsTheRfc) {
  JitterEstimator jitter;
  Time now{};
  for (int i = 0; i < 1000; ++i, now += 20ms) {
    jitter.packet(static_cast<std::uint32_t>(i * 960), now + (i % 2 == 0 ? 0ms : 10ms));
  }
  EXPECT_NEAR(jitter.value(), 480, 8) << "every difference is 10 ms";
  // A pause over which the timestamp stands still is not jitter.
  now += 60s;
  for (int i = 0; i < 3; ++i, now += 20ms) {
    jitter.packet(static_cast<std::uint32_t>((1000 + i) * 960), now);
  }
  EXPECT_LT(jitter.value(), 481u);
}

TEST(Ingress, LedgerAddsUpAfterEveryStepOfARandomCall) {
  constexpr unsigned seed = 4711;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  IngressConfig config;
  config.max_speakers = 6;
  config.hold = {80ms, 4000, 12000};
  Call call(config, false);
  ReorderQueue<int> queue;
  std::size_t given = 0;
  Time now{};
  std::vector<Bytes> seen;
  std::uint64_t generation = 1, steps = 0;
  for (int i = 0; i < 20000; ++i, ++steps) {
    now += std::chrono::milliseconds(random() % 15);
    switch (random() % 40) {
      case 0:
        call.map(random() % 10, 1 + random() % 8, now);
        break;
      case 1:
        call.ingress.retire(random() % 10, now, call.sink);
        break;
      case 2:
        call.e2ee(random() % 2 == 0);
        break;
      case 3:
        if (random() % 8 == 0) {
          call.ingress.clear_key();
        }
        break;
      case 4:
        if (random() % 2 == 0) {
          call.give_key(now, generation);
        }
        break;
      case 5:
        if (random() % 16 == 0) {
          call.ingress.forget_all(now, call.sink);
          call.give_key(now, ++generation);
        }
        break;
      case 6:
      case 7:
        call.timer(now);
        break;
      case 8: {
        Bytes junk(random() % 120);
        for (auto& b : junk) {
          b = static_cast<std::uint8_t>(random());
        }
        call.receive(std::move(junk), now);
        break;
      }
      case 9:
        if (!seen.empty()) {
          call.receive(seen[random() % seen.size()], now);
        }
        break;
      default: {
        Bytes sealed = call.seal({.ssrc = static_cast<std::uint32_t>(random() % 10),
                                  .sequence = static_cast<std::uint16_t>(i / 4 + random() % 30),
                                  .timestamp = static_cast<std::uint32_t>(random()),
                                  .payload = random() % 5 == 0   ? silence
                                             : random() % 9 == 0 ? Bytes{}
                                                                 : Bytes(random() % 300 + 1, 1),
                                  .padding = static_cast<std::uint8_t>(random() % 3)});
        if (random() % 10 == 0) {
          sealed[12] ^= 1;
        }
        if (seen.size() < 100) {
          seen.push_back(sealed);
        }
        call.receive(std::move(sealed), now);
      }
    }
    call.check();
    // One SSRC's packets go on; folded together the two stages must still add up.
    for (; given < call.sink.audio_out.size(); ++given) {
      if (call.sink.audio_out[given].packet.ssrc == 3) {
        queue.push(0, call.sink.audio_out[given].packet.sequence, now);
      }
    }
    for (;;) {
      const auto out = queue.pop(now);
      if (out.index() < 2) {
        break;
      }
    }
    ASSERT_TRUE(queue.ledger().adds_up());
    Ledger all = call.ingress.ledger();
    all.then(queue.ledger());
    ASSERT_TRUE(all.adds_up()) << "step " << steps;
    ASSERT_EQ(call.ingress.ledger().played + call.ingress.ledger().silence,
              call.sink.audio_out.size());
  }
  const Ledger all = call.ingress.ledger();
  const std::vector<std::pair<const char*, std::uint64_t>> figures = {
      {"no_user", all.no_user},     {"no_key", all.no_key},      {"bad_tag", all.bad_tag},
      {"duplicate", all.duplicate}, {"evicted", all.evicted},    {"padding_only", all.padding_only},
      {"silence", all.silence},     {"not_audio", all.not_audio}};
  for (const auto& [name, figure] : figures) {
    EXPECT_GT(figure, 0u) << name << ": the run must reach every cause it can";
  }
}
