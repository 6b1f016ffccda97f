// What waits for a track of a recording, and the thread that gives tracks their turns.
#include "elements/trackfeed.hpp"

#include <gtest/gtest.h>
#include <future>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace discord;
using namespace std::chrono_literals;

constexpr auto patience = 20s;

BufferPtr buffer(GstClockTime duration = 20 * GST_MSECOND) {
  BufferPtr made(gst_buffer_new());
  GST_BUFFER_DURATION(made.get()) = duration;
  return made;
}
EventPtr gap() {
  return EventPtr(gst_event_new_gap(0, GST_SECOND));
}

// Who is asked for a turn, and gives it when the test says so.
class Asked final : public BranchTurns {
 public:
  void wake(Branch& branch) override { asked.push_back(&branch); }
  void hurry() override { hurries++; }
  void forget(Branch&) override { asked.clear(); }
  void give() {
    for (Branch* branch : std::exchange(asked, {})) {
      branch->run();
    }
  }
  std::vector<Branch*> asked;
  int hurries = 0;
};

// "b" for a buffer, "e" for an event, "|" where a turn begins.
class Taken final : public TrackFeed::Taker {
 public:
  void begin_turn() override { what += '|'; }
  GstFlowReturn take(BufferPtr) override {
    what += 'b';
    if (stops != nullptr) {
      stops->stop();
    }
    return answer;
  }
  void take(EventPtr) override { what += 'e'; }
  std::string what;
  GstFlowReturn answer = GST_FLOW_OK;
  TrackFeed* stops = nullptr;  // at the next buffer: the disk is full
};

class Feed : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
  std::shared_ptr<Asked> turns_ = std::make_shared<Asked>();
  Taken taken_;
};

TEST_F(Feed, HandsOverWhatFillsAPage) {
  TrackFeed feed(turns_, 0, taken_);
  feed.release();
  feed.push(buffer());
  EXPECT_TRUE(turns_->asked.empty()) << "one packet waits for the next";
  feed.push(buffer());
  EXPECT_EQ(turns_->asked.size(), 1u);
  feed.push(buffer());
  EXPECT_EQ(turns_->asked.size(), 1u) << "it has asked already";
  EXPECT_EQ(feed.waiting(), 3u);
  turns_->give();
  EXPECT_EQ(taken_.what, "|bbb");
  EXPECT_EQ(feed.waiting(), 0u);
  feed.push(buffer(10 * GST_MSECOND));
  feed.push(buffer(10 * GST_MSECOND));
  EXPECT_TRUE(turns_->asked.empty());
  feed.push(buffer(GST_CLOCK_TIME_NONE));
  EXPECT_EQ(turns_->asked.size(), 1u);
}

TEST_F(Feed, AnEventDoesNotWaitAndKeepsItsPlace) {
  TrackFeed feed(turns_, 0, taken_);
  feed.release();
  feed.push(buffer());
  feed.push(gap());
  EXPECT_EQ(turns_->asked.size(), 1u);
  feed.push(buffer());
  turns_->give();
  EXPECT_EQ(taken_.what, "|beb");
  EXPECT_EQ(turns_->hurries, 0);
  feed.push(EventPtr(gst_event_new_eos()));
  EXPECT_EQ(turns_->hurries, 1);
}

TEST_F(Feed, NothingIsTakenBeforeTheRelease) {
  TrackFeed feed(turns_, 0, taken_);
  feed.push(gap());
  feed.push(buffer());
  EXPECT_TRUE(turns_->asked.empty());
  feed.release();
  turns_->give();
  EXPECT_EQ(taken_.what, "|eb");
}

TEST_F(Feed, ABranchThatTakesNoMoreSaysSo) {
  TrackFeed feed(turns_, 0, taken_);
  feed.release();
  taken_.answer = GST_FLOW_ERROR;
  EXPECT_EQ(feed.push(buffer()), GST_FLOW_OK);
  feed.push(buffer());
  turns_->give();
  EXPECT_EQ(taken_.what, "|b");
  EXPECT_EQ(feed.push(buffer()), GST_FLOW_ERROR);
  EXPECT_EQ(feed.waiting(), 0u);
}

// Half a minute may wait behind a file: it went on into a file that was not written any more.
TEST_F(Feed, WhatIsStoppedInTheMiddleOfATurnIsCounted) {
  TrackFeed feed(turns_, 0, taken_);
  feed.release();
  for (int i = 0; i < 5; i++) {
    feed.push(buffer());
  }
  taken_.stops = &feed;
  turns_->give();
  EXPECT_EQ(taken_.what, "|b");
  EXPECT_EQ(feed.discarded(), 4u);
  feed.push(buffer());
  feed.push(buffer());
  feed.close();
  EXPECT_EQ(feed.discarded(), 6u);
  EXPECT_EQ(taken_.what, "|b");
}

TEST_F(Feed, BehindAFileWhoeverPushesWaitsForRoom) {
  TrackFeed feed(turns_, 2, taken_);
  feed.release();
  feed.push(buffer());
  feed.push(buffer());
  auto third = std::async(std::launch::async, [&] { return feed.push(buffer()); });
  EXPECT_EQ(third.wait_for(50ms), std::future_status::timeout);
  turns_->give();
  ASSERT_EQ(third.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(third.get(), GST_FLOW_OK);

  feed.push(buffer());
  auto last = std::async(std::launch::async, [&] { return feed.push(buffer()); });
  feed.close();
  EXPECT_EQ(last.get(), GST_FLOW_FLUSHING);
}

// --- the thread ---

class Once final : public BranchTurns::Branch {
 public:
  void run() override {
    began.set_value();
    go_on.get_future().wait();
    ended = true;
  }
  std::promise<void> began;
  std::promise<void> go_on;
  std::atomic<bool> ended = false;
};

TEST(BranchThread, ForgettingWaitsForTheTurnAndGivesNoOther) {
  BranchThread thread(0ms);
  Once first;
  Once second;
  thread.wake(first);
  first.began.get_future().wait();
  thread.wake(second);
  thread.forget(second);
  auto gone = std::async(std::launch::async, [&] {
    thread.forget(first);
    return first.ended.load();
  });
  EXPECT_EQ(gone.wait_for(50ms), std::future_status::timeout) << "it is in its turn";
  first.go_on.set_value();
  ASSERT_EQ(gone.wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(gone.get());
  Once third;
  third.go_on.set_value();
  thread.wake(third);
  third.began.get_future().wait();
  EXPECT_EQ(second.began.get_future().wait_for(0s), std::future_status::timeout);
}

TEST(BranchThread, RestsBetweenTurnsUnlessThereIsAHurry) {
  BranchThread thread(1h);
  Once first;
  Once second;
  first.go_on.set_value();
  second.go_on.set_value();
  thread.wake(first);
  first.began.get_future().wait();
  thread.wake(second);
  auto began = second.began.get_future();
  EXPECT_EQ(began.wait_for(50ms), std::future_status::timeout);
  thread.hurry();
  EXPECT_EQ(began.wait_for(patience), std::future_status::ready);
  thread.forget(first);
  thread.forget(second);
}

}  // namespace
