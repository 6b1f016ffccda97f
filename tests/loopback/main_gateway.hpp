// The main gateway of the loopback Discord and the REST calls that client libraries make before it:
// sessions, guilds, the bot's voice states. On the server's thread; no sockets of its own.
// docs/protocol.md "Main gateway".
#pragma once

#include "voice_session.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace discord::loopback {

struct MainOptions {
  std::string bot_token = "loopback-bot-token";
  std::uint64_t bot_user = 900000000000000001u;
  double heartbeat_interval_ms = 41250;
  bool server_first = false;    // VOICE_SERVER_UPDATE before the own VOICE_STATE_UPDATE
  bool resumed_first = false;   // RESUMED before the replay
  int ignore_joins = 0;         // the first op 4s with a channel get no answer
  int null_endpoint_joins = 0;  // the first joins get a null endpoint first
  int stale_joins = 0;          // the first joins get credentials that are refused (4006)
  bool invited = true;          // false: the bot is in no guild
  bool nameless = false;        // nobody's name is told but by a command
  std::size_t ballast = 0;      // bytes by which GUILD_CREATE is blown up
  std::string posted_folder;    // where files that are posted are kept; empty: nowhere
};

// Only ever grows, except where it says "now".
struct MainCounters {
  std::uint64_t sockets = 0;
  std::uint64_t sockets_now = 0;
  std::uint64_t identified = 0;
  std::uint64_t resumed = 0;
  std::uint64_t refused_resumes = 0;
  std::uint64_t heartbeats = 0;
  std::uint64_t joins = 0;         // op 4 with a channel
  std::uint64_t leaves = 0;        // op 4 without
  std::uint64_t seated = 0;        // credentials given
  std::uint64_t requests = 0;      // REST
  std::uint64_t last_channel = 0;  // where the bot is now, in the guild that changed last
  bool self_mute = false;          // as the last op 4 said
  bool self_deaf = false;
  // All three bounded: messages posted over REST, answers to slash commands, and the `d` of op 4s.
  nlohmann::json posted = nlohmann::json::array();
  nlohmann::json answers = nlohmann::json::array();
  nlohmann::json asked = nlohmann::json::array();
};

struct HttpAnswer {
  unsigned status = 200;
  nlohmann::json body;
};
struct HttpRequest {
  std::string method;
  std::string path;                                        // as it came
  std::string authorization;                               // the header's value
  std::string content;                                     // JSON of the message, if there was any
  std::vector<std::pair<std::string, std::string>> files;  // name and bytes of what was posted
  bool tls = false;
};

// What the rest of the server does for the main gateway.
class MainHost {
 public:
  struct Person {
    std::uint64_t user = 0;
    std::string name;
    bool bot = false;
  };
  virtual ~MainHost() = default;
  virtual void send_text(std::uint64_t socket, const std::string& text) = 0;
  virtual void close_socket(std::uint64_t socket, std::uint16_t code, const std::string& why) = 0;
  virtual void drop_socket(std::uint64_t socket) = 0;
  virtual bool is_tls(std::uint64_t socket) = 0;
  // "ws://127.0.0.1:port", or host and port alone for TLS as Discord writes it.
  virtual std::string voice_endpoint(bool tls) = 0;
  virtual std::vector<std::uint64_t> guilds() = 0;
  // Where a call takes place, and who talks there.
  virtual std::uint64_t call_channel(std::uint64_t guild) = 0;
  virtual std::vector<Person> people(std::uint64_t guild) = 0;
  // Fresh values for the bot; those of before are void. `spoiled` ones are refused with 4006.
  virtual std::string issue(std::uint64_t guild, std::uint64_t channel, std::uint64_t user,
                            const std::string& session, bool spoiled) = 0;
  // Ends the bot's voice connection; code 0 leaves its socket silent, as if it had been forgotten.
  virtual void end_voice(std::uint64_t guild, std::uint64_t user, std::uint16_t code) = 0;
  // Everybody goes to another channel, or to another server: new SSRCs, a new group.
  virtual void relocate(std::uint64_t guild, std::uint64_t channel) = 0;
  virtual std::string random_text(std::size_t size) = 0;
  virtual void log(const std::string& line) = 0;
};

// Channels of every guild, counted from the channel of its call.
namespace guild_channel {
inline constexpr std::uint64_t other = 1, stage = 2, text = 3, full = 4, locked = 5, hidden = 6,
                               count = 7;
}

