#include "websocket_listener.hpp"

namespace discord::loopback {
namespace {

constexpr guint64 incoming_limit = 16 * 1024 * 1024;

std::uint16_t port_of(GUri* uri) {
  return static_cast<std::uint16_t>(g_uri_get_port(uri));
}

}  // namespace

WebSocketListener::WebSocketListener(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

WebSocketListener::~WebSocketListener() {
  for (auto& [id, s] : sockets_) {
    g_signal_handlers_disconnect_by_data(s.connection, &s);
    if (s.socket != nullptr) {
      g_socket_shutdown(s.socket, TRUE, TRUE, nullptr);
      g_object_unref(s.socket);
    }
    g_object_unref(s.connection);
  }
  if (server_ != nullptr) {
    soup_server_disconnect(server_);
    g_object_unref(server_);
  }
}

std::optional<std::string> WebSocketListener::listen(std::uint16_t port, std::uint16_t tls_port,
                                                     const std::optional<std::string>& pem) {
  server_ = soup_server_new("server-header", "discord-loopback ", nullptr);
  soup_server_add_websocket_handler(server_, nullptr, nullptr, nullptr, on_socket, this, nullptr);
  const auto open_port = [&](std::uint16_t wanted,
                             SoupServerListenOptions flags) -> std::optional<std::string> {
    GSocketAddress* address = g_inet_socket_address_new_from_string("127.0.0.1", wanted);
    GError* error = nullptr;
    const bool ok = soup_server_listen(server_, address, flags, &error);
    g_object_unref(address);
    if (!ok) {
      std::string text =
          "cannot listen on 127.0.0.1:" + std::to_string(wanted) + ": " + error->message;
      g_error_free(error);
      return text;
    }
    return std::nullopt;
  };
  if (auto failed = open_port(port, static_cast<SoupServerListenOptions>(0))) {
    return failed;
  }
  if (pem) {
    GError* error = nullptr;
    GTlsCertificate* certificate =
        g_tls_certificate_new_from_pem(pem->data(), static_cast<gssize>(pem->size()), &error);
    if (certificate == nullptr) {
      std::string text = std::string("cannot use the certificate: ") + error->message;
      g_error_free(error);
      return text;
    }
    soup_server_set_tls_certificate(server_, certificate);
    g_object_unref(certificate);
    if (auto failed = open_port(tls_port, SOUP_SERVER_LISTEN_HTTPS)) {
      return failed;
    }
  }
  GSList* uris = soup_server_get_uris(server_);
  for (GSList* u = uris; u != nullptr; u = u->next) {
    auto* uri = static_cast<GUri*>(u->data);
    (std::string_view(g_uri_get_scheme(uri)) == "https" ? tls_port_ : port_) = port_of(uri);
  }
  g_slist_free_full(uris, reinterpret_cast<GDestroyNotify>(g_uri_unref));
  return std::nullopt;
}

void WebSocketListener::on_socket(SoupServer*, SoupServerMessage* message, const char* path,
                                  SoupWebsocketConnection* connection, gpointer self_pointer) {
  auto* self = static_cast<WebSocketListener*>(self_pointer);
  const std::uint64_t id = self->next_id_++;
  Socket& s = self->sockets_[id];
  s.owner = self;
  s.id = id;
  s.connection = SOUP_WEBSOCKET_CONNECTION(g_object_ref(connection));
  // libsoup hands the connection over before this call and leaves its socket on the stream.
  GIOStream* stream = soup_websocket_connection_get_io_stream(connection);
  auto* socket = static_cast<GSocket*>(g_object_get_data(G_OBJECT(stream), "GSocket"));
  if (socket == nullptr) {
    socket = soup_server_message_get_socket(message);
  }
  s.socket = socket != nullptr ? G_SOCKET(g_object_ref(socket)) : nullptr;
  soup_websocket_connection_set_max_incoming_payload_size(connection, incoming_limit);
  g_signal_connect(connection, "message", G_CALLBACK(on_message), &s);
  g_signal_connect(connection, "closed", G_CALLBACK(on_closed), &s);
  const char* query = g_uri_get_query(soup_server_message_get_uri(message));
  self->callbacks_.opened(id, path, query != nullptr ? query : "");
}

void WebSocketListener::on_message(SoupWebsocketConnection*, int type, GBytes* bytes,
                                   gpointer socket_pointer) {
  auto* s = static_cast<Socket*>(socket_pointer);
  if (s->closing) {
    return;
  }
  gsize size = 0;
  const auto* data = static_cast<const std::uint8_t*>(g_bytes_get_data(bytes, &size));
  if (type == SOUP_WEBSOCKET_DATA_TEXT) {
    s->owner->callbacks_.text(s->id, std::string(reinterpret_cast<const char*>(data), size));
  } else {
    s->owner->callbacks_.binary(s->id, ByteSpan(data, size));
  }
}

void WebSocketListener::on_closed(SoupWebsocketConnection* connection, gpointer socket_pointer) {
  auto* s = static_cast<Socket*>(socket_pointer);
  WebSocketListener* self = s->owner;
  const std::uint64_t id = s->id;
  const int code = soup_websocket_connection_get_close_code(connection);
  g_signal_handlers_disconnect_by_data(connection, s);
  if (s->socket != nullptr) {
    g_object_unref(s->socket);
  }
  self->sockets_.erase(id);
  self->callbacks_.closed(id, code == 0 ? 1006 : code);
  g_object_unref(connection);
}

WebSocketListener::Socket* WebSocketListener::find(std::uint64_t id) {
  const auto it = sockets_.find(id);
  if (it == sockets_.end() || it->second.closing ||
      soup_websocket_connection_get_state(it->second.connection) != SOUP_WEBSOCKET_STATE_OPEN) {
    return nullptr;
  }
  return &it->second;
}

void WebSocketListener::send_text(std::uint64_t id, const std::string& text) {
  if (Socket* s = find(id)) {
    soup_websocket_connection_send_text(s->connection, text.c_str());
  }
}

void WebSocketListener::send_binary(std::uint64_t id, ByteSpan bytes) {
  if (Socket* s = find(id)) {
    soup_websocket_connection_send_binary(s->connection, bytes.data(), bytes.size());
  }
}

void WebSocketListener::close(std::uint64_t id, std::uint16_t code, const std::string& reason) {
  if (Socket* s = find(id)) {
    s->closing = true;
    soup_websocket_connection_close(s->connection, code, reason.c_str());
  }
}

void WebSocketListener::drop(std::uint64_t id) {
  if (Socket* s = find(id); s != nullptr && s->socket != nullptr) {
    s->closing = true;
    g_socket_shutdown(s->socket, TRUE, TRUE, nullptr);
  }
}

}  // namespace discord::loopback
