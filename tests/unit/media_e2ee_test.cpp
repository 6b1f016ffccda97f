// Ingress with end-to-end encryption: frames wait for their user and key, and nothing that was not
// opened goes on.
#include "dave/sender_ratchet.hpp"
#include "media_rig.hpp"

using namespace discord;
using namespace discord::media;

namespace {

dave::BaseSecret base_of(std::uint8_t fill) {
  std::array<std::uint8_t, 16> bytes;
  bytes.fill(fill);
  return dave::BaseSecret(bytes);
}

// One epoch in which each of these users sends under base_of(user).
dave::MediaKeysPtr epoch(std::initializer_list<std::uint64_t> users, dave::EpochSerial serial = 1) {
  auto epoch_keys = std::make_shared<dave::EpochKeys>();
  epoch_keys->serial = serial;
  epoch_keys->mls_epoch = serial;
  for (const std::uint64_t user : users) {
    epoch_keys->senders.push_back({user, base_of(static_cast<std::uint8_t>(user))});
  }
  auto keys = std::make_shared<dave::MediaKeys>();
  keys->active = true;
  keys->epochs.push_back({epoch_keys, std::nullopt});
  return keys;
}

// The same, and the epoch after it, in which each sends under base_of(user + 100).
dave::MediaKeysPtr next_epoch(std::initializer_list<std::uint64_t> users) {
  auto keys = std::make_shared<dave::MediaKeys>(*epoch(users));
  auto after = std::make_shared<dave::EpochKeys>();
  after->serial = after->mls_epoch = 2;
  for (const std::uint64_t user : users) {
    after->senders.push_back({user, base_of(static_cast<std::uint8_t>(user + 100))});
  }
  keys->epochs.insert(keys->epochs.begin(), {after, std::nullopt});
  return keys;
}

struct Sender {
  explicit Sender(std::uint64_t user) : ratchet(base_of(static_cast<std::uint8_t>(user))) {}

  Bytes seal(Bytes plain) {
    Bytes out(plain.size() + 64);
    const auto sealed = ratchet.seal(plain, {}, out);
    EXPECT_TRUE(sealed);
    return {sealed->begin(), sealed->end()};
  }
  dave::SendRatchet ratchet;
};

const Bytes speech = {0x78, 1, 2, 3, 4};

// User 10 speaks as SSRC 1 in an epoch we know; `after` are its frames in the next one.
struct Change : Call {
  Change() {
    publish(epoch({10}));
    map(1, 10, Time{});
    say(ten, 0, Time{});
  }
  void say(Sender& sender, std::uint16_t sequence, Time now) {
    push({.ssrc = 1,
          .sequence = sequence,
          .payload = sender.seal({0x78, static_cast<std::uint8_t>(sequence)})},
         now);
  }
  void forge(std::uint16_t sequence, Time now, std::size_t size = 5) {
    Bytes frame = ten.seal(Bytes(size, 0x78));
    frame[0] ^= 1;
    push({.ssrc = 1, .sequence = sequence, .payload = frame}, now);
  }
  // What came out, by the second byte of each payload; silence is 0xFF.
  Bytes heard() const {
    Bytes out;
    for (const Sent& sent : sink.audio_out) {
      out.push_back(sent.payload[1]);
    }
    return out;
  }
  Sender ten{10};
  Sender after{110};
};

}  // namespace

TEST(IngressE2ee, OpensWhatItsSenderSealed) {
  Call call;
  call.publish(epoch({10}));
  call.map(1, 10, Time{});
  Sender ten(10);
  call.push({.ssrc = 1, .payload = ten.seal(speech), .padding = 7}, Time{});
  ASSERT_EQ(call.sink.audio_out.size(), 1u);
  EXPECT_EQ(call.sink.audio_out[0].payload, speech);
  EXPECT_EQ(call.sink.audio_out[0].packet.user_id, 10u);
}