class MainGateway {
 public:
  MainGateway(MainOptions options, MainHost& host);

  void opened(std::uint64_t socket, Time now);
  void text(std::uint64_t socket, const std::string& text, Time now);
  void closed(std::uint64_t socket, Time now);
  bool owns(std::uint64_t socket) const { return sockets_.contains(socket); }
  HttpAnswer request(const HttpRequest& request);

  void advance(Time now);
  Deadline next_deadline() const;
  // Commands that begin with "gateway-", "bot-" or "guild-" (docs/loopback.md "Commands").
  nlohmann::json command(std::uint64_t guild, const nlohmann::json& command, Time now);

  const MainCounters& counters() const noexcept { return counters_; }
  const MainOptions& options() const noexcept { return options_; }

 private:
  struct Session {
    std::string id;
    std::uint64_t socket = 0;
    std::uint64_t seq = 0;
    std::deque<std::pair<std::uint64_t, std::string>> kept;
    std::optional<Time> forget_at;
  };
  struct Socket {
    bool identified = false;
    std::uint64_t session = 0;  // index into sessions_, by number
  };
  // The bot in one guild.
  struct Place {
    std::uint64_t channel = 0;
    std::uint64_t session = 0;
    bool deaf = false;
    bool self_mute = false;
    bool self_deaf = false;
  };
  struct Later {
    Time at;
    std::function<void(Time)> run;
  };

  void identify(std::uint64_t socket, const nlohmann::json& d, Time now);
  void resume(std::uint64_t socket, const nlohmann::json& d, Time now);
  void voice_state(Session& session, const nlohmann::json& d, Time now);
  void members(Session& session, const nlohmann::json& d);
  void dispatch(Session& session, const char* event, nlohmann::json d);
  void broadcast(const char* event, const nlohmann::json& d);
  void send(std::uint64_t socket, const nlohmann::json& message);
  void refuse(std::uint64_t socket, std::uint16_t code, const std::string& why);
  void seat(std::uint64_t guild, std::uint64_t channel, Time now);
  void tell_server(std::uint64_t guild, bool with_endpoint);
  void tell_state(std::uint64_t guild);
  void unseat(std::uint64_t guild, std::uint16_t code);
  void forget(std::uint64_t session);
  nlohmann::json bot_command(std::uint64_t guild, const std::string& what,
                             const nlohmann::json& command, Time now);
  nlohmann::json gateway_command(const std::string& what, const nlohmann::json& command);
  Session* session_of(std::uint64_t socket);
  Session* session_at(std::uint64_t number);
  std::string url(std::uint64_t socket);

  // main_gateway_rest.cpp
  HttpAnswer answer_interaction(const std::string& path, const HttpRequest& request);
  nlohmann::json register_commands(const HttpRequest& request);
  nlohmann::json posted(const HttpRequest& request, std::uint64_t guild, std::uint64_t channel);
  nlohmann::json message_json(std::uint64_t guild, std::uint64_t channel, nlohmann::json author,
                              std::string content, nlohmann::json attachments);

  // main_gateway_guild.cpp: the objects of the API.
  nlohmann::json interaction_json(std::uint64_t guild, const MainHost::Person& who,
                                  const nlohmann::json& command);
  bool joinable(std::uint64_t guild, std::uint64_t channel);
  nlohmann::json user_json(std::uint64_t user, const std::string& name, bool bot) const;
  nlohmann::json bot_json() const;
  nlohmann::json member_json(std::uint64_t guild, std::uint64_t user, const std::string& name,
                             bool bot) const;
  nlohmann::json state_json(std::uint64_t guild);
  nlohmann::json channel_json(std::uint64_t guild, std::uint64_t offset);
  nlohmann::json guild_json(std::uint64_t guild);

  MainOptions options_;
  MainHost& host_;
  MainCounters counters_;
  std::map<std::uint64_t, Socket> sockets_;
  std::map<std::uint64_t, Session> sessions_;
  std::uint64_t next_session_ = 1;
  std::map<std::uint64_t, Place> places_;                 // by guild
  std::map<std::uint64_t, std::uint64_t> first_channel_;  // of each guild, as it was at the start
  std::map<std::uint64_t, std::string> nicks_;
  bool silent_ = false;  // heartbeats are not acknowledged
  int refuse_resumes_ = 0;
  bool refusal_resumable_ = false;
  std::vector<Later> later_;
  std::uint64_t next_message_ = 1300000000000000001u;
};

}  // namespace discord::loopback
