#include "voice/session.hpp"

#include "voice/machine.hpp"

namespace discord::voice {

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::Idle:
      return "idle";
    case State::Connecting:
      return "connecting";
    case State::Identifying:
      return "identifying";
    case State::Discovering:
      return "discovering";
    case State::Selecting:
      return "selecting";
    case State::Connected:
      return "connected";
    case State::Reconnecting:
      return "reconnecting";
    case State::AwaitingCredentials:
      return "awaiting-credentials";
    case State::Failed:
      return "failed";
    case State::Stopped:
      return "stopped";
  }
  return "unknown";
}

std::string_view to_string(FailKind kind) noexcept {
  switch (kind) {
    case FailKind::Settings:
      return "settings";
    case FailKind::Unreachable:
      return "unreachable";
    case FailKind::Tls:
      return "tls";
    case FailKind::Timeout:
      return "timeout";
    case FailKind::UdpBlocked:
      return "udp-blocked";
    case FailKind::Authentication:
      return "authentication";
    case FailKind::StaleCredentials:
      return "stale-credentials";
    case FailKind::Removed:
      return "removed";
    case FailKind::NotAllowed:
      return "not-allowed";
    case FailKind::Full:
      return "full";
    case FailKind::DaveRequired:
      return "dave-required";
    case FailKind::Encryption:
      return "encryption";
    case FailKind::UnsupportedMode:
      return "unsupported-mode";
    case FailKind::RateLimited:
      return "rate-limited";
    case FailKind::Protocol:
      return "protocol";
  }
  return "unknown";
}

