// What workers that are not equally far have brought, put in order.
#include "worker/time_order.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

using namespace discord;
using namespace discord::worker;
using namespace std::chrono_literals;

namespace {

std::string all(TimeOrder<std::string>& order, Deadline until) {
  std::string out;
  while (const auto item = order.take(until)) {
    out += *item;
  }
  return out;
}

}  // namespace

TEST(TimeOrder, EarliestFirstAndOnlyWhatIsBefore) {
  TimeOrder<std::string> order;
  order.add(1, Time(20ms), "c");
  order.add(1, Time(40ms), "e");
  order.add(2, Time(10ms), "a");
  order.add(2, Time(30ms), "d");
  order.add(3, Time(15ms), "b");
  EXPECT_EQ(all(order, Time(30ms)), "abc") << "30 ms itself may still come from somebody";
  EXPECT_EQ(all(order, Time(30ms)), "");
  EXPECT_EQ(all(order, std::nullopt), "de");
}

TEST(TimeOrder, OfEqualTimesTheLowerSsrcFirst) {
  TimeOrder<std::string> order;
  order.add(3, Time(0ms), "c");
  order.add(1, Time(0ms), "a");
  order.add(2, Time(0ms), "b");
  EXPECT_EQ(all(order, std::nullopt), "abc");
}

TEST(TimeOrder, OfOneSsrcNothingIsOvertaken) {
  TimeOrder<std::string> order;
  order.add(1, Time(50ms), "1");
  order.add(1, Time(10ms), "2");
  order.add(2, Time(40ms), "x");
  EXPECT_EQ(all(order, Time(45ms)), "x");
  EXPECT_EQ(all(order, std::nullopt), "12");
  order.add(1, Time(10ms), "3");
  EXPECT_EQ(all(order, Time(11ms)), "3") << "what has gone holds nobody back";
}

TEST(TimeOrder, ItemsThatCannotBeCopied) {
  TimeOrder<std::unique_ptr<int>> order;
  order.add(1, Time(2ms), std::make_unique<int>(2));
  order.add(2, Time(1ms), std::make_unique<int>(1));
  EXPECT_EQ(**order.take(std::nullopt), 1);
  EXPECT_EQ(**order.take(std::nullopt), 2);
  EXPECT_FALSE(order.take(std::nullopt));
}
