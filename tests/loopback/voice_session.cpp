#include "client_messages.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace discord::loopback {

using nlohmann::json;

VoiceSession::VoiceSession(Credentials credentials, SessionOptions options, std::uint32_t ssrc,
                           std::uint16_t udp_port, std::uint64_t seed)
    : credentials_(std::move(credentials)),
      options_(std::move(options)),
      ssrc_(ssrc),
      udp_port_(udp_port),
      random_(seed),
      next_sequence_(options_.first_sequence) {
  std::array<std::uint8_t, 32> key{};
  for (std::uint8_t& b : key) {
    b = static_cast<std::uint8_t>(random_.next());
  }
  key_ = transport::Key(key);
}

std::optional<CloseSocket> VoiceSession::refuse_identify(const json& d,
                                                         const Credentials& credentials,
                                                         bool require_dave) {
  const auto server = snowflake(d, "server_id");
  const auto user = snowflake(d, "user_id");
  const std::string* session = text_field(d, "session_id");
  const std::string* token = text_field(d, "token");
  if (!server || !user || session == nullptr || token == nullptr) {
    return close(Close::decode_error, "identify: a field is missing or of the wrong type");
  }
  if (const auto it = d.find("max_dave_protocol_version");
      it != d.end() && !it->is_number_integer()) {
    return close(Close::decode_error, "identify: max_dave_protocol_version is not an integer");
  }
  if (*token != credentials.token) {
    return close(Close::authentication_failed, "authentication failed");
  }
  if (*session != credentials.session_id || *user != credentials.user_id ||
      *server != credentials.guild_id) {
    return close(Close::session_invalid, "session is no longer valid");
  }
  if (require_dave && integer(d, "max_dave_protocol_version").value_or(0) < 1) {
    return close(Close::e2ee_required, "E2EE/DAVE protocol required");
  }
  return std::nullopt;
}

void VoiceSession::number(int op, json d, SessionActions& out) {
  json m = message(op, std::move(d));
  m["seq"] = next_sequence_;
  keep(SendText{m.dump()}, out);
}

void VoiceSession::number_binary(int op, ByteSpan body, SessionActions& out) {
  Bytes bytes(3 + body.size());
  store_be16(bytes.data(), next_sequence_);
  bytes[2] = static_cast<std::uint8_t>(op);
  std::copy(body.begin(), body.end(), bytes.begin() + 3);
  keep(SendBinary{std::move(bytes)}, out);
}

template <class Message> void VoiceSession::keep(Message message, SessionActions& out) {
  kept_.push_back({next_sequence_, message});
  if (kept_.size() > options_.resend_limit) {
    kept_.pop_front();
  }
  ++next_sequence_;
  ++sent_;
  out.emplace_back(std::move(message));
}

SessionActions VoiceSession::dave(const DaveMessage& m) {
  SessionActions out;
  switch (m.op) {
    case dave_prepare_transition_op:
      number(m.op, {{"transition_id", m.transition_id}, {"protocol_version", m.version}}, out);
      break;
    case dave_execute_transition_op:
      number(m.op, {{"transition_id", m.transition_id}}, out);
      break;
    case dave_prepare_epoch_op:
      number(m.op, {{"epoch", m.epoch}, {"protocol_version", m.version}}, out);
      break;
    default:
      number_binary(m.op, m.body, out);
  }
  return out;
}

SessionActions VoiceSession::identify(const json& d, const std::vector<std::uint64_t>& present,
                                      const std::vector<Participant>& early) {
  offered_dave_ = static_cast<int>(integer(d, "max_dave_protocol_version").value_or(0));
  SessionActions out;
  json modes = json::array();
  for (const transport::Mode mode : options_.modes) {
    modes.push_back(std::string(transport::to_string(mode)));
  }
  number(ready_op,
         {{"ssrc", ssrc_},
          {"ip", "127.0.0.1"},
          {"port", udp_port_},
          {"modes", modes},
          {"experiments", json::array()},
          {"streams", json::array()},
          // Documented as wrong on live servers; Hello's interval is the one that counts.
          {"heartbeat_interval", 1}},
         out);
  json ids = json::array();
  for (const std::uint64_t user : present) {
    ids.push_back(std::to_string(user));
  }
  number(clients_connect_op, {{"user_ids", ids}}, out);
  for (std::size_t i = 0; i < present.size(); ++i) {
    const std::string user = std::to_string(present[i]);
    // One of each is null, as for clients too old to say.
    number(client_flags_op, {{"user_id", user}, {"flags", i == 1 ? json() : json(2)}}, out);
    number(client_platform_op, {{"user_id", user}, {"platform", i == 0 ? json() : json(i % 4)}},
           out);
  }
  for (const Participant& who : early) {
    auto more = announce(who);
    std::move(more.begin(), more.end(), std::back_inserter(out));
  }
  if (options_.unknown_op) {
    number(unknown_op_sent, {{"what", "an opcode from the future"}}, out);
  }
  return out;
}

