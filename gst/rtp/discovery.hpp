// IP discovery and keepalive pings: the only datagrams that are not sealed.
// docs/protocol.md "IP discovery" and "Keepalive pings".
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <array>
#include <optional>
#include <string>

namespace discord::rtp {

inline constexpr std::size_t discovery_size = 74;
inline constexpr std::size_t ping_size = 8;

using DiscoveryDatagram = std::array<std::uint8_t, discovery_size>;
using PingDatagram = std::array<std::uint8_t, ping_size>;

// Our address as the server sees it.
struct DiscoveryReply {
  std::uint32_t ssrc = 0;
  std::array<std::uint8_t, 4> octets{};
  std::uint16_t port = 0;  // host order, never 0

  // Dotted text, as Select Protocol wants it.
  std::string address() const;
};

enum class DiscoveryError {
  bad_size,      // not 74 bytes
  bad_type,      // not a reply, e.g. our own request reflected
  bad_length,    // length field is not 70
  wrong_ssrc,    // somebody else's
  unterminated,  // no NUL in the address field
  bad_address,   // not an IPv4 literal
  zero_port,
};

// A request with everything but type, length and SSRC zeroed; servers ignore one with filler.
DiscoveryDatagram make_discovery_request(std::uint32_t ssrc) noexcept;

// Reads a reply without comparing its SSRC.
Result<DiscoveryReply, DiscoveryError> parse_discovery_reply(ByteSpan datagram) noexcept;
// Reads a reply and refuses one that is not for `own_ssrc`.
Result<DiscoveryReply, DiscoveryError> parse_discovery_reply(ByteSpan datagram,
                                                             std::uint32_t own_ssrc) noexcept;

// A keepalive ping; the server echoes the sequence, or does not: a missing answer means nothing.
PingDatagram make_ping(std::uint32_t sequence) noexcept;
// The sequence of a ping's answer; nothing when it is not one.
std::optional<std::uint32_t> parse_ping_reply(ByteSpan datagram) noexcept;

// The reply a server gives; nothing when `address` is not an IPv4 literal or `port` is 0.
std::optional<DiscoveryDatagram> make_discovery_reply(std::uint32_t ssrc, std::string_view address,
                                                      std::uint16_t port) noexcept;
// What a strict server answers to a clear datagram that came from `address`:`port`; nothing for
// everything but a clean discovery request and a ping.
std::optional<Bytes> server_side_reply(ByteSpan datagram, std::string_view address,
                                       std::uint16_t port);

}  // namespace discord::rtp
