// The main gateway client (version 10) as a state machine without I/O: events and a time go in,
// actions come out. It seats a bot in voice channels and tells voice::Session where to connect.
#pragma once

#include "voice/actions.hpp"
#include "voice/credentials.hpp"
#include "voice/gateway_close_codes.hpp"
#include "voice/guild.hpp"
#include "voice/identify_budget.hpp"
#include "voice/session.hpp"

#include <deque>
#include <functional>
#include <map>
#include <set>

namespace discord::voice {

namespace gateway {

// One place of the bot in one guild. A bot has at most one for each guild.
using SeatId = std::uint32_t;

// What must survive a restart of the process, so that it resumes instead of identifying.
struct Saved {
  std::string session_id;  // empty: there is no session
  std::string resume_url;
  std::uint64_t seq = 0;
  std::uint64_t user = 0;
  std::uint64_t application = 0;
  std::vector<std::int64_t> identifies;  // seconds of the calendar
};

enum class State {
  Idle,
  Connecting,   // WebSocket is being opened, or Hello outstanding
  Identifying,  // Identify sent
  Resuming,     // Resume sent
  Ready,
  Waiting,  // before another try
  Failed,
  Stopped,
};
std::string_view to_string(State state) noexcept;

// Keep this for the next start of the process.
struct SaveSession {
  Saved saved;
};
// The bot sits in a channel and this is where its voice is. Replaces whatever came before.
struct SeatCredentials {
  SeatId seat;
  Credentials credentials;
  bool stage;  // a stage channel, which is not end-to-end encrypted
};
// The voice connection is over; credentials follow within `patience` or the seat fails.
struct SeatSuspended {
  SeatId seat;
  std::string reason;
  Duration patience;
};
// The seat is gone. One sentence says why and what to do.
struct SeatFailed {
  SeatId seat;
  FailKind kind;
  std::string message;
  std::string debug;
};
// Worth telling; nothing changes.
struct SeatNotice {
  SeatId seat;
  bool warning;
  std::string text;
};
// Somebody moved the bot.
struct SeatMoved {
  SeatId seat;
  std::uint64_t channel;
};
// A moderator deafened the bot, so that no media comes, or took it back.
struct SeatDeafened {
  SeatId seat;
  bool deafened;
};
// The name of somebody who was asked for, now or again after a change.
struct SeatName {
  SeatId seat;
  std::uint64_t user;
  std::string name;
  bool bot;
};
struct StateChanged {
  State state;
  std::string reason;
};

using Action = std::variant<OpenWebSocket, CloseWebSocket, SendText, SendSecretText, SaveSession,
                            Notice, SeatCredentials, SeatSuspended, SeatFailed, SeatNotice,
                            SeatMoved, SeatDeafened, SeatName, StateChanged>;
using Out = std::vector<Action>;

struct Options {
  SecretString token;
  std::string url;  // empty: Discord's own; see docs/protocol/gateway.md "Opening the main gateway"
  std::optional<Shard> shard;
  Saved saved;
};

struct Wish {
  std::uint64_t guild = 0;
  std::uint64_t channel = 0;
  bool self_mute = true;
  bool self_deaf = false;
  bool encrypted_only = false;  // a stage channel will not do
};

// What was seen and done. Only ever grows.
struct Counters {
  std::uint64_t messages = 0;
  std::array<std::uint64_t, message_error_count> malformed{};  // index is MessageError
  std::uint64_t unknown_opcodes = 0;
  std::uint64_t stale = 0;
  std::uint64_t identifies = 0;
  std::uint64_t resumes = 0;
  std::uint64_t zombies = 0;
  std::uint64_t sockets = 0;
};

// Empty when a bot token and its gateway address can be used, otherwise a sentence that names the
// properties. Never contains the token.
std::string problems(const Options& options);

// "ID/COUNT" or "ID,COUNT" with ID below COUNT.
std::optional<Shard> parse_shard(std::string_view text) noexcept;

// Whether a resume address may be given the token: Discord's hosts, or the host of `url` when that
// was named explicitly.
bool trusted_host(std::string_view resume_url, std::string_view url);

}  // namespace gateway

// One session of one bot, from start() to stop(), over any number of WebSockets. Not thread-safe.
// Every call appends to `out`; carry the actions out in that order.
class MainGateway {
 public:
  using Random = Session::Random;
  using Out = gateway::Out;
  using SeatId = gateway::SeatId;

