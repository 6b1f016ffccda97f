// An end-to-end encrypted call for tests of everything that decodes: senders with a ratchet each,
// and the keys as the group's owner publishes them.
#pragma once

#include "dave/epoch_list.hpp"
#include "receiver_rig.hpp"

namespace discord::rig {

inline dave::BaseSecret base_secret(std::uint64_t epoch, std::uint64_t user,
                                    std::uint8_t call = 0) {
  std::array<std::uint8_t, 16> bytes{};
  bytes[0] = static_cast<std::uint8_t>(epoch);
  bytes[1] = static_cast<std::uint8_t>(user);
  bytes[2] = static_cast<std::uint8_t>(user >> 8);
  bytes[3] = 0x5A;
  bytes[4] = call;
  return dave::BaseSecret(bytes);
}

// What each member sends under which epoch.
class Members {
 public:
  explicit Members(std::uint8_t call = 0) : call_(call) {}
  Bytes seal(std::uint64_t epoch, std::uint64_t user, const Bytes& plain) {
    auto it = ratchets_.find({epoch, user});
    if (it == ratchets_.end()) {
      it = ratchets_
               .emplace(std::pair(epoch, user), dave::SendRatchet(base_secret(epoch, user, call_)))
               .first;
    }
    Bytes out(plain.size() + 64);
    const auto sealed = it->second.seal(plain, {}, out);
    EXPECT_TRUE(sealed);
    return {sealed->begin(), sealed->end()};
  }

 private:
  std::uint8_t call_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, dave::SendRatchet> ratchets_;
};

// The owner's side: epochs come and go, `keys` is what is published.
struct Group {
  explicit Group(std::uint8_t of = 0) : call(of) {}
  dave::EpochSerial add(std::vector<std::uint64_t> users, Time now) {
    std::vector<dave::SenderKey> senders;
    std::sort(users.begin(), users.end());
    for (const std::uint64_t user : users) {
      senders.push_back({user, base_secret(next, user, call)});
    }
    return epochs.add(next++, std::move(senders), now);
  }
  dave::MediaKeysPtr keys() const {
    auto out = std::make_shared<dave::MediaKeys>();
    out->active = true;
    out->epochs = epochs.entries();
    return out;
  }
  std::uint8_t call;
  std::uint64_t next = 1;  // names the epoch whose secrets are next
  dave::EpochList epochs;
};

}  // namespace discord::rig
