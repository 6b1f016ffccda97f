// libcrypto objects behind crypto.cpp and keys.cpp; private to the room. Fetching an algorithm
// costs more than a small hash does, so each is fetched once for the life of the process.
#pragma once

#include "base/bytes.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <memory>
#include <new>

namespace discord::mls {

template <auto Free> struct Deleter {
  template <class T> void operator()(T* object) const noexcept { Free(object); }
};
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Deleter<EVP_CIPHER_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using EvpKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using EvpKeyContext = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using Point = std::unique_ptr<EC_POINT, Deleter<EC_POINT_clear_free>>;
using Number = std::unique_ptr<BIGNUM, Deleter<BN_clear_free>>;
using NumberContext = std::unique_ptr<BN_CTX, Deleter<BN_CTX_free>>;

// Throws unless libcrypto gave what was asked for.
template <class T> T* need(T* object) {
  if (object == nullptr) {
    throw std::bad_alloc();
  }
  return object;
}

struct Algorithms {
  EVP_MD* sha256;
  EVP_CIPHER* aes128_gcm;
  EC_GROUP* p256;
  EVP_PKEY* p256_parameters;  // a key without a key, to be copied: parsing the name anew is slow
};
const Algorithms& algorithms();

}  // namespace discord::mls