  MainGateway(gateway::Options options, Random random);

  // `calendar` is the time of day in seconds since 1970 at `now`.
  void start(Time now, std::int64_t calendar, Out& out);
  // Leaves every channel and closes so that the session can be resumed by the next start.
  void stop(Time now, Out& out);

  // Wants the bot in a channel; from now on actions of this seat come. Works in every state but
  // Failed and Stopped, where the seat fails at once.
  SeatId join(const gateway::Wish& wish, Time now, Out& out);
  // Moves the bot or changes how it shows. A channel that cannot be joined is a SeatNotice, and the
  // seat stays where it is.
  void change(SeatId seat, const gateway::Wish& wish, Time now, Out& out);
  // The voice connection needs entirely new credentials: leaves and joins.
  void renew(SeatId seat, Time now, Out& out);
  void leave(SeatId seat, Time now, Out& out);
  // Asks for SeatName of a user of the seat's guild, now and whenever it changes.
  void want_name(SeatId seat, std::uint64_t user, Time now, Out& out);

  void on_socket_open(Generation generation, Time now, Out& out);
  void on_text(Generation generation, std::string_view text, Time now, Out& out);
  void on_socket_closed(Generation generation, std::optional<std::uint16_t> code,
                        std::string_view reason, Time now, Out& out);
  void on_socket_error(Generation generation, SocketError error, std::string_view text, Time now,
                       Out& out);
  void on_timer(Time now, Out& out);
  Deadline next_deadline() const;

  gateway::State state() const noexcept { return state_; }
  Generation socket_generation() const noexcept { return socket_; }
  std::uint64_t own_user() const noexcept { return own_user_; }
  const gateway::Counters& counters() const noexcept { return counters_; }
  std::size_t seats() const noexcept { return seats_.size(); }
  // What is known of a guild; null when nothing.
  const Guild* guild(std::uint64_t id) const;

 private:
  enum class Step { None, Open, Hello, Ready, Resumed };
  enum class SeatState {
    Waiting,      // for the session, or for the guild to be there
    Leaving,      // op 4 without a channel sent
    Asked,        // op 4 sent
    AwaitServer,  // in the channel; the voice server will be named
    Seated,       // credentials given
  };
  struct Seat {
    SeatId id;
    gateway::Wish wish;
    SeatState state = SeatState::Waiting;
    bool ever_seated = false;
    bool confirmed = false;         // the own voice state of this asking has come
    bool renew_when_ready = false;  // leave first, then ask
    bool resend = false;            // op 4 was due while there was no session
    bool deafened = false;
    std::uint64_t came_from = 0;  // asked out of this channel
    std::string session_id;
    std::string endpoint;
    SecretString token;
    int asks = 0;  // without an answer
    Deadline deadline;
    std::set<std::uint64_t> wanted;  // users whose names are asked for
  };

  // main_gateway.cpp: the connection.
  bool is_live(Generation generation);
  bool is_over() const noexcept;
  void set_state(gateway::State next, std::string reason, Out& out);
  void await_step(Step next, Duration limit, Time now);
  void open_socket(Time now, Out& out);
  void drop_socket(std::uint16_t code, Out& out);
  void forget_socket();
  void lose(FailKind kind, std::string sentence, std::string debug, Duration least, Time now,
            Out& out);
  void settle(Time now);
  void nobody_listens(std::string sentence, std::string debug, Time now, Out& out);
  void fail(FailKind kind, std::string sentence, std::string debug, Out& out);
  void forget_session(Out& out);
  void save(Out& out);
  void heartbeat_due(Time now, Out& out);
  void send(std::string text, Time now, Out& out);
  void flush(Time now, Out& out);
  std::int64_t calendar(Time now) const noexcept;
  std::uint64_t random_below(std::uint64_t n) { return random_() % n; }