Session::Session(Credentials credentials, Options options, Random random)
    : machine_(std::make_unique<Machine>(std::move(credentials), options, std::move(random))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::start(Time now, Out& out) {
  if (machine_->state == State::Idle) {
    machine_->begin(now, out);
  }
}

void Session::stop(Time, Out& out) {
  if (machine_->state != State::Stopped) {
    machine_->stop(out);
  }
}

void Session::renew(Credentials credentials, Time now, Out& out) {
  if (machine_->state != State::Idle && machine_->state != State::Stopped) {
    machine_->renew(std::move(credentials), now, out);
  }
}

void Session::suspend(std::string reason, Duration patience, Time now, Out& out) {
  if (!machine_->is_over()) {
    machine_->suspend(std::move(reason), patience, now, out);
  }
}

void Session::give_up(FailKind kind, std::string sentence, std::string debug, Time, Out& out) {
  if (!machine_->is_over()) {
    machine_->fail({kind, std::move(sentence), std::move(debug)}, out);
  }
}

void Session::set_stage(bool stage) {
  machine_->stage = stage;
}

void Session::on_socket_open(Generation generation, Time now, Out& out) {
  if (machine_->is_live(generation)) {
    machine_->socket_opened(now, out);
  }
}

void Session::on_text(Generation generation, std::string_view text, Time now, Out& out) {
  Machine& m = *machine_;
  if (!m.is_live(generation)) {
    return;
  }
  if (!m.socket_open) {
    ++m.counters.unexpected;
    return;
  }
  auto message = parse_text(text);
  if (!message.ok()) {
    m.malformed(message.error(), out);
    return;
  }
  m.handle(std::move(message).value(), now, out);
}

void Session::on_binary(Generation generation, ByteSpan bytes, Time now, Out& out) {
  Machine& m = *machine_;
  if (!m.is_live(generation)) {
    return;
  }
  if (!m.socket_open) {
    ++m.counters.unexpected;
    return;
  }
  const auto message = parse_binary(bytes);
  if (!message.ok()) {
    m.malformed(message.error(), out);
    return;
  }
  ++m.counters.messages;
  m.last_seq = message.value().seq;
  m.on_dave(message.value(), now, out);
}

void Session::on_undecryptable(std::uint64_t user, Time now, Out& out) {
  Machine& m = *machine_;
  if (m.complete && !m.is_over()) {
    m.with_dave(out, [&](dave::Out& actions) { m.dave->on_undecryptable(user, now, actions); });
  }
}

void Session::on_socket_closed(Generation generation, std::optional<std::uint16_t> code,
                               std::string_view reason, Time now, Out& out) {
  if (machine_->is_live(generation)) {
    machine_->socket_closed(code, reason, now, out);
  }
}

void Session::on_socket_error(Generation generation, SocketError error, std::string_view text,
                              Time now, Out& out) {
  if (machine_->is_live(generation)) {
    machine_->socket_failed(error, text, now, out);
  }
}

void Session::on_datagram(Generation generation, ByteSpan bytes, Time now, Out& out) {
  Machine& m = *machine_;
  if (generation != m.media || !m.udp_open) {
    ++m.counters.stale;
    return;
  }
  m.datagram(bytes, now, out);
}

void Session::on_udp_failed(Generation generation, std::string_view text, Time now, Out& out) {
  Machine& m = *machine_;
  if (generation != m.media || !m.udp_open) {
    ++m.counters.stale;
    return;
  }
  m.udp_failed(text, now, out);
}

void Session::on_timer(Time now, Out& out) {
  Machine& m = *machine_;
  if (m.is_over()) {
    return;
  }
  const auto due = [&](const Deadline& deadline) { return deadline && *deadline <= now; };
  m.ssrcs.on_timer(now, out);
  // Each handler may clear or move the deadlines of those after it.
  if (due(m.step_deadline)) {
    m.step_timed_out(now, out);
  }
  if (due(m.discovery_at)) {
    m.discovery_due(now, out);
  }
  if (due(m.heartbeat_at)) {
    m.heartbeat_due(now, out);
  }
  if (due(m.ping_at)) {
    m.ping_due(now, out);
  }
  if (m.priming() && m.prime->next <= now) {
    m.prime_due(now, out);
  }
  if (m.dave && due(m.dave->next_deadline())) {
    m.with_dave(out, [&](dave::Out& actions) { m.dave->on_timer(now, actions); });
  }
  if (due(m.reconnect_at)) {
    m.open_socket(now, out);
  }
  if (due(m.ask_at)) {
    m.ask_at.reset();
    out.push_back(NeedCredentials{m.last_cause.sentence});
  }
  if (due(m.give_up_at)) {
    m.credentials_timed_out(out);
  }
}

Deadline Session::next_deadline() const noexcept {
  const Machine& m = *machine_;
  if (m.is_over()) {
    return std::nullopt;
  }
  Deadline next = m.ssrcs.next_deadline();
  if (m.dave) {
    next = earlier(next, m.dave->next_deadline());
  }
  for (const Deadline& deadline : {m.step_deadline, m.discovery_at, m.heartbeat_at, m.ping_at,
                                   m.reconnect_at, m.ask_at, m.give_up_at}) {
    next = earlier(next, deadline);
  }
  return m.priming() ? earlier(next, m.prime->next) : next;
}

State Session::state() const noexcept {
  return machine_->state;
}
Generation Session::socket_generation() const noexcept {
  return machine_->socket;
}
Generation Session::media_generation() const noexcept {
  return machine_->media;
}
std::uint32_t Session::ssrc() const noexcept {
  return machine_->ssrc;
}
std::optional<transport::Mode> Session::mode() const noexcept {
  return machine_->mode;
}
const SsrcMap& Session::ssrcs() const noexcept {
  return machine_->ssrcs;
}
std::int64_t Session::last_seq() const noexcept {
  return machine_->last_seq;
}
std::optional<Duration> Session::heartbeat_rtt() const noexcept {
  return machine_->heartbeat_rtt;
}
std::optional<Duration> Session::ping_rtt() const noexcept {
  return machine_->ping_rtt;
}
Bytes Session::signature_key_of(std::uint64_t user) const {
  const dave::Member* member = machine_->dave ? machine_->dave->member() : nullptr;
  if (member != nullptr && member->established()) {
    for (const dave::GroupMember& one : member->members()) {
      if (one.user == user) {
        return one.signature_key;
      }
    }
  }
  return {};
}
const Counters& Session::counters() const noexcept {
  return machine_->counters;
}

}  // namespace discord::voice
