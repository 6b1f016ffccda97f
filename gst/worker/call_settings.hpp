// What every worker of a call is told, a successor too.
#pragma once

#include "worker/protocol.hpp"

#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

namespace discord::worker {

struct CallSettings {
  media::ReceiverConfig receiver;
  struct KeyOf {
    std::uint64_t generation;
    transport::Mode mode;
    transport::Key key;
  };
  std::optional<KeyOf> key;
  std::map<std::uint32_t, std::uint64_t> users;
  std::set<std::uint64_t> told_users;  // ever, of this connection; a worker may name no other
  std::map<std::uint64_t, media::Admission> admissions;  // of those who are not just allowed
  bool needs_users = false;
  Time now{};  // latest that was handed in

  // End-to-end encryption: the keys, and their clock, as `media::Ingress` has it.
  dave::MediaKeysPtr keys;
  Duration key_clock{};
  // What the frames that have finished were opened with. Of published epochs and their members
  // only, so it is bounded by them.
  struct Marks {
    std::vector<dave::SenderMark> epochs;
    const void* heard_by = nullptr;  // the lane whose worker knows them
  };
  std::unordered_map<std::uint64_t, Marks> marks;

  std::uint64_t user_of(std::uint32_t ssrc) const noexcept;
  bool is_denied(std::uint32_t ssrc) const noexcept;
  // Takes the keys, and forgets what was about others.
  void use_keys(dave::MediaKeysPtr published, Time on_their_clock, Time at);
  // A frame of `user` has been opened. False when that cannot be; one of an epoch that has been
  // dropped meanwhile is no news.
  bool mark(std::uint64_t user, dave::EpochSerial serial, std::uint64_t counter, Time arrival,
            const void* lane);
};

Configure configure_of(const media::ReceiverConfig& config) noexcept;

}  // namespace discord::worker
