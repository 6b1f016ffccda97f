// Puts an application's two updates together: the server one and the state one belong to the same
// join, and come in either order or one alone.
#pragma once

#include "base/time.hpp"
#include "voice/credentials.hpp"

#include <utility>

namespace discord::voice {

// Not thread-safe. Time is handed in.
class CredentialUpdates {
 public:
  // How long a server update waits for a new session id before it goes with the one known: a change
  // of region has no other half.
  static constexpr Duration grace = std::chrono::milliseconds(100);

  // `start` is what is known from the beginning; it may be incomplete.
  explicit CredentialUpdates(Credentials start) : known_(std::move(start)) {}

  // An empty endpoint means that the server is gone and another will be named. True when
  // credentials are complete right now: take() them.
  bool server(std::string endpoint, SecretString token, Time now) {
    known_.endpoint = std::move(endpoint);
    known_.token = std::move(token);
    due_.reset();
    if (known_.endpoint.empty()) {
      fresh_server_ = false;
      return false;
    }
    fresh_server_ = true;
    if (fresh_session_) {
      return true;
    }
    if (!known_.session_id.empty()) {
      due_ = now + grace;
    }
    return false;
  }

  bool state(std::string session_id) {
    known_.session_id = std::move(session_id);
    fresh_session_ = !known_.session_id.empty();
    return fresh_session_ && fresh_server_;
  }

  // Takes effect with the next credentials.
  void set_channel(std::uint64_t channel) { known_.channel_id = channel; }

  // A server update waits until then; afterwards take().
  Deadline due() const noexcept { return due_; }

  Credentials take() {
    fresh_server_ = false;
    fresh_session_ = false;
    due_.reset();
    return known_;
  }

 private:
  Credentials known_;
  bool fresh_server_ = false;
  bool fresh_session_ = false;
  Deadline due_;
};

}  // namespace discord::voice
