// Carries out what a voice::Session asks for: its WebSocket, its UDP socket, its timer.
#pragma once

#include "net/bot_seat.hpp"
#include "net/control_thread.hpp"
#include "net/udp_socket.hpp"
#include "net/websocket.hpp"
#include "voice/session.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace discord::net {

struct ClientOptions {
  voice::Options voice;
  std::string ca_file;             // empty: the system's certificates
  int receive_buffer = 4'000'000;  // bytes asked of the kernel for the media socket
  // A bot joins by itself; the credentials of the client are then not looked at.
  std::optional<BotOptions> bot;
  // The application gives credentials when it has them, with update_server() and update_state().
  bool wait_for_updates = false;
};

// Whether AES-GCM is the faster choice here: without the instructions XChaCha20 is.
bool cpu_has_aes() noexcept;

// The key by which other users recognise this process in end-to-end encrypted calls; made when
// first asked for, and kept as long as the process lives. Nothing without randomness.
const std::optional<mls::KeyPair>& process_signature_key();
mls::RandomSource& system_random();

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
    // What concerns a bot's place in its guild.
    virtual void on_gateway(const voice::gateway::Action& action) = 0;
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

  // What an application learned from its own Discord library; see voice::CredentialUpdates. An
  // empty endpoint: the server is gone. Any thread; return at once.
  void update_server(std::string endpoint, SecretString token);
  void update_state(std::string session_id);
  // Moves the bot, or changes how it shows; for an application, the channel of what comes next. Any
  // thread; returns at once.
  void change(const voice::gateway::Wish& wish);

  // Media found that the frames of this user cannot be opened any more. Any thread; returns at
  // once.
  void hand_undecryptable(std::uint64_t user);

  // The public signature keys of ourselves and of another member of the call's group, for the
  // verification code; nothing when the user is not a member.
  struct SignatureKeys {
    Bytes own;
    Bytes theirs;
  };
  std::optional<SignatureKeys> signature_keys(std::uint64_t user) const;

  // Round trips and drop counters, as they are now.
  struct Status {
    voice::State state = voice::State::Idle;
    voice::Counters counters;
    std::optional<Duration> heartbeat_rtt;
    std::optional<Duration> ping_rtt;
    std::optional<transport::Mode> mode;
    std::uint32_t ssrc = 0;
    std::uint64_t own_user = 0;
    std::optional<BotSeat::Status> bot;
  };
  Status status() const;

 private:
  class Link;
  std::shared_ptr<ControlThread> thread_;
  std::shared_ptr<Link> link_;
};

}  // namespace discord::net
