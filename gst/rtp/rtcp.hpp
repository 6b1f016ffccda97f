// RTCP in the clear (RFC 3550 section 6): reading a compound packet one by one, and writing the few
// that a test server sends.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <array>
#include <optional>
#include <variant>

namespace discord::rtp {

inline constexpr std::size_t rtcp_clear_size = 8;  // header and sender SSRC

struct ReportBlock {
  std::uint32_t ssrc = 0;
  std::uint8_t fraction_lost = 0;    // of 256
  std::int32_t cumulative_lost = 0;  // 24 bits, signed: duplicates make it negative
  std::uint32_t highest_sequence = 0;
  std::uint32_t jitter = 0;               // timestamp units
  std::uint32_t last_sr = 0;              // middle 32 bits of the NTP time, 0 = none yet
  std::uint32_t delay_since_last_sr = 0;  // 1/65536 s

  friend bool operator==(const ReportBlock&, const ReportBlock&) = default;
};

// A view over report blocks; `at(i)` for i < size().
class ReportBlocks {
 public:
  static constexpr std::size_t block_size = 24;
  ReportBlocks() = default;
  explicit ReportBlocks(ByteSpan whole_blocks) noexcept : bytes_(whole_blocks) {}
  std::size_t size() const noexcept { return bytes_.size() / block_size; }
  ReportBlock at(std::size_t i) const noexcept;

 private:
  ByteSpan bytes_;
};

struct SenderReport {
  std::uint32_t ssrc = 0;
  std::uint64_t ntp = 0;  // 32.32 seconds since 1900
  std::uint32_t rtp_timestamp = 0;
  std::uint32_t packet_count = 0;
  std::uint32_t octet_count = 0;
  ReportBlocks blocks;
};

struct ReceiverReport {
  std::uint32_t ssrc = 0;
  ReportBlocks blocks;
};

// Chunks have been checked; visiting cannot fail.
class SourceDescription {
 public:
  SourceDescription() = default;
  SourceDescription(ByteSpan chunks, std::uint8_t count) noexcept
      : chunks_(chunks), count_(count) {}
  std::uint8_t chunk_count() const noexcept { return count_; }
  // Calls `visit(ssrc, item type, text)` for each item; type 1 is CNAME.
  template <class Visitor> void for_each_item(Visitor&& visit) const {
    walk(chunks_, count_, visit);
  }

 private:
  friend struct SdesCheck;
  template <class Visitor> static bool walk(ByteSpan chunks, std::uint8_t count, Visitor& visit);

  ByteSpan chunks_;
  std::uint8_t count_ = 0;
};

struct Bye {
  ByteSpan sources;  // 4 bytes each
  std::optional<ByteSpan> reason;

  std::size_t size() const noexcept { return sources.size() / 4; }
  std::uint32_t source(std::size_t i) const noexcept { return load_be32(sources.data() + 4 * i); }
};

struct App {
  std::uint8_t subtype = 0;
  std::uint32_t ssrc = 0;
  std::array<char, 4> name{};
  ByteSpan data;
};

// Transport-layer (205) and payload-specific (206) feedback, RFC 4585 section 6.1.
struct RtcpFeedback {
  std::uint8_t type = 0;
  std::uint8_t format = 0;
  std::uint32_t sender_ssrc = 0;
  std::uint32_t media_ssrc = 0;
  ByteSpan control;
};

// A type this reader does not know; stepping over it is safe.
struct UnknownRtcp {
  std::uint8_t type = 0;
  std::uint8_t count = 0;
  ByteSpan body;
};

using RtcpPacket = std::variant<SenderReport, ReceiverReport, SourceDescription, Bye, App,
                                RtcpFeedback, UnknownRtcp>;

enum class RtcpError {
  truncated,  // fewer bytes than a header, or than the length field says
  bad_version,
  bad_padding,  // count 0, not whole words, more than the packet, or not in the last packet
  bad_body,     // counts in the header promise more than the packet holds
};

// Walks a compound by the length fields. After a refusal `at_end()` is true: where one packet lies
// about its size, no later boundary can be trusted.
class CompoundReader {
 public:
  explicit CompoundReader(ByteSpan compound) noexcept : rest_(compound) {}
  bool at_end() const noexcept { return rest_.empty(); }
  // The next packet; asked at the end it is `truncated`. Views point into the compound.
  Result<RtcpPacket, RtcpError> next() noexcept;

 private:
  Result<RtcpPacket, RtcpError> refuse(RtcpError error) noexcept {
    rest_ = {};
    return Failure{error};
  }
  ByteSpan rest_;
};

// Writers: bytes written, or 0 when `out` is too small or there are more than 31 blocks. A compound
// is one after another.
std::size_t write_receiver_report(std::uint32_t ssrc, std::span<const ReportBlock> blocks,
                                  MutableByteSpan out) noexcept;
std::size_t write_sender_report(std::uint32_t ssrc, std::uint64_t ntp, std::uint32_t rtp_timestamp,
                                std::uint32_t packet_count, std::uint32_t octet_count,
                                std::span<const ReportBlock> blocks, MutableByteSpan out) noexcept;
// One chunk with one CNAME item of at most 255 bytes.
std::size_t write_sdes_cname(std::uint32_t ssrc, std::string_view cname,
                             MutableByteSpan out) noexcept;
// One source; an empty reason is left out.
std::size_t write_bye(std::uint32_t ssrc, std::string_view reason, MutableByteSpan out) noexcept;

template <class Visitor>
bool SourceDescription::walk(ByteSpan chunks, std::uint8_t count, Visitor& visit) {
  std::size_t at = 0;
  for (unsigned chunk = 0; chunk < count; ++chunk) {
    if (chunks.size() - at < 8) {  // an SSRC and at least one word that ends the list
      return false;
    }
    const std::uint32_t ssrc = load_be32(chunks.data() + at);
    at += 4;
    while (at < chunks.size() && chunks[at] != 0) {
      if (chunks.size() - at < 2 || chunks.size() - at - 2 < chunks[at + 1]) {
        return false;
      }
      visit(ssrc, chunks[at], chunks.subspan(at + 2, chunks[at + 1]));
      at += 2u + chunks[at + 1];
    }
    if (at >= chunks.size()) {
      return false;  // the list has no terminator
    }
    at = (at + 4) & ~std::size_t{3};  // at least one zero, then up to the next word
  }
  return true;
}

}  // namespace discord::rtp
