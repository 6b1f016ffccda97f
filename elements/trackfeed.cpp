// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/trackfeed.hpp"

#include <algorithm>
#include <utility>

namespace discord {

namespace {

constexpr GstClockTime usual_frame = 20 * GST_MSECOND;

}  // namespace

TrackFeed::TrackFeed(std::shared_ptr<BranchTurns> turns, guint most, Taker& taker)
    : turns_(std::move(turns)), most_(most), taker_(taker) {}

bool TrackFeed::wants_turn() {
  if (held_ || asked_ || closed_ || !(urgent_ || gathered_ >= page_time)) {
    return false;
  }
  asked_ = true;
  return true;
}

GstFlowReturn TrackFeed::push(BufferPtr buffer) {
  Lock lock(mutex_);
  while (most_ != 0 && waiting_ >= most_ && !closed_ && flow_ == GST_FLOW_OK) {
    blocked_ = true;
    taken_.wait(lock.native());
  }
  if (closed_ || flow_ != GST_FLOW_OK) {
    return closed_ ? GST_FLOW_FLUSHING : flow_;
  }
  gathered_ +=
      GST_BUFFER_DURATION_IS_VALID(buffer.get()) ? GST_BUFFER_DURATION(buffer.get()) : usual_frame;
  items_.emplace_back(std::move(buffer));
  waiting_++;
  if (wants_turn()) {
    lock.unlock();
    turns_->wake(*this);
  }
  return GST_FLOW_OK;
}

void TrackFeed::push(EventPtr event) {
  Lock lock(mutex_);
  if (closed_) {
    return;
  }
  const bool last = GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS;
  items_.emplace_back(std::move(event));
  urgent_ = true;
  const bool asks = wants_turn();
  lock.unlock();
  if (asks) {
    turns_->wake(*this);
  }
  if (last) {
    turns_->hurry();  // somebody waits for the file
  }
}

void TrackFeed::release() {
  Lock lock(mutex_);
  held_ = false;
  if (wants_turn()) {
    lock.unlock();
    turns_->wake(*this);
  }
}

void TrackFeed::close() {
  std::vector<Item> rest;
  {
    Lock lock(mutex_);
    closed_ = true;
    rest.swap(items_);
    taken_.notify_all();
  }
  turns_->forget(*this);
  if (stopped_) {
    discarded_ +=
        static_cast<guint64>(std::count_if(rest.begin(), rest.end(), [](const Item& item) {
          return std::holds_alternative<BufferPtr>(item);
        }));
  }
}

void TrackFeed::run() {
  GstFlowReturn flow = GST_FLOW_OK;
  {
    Lock lock(mutex_);
    if (closed_) {
      return;
    }
    asked_ = urgent_ = false;
    gathered_ = 0;
    taking_.swap(items_);
    flow = flow_;
  }
  taker_.begin_turn();
  guint taken = 0;
  for (Item& item : taking_) {
    if (auto* event = std::get_if<EventPtr>(&item)) {
      taker_.take(std::move(*event));
      continue;
    }
    taken++;
    if (stopped_) {
      discarded_++;
    } else if (flow == GST_FLOW_OK) {
      flow = taker_.take(std::move(std::get<BufferPtr>(item)));
    }
  }
  taking_.clear();
  waiting_ -= taken;
  Lock lock(mutex_);
  flow_ = flow;
  if (std::exchange(blocked_, false)) {
    taken_.notify_all();
  }
}

}  // namespace discord
