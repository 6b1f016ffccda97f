// Voice gateway messages: JSON and binary frames to typed values, and the messages this client
// sends.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "transport/mode.hpp"
#include "voice/credentials.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace discord::voice {

inline constexpr std::size_t max_message_size = 16u << 20;
inline constexpr int max_json_depth = 32;

// Why a message was not understood. A bad field still lets the sequence number count.
enum class MessageError {
  TooLarge,
  TooDeep,
  NotJson,
  NotObject,
  NoOpcode,
  BadField,  // a field the message cannot do without is absent or of another type
  Short,     // a binary frame that ends inside its own header
};
inline constexpr std::size_t message_error_count = 7;
std::string_view to_string(MessageError error) noexcept;
// The notice of the first message of that kind from `whom`; nothing from the second on. `counts`
// are per MessageError, this one included.
std::optional<std::string> notice_of_malformed(
    MessageError error, const std::array<std::uint64_t, message_error_count>& counts,
    std::string_view whom);

namespace opcode {
inline constexpr int identify = 0, select_protocol = 1, ready = 2, heartbeat = 3,
                     session_description = 4, speaking = 5, heartbeat_ack = 6, resume = 7,
                     hello = 8, resumed = 9, clients_connect = 11, video = 12,
                     client_disconnect = 13, session_update = 14, media_sink_wants = 15,
                     backend_version = 16, channel_options = 17, client_flags = 18, speed_test = 19,
                     client_platform = 20, dave_prepare_transition = 21,
                     dave_execute_transition = 22, dave_transition_ready = 23,
                     dave_prepare_epoch = 24, mls_external_sender = 25, mls_key_package = 26,
                     mls_proposals = 27, mls_commit_welcome = 28, mls_announce_commit = 29,
                     mls_welcome = 30, mls_invalid_commit_welcome = 31, no_route = 32;
}  // namespace opcode

struct Ready {
  std::uint32_t ssrc;
  std::string ip;  // an IP literal
  std::uint16_t port;
  std::vector<std::string> modes;
};
struct HeartbeatRequest {};
struct SessionDescription {
  std::string mode;
  transport::Key key;
  int dave_protocol_version;  // 0 when absent or null
};
struct Speaking {
  std::uint64_t user;
  std::uint32_t ssrc;  // 0 when absent
};
struct HeartbeatAck {
  std::optional<std::uint64_t> t;
};
struct Hello {
  Duration heartbeat_interval;
};
struct Resumed {};
struct ClientsConnect {
  std::vector<std::uint64_t> users;
  std::size_t skipped = 0;  // entries that were no snowflake
};
struct Video {
  std::uint64_t user;
  std::uint32_t audio_ssrc;                // 0 when absent
  std::vector<std::uint32_t> video_ssrcs;  // cameras and their retransmissions, without zeros
  bool active;                             // any stream is on
};
struct ClientDisconnect {
  std::uint64_t user;
};
struct ClientFlags {
  std::uint64_t user;
  std::optional<std::int64_t> flags;
};
struct ClientPlatform {
  std::uint64_t user;
  std::optional<std::int64_t> platform;
};
struct PrepareTransition {
  std::uint16_t id;
  int version;
};
struct ExecuteTransition {
  std::uint16_t id;
};
struct PrepareEpoch {
  int version;
  std::uint64_t epoch;
};
// Known, of no use here.
struct Ignored {
  int op;
};
// An opcode this version has never heard of.
struct Unknown {
  std::int64_t op;
};
// The opcode is known but a field is not usable.
struct Malformed {
  int op;
};

using Body =
    std::variant<Ready, HeartbeatRequest, SessionDescription, Speaking, HeartbeatAck, Hello,
                 Resumed, ClientsConnect, Video, ClientDisconnect, ClientFlags, ClientPlatform,
                 PrepareTransition, ExecuteTransition, PrepareEpoch, Ignored, Unknown, Malformed>;

struct Message {
  std::optional<std::uint16_t> seq;  // 0 is a number like any other
  bool bad_seq = false;              // there was a seq, but not a 16-bit number
  Body body;
};

// Never throws; memory is bounded by the limits above. Key material is wiped from what is thrown
// away.
Result<Message, MessageError> parse_text(std::string_view text);

struct BinaryMessage {
  std::uint16_t seq;
  std::uint8_t op;
  std::optional<std::uint16_t> transition_id;  // opcodes 29 and 30
  std::optional<std::uint8_t> operation;       // opcode 27: 0 append, 1 revoke
  ByteSpan payload;                            // what follows; into the input
};
Result<BinaryMessage, MessageError> parse_binary(ByteSpan frame) noexcept;

// A decimal snowflake other than 0; nothing for signs, blanks, overflow or anything else.
std::optional<std::uint64_t> parse_snowflake(std::string_view text) noexcept;

SecretString build_identify(const Credentials& credentials, int max_dave_protocol_version);
SecretString build_resume(const Credentials& credentials, std::int64_t seq_ack);
std::string build_heartbeat(std::uint64_t t, std::int64_t seq_ack);
std::string build_select_protocol(std::string_view address, std::uint16_t port,
                                  std::string_view mode);
std::string build_speaking(int flags, std::uint32_t ssrc);

}  // namespace discord::voice
