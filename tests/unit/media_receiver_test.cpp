#include "receiver_rig.hpp"

using namespace discord;
using namespace discord::media;
using namespace discord::rig;

namespace {

struct Slot {
  alignas(16) std::array<std::uint8_t, 65536> bytes{};
};
std::vector<std::int16_t> room() {
  return std::vector<std::int16_t>(opus_max_duration * output_channels);
}

// What libopus itself makes of packets that all arrived.
struct Reference {
  Reference() { decoder = opus_decoder_create(48000, 2, nullptr); }
  ~Reference() { opus_decoder_destroy(decoder); }
  std::vector<std::int16_t> decode(const Bytes& packet, int samples = 5760, int fec = 0) {
    std::vector<std::int16_t> out(5760 * 2);
    const int n = opus_decode(decoder, packet.empty() ? nullptr : packet.data(),
                              static_cast<opus_int32>(packet.size()), out.data(), samples, fec);
    out.resize(static_cast<std::size_t>(std::max(n, 0)) * 2);
    return out;
  }
  OpusDecoder* decoder;
};

std::uint32_t samples_of(const Tracks& tracks, FrameKind kind) {
  std::size_t n = 0;
  for (const auto& [ssrc, frames] : tracks) {
    for (const Frame& f : frames) {
      n += f.kind == kind ? f.pcm.size() / 2 : 0;
    }
  }
  return static_cast<std::uint32_t>(n);
}

}  // namespace

TEST(SpeakerDecoder, SameAsLibopusForEveryFrameSizeMonoAndStereo) {
  ASSERT_LE(SpeakerDecoder::slot_size(), sizeof(Slot));
  for (const int channels : {1, 2}) {
    for (const int samples : {120, 240, 480, 960, 1920, 2880, 3840, 4800, 5760}) {
      for (const int application : {OPUS_APPLICATION_VOIP, OPUS_APPLICATION_AUDIO}) {
        Slot slot;
        SpeakerDecoder decoder(slot.bytes);
        Reference reference;
        Voice voice(3, channels, application);
        for (int i = 0; i < 5; ++i) {
          const Bytes packet = voice.packet(samples);
          auto pcm = room();
          ASSERT_EQ(decoder.decode(packet, pcm), static_cast<std::uint32_t>(samples));
          pcm.resize(static_cast<std::size_t>(samples) * 2);
          ASSERT_EQ(pcm, reference.decode(packet));
        }
      }
    }
  }
}

TEST(SpeakerDecoder, RefusesWhatIsNoPacketAndGoesOn) {
  Slot slot;
  SpeakerDecoder decoder(slot.bytes);
  Voice voice(1);
  auto pcm = room();
  // Empty; code 1 with an uneven rest; code 3 without frames; a frame longer than the packet.
  for (const Bytes& bad :
       {Bytes{}, Bytes{0x79, 1, 2, 3}, Bytes{0x7B, 0}, Bytes{0x7A, 0xFC, 1, 2}}) {
    EXPECT_EQ(decoder.decode(bad, pcm), 0u);
  }
  std::vector<std::int16_t> small(10);
  const Bytes packet = voice.packet();
  EXPECT_EQ(decoder.decode(packet, small), 0u);
  EXPECT_EQ(decoder.decode(packet, pcm), 960u);
}

TEST(SpeakerDecoder, RecoversTheFrameBeforeFromItsSuccessor) {
  Slot slot;
  SpeakerDecoder decoder(slot.bytes);
  Voice voice(2);
  std::vector<Bytes> packets;
  for (int i = 0; i < 20; ++i) {
    packets.push_back(voice.packet());
  }
  Reference reference;
  auto pcm = room();
  for (int i = 0; i < 10; ++i) {
    decoder.decode(packets[static_cast<std::size_t>(i)], pcm);
    reference.decode(packets[static_cast<std::size_t>(i)]);
  }
  ASSERT_TRUE(has_fec(packets[11]));
  pcm = room();
  ASSERT_EQ(decoder.recover(packets[11], pcm), 960u);
  pcm.resize(960 * 2);
  EXPECT_EQ(pcm, reference.decode(packets[11], 960, 1));
  Voice plain(2, 2, OPUS_APPLICATION_AUDIO, false);
  for (int i = 0; i < 12; ++i) {
    const Bytes packet = plain.packet();
    EXPECT_FALSE(has_fec(packet));
    auto out = room();
    EXPECT_EQ(decoder.recover(packet, out), 0u);
  }
}

