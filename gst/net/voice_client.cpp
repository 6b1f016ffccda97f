// SPDX-License-Identifier: LGPL-2.1-or-later
#include "net/voice_client.hpp"

#include "base/overloaded.hpp"
#include "net/socket_error.hpp"
#include "voice/credential_updates.hpp"

#include <glib-unix.h>
#include <sodium.h>
#include <array>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <utility>

namespace discord::net {

namespace {

std::uint64_t random_bits() {
  std::uint64_t bits = 0;
  randombytes_buf(&bits, sizeof bits);
  return bits;
}

}  // namespace

bool cpu_has_aes() noexcept {
#if defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
  return sodium_init() >= 0 && sodium_runtime_has_aesni() != 0;
#endif
}

mls::RandomSource& system_random() {
  static mls::SystemRandom random;
  return random;
}

const std::optional<mls::KeyPair>& process_signature_key() {
  static const std::optional<mls::KeyPair> key = []() -> std::optional<mls::KeyPair> {
    auto made = mls::KeyPair::generate(system_random());
    if (!made) {
      return std::nullopt;
    }
    return std::move(*made);
  }();
  return key;
}

// Lives on the control thread; shared, so that work posted to it can see that it has ended.
class VoiceClient::Link : public std::enable_shared_from_this<Link>, private BotSeat::Observer {
 public:
  Link(voice::Credentials credentials, ClientOptions options, VoiceClient::Observer& observer,
       const std::shared_ptr<ControlThread>& thread)
      : options_(std::move(options)),
        observer_(observer),
        thread_(thread),
        context_(thread->context()),
        own_user_(credentials.user_id),
        updates_(credentials),
        session_(std::move(credentials), options_.voice, random_bits),
        timer_(context_,
               [this] { drive([this](voice::Out& out) { session_.on_timer(now(), out); }); }),
        updates_timer_(context_, [this] { renew_with_updates(); }) {}

  ~Link() override { stop_reading(); }

  void start() {
    if (options_.bot) {
      suspend("Waiting for Discord's gateway.", forever);
      // An attempt that is called off while it waits has a message to cancel.
      observer_.on_action(
          voice::Progress{"voice-connect", "Connecting to Discord's gateway", false});
      seat_ =
          std::make_unique<BotSeat>(thread_, *options_.bot, static_cast<BotSeat::Observer&>(*this));
    } else if (options_.wait_for_updates) {
      suspend("Waiting for the application to join.", options_.voice.patience);
      observer_.on_action(voice::Progress{"voice-connect", "Waiting for the application", false});
      observer_.on_action(voice::NeedCredentials{"There are no credentials yet."});
    } else {
      drive([this](voice::Out& out) { session_.start(now(), out); });
    }
  }

  void stop() {
    // First out of the channel, then off the voice server: the other order looks like a lost call.
    seat_.reset();
    updates_timer_.set(std::nullopt);
    drive([this](voice::Out& out) { session_.stop(now(), out); });
    websocket_.reset();
  }

  void datagram(voice::Generation generation, ByteSpan bytes) {
    drive([&](voice::Out& out) { session_.on_datagram(generation, bytes, now(), out); });
  }

  void update_server(std::string endpoint, SecretString token) {
    const bool gone = endpoint.empty();
    const bool complete = updates_.server(std::move(endpoint), std::move(token), now());
    if (gone) {
      suspend("The voice server is gone; waiting for another one.", failover);
    }
    if (complete) {
      renew_with_updates();
    }
    updates_timer_.set(updates_.due());
  }

  void update_state(std::string session_id) {
    if (updates_.state(std::move(session_id))) {
      renew_with_updates();
    }
    updates_timer_.set(updates_.due());
  }

  void change(const voice::gateway::Wish& wish) {
    if (seat_) {
      seat_->change(wish);
    } else {
      updates_.set_channel(wish.channel);
    }
  }

  void undecryptable(std::uint64_t user) {
    drive([=, this](voice::Out& out) { session_.on_undecryptable(user, now(), out); });
  }

  std::optional<SignatureKeys> signature_keys(std::uint64_t user) const {
    SignatureKeys keys{session_.signature_key_of(own_user_), session_.signature_key_of(user)};
    return keys.own.empty() || keys.theirs.empty() ? std::nullopt : std::optional(std::move(keys));
  }

  Status status() const {
    return {session_.state(),
            session_.counters(),
            session_.heartbeat_rtt(),
            session_.ping_rtt(),
            session_.mode(),
            session_.ssrc(),
            own_user_,
            seat_ ? std::optional(seat_->status()) : std::nullopt};
  }

 private:
  static constexpr Duration forever = std::chrono::hours(24 * 365);
  static constexpr Duration failover = std::chrono::seconds(90);

  void suspend(const std::string& reason, Duration patience) {
    drive([=, this](voice::Out& out) { session_.suspend(reason, patience, now(), out); });
  }

  void renew_with_updates() { renew(updates_.take(), false); }

