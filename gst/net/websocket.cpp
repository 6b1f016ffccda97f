// SPDX-License-Identifier: LGPL-2.1-or-later
#include "net/websocket.hpp"

#include <libsoup/soup.h>
#include <utility>

namespace discord::net {

namespace {

// Gateways send megabytes where many people are in a guild; libsoup's default of 128 KiB would
// close the connection.
constexpr guint64 max_message_size = 16U << 20;

ConnectError classify_error(const GError* error) {
  if (error->domain == G_TLS_ERROR) {
    return error->code == G_TLS_ERROR_UNAVAILABLE ? ConnectError::tls_missing
                                                  : ConnectError::tls_failed;
  }
  if (error->domain == SOUP_WEBSOCKET_ERROR) {
    return ConnectError::not_a_websocket;
  }
  return ConnectError::unreachable;
}

bool is_tls(const std::string& url) {
  return url.starts_with("wss://");
}

}  // namespace

// Shared with libsoup's pending call, which cannot be taken back: a cancelled connect still calls
// back later, and then must find that nobody waits any more.
struct WebSocket::Impl : std::enable_shared_from_this<WebSocket::Impl> {
  Callbacks callbacks;
  SoupSession* session = nullptr;
  SoupWebsocketConnection* connection = nullptr;
  GCancellable* cancellable = g_cancellable_new();
  std::string tls_problem;
  bool detached = false;

  ~Impl() {
    if (connection != nullptr) {
      g_signal_handlers_disconnect_by_data(connection, this);
      g_object_unref(connection);
    }
    g_clear_object(&session);
    g_object_unref(cancellable);
  }

  void fail(ConnectError error, std::string detail) {
    if (!detached && callbacks.failed) {
      callbacks.failed(error, std::move(detail));
    }
  }

  void connected(SoupWebsocketConnection* made) {
    connection = made;
    soup_websocket_connection_set_max_incoming_payload_size(connection, max_message_size);
    g_signal_connect(connection, "message", G_CALLBACK(on_message), this);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), this);
    if (callbacks.opened) {
      callbacks.opened();
    }
  }

  static void on_message(SoupWebsocketConnection*, gint type, GBytes* message, gpointer data) {
    // A callback may destroy the WebSocket; this keeps the rest of it alive until the return.
    const std::shared_ptr<Impl> self = static_cast<Impl*>(data)->shared_from_this();
    if (self->detached) {
      return;
    }
    gsize size = 0;
    const auto* bytes = static_cast<const std::uint8_t*>(g_bytes_get_data(message, &size));
    if (type == SOUP_WEBSOCKET_DATA_TEXT) {
      self->callbacks.text({reinterpret_cast<const char*>(bytes), size});
    } else {
      self->callbacks.binary({bytes, size});
    }
  }

  static void on_closed(SoupWebsocketConnection* connection, gpointer data) {
    const std::shared_ptr<Impl> self = static_cast<Impl*>(data)->shared_from_this();
    if (self->detached) {
      return;
    }
    const gushort code = soup_websocket_connection_get_close_code(connection);
    const char* reason = soup_websocket_connection_get_close_data(connection);
    const bool on_the_wire = code != 0 && code != SOUP_WEBSOCKET_CLOSE_NO_STATUS &&
                             code != SOUP_WEBSOCKET_CLOSE_ABNORMAL;
    self->callbacks.closed(on_the_wire ? std::optional<std::uint16_t>(code) : std::nullopt,
                           reason != nullptr ? reason : "");
  }

  static void on_connected(GObject* source, GAsyncResult* result, gpointer data) {
    const std::unique_ptr<std::shared_ptr<Impl>> holder(static_cast<std::shared_ptr<Impl>*>(data));
    Impl& self = **holder;
    GError* error = nullptr;
    SoupWebsocketConnection* made =
        soup_session_websocket_connect_finish(SOUP_SESSION(source), result, &error);
    if (made != nullptr) {
      if (self.detached) {
        soup_websocket_connection_close(made, SOUP_WEBSOCKET_CLOSE_GOING_AWAY, nullptr);
        g_object_unref(made);
      } else {
        self.connected(made);
      }
      return;
    }
    std::string detail = error->message;
    if (!self.tls_problem.empty()) {
      detail += " (" + self.tls_problem + ")";
    }
    const ConnectError kind =
        self.tls_problem.empty() ? classify_error(error) : ConnectError::tls_failed;
    g_error_free(error);
    self.fail(kind, std::move(detail));
  }
};

