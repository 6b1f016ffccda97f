#include "rtp/rtcp.hpp"

#include <algorithm>

namespace discord::rtp {
namespace {

enum Type : std::uint8_t {
  sr = 200,
  rr = 201,
  sdes = 202,
  bye = 203,
  app = 204,
  rtpfb = 205,
  psfb = 206
};

constexpr std::size_t header_bytes = 4;
constexpr std::uint8_t cname_item = 1;
constexpr std::size_t max_count = 31;

// Sign-extends the 24-bit number of lost packets.
std::int32_t load_be24_signed(const std::uint8_t* p) noexcept {
  const std::uint32_t raw = load_be32(p) >> 8;
  return static_cast<std::int32_t>(raw ^ 0x800000u) - 0x800000;
}

Result<ReportBlocks, RtcpError> report_blocks(ByteSpan rest, std::uint8_t count) noexcept {
  const std::size_t size = count * ReportBlocks::block_size;
  if (rest.size() < size) {
    return Failure{RtcpError::bad_body};
  }
  return ReportBlocks(rest.first(size));  // what follows is a profile's own extension
}

Result<RtcpPacket, RtcpError> parse_sender_report(ByteSpan body, std::uint8_t count) noexcept {
  if (body.size() < 24) {
    return Failure{RtcpError::bad_body};
  }
  SenderReport out;
  out.ssrc = load_be32(body.data());
  out.ntp = load_be64(body.data() + 4);
  out.rtp_timestamp = load_be32(body.data() + 12);
  out.packet_count = load_be32(body.data() + 16);
  out.octet_count = load_be32(body.data() + 20);
  const auto blocks = report_blocks(body.subspan(24), count);
  if (!blocks) {
    return Failure{blocks.error()};
  }
  out.blocks = *blocks;
  return RtcpPacket(out);
}

Result<RtcpPacket, RtcpError> parse_receiver_report(ByteSpan body, std::uint8_t count) noexcept {
  if (body.size() < 4) {
    return Failure{RtcpError::bad_body};
  }
  ReceiverReport out;
  out.ssrc = load_be32(body.data());
  const auto blocks = report_blocks(body.subspan(4), count);
  if (!blocks) {
    return Failure{blocks.error()};
  }
  out.blocks = *blocks;
  return RtcpPacket(out);
}

Result<RtcpPacket, RtcpError> parse_bye(ByteSpan body, std::uint8_t count) noexcept {
  const std::size_t size = 4u * count;
  if (body.size() < size) {
    return Failure{RtcpError::bad_body};
  }
  Bye out;
  out.sources = body.first(size);
  const ByteSpan rest = body.subspan(size);
  if (!rest.empty()) {
    if (rest[0] > rest.size() - 1) {
      return Failure{RtcpError::bad_body};
    }
    out.reason = rest.subspan(1, rest[0]);
  }
  return RtcpPacket(out);
}

Result<RtcpPacket, RtcpError> parse_app(ByteSpan body, std::uint8_t subtype) noexcept {
  if (body.size() < 8) {
    return Failure{RtcpError::bad_body};
  }
  App out;
  out.subtype = subtype;
  out.ssrc = load_be32(body.data());
  std::copy_n(body.begin() + 4, 4, out.name.begin());
  out.data = body.subspan(8);
  return RtcpPacket(out);
}

Result<RtcpPacket, RtcpError> parse_feedback(ByteSpan body, std::uint8_t type,
                                             std::uint8_t format) noexcept {
  if (body.size() < 8) {
    return Failure{RtcpError::bad_body};
  }
  return RtcpPacket(RtcpFeedback{type, format, load_be32(body.data()), load_be32(body.data() + 4),
                                 body.subspan(8)});
}

// Writes the common header for a packet of `size` bytes, a multiple of four.
void write_common(std::uint8_t count, std::uint8_t type, std::size_t size,
                  MutableByteSpan out) noexcept {
  out[0] = static_cast<std::uint8_t>(0x80 | count);
  out[1] = type;
  store_be16(out.data() + 2, static_cast<std::uint16_t>(size / 4 - 1));
}

void write_blocks(std::span<const ReportBlock> blocks, std::uint8_t* at) noexcept {
  for (const ReportBlock& block : blocks) {
    store_be32(at, block.ssrc);
    store_be32(at + 4, (std::uint32_t{block.fraction_lost} << 24) |
                           (static_cast<std::uint32_t>(block.cumulative_lost) & 0xFFFFFFu));
    store_be32(at + 8, block.highest_sequence);
    store_be32(at + 12, block.jitter);
    store_be32(at + 16, block.last_sr);
    store_be32(at + 20, block.delay_since_last_sr);
    at += ReportBlocks::block_size;
  }
}

}  // namespace

// The one walk over chunks serves checking and visiting, so that they cannot disagree.
struct SdesCheck {
  static Result<RtcpPacket, RtcpError> parse(ByteSpan body, std::uint8_t count) noexcept {
    const auto ignore = [](std::uint32_t, std::uint8_t, ByteSpan) {};
    if (!SourceDescription::walk(body, count, ignore)) {
      return Failure{RtcpError::bad_body};
    }
    return RtcpPacket(SourceDescription(body, count));
  }
};

ReportBlock ReportBlocks::at(std::size_t i) const noexcept {
  const std::uint8_t* p = bytes_.data() + i * block_size;
  return {load_be32(p),
          p[4],
          load_be24_signed(p + 5),
          load_be32(p + 8),
          load_be32(p + 12),
          load_be32(p + 16),
          load_be32(p + 20)};
}

Result<RtcpPacket, RtcpError> CompoundReader::next() noexcept {
  if (rest_.size() < header_bytes) {
    return refuse(RtcpError::truncated);
  }
  if (rest_[0] >> 6 != 2) {
    return refuse(RtcpError::bad_version);
  }
  const bool padding = (rest_[0] & 0x20) != 0;
  const auto count = static_cast<std::uint8_t>(rest_[0] & 0x1F);
  const std::uint8_t type = rest_[1];
  const std::size_t size = (load_be16(rest_.data() + 2) + std::size_t{1}) * 4;
  if (size > rest_.size()) {
    return refuse(RtcpError::truncated);
  }
  ByteSpan body = rest_.subspan(header_bytes, size - header_bytes);
  const ByteSpan behind = rest_.subspan(size);
  if (padding) {
    // RFC 3550 section 6.4.1: only the last packet is padded, by whole words.
    if (!behind.empty() || body.empty() || body.back() == 0 || body.back() % 4 != 0 ||
        body.back() > body.size()) {
      return refuse(RtcpError::bad_padding);
    }
    body = body.first(body.size() - body.back());
  }
  auto parsed = [&]() -> Result<RtcpPacket, RtcpError> {
    switch (type) {
      case sr:
        return parse_sender_report(body, count);
      case rr:
        return parse_receiver_report(body, count);
      case sdes:
        return SdesCheck::parse(body, count);
      case bye:
        return parse_bye(body, count);
      case app:
        return parse_app(body, count);
      case rtpfb:
      case psfb:
        return parse_feedback(body, type, count);
      default:
        return RtcpPacket(UnknownRtcp{type, count, body});
    }
  }();
  if (!parsed) {
    return refuse(parsed.error());
  }
  rest_ = behind;
  return parsed;
}

std::size_t write_receiver_report(std::uint32_t ssrc, std::span<const ReportBlock> blocks,
                                  MutableByteSpan out) noexcept {
  const std::size_t size = 8 + blocks.size() * ReportBlocks::block_size;
  if (blocks.size() > max_count || out.size() < size) {
    return 0;
  }
  write_common(static_cast<std::uint8_t>(blocks.size()), rr, size, out);
  store_be32(out.data() + 4, ssrc);
  write_blocks(blocks, out.data() + 8);
  return size;
}

std::size_t write_sender_report(std::uint32_t ssrc, std::uint64_t ntp, std::uint32_t rtp_timestamp,
                                std::uint32_t packet_count, std::uint32_t octet_count,
                                std::span<const ReportBlock> blocks, MutableByteSpan out) noexcept {
  const std::size_t size = 28 + blocks.size() * ReportBlocks::block_size;
  if (blocks.size() > max_count || out.size() < size) {
    return 0;
  }
  write_common(static_cast<std::uint8_t>(blocks.size()), sr, size, out);
  store_be32(out.data() + 4, ssrc);
  store_be64(out.data() + 8, ntp);
  store_be32(out.data() + 16, rtp_timestamp);
  store_be32(out.data() + 20, packet_count);
  store_be32(out.data() + 24, octet_count);
  write_blocks(blocks, out.data() + 28);
  return size;
}

std::size_t write_sdes_cname(std::uint32_t ssrc, std::string_view cname,
                             MutableByteSpan out) noexcept {
  // SSRC, type, length, text, then at least one zero up to the next word.
  const std::size_t size = (header_bytes + 4 + 2 + cname.size() + 1 + 3) & ~std::size_t{3};
  if (cname.size() > 255 || out.size() < size) {
    return 0;
  }
  std::fill_n(out.begin(), size, std::uint8_t{0});
  write_common(1, sdes, size, out);
  store_be32(out.data() + 4, ssrc);
  out[8] = cname_item;
  out[9] = static_cast<std::uint8_t>(cname.size());
  std::copy(cname.begin(), cname.end(), out.begin() + 10);
  return size;
}

std::size_t write_bye(std::uint32_t ssrc, std::string_view reason, MutableByteSpan out) noexcept {
  const std::size_t reason_size = reason.empty() ? 0 : (1 + reason.size() + 3) & ~std::size_t{3};
  const std::size_t size = header_bytes + 4 + reason_size;
  if (reason.size() > 255 || out.size() < size) {
    return 0;
  }
  std::fill_n(out.begin(), size, std::uint8_t{0});
  write_common(1, bye, size, out);
  store_be32(out.data() + 4, ssrc);
  if (!reason.empty()) {
    out[8] = static_cast<std::uint8_t>(reason.size());
    std::copy(reason.begin(), reason.end(), out.begin() + 9);
  }
  return size;
}

}  // namespace discord::rtp
