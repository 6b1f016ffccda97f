// Primitives against published figures, and what they refuse.
#include "mls/hpke.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;
using rig::TestRandom;

namespace {

Bytes hex(std::string_view text) {
  return *from_hex(text);
}

}  // namespace

TEST(MlsCrypto, HashAndMac) {
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231, cases 1, 2 and 6 (a key longer than a block).
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(20, 0x0b), as_bytes("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(131, 0xaa),
                               as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

// RFC 5869, cases 1 and 3.
TEST(MlsCrypto, Hkdf) {
  const Secret32 key = hkdf_extract(hex("000102030405060708090a0b0c"), Bytes(22, 0x0b));
  EXPECT_EQ(to_hex(key.view()), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  EXPECT_EQ(to_hex(hkdf_expand(key.view(), hex("f0f1f2f3f4f5f6f7f8f9"), 42).view()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(to_hex(hkdf_expand(hkdf_extract({}, Bytes(22, 0x0b)).view(), {}, 42).view()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
  EXPECT_EQ(hkdf_expand(key.view(), {}, 8160).size(), 8160u);
  EXPECT_TRUE(hkdf_expand(key.view(), {}, 8161).empty());
  EXPECT_TRUE(hkdf_expand(key.view(), {}, 0).empty());
}

// A secret of 16 bytes, as sender ratchets start from.
TEST(MlsCrypto, DeriveTreeSecretOfAShortSecret) {
  EXPECT_EQ(
      to_hex(derive_tree_secret(hex("cedd61b1b8a1ca69046554282cf70b7b"), "key", 0, 16).view()),
      "7530f9a9945e2d2e06d0651f7b2a864b");
}

// RFC 9180 appendix A.3.1: the receiver's pair.
TEST(MlsCrypto, DeriveKeyPair) {
  const auto pair =
      derive_key_pair(hex("668b37171f1072f3cf12ea8a236a45df23fc13b82af3609ad1e354f6ef817550"));
  ASSERT_TRUE(pair.ok());
  EXPECT_EQ(to_hex(pair->private_key().view()),
            "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2");
  EXPECT_EQ(to_hex(pair->public_key()),
            "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a826a779b4cf969b8a0e53"
            "9c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0");
}

// RFC 6979 appendix A.2.5, SHA-256, message "sample".
TEST(MlsCrypto, VerifiesAPublishedSignature) {
  const auto pair = KeyPair::from_private(
      hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"));
  ASSERT_TRUE(pair.ok());
  EXPECT_EQ(to_hex(pair->public_key()),
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41a"
            "e9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
  const Bytes signature =
      hex("3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c94"
          "2d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
  EXPECT_TRUE(verify(pair->public_key(), as_bytes("sample"), signature));
  EXPECT_FALSE(verify(pair->public_key(), as_bytes("samplE"), signature));
}

TEST(MlsCrypto, SignaturesAreRefusedInAnyOtherForm) {
  TestRandom random;
  const auto pair = KeyPair::generate(random);
  const auto other = KeyPair::generate(random);
  const Bytes message = {1, 2, 3};
  const Bytes signature = *pair->sign(message);
  ASSERT_TRUE(verify(pair->public_key(), message, signature));
  EXPECT_FALSE(verify(other->public_key(), message, signature));
  for (std::size_t cut = 0; cut < signature.size(); ++cut) {
    EXPECT_FALSE(verify(pair->public_key(), message, ByteSpan(signature).first(cut)));
  }
  Bytes longer = signature;
  longer.push_back(0);
  EXPECT_FALSE(verify(pair->public_key(), message, longer));
  EXPECT_FALSE(verify(pair->public_key(), message, hex("3006020100020100")));
  EXPECT_FALSE(
      verify_with_label(pair->public_key(), "A", message, *sign_with_label(*pair, "B", message)));
}

TEST(MlsCrypto, KeysOutsideTheCurveOrTheRange) {
  TestRandom random;
  const auto pair = KeyPair::generate(random);
  const Bytes good = rig::to_bytes(pair->public_key());
  EXPECT_TRUE(is_public_key(good));
  Bytes bad = good;
  bad[40] ^= 1;
  Bytes compressed(good.begin(), good.begin() + 33);
  compressed[0] = 2;
  Bytes hybrid = good;
  hybrid[0] = static_cast<std::uint8_t>(6 + (good[64] & 1));
  const Bytes infinity = {0};
  for (const Bytes& key : {bad, compressed, hybrid, infinity, Bytes{}, Bytes(65, 0)}) {
    EXPECT_FALSE(is_public_key(key));
    EXPECT_EQ(pair->agree(key).error(), Error::bad_key);
    EXPECT_FALSE(verify(key, {}, *pair->sign({})));
    EXPECT_EQ(hpke_seal(key, {}, {}, random).error(), Error::bad_key);
  }
  const std::string order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
  EXPECT_EQ(KeyPair::from_private(hex(order)).error(), Error::bad_key);
  EXPECT_EQ(KeyPair::from_private(Bytes(32, 0)).error(), Error::bad_key);
  EXPECT_EQ(KeyPair::from_private(Bytes(32, 0xff)).error(), Error::bad_key);
  EXPECT_EQ(KeyPair::from_private(Bytes(31, 1)).error(), Error::bad_key);
  EXPECT_EQ(KeyPair::from_private(Bytes(33, 1)).error(), Error::bad_key);
  EXPECT_TRUE(KeyPair::from_private(hex(order.substr(0, 63) + "0")).ok());
}

TEST(MlsCrypto, AgreementIsMutual) {
  TestRandom random;
  const auto a = KeyPair::generate(random);
  const auto b = KeyPair::generate(random);
  EXPECT_TRUE(*a->agree(b->public_key()) == *b->agree(a->public_key()));
}

TEST(MlsCrypto, HpkeOpensOnlyWhatWasSealedForIt) {
  TestRandom random;
  const auto key = KeyPair::generate(random);
  const auto other = KeyPair::generate(random);
  const Bytes info = {1}, plain = {5, 6, 7};
  auto sealed = hpke_seal(key->public_key(), info, plain, random);
  ASSERT_TRUE(sealed.ok());
  EXPECT_EQ(sealed->ciphertext.size(), plain.size() + 16);
  EXPECT_EQ(to_hex(hpke_open(*key, info, *sealed)->view()), "050607");
  EXPECT_EQ(hpke_open(*key, {}, *sealed).error(), Error::cannot_decrypt);
  EXPECT_EQ(hpke_open(*other, info, *sealed).error(), Error::cannot_decrypt);
  HpkeCiphertext changed = *sealed;
  changed.ciphertext.pop_back();
  EXPECT_EQ(hpke_open(*key, info, changed).error(), Error::cannot_decrypt);
  changed.ciphertext.clear();
  EXPECT_EQ(hpke_open(*key, info, changed).error(), Error::cannot_decrypt);
  changed = *sealed;
  changed.kem_output.pop_back();
  EXPECT_EQ(hpke_open(*key, info, changed).error(), Error::bad_key);
  EXPECT_TRUE(hpke_open(*key, {}, *hpke_seal(key->public_key(), {}, {}, random)).ok());
}

TEST(MlsCrypto, AeadWantsItsSizes) {
  EXPECT_EQ(aead_seal(Bytes(15), Bytes(12), {}, {}).error(), Error::crypto_failure);
  EXPECT_EQ(aead_seal(Bytes(16), Bytes(11), {}, {}).error(), Error::crypto_failure);
  // The empty message of the GCM specification's case 1.
  const Bytes tag = *aead_seal(Bytes(16), Bytes(12), {}, {});
  EXPECT_EQ(to_hex(tag), "58e2fccefa7e3061367f1d57a4e7455a");
  EXPECT_TRUE(aead_open(Bytes(16), Bytes(12), {}, tag).ok());
  EXPECT_EQ(aead_open(Bytes(16), Bytes(12), Bytes{1}, tag).error(), Error::cannot_decrypt);
  EXPECT_EQ(aead_open(Bytes(16), Bytes(12), {}, Bytes(15)).error(), Error::cannot_decrypt);
}

TEST(MlsCrypto, SystemRandomnessDiffers) {
  SystemRandom random;
  Bytes a(32), b(32);
  ASSERT_TRUE(random.fill(a));
  ASSERT_TRUE(random.fill(b));
  EXPECT_NE(a, b);
}

TEST(SecretBytes, WipesCopiesAndCompares) {
  SecretBytes a(ByteSpan(Bytes{1, 2, 3}));
  SecretBytes b = a;
  EXPECT_TRUE(a == b);
  b.writable()[0] = 9;
  EXPECT_FALSE(a == b);
  const SecretBytes moved = std::move(a);
  EXPECT_EQ(moved.size(), 3u);
  b = moved;
  EXPECT_TRUE(b == moved);
  EXPECT_FALSE(SecretBytes(2) == moved);
  EXPECT_TRUE(SecretBytes().empty());
}
