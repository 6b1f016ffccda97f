// P-256 keys of crypto.hpp.
#include "mls/algorithms.hpp"
#include "mls/crypto.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

namespace discord::mls {
namespace {

bool has_point_shape(ByteSpan bytes) noexcept {
  return bytes.size() == public_key_size && bytes[0] == POINT_CONVERSION_UNCOMPRESSED;
}

// RFC 9420 section 5.1.1 wants the uncompressed form; EC_POINT_oct2point checks the curve equation.
Point parse_point(ByteSpan bytes) {
  if (!has_point_shape(bytes)) {
    return {};
  }
  Point point(need(EC_POINT_new(algorithms().p256)));
  if (EC_POINT_oct2point(algorithms().p256, point.get(), bytes.data(), bytes.size(), nullptr) !=
      1) {
    ERR_clear_error();
    return {};
  }
  return point;
}

bool write_point(const EC_POINT* point, std::span<std::uint8_t, public_key_size> out) noexcept {
  return EC_POINT_point2oct(algorithms().p256, point, POINT_CONVERSION_UNCOMPRESSED, out.data(),
                            out.size(), nullptr) == out.size();
}

EvpKey make_verifier(ByteSpan public_key) {
  if (!has_point_shape(public_key)) {
    return {};
  }
  EvpKey key(need(EVP_PKEY_new()));
  // Copying prepared parameters is three times faster than EVP_PKEY_fromdata.
  if (EVP_PKEY_copy_parameters(key.get(), algorithms().p256_parameters) != 1 ||
      EVP_PKEY_set1_encoded_public_key(key.get(), public_key.data(), public_key.size()) != 1) {
    ERR_clear_error();
    return {};
  }
  return key;
}

EvpKey make_signer(ByteSpan public_key, const BIGNUM* scalar) {
  std::array<unsigned char, private_key_size> native;
  if (BN_bn2nativepad(scalar, native.data(), native.size()) != static_cast<int>(private_key_size)) {
    return {};
  }
  const EvpKeyContext context(need(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)));
  char name[] = "P-256";
  Bytes point(public_key.begin(), public_key.end());
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
      OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native.data(), native.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  const bool made = EVP_PKEY_fromdata_init(context.get()) == 1 &&
                    EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters) == 1;
  OPENSSL_cleanse(native.data(), native.size());
  return EvpKey(made ? key : nullptr);
}

}  // namespace

struct KeyPair::Parsed {
  Secret32 scalar;
  std::array<std::uint8_t, public_key_size> point;
  Number number;
};

bool is_public_key(ByteSpan bytes) {
  return parse_point(bytes) != nullptr;
}

Result<KeyPair, Error> KeyPair::from_private(ByteSpan scalar) {
  if (scalar.size() != private_key_size) {
    return Failure{Error::bad_key};
  }
  auto parsed = std::make_shared<Parsed>();
  parsed->scalar = Secret32(scalar.first<private_key_size>());
  parsed->number.reset(need(BN_bin2bn(scalar.data(), private_key_size, nullptr)));
  BN_set_flags(parsed->number.get(), BN_FLG_CONSTTIME);
  const EC_GROUP* group = algorithms().p256;
  if (BN_is_zero(parsed->number.get()) ||
      BN_cmp(parsed->number.get(), EC_GROUP_get0_order(group)) >= 0) {
    return Failure{Error::bad_key};
  }
  const Point point(need(EC_POINT_new(group)));
  if (EC_POINT_mul(group, point.get(), parsed->number.get(), nullptr, nullptr, nullptr) != 1 ||
      !write_point(point.get(), parsed->point)) {
    ERR_clear_error();
    return Failure{Error::crypto_failure};
  }
  return KeyPair(std::move(parsed));
}

// A scalar out of range has a chance of 2^-32; a broken source would repeat it for ever.
Result<KeyPair, Error> KeyPair::generate(RandomSource& random) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    SecretBytes scalar(private_key_size);
    if (!random.fill(scalar.writable())) {
      return Failure{Error::no_randomness};
    }
    auto pair = from_private(scalar.view());
    if (pair || pair.error() != Error::bad_key) {
      return pair;
    }
  }
  return Failure{Error::no_randomness};
}

ByteSpan KeyPair::public_key() const noexcept {
  return parsed_->point;
}
const Secret32& KeyPair::private_key() const noexcept {
  return parsed_->scalar;
}

Result<Bytes, Error> KeyPair::sign(ByteSpan message) const {
  const EvpKey key = make_signer(parsed_->point, parsed_->number.get());
  const DigestContext context(need(EVP_MD_CTX_new()));
  Bytes signature(72);
  std::size_t size = signature.size();
  if (!key ||
      EVP_DigestSignInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, key.get(),
                            nullptr) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1) {
    ERR_clear_error();
    return Failure{Error::crypto_failure};
  }
  signature.resize(size);
  return signature;
}

// The cofactor of P-256 is 1, so a point of the curve is a point of the group and the product with
// a scalar below the order is never at infinity.
Result<Secret32, Error> KeyPair::agree(ByteSpan peer_public_key) const {
  const Point point = parse_point(peer_public_key);
  if (!point) {
    return Failure{Error::bad_key};
  }
  std::array<std::uint8_t, public_key_size> shared;
  if (EC_POINT_mul(algorithms().p256, point.get(), nullptr, point.get(), parsed_->number.get(),
                   nullptr) != 1 ||
      !write_point(point.get(), shared)) {
    ERR_clear_error();
    return Failure{Error::crypto_failure};
  }
  Secret32 x{std::span<const std::uint8_t, public_key_size>(shared).subspan<1, 32>()};
  OPENSSL_cleanse(shared.data(), shared.size());
  return x;
}

bool verify(ByteSpan public_key, ByteSpan message, ByteSpan signature) {
  const EvpKey key = make_verifier(public_key);
  if (!key) {
    return false;
  }
  const Hash digest = sha256(message);
  const EvpKeyContext context(need(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr)));
  const bool good = EVP_PKEY_verify_init(context.get()) == 1 &&
                    EVP_PKEY_verify(context.get(), signature.data(), signature.size(),
                                    digest.data(), digest.size()) == 1;
  if (!good) {
    ERR_clear_error();
  }
  return good;
}

}  // namespace discord::mls
