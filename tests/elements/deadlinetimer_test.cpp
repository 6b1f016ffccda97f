#include "elements/deadlinetimer.hpp"

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/timerthreads.hpp"

#include <gst/check/gsttestclock.h>
#include <gtest/gtest.h>
#include <atomic>
#include <thread>

namespace {

using namespace discord;

// Something that happens once, for any number of threads.
class Event {
 public:
  void set() {
    Lock lock(mutex_);
    set_ = true;
    cond_.notify_all();
  }
  void wait() {
    Lock lock(mutex_);
    while (!set_) {
      cond_.wait(lock.native());
    }
  }

 private:
  Mutex mutex_;
  std::condition_variable cond_;
  bool set_ = false;
};

class DeadlineTimerTest : public testing::Test {
 protected:
  void SetUp() override {
    element_.reset(GST_ELEMENT(gst_object_ref_sink(gst_bin_new(nullptr))));
    clock_.reset(GST_TEST_CLOCK(gst_test_clock_new()));
    gst_element_set_clock(element_.get(), GST_CLOCK(clock_.get()));
    gst_element_set_base_time(element_.get(), 0);
    timer_ = std::make_unique<DeadlineTimer>(element_.get(), [this](GstClockTime now) {
      Lock lock(mutex_);
      calls_.push_back(now);
      cond_.notify_all();
    });
  }

  void play() {
    timer_->start();
    timer_->set_playing(true);
  }

  // The time the thread waits for, once it waits.
  GstClockTime next_wait() {
    gst_test_clock_wait_for_next_pending_id(clock_.get(), nullptr);
    return gst_test_clock_get_next_entry_time(clock_.get());
  }

  std::vector<GstClockTime> wait_for_calls(std::size_t count) {
    Lock lock(mutex_);
    while (calls_.size() < count) {
      cond_.wait(lock.native());
    }
    return calls_;
  }

  std::size_t calls() {
    Lock lock(mutex_);
    return calls_.size();
  }

