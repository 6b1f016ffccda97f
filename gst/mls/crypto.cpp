#include "mls/crypto.hpp"

#include "mls/algorithms.hpp"
#include "mls/codec.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <algorithm>
#include <climits>

namespace discord::mls {
namespace {

constexpr std::size_t block_size = 64;
constexpr std::string_view label_prefix = "MLS 1.0 ";

EVP_PKEY* make_parameters() {
  const EvpKeyContext context(need(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)));
  char name[] = "P-256";
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
                             OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEY_PARAMETERS, parameters) != 1) {
    throw std::bad_alloc();
  }
  return key;
}

void check(int done) {
  if (done != 1) {
    throw std::bad_alloc();
  }
}

// One context for both passes of an HMAC.
class Hmac {
 public:
  explicit Hmac(ByteSpan key) : context_(need(EVP_MD_CTX_new())) {
    if (key.size() > block_size) {
      const Hash hashed = sha256(key);
      std::copy(hashed.begin(), hashed.end(), block_.begin());
    } else {
      std::copy(key.begin(), key.end(), block_.begin());
    }
    begin(0x36);
  }
  ~Hmac() { OPENSSL_cleanse(block_.data(), block_.size()); }
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;

  Hmac& update(ByteSpan bytes) {
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
    return *this;
  }
  Hash finish() {
    Hash inner;
    check(EVP_DigestFinal_ex(context_.get(), inner.data(), nullptr));
    begin(0x36 ^ 0x5C);
    update(inner);
    check(EVP_DigestFinal_ex(context_.get(), inner.data(), nullptr));
    return inner;
  }

 private:
  void begin(std::uint8_t pad) {
    for (std::uint8_t& b : block_) {
      b ^= pad;
    }
    check(EVP_DigestInit_ex2(context_.get(), algorithms().sha256, nullptr));
    update(block_);
  }
  DigestContext context_;
  std::array<std::uint8_t, block_size> block_{};
};

Secret32 take_secret(Hash hash) {
  Secret32 secret{std::span<const std::uint8_t, 32>(hash)};
  OPENSSL_cleanse(hash.data(), hash.size());
  return secret;
}

Bytes labelled(std::string_view label, ByteSpan context, std::size_t length) {
  Writer info;
  info.reserve(label.size() + context.size() + 24);
  info.u16(static_cast<std::uint16_t>(length));
  info.length(label_prefix.size() + label.size());
  info.raw(as_bytes(label_prefix));
  info.raw(as_bytes(label));
  info.opaque(context);
  return info.take();
}

}  // namespace

const Algorithms& algorithms() {
  static const Algorithms all = {need(EVP_MD_fetch(nullptr, "SHA256", nullptr)),
                                 need(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)),
                                 need(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)),
                                 make_parameters()};
  return all;
}

bool SystemRandom::fill(MutableByteSpan out) noexcept {
  return out.size() <= INT_MAX && RAND_priv_bytes(out.data(), static_cast<int>(out.size())) == 1;
}

Sha256::Sha256() : context_(need(EVP_MD_CTX_new())) {
  if (EVP_DigestInit_ex2(static_cast<EVP_MD_CTX*>(context_), algorithms().sha256, nullptr) != 1) {
    EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
    throw std::bad_alloc();
  }
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
}

Sha256& Sha256::update(ByteSpan bytes) {
  check(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()));
  return *this;
}

Hash Sha256::finish() {
  Hash out;
  check(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), out.data(), nullptr));
  return out;
}

Hash sha256(ByteSpan bytes) {
  return Sha256().update(bytes).finish();
}

Hash hmac_sha256(ByteSpan key, ByteSpan data) {
  return Hmac(key).update(data).finish();
}

