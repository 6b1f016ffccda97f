// What the group's owner publishes for those who open media: keys of the last epochs, and whether
// frames without encryption are let through. Immutable; the newest one replaces the one before.
#pragma once

#include "base/time.hpp"
#include "dave/sender_ratchet.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace discord::dave {

// Counts the epochs that one session has entered, across groups: unlike the number of an MLS epoch
// it never comes twice.
using EpochSerial = std::uint64_t;

inline constexpr std::size_t max_media_epochs = 4;

struct SenderKey {
  std::uint64_t user = 0;
  BaseSecret base;
};

// The senders of one epoch.
struct EpochKeys {
  EpochSerial serial = 0;
  std::uint64_t mls_epoch = 0;
  Time made{};
  std::vector<SenderKey> senders;  // ascending by user

  const SenderKey* find(std::uint64_t user) const noexcept;
};

struct MediaKeys {
  struct Entry {
    std::shared_ptr<const EpochKeys> keys;
    Deadline expires;  // set when it has been superseded for certain
  };

  // DAVE is in force or about to be: a frame needs its user and a key. False only in a call at
  // version 0 that is taken as it is: frames are then delivered unopened.
  bool active = false;
  // Frames without encryption are delivered, for good or until this time.
  bool passthrough = false;
  Deadline passthrough_until;
  std::vector<Entry> epochs;  // newest first, at most `max_media_epochs`

  bool passes(Time now) const noexcept {
    return passthrough && (!passthrough_until || now < *passthrough_until);
  }
  bool knows(std::uint64_t user, Time now) const noexcept;
};

using MediaKeysPtr = std::shared_ptr<const MediaKeys>;

}  // namespace discord::dave
