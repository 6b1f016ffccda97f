#include "media/user_rule.hpp"

#include <algorithm>
#include <charconv>

namespace discord::media {

namespace {

constexpr std::string_view separators = ", \t\r\n";

void sort_unique(std::vector<std::uint64_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

Result<UserRule, std::string> UserRule::parse(std::string_view text, bool ignore_bots) {
  UserRule out;
  out.ignore_bots_ = ignore_bots;
  std::size_t at = text.find_first_not_of(separators);
  while (at != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const bool denied = word.front() == '-';
    const std::string_view digits = word.substr(denied ? 1 : 0);
    std::uint64_t id = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    if (error != std::errc() || stop != digits.data() + digits.size() || id == 0) {
      return Failure{"\"" + std::string(word.substr(0, 40)) +
                     "\" is not a user id: give the ids of those to be heard, as 123,456, or of "
                     "those who are not, as -123,-456."};
    }
    (denied ? out.denied_ : out.heard_).push_back(id);
    if (out.heard_.size() + out.denied_.size() > max_users) {
      return Failure{"There are more than " + std::to_string(max_users) + " user ids."};
    }
    at = text.find_first_not_of(separators, end);
  }
  sort_unique(out.heard_);
  sort_unique(out.denied_);
  return out;
}

Admission UserRule::of(std::uint64_t user, std::optional<bool> bot,
                       bool bots_are_told) const noexcept {
  if (std::binary_search(denied_.begin(), denied_.end(), user)) {
    return Admission::denied;
  }
  if (!heard_.empty()) {
    return std::binary_search(heard_.begin(), heard_.end(), user) ? Admission::allowed
                                                                  : Admission::denied;
  }
  if (!ignore_bots_ || bot == false) {
    return Admission::allowed;
  }
  if (bot == true) {
    return Admission::denied;
  }
  return bots_are_told ? Admission::undecided : Admission::allowed;
}

}  // namespace discord::media
