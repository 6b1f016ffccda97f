#include "dave/codes.hpp"
#include "dave_vectors.hpp"
#include "tests/data/dave_known_answers.hpp"

using namespace discord;
using namespace discord::dave;
using namespace discord::test;

TEST(DaveCodes, KnownAnswers) {
  EXPECT_EQ(voice_privacy_code(*from_hex(dave_authenticator)), dave_privacy_code);
  const Bytes a = *from_hex(dave_key_a), b = *from_hex(dave_key_b);
  const auto pairwise = pairwise_fingerprint(a, dave_user_a, b, dave_user_b);
  ASSERT_TRUE(pairwise);
  EXPECT_EQ(to_hex(*pairwise), dave_pairwise);
  EXPECT_EQ(verification_code(b, dave_user_b, a, dave_user_a), dave_verification_code)
      << "the order does not matter";
}

TEST(DaveCodes, Refusals) {
  const Bytes data(64);
  EXPECT_FALSE(displayable_code(ByteSpan(data).first(4), 5, 5)) << "too little data";
  EXPECT_FALSE(displayable_code(data, 4, 3)) << "no multiple";
  EXPECT_FALSE(displayable_code(data, 45, 9)) << "group too large";
  EXPECT_FALSE(displayable_code(data, 5, 0));
  EXPECT_EQ(displayable_code(data, 16, 8), std::string(16, '0'));
  EXPECT_EQ(displayable_code(data, 0, 5), "");
  EXPECT_EQ(voice_privacy_code(ByteSpan(data).first(29)), "");
}

TEST(DaveCodes, SharedVectors) {
  const auto vectors = load_dave("codes.json");
  NEED_VECTORS(vectors);
  for (const auto& v : vectors["displayable"]) {
    EXPECT_EQ(displayable_code(hex(v["data"]), v["length"], v["group"]),
              v["code"].get<std::string>());
  }
  for (const auto& v : vectors["refused"]) {
    const std::string text = v["data"];
    const Bytes data = text == "1024 zero bytes" ? Bytes(1024) : *from_hex(text);
    EXPECT_FALSE(displayable_code(data, v["length"], v["group"])) << text;
  }
  for (const auto& v : vectors["fingerprints"]) {
    const std::uint64_t a = std::stoull(v["user_a"].get<std::string>());
    const std::uint64_t b = std::stoull(v["user_b"].get<std::string>());
    EXPECT_EQ(to_hex(key_fingerprint(hex(v["key_a"]), a)), v["key_fingerprint_a"]);
    const auto pairwise = pairwise_fingerprint(hex(v["key_a"]), a, hex(v["key_b"]), b);
    ASSERT_TRUE(pairwise);
    EXPECT_EQ(to_hex(*pairwise), v["pairwise"]);
    EXPECT_EQ(displayable_code(*pairwise, 45, 5), v["code_45"].get<std::string>());
  }
}
