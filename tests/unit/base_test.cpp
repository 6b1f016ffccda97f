#include "base/bytes.hpp"
#include "base/hex.hpp"
#include "base/mutex.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

#include <gtest/gtest.h>

using namespace discord;

TEST(ByteReader, RefusesToPassTheEndAndStaysRefused) {
  const Bytes bytes = {1, 2, 3};
  ByteReader r(bytes);
  EXPECT_EQ(r.u16(), 0x0102);
  EXPECT_EQ(r.u16(), 0);
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.u8(), 0) << "the byte that was left must not come out after a refusal";
  EXPECT_EQ(r.remaining(), 0u);
}

TEST(Bytes, BigEndianRoundTrip) {
  std::uint8_t b[8];
  store_be64(b, 0x0102030405060708u);
  EXPECT_EQ(b[0], 1);
  EXPECT_EQ(b[7], 8);
  EXPECT_EQ(load_be64(b), 0x0102030405060708u);
  EXPECT_EQ(load_be32(b + 4), 0x05060708u);
}

TEST(Hex, RefusesOddLengthAndForeignCharacters) {
  EXPECT_FALSE(from_hex("abc"));
  EXPECT_FALSE(from_hex("zz"));
  EXPECT_FALSE(from_hex("0 "));
  EXPECT_EQ(to_hex(*from_hex("00fFa5")), "00ffa5");
}

TEST(Result, CarriesValueOrReason) {
  Result<int, std::string> good(3);
  Result<int, std::string> bad(Failure{std::string("why")});
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(*good, 3);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error(), "why");
}

TEST(Secret, ComparesByContent) {
  std::array<std::uint8_t, 4> raw{1, 2, 3, 4};
  Secret<4> a{std::span<const std::uint8_t, 4>(raw)};
  Secret<4> b{std::span<const std::uint8_t, 4>(raw)};
  raw[3] = 9;
  Secret<4> c{std::span<const std::uint8_t, 4>(raw)};
  EXPECT_TRUE(a == b);
  EXPECT_FALSE(a == c);
}

TEST(SecretString, MovingLeavesNothingBehind) {
  SecretString a("short");
  SecretString b(std::move(a));
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): that it is empty is the point
  EXPECT_EQ(b.reveal(), "short");
}

TEST(Deadline, NoneIsLaterThanAny) {
  EXPECT_EQ(earlier(std::nullopt, time_from_ns(5)), time_from_ns(5));
  EXPECT_EQ(earlier(time_from_ns(7), time_from_ns(5)), time_from_ns(5));
  EXPECT_EQ(earlier(std::nullopt, std::nullopt), std::nullopt);
}