  ObjectPtr<GstElement> element_;
  ObjectPtr<GstTestClock> clock_;
  Mutex mutex_;
  std::condition_variable cond_;
  std::vector<GstClockTime> calls_;
  std::unique_ptr<DeadlineTimer> timer_;
};

TEST_F(DeadlineTimerTest, CallsBackAtTheRunningTime) {
  gst_test_clock_set_time(clock_.get(), 7 * GST_SECOND);
  gst_element_set_base_time(element_.get(), 5 * GST_SECOND);
  play();
  EXPECT_EQ(timer_->now(), 2 * GST_SECOND);
  timer_->arm(3 * GST_SECOND);
  EXPECT_EQ(next_wait(), 8 * GST_SECOND) << "running time plus base time";
  EXPECT_EQ(calls(), 0u);
  gst_test_clock_crank(clock_.get());
  EXPECT_EQ(wait_for_calls(1).front(), 3 * GST_SECOND);
  EXPECT_FALSE(GST_CLOCK_TIME_IS_VALID(timer_->armed())) << "a deadline is spent once";
}

TEST_F(DeadlineTimerTest, AnEarlierTimeReplacesTheWait) {
  play();
  timer_->arm(3 * GST_SECOND);
  EXPECT_EQ(next_wait(), 3 * GST_SECOND);
  timer_->arm(GST_SECOND);
  while (next_wait() != GST_SECOND) {
    g_thread_yield();
  }
  timer_->arm_no_later(2 * GST_SECOND);
  EXPECT_EQ(timer_->armed(), GST_SECOND) << "arm_no_later must not postpone";
  gst_test_clock_crank(clock_.get());
  EXPECT_EQ(wait_for_calls(1).front(), GST_SECOND);
}

TEST_F(DeadlineTimerTest, ALaterTimeIsNotCalledAtTheEarlierOne) {
  play();
  timer_->arm(GST_SECOND);
  EXPECT_EQ(next_wait(), GST_SECOND);
  timer_->arm(3 * GST_SECOND);
  gst_test_clock_crank(clock_.get());
  EXPECT_EQ(next_wait(), 3 * GST_SECOND);
  EXPECT_EQ(calls(), 0u);
  gst_test_clock_crank(clock_.get());
  EXPECT_EQ(wait_for_calls(1).front(), 3 * GST_SECOND);
}

TEST_F(DeadlineTimerTest, DisarmingLeavesTheClockAlone) {
  play();
  timer_->arm(GST_SECOND);
  next_wait();
  timer_->arm(GST_CLOCK_TIME_NONE);
  while (gst_test_clock_peek_id_count(clock_.get()) != 0) {
    g_thread_yield();
  }
  timer_->stop();
  EXPECT_EQ(calls(), 0u);
}

TEST_F(DeadlineTimerTest, WaitsOnlyInPlaying) {
  timer_->start();
  timer_->arm(0);  // due at once, if time ran
  EXPECT_FALSE(GST_CLOCK_TIME_IS_VALID(timer_->now()));
  timer_->set_playing(true);
  EXPECT_EQ(wait_for_calls(1).size(), 1u);
}

TEST_F(DeadlineTimerTest, FlushingHoldsWhatIsArmed) {
  play();
  timer_->arm(GST_SECOND);
  next_wait();
  timer_->set_flushing(true);
  while (gst_test_clock_peek_id_count(clock_.get()) != 0) {
    g_thread_yield();
  }
  gst_test_clock_set_time(clock_.get(), 2 * GST_SECOND);
  EXPECT_EQ(timer_->armed(), GST_SECOND);
  timer_->set_flushing(false);
  EXPECT_EQ(wait_for_calls(1).front(), 2 * GST_SECOND);
}

TEST_F(DeadlineTimerTest, KickCallsAtOnceAndKeepsWhatIsArmed) {
  play();
  timer_->arm(5 * GST_SECOND);
  next_wait();
  timer_->kick();
  EXPECT_EQ(wait_for_calls(1).front(), 0u);
  EXPECT_EQ(timer_->armed(), 5 * GST_SECOND);
  EXPECT_EQ(next_wait(), 5 * GST_SECOND);
}

TEST_F(DeadlineTimerTest, FollowsANewClock) {
  play();
  timer_->arm(GST_SECOND);
  next_wait();
  ObjectPtr<GstTestClock> other(GST_TEST_CLOCK(gst_test_clock_new_with_start_time(GST_SECOND)));
  gst_element_set_clock(element_.get(), GST_CLOCK(other.get()));
  timer_->clock_changed();
  EXPECT_EQ(wait_for_calls(1).front(), GST_SECOND);
}

TEST_F(DeadlineTimerTest, StopsWhileWaitingAndStartsAgainWithNothingArmed) {
  play();
  timer_->arm(GST_SECOND);
  next_wait();
  timer_->stop();
  timer_->stop();
  EXPECT_EQ(gst_test_clock_peek_id_count(clock_.get()), 0u);
  gst_test_clock_set_time(clock_.get(), 2 * GST_SECOND);
  play();
  EXPECT_FALSE(GST_CLOCK_TIME_IS_VALID(timer_->armed()));
  timer_->arm(GST_SECOND);
  EXPECT_EQ(wait_for_calls(1).size(), 1u);
}

TEST(DeadlineTimer, TheCallbackMayArmTheNextOne) {
  ObjectPtr<GstElement> element(GST_ELEMENT(gst_object_ref_sink(gst_bin_new(nullptr))));
  ObjectPtr<GstTestClock> clock(GST_TEST_CLOCK(gst_test_clock_new()));
  gst_element_set_clock(element.get(), GST_CLOCK(clock.get()));
  gst_element_set_base_time(element.get(), 0);
  DeadlineTimer* timer = nullptr;
  DeadlineTimer made(element.get(),
                     [&timer](GstClockTime now) { timer->arm(now + 100 * GST_MSECOND); });
  timer = &made;
  made.start();
  made.set_playing(true);
  made.arm(0);
  for (int i = 1; i <= 3; i++) {
    gst_test_clock_wait_for_next_pending_id(clock.get(), nullptr);
    EXPECT_EQ(gst_test_clock_get_next_entry_time(clock.get()), i * 100 * GST_MSECOND);
    gst_test_clock_crank(clock.get());
  }
  made.stop();
}

// A thread for each element was 200 threads for 200 calls.
TEST_F(DeadlineTimerTest, WaitingTakesNoThread) {
  const auto threads = TimerThreads::get();
  play();
  timer_->arm(GST_SECOND);
  next_wait();
  EXPECT_EQ(threads->threads(), 0u);
  gst_test_clock_crank(clock_.get());
  wait_for_calls(1);
  EXPECT_EQ(threads->threads(), 1u);
}

// One blocked push downstream must not hold up the deadlines of other calls.
TEST_F(DeadlineTimerTest, ABlockedElementDelaysNoOther) {
  Event let_go;
  std::vector<std::unique_ptr<DeadlineTimer>> blocked;
  for (int i = 0; i < 10; i++) {
    blocked.push_back(std::make_unique<DeadlineTimer>(element_.get(),
                                                      [&let_go](GstClockTime) { let_go.wait(); }));
    blocked.back()->start();
    blocked.back()->set_playing(true);
    blocked.back()->arm(0);
  }
  play();
  timer_->arm(0);
  EXPECT_EQ(wait_for_calls(1).size(), 1u);
  let_go.set();
}

TEST_F(DeadlineTimerTest, StoppingWaitsForTheCallbackUnderWay) {
  Event inside;
  Event let_go;
  std::atomic<bool> over{false};
  DeadlineTimer timer(element_.get(), [&](GstClockTime) {
    inside.set();
    let_go.wait();
    over = true;
  });
  timer.start();
  timer.set_playing(true);
  timer.kick();
  inside.wait();
  std::thread other([&] { let_go.set(); });
  timer.stop();
  EXPECT_TRUE(over);
  other.join();
}

TEST_F(DeadlineTimerTest, AKickWithoutAClockWaitsForOne) {
  gst_element_set_clock(element_.get(), nullptr);
  play();
  timer_->kick();
  EXPECT_EQ(calls(), 0u);
  gst_element_set_clock(element_.get(), GST_CLOCK(clock_.get()));
  timer_->clock_changed();
  EXPECT_EQ(wait_for_calls(1).size(), 1u);
}

TEST(TimerThreads, AreAsManyAsAreBlockedAndFewAgain) {
  TimerThreads threads(1, std::chrono::milliseconds(1));
  constexpr std::size_t many = 20;
  Event let_go;
  std::atomic<std::size_t> inside{0};
  Event all_inside;
  for (std::size_t i = 0; i < many; i++) {
    threads.post([&] {
      if (++inside == many) {
        all_inside.set();
      }
      let_go.wait();
    });
  }
  all_inside.wait();
  EXPECT_GE(threads.threads(), many);
  let_go.set();
  while (threads.threads() > 1) {
    g_thread_yield();
  }
}

TEST(TimerThreads, TheLastUserMayLetGoOnOneOfThem) {
  auto threads = std::make_shared<TimerThreads>(2, std::chrono::seconds(1));
  Event gone;
  Event held;
  threads->post([&gone, &held, mine = threads]() mutable {
    held.wait();
    mine.reset();
    gone.set();
  });
  threads.reset();
  held.set();
  gone.wait();
}

TEST(TimerThreads, WhatWasPostedIsDoneBeforeTheEnd) {
  std::atomic<int> done{0};
  {
    TimerThreads threads(1, std::chrono::seconds(1));
    for (int i = 0; i < 100; i++) {
      threads.post([&] { done++; });
    }
  }
  EXPECT_EQ(done, 100);
}

}  // namespace