namespace {

std::string describe(GTlsCertificateFlags flags) {
  std::string out;
  const auto add = [&out](const char* what) {
    if (!out.empty()) {
      out += ", ";
    }
    out += what;
  };
  if (flags & G_TLS_CERTIFICATE_UNKNOWN_CA) {
    add("the certificate is not signed by an authority this machine trusts");
  }
  if (flags & G_TLS_CERTIFICATE_BAD_IDENTITY) {
    add("the certificate belongs to another host");
  }
  if (flags & G_TLS_CERTIFICATE_EXPIRED) {
    add("the certificate has expired");
  }
  if (flags & G_TLS_CERTIFICATE_NOT_ACTIVATED) {
    add("the certificate is not valid yet; is this machine's clock right?");
  }
  if (out.empty()) {
    out = "the certificate was refused";
  }
  return out;
}

// Lets a connection that nobody owns any more finish its closing handshake: the frame leaves only
// from the loop. Whoever is first, the peer's answer or a second, ends it.
void linger(SoupWebsocketConnection* connection) {
  if (soup_websocket_connection_get_state(connection) == SOUP_WEBSOCKET_STATE_CLOSED) {
    return;
  }
  if (soup_websocket_connection_get_state(connection) == SOUP_WEBSOCKET_STATE_OPEN) {
    soup_websocket_connection_close(connection, SOUP_WEBSOCKET_CLOSE_GOING_AWAY, nullptr);
  }
  GSource* limit = g_timeout_source_new_seconds(1);
  g_source_set_callback(
      limit, [](gpointer) -> gboolean { return G_SOURCE_REMOVE; }, g_object_ref(connection),
      g_object_unref);
  g_signal_connect_data(
      connection, "closed", G_CALLBACK(+[](SoupWebsocketConnection*, gpointer source) {
        g_source_destroy(static_cast<GSource*>(source));
      }),
      g_source_ref(limit),
      [](gpointer source, GClosure*) { g_source_unref(static_cast<GSource*>(source)); },
      GConnectFlags{});
  g_source_attach(limit, g_main_context_get_thread_default());
  g_source_unref(limit);
}

gboolean on_accept_certificate(SoupMessage*, GTlsCertificate*, GTlsCertificateFlags flags,
                               gpointer problem) {
  *static_cast<std::string*>(problem) = describe(flags);
  return FALSE;
}

}  // namespace

WebSocket::WebSocket(const std::string& url, const std::string& ca_file, Callbacks callbacks)
    : impl_(std::make_shared<Impl>()) {
  impl_->callbacks = std::move(callbacks);
  // Failures found here are reported from the loop, so that a caller never hears of a failure
  // before its constructor has returned.
  const auto fail_later = [this](ConnectError error, std::string detail) {
    struct Late {
      std::shared_ptr<Impl> impl;
      ConnectError error;
      std::string detail;
    };
    GSource* source = g_idle_source_new();
    g_source_set_callback(
        source,
        [](gpointer data) -> gboolean {
          auto* late = static_cast<Late*>(data);
          late->impl->fail(late->error, late->detail);
          return G_SOURCE_REMOVE;
        },
        new Late{impl_, error, std::move(detail)},
        [](gpointer data) { delete static_cast<Late*>(data); });
    g_source_attach(source, g_main_context_get_thread_default());
    g_source_unref(source);
  };

  if (is_tls(url) && !g_tls_backend_supports_tls(g_tls_backend_get_default())) {
    fail_later(ConnectError::tls_missing, "GIO has no TLS backend");
    return;
  }
  impl_->session = soup_session_new();
  if (!ca_file.empty()) {
    GError* error = nullptr;
    GTlsDatabase* database = g_tls_file_database_new(ca_file.c_str(), &error);
    if (database == nullptr) {
      std::string detail = "cannot use the CA file " + ca_file + ": " + error->message;
      g_error_free(error);
      fail_later(ConnectError::tls_failed, std::move(detail));
      return;
    }
    soup_session_set_tls_database(impl_->session, database);
    g_object_unref(database);
  }
  SoupMessage* message = soup_message_new(SOUP_METHOD_GET, url.c_str());
  if (message == nullptr) {
    fail_later(ConnectError::unreachable, "the address cannot be parsed");
    return;
  }
  // Compressed messages could unfold to any size, and Discord's JSON is small enough as it is.
  soup_message_disable_feature(message, SOUP_TYPE_WEBSOCKET_EXTENSION_MANAGER);
  g_signal_connect(message, "accept-certificate", G_CALLBACK(on_accept_certificate),
                   &impl_->tls_problem);
  soup_session_websocket_connect_async(impl_->session, message, nullptr, nullptr,
                                       G_PRIORITY_DEFAULT, impl_->cancellable, Impl::on_connected,
                                       new std::shared_ptr<Impl>(impl_));
  g_object_unref(message);
}

WebSocket::~WebSocket() {
  impl_->detached = true;
  g_cancellable_cancel(impl_->cancellable);
  if (impl_->connection != nullptr) {
    linger(impl_->connection);
  }
}

void WebSocket::send_text(const std::string& text) {
  if (impl_->connection != nullptr &&
      soup_websocket_connection_get_state(impl_->connection) == SOUP_WEBSOCKET_STATE_OPEN) {
    soup_websocket_connection_send_text(impl_->connection, text.c_str());
  }
}

void WebSocket::send_binary(ByteSpan bytes) {
  if (impl_->connection != nullptr &&
      soup_websocket_connection_get_state(impl_->connection) == SOUP_WEBSOCKET_STATE_OPEN) {
    soup_websocket_connection_send_binary(impl_->connection, bytes.data(), bytes.size());
  }
}

void WebSocket::close(std::uint16_t code) {
  if (impl_->connection != nullptr &&
      soup_websocket_connection_get_state(impl_->connection) == SOUP_WEBSOCKET_STATE_OPEN) {
    soup_websocket_connection_close(impl_->connection, code, nullptr);
  }
}

}  // namespace discord::net
