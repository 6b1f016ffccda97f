// Who is to be heard, as the user of a receiver asks for it.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace discord::media {

enum class Admission : std::uint8_t {
  allowed,
  undecided,  // it is not known yet whether the user is a bot, and soon will be
  denied,
};

// Lists of users, and bots by default not. A value: cheap to copy, compared to see whether anything
// has changed.
class UserRule {
 public:
  static constexpr std::size_t max_users = 4096;

  // Everybody but bots.
  UserRule() = default;
  // `text`: user ids in decimal, separated by commas or white space. An id is to be heard; one with
  // a minus sign in front is not. With an id that is to be heard, nobody but those is; of an id in
  // both lists the minus sign counts. Empty: everybody. The error is a sentence.
  static Result<UserRule, std::string> parse(std::string_view text, bool ignore_bots);

  UserRule with_ignore_bots(bool ignore) const {
    UserRule out = *this;
    out.ignore_bots_ = ignore;
    return out;
  }
  bool ignore_bots() const noexcept { return ignore_bots_; }
  // A list says something, so a packet needs its user to be judged by it.
  bool needs_user() const noexcept { return !heard_.empty() || !denied_.empty(); }

  // `bot`: nothing where it is not known. `bots_are_told`: if it is not known, it soon will be. Who
  // is asked for by id is heard, bot or not.
  Admission of(std::uint64_t user, std::optional<bool> bot, bool bots_are_told) const noexcept;

  friend bool operator==(const UserRule&, const UserRule&) = default;

 private:
  std::vector<std::uint64_t> heard_;  // ascending, as is the other
  std::vector<std::uint64_t> denied_;
  bool ignore_bots_ = true;
};

}  // namespace discord::media
