#include "forwarder.hpp"

#include "rtp/discovery.hpp"

#include <charconv>

namespace discord::loopback {
namespace {

constexpr std::size_t stall_limit = 8192;

bool is_ping(ByteSpan b) {
  return b.size() == rtp::ping_size && load_be32(b.data()) == 0x1337CAFE;
}

}  // namespace

std::string to_text(const Address& a) {
  return std::to_string(a.ip >> 24) + "." + std::to_string((a.ip >> 16) & 255) + "." +
         std::to_string((a.ip >> 8) & 255) + "." + std::to_string(a.ip & 255);
}

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
  std::uint32_t ip = 0;
  const char* at = text.data();
  const char* end = at + text.size();
  for (int part = 0; part < 4; ++part) {
    unsigned value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value > 255) {
      return std::nullopt;
    }
    ip = ip << 8 | value;
    at = next;
    if (part < 3 && (at == end || *at++ != '.')) {
      return std::nullopt;
    }
  }
  return at == end ? std::optional(ip) : std::nullopt;
}

void MediaPath::open(Address to, transport::Mode mode, const transport::Key& key) {
  to_ = to;
  // A repeated Select Protocol keeps the key, so the nonce counter goes on.
  cipher_.emplace(mode, key);
}

void MediaPath::start(Time now) {
  started_ = true;
  heard_ = now;
}

MediaPath& Forwarder::add(std::uint64_t guild_id, std::uint32_t ssrc) {
  return paths_.insert_or_assign(ssrc, MediaPath(guild_id, ssrc)).first->second;
}

void Forwarder::remove(std::uint32_t ssrc) {
  paths_.erase(ssrc);
}

MediaPath* Forwarder::find(std::uint32_t ssrc) noexcept {
  const auto it = paths_.find(ssrc);
  return it == paths_.end() ? nullptr : &it->second;
}

MediaPath* Forwarder::by_address(const Address& from) noexcept {
  for (auto& [ssrc, path] : paths_) {
    if (path.to_ ? *path.to_ == from : path.discovered_ == from) {
      return &path;
    }
  }
  return nullptr;
}

void Forwarder::on_datagram(const Address& from, MutableByteSpan bytes, Time now) {
  if (bytes.size() == rtp::discovery_size && load_be16(bytes.data()) == 1) {
    MediaPath* path = find(load_be32(bytes.data() + 4));
    if (path == nullptr) {
      ++strangers_;
      return;
    }
    const auto reply = rtp::server_side_reply(bytes, to_text(from), from.port);
    if (!reply) {
      ++path->counters_.bad_discovery;
      return;
    }
    ++path->counters_.discovery;
    if (path->discovery_dropped_ < options_.drop_discovery) {
      ++path->discovery_dropped_;
      return;
    }
    path->discovered_ = from;
    path->heard_ = now;
    send_(from, *reply);
    return;
  }
  MediaPath* path = by_address(from);
  if (path == nullptr) {
    ++strangers_;
    return;
  }
  path->heard_ = now;
  if (is_ping(bytes)) {
    ++path->counters_.pings;
    if (options_.ping_reply) {
      if (const auto reply = rtp::server_side_reply(bytes, to_text(from), from.port)) {
        send_(from, *reply);
      }
    }
    return;
  }
  if (bytes.size() < 28) {
    ++path->counters_.keepalives;
    if (options_.keepalive_echo) {
      send_(from, bytes);
    }
    return;
  }
  if (!path->cipher_) {
    ++path->counters_.client_bad;
    return;
  }
  if (bytes[1] >= 192 && bytes[1] <= 223) {
    ++(path->cipher_->open_rtcp(bytes).ok() ? path->counters_.client_rtcp
                                            : path->counters_.client_bad);
    return;
  }
  auto opened = path->cipher_->open_rtp(bytes);
  // Real servers drop media under an SSRC that is not the client's.
  if (!opened || opened->header.ssrc != path->ssrc_) {
    ++path->counters_.client_bad;
    return;
  }
  ++path->counters_.client_rtp;
  relay(*path, opened->packet, now);
}

