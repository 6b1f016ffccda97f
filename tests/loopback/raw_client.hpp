// A small voice client for the server's own tests: libsoup and a UDP socket, nothing of the library
// but the cipher, and free to break every rule.
#pragma once

#include "voice_session.hpp"

#include "transport/cipher.hpp"

#include <libsoup/soup.h>
#include <memory>

namespace discord::loopback {

// Uses the thread's default main context. Every wait has a time-out and ends on the event itself.
class RawClient {
 public:
  struct Received {
    rtp::Header header;
    rtp::AudioExtension extension;
    Bytes payload;
    std::size_t datagram_size = 0;
  };

  RawClient() = default;
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // `url` as "ws://127.0.0.1:port/?v=8". False when no WebSocket came up.
  bool connect(const std::string& url, const std::string& ca_file = {});
  void send(const nlohmann::json& message);
  void send_text(const std::string& text);
  void send_binary(ByteSpan bytes);
  void close(std::uint16_t code);

  // The next message with that op; those before it stay in `messages`. Null when none came.
  nlohmann::json await(int op);
  // The close code; 1006 when the connection broke, 0 when nothing happened.
  int await_close();
  bool is_closed() const { return close_code_ != 0; }

  // Identify, discovery, Select Protocol, opcode 5. False when a step got no answer.
  bool join(const Credentials& credentials, const std::string& mode, int max_dave = 1);
  bool discover();
  nlohmann::json identify_message(const Credentials& credentials, int max_dave = 1) const;

  // Raw datagrams to and from the server's UDP port (known after Ready).
  void send_datagram(ByteSpan bytes);
  std::optional<Bytes> await_datagram(int timeout_ms = 5000);
  // The next authentic audio packet.
  std::optional<Received> await_audio();

  std::vector<nlohmann::json> messages;  // all, in order of arrival
  std::uint32_t ssrc = 0;
  std::uint16_t server_port = 0;
  std::string address;  // discovered
  std::uint16_t port = 0;
  std::unique_ptr<transport::Cipher> cipher;
  std::uint64_t not_authentic = 0;
  std::uint64_t not_audio = 0;
  std::uint64_t rtcp = 0;

 private:
  static void on_message(SoupWebsocketConnection*, int type, GBytes*, gpointer self);
  static void on_closed(SoupWebsocketConnection*, gpointer self);
  bool run_until(const std::function<bool()>& done, int timeout_ms = 5000);
  void open_udp();

  SoupSession* session_ = nullptr;
  SoupWebsocketConnection* connection_ = nullptr;
  std::size_t read_ = 0;
  int close_code_ = 0;
  int udp_ = -1;
};

}  // namespace discord::loopback
