// Cipher suite 2 of RFC 9420 (P-256, AES-128-GCM, SHA-256) on libcrypto: hashes, key derivation,
// keys and signatures. Functions that cannot fail for valid lengths throw std::bad_alloc when
// libcrypto is out of memory; nothing else throws.
#pragma once

#include "base/bytes.hpp"
#include "base/secret.hpp"
#include "mls/error.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string_view>

namespace discord::mls {

inline constexpr std::uint16_t protocol_version = 1;  // mls10
inline constexpr std::uint16_t cipher_suite = 2;      // MLS_128_DHKEMP256_AES128GCM_SHA256_P256
inline constexpr std::size_t hash_size = 32;
inline constexpr std::size_t public_key_size = 65;  // 0x04, x, y
inline constexpr std::size_t private_key_size = 32;
inline constexpr std::size_t aead_key_size = 16;
inline constexpr std::size_t aead_nonce_size = 12;
inline constexpr std::size_t aead_tag_size = 16;

using Hash = std::array<std::uint8_t, hash_size>;
using Secret32 = Secret<32>;

// Where keys, path secrets and the first epoch's secret come from. Signatures take their nonces
// from libcrypto: they are the one output that a fixed source does not repeat.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  // False when no randomness is to be had; `out` is then unspecified.
  [[nodiscard]] virtual bool fill(MutableByteSpan out) noexcept = 0;
};

// libcrypto's generator for private values.
class SystemRandom final : public RandomSource {
 public:
  [[nodiscard]] bool fill(MutableByteSpan out) noexcept override;
};

// SHA-256 in pieces; `finish` may be called once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  Sha256& update(ByteSpan bytes);
  Hash finish();

 private:
  void* context_;  // EVP_MD_CTX
};

Hash sha256(ByteSpan bytes);
Hash hmac_sha256(ByteSpan key, ByteSpan data);
// Compares in constant time; different sizes are unequal.
bool equal_tags(ByteSpan a, ByteSpan b) noexcept;

// RFC 5869. `length` is at most 255 * 32; more gives an empty result.
Secret32 hkdf_extract(ByteSpan salt, ByteSpan input);
SecretBytes hkdf_expand(ByteSpan key, ByteSpan info, std::size_t length);

// RFC 9420 section 8. Labels come without the "MLS 1.0 " in front. The secret may have any size.
SecretBytes expand_with_label(ByteSpan secret, std::string_view label, ByteSpan context,
                              std::size_t length);
Secret32 derive_secret(ByteSpan secret, std::string_view label);
// RFC 9420 section 9.
SecretBytes derive_tree_secret(ByteSpan secret, std::string_view label, std::uint32_t generation,
                               std::size_t length);
// RFC 9420 section 5.2; this label is given in full.
Hash ref_hash(std::string_view label, ByteSpan value);

// AES-128-GCM; the 16-byte tag stands behind the ciphertext.
Result<Bytes, Error> aead_seal(ByteSpan key, ByteSpan nonce, ByteSpan aad, ByteSpan plain);
Result<SecretBytes, Error> aead_open(ByteSpan key, ByteSpan nonce, ByteSpan aad, ByteSpan sealed);

// Whether these are 65 bytes that name a point of P-256.
bool is_public_key(ByteSpan bytes);

// A P-256 key pair, for signing or for HPKE. Copies share the same parsed key.
class KeyPair {
 public:
  // From a scalar, big-endian; refused unless 0 < scalar < order.
  static Result<KeyPair, Error> from_private(ByteSpan scalar);
  static Result<KeyPair, Error> generate(RandomSource& random);

  // Uncompressed, 65 bytes.
  ByteSpan public_key() const noexcept;
  const Secret32& private_key() const noexcept;
  // ECDSA with SHA-256; the signature is DER. Uses libcrypto's own randomness.
  Result<Bytes, Error> sign(ByteSpan message) const;
  // The x coordinate of the shared point. Refuses what is not a point of the curve.
  Result<Secret32, Error> agree(ByteSpan peer_public_key) const;

 private:
  struct Parsed;
  explicit KeyPair(std::shared_ptr<const Parsed> parsed) noexcept : parsed_(std::move(parsed)) {}
  std::shared_ptr<const Parsed> parsed_;
};

// ECDSA with SHA-256 over `message`.
bool verify(ByteSpan public_key, ByteSpan message, ByteSpan signature);

// RFC 9420 section 5.1.2. Labels come without the "MLS 1.0 " in front.
Result<Bytes, Error> sign_with_label(const KeyPair& key, std::string_view label, ByteSpan content);
bool verify_with_label(ByteSpan public_key, std::string_view label, ByteSpan content,
                       ByteSpan signature);

}  // namespace discord::mls
