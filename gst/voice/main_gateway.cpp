// The connection of the main gateway: opening, identifying, resuming, losing it
// (docs/design/voice.md "The main gateway").
#include "voice/main_gateway.hpp"

#include "voice/backoff.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace discord::voice {

using namespace std::chrono_literals;

namespace gateway {
namespace {

constexpr std::string_view default_url = "wss://gateway.discord.gg";
constexpr std::string_view query = "/?v=10&encoding=json";

std::string_view effective(std::string_view url) {
  return url.empty() ? default_url : url;
}

}  // namespace

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::Idle:
      return "idle";
    case State::Connecting:
      return "connecting";
    case State::Identifying:
      return "identifying";
    case State::Resuming:
      return "resuming";
    case State::Ready:
      return "ready";
    case State::Waiting:
      return "waiting";
    case State::Failed:
      return "failed";
    case State::Stopped:
      return "stopped";
  }
  return "unknown";
}

std::string problems(const Options& options) {
  std::string wrong;
  const std::string& token = options.token.reveal();
  if (token.empty()) {
    wrong = "bot-token is missing";
  } else if (token.size() > 512 || !std::all_of(token.begin(), token.end(),
                                                [](char c) { return c > 0x20 && c < 0x7f; })) {
    wrong = "bot-token contains characters that cannot be part of one";
  }
  if (const auto url = websocket_url(effective(options.url), query); !url.ok()) {
    std::string what(describe(url.error()));
    if (what.starts_with("endpoint")) {
      what.replace(0, 8, "gateway-url");
    }
    wrong += (wrong.empty() ? "" : "; ") + what;
  }
  return wrong.empty() ? wrong : "The bot cannot be started: " + wrong + ".";
}

std::optional<Shard> parse_shard(std::string_view text) noexcept {
  Shard shard;
  const char* end = text.data() + text.size();
  const auto id = std::from_chars(text.data(), end, shard.first);
  if (id.ec != std::errc{} || id.ptr == end || (*id.ptr != '/' && *id.ptr != ',')) {
    return std::nullopt;
  }
  const auto count = std::from_chars(id.ptr + 1, end, shard.second);
  if (count.ec != std::errc{} || count.ptr != end || shard.first >= shard.second) {
    return std::nullopt;
  }
  return shard;
}

bool trusted_host(std::string_view resume_url, std::string_view url) {
  if (!websocket_url(resume_url, query).ok()) {
    return false;
  }
  const std::string host = endpoint_host(resume_url);
  if (!url.empty() && host == endpoint_host(url)) {
    return true;
  }
  for (const std::string_view own : {"discord.gg", "discord.com", "discord.media"}) {
    if (host == own || (host.size() > own.size() && host.ends_with(own) &&
                        host[host.size() - own.size() - 1] == '.')) {
      return true;
    }
  }
  return false;
}

}  // namespace gateway

