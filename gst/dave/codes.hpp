// Numbers that people compare to convince themselves of the encryption (docs/protocol.md
// "DAVE codes").
#pragma once

#include "base/bytes.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace discord::dave {

inline constexpr std::size_t privacy_code_digits = 30;
inline constexpr std::size_t verification_code_digits = 45;
inline constexpr std::size_t code_group = 5;
inline constexpr std::size_t pairwise_fingerprint_size = 64;

// `length` digits, made of groups of `group` digits from as many bytes of `data` each. Nothing when
// the group is 0 or above 8, the length is no multiple of it, or data is shorter than the length.
std::optional<std::string> displayable_code(ByteSpan data, std::size_t length, std::size_t group);

// 30 digits that all members of an epoch share, from its authenticator (32 bytes; else empty).
std::string voice_privacy_code(ByteSpan epoch_authenticator);

// Version 0 of what stands for one user and its signature key.
Bytes key_fingerprint(ByteSpan signature_public_key, std::uint64_t user);

// 64 bytes that two users share. Memory-hard on purpose: about 60 ms and 32 MiB, so not for a
// streaming thread. The order of the two does not matter. Nothing when memory is short.
std::optional<std::array<std::uint8_t, pairwise_fingerprint_size>> pairwise_fingerprint(
    ByteSpan key_a, std::uint64_t user_a, ByteSpan key_b, std::uint64_t user_b);

// The 45 digits two users compare; as slow as the fingerprint it is made from.
std::optional<std::string> verification_code(ByteSpan key_a, std::uint64_t user_a, ByteSpan key_b,
                                             std::uint64_t user_b);

}  // namespace discord::dave
