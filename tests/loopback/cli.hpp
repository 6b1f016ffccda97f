// The command line of discord-loopback.
#pragma once

#include "server.hpp"
#include "speaker_plan.hpp"

#include "base/result.hpp"

namespace discord::loopback {

struct CommandLine {
  Options server;
  PlanOptions plan;
  std::string speakers_file;
  double seconds = 0;  // 0 = until a signal
  bool commands = false;
  bool quiet = false;
  bool records = false;
};

// What to print and exit with instead of running.
struct EarlyExit {
  int status;
  std::string text;
};

Result<CommandLine, EarlyExit> parse_command_line(int argc, char** argv);

}  // namespace discord::loopback