TEST(SpeakerDecoder, ConcealsAnyLengthExactly) {
  Slot slot;
  SpeakerDecoder decoder(slot.bytes);
  Voice voice(2);
  auto pcm = room();
  decoder.decode(voice.packet(), pcm);
  for (const std::uint32_t samples : {1u, 119u, 120u, 961u, 5759u, 5760u}) {
    std::fill(pcm.begin(), pcm.end(), std::int16_t{12345});
    decoder.conceal(samples, pcm);
    EXPECT_EQ(std::count(pcm.begin(), pcm.begin() + samples * 2, 12345), 0) << samples;
    if (samples < 5760) {
      EXPECT_EQ(pcm[samples * 2], 12345) << samples;
    }
  }
}

// The state of a decoder that has heard the last second and a half differs little from one that has
// heard everything.
TEST(SpeakerDecoder, WarmUpLeavesLittleDifference) {
  Slot one, two, cold;
  SpeakerDecoder whole(one.bytes), warmed(two.bytes), fresh(cold.bytes);
  Voice voice(5);
  std::vector<Bytes> packets;
  for (int i = 0; i < 150; ++i) {
    packets.push_back(voice.packet());
  }
  auto a = room(), b = room(), c = room();
  for (std::size_t i = 0; i < 100; ++i) {
    whole.decode(packets[i], a);
    if (i >= 100 - warm_up_packets) {
      warmed.warm_up(packets[i]);
    }
  }
  double signal = 0, noise = 0, cold_noise = 0;
  for (std::size_t i = 100; i < 150; ++i) {
    whole.decode(packets[i], a);
    warmed.decode(packets[i], b);
    fresh.decode(packets[i], c);
    for (std::size_t n = 0; n < 1920; ++n) {
      signal += double{1} * a[n] * a[n];
      noise += double{1} * (a[n] - b[n]) * (a[n] - b[n]);
      cold_noise += double{1} * (a[n] - c[n]) * (a[n] - c[n]);
    }
  }
  EXPECT_GT(signal, 1e4 * noise);  // 40 dB at worst, reliability of real speech is far better
  EXPECT_LT(noise, cold_noise);
}

TEST(PacketStore, EveryPacketFinishesOnce) {
  PacketStore store(64 * 1024);
  {
    auto a = store.put(Bytes(10), 1);
    auto b = store.put(Bytes(2000), 2);
    EXPECT_EQ(a.bytes().size(), 10u);
    b.mark_authentic();
    a = std::move(b);
    ASSERT_EQ(store.finished().size(), 1u);
    EXPECT_EQ(store.finished()[0].id, 1u);
    EXPECT_FALSE(store.finished()[0].authentic);
  }
  ASSERT_EQ(store.finished().size(), 2u);
  EXPECT_TRUE(store.finished()[1].authentic);
  store.clear_finished();
  EXPECT_EQ(store.put(Bytes(3000), 3).bytes().data(), nullptr);
  EXPECT_EQ(store.finished().size(), 1u);
}

TEST(PacketStore, NeverBeyondItsCap) {
  PacketStore store(64 * 1024);
  std::vector<PacketStore::Handle> kept;
  std::size_t refused = 0;
  for (std::uint64_t id = 0; id < 1000; ++id) {
    auto handle = store.put(Bytes(200), id);
    handle.bytes().data() == nullptr ? void(++refused) : kept.push_back(std::move(handle));
  }
  EXPECT_LE(store.bytes(), 64u * 1024);
  EXPECT_EQ(refused, 1000 - 4 * 64u);
}

TEST(Receiver, SameAsLibopusWhereNothingIsLost) {
  Sealer sealer;
  for (const int samples : {120, 480, 960, 2880, 5760}) {
    Voice voice(9, 2);
    Reference reference;
    std::vector<OnWire> datagrams;
    std::vector<std::vector<std::int16_t>> expected;
    std::vector<Bytes> packets;
    Time at = time_from_ns(1000000000);
    for (int i = 0; i < 40; ++i) {
      packets.push_back(voice.packet(samples));
      expected.push_back(reference.decode(packets.back()));
      datagrams.push_back(sealer.seal(5, static_cast<std::uint16_t>(i),
                                      static_cast<std::uint32_t>(i * samples), packets.back(), at));
      at += duration_from_samples(samples);
    }
    Received run;
    receive(datagrams, run);
    const auto& frames = run.out.tracks[5];
    ASSERT_EQ(frames.size(), 40u);
    std::int64_t sample = 48000;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      EXPECT_EQ(frames[i].pcm, expected[i]);
      EXPECT_EQ(frames[i].opus, packets[i]);
      EXPECT_EQ(frames[i].kind, FrameKind::audio);
      EXPECT_EQ(frames[i].sample, sample);
      sample += samples;
    }
    EXPECT_EQ(run.ledger.played, 40u);
  }
}

