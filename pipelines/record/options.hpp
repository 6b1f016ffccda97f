// The arguments of discord-record.
#pragma once

#include "media/user_rule.hpp"
#include "record/credentials.hpp"
#include "record/rules.hpp"

#include <optional>
#include <string>

namespace recorder {

enum class Output {
  screen,  // a table on a terminal, lines elsewhere
  quiet,   // errors only
  json,    // a line of JSON for each thing that happens
};

struct Options {
  Credentials credentials;
  std::string location = "recordings";
  bool flat = false;
  std::string format = "mp3";
  std::string layout;    // empty: the element's own
  std::string align;     // the same
  unsigned bitrate = 0;  // 0: the element's own
  std::string e2ee;      // empty: the element's own
  bool journal = true;
  bool isolated = false;           // decode in worker processes
  std::string users;               // who is recorded, as the property `users` has it
  discord::media::UserRule heard;  // the same, and whether bots are
  bool control = false;
  Output output = Output::screen;
  Rules rules;
};

// None after a message on standard error.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace recorder
