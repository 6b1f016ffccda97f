// SPDX-License-Identifier: LGPL-2.1-or-later
#include "net/bot_seat.hpp"

#include "base/overloaded.hpp"
#include "net/session_file.hpp"
#include "net/socket_error.hpp"

#include <sodium.h>
#include <algorithm>
#include <list>
#include <utility>

namespace discord::net {

namespace {

std::uint64_t random_bits() {
  std::uint64_t bits = 0;
  randombytes_buf(&bits, sizeof bits);
  return bits;
}

std::int64_t seconds_of_the_calendar() {
  return g_get_real_time() / G_USEC_PER_SEC;
}

}  // namespace

// The number comes when the state machine has given it, which is after the current step.
struct BotSeat::Slot {
  Observer* observer;
  voice::gateway::SeatId id = 0;
};

// Lives on the control thread; owned by its seats.
class BotSeat::Connection : public std::enable_shared_from_this<Connection> {
 public:
  // The connection that already is the one wanted, or a new one.
  static std::shared_ptr<Connection> get(const std::shared_ptr<ControlThread>& thread,
                                         const BotOptions& options) {
    for (const std::weak_ptr<Connection>& weak : all()) {
      const std::shared_ptr<Connection> one = weak.lock();
      if (one && one->is(options)) {
        return one;
      }
    }
    const auto made = std::make_shared<Connection>(thread, options);
    all().push_back(made);
    return made;
  }

  Connection(std::shared_ptr<ControlThread> thread, const BotOptions& options)
      : thread_(std::move(thread)),
        token_(options.token),
        url_(options.gateway_url),
        shard_(options.shard),
        ca_file_(options.ca_file),
        file_(options.state_folder, options.token, options.gateway_url, options.shard),
        gateway_({options.token, options.gateway_url, options.shard, file_.load()}, random_bits),
        timer_(thread_->context(),
               [this] { drive([this](auto& out) { gateway_.on_timer(now(), out); }); }) {}

  ~Connection() {
    std::erase_if(all(), [](const std::weak_ptr<Connection>& weak) { return weak.expired(); });
    Out out;
    gateway_.stop(now(), out);
    for (const voice::gateway::Action& action : out) {
      carry_out(action);
    }
  }

  void join(const std::shared_ptr<Slot>& slot, const voice::gateway::Wish& wish) {
    drive([this, slot, wish](Out& out) {
      slots_.push_back(slot);
      slot->id = gateway_.join(wish, now(), out);
      if (gateway_.state() == voice::gateway::State::Idle) {
        gateway_.start(now(), seconds_of_the_calendar(), out);
      }
    });
  }

  void leave(const std::shared_ptr<Slot>& slot) {
    slots_.remove(slot);
    drive([this, slot](Out& out) { gateway_.leave(slot->id, now(), out); });
  }

  using Out = voice::gateway::Out;

  // Lets the machine take one step and carries out what it asks for; a step that an action causes
  // runs after the actions that are already there.
  void drive(std::function<void(Out&)> step) {
    const std::shared_ptr<Connection> keep = weak_from_this().lock();
    pending_.push_back(std::move(step));
    if (driving_) {
      return;
    }
    driving_ = true;
    while (!pending_.empty()) {
      const std::function<void(Out&)> next = std::move(pending_.front());
      pending_.pop_front();
      Out out;
      next(out);
      for (const voice::gateway::Action& action : out) {
        carry_out(action);
      }
    }
    driving_ = false;
    timer_.set(gateway_.next_deadline());
  }

  voice::MainGateway& gateway() { return gateway_; }

 private:
  static std::list<std::weak_ptr<Connection>>& all() {
    static std::list<std::weak_ptr<Connection>> list;  // control thread only
    return list;
  }

  bool is(const BotOptions& options) const {
    return gateway_.state() != voice::gateway::State::Failed &&
           token_.reveal() == options.token.reveal() && url_ == options.gateway_url &&
           shard_ == options.shard && ca_file_ == options.ca_file;
  }

