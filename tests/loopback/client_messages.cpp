#include "client_messages.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace discord::loopback {

using nlohmann::json;

namespace {

constexpr std::size_t largest_message = 64 * 1024;

}  // namespace

CloseSocket close(Close code, std::string reason) {
  return {static_cast<std::uint16_t>(code), std::move(reason)};
}

std::optional<std::uint64_t> snowflake(const json& d, const char* key) {
  const auto it = d.find(key);
  if (it == d.end() || !it->is_string()) {
    return std::nullopt;
  }
  const auto& text = it->get_ref<const std::string&>();
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    return std::nullopt;
  }
  return value;
}

const std::string* text_field(const json& d, const char* key) {
  const auto it = d.find(key);
  return it != d.end() && it->is_string() ? &it->get_ref<const std::string&>() : nullptr;
}

std::optional<std::int64_t> integer(const json& d, const char* key) {
  const auto it = d.find(key);
  if (it == d.end() || !it->is_number_integer()) {
    return std::nullopt;
  }
  return it->get<std::int64_t>();
}

bool ipv4_literal(const std::string& text) {
  int parts = 0;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    unsigned value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value > 255 || ++parts > 4) {
      return false;
    }
    at = next;
    if (at < end && (*at != '.' || ++at == end)) {
      return false;
    }
  }
  return parts == 4;
}

json message(int op, json d) {
  return {{"op", op}, {"d", std::move(d)}};
}

std::variant<json, CloseSocket> read_envelope(const std::string& text) {
  if (text.size() > largest_message) {
    return close(Close::decode_error, "message too large");
  }
  json m = json::parse(text, nullptr, false);
  if (m.is_discarded() || !m.is_object() || !m.contains("op") || !m["op"].is_number_integer()) {
    return close(Close::decode_error, "not a gateway message");
  }
  if (!m.contains("d")) {
    m["d"] = nullptr;
  }
  return m;
}

bool is_client_op(std::int64_t op) {
  static constexpr int known[] = {identify_op,
                                  select_protocol_op,
                                  heartbeat_op,
                                  speaking_op,
                                  resume_op,
                                  video_op,
                                  session_update_op,
                                  media_sink_wants_op,
                                  backend_version_op,
                                  dave_transition_ready_op,
                                  dave_invalid_commit_op};
  return std::find(std::begin(known), std::end(known), op) != std::end(known);
}

std::optional<CloseSocket> refuse_heartbeat(const json& d) {
  if (!d.is_object() || !integer(d, "t")) {
    return close(Close::bad_request, "heartbeat: t is not an integer");
  }
  const auto ack = integer(d, "seq_ack");
  if (!ack || *ack < -1 || *ack > 65535) {
    return close(Close::bad_request, "heartbeat: no seq_ack");
  }
  return std::nullopt;
}

json ack_of(const json& d) {
  return message(heartbeat_ack_op, {{"t", d["t"]}});
}

json hello(double heartbeat_interval_ms) {
  // A float on purpose: live servers send one and integer-only readers fail.
  return message(hello_op, {{"v", 8}, {"heartbeat_interval", heartbeat_interval_ms}});
}

std::variant<Opening, CloseSocket, SendText> read_opening(const std::string& text) {
  auto envelope = read_envelope(text);
  if (auto* refused = std::get_if<CloseSocket>(&envelope)) {
    return *refused;
  }
  json& m = std::get<json>(envelope);
  const auto op = m["op"].get<std::int64_t>();
  if (op == heartbeat_op) {  // clients may start beating at Hello
    if (auto refused = refuse_heartbeat(m["d"])) {
      return *refused;
    }
    return SendText{ack_of(m["d"]).dump()};
  }
  if (!is_client_op(op)) {
    return close(Close::unknown_opcode, "unknown opcode");
  }
  if (op != identify_op && op != resume_op) {
    return close(Close::not_authenticated, "not authenticated");
  }
  if (!m["d"].is_object()) {
    return close(Close::decode_error, "no data");
  }
  return Opening{op == resume_op, std::move(m["d"])};
}

}  // namespace discord::loopback
