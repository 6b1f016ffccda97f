// Opening and sealing datagrams. One `Cipher` per key; its contexts are made once and reused, and a
// packet costs no allocation.
#pragma once

#include "rtp/packet.hpp"
#include "rtp/rtcp.hpp"
#include "transport/mode.hpp"

#include <memory>

namespace discord::transport {

enum class OpenError {
  too_short,      // cannot hold its clear prefix, tag and nonce
  bad_version,    // not version 2
  bad_extension,  // authentic, but the extension reaches past the end
  not_authentic,  // wrong key, changed, or not for this mode
  bad_padding,    // authentic, but the padding count is impossible
};
const char* to_string(OpenError error) noexcept;

// An authentic packet. Everything points into the datagram that was opened.
struct OpenedRtp {
  rtp::Header header;       // as on the wire: P and X still say what had been there
  MutableByteSpan payload;  // without extension and padding; empty is legal
  rtp::AudioExtension extension;
  MutableByteSpan packet;  // the whole RTP packet in the clear, extension and padding included
};

enum class SealError {
  too_small,   // `out` is shorter than `sealed_size`
  bad_packet,  // not something that can be sealed: header, CSRC list or preamble do not fit
};

// Which half of the nonce space a sender counts in. Both sides seal with the same key, so a test
// server and its client must never use the same nonce.
enum class Side { client, server };

// Hands out nonce counters for one key; RTP and RTCP of a sender share one.
class NonceCounter {
 public:
  explicit NonceCounter(Side side = Side::client) noexcept
      : top_(side == Side::server ? 0x80000000u : 0u) {}
  // Nothing once the half is used up (2^31 packets): the key must change.
  std::optional<std::uint32_t> next() noexcept {
    if (used_ == 0x80000000u) {
      return std::nullopt;
    }
    return top_ | used_++;
  }

 private:
  std::uint32_t top_;
  std::uint32_t used_ = 0;
};

// Not for use by two threads at once.
class Cipher {
 public:
  // Throws std::bad_alloc when a crypto library cannot be set up; nothing else ever throws.
  Cipher(Mode mode, const Key& key);
  ~Cipher();
  Cipher(Cipher&&) noexcept;
  Cipher& operator=(Cipher&&) noexcept;
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;

  Mode mode() const noexcept { return mode_; }

  // Decrypts in place. After a refusal the datagram's contents are scratch, and the cipher is as
  // good as before.
  Result<OpenedRtp, OpenError> open_rtp(MutableByteSpan datagram) noexcept;
  // Decrypts in place; the compound (8 clear bytes and what was sealed) as one run of bytes inside
  // the datagram, to be read with `rtp::CompoundReader`.
  Result<MutableByteSpan, OpenError> open_rtcp(MutableByteSpan datagram) noexcept;

  // Bytes a plain packet or compound of that size takes once sealed.
  std::size_t sealed_size(std::size_t plain_size) const noexcept {
    return plain_size + traits(mode_).overhead();
  }
  std::size_t sealed_size(const rtp::PacketParts& parts) const noexcept {
    return sealed_size(rtp::packet_size(parts));
  }

  // Writes the sealed datagram to the front of `out` and returns that part. `counter` must never
  // come twice for one key (`xsalsa20_poly1305` ignores it: there the header is the nonce).
  Result<MutableByteSpan, SealError> seal_rtp(const rtp::PacketParts& parts, std::uint32_t counter,
                                              MutableByteSpan out) noexcept;
  // The same for a packet that is written already; its insides are not checked, so that tests can
  // seal malformed ones. `plain` must not overlap `out`.
  Result<MutableByteSpan, SealError> seal_plain_rtp(ByteSpan plain, std::uint32_t counter,
                                                    MutableByteSpan out) noexcept;
  // Seals an RTCP compound of at least 8 bytes, which must not overlap `out`.
  Result<MutableByteSpan, SealError> seal_rtcp(ByteSpan compound, std::uint32_t counter,
                                               MutableByteSpan out) noexcept;

 private:
  class Engine;
  Result<MutableByteSpan, OpenError> open(MutableByteSpan datagram, std::size_t clear) noexcept;
  Result<MutableByteSpan, SealError> seal(std::size_t plain_size, std::size_t clear,
                                          std::uint32_t counter, MutableByteSpan out) noexcept;

  Mode mode_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace discord::transport
