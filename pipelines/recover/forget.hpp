// Takes one person out of a recording for good: journal, session record and files.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace recover {

struct Forgotten {
  std::uint64_t records = 0;  // of the journal
  std::uint64_t damaged = 0;  // stretches of the journal that nobody can read, left out as well
  std::vector<std::string> records_changed;  // session records
  std::vector<std::string> removed;          // files that held nobody else
  std::vector<std::string> shared;           // files that hold others too, and are as they were
  bool overwritten = true;                   // no old byte is where it was
};

// `journal`: of the recording; need not exist where there is a session record. Its folder, and
// `recovered` in it, are looked through for the rest. Each step leaves something whole, and what
// was interrupted can be begun again. Nothing happens while the journal is still being written. The
// error, also that nobody knows the user, is a sentence.
discord::Result<Forgotten, std::string> forget(const std::string& journal, std::uint64_t user_id);

}  // namespace recover
