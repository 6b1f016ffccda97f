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

void CallState::tell(const CallNews& news) {
  Lock lock(listeners_mutex_);
  if (news.what == CallNews::What::joined) {
    present_.insert(news.user);
  } else if (news.what == CallNews::What::left) {
    present_.erase(news.user);
  } else {
    encryption_ = news;
  }
  for (const auto& [id, listener] : news_listeners_) {
    listener(news);
  }
}

void CallState::forget_news() {
  Lock lock(listeners_mutex_);
  present_.clear();
  encryption_.reset();
}

std::uint64_t CallState::add_news_listener(std::function<void(const CallNews&)> listener) {
  Lock lock(listeners_mutex_);
  for (const std::uint64_t user : present_) {
    listener({CallNews::What::joined, user, 0, 0, {}});
  }
  if (encryption_) {
    listener(*encryption_);
  }
  const std::uint64_t id = next_listener_++;
  news_listeners_.emplace(id, std::move(listener));
  return id;
}

void CallState::remove_news_listener(std::uint64_t id) {
  Lock lock(listeners_mutex_);
  news_listeners_.erase(id);
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
