// SPDX-License-Identifier: LGPL-2.1-or-later
#include "discord/call_state.hpp"

#include <utility>

namespace discord {

CallState::SnapshotPtr CallState::snapshot() const {
  Lock lock(mutex_);
  return snapshot_;
}

void CallState::update(const std::function<void(CallSnapshot&)>& change) {
  {
    Lock lock(mutex_);
    auto next = std::make_shared<CallSnapshot>(*snapshot_);
    change(*next);
    snapshot_ = std::move(next);
    version_.fetch_add(1, std::memory_order_release);
  }
  Lock lock(listeners_mutex_);
  for (const auto& [id, listener] : listeners_) {
    listener();
  }
}

void CallState::report_undecryptable(std::uint64_t user) {
  Lock lock(listeners_mutex_);
  if (undecryptable_) {
    undecryptable_(user);
  }
}

void CallState::on_undecryptable(std::function<void(std::uint64_t)> handler) {
  Lock lock(listeners_mutex_);
  undecryptable_ = std::move(handler);
}

std::uint64_t CallState::add_listener(std::function<void()> listener) {
  Lock lock(listeners_mutex_);
  const std::uint64_t id = next_listener_++;
  listeners_.emplace(id, std::move(listener));
  return id;
}

void CallState::remove_listener(std::uint64_t id) {
  Lock lock(listeners_mutex_);
  listeners_.erase(id);
}

CallState& call_state(GstDiscordSession* session) {
  // The type of the session lives in a library with a C interface, this one in the plugin.
  static const GQuark key = g_quark_from_static_string("gst-discord-call-state");
  if (gpointer known = g_object_get_qdata(G_OBJECT(session), key)) {
    return *static_cast<CallState*>(known);
  }
  static Mutex making;
  Lock lock(making);
  gpointer state = g_object_get_qdata(G_OBJECT(session), key);
  if (state == nullptr) {
    state = new CallState();
    g_object_set_qdata_full(G_OBJECT(session), key, state,
                            [](gpointer p) { delete static_cast<CallState*>(p); });
  }
  return *static_cast<CallState*>(state);
}

}  // namespace discord
