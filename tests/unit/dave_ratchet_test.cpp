#include "dave/sender_ratchet.hpp"
#include "dave_vectors.hpp"
#include "tests/data/dave_known_answers.hpp"

using namespace discord;
using namespace discord::dave;
using namespace discord::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view base_text = "f797dcdce06b3125d7335ba5453c4ffe";
constexpr auto day = 24h;

struct Rig {
  Bytes frame(std::uint32_t nonce, unsigned generation = 0) {
    KeyChain chain(secret16(base_text));
    while (chain.next() < generation) {
      chain.take();
    }
    FrameCipher cipher(chain.take());
    Bytes out(40);
    const auto made = cipher.seal(Bytes(10, 3), nonce, {}, out);
    return Bytes(made->begin(), made->end());
  }
  RatchetVerdict open(const Bytes& bytes) {
    Bytes out(bytes.size());
    const auto verdict = ratchet.open(parse_frame(bytes).value(), out, now);
    if (verdict == RatchetVerdict::opened) {
      EXPECT_EQ(Bytes(out.begin(), out.begin() + 10), Bytes(10, 3));
    }
    return verdict;
  }
  RatchetVerdict open(std::uint32_t nonce, unsigned generation = 0) {
    return open(frame(nonce, generation));
  }
  RatchetVerdict forged(std::uint32_t nonce) {
    Bytes bytes = frame(nonce);
    bytes[0] ^= 1;
    return open(bytes);
  }

  Time now = time_from_ns(5'000'000'000);
  ReceiveRatchet ratchet{secret16(base_text), now};
};

std::uint32_t wire(unsigned generation, std::uint32_t low) {
  return generation << 24 | low;
}

}  // namespace

TEST(DaveRatchet, KnownKeys) {
  KeyChain chain(secret16(dave_ratchet_base));
  for (const auto& known : dave_generation_keys) {
    while (chain.next() < known.generation) {
      chain.take();
    }
    EXPECT_EQ(to_hex(chain.take().view()), known.key);
  }
}

TEST(DaveRatchet, SharedKeys) {
  const auto vectors = load_dave("key_ratchet.json");
  NEED_VECTORS(vectors);
  for (const auto& v : vectors) {
    KeyChain chain(secret16(v["base_secret"].get<std::string>()));
    for (const auto& g : v["generations"]) {
      while (chain.next() < g["generation"].get<std::uint64_t>()) {
        chain.take();
      }
      EXPECT_EQ(to_hex(chain.take().view()), g["key"].get<std::string>());
    }
  }
}

TEST(DaveRatchet, SharedGenerationWrap) {
  const auto vectors = load_dave("generation_wrap.json");
  NEED_VECTORS(vectors);
  for (const auto& v : vectors["wrapped_generation"]) {
    EXPECT_EQ(unwrap_generation(v["oldest"], v["wire"].get<std::uint8_t>()), v["full"]);
  }
  for (const auto& v : vectors["big_nonce"]) {
    EXPECT_EQ(std::to_string(frame_counter(v["generation"], v["wire_nonce"])), v["big_nonce"]);
  }
}

TEST(DaveRatchet, SharedReplayWindow) {
  const auto vectors = load_dave("replay_window.json");
  NEED_VECTORS(vectors);
  Rig r;
  for (const auto& v : vectors["sequence"]) {
    EXPECT_EQ(r.open(v["nonce"].get<std::uint32_t>()),
              v["accept"] ? RatchetVerdict::opened : RatchetVerdict::replayed)
        << v;
  }
}

TEST(DaveRatchet, WindowAgainstAPlainList) {
  ReplayWindow window;
  std::vector<std::uint64_t> seen;
  std::uint64_t newest = 0;
  std::uint64_t state = 12345;
  for (int i = 0; i < 20000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t r = state >> 40;
    const std::uint64_t counter =
        r % 50 == 0 ? newest + r % 3000 : newest + 3 - std::min<std::uint64_t>(newest, r % 1200);
    const bool known = std::find(seen.begin(), seen.end(), counter) != seen.end();
    const bool fresh =
        seen.empty() || counter > newest || (newest - counter <= ReplayWindow::reach && !known);
    ASSERT_EQ(window.fresh(counter), fresh) << counter << " after " << newest;
    if (fresh) {
      window.mark(counter);
      seen.push_back(counter);
      newest = std::max(newest, counter);
    }
  }
}

TEST(DaveRatchet, MergedWindowsKnowWhatBothKnew) {
  ReplayWindow a, b;
  for (std::uint64_t c : {1, 2, 5, 700}) {
    a.mark(c);
  }
  for (std::uint64_t c : {3, 5, 1200}) {
    b.mark(c);
  }
  for (auto [first, second] : {std::pair{a, b}, std::pair{b, a}}) {
    first.merge(second);
    EXPECT_EQ(first.newest(), 1200u);
    for (std::uint64_t c : {700, 1200}) {
      EXPECT_FALSE(first.fresh(c));
    }
    EXPECT_TRUE(first.fresh(701));
    EXPECT_FALSE(first.fresh(5)) << "out of reach";
  }
}

TEST(DaveRatchet, NonceZeroIsTaken) {
  Rig r;
  EXPECT_EQ(r.open(0u), RatchetVerdict::opened);
  EXPECT_EQ(r.open(0u), RatchetVerdict::replayed);
}

TEST(DaveRatchet, FramesBeforeTheFirstOneHeardAreTaken) {
  Rig r;
  EXPECT_EQ(r.open(9u), RatchetVerdict::opened);
  EXPECT_EQ(r.open(8u), RatchetVerdict::opened) << "overtaken on the way";
}