  void renew(const voice::Credentials& credentials, bool stage) {
    own_user_ = credentials.user_id;
    drive([=, this](voice::Out& out) {
      session_.set_stage(stage);
      session_.renew(credentials, now(), out);
    });
  }

  void on_gateway(const voice::gateway::Action& action) override {
    std::visit(
        Overloaded{
            [this](const voice::gateway::SeatCredentials& a) { renew(a.credentials, a.stage); },
            // The seat knows better when waiting has no sense any more, and says so.
            [this](const voice::gateway::SeatSuspended& a) { suspend(a.reason, forever); },
            [this](const voice::gateway::SeatFailed& a) {
              drive([=, this](voice::Out& out) {
                session_.give_up(a.kind, a.message, a.debug, now(), out);
              });
            },
            [&](const auto&) { observer_.on_gateway(action); },
        },
        action);
  }

  void want_name(std::uint64_t user) {
    if (seat_) {
      seat_->want_name(user);
    }
  }

  // Lets the session take one step and carries out what it asks for. A step that an action causes
  // (a socket that cannot be opened) runs after the actions that are already there.
  void drive(const std::function<void(voice::Out&)>& step) {
    const std::shared_ptr<Link> keep = shared_from_this();
    pending_.push_back(step);
    if (driving_) {
      return;
    }
    driving_ = true;
    while (!pending_.empty()) {
      const std::function<void(voice::Out&)> next = std::move(pending_.front());
      pending_.erase(pending_.begin());
      voice::Out out;
      next(out);
      for (const voice::Action& action : out) {
        carry_out(action);
      }
    }
    driving_ = false;
    timer_.set(session_.next_deadline());
  }

  void carry_out(const voice::Action& action) {
    std::visit(Overloaded{
                   [this](const voice::OpenWebSocket& a) { open_websocket(a); },
                   [this](const voice::CloseWebSocket& a) {
                     if (websocket_ && a.generation == websocket_generation_) {
                       websocket_->close(a.code);
                       websocket_.reset();
                     }
                   },
                   [this](const voice::SendText& a) {
                     if (websocket_ && a.generation == websocket_generation_) {
                       websocket_->send_text(a.text);
                     }
                   },
                   [this](const voice::SendSecretText& a) {
                     if (websocket_ && a.generation == websocket_generation_) {
                       websocket_->send_text(a.text.reveal());
                     }
                   },
                   [this](const voice::SendBinary& a) {
                     if (websocket_ && a.generation == websocket_generation_) {
                       websocket_->send_binary(a.bytes);
                     }
                   },
                   [this](const voice::OpenUdp& a) { open_udp(a); },
                   [this](const voice::SendDatagram& a) {
                     if (udp_ && a.generation == udp_generation_) {
                       udp_->send(a.bytes);
                     }
                   },
                   [this](const voice::CloseUdp& a) {
                     if (a.generation == udp_generation_) {
                       close_udp();
                     }
                   },
                   [this](const voice::UseKey& a) {
                     observer_.on_action(a);
                     if (udp_ && a.generation == udp_generation_) {
                       stop_reading();
                       observer_.on_media_socket(a.generation, udp_);
                     }
                   },
                   [this](const voice::NeedCredentials& a) {
                     if (seat_) {
                       seat_->renew();
                     } else {
                       observer_.on_action(a);
                     }
                   },
                   [this](const voice::UserJoined& a) {
                     want_name(a.user);  // first, so that who has come is called by it
                     observer_.on_action(a);
                   },
                   [this](const voice::MapSsrc& a) {
                     if (a.user != own_user_) {  // we are none of the people in the call
                       want_name(a.user);
                     }
                     observer_.on_action(a);
                   },
                   [this](const auto& a) { observer_.on_action(a); },
               },
               action);
  }

  void open_websocket(const voice::OpenWebSocket& a) {
    websocket_generation_ = a.generation;
    const voice::Generation generation = a.generation;
    WebSocket::Callbacks callbacks;
    callbacks.opened = [this, generation] {
      drive([=, this](voice::Out& out) { session_.on_socket_open(generation, now(), out); });
    };
    callbacks.text = [this, generation](std::string_view text) {
      drive([&, this](voice::Out& out) { session_.on_text(generation, text, now(), out); });
    };
    callbacks.binary = [this, generation](ByteSpan bytes) {
      drive([&, this](voice::Out& out) { session_.on_binary(generation, bytes, now(), out); });
    };
    callbacks.closed = [this, generation](std::optional<std::uint16_t> code,
                                          const std::string& reason) {
      // Copies: closing from our side may report back while the session is still taking a step.
      drive([=, this](voice::Out& out) {
        session_.on_socket_closed(generation, code, reason, now(), out);
      });
    };
    callbacks.failed = [this, generation](ConnectError error, const std::string& detail) {
      drive([=, this](voice::Out& out) {
        session_.on_socket_error(generation, to_socket_error(error), detail, now(), out);
      });
    };
    websocket_ = std::make_unique<WebSocket>(a.url, options_.ca_file, std::move(callbacks));
  }

