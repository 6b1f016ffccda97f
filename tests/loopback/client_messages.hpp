// The messages of voice gateway clients as they come off the socket: their envelope and fields, and
// what is refused before anybody looks at their meaning. docs/protocol.md "Voice gateway".
#pragma once

#include "voice_session.hpp"

namespace discord::loopback {

enum Op {
  identify_op = 0,
  select_protocol_op = 1,
  ready_op = 2,
  heartbeat_op = 3,
  session_description_op = 4,
  speaking_op = 5,
  heartbeat_ack_op = 6,
  resume_op = 7,
  hello_op = 8,
  resumed_op = 9,
  clients_connect_op = 11,
  video_op = 12,
  client_disconnect_op = 13,
  session_update_op = 14,
  media_sink_wants_op = 15,
  backend_version_op = 16,
  client_flags_op = 18,
  client_platform_op = 20,
  dave_prepare_transition_op = 21,
  dave_execute_transition_op = 22,
  dave_transition_ready_op = 23,
  dave_prepare_epoch_op = 24,
  mls_key_package_op = 26,
  mls_commit_welcome_op = 28,
  dave_invalid_commit_op = 31,
  unknown_op_sent = 99,
};

CloseSocket close(Close code, std::string reason);

// A field of that name and kind, or nothing. Snowflakes are strings of digits; a number would have
// lost bits in many JSON libraries.
std::optional<std::uint64_t> snowflake(const nlohmann::json& d, const char* key);
const std::string* text_field(const nlohmann::json& d, const char* key);
std::optional<std::int64_t> integer(const nlohmann::json& d, const char* key);
bool ipv4_literal(const std::string& text);

nlohmann::json message(int op, nlohmann::json d);
// The envelope of every client message, or why not.
std::variant<nlohmann::json, CloseSocket> read_envelope(const std::string& text);
bool is_client_op(std::int64_t op);
// Empty when it is a good heartbeat. A float or string `t` is a bad request.
std::optional<CloseSocket> refuse_heartbeat(const nlohmann::json& d);
nlohmann::json ack_of(const nlohmann::json& d);

}  // namespace discord::loopback
