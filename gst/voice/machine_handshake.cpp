// From Ready to media: messages, IP discovery, heartbeats, pings, priming.
#include "rtp/discovery.hpp"
#include "voice/machine.hpp"

#include <algorithm>

namespace discord::voice {
namespace {

using namespace std::chrono_literals;

constexpr Duration discovery_interval = 1s;
constexpr int max_discovery_tries = 6;
constexpr Duration ping_interval = 5s;
constexpr Duration fallback_heartbeat_interval = 13750ms;
constexpr int max_unacknowledged = 2;
constexpr std::uint16_t zombie_close = 4000;

constexpr int prime_frames = 5;
constexpr Duration prime_interval = 20ms;
constexpr std::uint32_t prime_ticks = 960;
constexpr std::array<std::uint8_t, 3> silence_frame = {0xF8, 0xFF, 0xFE};

Bytes to_bytes(ByteSpan bytes) {
  return {bytes.begin(), bytes.end()};
}

std::string quoted_name(std::string_view name) {
  std::string out(name.substr(0, 64));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c <= 0x20 || c > 0x7e || c == '"'; }, '?');
  return '"' + out + '"';
}

}  // namespace

// Every message is taken in every state: who is here and whose SSRC is whose comes before the
// session description as often as after it.
void Session::Machine::handle(Message message, Time now, Out& out) {
  ++counters.messages;
  if (message.seq) {
    last_seq = *message.seq;
  }
  if (message.bad_seq) {
    ++counters.bad_seq;
  }
  std::visit([&](const auto& body) { on(body, now, out); }, message.body);
}

void Session::Machine::on(const Ready& message, Time now, Out& out) {
  if (state != State::Identifying) {
    ++counters.unexpected;
    return;
  }
  ready = true;
  ssrc = message.ssrc;
  udp_address = message.ip;
  udp_port = message.port;
  offered_modes = message.modes;
  ssrcs.set_own(ssrc, out);
  await_step(Step::None, now);
  if (!heartbeat_at) {
    // No Hello yet. Should none come, the connection still lives.
    start_heartbeat(fallback_heartbeat_interval, now);
  }
  set_state(State::Discovering, "The voice server is ready; finding out the own address.", out);
  out.push_back(Progress{"voice-connect", "Discovering the own address", false});
  udp_open = true;
  out.push_back(OpenUdp{media, udp_address, udp_port});
  discovery_tries = 0;
  send_discovery(now, out);
}

void Session::Machine::send_discovery(Time now, Out& out) {
  ++discovery_tries;
  discovery_at = now + discovery_interval;
  out.push_back(SendDatagram{media, to_bytes(rtp::make_discovery_request(ssrc))});
}

void Session::Machine::discovery_due(Time now, Out& out) {
  if (discovery_tries < max_discovery_tries) {
    send_discovery(now, out);
    return;
  }
  discovery_at.reset();
  Cause cause{FailKind::UdpBlocked,
              "The voice server's media port " + udp_address + ":" + std::to_string(udp_port) +
                  " does not answer over UDP; allow outgoing UDP and its answers in the firewall "
                  "or container network.",
              "no valid IP discovery reply in 6 tries"};
  drop_socket(zombie_close, out);
  attempt_failed(std::move(cause), now, out);
}

void Session::Machine::datagram(ByteSpan bytes, Time now, Out& out) {
  if (const auto sequence = rtp::parse_ping_reply(bytes)) {
    if (ping_sent && *sequence == ping_sequence) {
      ping_rtt = now - *ping_sent;
      ping_sent.reset();
    }
    return;
  }
  const auto reply = rtp::parse_discovery_reply(bytes, ssrc);
  if (!reply.ok() || !ready) {
    ++counters.foreign_datagrams;
  } else if (state != State::Discovering) {
    ++counters.late_discovery;
  } else {
    discovered(reply.value().address(), reply.value().port, now, out);
  }
}

