// A measurement in two processes: the loopback Discord in one, so that only what is measured is in
// the other.
#pragma once

#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

namespace discord::bench {

struct Footprint {
  long threads = 0;
  long rss_kb = 0;
};

inline Footprint footprint() {
  Footprint out;
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    if (key == "Threads:") {
      status >> out.threads;
    } else if (key == "VmRSS:") {
      status >> out.rss_kb;
    }
  }
  return out;
}

// What the two sides say to each other, a line at a time; reading is the only way in which they
// wait.
class Wire {
 public:
  Wire(int in, int out) : in_(fdopen(in, "r")), out_(fdopen(out, "w")) {}
  ~Wire() {
    std::fclose(in_);
    std::fclose(out_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void say(const std::string& line) {
    std::fprintf(out_, "%s\n", line.c_str());
    std::fflush(out_);
  }
  // Empty when the other side has gone.
  std::string hear() {
    char line[4096];
    if (std::fgets(line, sizeof line, in_) == nullptr) {
      return {};
    }
    std::string out(line);
    out.pop_back();
    return out;
  }

 private:
  FILE* in_;
  FILE* out_;
};

using Side = std::function<int(Wire&)>;

// Runs both; true when both return 0. The server goes on until the other side has gone.
inline bool in_two_processes(const Side& serve, const Side& measure) {
  int to_server[2];
  int from_server[2];
  if (pipe(to_server) != 0 || pipe(from_server) != 0) {
    std::perror("pipe");
    return false;
  }
  const auto child = [&](const Side& side, int in, int out) {
    const pid_t pid = fork();
    if (pid == 0) {
      for (const int end : {to_server[0], to_server[1], from_server[0], from_server[1]}) {
        if (end != in && end != out) {
          close(end);
        }
      }
      int result = 1;
      {
        Wire wire(in, out);
        result = side(wire);
      }
      std::fflush(nullptr);
      _exit(result);
    }
    return pid;
  };
  const pid_t pids[] = {child(measure, from_server[0], to_server[1]),
                        child(serve, to_server[0], from_server[1])};
  for (const int end : {to_server[0], to_server[1], from_server[0], from_server[1]}) {
    close(end);
  }
  bool good = true;
  for (const pid_t pid : pids) {
    int status = 0;
    waitpid(pid, &status, 0);
    good = good && status == 0;
  }
  return good;
}

}  // namespace discord::bench
