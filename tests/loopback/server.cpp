#include "server.hpp"

#include "certificate.hpp"
#include "voice_server.hpp"

#include "base/mutex.hpp"

#include <filesystem>
#include <future>
#include <thread>

namespace discord::loopback {

class Server::Impl {
 public:
  explicit Impl(Options options)
      : seed_(options.seed), bot_token_(options.main.bot_token), tls_(options.tls) {
    server_ =
        std::make_unique<VoiceServer>(std::move(options), [this](const Status& s) { changed(s); });
  }

  ~Impl() { stop(); }

  std::optional<std::string> start() {
    std::optional<std::string> pem;
    if (tls_) {
      auto certificate = make_certificate();
      if (!certificate) {
        return certificate.error();
      }
      auto path = write_ca_file(*certificate);
      if (!path) {
        return path.error();
      }
      ca_file_ = *path;
      pem = certificate->chain_and_key_pem;
    }
    context_ = g_main_context_new();
    loop_ = g_main_loop_new(context_, FALSE);
    std::promise<std::optional<std::string>> started;
    auto answer = started.get_future();
    thread_ = std::thread([this, &started, pem] { serve(started, pem); });
    if (auto failed = answer.get()) {
      thread_.join();
      release();
      return failed;
    }
    return std::nullopt;
  }

  void stop() {
    if (thread_.joinable()) {
      // From inside the loop, so that it cannot be lost before the loop runs.
      call([this] {
        g_main_loop_quit(loop_);
        return 0;
      });
      thread_.join();
      release();
    }
    if (!ca_file_.empty()) {
      std::error_code ignored;  // a leftover in the temporary folder harms nobody
      std::filesystem::remove_all(std::filesystem::path(ca_file_).parent_path(), ignored);
    }
  }

  // Runs `f` on the server's thread and waits for its answer.
  template <class F> auto call(F f) -> decltype(f()) {
    if (!thread_.joinable() || std::this_thread::get_id() == thread_.get_id()) {
      return f();
    }
    std::packaged_task<decltype(f())()> task(std::move(f));
    auto answer = task.get_future();
    g_main_context_invoke_full(
        context_, G_PRIORITY_DEFAULT,
        [](gpointer t) -> gboolean {
          (*static_cast<std::packaged_task<decltype(f())()>*>(t))();
          return G_SOURCE_REMOVE;
        },
        &task, nullptr);
    return answer.get();
  }

  Status status() {
    Lock lock(mutex_);
    return status_;
  }

  bool wait(const std::function<bool(const Status&)>& done, std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    Lock lock(mutex_);
    while (!done(status_)) {
      if (changed_.wait_until(lock.native(), deadline) == std::cv_status::timeout) {
        return done(status_);
      }
    }
    return true;
  }

  VoiceServer& server() { return *server_; }
  std::uint64_t seed() const { return seed_; }
  const std::string& bot_token() const { return bot_token_; }
  const std::string& ca_file() const { return ca_file_; }
  std::uint16_t port_ = 0;
  std::uint16_t tls_port_ = 0;
  std::uint16_t udp_port_ = 0;

 private:
  void serve(std::promise<std::optional<std::string>>& started,
             const std::optional<std::string>& pem) {
    g_main_context_push_thread_default(context_);
    auto failed = server_->start(pem);
    port_ = server_->port();
    tls_port_ = server_->tls_port();
    udp_port_ = server_->udp_port();
    const bool run = !failed;
    started.set_value(std::move(failed));
    if (run) {
      g_main_loop_run(loop_);
    }
    server_->shut_down();
    // libsoup finishes its sockets in idle callbacks.
    while (g_main_context_iteration(context_, FALSE)) {
    }
    g_main_context_pop_thread_default(context_);
  }

  void release() {
    g_main_loop_unref(loop_);
    g_main_context_unref(context_);
    loop_ = nullptr;
    context_ = nullptr;
  }

  void changed(const Status& s) {
    {
      Lock lock(mutex_);
      status_ = s;
    }
    changed_.notify_all();
  }

  std::uint64_t seed_;
  std::string bot_token_;
  bool tls_;
  std::string ca_file_;
  std::unique_ptr<VoiceServer> server_;
  GMainContext* context_ = nullptr;
  GMainLoop* loop_ = nullptr;
  std::thread thread_;
  Mutex mutex_;
  Status status_ GUARDED_BY(mutex_);
  std::condition_variable changed_;
};

Server::Server(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Server::~Server() = default;

std::optional<std::string> Server::start() {
  return impl_->start();
}

void Server::stop() {
  impl_->stop();
}

std::string Server::endpoint() const {
  return "127.0.0.1:" + std::to_string(impl_->port_);
}

std::string Server::tls_endpoint() const {
  return impl_->tls_port_ == 0 ? std::string() : "127.0.0.1:" + std::to_string(impl_->tls_port_);
}

std::string Server::ca_file() const {
  return impl_->ca_file();
}

std::uint16_t Server::udp_port() const {
  return impl_->udp_port_;
}

std::uint64_t Server::seed() const {
  return impl_->seed();
}

std::string Server::bot_token() const {
  return impl_->bot_token();
}

Credentials Server::credentials(std::uint64_t guild_id) const {
  return impl_->call([&] { return impl_->server().credentials(guild_id); });
}

Credentials Server::add_client(std::uint64_t guild_id) {
  return impl_->call([&] { return impl_->server().add_client(guild_id); });
}

void Server::add_speaker(TalkerOptions options, bool announce, std::uint64_t guild_id) {
  impl_->call([&] {
    impl_->server().add_speaker(std::move(options), announce, guild_id);
    return 0;
  });
}

nlohmann::json Server::command(const nlohmann::json& command) {
  return impl_->call([&] { return impl_->server().command(command); });
}

Status Server::status() const {
  return impl_->status();
}

bool Server::wait(const std::function<bool(const Status&)>& done,
                  std::chrono::milliseconds timeout) const {
  return impl_->wait(done, timeout);
}

std::vector<SpeakerTruth> Server::truth(std::uint64_t guild_id) const {
  return impl_->call([&] { return impl_->server().truth(guild_id); });
}

DaveTruth Server::dave(std::uint64_t guild_id) const {
  return impl_->call([&] { return impl_->server().dave_truth(guild_id); });
}

nlohmann::json Server::truth_summary() const {
  return impl_->call([&] { return impl_->server().truth_summary(); });
}

}  // namespace discord::loopback
