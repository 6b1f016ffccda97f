// WebSocket server sockets on 127.0.0.1: libsoup in, plain callbacks out.
#pragma once

#include "base/bytes.hpp"

#include "main_gateway.hpp"

#include <libsoup/soup.h>
#include <zlib.h>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace discord::loopback {

// Lives on one thread, whose default main context it uses.
class WebSocketListener {
 public:
  struct Callbacks {
    std::function<void(std::uint64_t id, const std::string& path, const std::string& query)> opened;
    std::function<void(std::uint64_t id, const std::string& text)> text;
    std::function<void(std::uint64_t id, ByteSpan bytes)> binary;
    // `code` is the peer's close code, 1006 when there was none. No callback follows.
    std::function<void(std::uint64_t id, int code)> closed;
    // An ordinary HTTP request under /api.
    std::function<HttpAnswer(const HttpRequest&)> http;
  };

  explicit WebSocketListener(Callbacks callbacks);
  ~WebSocketListener();
  WebSocketListener(const WebSocketListener&) = delete;
  WebSocketListener& operator=(const WebSocketListener&) = delete;

  // Ports of 0 mean any. `pem` holds certificate and key; without it there is no TLS port.
  // Nothing, or why it does not listen.
  std::optional<std::string> listen(std::uint16_t port, std::uint16_t tls_port,
                                    const std::optional<std::string>& pem);
  // As if the machine had been switched off: connections break, nobody listens. And back again on
  // the same ports; nothing, or why not.
  void vanish();
  std::optional<std::string> come_back();
  std::uint16_t port() const noexcept { return port_; }
  std::uint16_t tls_port() const noexcept { return tls_port_; }

  // All of these ignore an id that is gone or closing.
  void send_text(std::uint64_t id, const std::string& text);
  void send_binary(std::uint64_t id, ByteSpan bytes);
  // After this no message of the socket is reported any more, only `closed`.
  void close(std::uint64_t id, std::uint16_t code, const std::string& reason);
  // Whether it came by wss://.
  bool is_tls(std::uint64_t id) const;
  // Ends the TCP connection without a close frame.
  void drop(std::uint64_t id);

 private:
  struct Socket {
    WebSocketListener* owner;
    std::uint64_t id;
    SoupWebsocketConnection* connection;
    GSocket* socket;  // may be null
    bool closing = false;
    bool tls = false;
    std::unique_ptr<z_stream> deflate;  // `compress=zlib-stream`: one stream for the connection
  };
  static void on_socket(SoupServer*, SoupServerMessage*, const char* path, SoupWebsocketConnection*,
                        gpointer self);
  static void on_http(SoupServer*, SoupServerMessage*, const char* path, GHashTable*,
                      gpointer self);
  static void on_message(SoupWebsocketConnection*, int type, GBytes*, gpointer socket);
  static void on_closed(SoupWebsocketConnection*, gpointer socket);
  Socket* find(std::uint64_t id);
  std::optional<std::string> open_port(std::uint16_t port, bool tls);

  Callbacks callbacks_;
  SoupServer* server_ = nullptr;
  std::uint16_t port_ = 0;
  std::uint16_t tls_port_ = 0;
  bool listening_ = false;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Socket> sockets_;
};

}  // namespace discord::loopback