TEST(IngressE2ee, FirstWordsWaitForUserAndKeyAndComeInOrder) {
  Call call;
  call.publish(epoch({}));
  Sender ten(10);
  for (std::uint16_t i = 0; i < 3; ++i) {
    call.push({.ssrc = 1, .sequence = i, .payload = ten.seal({0x78, static_cast<std::uint8_t>(i)})},
              Time(i * 20ms));
  }
  call.map(1, 10, Time(60ms));
  EXPECT_TRUE(call.sink.audio_out.empty()) << "a user without a key";
  EXPECT_EQ(call.ingress.ledger().held, 3u);
  call.push({.ssrc = 1, .sequence = 3, .payload = ten.seal({0x78, 3})}, Time(60ms));
  call.publish(epoch({10}));
  ASSERT_EQ(call.sink.audio_out.size(), 4u);
  for (std::uint8_t i = 0; i < 4; ++i) {
    EXPECT_EQ(call.sink.audio_out[i].payload, (Bytes{0x78, i}));
  }
  EXPECT_EQ(call.ingress.ledger().held, 0u);
}

TEST(IngressE2ee, WaitingBlocksOnlyItsOwnSsrc) {
  Call call;
  call.publish(epoch({10}));
  call.map(1, 10, Time{});
  call.map(2, 20, Time{});
  Sender ten(10);
  Sender twenty(20);
  call.push({.ssrc = 2, .payload = twenty.seal(speech)}, Time{});
  call.push({.ssrc = 1, .payload = ten.seal(speech)}, Time{});
  ASSERT_EQ(call.sink.audio_out.size(), 1u);
  EXPECT_EQ(call.sink.audio_out[0].packet.user_id, 10u);
  EXPECT_EQ(call.ingress.ledger().held, 1u);
}

TEST(IngressE2ee, WhatNeverGetsAKeyIsCountedAndDoesNotWaitAgain) {
  Call call;
  call.publish(epoch({}));
  call.map(1, 10, Time{});
  Sender ten(10);
  call.push({.ssrc = 1, .sequence = 1, .payload = ten.seal(speech)}, Time{});
  call.timer(Time(2s));
  EXPECT_EQ(call.ingress.ledger().no_key, 1u);
  call.push({.ssrc = 1, .sequence = 2, .payload = ten.seal(speech)}, Time(2s));
  EXPECT_EQ(call.ingress.ledger().no_key, 2u);
  EXPECT_EQ(call.ingress.ledger().held, 0u);
  call.publish(epoch({10}));
  call.push({.ssrc = 1, .sequence = 3, .payload = ten.seal(speech)}, Time(2s));
  EXPECT_EQ(call.sink.audio_out.size(), 1u);
}

TEST(IngressE2ee, NothingUnopenedGoesOn) {
  Call call;
  call.publish(epoch({10}));
  call.map(1, 10, Time{});
  Sender ten(10);
  Sender other(11);
  Bytes forged = ten.seal(speech);
  forged[0] ^= 1;
  const Bytes good = ten.seal(speech);
  call.push({.ssrc = 1, .sequence = 1, .payload = forged}, Time{});
  call.push({.ssrc = 1, .sequence = 2, .payload = other.seal(speech)}, Time{});
  call.push({.ssrc = 1, .sequence = 3, .payload = speech}, Time{});              // in the clear
  call.push({.ssrc = 1, .sequence = 4, .payload = {0xFC, 0xFF, 0xFE}}, Time{});  // not exempt
  call.push({.ssrc = 1, .sequence = 5, .payload = good}, Time{});
  call.push({.ssrc = 1, .sequence = 6, .payload = good}, Time{});  // replayed in a new packet
  ASSERT_EQ(call.sink.audio_out.size(), 1u);
  EXPECT_EQ(call.sink.audio_out[0].payload, speech);
  const Ledger ledger = call.ingress.ledger();
  EXPECT_EQ(ledger.bad_tag, 2u);
  EXPECT_EQ(ledger.not_a_frame, 2u);
  EXPECT_EQ(ledger.replayed, 1u);
}

TEST(IngressE2ee, TheServersSilencePassesForAKnownUser) {
  Call call;
  call.publish(epoch({10}));
  call.map(1, 10, Time{});
  call.push({.ssrc = 1, .sequence = 1, .payload = silence}, Time{});
  EXPECT_EQ(call.sink.audio_out.size(), 1u);
  EXPECT_EQ(call.ingress.ledger().silence, 1u);
  call.push({.ssrc = 2, .sequence = 1, .payload = silence}, Time{});
  EXPECT_EQ(call.sink.audio_out.size(), 1u) << "nobody's silence is nobody's track";
}