SessionActions VoiceSession::resume(const json& d) {
  SessionActions out;
  const auto server = snowflake(d, "server_id");
  const std::string* session = text_field(d, "session_id");
  const std::string* token = text_field(d, "token");
  const auto ack = integer(d, "seq_ack");
  if (!server || session == nullptr || token == nullptr) {
    out.emplace_back(close(Close::decode_error, "resume: a field is missing"));
    return out;
  }
  if (*token != credentials_.token) {
    out.emplace_back(close(Close::authentication_failed, "authentication failed"));
    return out;
  }
  if (!ack || *ack < -1 || *ack > 65535) {
    out.emplace_back(close(Close::bad_request, "resume: no seq_ack"));
    return out;
  }
  if (*server != credentials_.guild_id || *session != credentials_.session_id || !described_) {
    out.emplace_back(close(Close::session_invalid, "session is no longer valid"));
    return out;
  }
  // Where the replay starts. Numbers wrap, so they are looked up, never compared by size.
  std::size_t from = kept_.size();
  if (*ack == -1) {
    from = 0;
    if (sent_ > kept_.size()) {
      out.emplace_back(close(Close::session_invalid, "missed messages are gone"));
      return out;
    }
  } else if (static_cast<std::uint16_t>(*ack + 1) != next_sequence_) {
    const auto it = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& k) {
      return k.sequence == static_cast<std::uint16_t>(*ack + 1);
    });
    if (it == kept_.end()) {
      out.emplace_back(close(Close::session_invalid, "missed messages are gone"));
      return out;
    }
    from = static_cast<std::size_t>(it - kept_.begin());
  }
  const SendText resumed{message(resumed_op, nullptr).dump()};
  if (options_.resumed_first) {
    out.emplace_back(resumed);
  }
  for (std::size_t i = from; i < kept_.size(); ++i) {
    std::visit([&](const auto& m) { out.emplace_back(m); }, kept_[i].message);
  }
  if (!options_.resumed_first) {
    out.emplace_back(resumed);
  }
  return out;
}

bool VoiceSession::is_known_sequence(int sequence) const {
  const auto back = static_cast<std::uint16_t>(next_sequence_ - 1 - sequence);
  return back < sent_;
}

std::optional<CloseSocket> VoiceSession::heartbeat(const json& d, Time now, SessionActions& out) {
  if (auto refused = refuse_heartbeat(d)) {
    return refused;
  }
  const auto ack = static_cast<int>(d["seq_ack"].get<std::int64_t>());
  if (ack >= 0 && !is_known_sequence(ack)) {
    out.emplace_back(Complaint{"seq_ack " + std::to_string(ack) + " was never sent"});
  } else {
    acknowledged_ = ack;
  }
  ++heartbeats_;
  socket_attached(now);
  out.emplace_back(SendText{ack_of(d).dump()});
  return std::nullopt;
}

void VoiceSession::socket_attached(Time now) noexcept {
  heartbeat_deadline_ =
      now + Duration(static_cast<Duration::rep>(options_.heartbeat_interval_ms * 3e6));
}

std::optional<CloseSocket> VoiceSession::select_protocol(const json& d, SessionActions& out) {
  const std::string* protocol = d.is_object() ? text_field(d, "protocol") : nullptr;
  if (protocol == nullptr || !d.contains("data") || !d["data"].is_object()) {
    return close(Close::decode_error, "select protocol: a field is missing");
  }
  if (*protocol != "udp") {
    return close(Close::unknown_protocol, "unknown protocol");
  }
  const json& data = d["data"];
  const std::string* address = text_field(data, "address");
  const auto port = integer(data, "port");
  const std::string* name = text_field(data, "mode");
  if (address == nullptr || !port || name == nullptr) {
    return close(Close::decode_error, "select protocol: a field is missing");
  }
  if (!ipv4_literal(*address) || *port < 1 || *port > 65535) {
    return close(Close::bad_request, "select protocol: bad address");
  }
  const auto mode = transport::mode_from_name(*name);
  if (!mode ||
      std::find(options_.modes.begin(), options_.modes.end(), *mode) == options_.modes.end()) {
    return close(Close::unknown_mode, "unknown encryption mode");
  }
  mode_ = *mode;
  if (options_.other_mode) {
    const auto other = std::find_if(options_.modes.begin(), options_.modes.end(),
                                    [&](transport::Mode m) { return m != *mode; });
    mode_ = other != options_.modes.end() ? *other : *mode;
  }
  json key = json::array();
  for (const std::uint8_t b : key_.view()) {
    key.push_back(b);
  }
  // The media path exists before the client hears of it, as on the real thing.
  out.emplace_back(OpenMedia{*address, static_cast<std::uint16_t>(*port)});
  number(session_description_op,
         {{"mode", std::string(transport::to_string(mode_))},
          {"secret_key", key},
          {"dave_protocol_version", std::min(dave_version_, offered_dave_)},
          {"audio_codec", "opus"},
          {"video_codec", "H264"},
          {"media_session_id", credentials_.session_id + "-media"},
          {"keyframe_interval", nullptr}},
         out);
  number(media_sink_wants_op, {{"any", 100}}, out);
  described_ = true;
  out.emplace_back(Described{});
  return std::nullopt;
}

