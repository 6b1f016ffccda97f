// Opening, losing and replacing connections (docs/design/voice.md).
#include "voice/backoff.hpp"
#include "voice/machine.hpp"

#include <algorithm>
#include <utility>

namespace discord::voice {
namespace {

using namespace std::chrono_literals;

constexpr Duration step_timeout = 10s;
constexpr Duration move_timeout = 10s;  // 4014, 4022: how long a move may take to show
constexpr Duration knock_window = 30s;  // then the session is taken for lost
constexpr std::array<Duration, 4> reconnect_delays = {0s, 1s, 2s, 5s};
constexpr std::array<Duration, 5> rejoin_delays = {0s, 2s, 5s, 10s, 30s};

constexpr std::uint16_t normal_closure = 1000;
// Our side closes with this to come back: 1000 and 1001 would end the session at the server.
constexpr std::uint16_t coming_back = 4000;

constexpr std::string_view renew_advice =
    "join the channel again and set endpoint, session-id and token to the values of that join.";

// Text of the server that ends up in logs.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 200));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

}  // namespace

void Session::Machine::set_state(State next, std::string reason, Out& out) {
  state = next;
  out.push_back(StateChanged{next, std::move(reason)});
}

void Session::Machine::await_step(Step next, Time now) {
  step = next;
  step_deadline = next == Step::None ? Deadline{} : Deadline{now + step_timeout};
}

bool Session::Machine::is_live(Generation generation) {
  if (generation == socket && socket_live) {
    return true;
  }
  ++counters.stale;
  return false;
}

void Session::Machine::begin(Time now, Out& out) {
  if (const std::string wrong = problems(credentials); !wrong.empty()) {
    fail({FailKind::Settings, wrong, {}}, out);
    return;
  }
  url = gateway_url(credentials.endpoint).value();
  set_state(State::Connecting, "Connecting to the voice server.", out);
  open_socket(now, out);
}

void Session::Machine::stop(Out& out) {
  drop_socket(normal_closure, out);
  leave_media(out);
  reconnect_at.reset();
  ask_at.reset();
  give_up_at.reset();
  set_state(State::Stopped, "The voice connection was closed by request.", out);
}

void Session::Machine::renew(Credentials fresh, Time now, Out& out) {
  drop_socket(normal_closure, out);
  leave_media(out);
  reconnect_at.reset();
  ask_at.reset();
  give_up_at.reset();
  tries = 0;
  credentials = std::move(fresh);
  lost_at = now;
  begin(now, out);
}

void Session::Machine::suspend(std::string reason, Duration patience, Time now, Out& out) {
  drop_socket(normal_closure, out);
  leave_media(out);
  reconnect_at.reset();
  ask_at.reset();
  last_cause = {FailKind::Timeout, reason + " Nothing came for too long; start again.", {}};
  give_up_at = now + patience;
  // Whether the close or the news of its cause comes first, it is one change, and told once.
  if (state != State::AwaitingCredentials) {
    set_state(State::AwaitingCredentials, std::move(reason), out);
  }
}

void Session::Machine::open_socket(Time now, Out& out) {
  ++socket;
  socket_live = true;
  socket_open = false;
  resuming = complete;
  reconnect_at.reset();
  await_step(Step::Open, now);
  if (!std::exchange(knocking, false)) {
    out.push_back(Progress{
        "voice-connect",
        resuming ? "Reconnecting to the voice server" : "Connecting to the voice server", false});
  }
  out.push_back(OpenWebSocket{socket, url});
}

// Our side ends the WebSocket.
void Session::Machine::drop_socket(std::uint16_t code, Out& out) {
  if (socket_live) {
    out.push_back(CloseWebSocket{socket, code});
  }
  forget_socket();
}

void Session::Machine::forget_socket() {
  socket_live = false;
  socket_open = false;
  await_step(Step::None, Time{});
  heartbeat_at.reset();
  heartbeat_sent.reset();
  unacknowledged = 0;
}

// The media connection is given up: what comes next is an Identify.
void Session::Machine::leave_media(Out& out) {
  if (udp_open) {
    out.push_back(CloseUdp{media});
  }
  udp_open = false;
  ready = false;
  described = false;
  complete = false;
  ssrc = 0;
  mode.reset();
  prime_key.reset();
  prime.reset();
  discovery_at.reset();
  ping_at.reset();
  ping_sent.reset();
}

void Session::Machine::socket_opened(Time now, Out& out) {
  if (socket_open) {
    ++counters.unexpected;
    return;
  }
  socket_open = true;
  if (resuming) {
    await_step(Step::Resumed, now);
    out.push_back(SendSecretText{socket, build_resume(credentials, last_seq)});
    return;
  }
  media = socket;
  last_seq = -1;
  ssrcs.reset(media, credentials.user_id);
  out.push_back(ForgetAll{media});
  set_state(State::Identifying, "The voice server answered; identifying.", out);
  out.push_back(Progress{"voice-connect", "Identifying", false});
  await_step(Step::Ready, now);
  out.push_back(SendSecretText{socket, build_identify(credentials, offered_dave_version())});
  begin_encryption(now, out);
}

void Session::Machine::socket_closed(std::optional<std::uint16_t> code, std::string_view reason,
                                     Time now, Out& out) {
  forget_socket();
  const CloseRow& row = close_row(code);
  std::string debug = "close code " + (code ? std::to_string(*code) : std::string("none")) + " (" +
                      std::string(row.meaning) + ")";
  if (!reason.empty()) {
    debug += ": " + printable(reason);
  }
  Cause cause{row.kind, std::string(row.sentence), std::move(debug)};
  if (code == 4006 && !ever_complete) {
    // Discord does not say which of the values it does not like.
    cause.sentence +=
        " They belong together with user-id, guild-id and channel-id: a wrong one of these is "
        "answered with 4006 as well.";
  }
  switch (row.action) {
    case CloseAction::Resume:
      reconnect(std::move(cause), reconnect_delays.size(), now, out);
      return;
    case CloseAction::ResumeOnce:
      reconnect(std::move(cause), 1, now, out);
      return;
    case CloseAction::Rejoin:
      rejoin(std::move(cause), rejoin_delays.size(), now, out);
      return;
    case CloseAction::RejoinOnce:
      rejoin(std::move(cause), 1, now, out);
      return;
    case CloseAction::RetryXChaCha20:
      if (!complete && !avoid_aes && asked_mode == transport::Mode::aead_aes256_gcm_rtpsize) {
        avoid_aes = true;
        leave_media(out);
        set_state(State::Reconnecting,
                  "Discord refused AES-GCM (4016); trying again with XChaCha20.", out);
        open_socket(now, out);
        return;
      }
      fail(std::move(cause), out);
      return;
    case CloseAction::AwaitMove:
      leave_media(out);
      if (!options.can_renew) {
        fail(std::move(cause), out);
        return;
      }
      // Coming back uninvited would undo a moderator's decision, so nobody is asked.
      last_cause = cause;
      if (options.ask_after_move) {
        ask_at = now + move_timeout;
        give_up_at = now + move_timeout + options.patience;
      } else {
        give_up_at = now + move_timeout;
      }
      set_state(State::AwaitingCredentials, std::move(cause.sentence), out);
      return;
    case CloseAction::Stop:
      fail(std::move(cause), out);
      return;
  }
}

void Session::Machine::socket_failed(SocketError error, std::string_view text, Time now, Out& out) {
  forget_socket();
  std::string debug = printable(text);
  const std::string where = "The voice server at " + credentials.endpoint;
  switch (error) {
    case SocketError::Tls:
      attempt_failed({FailKind::Tls,
                      where + " could not prove its identity, so nothing was sent to it; check the "
                              "endpoint, the clock of this computer and tls-ca-file.",
                      std::move(debug)},
                     now, out);
      return;
    case SocketError::NoTls:
      attempt_failed({FailKind::Tls,
                      "No TLS module is installed, so " + credentials.endpoint +
                          " cannot be reached safely; install the package glib-networking.",
                      std::move(debug)},
                     now, out);
      return;
    case SocketError::Timeout:
      attempt_failed({FailKind::Timeout,
                      where + " did not answer in time; check the endpoint with its port, the "
                              "network and the firewall.",
                      std::move(debug)},
                     now, out);
      return;
    case SocketError::Handshake:
      reconnect({FailKind::Unreachable,
                 where + " answered, but not as a voice gateway; check the endpoint with its port.",
                 std::move(debug)},
                reconnect_delays.size(), now, out);
      return;
    case SocketError::Unreachable:
      nobody_listens({FailKind::Unreachable,
                      where + " cannot be reached; check the endpoint with its port, the network "
                              "and the firewall.",
                      std::move(debug)},
                     now, out);
      return;
  }
}

void Session::Machine::udp_failed(std::string_view text, Time now, Out& out) {
  drop_socket(normal_closure, out);
  leave_media(out);
  attempt_failed({FailKind::UdpBlocked,
                  "The UDP socket for media to " + udp_address + ":" + std::to_string(udp_port) +
                      " cannot be used; check the network and the limits of this system.",
                  printable(text)},
                 now, out);
}

// Earlier failures count only until a connection has held for a while; without that, a server that
// accepts and drops in a circle would be tried for ever.
void Session::Machine::settle(Time now) {
  if (connected_since && now - *connected_since >= stable_after(heartbeat_interval)) {
    tries = 0;
    rejoins = 0;
  }
  connected_since.reset();
  if (!lost_at) {
    lost_at = now;
  }
}

// The WebSocket is gone. Resumes when there is media to keep, identifies again otherwise.
void Session::Machine::reconnect(Cause cause, std::size_t max_tries, Time now, Out& out) {
  settle(now);
  if (tries >= max_tries) {
    if (complete) {
      cause = {FailKind::StaleCredentials,
               "The connection to the voice server was lost and could not be resumed; " +
                   std::string(renew_advice),
               cause.sentence + " " + cause.debug};
    } else if (cause.kind == FailKind::StaleCredentials) {
      cause = {FailKind::Unreachable,
               "The voice server at " + credentials.endpoint +
                   " kept closing the connection before it was ready; check the endpoint, or " +
                   std::string(renew_advice),
               std::move(cause.debug)};
    }
    rejoin(std::move(cause), rejoin_delays.size(), now, out);
    return;
  }
  if (!complete) {
    leave_media(out);
  }
  const Duration delay = reconnect_delays[tries++];
  last_cause = cause;
  set_state(State::Reconnecting, std::move(cause.sentence), out);
  if (delay == Duration::zero()) {
    open_socket(now, out);
  } else {
    reconnect_at = now + delay;
  }
}

// Before a call has ever worked the user waits for the sentence; afterwards for the call.
void Session::Machine::nobody_listens(Cause cause, Time now, Out& out) {
  settle(now);
  if (!ever_complete) {
    reconnect(std::move(cause), reconnect_delays.size(), now, out);
    return;
  }
  if (now - *lost_at >= knock_window) {
    tries = reconnect_delays.size();
    reconnect(std::move(cause), tries, now, out);
    return;
  }
  last_cause = cause;
  if (state != State::Reconnecting) {
    set_state(State::Reconnecting, std::move(cause.sentence), out);
  }
  knocking = true;
  reconnect_at = now + knock_delay(random());
}

// The session is over at the server: only the values of a new join help.
void Session::Machine::rejoin(Cause cause, std::size_t max_rejoins, Time now, Out& out) {
  settle(now);
  if (!options.can_renew || rejoins >= max_rejoins) {
    fail(std::move(cause), out);
    return;
  }
  drop_socket(normal_closure, out);
  leave_media(out);
  const Duration delay = rejoin_delays[rejoins++];
  last_cause = cause;
  give_up_at = now + delay + options.patience;
  set_state(State::AwaitingCredentials, cause.sentence, out);
  if (delay == Duration::zero()) {
    out.push_back(NeedCredentials{std::move(cause.sentence)});
  } else {
    ask_at = now + delay;
  }
}

// Something that did not work on the first connection will not work a second later, and the user
// waits for the sentence; in a call that has worked it is worth another try.
void Session::Machine::attempt_failed(Cause cause, Time now, Out& out) {
  if (complete) {
    reconnect(std::move(cause), reconnect_delays.size(), now, out);
  } else if (ever_complete) {
    rejoin(std::move(cause), rejoin_delays.size(), now, out);
  } else {
    fail(std::move(cause), out);
  }
}

void Session::Machine::step_timed_out(Time now, Out& out) {
  std::string_view missing;
  switch (step) {
    case Step::None:
      return;
    case Step::Open:
      // A server that speaks no TLS waits for us to say something it understands, as we wait.
      missing = url.starts_with("wss://")
                    ? "did not finish the TLS handshake or open the WebSocket (is it a plain ws:// "
                      "port, or another service?)"
                    : "did not open the WebSocket";
      break;
    case Step::Ready:
      missing = "did not answer Identify with Ready";
      break;
    case Step::Description:
      missing = "did not answer Select Protocol with a session description";
      break;
    case Step::Resumed:
      missing = "did not answer Resume";
      break;
  }
  drop_socket(coming_back, out);
  attempt_failed({FailKind::Timeout,
                  "The voice server at " + credentials.endpoint + " " + std::string(missing) +
                      " within 10 seconds; check the endpoint with its port and the network, then "
                      "try again.",
                  {}},
                 now, out);
}

void Session::Machine::credentials_timed_out(Out& out) {
  fail(std::move(last_cause), out);
}

void Session::Machine::fail(Cause cause, Out& out) {
  drop_socket(normal_closure, out);
  leave_media(out);
  reconnect_at.reset();
  ask_at.reset();
  give_up_at.reset();
  set_state(State::Failed, cause.sentence, out);
  out.push_back(Fail{cause.kind, std::move(cause.sentence), std::move(cause.debug)});
}

}  // namespace discord::voice