namespace {

using gateway::CloseAction;

constexpr Duration step_timeout = 10s;
constexpr Duration ready_timeout = 30s;
constexpr Duration knock_window = 5min;  // then the pauses grow here, too
constexpr Duration save_interval = 10s;
constexpr std::array<Duration, 7> reconnect_delays = {0s, 1s, 2s, 5s, 10s, 30s, 60s};
constexpr std::size_t first_tries = 4;  // before anything has ever worked
// Discord closes a connection that sends more than 120 messages a minute; heartbeats must fit in.
constexpr std::size_t sends_a_minute = 110;
// 1000 and 1001 would end the session at the server.
constexpr std::uint16_t coming_back = 4000;

std::string printable(std::string_view text) {
  std::string out(text.substr(0, 200));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

}  // namespace

MainGateway::MainGateway(gateway::Options options, Random random)
    : options_(std::move(options)),
      random_(std::move(random)),
      session_(options_.saved),
      budget_(options_.saved.identifies) {
  if (session_.user == 0 || session_.session_id.empty()) {
    session_.session_id.clear();
  } else {
    own_user_ = session_.user;
    have_seq_ = true;
  }
}

std::int64_t MainGateway::calendar(Time now) const noexcept {
  return calendar_at_start_ +
         std::chrono::duration_cast<std::chrono::seconds>(now - started_).count();
}

bool MainGateway::is_live(Generation generation) {
  if (generation == socket_ && socket_live_) {
    return true;
  }
  ++counters_.stale;
  return false;
}

bool MainGateway::is_over() const noexcept {
  return state_ == gateway::State::Failed || state_ == gateway::State::Stopped;
}

void MainGateway::set_state(gateway::State next, std::string reason, Out& out) {
  state_ = next;
  out.push_back(gateway::StateChanged{next, std::move(reason)});
}

void MainGateway::await_step(Step next, Duration limit, Time now) {
  step_ = next;
  step_deadline_ = next == Step::None ? Deadline{} : Deadline{now + limit};
}

void MainGateway::start(Time now, std::int64_t calendar_now, Out& out) {
  if (state_ != gateway::State::Idle) {
    return;
  }
  started_ = now;
  calendar_at_start_ = calendar_now;
  if (std::string wrong = gateway::problems(options_); !wrong.empty()) {
    fail(FailKind::Settings, std::move(wrong), {}, out);
    return;
  }
  open_socket(now, out);
}

void MainGateway::stop(Time now, Out& out) {
  if (is_over()) {
    return;
  }
  while (!seats_.empty()) {
    leave(seats_.front().id, now, out);
  }
  if (state_ != gateway::State::Idle) {
    save(out);
  }
  drop_socket(coming_back, out);
  reconnect_at_.reset();
  save_at_.reset();
  set_state(gateway::State::Stopped, "The main gateway was left by request.", out);
}

void MainGateway::open_socket(Time now, Out& out) {
  reconnect_at_.reset();
  if (session_.session_id.empty()) {
    const std::int64_t earliest = budget_.earliest(calendar(now));
    if (earliest > calendar(now)) {
      const std::int64_t seconds = earliest - calendar(now);
      reconnect_at_ = now + std::chrono::seconds(seconds);
      set_state(gateway::State::Waiting,
                "This bot has identified often of late; Discord allows it 1000 times a day, so the "
                "next time is in " +
                    std::to_string(seconds) + " s.",
                out);
      return;
    }
  }
  ++socket_;
  ++counters_.sockets;
  socket_live_ = true;
  const bool elsewhere = !session_.session_id.empty() && !session_.resume_url.empty() &&
                         gateway::trusted_host(session_.resume_url, options_.url);
  const std::string_view host =
      elsewhere ? std::string_view(session_.resume_url) : gateway::effective(options_.url);
  await_step(Step::Open, step_timeout, now);
  if (!std::exchange(knocking_, false)) {
    set_state(gateway::State::Connecting, "Connecting to Discord's gateway.", out);
  }
  out.push_back(OpenWebSocket{socket_, websocket_url(host, gateway::query).value()});
}

void MainGateway::drop_socket(std::uint16_t code, Out& out) {
  if (socket_live_) {
    out.push_back(CloseWebSocket{socket_, code});
  }
  forget_socket();
}

void MainGateway::forget_socket() {
  socket_live_ = false;
  await_step(Step::None, {}, {});
  heartbeat_at_.reset();
  unsent_.clear();
  flush_at_.reset();
  sent_.clear();
}

void MainGateway::settle(Time now) {
  if (ready_since_ && now - *ready_since_ >= stable_after(heartbeat_interval_)) {
    tries_ = 0;
  }
  ready_since_.reset();
  if (!lost_at_) {
    lost_at_ = now;
  }
}

void MainGateway::nobody_listens(std::string sentence, std::string debug, Time now, Out& out) {
  settle(now);
  if (!ever_ready_ || now - *lost_at_ >= knock_window) {
    lose(FailKind::Unreachable, std::move(sentence), std::move(debug), {}, now, out);
    return;
  }
  if (state_ != gateway::State::Waiting) {
    set_state(gateway::State::Waiting, std::move(sentence), out);
  }
  knocking_ = true;
  reconnect_at_ = now + knock_delay(random_());
}

// The connection is gone. Resumes where there is a session, identifies otherwise.
void MainGateway::lose(FailKind kind, std::string sentence, std::string debug, Duration least,
                       Time now, Out& out) {
  settle(now);
  if (!ever_ready_ && tries_ >= first_tries) {
    fail(kind, std::move(sentence), std::move(debug), out);
    return;
  }
  Duration delay = reconnect_delays[std::min(tries_++, reconnect_delays.size() - 1)];
  // Spread, so that a thousand bots do not come back in the same moment.
  delay += delay / 100 * static_cast<Duration::rep>(random_below(21));
  delay = std::max(delay, least);
  set_state(gateway::State::Waiting, std::move(sentence), out);
  if (delay == Duration::zero()) {
    open_socket(now, out);
  } else {
    reconnect_at_ = now + delay;
  }
}

void MainGateway::fail(FailKind kind, std::string sentence, std::string debug, Out& out) {
  drop_socket(1000, out);
  reconnect_at_.reset();
  save_at_.reset();
  set_state(gateway::State::Failed, sentence, out);
  while (!seats_.empty()) {
    end_seat(seats_.front().id, kind, sentence, debug, out);
  }
}

void MainGateway::forget_session(Out& out) {
  session_.session_id.clear();
  session_.resume_url.clear();
  have_seq_ = false;
  save(out);
}

void MainGateway::save(Out& out) {
  save_at_.reset();
  session_.identifies = budget_.times();
  out.push_back(gateway::SaveSession{session_});
}

void MainGateway::on_socket_open(Generation generation, Time now, Out&) {
  if (is_live(generation) && step_ == Step::Open) {
    await_step(Step::Hello, step_timeout, now);
  }
}

void MainGateway::on_text(Generation generation, std::string_view text, Time now, Out& out) {
  if (!is_live(generation)) {
    return;
  }
  ++counters_.messages;
  auto parsed = gateway::parse(text);
  if (!parsed.ok()) {
    malformed(parsed.error(), out);
    return;
  }
  gateway::Message& message = parsed.value();
  if (message.seq) {
    session_.seq = *message.seq;
    have_seq_ = true;
    if (!save_at_) {
      save_at_ = now + save_interval;
    }
  }
  std::visit([&](auto& body) { on(body, now, out); }, message.body);
}

void MainGateway::on_socket_closed(Generation generation, std::optional<std::uint16_t> code,
                                   std::string_view reason, Time now, Out& out) {
  if (!is_live(generation)) {
    return;
  }
  forget_socket();
  const gateway::CloseRow& row = gateway::close_row(code);
  std::string debug = "close code " + (code ? std::to_string(*code) : std::string("none")) + " (" +
                      std::string(row.meaning) + ")";
  if (!reason.empty()) {
    debug += ": " + printable(reason);
  }
  switch (row.action) {
    case CloseAction::Stop:
      fail(row.kind, std::string(row.sentence), std::move(debug), out);
      return;
    case CloseAction::Identify:
      forget_session(out);
      lose(row.kind, std::string(row.sentence), std::move(debug), 1s, now, out);
      return;
    case CloseAction::ResumeLater:
      lose(row.kind, std::string(row.sentence), std::move(debug), 60s, now, out);
      return;
    case CloseAction::Resume:
      lose(row.kind, std::string(row.sentence), std::move(debug), {}, now, out);
      return;
  }
}

void MainGateway::on_socket_error(Generation generation, SocketError error, std::string_view text,
                                  Time now, Out& out) {
  if (!is_live(generation)) {
    return;
  }
  forget_socket();
  const std::string where = options_.url.empty() ? "Discord's gateway" : "The gateway-url";
  FailKind kind = FailKind::Unreachable;
  std::string sentence;
  bool hopeless = false;
  switch (error) {
    case SocketError::Tls:
      kind = FailKind::Tls;
      hopeless = true;
      sentence = where +
                 " could not prove its identity, so nothing was sent to it; check gateway-url, the "
                 "clock of this computer and tls-ca-file.";
      break;
    case SocketError::NoTls:
      kind = FailKind::Tls;
      hopeless = true;
      sentence =
          "No TLS module is installed, so Discord cannot be reached safely; install the "
          "package glib-networking.";
      break;
    case SocketError::Timeout:
      kind = FailKind::Timeout;
      sentence = where + " did not answer in time; check the network and the firewall.";
      break;
    case SocketError::Handshake:
      sentence = where + " answered, but not as a gateway; check gateway-url.";
      break;
    case SocketError::Unreachable:
      sentence = where + " cannot be reached; check the network, the firewall and gateway-url.";
      break;
  }
  // Another try a second later would say the same, and the user waits for the sentence.
  if (hopeless && !ever_ready_) {
    fail(kind, std::move(sentence), printable(text), out);
    return;
  }
  // The address for resuming may be what is wrong.
  session_.resume_url.clear();
  if (error == SocketError::Unreachable) {
    nobody_listens(std::move(sentence), printable(text), now, out);
  } else {
    lose(kind, std::move(sentence), printable(text), {}, now, out);
  }
}

void MainGateway::on(const gateway::Hello& message, Time now, Out& out) {
  heartbeat_interval_ = message.heartbeat_interval;
  // A random part of the interval, so that not everybody beats at once after an outage.
  heartbeat_at_ = now + heartbeat_interval_ / 1000 * static_cast<Duration::rep>(random_below(1000));
  acknowledged_ = true;
  if (step_ != Step::Hello && step_ != Step::Open) {
    return;
  }
  if (!session_.session_id.empty()) {
    await_step(Step::Resumed, ready_timeout, now);
    set_state(gateway::State::Resuming, "Resuming the session at Discord's gateway.", out);
    out.push_back(SendSecretText{
        socket_, gateway::build_resume(options_.token, session_.session_id, session_.seq)});
    return;
  }
  ++counters_.identifies;
  budget_.note(calendar(now));
  save(out);  // before it is sent: it counts even if the process dies now
  await_step(Step::Ready, ready_timeout, now);
  set_state(gateway::State::Identifying, "Identifying at Discord's gateway.", out);
  out.push_back(SendSecretText{socket_, gateway::build_identify(options_.token, options_.shard)});
}

void MainGateway::on(const gateway::HeartbeatRequest&, Time, Out& out) {
  out.push_back(SendText{
      socket_, gateway::build_heartbeat(have_seq_ ? std::optional(session_.seq) : std::nullopt)});
}

void MainGateway::on(const gateway::HeartbeatAck&, Time, Out&) {
  acknowledged_ = true;
}

void MainGateway::heartbeat_due(Time now, Out& out) {
  if (!acknowledged_) {
    ++counters_.zombies;
    drop_socket(coming_back, out);
    lose(FailKind::Timeout,
         "Discord's gateway stopped answering heartbeats; the connection is being resumed.", {}, {},
         now, out);
    return;
  }
  acknowledged_ = false;
  heartbeat_at_ = now + heartbeat_interval_;
  on(gateway::HeartbeatRequest{}, now, out);
}

void MainGateway::on(const gateway::Reconnect&, Time now, Out& out) {
  drop_socket(coming_back, out);
  lose(FailKind::Unreachable, "Discord's gateway asked for a new connection (opcode 7).", {}, {},
       now, out);
}

void MainGateway::on(const gateway::InvalidSession& message, Time now, Out& out) {
  // One to five seconds, as Discord asks for.
  const Duration wait = 1s + std::chrono::milliseconds(random_below(4001));
  drop_socket(coming_back, out);
  if (!message.resumable) {
    forget_session(out);
  }
  lose(FailKind::Unreachable,
       message.resumable
           ? "Discord's gateway could not resume yet (opcode 9)."
           : "The session at Discord's gateway is over (opcode 9); a new one is being "
             "opened.",
       {}, wait, now, out);
}

void MainGateway::on(gateway::Ready& message, Time now, Out& out) {
  await_step(Step::None, {}, {});
  own_user_ = message.user;
  session_.user = message.user;
  session_.application = message.application;
  session_.session_id = std::move(message.session_id);
  session_.resume_url = std::move(message.resume_url);
  ever_ready_ = true;
  ready_since_ = now;
  lost_at_.reset();
  listed_ = true;
  members_of_ = {message.guilds.begin(), message.guilds.end()};
  set_state(gateway::State::Ready, "Connected to Discord's gateway.", out);
  save(out);
  session_new(now, out);
}

void MainGateway::on(const gateway::Resumed&, Time now, Out& out) {
  await_step(Step::None, {}, {});
  ++counters_.resumes;
  ever_ready_ = true;
  ready_since_ = now;
  lost_at_.reset();
  set_state(gateway::State::Ready, "The session at Discord's gateway was resumed.", out);
  session_resumed(now, out);
}

void MainGateway::on(const gateway::Malformed&, Time, Out& out) {
  malformed(MessageError::BadField, out);
}

void MainGateway::malformed(MessageError error, Out& out) {
  ++counters_.malformed[static_cast<std::size_t>(error)];
  if (auto text = notice_of_malformed(error, counters_.malformed, "Discord's gateway")) {
    out.push_back(Notice{std::move(*text), true});
  }
}

// Whatever waits here is lost with the connection; after the next one every seat says anew what it
// wants.
void MainGateway::send(std::string text, Time now, Out& out) {
  unsent_.push_back(std::move(text));
  flush(now, out);
}

void MainGateway::flush(Time now, Out& out) {
  flush_at_.reset();
  while (!sent_.empty() && now - sent_.front() >= 60s) {
    sent_.pop_front();
  }
  while (!unsent_.empty() && sent_.size() < sends_a_minute) {
    out.push_back(SendText{socket_, std::move(unsent_.front())});
    unsent_.pop_front();
    sent_.push_back(now);
  }
  if (!unsent_.empty()) {
    flush_at_ = sent_.front() + 60s;
  }
}

void MainGateway::on_timer(Time now, Out& out) {
  if (is_over()) {
    return;
  }
  const auto due = [&](const Deadline& deadline) { return deadline && *deadline <= now; };
  if (due(step_deadline_)) {
    // A server that speaks no TLS waits for us to say something it understands, as we wait.
    const bool handshake = step_ == Step::Open && !options_.url.starts_with("ws://");
    drop_socket(coming_back, out);
    session_.resume_url.clear();
    lose(FailKind::Timeout,
         handshake
             ? "Discord's gateway did not finish the TLS handshake in time; check the network "
               "and the firewall, and that gateway-url is not a plain ws:// port."
             : "Discord's gateway did not answer in time; check the network, the firewall and "
               "gateway-url.",
         {}, {}, now, out);
  }
  if (due(heartbeat_at_)) {
    heartbeat_due(now, out);
  }
  if (due(flush_at_)) {
    flush(now, out);
  }
  if (due(save_at_)) {
    save(out);
  }
  if (due(reconnect_at_)) {
    open_socket(now, out);
  }
  if (due(names_at_)) {
    request_names(now, out);
  }
  // A seat may end while its deadline is handled.
  for (std::size_t i = 0; i < seats_.size();) {
    const SeatId id = seats_[i].id;
    if (due(seats_[i].deadline)) {
      seat_due(seats_[i], now, out);
    }
    i += i < seats_.size() && seats_[i].id == id ? 1 : 0;
  }
}

Deadline MainGateway::next_deadline() const {
  if (is_over()) {
    return std::nullopt;
  }
  Deadline next;
  for (const Deadline& deadline :
       {step_deadline_, heartbeat_at_, flush_at_, save_at_, reconnect_at_, names_at_}) {
    next = earlier(next, deadline);
  }
  for (const Seat& seat : seats_) {
    next = earlier(next, seat.deadline);
  }
  return next;
}

}  // namespace discord::voice