TEST(Receiver, FramesOfOneSpeakerNeverOverlapAndTheLedgerAddsUp) {
  for (const Weather& weather :
       {Weather{}, Weather{0.1, 0.1, 0, 0, 0ms, 2}, Weather{0.05, 0.7, 0.1, 0.1, 15ms, 3},
        Weather{0.5, 0.5, 0.3, 0.3, 60ms, 4}}) {
    const auto datagrams = call(5, 250, weather);
    Received run;
    receive(datagrams, run);
    EXPECT_EQ(run.out.tracks.size(), 5u);
    for (const auto& [ssrc, frames] : run.out.tracks) {
      std::int64_t end = 0;
      for (const Frame& f : frames) {
        EXPECT_GE(f.sample, end);
        end = f.sample + static_cast<std::int64_t>(f.pcm.size() / 2);
      }
    }
    EXPECT_TRUE(run.ledger.adds_up());
    EXPECT_EQ(run.ledger.received, datagrams.size());
    EXPECT_EQ(run.ledger.in_flight + run.ledger.held, 0u);
    if (weather.loss == 0) {
      EXPECT_EQ(run.ledger.played + run.ledger.silence, datagrams.size());
      EXPECT_EQ(samples_of(run.out.tracks, FrameKind::plc), 0u);
    } else {
      EXPECT_GT(run.ledger.lost.fec, 0u);
      EXPECT_GT(run.ledger.lost.concealed, 0u);
    }
  }
}

TEST(Receiver, ReorderedAndDuplicatedIsBitIdenticalToInOrder) {
  const auto ordered = call(4, 200);
  auto shuffled = ordered;
  for (std::size_t i = 0; i + 3 < shuffled.size(); i += 4) {  // arrival times stay where they were
    std::swap(shuffled[i].bytes, shuffled[i + 3].bytes);
  }
  Received one, two;
  receive(ordered, one);
  receive(shuffled, two);
  for (auto& [ssrc, frames] : one.out.tracks) {
    ASSERT_EQ(frames.size(), two.out.tracks[ssrc].size());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      EXPECT_EQ(frames[i].pcm, two.out.tracks[ssrc][i].pcm);
    }
  }
}

TEST(Receiver, ResultDoesNotDependOnHowOftenTimeIsTold) {
  const auto datagrams = call(3, 200, Weather{0.1, 0.5, 0.1, 0.05, 10ms, 6});
  Received once;
  receive(datagrams, once);
  Received often;
  Receiver receiver{ReceiverConfig{}};
  receiver.set_key(1, mode, key(), Time{}, often.out);
  Time now{};
  for (const OnWire& d : datagrams) {
    while (receiver.next_deadline() && *receiver.next_deadline() < d.arrival) {
      now = std::max(now + 1ms, *receiver.next_deadline());
      receiver.advance(std::min(now, d.arrival), often.out);
    }
    receiver.push(d.bytes, 1, d.arrival, often.out);
    receiver.clear_finished();
  }
  receiver.drain(datagrams.back().arrival, often.out);
  EXPECT_EQ(once.out.tracks, often.out.tracks);
  EXPECT_EQ(once.out.said, often.out.said);
}

TEST(Receiver, LongLossIsConcealedForAHundredAndTwentyMilliseconds) {
  Sealer sealer;
  Voice voice(4);
  std::vector<OnWire> datagrams;
  int end = 35;
  for (int i = 0; i < 80; ++i) {
    const Bytes packet = voice.packet();
    end += i == end && !has_fec(packet);
    if (i < 20 || i >= end) {
      datagrams.push_back(sealer.seal(5, static_cast<std::uint16_t>(i),
                                      static_cast<std::uint32_t>(i * 960), packet,
                                      time_from_ns(1000000000) + i * 20ms));
    }
  }
  Received run;
  receive(datagrams, run);
  EXPECT_EQ(samples_of(run.out.tracks, FrameKind::plc), 5760u);
  EXPECT_EQ(samples_of(run.out.tracks, FrameKind::fec), 960u);
  EXPECT_EQ(run.ledger.lost, (Lost{1, 6, static_cast<std::uint64_t>(end - 27)}));
  EXPECT_EQ(run.out.tracks[5].back().sample, 48000 + 79 * 960);
}

TEST(Receiver, WithoutDecodingTheOpusComesOutInOrder) {
  auto datagrams = call(2, 100);
  ReceiverConfig config;
  config.decode = false;
  Received run, decoded;
  receive(datagrams, run, config);
  receive(datagrams, decoded);
  for (auto& [ssrc, frames] : run.out.tracks) {
    ASSERT_EQ(frames.size(), decoded.out.tracks[ssrc].size());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      EXPECT_TRUE(frames[i].pcm.empty());
      EXPECT_EQ(frames[i].opus, decoded.out.tracks[ssrc][i].opus);
      EXPECT_EQ(frames[i].sample, decoded.out.tracks[ssrc][i].sample);
    }
  }
}

