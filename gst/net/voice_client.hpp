// Carries out what a voice::Session asks for: its WebSocket, its UDP socket, its timer.
#pragma once

#include "net/control_thread.hpp"
#include "net/udp_socket.hpp"
#include "net/websocket.hpp"
#include "voice/session.hpp"

#include <functional>
#include <memory>

namespace discord::net {

struct ClientOptions {
  voice::Options voice;
  std::string ca_file;             // empty: the system's certificates
  int receive_buffer = 4'000'000;  // bytes asked of the kernel for the media socket
};

// Whether AES-GCM is the faster choice here: without the instructions XChaCha20 is.
bool cpu_has_aes() noexcept;

// One voice connection. Made and used from any thread but the control thread; everything inside
// happens there.
class VoiceClient {
 public:
  // Called on the control thread, never under a lock.
  class Observer {
   public:
    virtual ~Observer() = default;
    // The media socket of a connection whose key is known: from now on the observer reads it. An
    // empty pointer: there is none any more.
    virtual void on_media_socket(voice::Generation generation,
                                 std::shared_ptr<UdpSocket> socket) = 0;
    // Every action that is not a matter of sockets.
    virtual void on_action(const voice::Action& action) = 0;
  };

  // `observer` is not called after `stop` and outlives the client.
  VoiceClient(voice::Credentials credentials, ClientOptions options, Observer& observer);
  ~VoiceClient();
  VoiceClient(const VoiceClient&) = delete;
  VoiceClient& operator=(const VoiceClient&) = delete;

  void start();
  // Closes the connection: when it returns, no call to the observer is under way or will come.
  // `status` goes on answering.
  void stop();

  // A datagram that belongs to the session rather than to the media (ping and discovery replies).
  // Any thread; returns at once.
  void hand_datagram(voice::Generation generation, ByteSpan bytes);

  // Round trips and drop counters, as they are now.
  struct Status {
    voice::State state = voice::State::Idle;
    voice::Counters counters;
    std::optional<Duration> heartbeat_rtt;
    std::optional<Duration> ping_rtt;
    std::optional<transport::Mode> mode;
    std::uint32_t ssrc = 0;
  };
  Status status() const;

 private:
  class Link;
  std::shared_ptr<ControlThread> thread_;
  std::shared_ptr<Link> link_;
};

}  // namespace discord::net