bool equal_tags(ByteSpan a, ByteSpan b) noexcept {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

Secret32 hkdf_extract(ByteSpan salt, ByteSpan input) {
  return take_secret(Hmac(salt).update(input).finish());
}

SecretBytes hkdf_expand(ByteSpan key, ByteSpan info, std::size_t length) {
  if (length > 255 * hash_size) {
    return {};
  }
  SecretBytes out(length);
  Hash block;
  std::uint8_t counter = 0;
  for (std::size_t at = 0; at < length; at += hash_size) {
    Hmac mac(key);
    if (counter > 0) {
      mac.update(block);
    }
    ++counter;
    block = mac.update(info).update({&counter, 1}).finish();
    std::copy_n(block.begin(), std::min(hash_size, length - at),
                out.writable().begin() + static_cast<std::ptrdiff_t>(at));
  }
  OPENSSL_cleanse(block.data(), block.size());
  return out;
}

SecretBytes expand_with_label(ByteSpan secret, std::string_view label, ByteSpan context,
                              std::size_t length) {
  return hkdf_expand(secret, labelled(label, context, length), length);
}

Secret32 derive_secret(ByteSpan secret, std::string_view label) {
  const SecretBytes out = expand_with_label(secret, label, {}, hash_size);
  return Secret32(out.view().first<hash_size>());
}

SecretBytes derive_tree_secret(ByteSpan secret, std::string_view label, std::uint32_t generation,
                               std::size_t length) {
  std::array<std::uint8_t, 4> context;
  store_be32(context.data(), generation);
  return expand_with_label(secret, label, context, length);
}

Hash ref_hash(std::string_view label, ByteSpan value) {
  Writer header;
  header.opaque(as_bytes(label));
  header.length(value.size());
  return Sha256().update(header.view()).update(value).finish();
}

Result<Bytes, Error> aead_seal(ByteSpan key, ByteSpan nonce, ByteSpan aad, ByteSpan plain) {
  if (key.size() != aead_key_size || nonce.size() != aead_nonce_size ||
      plain.size() > max_message_size || aad.size() > max_message_size) {
    return Failure{Error::crypto_failure};
  }
  const CipherContext context(need(EVP_CIPHER_CTX_new()));
  Bytes out(plain.size() + aead_tag_size);
  int written = 0;
  if (EVP_EncryptInit_ex2(context.get(), algorithms().aes128_gcm, key.data(), nonce.data(),
                          nullptr) != 1 ||
      (!aad.empty() && EVP_EncryptUpdate(context.get(), nullptr, &written, aad.data(),
                                         static_cast<int>(aad.size())) != 1) ||
      (!plain.empty() && EVP_EncryptUpdate(context.get(), out.data(), &written, plain.data(),
                                           static_cast<int>(plain.size())) != 1) ||
      EVP_EncryptFinal_ex(context.get(), out.data() + plain.size(), &written) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, aead_tag_size,
                          out.data() + plain.size()) != 1) {
    return Failure{Error::crypto_failure};
  }
  return out;
}

Result<SecretBytes, Error> aead_open(ByteSpan key, ByteSpan nonce, ByteSpan aad, ByteSpan sealed) {
  if (key.size() != aead_key_size || nonce.size() != aead_nonce_size ||
      sealed.size() < aead_tag_size || sealed.size() > max_message_size ||
      aad.size() > max_message_size) {
    return Failure{Error::cannot_decrypt};
  }
  const ByteSpan text = sealed.first(sealed.size() - aead_tag_size);
  std::array<std::uint8_t, aead_tag_size> tag;
  std::copy_n(sealed.end() - aead_tag_size, aead_tag_size, tag.begin());
  const CipherContext context(need(EVP_CIPHER_CTX_new()));
  SecretBytes out(text.size());
  std::array<std::uint8_t, aead_tag_size> nothing;
  int written = 0;
  if (EVP_DecryptInit_ex2(context.get(), algorithms().aes128_gcm, key.data(), nonce.data(),
                          nullptr) != 1 ||
      (!aad.empty() && EVP_DecryptUpdate(context.get(), nullptr, &written, aad.data(),
                                         static_cast<int>(aad.size())) != 1) ||
      (!text.empty() && EVP_DecryptUpdate(context.get(), out.writable().data(), &written,
                                          text.data(), static_cast<int>(text.size())) != 1) ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, aead_tag_size, tag.data()) != 1 ||
      EVP_DecryptFinal_ex(context.get(), nothing.data(), &written) != 1) {
    return Failure{Error::cannot_decrypt};
  }
  return out;
}

Result<Bytes, Error> sign_with_label(const KeyPair& key, std::string_view label, ByteSpan content) {
  // Without the length in front, SignContent has the shape of the labelled info.
  return key.sign(ByteSpan(labelled(label, content, 0)).subspan(2));
}

bool verify_with_label(ByteSpan public_key, std::string_view label, ByteSpan content,
                       ByteSpan signature) {
  return verify(public_key, ByteSpan(labelled(label, content, 0)).subspan(2), signature);
}

}  // namespace discord::mls
