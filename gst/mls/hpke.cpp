#include "mls/hpke.hpp"

#include <algorithm>
#include <array>

namespace discord::mls {
namespace {

constexpr std::array<std::uint8_t, 5> kem_suite = {'K', 'E', 'M', 0x00, 0x10};
constexpr std::array<std::uint8_t, 10> hpke_suite = {'H',  'P',  'K',  'E',  0x00,
                                                     0x10, 0x00, 0x01, 0x00, 0x01};

// RFC 9180 section 4.
Secret32 labeled_extract(ByteSpan suite, ByteSpan salt, std::string_view label, ByteSpan input) {
  Writer labelled;
  labelled.reserve(64 + input.size());
  labelled.raw(as_bytes("HPKE-v1"));
  labelled.raw(suite);
  labelled.raw(as_bytes(label));
  labelled.raw(input);
  Secret32 out = hkdf_extract(salt, labelled.view());
  labelled.wipe();
  return out;
}

SecretBytes labeled_expand(ByteSpan suite, ByteSpan key, std::string_view label, ByteSpan info,
                           std::size_t length) {
  Writer labelled;
  labelled.reserve(64 + info.size());
  labelled.u16(static_cast<std::uint16_t>(length));
  labelled.raw(as_bytes("HPKE-v1"));
  labelled.raw(suite);
  labelled.raw(as_bytes(label));
  labelled.raw(info);
  return hkdf_expand(key, labelled.view(), length);
}

// RFC 9180 section 4.1: what encapsulating and decapsulating have in common.
SecretBytes shared_secret(const Secret32& agreed, ByteSpan encapsulated, ByteSpan receiver) {
  Writer context;
  context.raw(encapsulated);
  context.raw(receiver);
  const Secret32 extracted = labeled_extract(kem_suite, {}, "eae_prk", agreed.view());
  return labeled_expand(kem_suite, extracted.view(), "shared_secret", context.view(), 32);
}

struct KeyAndNonce {
  SecretBytes key;
  SecretBytes nonce;
};

// RFC 9180 section 5.1 for mode base; the nonce of message 0 is the base nonce.
KeyAndNonce schedule(const SecretBytes& shared, ByteSpan info) {
  static const Secret32 psk_id_hash = labeled_extract(hpke_suite, {}, "psk_id_hash", {});
  const Secret32 info_hash = labeled_extract(hpke_suite, {}, "info_hash", info);
  std::array<std::uint8_t, 65> context;
  context[0] = 0;
  std::copy_n(psk_id_hash.data(), 32, context.begin() + 1);
  std::copy_n(info_hash.data(), 32, context.begin() + 33);
  const Secret32 secret = labeled_extract(hpke_suite, shared.view(), "secret", {});
  return {labeled_expand(hpke_suite, secret.view(), "key", context, aead_key_size),
          labeled_expand(hpke_suite, secret.view(), "base_nonce", context, aead_nonce_size)};
}

Bytes encrypt_context(std::string_view label, ByteSpan context) {
  constexpr std::string_view prefix = "MLS 1.0 ";
  Writer out;
  out.reserve(context.size() + label.size() + 16);
  out.length(prefix.size() + label.size());
  out.raw(as_bytes(prefix));
  out.raw(as_bytes(label));
  out.opaque(context);
  return out.take();
}

}  // namespace

Result<KeyPair, Error> derive_key_pair(ByteSpan input) {
  const Secret32 key = labeled_extract(kem_suite, {}, "dkp_prk", input);
  for (unsigned counter = 0; counter < 256; ++counter) {
    const auto byte = static_cast<std::uint8_t>(counter);
    const SecretBytes candidate =
        labeled_expand(kem_suite, key.view(), "candidate", {&byte, 1}, private_key_size);
    auto pair = KeyPair::from_private(candidate.view());
    if (pair || pair.error() != Error::bad_key) {
      return pair;
    }
  }
  return Failure{Error::bad_key};
}

Result<HpkeCiphertext, Error> hpke_seal(ByteSpan public_key, ByteSpan info, ByteSpan plain,
                                        RandomSource& random) {
  const auto ephemeral = KeyPair::generate(random);
  if (!ephemeral) {
    return Failure{ephemeral.error()};
  }
  const auto agreed = ephemeral->agree(public_key);
  if (!agreed) {
    return Failure{agreed.error()};
  }
  const ByteSpan encapsulated = ephemeral->public_key();
  const KeyAndNonce keys = schedule(shared_secret(*agreed, encapsulated, public_key), info);
  auto ciphertext = aead_seal(keys.key.view(), keys.nonce.view(), {}, plain);
  if (!ciphertext) {
    return Failure{ciphertext.error()};
  }
  return HpkeCiphertext{Bytes(encapsulated.begin(), encapsulated.end()), std::move(*ciphertext)};
}

Result<SecretBytes, Error> hpke_open(const KeyPair& key, ByteSpan info,
                                     const HpkeCiphertext& sealed) {
  const auto agreed = key.agree(sealed.kem_output);
  if (!agreed) {
    return Failure{agreed.error()};
  }
  const KeyAndNonce keys =
      schedule(shared_secret(*agreed, sealed.kem_output, key.public_key()), info);
  return aead_open(keys.key.view(), keys.nonce.view(), {}, sealed.ciphertext);
}

Result<HpkeCiphertext, Error> encrypt_with_label(ByteSpan public_key, std::string_view label,
                                                 ByteSpan context, ByteSpan plain,
                                                 RandomSource& random) {
  return hpke_seal(public_key, encrypt_context(label, context), plain, random);
}

Result<SecretBytes, Error> decrypt_with_label(const KeyPair& key, std::string_view label,
                                              ByteSpan context, const HpkeCiphertext& sealed) {
  return hpke_open(key, encrypt_context(label, context), sealed);
}

}  // namespace discord::mls