  void open_udp(const voice::OpenUdp& a) {
    close_udp();
    auto made = UdpSocket::connect(a.address, a.port, options_.receive_buffer);
    if (!made) {
      const voice::Generation generation = a.generation;
      drive([this, generation, text = made.error()](voice::Out& out) {
        session_.on_udp_failed(generation, text, now(), out);
      });
      return;
    }
    udp_ = std::move(*made);
    udp_generation_ = a.generation;
    reader_ = g_unix_fd_source_new(udp_->fd(), G_IO_IN);
    g_source_set_callback(reader_, G_SOURCE_FUNC(&Link::on_readable), this, nullptr);
    g_source_attach(reader_, context_);
  }

  void close_udp() {
    stop_reading();
    if (udp_) {
      udp_.reset();
      observer_.on_media_socket(udp_generation_, nullptr);
    }
  }

  void stop_reading() {
    if (reader_ != nullptr) {
      g_source_destroy(reader_);
      g_source_unref(reader_);
      reader_ = nullptr;
    }
  }

  // Until the key is known the control thread reads the media socket: discovery happens on it.
  static gboolean on_readable(gint, GIOCondition, gpointer data) {
    const std::shared_ptr<Link> self = static_cast<Link*>(data)->shared_from_this();
    std::array<std::uint8_t, 2048> bytes;
    iovec slot{bytes.data(), bytes.size()};
    DatagramInfo info;
    while (self->reader_ != nullptr && self->udp_->receive({&slot, 1}, {&info, 1}) == 1) {
      if (!info.truncated) {
        self->datagram(self->udp_generation_, ByteSpan(bytes).first(info.size));
      }
    }
    return G_SOURCE_CONTINUE;
  }

  ClientOptions options_;
  VoiceClient::Observer& observer_;
  std::shared_ptr<ControlThread> thread_;
  GMainContext* context_;
  std::uint64_t own_user_;
  voice::CredentialUpdates updates_;
  voice::Session session_;
  Timer timer_;
  Timer updates_timer_;
  std::unique_ptr<BotSeat> seat_;
  std::unique_ptr<WebSocket> websocket_;
  voice::Generation websocket_generation_ = 0;
  std::shared_ptr<UdpSocket> udp_;
  voice::Generation udp_generation_ = 0;
  GSource* reader_ = nullptr;
  std::vector<std::function<void(voice::Out&)>> pending_;
  bool driving_ = false;
};

VoiceClient::VoiceClient(voice::Credentials credentials, ClientOptions options, Observer& observer)
    : thread_(ControlThread::get()) {
  thread_->run([&] {
    if (options.bot) {
      options.voice.can_renew = true;
      options.voice.ask_after_move = true;
      options.voice.patience = std::chrono::minutes(5);
    }
    link_ = std::make_shared<Link>(std::move(credentials), std::move(options), observer, thread_);
  });
}

VoiceClient::~VoiceClient() {
  stop();
  thread_->run([this] { link_.reset(); });
}

void VoiceClient::start() {
  thread_->run([this] { link_->start(); });
}

void VoiceClient::stop() {
  thread_->run([this] { link_->stop(); });
}

void VoiceClient::hand_datagram(voice::Generation generation, ByteSpan bytes) {
  thread_->post(
      [weak = std::weak_ptr<Link>(link_), generation, copy = Bytes(bytes.begin(), bytes.end())] {
        if (const std::shared_ptr<Link> link = weak.lock()) {
          link->datagram(generation, copy);
        }
      });
}

void VoiceClient::update_server(std::string endpoint, SecretString token) {
  thread_->post([weak = std::weak_ptr<Link>(link_), endpoint = std::move(endpoint),
                 token = std::move(token)] {
    if (const std::shared_ptr<Link> link = weak.lock()) {
      link->update_server(endpoint, token);
    }
  });
}

void VoiceClient::update_state(std::string session_id) {
  thread_->post([weak = std::weak_ptr<Link>(link_), session_id = std::move(session_id)] {
    if (const std::shared_ptr<Link> link = weak.lock()) {
      link->update_state(session_id);
    }
  });
}

void VoiceClient::change(const voice::gateway::Wish& wish) {
  thread_->post([weak = std::weak_ptr<Link>(link_), wish] {
    if (const std::shared_ptr<Link> link = weak.lock()) {
      link->change(wish);
    }
  });
}

void VoiceClient::hand_undecryptable(std::uint64_t user) {
  thread_->post([weak = std::weak_ptr<Link>(link_), user] {
    if (const std::shared_ptr<Link> link = weak.lock()) {
      link->undecryptable(user);
    }
  });
}

std::optional<VoiceClient::SignatureKeys> VoiceClient::signature_keys(std::uint64_t user) const {
  std::optional<SignatureKeys> keys;
  thread_->run([&] { keys = link_->signature_keys(user); });
  return keys;
}

VoiceClient::Status VoiceClient::status() const {
  Status status;
  thread_->run([&] { status = link_->status(); });
  return status;
}

}  // namespace discord::net