// A caller that takes checkpoints at every boundary must get one for every frame, else a successor
// would go on from a stale one.
TEST(Receiver, EveryFrameIsFollowedByItsCheckpoint) {
  struct Eager : Collector {
    void frame(const DecodedFrame& f) override {
      Collector::frame(f);
      changed.push_back(f.ssrc);
    }
    void boundary() override {
      for (const std::uint32_t ssrc : changed) {
        EXPECT_EQ(std::count(receiver->touched().begin(), receiver->touched().end(), ssrc), 1);
      }
      changed.clear();
      receiver->clear_touched();
    }
    std::vector<std::uint32_t> changed;
    Receiver* receiver = nullptr;
  };
  Receiver receiver{ReceiverConfig{}};
  Eager sink;
  sink.receiver = &receiver;
  receiver.set_key(1, mode, key(), Time{}, sink);
  // Losses make bursts: one packet lets many go that waited behind the hole.
  for (const OnWire& d : call(2, 100, Weather{0.1, 0.3, 0.2, 0, 10ms, 4})) {
    receiver.push(d.bytes, 1, d.arrival, sink);
    receiver.clear_finished();
  }
}

// An attacker who may write into one process must not stop the next from starting.
TEST(Receiver, ImpossibleCheckpointIsRefused) {
  Receiver receiver{ReceiverConfig{}};
  SpeakerCheckpoint from;
  from.timeline.end = -1;
  EXPECT_FALSE(receiver.restore(1, from, SequenceHistory().save(), Time{}));
  from.timeline.end = std::int64_t{1} << 62;
  EXPECT_FALSE(receiver.restore(1, from, SequenceHistory().save(), Time{}));
  from.timeline.end = 0;
  from.timeline.duration = 0;
  EXPECT_FALSE(receiver.restore(1, from, SequenceHistory().save(), Time{}));
  from.timeline.duration = 960;
  EXPECT_TRUE(receiver.restore(1, from, SequenceHistory().save(), Time{}));
  EXPECT_FALSE(receiver.restore(1, from, SequenceHistory().save(), Time{}));
}

// Cuts a call in two at every 37th packet: the second receiver knows only checkpoints, replay
// windows, the last packets and what the first had not finished.
TEST(Receiver, SuccessorGoesOnWhereTheFirstStopped) {
  const auto datagrams = call(3, 150, Weather{0.05, 0.3, 0.1, 0.05, 10ms, 8});
  Received whole;
  receive(datagrams, whole);
  for (std::size_t cut = 20; cut < datagrams.size(); cut += 37) {
    Received parts;
    std::map<std::uint64_t, std::size_t> open;
    std::map<std::uint32_t, SequenceHistory> histories;
    Receiver first{ReceiverConfig{}};
    first.set_key(1, mode, key(), Time{}, parts.out);
    for (std::size_t i = 0; i < cut; ++i) {
      open[i + 1] = i;
      first.push(datagrams[i].bytes, i + 1, datagrams[i].arrival, parts.out);
      for (const auto& done : first.finished()) {
        const OnWire& d = datagrams[open.at(done.id)];
        if (done.authentic) {
          histories[d.ssrc].see(load_be16(d.bytes.data() + 2), load_be32(d.bytes.data() + 4));
        }
        open.erase(done.id);
      }
      first.clear_finished();
    }
    Receiver second{ReceiverConfig{}};
    second.set_key(1, mode, key(), Time{}, parts.out);
    for (auto& [ssrc, frames] : parts.out.tracks) {
      SpeakerCheckpoint checkpoint;
      ASSERT_TRUE(first.checkpoint(ssrc, checkpoint));
      ASSERT_TRUE(second.restore(ssrc, checkpoint, histories[ssrc].save(), Time{}));
      for (const Frame& f : frames) {
        second.warm_up(ssrc, f.opus);
      }
    }
    const std::size_t seam = parts.out.tracks[1000].size();
    for (const auto& [id, index] : open) {
      second.push(datagrams[index].bytes, id, datagrams[index].arrival, parts.out);
    }
    for (std::size_t i = cut; i < datagrams.size(); ++i) {
      second.push(datagrams[i].bytes, i + 1, datagrams[i].arrival, parts.out);
      second.clear_finished();
    }
    second.drain(datagrams.back().arrival, parts.out);
    for (auto& [ssrc, frames] : whole.out.tracks) {
      const auto& other = parts.out.tracks[ssrc];
      ASSERT_EQ(frames.size(), other.size()) << cut;
      for (std::size_t i = 0; i < frames.size(); ++i) {
        EXPECT_EQ(frames[i].sample, other[i].sample);
        EXPECT_EQ(frames[i].kind, other[i].kind);
        EXPECT_EQ(frames[i].opus, other[i].opus);
      }
    }
    EXPECT_LE(seam, whole.out.tracks[1000].size());
    EXPECT_EQ(parts.out.said, whole.out.said) << cut;
  }
}