std::optional<CloseSocket> VoiceSession::client_speaking(const json& d, SessionActions& out) {
  if (!d.is_object() || !integer(d, "speaking")) {
    return close(Close::decode_error, "speaking: not an integer");
  }
  if (integer(d, "ssrc").value_or(ssrc_) != ssrc_) {
    out.emplace_back(Complaint{"opcode 5 with an SSRC that is not the client's"});
  }
  if (!described_) {
    out.emplace_back(Complaint{"opcode 5 before the session description"});
    return std::nullopt;
  }
  if (!std::exchange(speaking_, true)) {
    out.emplace_back(StartMedia{});
  }
  return std::nullopt;
}

SessionActions VoiceSession::on_text(const std::string& text, Time now) {
  SessionActions out;
  auto envelope = read_envelope(text);
  if (auto* refused = std::get_if<CloseSocket>(&envelope)) {
    out.emplace_back(*refused);
    return out;
  }
  const json& m = std::get<json>(envelope);
  const auto op = m["op"].get<std::int64_t>();
  const json& d = m["d"];
  std::optional<CloseSocket> refused;
  switch (op) {
    case identify_op:
    case resume_op:
      refused = close(Close::already_authenticated, "already authenticated");
      break;
    case heartbeat_op:
      refused = heartbeat(d, now, out);
      break;
    case select_protocol_op:
      refused = select_protocol(d, out);
      break;
    case speaking_op:
      refused = client_speaking(d, out);
      break;
    case dave_transition_ready_op:
    case dave_invalid_commit_op: {
      const auto id = d.is_object() ? integer(d, "transition_id") : std::nullopt;
      if (!id || *id < 0 || *id > 65535) {
        refused = close(Close::decode_error, "transition_id is not a number of 16 bits");
      } else {
        out.emplace_back(DaveReceived{static_cast<int>(op), {}, static_cast<int>(*id)});
      }
      break;
    }
    case backend_version_op:
      out.emplace_back(SendText{
          message(backend_version_op, {{"voice", "0.12.0"}, {"rtc_worker", "0.4.0"}}).dump()});
      break;
    default:
      if (!is_client_op(op)) {
        refused = close(Close::unknown_opcode, "unknown opcode");
      }
      break;  // video, session update, media sink wants: a real server takes note of them
  }
  if (refused) {
    out.emplace_back(*refused);
  }
  return out;
}

SessionActions VoiceSession::on_binary(ByteSpan bytes, Time) {
  SessionActions out;
  if (bytes.empty()) {
    out.emplace_back(close(Close::decode_error, "empty message"));
  } else if (bytes[0] != mls_key_package_op && bytes[0] != mls_commit_welcome_op) {
    out.emplace_back(bytes[0] == '{' ? close(Close::decode_error, "JSON in a binary frame")
                                     : close(Close::unknown_opcode, "unknown opcode"));
  } else if (offered_dave_ == 0) {
    out.emplace_back(Complaint{"MLS message of a client that offers no end-to-end encryption"});
  } else if (!described_) {
    out.emplace_back(Complaint{"MLS message before the session description"});
  } else {
    out.emplace_back(DaveReceived{bytes[0], Bytes(bytes.begin() + 1, bytes.end()), 0});
  }
  return out;
}

SessionActions VoiceSession::announce(const Participant& who) {
  SessionActions out;
  number(speaking_op,
         {{"speaking", who.flags}, {"ssrc", who.ssrc}, {"user_id", std::to_string(who.user_id)}},
         out);
  return out;
}

SessionActions VoiceSession::joined(const std::vector<std::uint64_t>& users) {
  SessionActions out;
  json ids = json::array();
  for (const std::uint64_t user : users) {
    ids.push_back(std::to_string(user));
  }
  number(clients_connect_op, {{"user_ids", ids}}, out);
  for (const std::uint64_t user : users) {
    number(client_flags_op, {{"user_id", std::to_string(user)}, {"flags", 0}}, out);
    number(client_platform_op, {{"user_id", std::to_string(user)}, {"platform", 1}}, out);
  }
  return out;
}

SessionActions VoiceSession::left(std::uint64_t user) {
  SessionActions out;
  number(client_disconnect_op, {{"user_id", std::to_string(user)}}, out);
  return out;
}

SessionActions VoiceSession::video(const Participant& who) {
  SessionActions out;
  json streams = json::array();
  if (who.video_ssrc != 0) {
    streams.push_back({{"type", "video"},
                       {"ssrc", who.video_ssrc},
                       {"rtx_ssrc", who.video_ssrc + 1},
                       {"rid", "100"},
                       {"quality", 100},
                       {"active", true},
                       {"max_framerate", 30},
                       {"max_resolution", {{"type", "fixed"}, {"width", 1280}, {"height", 720}}}});
  }
  number(video_op,
         {{"user_id", std::to_string(who.user_id)},
          {"audio_ssrc", who.ssrc},
          {"video_ssrc", who.video_ssrc},
          {"streams", streams}},
         out);
  return out;
}

SessionActions VoiceSession::send(int op, json d) {
  SessionActions out;
  number(op, std::move(d), out);
  return out;
}

}  // namespace discord::loopback
