#include "dave/epoch_list.hpp"
#include "dave/frame_opener.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::dave;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t alice = 11, bob = 22;

BaseSecret base(std::uint8_t epoch, std::uint64_t user) {
  std::array<std::uint8_t, 16> bytes{};
  bytes[0] = epoch;
  bytes[1] = static_cast<std::uint8_t>(user);
  return BaseSecret(bytes);
}

struct Rig {
  EpochSerial add(std::uint8_t epoch, std::vector<std::uint64_t> users) {
    std::vector<SenderKey> senders;
    for (const std::uint64_t user : users) {
      senders.push_back({user, base(epoch, user)});
    }
    const EpochSerial serial = epochs.add(epoch, senders, now);
    publish();
    return serial;
  }
  void execute(EpochSerial serial) {
    epochs.execute(serial, now);
    publish();
  }
  MediaKeysPtr keys() const {
    auto made = std::make_shared<MediaKeys>();
    made->active = active;
    made->passthrough = passthrough;
    made->passthrough_until = passthrough_until;
    made->epochs = epochs.entries();
    return made;
  }
  void publish() { opener.use(keys(), now); }

  Bytes frame(std::uint8_t epoch, std::uint64_t user, std::uint32_t nonce) {
    KeyChain chain(base(epoch, user));
    FrameCipher cipher(chain.take());
    Bytes out(60);
    const auto made = cipher.seal(Bytes(20, epoch), nonce, {}, out);
    return Bytes(made->begin(), made->end());
  }
  FrameOutcome open(std::uint64_t user, Bytes bytes) {
    const Bytes before = bytes;
    const OpenedFrame opened = opener.open(user, bytes, now);
    EXPECT_EQ(opened.deliverable(), !opened.plain.empty());
    if (opened.outcome == FrameOutcome::opened) {
      EXPECT_EQ(opened.plain.data(), bytes.data());
      EXPECT_EQ(opened.plain.size(), 20u);
    } else {
      EXPECT_EQ(bytes, before) << "refused frames stay as they came";
    }
    return opened.outcome;
  }
  FrameOutcome open(std::uint8_t epoch, std::uint64_t user, std::uint32_t nonce) {
    return open(user, frame(epoch, user, nonce));
  }
  Bytes forged(std::uint8_t epoch, std::uint64_t user, std::uint32_t nonce) {
    Bytes bytes = frame(epoch, user, nonce);
    bytes[0] ^= 1;
    return bytes;
  }

  Time now = time_from_ns(1'000'000'000);
  bool active = true, passthrough = false;
  Deadline passthrough_until;
  EpochList epochs;
  FrameOpener opener;
};

const Bytes silence{0xF8, 0xFF, 0xFE};
const Bytes plain{0x78, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};

}  // namespace

TEST(DaveOpener, OpensAndNamesTheEpoch) {
  Rig r;
  const EpochSerial serial = r.add(1, {alice, bob});
  EXPECT_TRUE(r.opener.knows(alice, r.now));
  Bytes bytes = r.frame(1, bob, 5);
  const OpenedFrame opened = r.opener.open(bob, bytes, r.now);
  EXPECT_EQ(opened.outcome, FrameOutcome::opened);
  EXPECT_EQ(opened.epoch, serial);
  EXPECT_EQ(opened.counter, 5u);
  EXPECT_EQ(r.opener.count(FrameOutcome::opened), 1u);
}

TEST(DaveOpener, OutcomeTable) {
  Rig r;
  EXPECT_EQ(r.open(alice, silence), FrameOutcome::silence) << "before any key";
  EXPECT_EQ(r.open(alice, plain), FrameOutcome::not_a_frame);
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::no_key);
  r.add(1, {alice});
  EXPECT_EQ(r.open(0, silence), FrameOutcome::silence);
  EXPECT_EQ(r.open(0, r.frame(1, alice, 1)), FrameOutcome::no_user);
  EXPECT_EQ(r.open(bob, r.frame(1, alice, 1)), FrameOutcome::no_key);
  EXPECT_EQ(r.open(alice, r.forged(1, alice, 1)), FrameOutcome::bad_tag);
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::opened);
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::replayed);
  EXPECT_EQ(r.open(alice, plain), FrameOutcome::not_a_frame);
  EXPECT_EQ(r.open(alice, {}), FrameOutcome::not_a_frame);
  EXPECT_EQ(r.open(alice, {0xFC, 0xFF, 0xFE}), FrameOutcome::not_a_frame) << "stereo silence";
  EXPECT_EQ(r.opener.count(FrameOutcome::not_a_frame), 4u);
}