  void on(const gateway::Hello& message, Time now, Out& out);
  void on(const gateway::HeartbeatRequest& message, Time now, Out& out);
  void on(const gateway::HeartbeatAck& message, Time now, Out& out);
  void on(const gateway::Reconnect& message, Time now, Out& out);
  void on(const gateway::InvalidSession& message, Time now, Out& out);
  void on(const gateway::Resumed& message, Time now, Out& out);
  void on(gateway::Ready& message, Time now, Out& out);
  void on(const gateway::Ignored&, Time, Out&) {}
  void on(const gateway::Unknown&, Time, Out&) { ++counters_.unknown_opcodes; }
  void on(const gateway::Malformed&, Time, Out& out);
  void malformed(MessageError error, Out& out);

  // main_gateway_guilds.cpp: what is where, and who is called what.
  void on(gateway::GuildCreate& message, Time now, Out& out);
  void on(const gateway::GuildUpdate& message, Time now, Out& out);
  void on(const gateway::GuildDelete& message, Time now, Out& out);
  void on(gateway::ChannelChanged& message, Time now, Out& out);
  void on(const gateway::ChannelDeleted& message, Time now, Out& out);
  void on(const gateway::RoleChanged& message, Time now, Out& out);
  void on(const gateway::RoleDeleted& message, Time now, Out& out);
  void on(const gateway::MembersChanged& message, Time now, Out& out);
  void tell_name(const Seat& seat, std::uint64_t user, Out& out);
  void request_names(Time now, Out& out);
  Guild& guild_at(std::uint64_t id);

  // main_gateway_seats.cpp: who sits where.
  // A voice server without address to one with, and a guild that was away to a seat in it.
  static constexpr Duration failover_timeout = std::chrono::seconds(90);
  void on(gateway::VoiceState& message, Time now, Out& out);
  void on(gateway::VoiceServer& message, Time now, Out& out);
  void session_new(Time now, Out& out);
  void session_resumed(Time now, Out& out);
  void seat_waits(Seat& seat, Time now, Out& out);
  void ask(Seat& seat, Time now, Out& out);
  void go_out_and_in(Seat& seat, Duration limit, Time now, Out& out);
  void own_state(Seat& seat, const gateway::VoiceState& state, Time now, Out& out);
  void give(Seat& seat, Out& out);
  void seat_due(Seat& seat, Time now, Out& out);
  void suspend(const Seat& seat, std::string reason, Duration patience, Out& out);
  void end_seat(SeatId id, FailKind kind, std::string message, std::string debug, Out& out);
  bool refuse(Seat& seat, JoinProblem problem, Out& out);
  Seat* seat_of(std::uint64_t guild);
  Seat* find(SeatId id);

  gateway::Options options_;
  Random random_;
  gateway::State state_ = gateway::State::Idle;
  std::int64_t calendar_at_start_ = 0;
  Time started_{};

  // The WebSocket.
  Generation socket_ = 0;
  bool socket_live_ = false;
  Step step_ = Step::None;
  Deadline step_deadline_;
  Duration heartbeat_interval_{};
  Deadline heartbeat_at_;
  bool acknowledged_ = true;
  std::deque<Time> sent_;  // in the last minute
  std::deque<std::string> unsent_;
  Deadline flush_at_;

  // The session.
  gateway::Saved session_;
  gateway::IdentifyBudget budget_;
  std::uint64_t own_user_ = 0;
  bool have_seq_ = false;
  bool listed_ = false;  // READY has come to this process, so the guilds are known
  std::set<std::uint64_t> members_of_;
  std::map<std::uint64_t, Guild> guilds_;
  Deadline save_at_;

  // Trying again.
  bool ever_ready_ = false;
  std::size_t tries_ = 0;
  Deadline ready_since_;
  Deadline lost_at_;       // no connection since then
  bool knocking_ = false;  // the next WebSocket only looks whether somebody listens again
  Deadline reconnect_at_;

  std::vector<Seat> seats_;
  SeatId next_seat_ = 1;
  std::map<std::uint64_t, std::set<std::uint64_t>> nameless_;  // guild to users to ask for
  Deadline names_at_;

  gateway::Counters counters_;
};

}  // namespace discord::voice
