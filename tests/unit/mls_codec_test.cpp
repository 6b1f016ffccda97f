// codec.hpp: lengths, vectors, sticky failure.
#include "base/hex.hpp"
#include "mls/types.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::mls;

namespace {

std::string length_outcome(const std::string& hex) {
  const Bytes bytes = *from_hex(hex);
  Reader in(bytes);
  const std::size_t n = in.length();
  return in.ok() ? std::to_string(n) : to_string(in.error());
}

}  // namespace

TEST(MlsCodec, LengthsAreMinimal) {
  EXPECT_EQ(length_outcome("00"), "0");
  EXPECT_EQ(length_outcome("3f"), "63");
  EXPECT_EQ(length_outcome("4040"), "64");
  EXPECT_EQ(length_outcome("403f"), "malformed");
  EXPECT_EQ(length_outcome("4000"), "malformed");
  EXPECT_EQ(length_outcome("7fff"), "16383");
  EXPECT_EQ(length_outcome("80004000"), "16384");
  EXPECT_EQ(length_outcome("80003fff"), "malformed");
  EXPECT_EQ(length_outcome("80000000"), "malformed");
  EXPECT_EQ(length_outcome("80100000"), "1048576");
  EXPECT_EQ(length_outcome("80100001"), "too-large");
  EXPECT_EQ(length_outcome("bfffffff"), "too-large");
  EXPECT_EQ(length_outcome("c0"), "malformed");
  EXPECT_EQ(length_outcome("ffffffffffffffff"), "malformed");
  EXPECT_EQ(length_outcome(""), "malformed");
  EXPECT_EQ(length_outcome("40"), "malformed");
  EXPECT_EQ(length_outcome("800040"), "malformed");
}

TEST(MlsCodec, WhatIsWrittenIsRead) {
  for (const std::size_t size : {0u, 1u, 63u, 64u, 16383u, 16384u, 70000u}) {
    Writer out;
    out.u8(1);
    out.u16(2);
    out.u32(3);
    out.u64(4);
    out.vector([&](Writer& w) { w.raw(Bytes(size, 7)); });
    out.opaque(Bytes{9});
    Reader in(out.view());
    EXPECT_EQ(in.u8(), 1);
    EXPECT_EQ(in.u16(), 2);
    EXPECT_EQ(in.u32(), 3u);
    EXPECT_EQ(in.u64(), 4u);
    EXPECT_EQ(in.opaque().size(), size);
    EXPECT_EQ(in.opaque_of(1)[0], 9);
    in.finish();
    EXPECT_TRUE(in.ok());
  }
}

TEST(MlsCodec, FailureSticksAndKeepsItsCause) {
  const Bytes bytes = {2, 0, 1, 5};
  Reader in(bytes);
  EXPECT_FALSE(in.optional());
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8(), 0);
  EXPECT_EQ(in.u16(), 0);
  EXPECT_EQ(in.u64(), 0u);
  EXPECT_TRUE(in.opaque().empty());
  EXPECT_TRUE(in.at_end()) << "so that no loop over its elements runs on";
  in.fail(Error::too_large);
  EXPECT_EQ(in.error(), Error::malformed);
}

TEST(MlsCodec, VectorsMustBeUsedUp) {
  const Bytes bytes = {3, 0, 1, 5, 9};
  Reader in(bytes);
  Reader inner = in.vector();
  EXPECT_EQ(inner.u16(), 1);
  Reader whole = in;
  whole.join(inner);
  EXPECT_FALSE(whole.ok()) << "a byte is left over";
  EXPECT_EQ(inner.u8(), 5);
  in.join(inner);
  EXPECT_TRUE(in.ok());
  in.finish();
  EXPECT_FALSE(in.ok()) << "trailing byte";
  Reader overlong(ByteSpan(bytes).first(2));
  Reader none = overlong.vector();
  EXPECT_FALSE(none.ok());
  EXPECT_TRUE(none.at_end());
}

TEST(MlsCodec, ListsHaveLimits) {
  // Extensions of no length: four bytes each would be cheap to send.
  Writer many;
  many.vector([](Writer& w) {
    for (std::uint16_t i = 0; i < 65; ++i) {
      w.u16(i);
      w.opaque({});
    }
  });
  Reader in(many.view());
  read_extensions(in);
  EXPECT_EQ(in.error(), Error::too_large);

  Writer commit;
  commit.vector([](Writer& w) {
    for (std::size_t i = 0; i <= max_proposals; ++i) {
      w.u8(2);
      w.opaque(Bytes(32, 1));
    }
  });
  commit.u8(0);
  EXPECT_EQ(parse_commit(commit.view()).error(), Error::too_large);

  Writer welcome;
  welcome.u16(cipher_suite);
  welcome.vector([](Writer& w) {
    for (std::size_t i = 0; i <= max_leaves; ++i) {
      w.raw(Bytes(3, 0));
    }
  });
  welcome.opaque({});
  EXPECT_EQ(parse_welcome(welcome.view()).error(), Error::too_large);

  EXPECT_EQ(parse_commit(Bytes(max_message_size + 1)).error(), Error::too_large);
}

TEST(MlsCodec, ExternalSenders) {
  const ExternalSender sender{Bytes(65, 4), {Bytes{1, 2, 3}}};
  const Bytes bare = encode(sender);
  EXPECT_EQ(*parse_external_sender(bare), sender);
  const Extension extension = make_external_senders({sender});
  EXPECT_EQ(extension.type, 5);
  EXPECT_EQ(extension.data.size(), bare.size() + 2) << "a vector even of one";
  EXPECT_EQ(*parse_external_senders(extension.data), std::vector{sender});
  for (std::size_t cut = 0; cut < bare.size(); ++cut) {
    EXPECT_FALSE(parse_external_sender(ByteSpan(bare).first(cut)).ok());
  }
  Bytes x509 = bare;
  x509[67 + 1] = 2;
  EXPECT_EQ(parse_external_sender(x509).error(), Error::unsupported_credential);
}

TEST(MlsCodec, GroupSecrets) {
  GroupSecrets secrets;
  for (const bool with_path : {false, true}) {
    if (with_path) {
      secrets.path_secret = Secret32();
    }
    Bytes bytes = encode(secrets);
    const auto parsed = parse_group_secrets(bytes);
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->path_secret.has_value(), with_path);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      EXPECT_FALSE(parse_group_secrets(ByteSpan(bytes).first(cut)).ok());
    }
    // One external pre-shared key with empty id and nonce.
    bytes.back() = 3;
    bytes.insert(bytes.end(), {1, 0, 0});
    EXPECT_EQ(parse_group_secrets(bytes).error(), Error::unsupported_psk);
  }
  // A secret of another size than the suite's.
  Bytes bytes = encode(GroupSecrets());
  bytes[0] = 31;
  bytes.erase(bytes.begin() + 1);
  EXPECT_EQ(parse_group_secrets(bytes).error(), Error::malformed);
}

TEST(MlsCodec, EveryErrorHasAName) {
  for (int i = 0; i <= static_cast<int>(Error::not_for_us); ++i) {
    EXPECT_STRNE(to_string(static_cast<Error>(i)), "unknown");
  }
}
