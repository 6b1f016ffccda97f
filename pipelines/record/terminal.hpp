// A terminal that hands over keys as they are pressed.
#pragma once

#include <termios.h>

namespace recorder {

// Keys come one by one and are not shown; everything, Ctrl-C too, is as before at the end.
class RawTerminal {
 public:
  explicit RawTerminal(int fd) : fd_(fd), changed_(tcgetattr(fd, &before_) == 0) {
    if (changed_) {
      termios keys = before_;
      keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      keys.c_cc[VMIN] = 1;
      keys.c_cc[VTIME] = 0;
      tcsetattr(fd, TCSANOW, &keys);
    }
  }
  ~RawTerminal() {
    if (changed_) {
      tcsetattr(fd_, TCSANOW, &before_);
    }
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  int fd_;
  termios before_{};
  bool changed_;
};

}  // namespace recorder
