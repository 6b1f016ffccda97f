#include "rtp/discovery.hpp"

#include <algorithm>

namespace discord::rtp {
namespace {

constexpr std::uint16_t request_type = 1;
constexpr std::uint16_t reply_type = 2;
constexpr std::uint16_t body_length = 70;
constexpr std::size_t address_at = 8;
constexpr std::size_t address_size = 64;
constexpr std::size_t port_at = 72;
constexpr std::uint32_t ping_request_magic = 0x1337CAFE;
constexpr std::uint32_t ping_reply_magic = 0x1337F00D;

// Four decimal numbers without leading zeros: other readings of "010" differ between libraries.
std::optional<std::array<std::uint8_t, 4>> parse_ipv4(std::string_view text) noexcept {
  std::array<std::uint8_t, 4> octets{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    if (i > 0 && (at >= text.size() || text[at++] != '.')) {
      return std::nullopt;
    }
    const std::size_t start = at;
    unsigned value = 0;
    while (at < text.size() && at - start < 3 && text[at] >= '0' && text[at] <= '9') {
      value = value * 10 + static_cast<unsigned>(text[at++] - '0');
    }
    const std::size_t digits = at - start;
    if (digits == 0 || value > 255 || (digits > 1 && text[start] == '0')) {
      return std::nullopt;
    }
    octets[i] = static_cast<std::uint8_t>(value);
  }
  return at == text.size() ? std::optional(octets) : std::nullopt;
}

}  // namespace

std::string DiscoveryReply::address() const {
  std::string text;
  for (const std::uint8_t octet : octets) {
    if (!text.empty()) {
      text += '.';
    }
    text += std::to_string(octet);
  }
  return text;
}

DiscoveryDatagram make_discovery_request(std::uint32_t ssrc) noexcept {
  DiscoveryDatagram out{};
  store_be16(out.data(), request_type);
  store_be16(out.data() + 2, body_length);
  store_be32(out.data() + 4, ssrc);
  return out;
}

Result<DiscoveryReply, DiscoveryError> parse_discovery_reply(ByteSpan datagram) noexcept {
  if (datagram.size() != discovery_size) {
    return Failure{DiscoveryError::bad_size};
  }
  if (load_be16(datagram.data()) != reply_type) {
    return Failure{DiscoveryError::bad_type};
  }
  if (load_be16(datagram.data() + 2) != body_length) {
    return Failure{DiscoveryError::bad_length};
  }
  const ByteSpan field = datagram.subspan(address_at, address_size);
  const auto end = std::find(field.begin(), field.end(), std::uint8_t{0});
  if (end == field.end()) {
    return Failure{DiscoveryError::unterminated};
  }
  const auto octets = parse_ipv4(
      {reinterpret_cast<const char*>(field.data()), static_cast<std::size_t>(end - field.begin())});
  if (!octets) {
    return Failure{DiscoveryError::bad_address};
  }
  DiscoveryReply reply;
  reply.ssrc = load_be32(datagram.data() + 4);
  reply.octets = *octets;
  reply.port = load_be16(datagram.data() + port_at);
  if (reply.port == 0) {
    return Failure{DiscoveryError::zero_port};
  }
  return reply;
}

Result<DiscoveryReply, DiscoveryError> parse_discovery_reply(ByteSpan datagram,
                                                             std::uint32_t own_ssrc) noexcept {
  auto reply = parse_discovery_reply(datagram);
  if (reply.ok() && reply->ssrc != own_ssrc) {
    return Failure{DiscoveryError::wrong_ssrc};
  }
  return reply;
}

PingDatagram make_ping(std::uint32_t sequence) noexcept {
  PingDatagram out;
  store_be32(out.data(), ping_request_magic);
  store_be32(out.data() + 4, sequence);
  return out;
}

std::optional<std::uint32_t> parse_ping_reply(ByteSpan datagram) noexcept {
  if (datagram.size() != ping_size || load_be32(datagram.data()) != ping_reply_magic) {
    return std::nullopt;
  }
  return load_be32(datagram.data() + 4);
}

std::optional<DiscoveryDatagram> make_discovery_reply(std::uint32_t ssrc, std::string_view address,
                                                      std::uint16_t port) noexcept {
  if (!parse_ipv4(address) || port == 0) {
    return std::nullopt;
  }
  DiscoveryDatagram out{};
  store_be16(out.data(), reply_type);
  store_be16(out.data() + 2, body_length);
  store_be32(out.data() + 4, ssrc);
  std::copy(address.begin(), address.end(), out.begin() + address_at);
  store_be16(out.data() + port_at, port);
  return out;
}

std::optional<Bytes> server_side_reply(ByteSpan datagram, std::string_view address,
                                       std::uint16_t port) {
  if (datagram.size() == ping_size && load_be32(datagram.data()) == ping_request_magic) {
    Bytes reply(datagram.begin(), datagram.end());
    store_be32(reply.data(), ping_reply_magic);
    return reply;
  }
  if (datagram.size() != discovery_size) {
    return std::nullopt;
  }
  const std::uint32_t ssrc = load_be32(datagram.data() + 4);
  // Equal to the one clean request there is: right type and length, and no filler.
  const DiscoveryDatagram clean = make_discovery_request(ssrc);
  if (!std::equal(clean.begin(), clean.end(), datagram.begin())) {
    return std::nullopt;
  }
  const auto reply = make_discovery_reply(ssrc, address, port);
  if (!reply) {
    return std::nullopt;
  }
  return Bytes(reply->begin(), reply->end());
}

}  // namespace discord::rtp
