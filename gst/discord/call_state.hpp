// What the control thread knows about a call, as media threads see it.
#pragma once

#include "base/mutex.hpp"
#include "dave/media_keys.hpp"
#include "discord/gstdiscordsession.h"
#include "transport/mode.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace discord {

// Somebody in the call, as the user's Discord client would show them.
struct UserName {
  std::string name;
  bool bot = false;

  friend bool operator==(const UserName&, const UserName&) = default;
};
using UserNames = std::map<std::uint64_t, UserName>;

// One consistent view: a snapshot is never changed once it has been published.
struct CallSnapshot {
  // The voice connection the values belong to. A new connection (move, rejoin) has a larger one,
  // and nothing of an older one may be applied to it.
  std::uint64_t generation = 0;
  // The connection before whose datagrams may still be on their way down the stream when this is
  // published: its keys are the ones to open them with. 0: there is none.
  std::uint64_t after = 0;
  std::optional<transport::Mode> mode;
  std::optional<transport::Key> key;
  // Keys of the end-to-end encryption, and whether it is active; none before the call says.
  dave::MediaKeysPtr media_keys;
  std::map<std::uint32_t, std::uint64_t> users;  // SSRC to user id
  // By user id; never null. Belongs to no connection: a move keeps it.
  std::shared_ptr<const UserNames> names = std::make_shared<UserNames>();
  // Everybody in the call gets a name here without being asked for, or at least soon.
  bool bots_are_told = false;
};

// What happens in a call and is worth writing down.
struct CallNews {
  enum class What { joined, left, encryption };
  What what = What::joined;
  std::uint64_t user = 0;  // who joined or left
  int version = 0;         // of the end-to-end encryption, its epoch and its privacy code
  std::uint64_t epoch = 0;
  std::string privacy_code;
};

// The hand-over point between the control thread (writes) and any number of elements (read).
// All members may be called from any thread.
class CallState {
 public:
  using SnapshotPtr = std::shared_ptr<const CallSnapshot>;

  // Cheap enough for every packet: one atomic load. It changes with every publication.
  std::uint64_t version() const noexcept { return version_.load(std::memory_order_acquire); }

  SnapshotPtr snapshot() const EXCLUDES(mutex_);

  // Publishes what `change` makes of the current view and then calls the listeners.
  void update(const std::function<void(CallSnapshot&)>& change) EXCLUDES(mutex_, listeners_mutex_);

  // The way back: a media thread found that the frames of this user cannot be opened any more. Goes
  // to whoever looks after the group, or nowhere. Returns at once.
  void report_undecryptable(std::uint64_t user) EXCLUDES(listeners_mutex_);
  void on_undecryptable(std::function<void(std::uint64_t)> handler) EXCLUDES(listeners_mutex_);

  // How many packets of audio were opened downstream, and how many were not, so that the source can
  // tell silence from keys that do not fit. Any thread; cheap.
  void note_opened(std::uint64_t opened, std::uint64_t unopened) noexcept {
    opened_.fetch_add(opened, std::memory_order_relaxed);
    unopened_.fetch_add(unopened, std::memory_order_relaxed);
    has_opener_.store(true, std::memory_order_relaxed);
  }
  std::uint64_t opened() const noexcept { return opened_.load(std::memory_order_relaxed); }
  std::uint64_t unopened() const noexcept { return unopened_.load(std::memory_order_relaxed); }
  bool has_opener() const noexcept { return has_opener_.load(std::memory_order_relaxed); }
  // For whoever keeps a record of the call. `listener` runs on the telling thread, first of all for
  // the users who are there and the encryption as it is; it is not running any more when
  // `remove_news_listener` returns.
  void tell(const CallNews& news) EXCLUDES(listeners_mutex_);
  // Nobody is there any more.
  void forget_news() EXCLUDES(listeners_mutex_);
  std::uint64_t add_news_listener(std::function<void(const CallNews&)> listener)
      EXCLUDES(listeners_mutex_);
  void remove_news_listener(std::uint64_t id) EXCLUDES(listeners_mutex_);

  // The channel of the call, 0 where it is not known; for names.
  void set_channel(std::uint64_t channel) noexcept { channel_ = channel; }
  std::uint64_t channel() const noexcept { return channel_; }

  // `listener` runs on the publishing thread and must only wake somebody up. It is not running any
  // more when `remove_listener` returns.
  std::uint64_t add_listener(std::function<void()> listener) EXCLUDES(listeners_mutex_);
  void remove_listener(std::uint64_t id) EXCLUDES(listeners_mutex_);

 private:
  mutable Mutex mutex_;
  SnapshotPtr snapshot_ GUARDED_BY(mutex_) = std::make_shared<CallSnapshot>();
  std::atomic<std::uint64_t> version_{1};
  std::atomic<std::uint64_t> opened_{0};
  std::atomic<std::uint64_t> unopened_{0};
  std::atomic<bool> has_opener_{false};

  Mutex listeners_mutex_;
  std::map<std::uint64_t, std::function<void()>> listeners_ GUARDED_BY(listeners_mutex_);
  std::map<std::uint64_t, std::function<void(const CallNews&)>> news_listeners_
      GUARDED_BY(listeners_mutex_);
  std::set<std::uint64_t> present_ GUARDED_BY(listeners_mutex_);
  std::optional<CallNews> encryption_ GUARDED_BY(listeners_mutex_);
  std::uint64_t next_listener_ GUARDED_BY(listeners_mutex_) = 1;
  std::atomic<std::uint64_t> channel_{0};
  std::function<void(std::uint64_t)> undecryptable_ GUARDED_BY(listeners_mutex_);
};

// What a session knows; made at the first call, lives as long as the session does. Any thread.
CallState& call_state(GstDiscordSession* session);

}  // namespace discord