TEST(DaveOpener, WithoutEncryptionEverythingPasses) {
  Rig r;
  r.active = false;
  r.passthrough = true;
  r.publish();
  EXPECT_FALSE(r.opener.active());
  EXPECT_EQ(r.open(0, plain), FrameOutcome::passthrough);
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::passthrough) << "only looks like a frame";
}

TEST(DaveOpener, TransitionLetsPlainFramesInForATime) {
  Rig r;
  r.passthrough = true;
  r.passthrough_until = r.now + 10s;
  r.add(1, {alice});
  EXPECT_EQ(r.open(alice, plain), FrameOutcome::passthrough);
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::opened);
  EXPECT_EQ(r.open(alice, r.forged(1, alice, 2)), FrameOutcome::bad_tag)
      << "ciphertext is never delivered";
  EXPECT_EQ(r.open(1, bob, 1), FrameOutcome::no_key) << "waits instead of passing";
  r.now += 10s;
  EXPECT_EQ(r.open(alice, plain), FrameOutcome::not_a_frame);
}

TEST(DaveOpener, NewEpochBeforeItIsExecuted) {
  Rig r;
  r.add(1, {alice, bob});
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::opened);
  r.add(2, {alice, bob});
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::opened) << "a sender that switches early";
  EXPECT_EQ(r.open(1, alice, 2), FrameOutcome::opened) << "overtaken";
  EXPECT_EQ(r.open(1, bob, 1), FrameOutcome::opened) << "has not switched yet";
}

TEST(DaveOpener, OldEpochEndsTenSecondsAfterTheSwitch) {
  Rig r;
  r.add(1, {alice, bob});
  const EpochSerial second = r.add(2, {alice, bob});
  r.now += 30s;
  EXPECT_EQ(r.open(1, bob, 1), FrameOutcome::opened) << "nobody was told to switch";
  r.execute(second);
  r.now += 9s;
  EXPECT_EQ(r.open(1, bob, 2), FrameOutcome::opened);
  r.now += 1s;
  EXPECT_EQ(r.open(1, bob, 3), FrameOutcome::bad_tag);
  EXPECT_EQ(r.open(2, bob, 1), FrameOutcome::opened);
  EXPECT_TRUE(r.epochs.expire(r.now));
  EXPECT_EQ(r.epochs.entries().size(), 1u);
}

TEST(DaveOpener, FirstFrameOfTheNewEpochEndsTheOldOneOfThatSender) {
  Rig r;
  r.add(1, {alice, bob});
  r.add(2, {alice, bob});
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::opened);
  r.now += 10s;
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::bad_tag);
  EXPECT_EQ(r.open(1, bob, 1), FrameOutcome::opened) << "each sender for itself";
}

TEST(DaveOpener, PublishingAgainDoesNotForgetWhatWasOpened) {
  Rig r;
  r.add(1, {alice});
  r.add(2, {alice});
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::opened);
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::opened);
  r.publish();
  EXPECT_EQ(r.open(1, alice, 1), FrameOutcome::replayed);
  r.now += 10s;
  EXPECT_NE(r.open(1, alice, 2), FrameOutcome::opened);
  r.publish();
  EXPECT_NE(r.open(1, alice, 1), FrameOutcome::opened) << "ended for this sender, and stays so";
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::replayed);
}

TEST(DaveOpener, LeaverIsHeardUntilTheSwitch) {
  Rig r;
  r.add(1, {alice, bob});
  const EpochSerial second = r.add(2, {alice});
  EXPECT_EQ(r.open(1, bob, 1), FrameOutcome::opened);
  r.execute(second);
  EXPECT_EQ(r.open(1, bob, 2), FrameOutcome::opened) << "last words";
  r.now += 10s;
  EXPECT_EQ(r.open(1, bob, 3), FrameOutcome::no_key);
  EXPECT_FALSE(r.opener.knows(bob, r.now));
}

TEST(DaveOpener, AtMostFourEpochs) {
  Rig r;
  for (std::uint8_t epoch = 1; epoch <= 6; ++epoch) {
    r.add(epoch, {alice});
  }
  EXPECT_EQ(r.epochs.entries().size(), max_media_epochs);
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::bad_tag);
  EXPECT_EQ(r.open(3, alice, 1), FrameOutcome::opened);
}

