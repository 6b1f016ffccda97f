// Who is in the media session and which SSRC is whose (docs/protocol.md "SSRC and user").
#pragma once

#include "base/time.hpp"
#include "voice/actions.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>

namespace discord::voice {

// Bounded: a message that would pass a cap changes nothing and is counted in overflows().
class SsrcMap {
 public:
  static constexpr std::size_t max_users = 16384;  // a stage holds 10 000
  static constexpr std::size_t max_ssrcs = 16384;
  static constexpr Duration grace = std::chrono::seconds(1);

  // A new Identify: everything is void; further actions carry `generation`.
  void reset(Generation generation, std::uint64_t own_user);
  // Ready: the own SSRC.
  void set_own(std::uint32_t ssrc, Out& out);

  // Opcode 11: somebody is here, SSRC unknown yet. The own user is not announced.
  void joined(std::uint64_t user, Out& out);
  // Opcodes 5 and 12: `ssrc` is `user`'s from now on. An SSRC of 0 says nothing. The user's former
  // SSRC retires after the grace.
  void announced(std::uint32_t ssrc, std::uint64_t user, Time now, Out& out);
  // Opcode 12: SSRCs of a user's camera, which never carry audio; replaces the user's former list.
  void video(std::uint64_t user, std::span<const std::uint32_t> ssrcs);
  // Opcode 13: the user's SSRCs retire after the grace.
  void left(std::uint64_t user, Time now, Out& out);

  void on_timer(Time now, Out& out);
  // May be early, never late.
  Deadline next_deadline() const noexcept { return next_retirement_; }

  std::optional<std::uint64_t> user_of(std::uint32_t ssrc) const;
  std::optional<std::uint32_t> ssrc_of(std::uint64_t user) const;  // not one that is retiring
  bool is_video(std::uint32_t ssrc) const;
  bool is_present(std::uint64_t user) const;
  std::size_t users() const noexcept { return present_.size(); }
  std::size_t size() const noexcept { return by_ssrc_.size(); }
  std::uint64_t overflows() const noexcept { return overflows_; }

 private:
  struct Owner {
    std::uint64_t user;
    Deadline retires;
  };
  void assign(std::uint32_t ssrc, std::uint64_t user, Out& out);
  void retire(std::uint64_t user, Time now);

  Generation generation_ = 0;
  std::uint64_t own_user_ = 0;
  std::unordered_map<std::uint32_t, Owner> by_ssrc_;
  std::unordered_map<std::uint64_t, std::uint32_t> by_user_;
  std::unordered_set<std::uint64_t> present_;
  std::unordered_map<std::uint32_t, std::uint64_t> video_;
  Deadline next_retirement_;
  std::uint64_t overflows_ = 0;
};

}  // namespace discord::voice
