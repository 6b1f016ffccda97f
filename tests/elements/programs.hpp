// Programs of the machine, run by a test.
#pragma once

#include "discord/gstptr.hpp"

#include <gst/gst.h>
#include <sys/wait.h>
#include <unistd.h>
#include <string>
#include <vector>

namespace discord::test {

// Whether a program of the machine is there.
inline bool has_program(const char* name) {
  const GCharPtr path(g_find_program_in_path(name));
  return path != nullptr;
}

struct Ran {
  int status = -1;
  std::string output;  // standard output, and errors where asked for
};
inline Ran run(const std::vector<std::string>& argv) {
  std::vector<gchar*> args;
  for (const std::string& a : argv) {
    args.push_back(const_cast<gchar*>(a.c_str()));
  }
  args.push_back(nullptr);
  Ran out;
  int in = -1;
  GPid pid = 0;
  GError* problem = nullptr;
  if (!g_spawn_async_with_pipes(
          nullptr, args.data(), nullptr,
          static_cast<GSpawnFlags>(G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                                   G_SPAWN_STDERR_TO_DEV_NULL),
          nullptr, nullptr, &pid, nullptr, &in, nullptr, &problem)) {
    out.output = problem->message;
    g_error_free(problem);
    return out;
  }
  char block[65536];
  for (ssize_t n = 0; (n = read(in, block, sizeof block)) > 0;) {
    out.output.append(block, static_cast<std::size_t>(n));
  }
  close(in);
  waitpid(pid, &out.status, 0);
  g_spawn_close_pid(pid);
  return out;
}

}  // namespace discord::test