void Session::Machine::discovered(const std::string& address, std::uint16_t port, Time now,
                                  Out& out) {
  discovery_at.reset();
  ping_at = now + ping_interval;
  const auto offers = [&](transport::Mode wanted) {
    return std::find(offered_modes.begin(), offered_modes.end(), transport::to_string(wanted)) !=
           offered_modes.end();
  };
  // Every server must support XChaCha20, so it needs no looking up.
  asked_mode = options.prefer_aes && !avoid_aes && offers(transport::Mode::aead_aes256_gcm_rtpsize)
                   ? transport::Mode::aead_aes256_gcm_rtpsize
                   : transport::Mode::aead_xchacha20_poly1305_rtpsize;
  set_state(State::Selecting, "The own address is known; agreeing on the encryption.", out);
  out.push_back(Progress{"voice-connect", "Selecting the encryption mode", false});
  await_step(Step::Description, now);
  out.push_back(
      SendText{socket, build_select_protocol(address, port, transport::to_string(asked_mode))});
  if (described) {
    complete_handshake(now, out);
  }
}

void Session::Machine::on(const SessionDescription& message, Time now, Out& out) {
  if (!ready) {
    ++counters.unexpected;
    return;
  }
  // The answer decides, not the question: servers have been seen to choose another mode.
  const auto named = transport::mode_from_name(message.mode);
  if (!named) {
    fail({FailKind::UnsupportedMode,
          "The voice server chose the transport encryption " + quoted_name(message.mode) +
              ", which this version does not know; a newer version of this plugin is needed.",
          {}},
         out);
    return;
  }
  if (message.dave_protocol_version > offered_dave_version()) {
    fail({FailKind::DaveRequired,
          "The voice server chose end-to-end encryption (DAVE) version " +
              std::to_string(message.dave_protocol_version) + ", but at most version " +
              std::to_string(offered_dave_version()) +
              " was offered; do not set e2ee=off, or update this plugin.",
          {}},
         out);
    return;
  }
  described = true;
  mode = *named;
  // First whether frames are encrypted end to end, then the key that opens packets: in between,
  // nothing could tell a sealed frame from sound.
  with_dave(out, [&](dave::Out& actions) {
    dave->on_session_description(message.dave_protocol_version, now, actions);
  });
  if (is_over()) {
    return;
  }
  out.push_back(UseKey{media, *named, message.key});
  if (options.prime && !complete) {
    prime_key = message.key;
  }
  if (state == State::Selecting) {
    complete_handshake(now, out);
  }
}

void Session::Machine::complete_handshake(Time now, Out& out) {
  await_step(Step::None, now);
  complete = true;
  ever_complete = true;
  connected_since = now;
  lost_at.reset();
  set_state(State::Connected, "Connected to the voice server.", out);
  out.push_back(Progress{"voice-connect", "Connected", true});
  // Some servers send no media to a client that never sent a Speaking message.
  out.push_back(SendText{socket, build_speaking(options.prime ? 1 : 0, ssrc)});
  if (prime_key) {
    prime.emplace(Prime{transport::Cipher(*mode, *prime_key), transport::NonceCounter(),
                        static_cast<std::uint16_t>(random()), static_cast<std::uint32_t>(random()),
                        prime_frames, now});
    prime_key.reset();
    prime_due(now, out);
  }
}

void Session::Machine::prime_due(Time now, Out& out) {
  if (prime->frames_left == 0) {
    prime.reset();
    out.push_back(SendText{socket, build_speaking(0, ssrc)});
    return;
  }
  rtp::PacketParts parts;
  parts.header.payload_type = 120;
  parts.header.sequence = prime->sequence++;
  parts.header.timestamp = prime->timestamp;
  parts.header.ssrc = ssrc;
  parts.payload = silence_frame;
  prime->timestamp += prime_ticks;
  --prime->frames_left;
  prime->next = now + prime_interval;
  Bytes sealed(prime->cipher.sealed_size(parts));
  const auto nonce = prime->nonces.next();
  if (nonce && prime->cipher.seal_rtp(parts, *nonce, sealed).ok()) {
    out.push_back(SendDatagram{media, std::move(sealed)});
  }
}

void Session::Machine::on(const Hello& message, Time now, Out&) {
  start_heartbeat(message.heartbeat_interval, now);
}

