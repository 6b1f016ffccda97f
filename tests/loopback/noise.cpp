#include "noise.hpp"

#include "rtp/rtcp.hpp"

#include <array>

namespace discord::loopback {
namespace {

constexpr std::uint8_t video_payload_type = 101;
constexpr std::uint32_t default_video_ssrc = 990001;
constexpr Duration video_interval = std::chrono::microseconds(33333);
constexpr std::uint32_t server_ssrc = 1;

// Extension elements as seen on forwarded video: ids 2, 3, 4, 5 and 8.
constexpr std::array<std::uint8_t, 16> video_elements = {0x22, 0, 0,    0, 0x32, 1,    2, 3,
                                                         0x40, 0, 0x51, 0, 7,    0x80, 1, 0};

}  // namespace

Deadline Noise::next_deadline(const Call& call) const noexcept {
  if (!call.started()) {
    return {};
  }
  Deadline out = earlier(next_video_, earlier(next_rtcp_, next_forged_));
  // Something is switched on that has no time yet: now.
  if ((options_.video && !next_video_) || (options_.rtcp.count() > 0 && !next_rtcp_) ||
      (options_.forged > 0 && !next_forged_)) {
    out = Time{};
  }
  return out;
}

void Noise::advance(Call& call, Forwarder& forwarder, Time now) {
  if (!call.started()) {
    return;
  }
  // A late tick sends once and looks ahead: noise need not catch up.
  const auto due = [&](std::optional<Time>& next, bool on, Duration every) {
    if (!on) {
      next.reset();
      return false;
    }
    if (next && now < *next) {
      return false;
    }
    next = now + every;
    return true;
  };
  if (due(next_video_, options_.video, video_interval)) {
    send_video(call, forwarder, now);
  }
  if (due(next_rtcp_, options_.rtcp.count() > 0, options_.rtcp)) {
    send_rtcp(call, forwarder, now);
  }
  const bool forging = options_.forged > 0;
  if (due(next_forged_, forging,
          forging ? Duration(static_cast<Duration::rep>(1e9 / options_.forged)) : Duration{0})) {
    forge(call, forwarder, 1, now);
  }
}

void Noise::send_video(Call& call, Forwarder& forwarder, Time now) {
  std::uint32_t ssrc = default_video_ssrc;
  for (const auto& t : call.talkers()) {
    if (t->present && t->video_ssrc != 0) {
      ssrc = t->video_ssrc;
      break;
    }
  }
  video_timestamp_ += 3000;
  std::array<std::uint8_t, 900> body;
  for (int part = 0; part < 2; ++part) {
    for (std::uint8_t& b : body) {
      b = static_cast<std::uint8_t>(random_.next());
    }
    rtp::PacketParts parts;
    parts.header.payload_type = video_payload_type;
    parts.header.marker = part == 1;
    parts.header.sequence = video_sequence_++;
    parts.header.timestamp = video_timestamp_;
    parts.header.ssrc = ssrc;
    parts.has_extension = true;
    parts.elements = video_elements;
    parts.payload = body;
    forwarder.each(call.options().guild_id,
                   [&](MediaPath& path) { forwarder.send_rtp(path, parts, now); });
  }
}

void Noise::send_rtcp(Call& call, Forwarder& forwarder, Time now) {
  std::array<std::uint8_t, 256> buffer;
  forwarder.each(call.options().guild_id, [&](MediaPath& path) {
    rtp::ReportBlock block;
    block.ssrc = path.ssrc();
    const std::size_t size = rtp::write_receiver_report(server_ssrc, std::span(&block, 1), buffer);
    forwarder.send_rtcp(path, ByteSpan(buffer).first(size), now);
  });
  for (const auto& t : call.talkers()) {
    if (!t->present || t->truth.records.empty()) {
      continue;
    }
    const auto ns = static_cast<std::uint64_t>(to_ns(now));
    const std::uint64_t ntp =
        ((ns / 1'000'000'000) << 32) | (((ns % 1'000'000'000) << 32) / 1'000'000'000);
    std::size_t size =
        rtp::write_sender_report(t->truth.ssrc, ntp, t->truth.records.back().timestamp,
                                 static_cast<std::uint32_t>(t->truth.packets), 0, {}, buffer);
    size += rtp::write_sdes_cname(t->truth.ssrc, "loopback", MutableByteSpan(buffer).subspan(size));
    forwarder.each(call.options().guild_id, [&](MediaPath& path) {
      forwarder.send_rtcp(path, ByteSpan(buffer).first(size), now);
    });
  }
}

std::uint64_t Noise::forge(Call& call, Forwarder& forwarder, std::uint64_t count, Time now) {
  std::uint64_t sent = 0;
  std::array<std::uint8_t, 16 + 80 + 16 + 4> datagram;
  for (std::uint64_t i = 0; i < count; ++i) {
    for (std::uint8_t& b : datagram) {
      b = static_cast<std::uint8_t>(random_.next());
    }
    const std::size_t who = random_.below(call.talkers().size() + 1);
    datagram[0] = 0x90;
    datagram[1] = audio_payload_type;
    store_be32(datagram.data() + 8, who < call.talkers().size()
                                        ? call.talkers()[who]->truth.ssrc
                                        : static_cast<std::uint32_t>(random_.next()));
    store_be16(datagram.data() + 12, 0xBEDE);
    store_be16(datagram.data() + 14, 1);
    forwarder.each(call.options().guild_id, [&](MediaPath& path) {
      sent += forwarder.send_raw(path, datagram, now) ? 1 : 0;
    });
  }
  return sent;
}

}  // namespace discord::loopback
