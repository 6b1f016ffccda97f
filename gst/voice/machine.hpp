// The insides of Session. Private to this room.
#pragma once

#include "transport/cipher.hpp"
#include "voice/close_codes.hpp"
#include "voice/session.hpp"

namespace discord::voice {

struct Session::Machine {
  // What the step deadline waits for.
  enum class Step { None, Open, Ready, Description, Resumed };
  // Why a connection did not work out; becomes the Fail when nothing else is left to try.
  struct Cause {
    FailKind kind;
    std::string sentence;
    std::string debug;
  };
  // Five silence frames, 20 ms apart, between two Speaking messages.
  struct Prime {
    transport::Cipher cipher;
    transport::NonceCounter nonces;
    std::uint16_t sequence;
    std::uint32_t timestamp;
    int frames_left;
    Time next;
  };

  Machine(Credentials c, Options o, Random r);

  // machine_connection.cpp: sockets, closing, trying again.
  void begin(Time now, Out& out);
  void stop(Out& out);
  void renew(Credentials fresh, Time now, Out& out);
  void suspend(std::string reason, Duration patience, Time now, Out& out);
  void open_socket(Time now, Out& out);
  void drop_socket(std::uint16_t code, Out& out);
  void forget_socket();
  void leave_media(Out& out);
  void socket_opened(Time now, Out& out);
  void socket_closed(std::optional<std::uint16_t> code, std::string_view reason, Time now,
                     Out& out);
  void socket_failed(SocketError error, std::string_view text, Time now, Out& out);
  void udp_failed(std::string_view text, Time now, Out& out);
  void reconnect(Cause cause, std::size_t max_tries, Time now, Out& out);
  void nobody_listens(Cause cause, Time now, Out& out);
  void rejoin(Cause cause, std::size_t max_rejoins, Time now, Out& out);
  void attempt_failed(Cause cause, Time now, Out& out);
  void step_timed_out(Time now, Out& out);
  void credentials_timed_out(Out& out);
  void fail(Cause cause, Out& out);
  void settle(Time now);
  void set_state(State next, std::string reason, Out& out);
  void await_step(Step next, Time now);
  // True when an event belongs to the live WebSocket; counts it otherwise.
  bool is_live(Generation generation);

  // machine_handshake.cpp: from Ready to media, heartbeats, pings.
  void handle(Message message, Time now, Out& out);
  void on(const Ready& message, Time now, Out& out);
  void on(const HeartbeatRequest& message, Time now, Out& out);
  void on(const SessionDescription& message, Time now, Out& out);
  void on(const Speaking& message, Time now, Out& out);
  void on(const HeartbeatAck& message, Time now, Out& out);
  void on(const Hello& message, Time now, Out& out);
  void on(const Resumed& message, Time now, Out& out);
  void on(const ClientsConnect& message, Time now, Out& out);
  void on(const Video& message, Time now, Out& out);
  void on(const ClientDisconnect& message, Time now, Out& out);
  void on(const ClientFlags& message, Time now, Out& out);
  void on(const ClientPlatform& message, Time now, Out& out);
  void on(const PrepareTransition& message, Time now, Out& out);
  void on(const ExecuteTransition& message, Time now, Out& out);
  void on(const PrepareEpoch& message, Time now, Out& out);
  void on(const Ignored& message, Time now, Out& out);
  void on(const Unknown& message, Time now, Out& out);
  void on(const Malformed& message, Time now, Out& out);
  void malformed(MessageError error, Out& out);
  void datagram(ByteSpan bytes, Time now, Out& out);
  void send_discovery(Time now, Out& out);
  void discovered(const std::string& address, std::uint16_t port, Time now, Out& out);
  void complete_handshake(Time now, Out& out);
  void start_heartbeat(Duration interval, Time now);
  void beat(Time now, Out& out);
  void heartbeat_due(Time now, Out& out);
  void discovery_due(Time now, Out& out);
  void ping_due(Time now, Out& out);
  void prime_due(Time now, Out& out);

  // machine_dave.cpp: what concerns the end-to-end encryption.
  void begin_encryption(Time now, Out& out);
  void on_dave(const BinaryMessage& message, Time now, Out& out);
  void with_dave(Out& out, const std::function<void(dave::Out&)>& ask);
  int offered_dave_version() const noexcept { return dave ? dave->offered_version() : 0; }

  bool is_over() const noexcept { return state == State::Failed || state == State::Stopped; }
  bool priming() const noexcept { return prime.has_value() && state == State::Connected; }

  Credentials credentials;
  Options options;
  bool stage = false;  // known to be a stage channel
  Random random;
  std::string url;
  State state = State::Idle;

  // The WebSocket.
  Generation socket = 0;
  bool socket_live = false;  // opening or open
  bool socket_open = false;
  bool resuming = false;  // the live WebSocket resumes rather than identifies
  Step step = Step::None;
  Deadline step_deadline;
  Duration heartbeat_interval{};
  Deadline heartbeat_at;
  int unacknowledged = 0;
  std::uint64_t heartbeat_nonce = 0;
  Deadline heartbeat_sent;  // of that nonce, until acknowledged
  std::optional<Duration> heartbeat_rtt;

  // The media connection.
  Generation media = 0;
  bool udp_open = false;
  bool ready = false;
  bool described = false;
  bool complete = false;  // once true, a lost WebSocket is resumed rather than replaced
  std::uint32_t ssrc = 0;
  std::string udp_address;
  std::uint16_t udp_port = 0;
  std::vector<std::string> offered_modes;
  transport::Mode asked_mode = transport::Mode::aead_xchacha20_poly1305_rtpsize;
  std::optional<transport::Mode> mode;
  std::optional<transport::Key> prime_key;  // only between op 4 and priming
  std::int64_t last_seq = -1;
  int discovery_tries = 0;
  Deadline discovery_at;
  std::uint32_t ping_sequence = 0;
  Deadline ping_at;
  Deadline ping_sent;
  std::optional<Duration> ping_rtt;
  std::optional<Prime> prime;
  SsrcMap ssrcs;
  std::optional<dave::Session> dave;  // nothing when it is not offered

  // Trying again.
  bool ever_complete = false;
  bool avoid_aes = false;  // after 4016
  std::size_t tries = 0;
  std::size_t rejoins = 0;
  Deadline connected_since;
  Deadline lost_at;       // no connection since then
  bool knocking = false;  // the next WebSocket only looks whether somebody listens again
  Deadline reconnect_at;
  Deadline ask_at;      // NeedCredentials is put out
  Deadline give_up_at;  // no credentials came
  Cause last_cause{};

  Counters counters;
};

}  // namespace discord::voice
