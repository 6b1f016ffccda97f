// The epochs whose frames may still be under way, on the side of the group's owner.
#pragma once

#include "dave/media_keys.hpp"

#include <optional>
#include <vector>

namespace discord::dave {

// Newest first, at most `max_media_epochs`. A superseded epoch ends `ratchet_tail` after the switch
// to a newer one was executed; until then senders still use it.
class EpochList {
 public:
  // A new epoch, to receive from at once. Its serial has never been given before.
  EpochSerial add(std::uint64_t mls_epoch, std::vector<SenderKey> senders, Time now);
  // Senders were told to use this epoch.
  void execute(EpochSerial serial, Time now);
  // Senders were told to use none.
  void execute_none(Time now);
  // Forgets what has ended; true when there was any.
  bool expire(Time now);
  // Forgets all; serials go on.
  void clear() noexcept { entries_.clear(); }

  bool empty() const noexcept { return entries_.empty(); }
  const std::vector<MediaKeys::Entry>& entries() const noexcept { return entries_; }
  Deadline next_deadline() const noexcept;

 private:
  std::vector<MediaKeys::Entry> entries_;
  EpochSerial last_ = 0;
};

}  // namespace discord::dave