TEST(IngressE2ee, PlainFramesPassOnlyInATransition) {
  Call call;
  call.map(1, 10, Time{});
  auto keys = std::make_shared<dave::MediaKeys>(*epoch({10}));
  keys->passthrough = true;
  keys->passthrough_until = Time(1s);
  call.publish(keys);
  call.push({.ssrc = 1, .sequence = 1, .payload = speech}, Time(0s));
  call.push({.ssrc = 1, .sequence = 2, .payload = speech}, Time(1s));
  EXPECT_EQ(call.sink.audio_out.size(), 1u);
  EXPECT_EQ(call.ingress.ledger().not_a_frame, 1u);
}

TEST(IngressE2ee, KeysMayBeStampedOnAnotherClock) {
  Call call;
  call.map(1, 10, Time(5s));
  auto keys = std::make_shared<dave::MediaKeys>(*epoch({10}));
  keys->epochs[0].expires = Time(1000s + 10s);
  // The control thread's clock shows 1000 s when ours shows 5 s.
  call.ingress.set_media_keys(keys, Time(1000s), Time(5s), call.sink);
  Sender ten(10);
  call.push({.ssrc = 1, .sequence = 1, .payload = ten.seal(speech)}, Time(14s));
  EXPECT_EQ(call.sink.audio_out.size(), 1u);
  call.push({.ssrc = 1, .sequence = 2, .payload = ten.seal(speech)}, Time(16s));
  EXPECT_EQ(call.sink.audio_out.size(), 1u) << "ten seconds after the epoch was over";
}

TEST(IngressE2ee, AsksForRecoveryWhenAMembersFramesKeepFailing) {
  Call call;
  call.publish(epoch({10}));
  call.map(1, 10, Time{});
  Sender wrong(11);
  for (std::uint16_t i = 0; i < 150; ++i) {
    call.push({.ssrc = 1, .sequence = i, .payload = wrong.seal(speech)}, Time(i * 20ms));
  }
  EXPECT_EQ(call.ingress.take_recovery_request(Time(3s)), 10u);
  EXPECT_EQ(call.ingress.take_recovery_request(Time(3s)), std::nullopt);
}

TEST(IngressNextEpoch, FramesBeforeItsCommitWaitAndComeInOrder) {
  Change call;
  call.say(call.after, 1, Time(20ms));
  call.say(call.after, 2, Time(40ms));
  call.push({.ssrc = 1, .sequence = 3, .payload = silence}, Time(60ms));
  call.push({.ssrc = 1, .sequence = 4, .payload = {}, .padding = 9}, Time(80ms));
  EXPECT_EQ(call.heard(), Bytes{0});
  EXPECT_EQ(call.ingress.ledger().held, 4u);
  EXPECT_EQ(call.ingress.ledger().bad_tag, 0u);
  call.publish(next_epoch({10}));
  EXPECT_EQ(call.heard(), (Bytes{0, 1, 2, 0xFF}));
  EXPECT_EQ(call.sink.padding_out.size(), 1u);
  EXPECT_EQ(call.ingress.ledger().held, 0u);
  EXPECT_EQ(call.ingress.ledger().bad_tag, 0u);
}

TEST(IngressNextEpoch, ALateFrameOfTheOldOneOvertakesThoseThatWait) {
  Change call;
  call.say(call.after, 2, Time(20ms));
  call.say(call.ten, 1, Time(40ms));
  EXPECT_EQ(call.heard(), (Bytes{0, 1}));
  EXPECT_EQ(call.ingress.ledger().held, 1u) << "sent later, so it may be of the next epoch";
  call.publish(next_epoch({10}));
  EXPECT_EQ(call.heard(), (Bytes{0, 1, 2}));
}

TEST(IngressNextEpoch, AForgerDelaysNobody) {
  Change call;
  for (std::uint16_t i = 1; i < 200; i = static_cast<std::uint16_t>(i + 2)) {
    const Time now(i * 20ms);
    call.forge(i, now);
    EXPECT_EQ(call.ingress.ledger().held, 1u);
    call.say(call.ten, static_cast<std::uint16_t>(i + 1), now + 1ms);
    EXPECT_EQ(call.heard().back(), static_cast<std::uint8_t>(i + 1)) << "at once";
    EXPECT_EQ(call.ingress.ledger().held, 0u) << "a sender does not go back to an old epoch";
  }
  EXPECT_EQ(call.ingress.ledger().bad_tag, 100u);
}

