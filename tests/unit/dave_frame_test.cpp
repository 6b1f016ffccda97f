#include "dave/frame.hpp"
#include "dave/sender_ratchet.hpp"
#include "dave_vectors.hpp"
#include "tests/data/dave_known_answers.hpp"

#include <climits>

using namespace discord;
using namespace discord::dave;
using namespace discord::test;

namespace {

MediaKey key_of(std::string_view base, unsigned generation = 0) {
  KeyChain chain(secret16(base));
  while (chain.next() < generation) {
    chain.take();
  }
  return chain.take();
}

constexpr std::string_view some_base = "000102030405060708090a0b0c0d0e0f";

std::string open_to_text(FrameCipher& cipher, Bytes frame) {
  const auto view = parse_frame(frame);
  if (!view) {
    return "not_protocol_frame";
  }
  Bytes out(view.value().media.size());
  return cipher.open(view.value(), out) ? to_hex(out) : "not_opened";
}

Bytes sealed(FrameCipher& cipher, ByteSpan plain, std::uint32_t nonce,
             std::vector<ClearRange> ranges = {}) {
  Bytes out(plain.size() + frame_max_footer);
  const auto frame = cipher.seal(plain, nonce, ranges, out);
  EXPECT_TRUE(frame);
  return frame ? Bytes(frame->begin(), frame->end()) : Bytes();
}

// A frame with these bytes between tag and size, media `size` long.
Bytes with_numbers(std::size_t size, std::initializer_list<int> numbers) {
  Bytes frame(size + 8);
  for (const int n : numbers) {
    frame.push_back(static_cast<std::uint8_t>(n));
  }
  frame.push_back(static_cast<std::uint8_t>(8 + numbers.size() + 3));
  frame.push_back(0xFA);
  frame.push_back(0xFA);
  return frame;
}

}  // namespace

TEST(DaveFrame, KnownAnswers) {
  for (const DaveFrame& known : dave_frames) {
    SCOPED_TRACE(known.name);
    FrameCipher cipher(key_of(known.base));
    const std::string got = open_to_text(cipher, *from_hex(known.frame));
    if (known.opened) {
      EXPECT_EQ(got, known.plain);
    } else {
      EXPECT_TRUE(got == "not_opened" || got == "not_protocol_frame");
    }
  }
}

TEST(DaveFrame, SharedVectors) {
  const auto vectors = load_dave("frames.json");
  NEED_VECTORS(vectors);
  int count = 0;
  for (const auto& set : vectors["sets"]) {
    for (const auto& c : set["cases"]) {
      SCOPED_TRACE(c["note"]);
      ++count;
      const Bytes frame = hex(c["frame"]);
      const std::string expected = c["expect"]["result"];
      if (is_silence(frame)) {
        EXPECT_EQ(expected, "opened");
        continue;
      }
      FrameCipher cipher(
          key_of(set["base_secret"].get<std::string>(), c["expect"].value("generation", 0u)));
      EXPECT_EQ(open_to_text(cipher, frame),
                expected == "opened" ? c["expect"]["plaintext"].get<std::string>() : expected);
    }
  }
  EXPECT_EQ(count, 38);
}

TEST(DaveFrame, Uleb128Vectors) {
  const auto vectors = load_dave("uleb128.json");
  NEED_VECTORS(vectors);
  for (const auto& v : vectors) {
    const Bytes bytes = hex(v["bytes"]);
    ByteSpan rest = bytes;
    EXPECT_EQ(take_uleb128(rest), v["value"].get<std::uint32_t>());
    EXPECT_TRUE(rest.empty());
    std::array<std::uint8_t, 5> out;
    const std::size_t n = put_uleb128(v["value"].get<std::uint32_t>(), out);
    EXPECT_EQ(to_hex(ByteSpan(out).first(n)), v["bytes"].get<std::string>());
  }
}

TEST(DaveFrame, Uleb128Refusals) {
  for (const char* text :
       {"", "80", "8080", "8080808010", "ffffffff7f", "80808080808001", "8080808080808080808000"}) {
    const Bytes bytes = *from_hex(text);
    ByteSpan rest = bytes;
    EXPECT_FALSE(take_uleb128(rest)) << text;
    EXPECT_EQ(rest.size(), bytes.size());
  }
  for (const char* text : {"8000", "80808080808000"}) {
    const Bytes bytes = *from_hex(text);
    ByteSpan rest = bytes;
    EXPECT_EQ(take_uleb128(rest), 0u) << text;
  }
  std::array<std::uint8_t, 4> small;
  EXPECT_EQ(put_uleb128(UINT32_MAX, small), 0u);
}

