#include "dave/media_keys.hpp"

#include <algorithm>

namespace discord::dave {

const SenderKey* EpochKeys::find(std::uint64_t user) const noexcept {
  const auto it = std::lower_bound(
      senders.begin(), senders.end(), user,
      [](const SenderKey& sender, std::uint64_t wanted) { return sender.user < wanted; });
  return it != senders.end() && it->user == user ? &*it : nullptr;
}

bool MediaKeys::knows(std::uint64_t user, Time now) const noexcept {
  return std::any_of(epochs.begin(), epochs.end(), [&](const Entry& entry) {
    return (!entry.expires || now < *entry.expires) && entry.keys->find(user) != nullptr;
  });
}

}  // namespace discord::dave
