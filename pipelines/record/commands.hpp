// The lines of JSON by which another program drives a recorder.
#pragma once

#include "base/result.hpp"
#include "record/credentials.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace recorder {

struct Join {
  Credentials credentials;
};
struct Mark {
  std::string label;
};
struct Gain {
  std::uint64_t user_id = 0;
  double gain = 1;
};
struct Name {
  std::uint64_t user_id = 0;
  std::string name;
};
struct Stats {};
struct Stop {};

using Command = std::variant<Join, Mark, Gain, Name, Stats, Stop>;

// One line; the error is a sentence. Lines of more than 64 kB are refused.
discord::Result<Command, std::string> parse_command(std::string_view line);

}  // namespace recorder
