#include "raw_client.hpp"

#include "rtp/discovery.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace discord::loopback {

using nlohmann::json;

RawClient::~RawClient() {
  if (connection_ != nullptr) {
    g_signal_handlers_disconnect_by_data(connection_, this);
    g_object_unref(connection_);
  }
  if (session_ != nullptr) {
    soup_session_abort(session_);
    g_object_unref(session_);
  }
  if (udp_ >= 0) {
    ::close(udp_);
  }
}

bool RawClient::run_until(const std::function<bool()>& done, int timeout_ms) {
  bool expired = false;
  GSource* timeout = g_timeout_source_new(static_cast<guint>(timeout_ms));
  g_source_set_callback(
      timeout,
      [](gpointer e) -> gboolean {
        *static_cast<bool*>(e) = true;
        return G_SOURCE_CONTINUE;
      },
      &expired, nullptr);
  g_source_attach(timeout, nullptr);
  bool reached = done();
  while (!reached && !expired) {
    g_main_context_iteration(nullptr, TRUE);
    reached = done();
  }
  g_source_destroy(timeout);
  g_source_unref(timeout);
  return reached;
}

bool RawClient::connect(const std::string& url, const std::string& ca_file) {
  if (connection_ != nullptr) {
    g_signal_handlers_disconnect_by_data(connection_, this);
    g_clear_object(&connection_);
  }
  close_code_ = 0;
  if (session_ == nullptr) {
    session_ = soup_session_new();
  }
  if (!ca_file.empty()) {
    GTlsDatabase* database = g_tls_file_database_new(ca_file.c_str(), nullptr);
    soup_session_set_tls_database(session_, database);
    g_clear_object(&database);
  }
  SoupMessage* message = soup_message_new("GET", url.c_str());
  bool answered = false;
  struct Answer {
    RawClient* self;
    bool* answered;
  } answer{this, &answered};
  soup_session_websocket_connect_async(
      session_, message, nullptr, nullptr, G_PRIORITY_DEFAULT, nullptr,
      [](GObject* source, GAsyncResult* result, gpointer data) {
        auto* a = static_cast<Answer*>(data);
        GError* error = nullptr;
        a->self->connection_ =
            soup_session_websocket_connect_finish(SOUP_SESSION(source), result, &error);
        g_clear_error(&error);
        *a->answered = true;
      },
      &answer);
  g_object_unref(message);
  run_until([&] { return answered; });
  if (connection_ == nullptr) {
    return false;
  }
  g_signal_connect(connection_, "message", G_CALLBACK(on_message), this);
  g_signal_connect(connection_, "closed", G_CALLBACK(on_closed), this);
  return true;
}

void RawClient::on_message(SoupWebsocketConnection*, int type, GBytes* bytes, gpointer self) {
  if (type == SOUP_WEBSOCKET_DATA_TEXT) {
    gsize size = 0;
    const auto* data = static_cast<const char*>(g_bytes_get_data(bytes, &size));
    static_cast<RawClient*>(self)->messages.push_back(json::parse(data, data + size));
  }
}

void RawClient::on_closed(SoupWebsocketConnection* connection, gpointer self) {
  const int code = soup_websocket_connection_get_close_code(connection);
  static_cast<RawClient*>(self)->close_code_ = code == 0 ? 1006 : code;
}

void RawClient::send(const json& message) {
  send_text(message.dump());
}

void RawClient::send_text(const std::string& text) {
  soup_websocket_connection_send_text(connection_, text.c_str());
}

void RawClient::send_binary(ByteSpan bytes) {
  soup_websocket_connection_send_binary(connection_, bytes.data(), bytes.size());
}

void RawClient::close(std::uint16_t code) {
  soup_websocket_connection_close(connection_, code, nullptr);
}

json RawClient::await(int op) {
  json found;
  run_until([&] {
    while (read_ < messages.size()) {
      const json& m = messages[read_++];
      if (m["op"] == op) {
        found = m;
        return true;
      }
    }
    return close_code_ != 0;
  });
  return found;
}

int RawClient::await_close() {
  run_until([&] { return close_code_ != 0; });
  return close_code_;
}

json RawClient::identify_message(const Credentials& c, int max_dave) const {
  return {{"op", 0},
          {"d",
           {{"server_id", std::to_string(c.guild_id)},
            {"user_id", std::to_string(c.user_id)},
            {"session_id", c.session_id},
            {"token", c.token},
            {"max_dave_protocol_version", max_dave}}}};
}

bool RawClient::join(const Credentials& credentials, const std::string& mode, int max_dave) {
  send(identify_message(credentials, max_dave));
  const json ready = await(2);
  if (ready.is_null()) {
    return false;
  }
  ssrc = ready["d"]["ssrc"];
  server_port = ready["d"]["port"];
  open_udp();
  if (!discover()) {
    return false;
  }
  send({{"op", 1},
        {"d",
         {{"protocol", "udp"}, {"data", {{"address", address}, {"port", port}, {"mode", mode}}}}}});
  const json description = await(4);
  if (description.is_null()) {
    return false;
  }
  std::array<std::uint8_t, 32> key{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    key[i] = description["d"]["secret_key"][i];
  }
  cipher = std::make_unique<transport::Cipher>(
      *transport::mode_from_name(description["d"]["mode"].get<std::string>()), transport::Key(key));
  send({{"op", 5}, {"d", {{"speaking", 1}, {"delay", 0}, {"ssrc", ssrc}}}});
  return true;
}

void RawClient::open_udp() {
  if (udp_ >= 0) {
    ::close(udp_);
  }
  udp_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(server_port);
  if (::connect(udp_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    ::close(udp_);
    udp_ = -1;
  }
}

bool RawClient::discover() {
  for (int attempt = 0; attempt < 5; ++attempt) {
    send_datagram(rtp::make_discovery_request(ssrc));
    const auto bytes = await_datagram(200);
    if (!bytes) {
      continue;
    }
    if (const auto reply = rtp::parse_discovery_reply(*bytes, ssrc)) {
      address = reply.value().address();
      port = reply.value().port;
      return true;
    }
  }
  return false;
}

void RawClient::send_datagram(ByteSpan bytes) {
  // A failure means that the server is gone; whoever waits for its answer will notice.
  [[maybe_unused]] const ssize_t sent = ::send(udp_, bytes.data(), bytes.size(), 0);
}

std::optional<Bytes> RawClient::await_datagram(int timeout_ms) {
  pollfd p{udp_, POLLIN, 0};
  if (poll(&p, 1, timeout_ms) != 1) {
    return std::nullopt;
  }
  Bytes out(4096);
  const ssize_t got = recv(udp_, out.data(), out.size(), 0);
  if (got < 0) {
    return std::nullopt;
  }
  out.resize(static_cast<std::size_t>(got));
  return out;
}

std::optional<RawClient::Received> RawClient::await_audio() {
  while (auto bytes = await_datagram()) {
    const std::size_t size = bytes->size();
    const auto kind = rtp::classify(*bytes, transport::limits_for(cipher->mode()));
    if (kind == rtp::DatagramKind::rtcp) {
      rtcp += cipher->open_rtcp(*bytes).ok() ? 1 : 0;
      continue;
    }
    if (kind != rtp::DatagramKind::rtp_audio) {
      ++not_audio;
      continue;
    }
    auto opened = cipher->open_rtp(*bytes);
    if (!opened) {
      ++not_authentic;
      continue;
    }
    return Received{opened->header, opened->extension,
                    Bytes(opened->payload.begin(), opened->payload.end()), size};
  }
  return std::nullopt;
}

}  // namespace discord::loopback
