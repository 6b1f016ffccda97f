// A bot's place in a guild, on a gateway connection that all sources with the same token share.
#pragma once

#include "net/control_thread.hpp"
#include "net/websocket.hpp"
#include "voice/main_gateway.hpp"

#include <memory>
#include <string>

namespace discord::net {

struct BotOptions {
  SecretString token;
  std::string gateway_url;  // empty: Discord's own
  std::optional<voice::gateway::Shard> shard;
  voice::gateway::Wish wish;
  std::string ca_file;       // empty: the system's certificates
  std::string state_folder;  // empty: the user's
};

// Made, used and destroyed on the control thread. The first seat opens the connection, the last one
// closes it, in a way that it can be resumed.
class BotSeat {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // What concerns this seat, and the state of the shared connection.
    virtual void on_gateway(const voice::gateway::Action& action) = 0;
  };

  struct Status {
    voice::gateway::State state = voice::gateway::State::Idle;
    voice::gateway::Counters counters;
    std::size_t seats = 0;
  };

  // `observer` outlives the seat, and may be called before the constructor returns.
  BotSeat(const std::shared_ptr<ControlThread>& thread, const BotOptions& options,
          Observer& observer);
  // Leaves the channel.
  ~BotSeat();
  BotSeat(const BotSeat&) = delete;
  BotSeat& operator=(const BotSeat&) = delete;

  void change(const voice::gateway::Wish& wish);
  // Entirely new credentials, please.
  void renew();
  void want_name(std::uint64_t user);
  Status status() const;

 private:
  class Connection;
  struct Slot;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Slot> slot_;
};

}  // namespace discord::net
