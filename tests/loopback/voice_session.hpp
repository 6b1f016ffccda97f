// One client's voice gateway session, without sockets: text in, text and close codes out.
// docs/protocol.md "Voice gateway".
#pragma once

#include "random.hpp"

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "transport/mode.hpp"

#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace discord::loopback {

// Voice gateway close codes this server uses.
enum class Close : std::uint16_t {
  unknown_opcode = 4001,
  decode_error = 4002,
  not_authenticated = 4003,
  authentication_failed = 4004,
  already_authenticated = 4005,
  session_invalid = 4006,
  session_timeout = 4009,
  server_not_found = 4011,
  unknown_protocol = 4012,
  disconnected = 4014,
  unknown_mode = 4016,
  e2ee_required = 4017,
  bad_request = 4020,
};

// What Identify and Resume must prove.
struct Credentials {
  std::uint64_t user_id = 0;
  std::uint64_t guild_id = 0;
  std::uint64_t channel_id = 0;
  std::string session_id;
  std::string token;
};

// Somebody whom the session tells its client about.
struct Participant {
  std::uint64_t user_id = 0;
  std::uint32_t ssrc = 0;  // 0 = not announced yet
  int flags = 1;
  std::uint32_t video_ssrc = 0;  // != 0 = has a camera on
};

struct SessionOptions {
  double heartbeat_interval_ms = 13750.0;
  std::vector<transport::Mode> modes{transport::live_modes.begin(), transport::live_modes.end()};
  bool other_mode = false;  // trap: the session description names a mode that was not asked for
  bool require_dave = false;
  std::uint16_t first_sequence = 65530;
  std::size_t resend_limit = 256;   // messages kept for Resume
  bool resumed_first = false;       // Resumed before the replay instead of after it
  bool unknown_op = true;           // sends op 99 after Ready
  bool strict_credentials = false;  // an orderly leave (1000) also spends the credentials
};

// What the session wants done, in order.
struct SendText {
  std::string text;
};
struct SendBinary {
  Bytes bytes;
};
struct CloseSocket {
  std::uint16_t code;
  std::string reason;
};
// The session description has been sent: from now on this address gets sealed datagrams.
struct OpenMedia {
  std::string address;
  std::uint16_t port;
};
// The client sent its first opcode 5 of this session.
struct StartMedia {};
// Something in the client's behaviour a real server would tolerate but a test wants to know.
struct Complaint {
  std::string text;
};
using SessionAction =
    std::variant<SendText, SendBinary, CloseSocket, OpenMedia, StartMedia, Complaint>;
using SessionActions = std::vector<SessionAction>;

// The first message on a socket decides whose session it is; before that the server has only this.
// Either the parsed Identify or Resume, or the close code.
struct Opening {
  bool resume = false;
  nlohmann::json data;
};
std::variant<Opening, CloseSocket, SendText> read_opening(const std::string& text);

nlohmann::json hello(double heartbeat_interval_ms);

// From Identify until it is closed for good. Survives lost sockets (Resume).
class VoiceSession {
 public:
  VoiceSession(Credentials credentials, SessionOptions options, std::uint32_t ssrc,
               std::uint16_t udp_port, std::uint64_t seed);

  // Checks Identify's `d`; nothing when it is acceptable.
  static std::optional<CloseSocket> refuse_identify(const nlohmann::json& d,
                                                    const Credentials& credentials,
                                                    bool require_dave);

  // Ready and everything that follows it at once. `early` are announced before the session
  // description, `present` are known by name only.
  SessionActions identify(const nlohmann::json& d, const std::vector<std::uint64_t>& present,
                          const std::vector<Participant>& early);
  // Replays what was missed.
  SessionActions resume(const nlohmann::json& d);
  // A text message on an identified socket. `now` only feeds the heartbeat watch.
  SessionActions on_text(const std::string& text, Time now);
  SessionActions on_binary(ByteSpan bytes, Time now);

  // Server-side events; the messages go to the resend buffer whether a socket is there or not.
  SessionActions announce(const Participant& who);
  SessionActions joined(const std::vector<std::uint64_t>& users);
  SessionActions left(std::uint64_t user);
  SessionActions video(const Participant& who);
  // Any other numbered message, for traps.
  SessionActions send(int op, nlohmann::json d);

  // When the client counts as gone unless it beats; nothing while no socket is attached.
  Deadline heartbeat_deadline() const noexcept { return heartbeat_deadline_; }
  void socket_attached(Time now) noexcept;
  void socket_lost() noexcept { heartbeat_deadline_.reset(); }

  const Credentials& credentials() const noexcept { return credentials_; }
  const SessionOptions& options() const noexcept { return options_; }
  std::uint32_t ssrc() const noexcept { return ssrc_; }
  const transport::Key& key() const noexcept { return key_; }
  transport::Mode mode() const noexcept { return mode_; }
  bool described() const noexcept { return described_; }
  bool speaking() const noexcept { return speaking_; }
  int offered_dave() const noexcept { return offered_dave_; }
  // Last number the client acknowledged in a heartbeat; -1 = none.
  int acknowledged() const noexcept { return acknowledged_; }
  std::uint64_t heartbeats() const noexcept { return heartbeats_; }

 private:
  struct Kept {
    std::uint16_t sequence;
    std::variant<SendText, SendBinary> message;
  };

  void number(int op, nlohmann::json d, SessionActions& out);
  std::optional<CloseSocket> heartbeat(const nlohmann::json& d, Time now, SessionActions& out);
  std::optional<CloseSocket> select_protocol(const nlohmann::json& d, SessionActions& out);
  std::optional<CloseSocket> client_speaking(const nlohmann::json& d, SessionActions& out);
  bool is_known_sequence(int sequence) const;

  Credentials credentials_;
  SessionOptions options_;
  std::uint32_t ssrc_;
  std::uint16_t udp_port_;
  Random random_;
  transport::Key key_;
  transport::Mode mode_ = transport::Mode::aead_aes256_gcm_rtpsize;
  std::uint16_t next_sequence_;
  std::uint64_t sent_ = 0;
  std::deque<Kept> kept_;
  bool described_ = false;
  bool speaking_ = false;
  int offered_dave_ = 0;
  int acknowledged_ = -1;
  std::uint64_t heartbeats_ = 0;
  Deadline heartbeat_deadline_;
};

}  // namespace discord::loopback
