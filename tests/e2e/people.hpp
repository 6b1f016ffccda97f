// People for the calls of these tests: short stretches of recorded speech.
#pragma once

#include "server.hpp"

#include <gtest/gtest.h>
#include <string>

namespace discord::e2e {

// Who talks: `spurts` times for about `length` seconds, `gap` seconds of pause between.
struct Talk {
  std::size_t index = 0;  // which person: voice, file, user id and first start follow from it
  int spurts = 3;
  double length = 1.3;
  double gap = 0.8;
};

// Without a user of that index twice in a call, the talkers differ in everything that matters.
loopback::TalkerOptions person(const Talk& talk);

// A call of `count` people who talk into each other, each with `spurts` spurts.
loopback::Options call_of(std::size_t count, int spurts = 3);

// A call of two who talk for that long in short spurts, because whoever comes back from a move
// begins with the next one. The token of its bot is used by no other call.
loopback::Options short_spurts(bool encrypted, double seconds);

// Skips the test when no recorded speech is installed.
class Calls : public testing::Test {
 protected:
  void SetUp() override;
  static bool can_talk();
};

}  // namespace discord::e2e
