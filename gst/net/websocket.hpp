// One WebSocket connection, carried by libsoup on the control thread.
#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace discord::net {

enum class ConnectError {
  unreachable,      // name not found, refused, no route, time-out of the network
  tls_missing,      // no TLS module is installed
  tls_failed,       // certificate or handshake
  not_a_websocket,  // something answered, and it was not this protocol
};

// All members are called, and all callbacks come, on the control thread. After the destructor no
// callback comes.
class WebSocket {
 public:
  struct Callbacks {
    std::function<void()> opened;
    std::function<void(std::string_view)> text;
    std::function<void(ByteSpan)> binary;
    // The connection ended. Without a code it was lost (RFC 6455 7.1.5: 1005 and 1006 are never on
    // the wire).
    std::function<void(std::optional<std::uint16_t> code, std::string reason)> closed;
    // The connection never came to be.
    std::function<void(ConnectError, std::string detail)> failed;
  };

  // Starts connecting. `ca_file`, if not empty, replaces the system's certificates.
  WebSocket(const std::string& url, const std::string& ca_file, Callbacks callbacks);
  ~WebSocket();
  WebSocket(const WebSocket&) = delete;
  WebSocket& operator=(const WebSocket&) = delete;

  void send_text(const std::string& text);
  void send_binary(ByteSpan bytes);
  // Starts the closing handshake; `closed` follows.
  void close(std::uint16_t code);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace discord::net
