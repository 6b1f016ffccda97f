// Sessions, calls and media of the loopback Discord, on the server's thread.
#pragma once

#include "server.hpp"
#include "udp_socket.hpp"
#include "websocket_listener.hpp"

namespace discord::loopback {

class VoiceServer {
 public:
  using OnChange = std::function<void(const Status&)>;

  VoiceServer(Options options, OnChange on_change);
  std::optional<std::string> start(const std::optional<std::string>& pem);
  // Ends all sockets; what was counted stays. On the server's thread, as everything while it runs.
  void shut_down();

  std::uint16_t port() const noexcept { return listener_->port(); }
  std::uint16_t tls_port() const noexcept { return listener_->tls_port(); }
  std::uint16_t udp_port() const noexcept { return udp_->port(); }

  Credentials credentials(std::uint64_t guild_id) const;
  Credentials add_client(std::uint64_t guild_id);
  void add_speaker(TalkerOptions options, bool announce, std::uint64_t guild_id);
  nlohmann::json command(const nlohmann::json& command);
  std::vector<SpeakerTruth> truth(std::uint64_t guild_id) const;
  nlohmann::json truth_summary() const;

 private:
  // Credentials that were handed out and what became of them.
  struct Client {
    Credentials credentials;
    std::unique_ptr<VoiceSession> session;
    std::uint64_t socket = 0;       // 0 = none
    bool spent = false;             // Identify with them is refused
    std::optional<Time> forget_at;  // when Resume stops working
  };
  struct Room {
    std::unique_ptr<Call> call;
    std::unique_ptr<Noise> noise;
    std::vector<std::unique_ptr<Client>> clients;
    std::uint64_t guild_id = 0;
    std::uint64_t channel_id = 0;
  };

  // Sockets.
  void opened(std::uint64_t id, const std::string& query);
  void text(std::uint64_t id, const std::string& text);
  void binary(std::uint64_t id, ByteSpan bytes);
  void closed(std::uint64_t id, int code);
  void open_session(std::uint64_t id, const Opening& opening);
  void refuse(std::uint64_t id, const CloseSocket& close);

  // Sessions.
  void identify(std::uint64_t id, Room& room, Client& client, const nlohmann::json& d);
  void resume(std::uint64_t id, Room& room, Client& client, const nlohmann::json& d);
  void attach(std::uint64_t id, Client& client);
  void apply(Room& room, Client& client, SessionActions actions);
  void complain(const std::string& text);
  void start_media(Room& room, Client& client);
  void end_session(Room& room, Client& client);
  // The same event to everybody; each session numbers its own messages.
  void broadcast(Room& room, const Client* except,
                 const std::function<SessionActions(VoiceSession&)>& message);
  void announce(Room& room, Talker& talker);

  // Time.
  void tick();
  void arm();
  void publish();

  // Commands (commands.cpp).
  nlohmann::json run(Room& room, const nlohmann::json& command);
  nlohmann::json speaker_command(Room& room, const std::string& what,
                                 const nlohmann::json& command);
  void close_clients(Room& room, std::uint16_t code, const std::string& reason);

  Room* find_room(std::uint64_t guild_id) const;
  std::pair<Room*, Client*> find_socket(std::uint64_t id) const;
  Client& make_client(Room& room);
  std::uint32_t new_ssrc() { return next_ssrc_++; }
  std::string random_text(std::size_t size);
  Participant participant(const Talker& talker) const;
  void log(const std::string& line) const;

  Options options_;
  OnChange on_change_;
  Random random_;
  Status status_;
  PathCounters gone_;  // of paths that were removed
  Forwarder forwarder_;
  std::unique_ptr<WebSocketListener> listener_;
  std::unique_ptr<UdpSocket> udp_;
  std::unique_ptr<Timer> timer_;
  std::vector<std::unique_ptr<Room>> rooms_;
  std::multimap<Time, nlohmann::json> script_;
  bool script_started_ = false;
  // Small numbers assigned in order, as the real server does.
  std::uint32_t next_ssrc_ = 3001;
  std::uint64_t next_user_ = 1100000000000000001u;
};

}  // namespace discord::loopback