TEST(DaveOpener, ForgedFramesDoNotSilenceASender) {
  Rig r;
  r.add(1, {alice});
  for (std::uint32_t n = 1; n < 200; ++n) {
    EXPECT_EQ(r.open(alice, r.forged(1, alice, n * 80000)), FrameOutcome::bad_tag);
    EXPECT_EQ(r.open(1, alice, n), FrameOutcome::opened);
    r.now += 20ms;
  }
  EXPECT_FALSE(r.opener.take_recovery_request(r.now)) << "good frames in between";
}

TEST(DaveOpener, RecoveryIsAskedForOnceAMinute) {
  Rig r;
  r.add(1, {alice, bob});
  const auto fail = [&](int frames, Duration apart) {
    for (int i = 0; i < frames; ++i) {
      EXPECT_EQ(r.open(alice, r.forged(1, alice, 7)), FrameOutcome::bad_tag);
      r.now += apart;
    }
  };
  fail(100, 1ms);
  EXPECT_FALSE(r.opener.take_recovery_request(r.now)) << "many, but within two seconds";
  r.now += 2s;
  fail(1, 1ms);
  EXPECT_EQ(r.opener.take_recovery_request(r.now), alice);
  EXPECT_FALSE(r.opener.take_recovery_request(r.now));
  fail(1000, 20ms);
  EXPECT_FALSE(r.opener.take_recovery_request(r.now)) << "within the minute";
  r.now += 40s;
  EXPECT_EQ(r.opener.take_recovery_request(r.now), alice);
}

TEST(DaveOpener, FewSlowFailuresAreNoReason) {
  Rig r;
  r.add(1, {alice});
  for (unsigned i = 0; i < recovery_failures; ++i) {
    EXPECT_EQ(r.open(alice, r.forged(1, alice, 7)), FrameOutcome::bad_tag);
    r.now += 1s;
  }
  EXPECT_FALSE(r.opener.take_recovery_request(r.now));
  r.open(alice, r.forged(1, alice, 7));
  EXPECT_EQ(r.opener.take_recovery_request(r.now), alice) << "the 37th";
}

TEST(DaveOpener, SomebodyWhoLeftIsNoReasonToRecover) {
  Rig r;
  r.add(1, {alice, bob});
  r.add(2, {bob});
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(r.open(alice, r.forged(1, alice, 7)), FrameOutcome::bad_tag);
    r.now += 20ms;
  }
  EXPECT_FALSE(r.opener.take_recovery_request(r.now));
}

TEST(DaveOpener, SuccessorOpensNothingTwice) {
  Rig r;
  r.add(1, {alice, bob});
  r.add(2, {alice, bob});
  EXPECT_EQ(r.open(1, alice, 3), FrameOutcome::opened);
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::opened);
  EXPECT_EQ(r.open(1, bob, 9), FrameOutcome::opened);
  const auto marks = r.opener.marks();
  r.opener = FrameOpener();
  r.publish();
  r.opener.restore(marks, r.now);
  EXPECT_EQ(r.open(1, alice, 3), FrameOutcome::replayed);
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::replayed);
  EXPECT_EQ(r.open(1, bob, 9), FrameOutcome::replayed);
  EXPECT_EQ(r.open(1, bob, 8), FrameOutcome::opened);
  EXPECT_EQ(r.open(2, alice, 2), FrameOutcome::opened);
}

TEST(DaveOpener, SuccessorKnowsWhatWasOver) {
  Rig r;
  r.add(1, {alice});
  r.add(2, {alice});
  EXPECT_EQ(r.open(1, alice, 3), FrameOutcome::opened);
  EXPECT_EQ(r.open(2, alice, 1), FrameOutcome::opened);
  r.now += 10s;
  EXPECT_EQ(r.open(2, alice, 2), FrameOutcome::opened);
  const auto marks = r.opener.marks();
  r.opener = FrameOpener();
  r.publish();
  r.opener.restore(marks, r.now);
  EXPECT_EQ(r.open(1, alice, 3), FrameOutcome::bad_tag);
}

TEST(DaveOpener, LargeFrames) {
  Rig r;
  r.add(1, {alice});
  KeyChain chain(base(1, alice));
  FrameCipher cipher(chain.take());
  Bytes out(100000);
  const auto made = cipher.seal(Bytes(90000, 5), 1, {}, out);
  const OpenedFrame opened = r.opener.open(alice, *made, r.now);
  EXPECT_EQ(opened.outcome, FrameOutcome::opened);
  EXPECT_EQ(Bytes(opened.plain.begin(), opened.plain.end()), Bytes(90000, 5));
}
