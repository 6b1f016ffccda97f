#include "dave/codes.hpp"

#include <openssl/evp.h>
#include <algorithm>

namespace discord::dave {
namespace {

constexpr std::uint16_t fingerprint_version = 0;
constexpr std::size_t max_group = 8;
// Fixed for everybody, so that both sides get the same number.
constexpr std::array<std::uint8_t, 16> salt{0x24, 0xca, 0xb1, 0x7a, 0x7a, 0xf8, 0xec, 0x2b,
                                            0x82, 0xb4, 0x12, 0xb9, 0x2d, 0xab, 0x19, 0x2e};
constexpr std::uint64_t scrypt_n = 16384, scrypt_r = 8, scrypt_p = 2;
constexpr std::uint64_t scrypt_memory = 64u << 20;

}  // namespace

std::optional<std::string> displayable_code(ByteSpan data, std::size_t length, std::size_t group) {
  if (group == 0 || group > max_group || length % group != 0 || data.size() < length) {
    return std::nullopt;
  }
  std::uint64_t modulus = 1;
  for (std::size_t i = 0; i < group; ++i) {
    modulus *= 10;
  }
  std::string code;
  code.reserve(length);
  for (std::size_t at = 0; at < length; at += group) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : data.subspan(at, group)) {
      value = value << 8 | byte;
    }
    const std::string digits = std::to_string(value % modulus);
    code.append(group - digits.size(), '0').append(digits);
  }
  return code;
}

std::string voice_privacy_code(ByteSpan epoch_authenticator) {
  return displayable_code(epoch_authenticator, privacy_code_digits, code_group).value_or("");
}

Bytes key_fingerprint(ByteSpan signature_public_key, std::uint64_t user) {
  Bytes out(2 + signature_public_key.size() + 8);
  store_be16(out.data(), fingerprint_version);
  std::copy(signature_public_key.begin(), signature_public_key.end(), out.begin() + 2);
  store_be64(out.data() + out.size() - 8, user);
  return out;
}

std::optional<std::array<std::uint8_t, pairwise_fingerprint_size>> pairwise_fingerprint(
    ByteSpan key_a, std::uint64_t user_a, ByteSpan key_b, std::uint64_t user_b) {
  Bytes first = key_fingerprint(key_a, user_a);
  Bytes second = key_fingerprint(key_b, user_b);
  if (second < first) {
    first.swap(second);
  }
  first.insert(first.end(), second.begin(), second.end());
  std::array<std::uint8_t, pairwise_fingerprint_size> out;
  if (EVP_PBE_scrypt(reinterpret_cast<const char*>(first.data()), first.size(), salt.data(),
                     salt.size(), scrypt_n, scrypt_r, scrypt_p, scrypt_memory, out.data(),
                     out.size()) != 1) {
    return std::nullopt;
  }
  return out;
}

std::optional<std::string> verification_code(ByteSpan key_a, std::uint64_t user_a, ByteSpan key_b,
                                             std::uint64_t user_b) {
  const auto fingerprint = pairwise_fingerprint(key_a, user_a, key_b, user_b);
  return fingerprint ? displayable_code(*fingerprint, verification_code_digits, code_group)
                     : std::nullopt;
}

}  // namespace discord::dave
