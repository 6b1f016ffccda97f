// The Discord voice gateway v8 client as a state machine without I/O: events and a time go in,
// actions come out.
#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "dave/session.hpp"
#include "voice/actions.hpp"
#include "voice/credentials.hpp"
#include "voice/messages.hpp"
#include "voice/ssrc_map.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace discord::voice {

// End-to-end encryption: wanted or not, and as whom. Without a key nothing is offered.
struct EncryptionOptions {
  dave::Policy policy = dave::Policy::off;
  std::optional<mls::KeyPair> signature_key;  // one for the process, so that users recognise it
  mls::RandomSource* random = nullptr;        // outlives the session
};

struct Options {
  bool prefer_aes = true;  // AES-GCM where the server lists it; false asks for XChaCha20
  bool prime = false;      // speak five silence frames after the Session Description
  bool can_renew = false;  // somebody answers NeedCredentials; otherwise a lost session is a Fail
  Duration patience = std::chrono::seconds(60);  // for that answer
  // Ask for credentials also when a move does not show, because who answers knows of kicks.
  bool ask_after_move = false;
  EncryptionOptions e2ee = {};
};

enum class SocketError {
  Unreachable,  // name lookup, connection refused, network down
  Tls,          // certificate or handshake
  Timeout,
  Handshake,  // an answer came, but no WebSocket
  NoTls,      // this machine has no TLS module
};

// What was seen and not used, by cause. Only ever grows.
struct Counters {
  std::uint64_t messages = 0;
  std::array<std::uint64_t, message_error_count> malformed{};  // index is MessageError
  std::uint64_t unknown_opcodes = 0;
  std::uint64_t ignored_opcodes = 0;  // known, of no use to a receiver
  std::uint64_t unexpected = 0;       // right message in a state that has no use for it
  std::uint64_t stale = 0;            // events of an older generation
  std::uint64_t bad_seq = 0;
  std::uint64_t foreign_datagrams = 0;  // not a discovery or ping reply meant for us
  std::uint64_t late_discovery = 0;
  std::uint64_t resumes = 0;  // Resumed received
  std::uint64_t zombies = 0;  // connections dropped for missing heartbeat acknowledgements
};

// One voice connection from start() to stop(), over any number of WebSockets. Not thread-safe: one
// thread owns it. Every call appends to `out`; carry the actions out in that order. Nothing throws
// on input from the network.
class Session {
 public:
  // `random` gives 64 random bits a call (heartbeat nonces, first RTP sequence number when
  // priming).
  using Random = std::function<std::uint64_t()>;

  Session(Credentials credentials, Options options, Random random);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // Checks the credentials and opens the first WebSocket. Once; later calls do nothing.
  void start(Time now, Out& out);
  // Closes everything with 1000. Final: afterwards every event is ignored.
  void stop(Time now, Out& out);
  // Leaves whatever connection there is and makes a full new one. Works in every state between
  // start() and stop(), also after Fail, which is how a move or a region change goes on.
  void renew(Credentials credentials, Time now, Out& out);

  // Closes whatever connection there is, if any, and waits for renew(); fails with `reason` when
  // none comes within `patience`. Also instead of start(), when there are no credentials yet.
  void suspend(std::string reason, Duration patience, Time now, Out& out);
  // Ends with this Fail, because somebody else knows that it cannot go on.
  void give_up(FailKind kind, std::string sentence, std::string debug, Time now, Out& out);
  // The channel of the next connections is a stage, which may go without end-to-end encryption.
  void set_stage(bool stage);

  void on_socket_open(Generation generation, Time now, Out& out);
  void on_text(Generation generation, std::string_view text, Time now, Out& out);
  void on_binary(Generation generation, ByteSpan bytes, Time now, Out& out);
  // `code` is empty when the connection ended without a close frame (1006).
  void on_socket_closed(Generation generation, std::optional<std::uint16_t> code,
                        std::string_view reason, Time now, Out& out);
  // Opening failed, or the open connection broke. `text` is the library's own wording, for
  // debugging.
  void on_socket_error(Generation generation, SocketError error, std::string_view text, Time now,
                       Out& out);
  // Discovery and ping replies; anything else is counted and left alone, so all datagrams may be
  // handed in.
  void on_datagram(Generation generation, ByteSpan bytes, Time now, Out& out);
  // The UDP socket could not be opened.
  void on_udp_failed(Generation generation, std::string_view text, Time now, Out& out);
  // A user's frames cannot be opened any more, as those who open media found out.
  void on_undecryptable(std::uint64_t user, Time now, Out& out);
  void on_timer(Time now, Out& out);
  // When on_timer() is next due; none in Idle, Failed and Stopped.
  Deadline next_deadline() const noexcept;

  State state() const noexcept;
  Generation socket_generation() const noexcept;  // of the newest WebSocket
  Generation media_generation() const noexcept;   // of the newest Identify; 0 before the first
  std::uint32_t ssrc() const noexcept;            // own; 0 before Ready
  std::optional<transport::Mode> mode() const noexcept;
  const SsrcMap& ssrcs() const noexcept;
  std::int64_t last_seq() const noexcept;                  // −1 before the first
  std::optional<Duration> heartbeat_rtt() const noexcept;  // of the WebSocket
  std::optional<Duration> ping_rtt() const noexcept;  // of the UDP path, where the server answers
  // The public signature key by which this user is known in the call's group; for verification
  // codes. Empty when the user is not a member.
  Bytes signature_key_of(std::uint64_t user) const;
  const Counters& counters() const noexcept;

 private:
  struct Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace discord::voice
