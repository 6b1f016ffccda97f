// Takes one speaker out of a journal for good.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>

namespace recover {

struct Erased {
  std::uint64_t records = 0;  // of the speaker
  std::uint64_t damaged = 0;  // stretches nobody can read, left out as well
  bool overwritten = true;    // the old bytes were replaced by zeros
};

// Writes the journal anew without the user, syncs it, puts it in the place of the old one in one
// step and overwrites what the old one held. At any moment there is a whole journal under the name.
// A journal that does not know the user stays as it is, one that is still being written as well.
// The error is a sentence.
discord::Result<Erased, std::string> erase(const std::string& journal, std::uint64_t user_id);

}  // namespace recover
