// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/commands.hpp"

#include <cmath>

namespace recorder {

using discord::Failure;
using discord::Result;

namespace {

constexpr std::size_t max_line = 65536;
constexpr std::size_t max_text = 1024;
constexpr double max_gain = 16;

std::string text(const nlohmann::json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? value->get<std::string>().substr(0, max_text)
                                                     : std::string();
}

}  // namespace

Result<Command, std::string> parse_command(std::string_view line) {
  if (line.size() > max_line) {
    return Failure{std::string("The line is too long.")};
  }
  const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return Failure{std::string("The line is not a JSON object.")};
  }
  const std::string what = text(object, "do");
  const auto user = parse_id(text(object, "user_id"));
  if (what == "join") {
    Join join;
    if (auto problem = join.credentials.take(object)) {
      return Failure{*problem};
    }
    return Command(join);
  }
  if (what == "mark") {
    return Command(Mark{text(object, "label")});
  }
  if (what == "gain") {
    const auto gain = object.find("gain");
    const double value =
        gain != object.end() && gain->is_number() ? gain->get<double>() : std::nan("");
    if (!user || !(value >= 0 && value <= max_gain)) {
      return Failure{std::string(
          "\"gain\" needs \"user_id\", a string, and \"gain\", a number from 0 to 16.")};
    }
    return Command(Gain{*user, value});
  }
  if (what == "name") {
    if (!user) {
      return Failure{std::string("\"name\" needs \"user_id\", a string, and \"name\".")};
    }
    return Command(Name{*user, text(object, "name")});
  }
  if (what == "stats") {
    return Command(Stats{});
  }
  if (what == "stop") {
    return Command(Stop{});
  }
  return Failure{std::string("\"do\" must be one of join, mark, gain, name, stats, stop.")};
}

}  // namespace recorder