void Session::Machine::start_heartbeat(Duration interval, Time now) {
  heartbeat_interval = interval;
  heartbeat_at = now + interval;
}

void Session::Machine::beat(Time now, Out& out) {
  // 53 bits: the number passes through JavaScript on the other side.
  heartbeat_nonce = random() & ((std::uint64_t{1} << 53) - 1);
  heartbeat_sent = now;
  out.push_back(SendText{socket, build_heartbeat(heartbeat_nonce, last_seq)});
}

void Session::Machine::heartbeat_due(Time now, Out& out) {
  if (unacknowledged >= max_unacknowledged) {
    ++counters.zombies;
    drop_socket(zombie_close, out);
    reconnect({FailKind::Timeout,
               "The voice server stopped answering heartbeats; the connection is being resumed.",
               {}},
              4, now, out);
    return;
  }
  ++unacknowledged;
  heartbeat_at = now + heartbeat_interval;
  beat(now, out);
}

void Session::Machine::on(const HeartbeatRequest&, Time now, Out& out) {
  beat(now, out);
}

void Session::Machine::on(const HeartbeatAck& message, Time now, Out&) {
  unacknowledged = 0;
  if (heartbeat_sent && message.t == heartbeat_nonce) {
    heartbeat_rtt = now - *heartbeat_sent;
    heartbeat_sent.reset();
  }
}

// A missing answer means nothing: some servers give none. The sending is what counts, it keeps
// address translations and the server's forwarding alive.
void Session::Machine::ping_due(Time now, Out& out) {
  ping_at = now + ping_interval;
  ping_sent = now;
  out.push_back(SendDatagram{media, to_bytes(rtp::make_ping(++ping_sequence))});
}

void Session::Machine::on(const Resumed&, Time now, Out& out) {
  if (step != Step::Resumed) {
    ++counters.unexpected;
    return;
  }
  ++counters.resumes;
  await_step(Step::None, now);
  connected_since = now;
  lost_at.reset();
  set_state(State::Connected, "The voice connection was resumed.", out);
  out.push_back(Progress{"voice-connect", "Resumed", true});
}

void Session::Machine::on(const Speaking& message, Time now, Out& out) {
  ssrcs.announced(message.ssrc, message.user, now, out);
}

void Session::Machine::on(const ClientsConnect& message, Time, Out& out) {
  if (message.skipped != 0) {
    malformed(MessageError::BadField, out);
  }
  for (const std::uint64_t user : message.users) {
    ssrcs.joined(user, out);
  }
  if (dave) {
    dave->on_users_joined(message.users);
  }
}

void Session::Machine::on(const Video& message, Time now, Out& out) {
  ssrcs.announced(message.audio_ssrc, message.user, now, out);
  ssrcs.video(message.user, message.video_ssrcs);
  out.push_back(UserInfo{message.user, {}, {}, message.active});
}

void Session::Machine::on(const ClientDisconnect& message, Time now, Out& out) {
  ssrcs.left(message.user, now, out);
  if (dave) {
    dave->on_user_left(message.user);
  }
}

void Session::Machine::on(const ClientFlags& message, Time, Out& out) {
  out.push_back(UserInfo{message.user, {}, message.flags, {}});
}

void Session::Machine::on(const ClientPlatform& message, Time, Out& out) {
  out.push_back(UserInfo{message.user, message.platform, {}, {}});
}

void Session::Machine::on(const Ignored&, Time, Out&) {
  ++counters.ignored_opcodes;
}

void Session::Machine::on(const Unknown&, Time, Out&) {
  ++counters.unknown_opcodes;
}

void Session::Machine::on(const Malformed&, Time, Out& out) {
  malformed(MessageError::BadField, out);
}

void Session::Machine::malformed(MessageError error, Out& out) {
  ++counters.malformed[static_cast<std::size_t>(error)];
  if (auto text = notice_of_malformed(error, counters.malformed, "the voice gateway")) {
    out.push_back(Notice{std::move(*text), true});
  }
}

}  // namespace discord::voice