TEST(DaveFrame, FooterChecks) {
  EXPECT_TRUE(parse_frame(with_numbers(20, {1})));
  EXPECT_FALSE(parse_frame({})) << "empty";
  EXPECT_FALSE(parse_frame(with_numbers(20, {}))) << "no nonce";
  EXPECT_FALSE(parse_frame(with_numbers(20, {0x80}))) << "the nonce does not end";
  EXPECT_FALSE(parse_frame(with_numbers(20, {1, 2}))) << "half a range";
  EXPECT_TRUE(parse_frame(with_numbers(20, {1, 2, 18}))) << "to the last byte";
  EXPECT_FALSE(parse_frame(with_numbers(20, {1, 2, 19}))) << "into the footer";
  EXPECT_TRUE(parse_frame(with_numbers(20, {1, 2, 3, 5, 1}))) << "touching";
  EXPECT_FALSE(parse_frame(with_numbers(20, {1, 2, 3, 4, 1}))) << "overlapping";
  EXPECT_FALSE(parse_frame(with_numbers(20, {1, 5, 1, 2, 1}))) << "descending";
  EXPECT_FALSE(parse_frame(with_numbers(20, {1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 2})))
      << "a sum that overflows 32 bits";
  EXPECT_FALSE(parse_frame(with_numbers(20, {1, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F})));
  Bytes frame = with_numbers(20, {1});
  frame[frame.size() - 3] = 11;
  EXPECT_FALSE(parse_frame(frame)) << "size below the minimum";
  frame[frame.size() - 3] = static_cast<std::uint8_t>(frame.size() + 1);
  EXPECT_FALSE(parse_frame(frame)) << "size above the frame";
  frame[frame.size() - 3] = 12;
  frame.back() = 0xFB;
  EXPECT_FALSE(parse_frame(frame)) << "marker";
}

TEST(DaveFrame, SealsWhatOpens) {
  FrameCipher sender(key_of(some_base));
  FrameCipher receiver(key_of(some_base));
  for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 200u, 1275u, 5000u}) {
    Bytes plain(size);
    for (std::size_t i = 0; i < size; ++i) {
      plain[i] = static_cast<std::uint8_t>(i * 7);
    }
    for (const std::uint32_t nonce : {0u, 1u, 127u, 128u, 0xFFFFFFu, UINT32_MAX}) {
      EXPECT_EQ(open_to_text(receiver, sealed(sender, plain, nonce)), to_hex(plain));
    }
    if (size >= 200) {
      const Bytes frame = sealed(sender, plain, 9, {{0, 3}, {10, 0}, {20, 100}});
      EXPECT_TRUE(std::equal(plain.begin() + 20, plain.begin() + 120, frame.begin() + 20));
      EXPECT_EQ(open_to_text(receiver, frame), to_hex(plain));
    }
  }
}

TEST(DaveFrame, InPlace) {
  FrameCipher cipher(key_of(some_base));
  const Bytes plain(100, 0x42);
  Bytes buffer(plain);
  buffer.resize(100 + frame_max_footer);
  const auto frame =
      cipher.seal(ByteSpan(buffer).first(100), 5, std::array<ClearRange, 1>{{{3, 4}}}, buffer);
  ASSERT_TRUE(frame);
  const auto view = parse_frame(*frame);
  ASSERT_TRUE(view);
  ASSERT_TRUE(cipher.open(view.value(), *frame));
  EXPECT_TRUE(std::equal(plain.begin(), plain.end(), frame->begin()));
}

TEST(DaveFrame, EveryBitIsProtected) {
  FrameCipher cipher(key_of(some_base));
  const Bytes good = sealed(cipher, Bytes(30, 1), 300, {{2, 3}});
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<std::uint8_t>(1 << (bit % 8));
    const std::string verdict = open_to_text(cipher, bad);
    EXPECT_TRUE(verdict == "not_opened" || verdict == "not_protocol_frame") << bit;
  }
}

TEST(DaveFrame, SealRefusals) {
  FrameCipher cipher(key_of(some_base));
  const Bytes plain(20);
  Bytes out(400);
  const auto seal = [&](std::vector<ClearRange> ranges, std::size_t room) {
    return cipher.seal(plain, 1, ranges, MutableByteSpan(out).first(room)).has_value();
  };
  EXPECT_TRUE(seal({}, 32));
  EXPECT_FALSE(seal({}, 31)) << "no room";
  EXPECT_FALSE(seal({{10, 11}}, 400)) << "past the end";
  EXPECT_FALSE(seal({{5, 5}, {9, 1}}, 400)) << "overlapping";
  EXPECT_FALSE(seal(std::vector<ClearRange>(122, {0, 0}), 400)) << "footer over 255 bytes";
  EXPECT_TRUE(seal(std::vector<ClearRange>(121, {0, 0}), 400));
}

TEST(DaveFrame, Silence) {
  EXPECT_TRUE(is_silence(*from_hex("f8fffe")));
  EXPECT_FALSE(is_silence(*from_hex("fcfffe"))) << "the stereo twin is not let through";
  EXPECT_FALSE(is_silence(*from_hex("f8fffe00")));
  EXPECT_FALSE(is_silence({}));
}