TEST(IngressNextEpoch, WhatNoneOpensIsCountedWhenTheHoldEnds) {
  Change call;
  call.timer(Time(1s));  // speech has ended
  call.forge(1, Time(1s));
  call.push({.ssrc = 1, .sequence = 2, .payload = silence}, Time(1020ms));
  EXPECT_EQ(call.ingress.next_deadline(), Time(3s));
  call.timer(Time(3s));
  EXPECT_EQ(call.ingress.ledger().bad_tag, 1u);
  EXPECT_EQ(call.heard(), (Bytes{0, 0xFF})) << "silence only stood behind it";
  EXPECT_EQ(call.ingress.ledger().held, 0u);
  call.forge(3, Time(3s));
  EXPECT_EQ(call.ingress.ledger().bad_tag, 2u) << "not waited for again";
  call.push({.ssrc = 1, .sequence = 4, .payload = silence}, Time(3s));
  EXPECT_EQ(call.heard().size(), 3u);
  call.say(call.ten, 5, Time(3s));
  call.say(call.after, 6, Time(3s));
  EXPECT_EQ(call.ingress.ledger().held, 1u) << "an authentic frame is a reason to wait again";
}

TEST(IngressNextEpoch, OtherNewsOfTheGroupLeavesItsTimeAsItWas) {
  Change call;
  call.say(call.after, 1, Time(0s));
  for (int i = 1; i < 20; ++i) {
    call.ingress.set_media_keys(epoch({10}), Time(i * 100ms), Time(i * 100ms), call.sink);
    EXPECT_EQ(call.ingress.ledger().held, 1u);
  }
  call.timer(Time(1999ms));
  EXPECT_EQ(call.ingress.ledger().held, 1u);
  EXPECT_EQ(call.ingress.next_deadline(), Time(2s));
  call.timer(Time(2s));
  EXPECT_EQ(call.ingress.ledger().bad_tag, 1u);
}

TEST(IngressNextEpoch, AFloodOfForgedFramesMeetsTheCapsAndOnlyItsOwnSsrc) {
  Change call;
  call.map(2, 20, Time{});
  Sender twenty(20);
  call.push({.ssrc = 2, .payload = twenty.seal(speech)}, Time{});
  for (std::uint16_t i = 1; i <= 2000; ++i) {
    call.forge(i, Time(1ms), 1000);
    EXPECT_LE(call.ingress.ledger().held, 256u);
  }
  call.publish(epoch({10, 20}));
  EXPECT_EQ(call.sink.audio_out.size(), 2u) << "the other speaker's words";
  call.say(call.ten, 2001, Time(2ms));
  const Ledger ledger = call.ingress.ledger();
  EXPECT_EQ(call.sink.audio_out.size(), 3u);
  EXPECT_EQ(ledger.held, 0u);
  EXPECT_EQ(ledger.bad_tag + ledger.evicted, 2000u);
}

TEST(IngressNextEpoch, WaitingTwiceDoesNotOpenTwice) {
  Change call;
  const Bytes frame = call.after.seal(speech);
  call.push({.ssrc = 1, .sequence = 1, .payload = frame}, Time(20ms));
  call.push({.ssrc = 1, .sequence = 2, .payload = frame}, Time(40ms));
  call.publish(next_epoch({10}));
  EXPECT_EQ(call.sink.audio_out.size(), 2u);
  EXPECT_EQ(call.ingress.ledger().replayed, 1u);
}

TEST(IngressNextEpoch, AForgeryThatWaitedDoesNotSpendTheNonceOfAGoodFrame) {
  Change call;
  const Bytes good = call.after.seal(speech);
  Bytes forged = good;
  forged[0] ^= 1;
  call.push({.ssrc = 1, .sequence = 1, .payload = forged}, Time(20ms));
  call.push({.ssrc = 1, .sequence = 2, .payload = good}, Time(40ms));
  call.publish(next_epoch({10}));
  EXPECT_EQ(call.sink.audio_out.size(), 2u);
  EXPECT_EQ(call.ingress.ledger().bad_tag, 1u);
  EXPECT_EQ(call.ingress.ledger().held, 0u);
}

TEST(IngressNextEpoch, OfSomebodyWhoLeavesIsCountedAsWhatItWas) {
  Change call;
  call.say(call.after, 1, Time(20ms));
  call.ingress.retire(1, Time(40ms), call.sink);
  call.check();
  EXPECT_EQ(call.ingress.ledger().bad_tag, 1u);
  EXPECT_EQ(call.ingress.ledger().held, 0u);
}
