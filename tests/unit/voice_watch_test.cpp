#include "voice/call_watch.hpp"

#include <gtest/gtest.h>
#include <functional>
#include <string>
#include <vector>

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;

namespace {

struct Watched {
  // Looks every interval and lets `step` change the view before; collects the findings.
  void pass(Duration time, const std::function<void()>& step = {}) {
    for (const Time end = now + time; now < end; now += CallWatch::interval) {
      if (step) {
        step();
      }
      if (const auto found = watch.look(view, now)) {
        findings.push_back(*found);
      }
    }
  }

  CallWatch watch;
  CallView view{true, false, 2, 0, 0, true, 0, 0};
  Time now = time_from_ns(0);
  std::vector<Hearing> findings;
};

using Findings = std::vector<Hearing>;

}  // namespace

TEST(CallWatch, AGoodCallIsToldOnce) {
  Watched w;
  w.pass(60s, [&] {
    w.view.media += 100;
    w.view.opened += 95;
  });
  EXPECT_EQ(w.findings, Findings{Hearing::Fine});
}

TEST(CallWatch, NobodySpeaks) {
  Watched w;
  w.pass(14s);
  EXPECT_EQ(w.findings, Findings{});
  w.pass(60s);
  EXPECT_EQ(w.findings, Findings{Hearing::NobodySpeaks});
  w.pass(4s, [&] {
    w.view.media += 100;
    w.view.opened += 95;
  });
  w.pass(60s);
  EXPECT_EQ(w.findings, (Findings{Hearing::NobodySpeaks, Hearing::Fine, Hearing::NobodySpeaks}));
}

TEST(CallWatch, NobodyIsThere) {
  Watched w;
  w.view.others = 0;
  w.pass(60s);
  EXPECT_EQ(w.findings, Findings{Hearing::NobodyHere});
}

TEST(CallWatch, PeopleSpeakButNoPacketArrives) {
  Watched w;
  w.view.announced = 3;  // who spoke before
  w.pass(6s);
  w.view.announced = 4;
  w.pass(60s);
  EXPECT_EQ(w.findings, Findings{Hearing::NoMedia});
  EXPECT_TRUE(is_trouble(Hearing::NoMedia));
}

TEST(CallWatch, PacketsArriveButDoNotOpen) {
  Watched w;
  w.pass(60s, [&] {
    w.view.media += 100;
    w.view.unopened += 95;
  });
  EXPECT_EQ(w.findings, Findings{Hearing::NotOpened});
  w.pass(4s, [&] {
    w.view.media += 100;
    w.view.opened += 95;
  });
  EXPECT_EQ(w.findings, (Findings{Hearing::NotOpened, Hearing::Fine}));
}

// Reports of the server and video come all the time, and some packet is always bad.
TEST(CallWatch, WhatIsNoAudioIsNeitherHeardNorATrouble) {
  Watched w;
  w.pass(60s, [&] { w.view.media += 3; });
  EXPECT_EQ(w.findings, Findings{Hearing::NobodySpeaks});
}

TEST(CallWatch, AFewThatDoNotOpenAreNoTrouble) {
  Watched w;
  w.pass(60s, [&] {
    w.view.media += 100;
    w.view.opened += 90;
    w.view.unopened += 5;
  });
  EXPECT_EQ(w.findings, Findings{Hearing::Fine});
}

TEST(CallWatch, TheFirstKeysMayTakeAMoment) {
  Watched w;
  w.pass(6s, [&] {
    w.view.media += 100;
    w.view.unopened += 100;
  });
  w.pass(30s, [&] {
    w.view.media += 100;
    w.view.opened += 100;
  });
  EXPECT_EQ(w.findings, Findings{Hearing::Fine});
}

TEST(CallWatch, WithoutAnybodyWhoOpensPacketsTheirArrivalIsEnough) {
  Watched w;
  w.view.opener = false;
  w.pass(60s, [&] { w.view.media += 100; });
  EXPECT_EQ(w.findings, Findings{Hearing::Fine});
}

TEST(CallWatch, DeafenedByAModerator) {
  Watched w;
  w.pass(20s);
  w.view.deafened = true;
  w.pass(60s);
  EXPECT_EQ(w.findings, (Findings{Hearing::NobodySpeaks, Hearing::Deafened}));
  w.view.deafened = false;
  w.pass(60s, [&] {
    w.view.media += 1;
    w.view.opened += 1;
  });
  EXPECT_EQ(w.findings.back(), Hearing::Fine);
}

TEST(CallWatch, StartsAnewWithEachConnection) {
  Watched w;
  w.pass(20s);
  w.view.connected = false;
  w.pass(20s);
  w.view.connected = true;
  w.pass(14s);
  EXPECT_EQ(w.findings, (Findings{Hearing::NobodySpeaks, Hearing::Unknown}));
}

TEST(CallWatch, EveryFindingHasANameAndASentence) {
  for (int i = 0; i <= static_cast<int>(Hearing::Deafened); ++i) {
    EXPECT_FALSE(to_string(static_cast<Hearing>(i)).empty());
    EXPECT_FALSE(describe(static_cast<Hearing>(i)).empty());
  }
}