TEST(DaveRatchet, ForgeryDoesNotMoveTheWindow) {
  Rig r;
  EXPECT_EQ(r.open(1u), RatchetVerdict::opened);
  EXPECT_EQ(r.forged(900000), RatchetVerdict::bad_tag);
  EXPECT_EQ(r.open(2u), RatchetVerdict::opened);
}

TEST(DaveRatchet, GenerationNeedsItsTime) {
  Rig r;
  EXPECT_EQ(r.open(wire(1, 0), 1), RatchetVerdict::too_far);
  r.now += std::chrono::seconds((1 << 24) / 170 - 2);
  EXPECT_EQ(r.open(wire(1, 0), 1), RatchetVerdict::too_far);
  r.now += 4s;
  EXPECT_EQ(r.open(wire(1, 0), 1), RatchetVerdict::opened) << "about 27 hours later";
  EXPECT_EQ(r.open(wire(2, 0), 2), RatchetVerdict::too_far);
}

TEST(DaveRatchet, ClockBeforeTheEpochAllowsNothingNew) {
  Rig r;
  r.now -= 100 * day;
  EXPECT_EQ(r.open(wire(1, 0), 1), RatchetVerdict::too_far);
  EXPECT_EQ(r.open(1u), RatchetVerdict::opened);
}

TEST(DaveRatchet, OlderGenerationLastsTenSeconds) {
  Rig r;
  r.now += 3 * day;
  EXPECT_EQ(r.open(wire(0, 0xFFFFFE)), RatchetVerdict::opened);
  EXPECT_EQ(r.open(wire(1, 0), 1), RatchetVerdict::opened);
  r.now += 9s;
  EXPECT_EQ(r.open(wire(0, 0xFFFFFF)), RatchetVerdict::opened) << "late";
  r.now += 1s;
  EXPECT_EQ(r.open(wire(0, 0xFFFFFD)), RatchetVerdict::expired);
  EXPECT_EQ(r.open(wire(1, 1), 1), RatchetVerdict::opened);
}

TEST(DaveRatchet, GenerationsPassedOverStayForLateFrames) {
  Rig r;
  r.now += 20 * day;
  EXPECT_EQ(r.open(wire(3, 5), 3), RatchetVerdict::opened);
  EXPECT_EQ(r.open(wire(2, 0xFFFFFF), 2), RatchetVerdict::opened) << "6 frames earlier";
  EXPECT_EQ(r.open(wire(3, 4), 3), RatchetVerdict::opened);
}

TEST(DaveRatchet, GapOf250) {
  Rig r;
  r.now += 365 * day;
  EXPECT_EQ(r.open(wire(251, 1), 251), RatchetVerdict::too_far);
  EXPECT_EQ(r.open(wire(250, 1), 250), RatchetVerdict::opened);
  r.now += 11s;
  EXPECT_EQ(r.open(wire(4, 1), 260), RatchetVerdict::opened) << "the byte has wrapped";
}

TEST(DaveRatchet, ForgeryOfALaterGenerationChangesNothing) {
  Rig r;
  r.now += 365 * day;
  EXPECT_EQ(r.open(1u), RatchetVerdict::opened);
  EXPECT_EQ(r.forged(wire(200, 1)), RatchetVerdict::bad_tag);
  r.now += 20s;
  EXPECT_EQ(r.open(2u), RatchetVerdict::opened);
}

TEST(DaveRatchet, SuccessorKnowsWhatWasOpened) {
  Rig r;
  r.now += 3 * day;
  EXPECT_EQ(r.open(7u), RatchetVerdict::opened);
  EXPECT_EQ(r.open(wire(1, 3), 1), RatchetVerdict::opened);
  Rig successor;
  successor.now = r.now;
  EXPECT_TRUE(successor.ratchet.restore(r.ratchet.window(), r.now));
  EXPECT_EQ(successor.open(wire(1, 3), 1), RatchetVerdict::replayed);
  EXPECT_EQ(successor.open(wire(1, 2), 1), RatchetVerdict::opened);
  EXPECT_EQ(successor.open(wire(1, 4), 1), RatchetVerdict::opened);
  Rig young;
  EXPECT_FALSE(young.ratchet.restore(r.ratchet.window(), young.now)) << "cannot have begun";
}

TEST(DaveRatchet, SenderStartsAtOne) {
  SendRatchet send(secret16(base_text));
  Rig r;
  Bytes out(100);
  for (std::uint32_t n = 1; n < 300; ++n) {
    const auto frame = send.seal(Bytes(10, 3), {}, out);
    ASSERT_TRUE(frame);
    EXPECT_EQ(parse_frame(*frame).value().nonce, n);
    EXPECT_EQ(r.open(Bytes(frame->begin(), frame->end())), RatchetVerdict::opened);
  }
}

TEST(DaveRatchet, SenderChangesItsKey) {
  SendRatchet send(secret16(base_text));
  Bytes out(100);
  const Bytes plain(10, 3);
  std::optional<MutableByteSpan> frame;
  send.skip_to((1u << 24) - 2);
  Rig r;
  r.now += 3 * day;
  for (int i = 0; i < 4; ++i) {
    frame = send.seal(plain, {}, out);
    ASSERT_TRUE(frame);
    EXPECT_EQ(r.open(Bytes(frame->begin(), frame->end())), RatchetVerdict::opened);
  }
  EXPECT_EQ(parse_frame(*frame).value().nonce, wire(1, 2));
}