void Forwarder::relay(const MediaPath& from, ByteSpan plain, Time now) {
  for (auto& [ssrc, path] : paths_) {
    if (path.guild_id_ != from.guild_id_ || ssrc == from.ssrc_ || !path.started()) {
      continue;
    }
    const auto nonce = path.nonce_.next();
    if (!nonce) {
      continue;
    }
    if (auto sealed = path.cipher_->seal_plain_rtp(plain, *nonce, scratch_);
        sealed && emit(path, *sealed, now)) {
      ++path.counters_.media_sent;
    }
  }
}

bool Forwarder::may_send(MediaPath& path, Time now) {
  if (!path.started()) {
    return false;
  }
  if (path.paused_until_ && now >= *path.paused_until_) {
    path.paused_until_.reset();
  }
  const bool starved =
      options_.media_timeout.count() > 0 && now - path.heard_ > options_.media_timeout;
  if (path.paused_until_ || starved) {
    ++path.counters_.held_back;
    return false;
  }
  return true;
}

bool Forwarder::emit(MediaPath& path, ByteSpan datagram, Time now) {
  if (!may_send(path, now)) {
    return false;
  }
  if (path.stalled_until_) {
    if (path.stalled_.size() >= stall_limit) {
      ++path.counters_.held_back;
      return false;
    }
    path.stalled_.emplace_back(datagram.begin(), datagram.end());
    return true;
  }
  send_(*path.to_, datagram);
  return true;
}

unsigned Forwarder::forward(std::uint64_t guild_id, const Packet& packet, Time now) {
  const std::uint8_t elements[4] = {
      0x10, static_cast<std::uint8_t>((packet.payload.empty() ? 0 : 0x80) | packet.level), 0x90,
      packet.speaker_flag};
  rtp::PacketParts parts;
  parts.header.payload_type = audio_payload_type;
  parts.header.sequence = packet.sequence;
  parts.header.timestamp = packet.timestamp;
  parts.header.ssrc = packet.ssrc;
  parts.has_extension = packet.has_extension;
  if (packet.has_extension) {
    parts.elements = elements;
  }
  parts.payload = packet.payload;
  parts.padding = packet.padding;
  unsigned sent = 0;
  each(guild_id, [&](MediaPath& path) {
    if (!path.started()) {
      return;
    }
    const auto nonce = path.nonce_.next();
    if (!nonce) {
      ++path.counters_.held_back;
      return;
    }
    auto sealed = path.cipher_->seal_rtp(parts, *nonce, scratch_);
    if (sealed && emit(path, *sealed, now)) {
      ++path.counters_.media_sent;
      ++sent;
    }
  });
  return sent;
}

bool Forwarder::send_rtp(MediaPath& path, const rtp::PacketParts& parts, Time now) {
  const auto nonce = path.started() ? path.nonce_.next() : std::nullopt;
  if (!nonce) {
    return false;
  }
  auto sealed = path.cipher_->seal_rtp(parts, *nonce, scratch_);
  return sealed && send_raw(path, *sealed, now);
}

bool Forwarder::send_rtcp(MediaPath& path, ByteSpan compound, Time now) {
  const auto nonce = path.started() ? path.nonce_.next() : std::nullopt;
  if (!nonce) {
    return false;
  }
  auto sealed = path.cipher_->seal_rtcp(compound, *nonce, scratch_);
  return sealed && send_raw(path, *sealed, now);
}

bool Forwarder::send_raw(MediaPath& path, ByteSpan datagram, Time now) {
  if (!emit(path, datagram, now)) {
    return false;
  }
  ++path.counters_.other_sent;
  return true;
}

Deadline Forwarder::next_deadline() const noexcept {
  Deadline out;
  for (const auto& [ssrc, path] : paths_) {
    out = earlier(out, path.stalled_until_);
  }
  return out;
}

void Forwarder::advance(Time now) {
  for (auto& [ssrc, path] : paths_) {
    if (path.stalled_until_ && now >= *path.stalled_until_) {
      path.stalled_until_.reset();
      for (const Bytes& datagram : path.stalled_) {
        send_(*path.to_, datagram);
      }
      path.stalled_.clear();
    }
  }
}

}  // namespace discord::loopback
