// How failures of a WebSocket are told to the state machines.
#pragma once

#include "net/websocket.hpp"
#include "voice/session.hpp"

namespace discord::net {

constexpr voice::SocketError to_socket_error(ConnectError error) noexcept {
  switch (error) {
    case ConnectError::tls_missing:
      return voice::SocketError::NoTls;
    case ConnectError::tls_failed:
      return voice::SocketError::Tls;
    case ConnectError::not_a_websocket:
      return voice::SocketError::Handshake;
    case ConnectError::unreachable:
      break;
  }
  return voice::SocketError::Unreachable;
}

}  // namespace discord::net
