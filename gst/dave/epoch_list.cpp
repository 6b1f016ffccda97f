#include "dave/epoch_list.hpp"

#include <utility>

namespace discord::dave {

EpochSerial EpochList::add(std::uint64_t mls_epoch, std::vector<SenderKey> senders, Time now) {
  auto keys = std::make_shared<EpochKeys>();
  keys->serial = ++last_;
  keys->mls_epoch = mls_epoch;
  keys->made = now;
  keys->senders = std::move(senders);
  entries_.insert(entries_.begin(), {std::move(keys), std::nullopt});
  if (entries_.size() > max_media_epochs) {
    entries_.pop_back();
  }
  return last_;
}

void EpochList::execute(EpochSerial serial, Time now) {
  for (MediaKeys::Entry& entry : entries_) {
    if (entry.keys->serial < serial) {
      entry.expires = earlier(entry.expires, now + ratchet_tail);
    }
  }
}

void EpochList::execute_none(Time now) {
  execute(last_ + 1, now);
}

bool EpochList::expire(Time now) {
  return std::erase_if(entries_, [&](const MediaKeys::Entry& entry) {
           return entry.expires && *entry.expires <= now;
         }) > 0;
}

Deadline EpochList::next_deadline() const noexcept {
  Deadline next;
  for (const MediaKeys::Entry& entry : entries_) {
    next = earlier(next, entry.expires);
  }
  return next;
}

}  // namespace discord::dave
