// CRC-32C (Castagnoli), which RFC 3720 section 12.1 describes: finds every burst of up to 32 bits.
#pragma once

#include "base/bytes.hpp"

namespace discord::record {

// The checksum of `bytes`, or of more bytes behind those whose checksum `before` is.
std::uint32_t crc32c(ByteSpan bytes, std::uint32_t before = 0) noexcept;

}  // namespace discord::record
