// What the voice state machine asks its surroundings to do. In the order in which they were put
// out.
#pragma once

#include "base/bytes.hpp"
#include "base/secret.hpp"
#include "dave/media_keys.hpp"
#include "transport/mode.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace discord::voice {

// One number per WebSocket. A media connection (UDP socket, key, SSRC map) carries the number of
// the WebSocket that identified for it and keeps it over Resume. Whatever arrives with an older
// number is ignored.
using Generation = std::uint32_t;

enum class State {
  Idle,
  Connecting,           // WebSocket is being opened for an Identify
  Identifying,          // Identify sent; Hello and Ready outstanding
  Discovering,          // UDP open, IP discovery running
  Selecting,            // Select Protocol sent; Session Description outstanding
  Connected,            // key known, media may flow
  Reconnecting,         // WebSocket lost; waits, opens or resumes. Media goes on if there was a key
  AwaitingCredentials,  // everything closed; only renew() goes on from here
  Failed,               // one Fail was put out
  Stopped,
};
std::string_view to_string(State state) noexcept;

enum class FailKind {
  Settings,          // the values given cannot be right
  Unreachable,       // no connection to the voice server
  Tls,               // certificate or TLS handshake refused
  Timeout,           // the server stopped answering in a handshake step
  UdpBlocked,        // IP discovery unanswered, or the UDP socket could not be opened
  Authentication,    // 4004
  StaleCredentials,  // the session is over; endpoint, session-id and token must be renewed
  Removed,           // disconnected from the channel (4014, 4022)
  NotAllowed,        // the bot lacks a permission, or is not in the guild
  Full,              // no place left in the channel
  DaveRequired,      // the call demands end-to-end encryption that was not offered
  Encryption,        // the call's end-to-end encryption cannot be had, or is not what was asked for
  UnsupportedMode,   // transport encryption unknown to this version
  RateLimited,       // 4021
  Protocol,          // the server refused what we sent
};
std::string_view to_string(FailKind kind) noexcept;

struct OpenWebSocket {
  Generation generation;
  std::string url;
};
struct CloseWebSocket {
  Generation generation;
  std::uint16_t code;
};
struct SendText {
  Generation generation;
  std::string text;
};
// A text message that contains the token (Identify, Resume): never logged, wipes itself.
struct SendSecretText {
  Generation generation;
  SecretString text;
};
struct SendBinary {
  Generation generation;
  Bytes bytes;
};
// One connected UDP socket; it replaces the one before. `address` is an IP literal.
struct OpenUdp {
  Generation generation;
  std::string address;
  std::uint16_t port;
};
struct SendDatagram {
  Generation generation;
  Bytes bytes;
};
struct CloseUdp {
  Generation generation;
};
struct UseKey {
  Generation generation;
  transport::Mode mode;
  transport::Key key;
};
// From now on packets of this SSRC are this user's; replaces any earlier owner.
struct MapSsrc {
  Generation generation;
  std::uint32_t ssrc;
  std::uint64_t user;
};
// Nobody's any more. Comes a grace of one second after the cause, so that buffered packets still
// find their user.
struct RetireSsrc {
  Generation generation;
  std::uint32_t ssrc;
  std::uint64_t user;  // whose it was
};
// A new Identify: every SSRC, user and key of older generations is void.
struct ForgetAll {
  Generation generation;
};
struct UserJoined {
  std::uint64_t user;
};
struct UserLeft {
  std::uint64_t user;
};
// The end-to-end keys for whoever opens media, from now on.
struct PublishKeys {
  Generation generation;
  dave::MediaKeysPtr keys;
};
// The end-to-end encryption of the call changed: see dave::Encryption.
struct EncryptionChanged {
  int version;          // 0 = the call is not end-to-end encrypted
  std::uint64_t epoch;  // 0 = not in a group
  std::vector<std::uint64_t> members;
  std::string privacy_code;  // 30 digits; empty without a group
};
// Something came that was not followed; for the log. Of what makes no sense only the first of its
// kind is told.
struct Notice {
  std::string text;
  bool warning = false;
};
// Only the members that the message carried (and that were not null) are set.
struct UserInfo {
  std::uint64_t user;
  std::optional<std::int64_t> platform;  // 0 desktop, 1 mobile, 2 xbox, 3 playstation
  std::optional<std::int64_t>
      flags;                  // 1 clips, 2 allows voice recording in clips, 4 any-viewer clips
  std::optional<bool> video;  // a camera is on
};
struct StateChanged {
  State state;
  std::string reason;  // one sentence
};
// `done` closes what earlier Progress actions of the same code opened.
struct Progress {
  std::string_view code;
  std::string text;
  bool done;
};
// The last action of a session that cannot go on by itself. The sentence says what happened and
// what to do.
struct Fail {
  FailKind kind;
  std::string message;
  std::string debug;
};
// The session is over on the server's side; renew() with the values of a new join goes on.
struct NeedCredentials {
  std::string reason;
};

using Action = std::variant<OpenWebSocket, CloseWebSocket, SendText, SendSecretText, SendBinary,
                            OpenUdp, SendDatagram, CloseUdp, UseKey, MapSsrc, RetireSsrc, ForgetAll,
                            UserJoined, UserLeft, UserInfo, PublishKeys, EncryptionChanged, Notice,
                            StateChanged, Progress, Fail, NeedCredentials>;

using Out = std::vector<Action>;

}  // namespace discord::voice
