// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/callview.hpp"

namespace discord {

void CallView::find(GstPad* sinkpad) {
  drop();
  session_.reset(gst_discord_session_find(sinkpad));
  if (session_) {
    // No packet may come for the very SSRC whose user has just become known.
    listener_ = call_state(session_.get()).add_listener(changed_);
  }
}

void CallView::drop() {
  if (session_) {
    call_state(session_.get()).remove_listener(listener_);
    session_.reset();
  }
  reset();
}

bool CallView::news() const {
  return session_ && call_state(session_.get()).version() != seen_;
}

CallState::SnapshotPtr CallView::take() {
  if (!news()) {
    return nullptr;
  }
  const CallState& call = call_state(session_.get());
  seen_ = call.version();
  CallState::SnapshotPtr view = call.snapshot();
  return order_.reached(*view) ? view : nullptr;
}

void CallView::reset() noexcept {
  seen_ = 0;
  order_.reset();
}

bool CallView::left(GstEvent* event) noexcept {
  if (!order_.take(event)) {
    return false;
  }
  seen_ = 0;
  return true;
}

void CallView::report_undecryptable(std::uint64_t user_id) {
  if (session_) {
    call_state(session_.get()).report_undecryptable(user_id);
  }
}

}  // namespace discord
