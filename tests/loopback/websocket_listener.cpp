#include "websocket_listener.hpp"

#include <utility>

namespace discord::loopback {
namespace {

constexpr guint64 incoming_limit = 16 * 1024 * 1024;

// The parts of a posted message: JSON in "payload_json" or alone, files beside it.
void read_post(SoupServerMessage* message, HttpRequest& out) {
  SoupMessageHeaders* headers = soup_server_message_get_request_headers(message);
  GBytes* body = soup_message_body_flatten(soup_server_message_get_request_body(message));
  const char* type = soup_message_headers_get_content_type(headers, nullptr);
  SoupMultipart* parts = type != nullptr && std::string_view(type).starts_with("multipart/")
                             ? soup_multipart_new_from_message(headers, body)
                             : nullptr;
  const auto text_of = [](GBytes* bytes) {
    gsize size = 0;
    const auto* data = static_cast<const char*>(g_bytes_get_data(bytes, &size));
    return data != nullptr ? std::string(data, size) : std::string();
  };
  if (parts == nullptr) {
    out.content = text_of(body);
  } else {
    for (int i = 0; i < soup_multipart_get_length(parts); ++i) {
      SoupMessageHeaders* part = nullptr;
      GBytes* content = nullptr;
      char* disposition = nullptr;
      GHashTable* fields = nullptr;
      if (!soup_multipart_get_part(parts, i, &part, &content) ||
          !soup_message_headers_get_content_disposition(part, &disposition, &fields)) {
        continue;
      }
      const auto* file = static_cast<const char*>(g_hash_table_lookup(fields, "filename"));
      if (file != nullptr) {
        out.files.emplace_back(file, text_of(content));
      } else {
        out.content = text_of(content);
      }
      g_free(disposition);
      g_hash_table_unref(fields);
    }
    soup_multipart_free(parts);
  }
  g_bytes_unref(body);
}

std::uint16_t port_of(GUri* uri) {
  return static_cast<std::uint16_t>(g_uri_get_port(uri));
}

}  // namespace

WebSocketListener::WebSocketListener(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

WebSocketListener::~WebSocketListener() {
  for (auto& [id, s] : sockets_) {
    if (s.deflate) {
      deflateEnd(s.deflate.get());
    }
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
  soup_server_add_handler(server_, "/api", on_http, this, nullptr);
  if (auto failed = open_port(port, false)) {
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
    if (auto failed = open_port(tls_port, true)) {
      return failed;
    }
  }
  GSList* uris = soup_server_get_uris(server_);
  for (GSList* u = uris; u != nullptr; u = u->next) {
    auto* uri = static_cast<GUri*>(u->data);
    (std::string_view(g_uri_get_scheme(uri)) == "https" ? tls_port_ : port_) = port_of(uri);
  }
  g_slist_free_full(uris, reinterpret_cast<GDestroyNotify>(g_uri_unref));
  listening_ = true;
  return std::nullopt;
}

std::optional<std::string> WebSocketListener::open_port(std::uint16_t port, bool tls) {
  GSocketAddress* address = g_inet_socket_address_new_from_string("127.0.0.1", port);
  GError* error = nullptr;
  const bool ok = soup_server_listen(
      server_, address, tls ? SOUP_SERVER_LISTEN_HTTPS : SoupServerListenOptions{}, &error);
  g_object_unref(address);
  if (!ok) {
    std::string text = "cannot listen on 127.0.0.1:" + std::to_string(port) + ": " + error->message;
    g_error_free(error);
    return text;
  }
  return std::nullopt;
}

void WebSocketListener::vanish() {
  if (std::exchange(listening_, false)) {
    soup_server_disconnect(server_);
  }
  for (const auto& [id, socket] : sockets_) {
    drop(id);
  }
}

std::optional<std::string> WebSocketListener::come_back() {
  if (std::exchange(listening_, true)) {
    return std::nullopt;
  }
  if (auto failed = open_port(port_, false)) {
    return failed;
  }
  return tls_port_ != 0 ? open_port(tls_port_, true) : std::nullopt;
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
  GUri* uri = soup_server_message_get_uri(message);
  s.tls = std::string_view(g_uri_get_scheme(uri)) == "https";
  const char* query = g_uri_get_query(uri);
  if (query != nullptr &&
      std::string_view(query).find("compress=zlib-stream") != std::string::npos) {
    s.deflate = std::make_unique<z_stream>();
    deflateInit(s.deflate.get(), Z_BEST_SPEED);
  }
  self->callbacks_.opened(id, path, query != nullptr ? query : "");
}

void WebSocketListener::on_http(SoupServer*, SoupServerMessage* message, const char* path,
                                GHashTable*, gpointer self_pointer) {
  auto* self = static_cast<WebSocketListener*>(self_pointer);
  HttpRequest request;
  request.method = soup_server_message_get_method(message);
  request.path = path;
  request.tls = std::string_view(g_uri_get_scheme(soup_server_message_get_uri(message))) == "https";
  const char* authorization = soup_message_headers_get_one(
      soup_server_message_get_request_headers(message), "Authorization");
  request.authorization = authorization != nullptr ? authorization : "";
  read_post(message, request);
  const HttpAnswer answer = self->callbacks_.http(request);
  soup_server_message_set_status(message, answer.status, nullptr);
  if (!answer.body.is_null()) {
    const std::string text = answer.body.dump();
    soup_server_message_set_response(message, "application/json", SOUP_MEMORY_COPY, text.data(),
                                     text.size());
  } else {
    // libsoup ends the connection with an answer that has no body, and does not say so.
    soup_message_headers_replace(soup_server_message_get_response_headers(message), "Connection",
                                 "close");
  }
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
  if (s->deflate) {
    deflateEnd(s->deflate.get());
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
  Socket* s = find(id);
  if (s == nullptr) {
    return;
  }
  if (!s->deflate) {
    soup_websocket_connection_send_text(s->connection, text.c_str());
    return;
  }
  std::string packed(deflateBound(s->deflate.get(), text.size()) + 64, '\0');
  s->deflate->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s->deflate->avail_in = static_cast<uInt>(text.size());
  s->deflate->next_out = reinterpret_cast<Bytef*>(packed.data());
  s->deflate->avail_out = static_cast<uInt>(packed.size());
  deflate(s->deflate.get(), Z_SYNC_FLUSH);
  soup_websocket_connection_send_binary(s->connection, packed.data(),
                                        packed.size() - s->deflate->avail_out);
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

bool WebSocketListener::is_tls(std::uint64_t id) const {
  const auto it = sockets_.find(id);
  return it != sockets_.end() && it->second.tls;
}

void WebSocketListener::drop(std::uint64_t id) {
  if (Socket* s = find(id); s != nullptr && s->socket != nullptr) {
    s->closing = true;
    g_socket_shutdown(s->socket, TRUE, TRUE, nullptr);
  }
}

}  // namespace discord::loopback
