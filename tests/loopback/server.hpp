// The loopback Discord as a library: a voice server on 127.0.0.1 for tests, on a thread of its own.
#pragma once

#include "call.hpp"
#include "dave_call.hpp"
#include "forwarder.hpp"
#include "main_gateway.hpp"
#include "noise.hpp"
#include "voice_session.hpp"

#include <functional>
#include <memory>
#include <string>

namespace discord::loopback {

// A command that runs by itself, `after` the call's first opcode 5 from a client.
struct ScriptedCommand {
  Duration after{0};
  nlohmann::json command;
};

struct Options {
  std::uint16_t port = 0;      // plain ws; 0 = any free one
  std::uint16_t tls_port = 0;  // used with `tls`
  std::uint16_t udp_port = 0;
  bool tls = false;
  std::uint64_t seed = 1;
  SessionOptions session;
  ForwarderOptions udp;
  NoiseOptions noise;
  DaveOptions dave;  // of every call
  MainOptions main;
  std::vector<CallOptions> calls;
  std::vector<ScriptedCommand> script;  // for the first call
  Duration resume_window = std::chrono::seconds(60);
  std::function<void(const std::string&)> log;  // called on the server's thread
};

// A copy of what happened so far; all numbers only grow, except where it says "now".
struct Status {
  std::uint64_t sockets = 0;  // opened
  std::uint64_t sockets_now = 0;
  std::uint64_t identified = 0;
  std::uint64_t resumed = 0;
  std::uint64_t described = 0;  // session descriptions sent
  std::uint64_t speaking = 0;   // clients that sent their first opcode 5
  std::uint64_t heartbeats = 0;
  std::uint64_t packets = 0;            // speakers' packets generated
  std::uint64_t delivered = 0;          // of these, sent at least once
  std::uint64_t left = 0;               // orderly leaves (close 1000 by the client)
  bool finished = false;                // every speaker of every call has said everything
  int last_close_sent = 0;              // 0 = none
  int last_close_received = 0;          // 0 = none; 1006 = the socket broke
  std::vector<std::string> complaints;  // bounded; see Complaint
  PathCounters udp;                     // over all clients, gone ones included
  std::uint64_t strangers = 0;
  DaveCounters dave;  // of the first call
  MainCounters main;
};

// The members' side of an end-to-end encrypted call.
struct DaveTruth {
  DaveCounters counters;
  std::vector<std::uint64_t> members;  // of the present epoch, ascending
  std::vector<PrivacyCode> codes;      // oldest first
};

class Server {
 public:
  explicit Server(Options options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Nothing, or why it does not run.
  std::optional<std::string> start();
  // Closes every socket and joins the thread. Truth and status stay readable.
  void stop();

  std::string endpoint() const;      // "127.0.0.1:port", plain
  std::string tls_endpoint() const;  // empty without `tls`
  std::string ca_file() const;       // empty without `tls`
  std::uint16_t udp_port() const;
  std::uint64_t seed() const;
  std::string bot_token() const;

  // For the first client of a call; guild 0 = the first call.
  Credentials credentials(std::uint64_t guild_id = 0) const;
  // For one more client of the call, with a user of its own.
  Credentials add_client(std::uint64_t guild_id = 0);
  void add_speaker(TalkerOptions options, bool announce = true, std::uint64_t guild_id = 0);

  // One command as JSON: {"do": "drop-socket"}, ... (docs/loopback.md lists them). The answer has
  // "ok", and "error" when that is false.
  nlohmann::json command(const nlohmann::json& command);

  Status status() const;
  // Waits until `done(status)`; false when the time is over. Never polls.
  bool wait(const std::function<bool(const Status&)>& done,
            std::chrono::milliseconds timeout) const;

  // A copy per speaker, in the order they were added.
  std::vector<SpeakerTruth> truth(std::uint64_t guild_id = 0) const;
  DaveTruth dave(std::uint64_t guild_id = 0) const;
  // All calls, counters only.
  nlohmann::json truth_summary() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace discord::loopback
