#include "voice/messages.hpp"

#include "voice/json_read.hpp"

#include <arpa/inet.h>
#include <algorithm>
#include <charconv>
#include <cmath>

namespace discord::voice {
namespace {

using namespace json_read;

constexpr Duration default_heartbeat_interval = std::chrono::milliseconds(13750);
// Beating more often than asked is allowed, so the upper bound is safe; the lower one keeps a
// nonsense value from turning into a busy loop.
constexpr double min_interval_ms = 20;
constexpr double max_interval_ms = 60000;

bool is_ip_literal(const std::string& address) noexcept {
  unsigned char scratch[16];
  return inet_pton(AF_INET, address.c_str(), scratch) == 1 ||
         inet_pton(AF_INET6, address.c_str(), scratch) == 1;
}

Body parse_ready(const json& d) {
  const auto ssrc = integer<std::uint32_t>(d, "ssrc");
  const std::string* ip = text(d, "ip");
  const auto port = integer<std::uint16_t>(d, "port");
  // A NUL inside would make the text that was checked another one than the text that is used.
  if (!ssrc.value || ip == nullptr || ip->find('\0') != std::string::npos || !is_ip_literal(*ip) ||
      port.value.value_or(0) == 0) {
    return Malformed{opcode::ready};
  }
  Ready ready{*ssrc.value, *ip, *port.value, {}};
  if (const json* modes = member(d, "modes"); modes != nullptr && modes->is_array()) {
    for (const json& mode : *modes) {
      if (const auto* name = mode.get_ptr<const json::string_t*>()) {
        ready.modes.push_back(*name);
      }
    }
  }
  return ready;
}

Body parse_session_description(json& d) {
  std::array<std::uint8_t, transport::Key::size> raw{};
  bool key_ok = false;
  if (d.is_object()) {
    const auto it = d.find("secret_key");
    if (it != d.end() && it->is_array()) {
      key_ok = it->size() == raw.size();
      for (std::size_t i = 0; i < it->size(); ++i) {
        json& value = (*it)[i];
        const auto* number = value.get_ptr<const json::number_unsigned_t*>();
        if (number == nullptr || *number > 255) {
          key_ok = false;
        } else if (key_ok) {
          raw[i] = static_cast<std::uint8_t>(*number);
        }
        // The tree is about to be freed with the key in it.
        if (auto* wiped = value.get_ptr<json::number_unsigned_t*>()) {
          *static_cast<volatile json::number_unsigned_t*>(wiped) = 0;
        }
      }
    }
  }
  const transport::Key key{std::span<const std::uint8_t, transport::Key::size>(raw)};
  sodium_memzero(raw.data(), raw.size());
  const std::string* mode = text(d, "mode");
  const auto dave = integer<std::uint16_t>(d, "dave_protocol_version");
  if (!key_ok || mode == nullptr || !dave.ok) {
    return Malformed{opcode::session_description};
  }
  return SessionDescription{*mode, key, dave.value.value_or(std::uint16_t{0})};
}

Body parse_hello(const json& d) {
  const json* interval = member(d, "heartbeat_interval");
  if (interval == nullptr) {
    return Hello{default_heartbeat_interval};
  }
  if (!interval->is_number()) {
    return Malformed{opcode::hello};
  }
  const double ms = interval->get<double>();
  if (!std::isfinite(ms) || ms <= 0) {
    return Malformed{opcode::hello};
  }
  const double bounded = std::clamp(ms, min_interval_ms, max_interval_ms);
  return Hello{Duration(static_cast<Duration::rep>(bounded * 1e6))};
}

Body parse_clients_connect(const json& d) {
  const json* users = member(d, "user_ids");
  if (users == nullptr) {
    return ClientsConnect{};
  }
  if (!users->is_array()) {
    return Malformed{opcode::clients_connect};
  }
  ClientsConnect message;
  for (const json& entry : *users) {
    const auto* name = entry.get_ptr<const json::string_t*>();
    const auto user = name == nullptr ? std::nullopt : parse_snowflake(*name);
    if (!user) {
      ++message.skipped;
      continue;
    }
    message.users.push_back(*user);
  }
  return message;
}

Body parse_video(const json& d) {
  const auto user = snowflake(d, "user_id");
  const auto audio = integer<std::uint32_t>(d, "audio_ssrc");
  const auto video = integer<std::uint32_t>(d, "video_ssrc");
  if (!user || !audio.ok || !video.ok) {
    return Malformed{opcode::video};
  }
  Video message{*user, audio.value.value_or(0), {}, false};
  const auto add = [&](std::optional<std::uint32_t> ssrc) {
    if (ssrc.value_or(0) != 0) {
      message.video_ssrcs.push_back(*ssrc);
    }
  };
  add(video.value);
  message.active = video.value.value_or(0) != 0;
  if (const json* streams = member(d, "streams"); streams != nullptr && streams->is_array()) {
    bool any_active = false;
    for (const json& stream : *streams) {
      add(integer<std::uint32_t>(stream, "ssrc").value);
      add(integer<std::uint32_t>(stream, "rtx_ssrc").value);
      const json* active = member(stream, "active");
      any_active |= active != nullptr && active->is_boolean() && active->get<bool>();
    }
    message.active = streams->empty() ? message.active : any_active;
  }
  return message;
}

Body parse_body(std::int64_t op, json& d) {
  switch (op) {
    case opcode::ready:
      return parse_ready(d);
    case opcode::heartbeat:
      return HeartbeatRequest{};
    case opcode::session_description:
      return parse_session_description(d);
    case opcode::speaking: {
      const auto user = snowflake(d, "user_id");
      const auto ssrc = integer<std::uint32_t>(d, "ssrc");
      if (!user || !ssrc.ok) {
        return Malformed{opcode::speaking};
      }
      return Speaking{*user, ssrc.value.value_or(0)};
    }
    case opcode::heartbeat_ack:
      return HeartbeatAck{integer<std::uint64_t>(d, "t").value};
    case opcode::hello:
      return parse_hello(d);
    case opcode::resumed:
      return Resumed{};
    case opcode::clients_connect:
      return parse_clients_connect(d);
    case opcode::video:
      return parse_video(d);
    case opcode::client_disconnect:
      if (const auto user = snowflake(d, "user_id")) {
        return ClientDisconnect{*user};
      }
      return Malformed{opcode::client_disconnect};
    case opcode::client_flags: {
      const auto user = snowflake(d, "user_id");
      const auto flags = integer<std::int64_t>(d, "flags");
      if (!user || !flags.ok) {
        return Malformed{opcode::client_flags};
      }
      return ClientFlags{*user, flags.value};
    }
    case opcode::client_platform: {
      const auto user = snowflake(d, "user_id");
      const auto platform = integer<std::int64_t>(d, "platform");
      if (!user || !platform.ok) {
        return Malformed{opcode::client_platform};
      }
      return ClientPlatform{*user, platform.value};
    }
    case opcode::dave_prepare_transition: {
      const auto id = integer<std::uint16_t>(d, "transition_id").value;
      const auto version = integer<std::uint16_t>(d, "protocol_version").value;
      if (!id || !version) {
        return Malformed{opcode::dave_prepare_transition};
      }
      return PrepareTransition{*id, *version};
    }
    case opcode::dave_execute_transition:
      if (const auto id = integer<std::uint16_t>(d, "transition_id").value) {
        return ExecuteTransition{*id};
      }
      return Malformed{opcode::dave_execute_transition};
    case opcode::dave_prepare_epoch: {
      const auto version = integer<std::uint16_t>(d, "protocol_version").value;
      const auto epoch = integer<std::uint64_t>(d, "epoch").value;
      if (!version || !epoch) {
        return Malformed{opcode::dave_prepare_epoch};
      }
      return PrepareEpoch{*version, *epoch};
    }
    case opcode::session_update:
    case opcode::media_sink_wants:
    case opcode::backend_version:
    case opcode::channel_options:
    case opcode::speed_test:
      return Ignored{static_cast<int>(op)};
    default:
      if (op >= opcode::dave_prepare_transition && op <= opcode::mls_invalid_commit_welcome) {
        return Ignored{static_cast<int>(op)};
      }
      return Unknown{op};
  }
}

// The members Identify and Resume share, without the closing braces.
std::string secret_message(int op, const Credentials& credentials, bool with_user) {
  std::string out;
  // Six bytes is the most one character can become; no growing means no freed copy of the token.
  out.reserve(256 + 6 * (credentials.session_id.size() + credentials.token.reveal().size()));
  out += "{\"op\":" + std::to_string(op) + ",\"d\":{\"server_id\":\"" +
         std::to_string(credentials.guild_id) + "\"";
  if (with_user) {
    out += ",\"user_id\":\"" + std::to_string(credentials.user_id) + "\"";
  }
  out += ",\"session_id\":";
  append_quoted(out, credentials.session_id);
  out += ",\"token\":";
  append_quoted(out, credentials.token.reveal());
  return out;
}

}  // namespace

namespace json_read {

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out.append("\\u00");
      out.push_back(digits[static_cast<unsigned char>(c) >> 4]);
      out.push_back(digits[c & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

}  // namespace json_read

std::optional<std::string> notice_of_malformed(
    MessageError error, const std::array<std::uint64_t, message_error_count>& counts,
    std::string_view whom) {
  if (counts[static_cast<std::size_t>(error)] != 1) {
    return std::nullopt;
  }
  return "A message of " + std::string(whom) + " makes no sense (" + std::string(to_string(error)) +
         ") and is left out. More of this kind are only counted (malformed-messages).";
}

std::string_view to_string(MessageError error) noexcept {
  switch (error) {
    case MessageError::TooLarge:
      return "too-large";
    case MessageError::TooDeep:
      return "too-deep";
    case MessageError::NotJson:
      return "not-json";
    case MessageError::NotObject:
      return "not-object";
    case MessageError::NoOpcode:
      return "no-opcode";
    case MessageError::BadField:
      return "bad-field";
    case MessageError::Short:
      return "short";
  }
  return "unknown";
}

std::optional<std::uint64_t> parse_snowflake(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) {
    return std::nullopt;
  }
  return value;
}

Result<Message, MessageError> parse_text(std::string_view text) {
  if (text.size() > max_message_size) {
    return Failure{MessageError::TooLarge};
  }
  if (too_deep(text, max_json_depth)) {
    return Failure{MessageError::TooDeep};
  }
  json tree = json::parse(text.begin(), text.end(), nullptr, false);
  if (tree.is_discarded()) {
    return Failure{MessageError::NotJson};
  }
  if (!tree.is_object()) {
    return Failure{MessageError::NotObject};
  }
  const auto op = integer<std::int64_t>(tree, "op");
  if (!op.value) {
    return Failure{MessageError::NoOpcode};
  }
  const auto seq = integer<std::uint16_t>(tree, "seq");
  json nothing;
  const auto d = tree.find("d");
  return Message{seq.value, !seq.ok, parse_body(*op.value, d == tree.end() ? nothing : *d)};
}

Result<BinaryMessage, MessageError> parse_binary(ByteSpan frame) noexcept {
  if (frame.size() > max_message_size) {
    return Failure{MessageError::TooLarge};
  }
  ByteReader reader(frame);
  BinaryMessage message{reader.u16(), reader.u8(), {}, {}, {}};
  if (message.op == opcode::mls_announce_commit || message.op == opcode::mls_welcome) {
    message.transition_id = reader.u16();
  } else if (message.op == opcode::mls_proposals) {
    message.operation = reader.u8();
  }
  if (!reader.ok()) {
    return Failure{MessageError::Short};
  }
  message.payload = reader.rest();
  return message;
}

SecretString build_identify(const Credentials& credentials, int max_dave_protocol_version) {
  std::string out = secret_message(opcode::identify, credentials, true);
  out += ",\"max_dave_protocol_version\":" + std::to_string(max_dave_protocol_version) + "}}";
  return SecretString(std::move(out));
}

SecretString build_resume(const Credentials& credentials, std::int64_t seq_ack) {
  std::string out = secret_message(opcode::resume, credentials, false);
  out += ",\"seq_ack\":" + std::to_string(seq_ack) + "}}";
  return SecretString(std::move(out));
}

// `t` is an object's integer: text, a fraction or the bare number of older versions is answered
// with close code 4020.
std::string build_heartbeat(std::uint64_t t, std::int64_t seq_ack) {
  return "{\"op\":3,\"d\":{\"t\":" + std::to_string(t) + ",\"seq_ack\":" + std::to_string(seq_ack) +
         "}}";
}

std::string build_select_protocol(std::string_view address, std::uint16_t port,
                                  std::string_view mode) {
  std::string out = "{\"op\":1,\"d\":{\"protocol\":\"udp\",\"data\":{\"address\":";
  append_quoted(out, address);
  out += ",\"port\":" + std::to_string(port) + ",\"mode\":";
  append_quoted(out, mode);
  return out + "}}}";
}

std::string build_speaking(int flags, std::uint32_t ssrc) {
  return "{\"op\":5,\"d\":{\"speaking\":" + std::to_string(flags) +
         ",\"delay\":0,\"ssrc\":" + std::to_string(ssrc) + "}}";
}

}  // namespace discord::voice