  void carry_out(const voice::gateway::Action& action) {
    std::visit(Overloaded{
                   [this](const voice::OpenWebSocket& a) { open_websocket(a); },
                   [this](const voice::CloseWebSocket& a) {
                     if (websocket_ && a.generation == generation_) {
                       websocket_->close(a.code);
                       websocket_.reset();
                     }
                   },
                   [this](const voice::SendText& a) {
                     if (websocket_ && a.generation == generation_) {
                       websocket_->send_text(a.text);
                     }
                   },
                   [this](const voice::SendSecretText& a) {
                     if (websocket_ && a.generation == generation_) {
                       websocket_->send_text(a.text.reveal());
                     }
                   },
                   [this](const voice::gateway::SaveSession& a) { file_.save(a.saved); },
                   [this](const voice::Notice& a) {
                     // Of all who share the connection one is enough to log it.
                     if (!slots_.empty()) {
                       tell(std::list(slots_).front(), a);
                     }
                   },
                   [this](const voice::gateway::StateChanged& a) {
                     const auto everybody = slots_;
                     for (const std::shared_ptr<Slot>& slot : everybody) {
                       tell(slot, a);
                     }
                   },
                   [this](const auto& a) {
                     const auto everybody = slots_;
                     for (const std::shared_ptr<Slot>& slot : everybody) {
                       if (slot->id == a.seat) {
                         tell(slot, a);
                       }
                     }
                   },
               },
               action);
  }

  // Telling one seat may end another.
  void tell(const std::shared_ptr<Slot>& slot, const voice::gateway::Action& action) {
    if (std::find(slots_.begin(), slots_.end(), slot) != slots_.end()) {
      slot->observer->on_gateway(action);
    }
  }

  void open_websocket(const voice::OpenWebSocket& a) {
    const voice::Generation generation = a.generation;
    generation_ = generation;
    WebSocket::Callbacks callbacks;
    callbacks.opened = [this, generation] {
      drive([=, this](Out& out) { gateway_.on_socket_open(generation, now(), out); });
    };
    callbacks.text = [this, generation](std::string_view text) {
      drive([&, this](Out& out) { gateway_.on_text(generation, text, now(), out); });
    };
    callbacks.binary = [](ByteSpan) {};  // nothing compressed was asked for
    callbacks.closed = [this, generation](std::optional<std::uint16_t> code,
                                          const std::string& reason) {
      drive(
          [=, this](Out& out) { gateway_.on_socket_closed(generation, code, reason, now(), out); });
    };
    callbacks.failed = [this, generation](ConnectError error, const std::string& detail) {
      drive([=, this](Out& out) {
        gateway_.on_socket_error(generation, to_socket_error(error), detail, now(), out);
      });
    };
    websocket_ = std::make_unique<WebSocket>(a.url, ca_file_, std::move(callbacks));
  }

  std::shared_ptr<ControlThread> thread_;
  const SecretString token_;
  const std::string url_;
  const std::optional<voice::gateway::Shard> shard_;
  const std::string ca_file_;
  SessionFile file_;
  voice::MainGateway gateway_;
  Timer timer_;
  std::unique_ptr<WebSocket> websocket_;
  voice::Generation generation_ = 0;
  std::list<std::shared_ptr<Slot>> slots_;
  std::list<std::function<void(Out&)>> pending_;
  bool driving_ = false;
};

BotSeat::BotSeat(const std::shared_ptr<ControlThread>& thread, const BotOptions& options,
                 Observer& observer)
    : connection_(Connection::get(thread, options)),
      slot_(std::make_shared<Slot>(Slot{&observer, 0})) {
  connection_->join(slot_, options.wish);
}

BotSeat::~BotSeat() {
  connection_->leave(slot_);
}

void BotSeat::change(const voice::gateway::Wish& wish) {
  connection_->drive([connection = connection_.get(), slot = slot_, wish](auto& out) {
    connection->gateway().change(slot->id, wish, now(), out);
  });
}

void BotSeat::renew() {
  connection_->drive([connection = connection_.get(), slot = slot_](auto& out) {
    connection->gateway().renew(slot->id, now(), out);
  });
}

void BotSeat::want_name(std::uint64_t user) {
  connection_->drive([connection = connection_.get(), slot = slot_, user](auto& out) {
    connection->gateway().want_name(slot->id, user, now(), out);
  });
}

BotSeat::Status BotSeat::status() const {
  return {connection_->gateway().state(), connection_->gateway().counters(),
          connection_->gateway().seats()};
}

}  // namespace discord::net
