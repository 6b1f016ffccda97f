// The UDP side of the voice server, without a socket: discovery, keepalives, sealing for each
// client. docs/protocol.md "IP discovery", "Keepalive pings".
#pragma once

#include "random.hpp"
#include "speaker.hpp"

#include "transport/cipher.hpp"

#include <deque>
#include <functional>
#include <map>

namespace discord::loopback {

// IPv4, host order.
struct Address {
  std::uint32_t ip = 0;
  std::uint16_t port = 0;
  auto operator<=>(const Address&) const = default;
};

std::string to_text(const Address& address);
// Only the dotted address; nothing when it is no IPv4 literal.
std::optional<std::uint32_t> parse_ipv4(std::string_view text);

struct ForwarderOptions {
  int drop_discovery = 0;       // how many first requests of a client get no answer
  bool ping_reply = true;       // answer 13 37 CA FE
  bool keepalive_echo = false;  // send other short datagrams back as they are
  Duration media_timeout{0};    // > 0: nothing heard from the client for so long stops its media
};

struct PathCounters {
  std::uint64_t discovery = 0;      // good requests
  std::uint64_t bad_discovery = 0;  // 74 bytes that are not a clean request
  std::uint64_t pings = 0;
  std::uint64_t keepalives = 0;  // other short datagrams
  std::uint64_t media_sent = 0;
  std::uint64_t other_sent = 0;  // video, RTCP, forged
  std::uint64_t held_back = 0;   // not sent: paused, starved, or the stall queue was full
  std::uint64_t client_rtp = 0;  // authentic RTP from the client
  std::uint64_t client_rtcp = 0;
  std::uint64_t client_bad = 0;  // did not open
};

// One client's way to its media.
class MediaPath {
 public:
  MediaPath(std::uint64_t guild_id, std::uint32_t ssrc) : guild_id_(guild_id), ssrc_(ssrc) {}

  std::uint64_t guild_id() const noexcept { return guild_id_; }
  std::uint32_t ssrc() const noexcept { return ssrc_; }
  // After the session description: where to send and how to seal.
  void open(Address to, transport::Mode mode, const transport::Key& key);
  void start(Time now);
  bool is_open() const noexcept { return cipher_.has_value(); }
  bool started() const noexcept { return started_ && is_open(); }
  const PathCounters& counters() const noexcept { return counters_; }
  std::optional<Address> discovered() const noexcept { return discovered_; }

  // Held datagrams go out in a burst at `until`.
  void stall(Time until) noexcept { stalled_until_ = until; }
  // Datagrams are lost until then.
  void pause(Time until) noexcept { paused_until_ = until; }

 private:
  friend class Forwarder;
  std::uint64_t guild_id_;
  std::uint32_t ssrc_;
  std::optional<Address> discovered_;
  std::optional<Address> to_;
  std::optional<transport::Cipher> cipher_;
  transport::NonceCounter nonce_{transport::Side::server};
  bool started_ = false;
  int discovery_dropped_ = 0;
  Time heard_{};
  std::optional<Time> stalled_until_;
  std::optional<Time> paused_until_;
  std::deque<Bytes> stalled_;
  PathCounters counters_;
};

class Forwarder {
 public:
  using Send = std::function<void(const Address&, ByteSpan)>;

  Forwarder(ForwarderOptions options, Send send) : options_(options), send_(std::move(send)) {}

  ForwarderOptions& options() noexcept { return options_; }

  MediaPath& add(std::uint64_t guild_id, std::uint32_t ssrc);
  void remove(std::uint32_t ssrc);
  MediaPath* find(std::uint32_t ssrc) noexcept;
  template <class F> void each(std::uint64_t guild_id, F&& f) {
    for (auto& [ssrc, path] : paths_) {
      if (path.guild_id() == guild_id) {
        f(path);
      }
    }
  }

  void on_datagram(const Address& from, MutableByteSpan bytes, Time now);

  // A speaker's packet to every started client of the call; returns how many datagrams left.
  unsigned forward(std::uint64_t guild_id, const Packet& packet, Time now);
  // Noise, to one client. Counted apart.
  bool send_rtp(MediaPath& path, const rtp::PacketParts& parts, Time now);
  bool send_rtcp(MediaPath& path, ByteSpan compound, Time now);
  // As it is, sealed or not.
  bool send_raw(MediaPath& path, ByteSpan datagram, Time now);

  Deadline next_deadline() const noexcept;
  // Ends stalls.
  void advance(Time now);

  // Datagrams from nobody known.
  std::uint64_t strangers() const noexcept { return strangers_; }

 private:
  bool may_send(MediaPath& path, Time now);
  bool emit(MediaPath& path, ByteSpan datagram, Time now);
  void relay(const MediaPath& from, ByteSpan plain, Time now);
  MediaPath* by_address(const Address& from) noexcept;

  ForwarderOptions options_;
  Send send_;
  std::map<std::uint32_t, MediaPath> paths_;
  std::uint64_t strangers_ = 0;
  Bytes scratch_ = Bytes(4096);
};

}  // namespace discord::loopback
