// Sessions, calls and media of the loopback Discord, on the server's thread.
#pragma once

#include "main_gateway.hpp"
#include "server.hpp"
#include "udp_socket.hpp"
#include "websocket_listener.hpp"

#include <set>

namespace discord::loopback {

nlohmann::json to_json(const DaveTruth& truth);

class VoiceServer : private MainHost {
 public:
  using OnChange = std::function<void(const Status&)>;

  VoiceServer(Options options, OnChange on_change);
  ~VoiceServer() override = default;
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
  DaveTruth dave_truth(std::uint64_t guild_id) const;

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
    std::unique_ptr<DaveCall> dave;
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
  // The end-to-end encryption.
  void make_dave(Room& room, const DaveOptions& options, std::uint64_t seed);
  void dave_received(Room& room, Client& client, const DaveReceived& message);
  // Sends what the delivery service has for clients.
  void flush_dave(Room& room);
  // Opcode 11 or 13 to everybody, and the group's part of it.
  void speaker_joined(Room& room, const Talker& talker);
  void speaker_left(Room& room, Talker& talker);

  // Time.
  void tick();
  void arm();
  void publish();

  // Commands (commands.cpp).
  nlohmann::json run(Room& room, const nlohmann::json& command);
  nlohmann::json speaker_command(Room& room, const std::string& what,
                                 const nlohmann::json& command);
  nlohmann::json dave_command(Room& room, const std::string& what, const nlohmann::json& command);
  std::optional<std::string> set_dave_options(Room& room, const nlohmann::json& command);
  void pause_media(Time until);
  void close_clients(Room& room, std::uint16_t code, const std::string& reason);

  Room* find_room(std::uint64_t guild_id) const;
  std::pair<Room*, Client*> find_socket(std::uint64_t id) const;
  Client& make_client(Room& room);
  std::uint32_t new_ssrc() { return next_ssrc_++; }
  std::string random_text(std::size_t size) override;
  Participant participant(const Talker& talker) const;
  void log(const std::string& line) override;

  // For the main gateway (voice_bot.cpp).
  void send_text(std::uint64_t socket, const std::string& text) override;
  void close_socket(std::uint64_t socket, std::uint16_t code, const std::string& why) override;
  void drop_socket(std::uint64_t socket) override;
  bool is_tls(std::uint64_t socket) override;
  std::string voice_endpoint(bool tls) override;
  std::vector<std::uint64_t> guilds() override;
  std::uint64_t call_channel(std::uint64_t guild) override;
  std::vector<Person> people(std::uint64_t guild) override;
  std::string issue(std::uint64_t guild, std::uint64_t channel, std::uint64_t user,
                    const std::string& session, bool spoiled) override;
  void end_voice(std::uint64_t guild, std::uint64_t user, std::uint16_t code) override;
  void relocate(std::uint64_t guild, std::uint64_t channel) override;

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
  std::unique_ptr<MainGateway> main_;
  std::set<std::uint64_t> forgotten_;  // voice sockets whose session moved on without telling them
  std::multimap<Time, nlohmann::json> script_;
  bool script_started_ = false;
  // Small numbers assigned in order, as the real server does.
  std::uint32_t next_ssrc_ = 3001;
  std::uint64_t next_user_ = 1100000000000000001u;
};

}  // namespace discord::loopback
