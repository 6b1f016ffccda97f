// How often workers may die and how long the next start waits, in invented time.
#include "worker/restart_budget.hpp"

#include <gtest/gtest.h>

#include <vector>

using namespace discord;
using namespace discord::worker;
using namespace std::chrono_literals;

TEST(RestartBudget, OneDeathTooManyInAMinute) {
  RestartBudget budget(3);
  const Monotonic begin{};
  EXPECT_TRUE(budget.spend(begin));
  EXPECT_TRUE(budget.spend(begin + 10s));
  EXPECT_TRUE(budget.spend(begin + 60s)) << "the first is a minute ago and no more";
  EXPECT_EQ(budget.spent(), 3u);
  EXPECT_FALSE(budget.spend(begin + 60s));
}

TEST(RestartBudget, DeathsAreForgottenAfterAMinute) {
  RestartBudget budget(2);
  const Monotonic begin{};
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(budget.spend(begin + i * 31s)) << i;
  }
  EXPECT_EQ(budget.spent(), 2u);
}

TEST(RestartBudget, OfNothingAllowsNoDeath) {
  EXPECT_FALSE(RestartBudget(0).spend(Monotonic{}));
}

TEST(BackOff, TwoAtOnceThenDoublingToASecond) {
  BackOff back_off;
  const Monotonic now{};
  std::vector<Duration> pauses;
  for (int i = 0; i < 14; ++i) {
    back_off.died(now);
    pauses.push_back(back_off.not_before() - now);
  }
  EXPECT_EQ(pauses, (std::vector<Duration>{0ms, 0ms, 5ms, 10ms, 20ms, 40ms, 80ms, 160ms, 320ms,
                                           640ms, 1000ms, 1000ms, 1000ms, 1000ms}));
  EXPECT_EQ(back_off.in_a_row(), 14u);
}

TEST(BackOff, WhoLivedLongStartsAnew) {
  BackOff back_off;
  const Monotonic now{};
  for (int i = 0; i < 5; ++i) {
    back_off.lived(10s);  // not longer
    back_off.died(now);
  }
  EXPECT_EQ(back_off.in_a_row(), 5u);
  back_off.lived(10s + 1ns);
  back_off.died(now + 20s);
  EXPECT_EQ(back_off.in_a_row(), 1u);
  EXPECT_EQ(back_off.not_before(), now + 20s);
}

TEST(BackOff, WaitsAtLeastAsLongAsItIsTold) {
  BackOff back_off;
  const Monotonic now{};
  back_off.died(now, 100ms);
  EXPECT_EQ(back_off.not_before(), now + 100ms);
  for (int i = 0; i < 10; ++i) {
    back_off.died(now, 100ms);
  }
  EXPECT_EQ(back_off.not_before(), now + 1000ms) << "the longer of both";
}
