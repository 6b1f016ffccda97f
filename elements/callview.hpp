// The call upstream as an element that opens packets follows it.
#pragma once

#include "discord/gstdiscordsession.h"
#include "elements/connectionorder.hpp"
#include "elements/openreport.hpp"

#include <functional>

namespace discord {

// Streaming thread of the element's sink pad; empty while there is no session upstream.
class CallView {
 public:
  // `changed` is called by whoever changes the call, on its thread: it must only wake somebody up.
  explicit CallView(std::function<void()> changed) : changed_(std::move(changed)) {}
  ~CallView() { drop(); }
  CallView(const CallView&) = delete;
  CallView& operator=(const CallView&) = delete;

  // Asks upstream.
  void find(GstPad* sinkpad);
  void drop();
  explicit operator bool() const noexcept { return static_cast<bool>(session_); }
  GstDiscordSession* session() const noexcept { return session_.get(); }

  // Whether it has changed since `take`; two atomic loads.
  bool news() const;
  // The call as it is for packets that come from now on, if that is news.
  CallState::SnapshotPtr take();
  // Nothing has been taken yet, and nothing is on its way.
  void reset() noexcept;
  // True for the event that ends a connection (`ConnectionOrder`): ask `take` again.
  bool left(GstEvent* event) noexcept;

  void report_undecryptable(std::uint64_t user_id);
  // Now and then tells the source how much could be opened; `ledger()` is asked for only then.
  template <class Ledger> void report(Time now, Ledger&& ledger) {
    if (session_ && report_.due(now)) {
      report_.tell(ledger(), call_state(session_.get()));
    }
  }
  void reset_report() noexcept { report_.reset(); }

 private:
  std::function<void()> changed_;
  GObjectPtr<GstDiscordSession> session_;
  std::uint64_t listener_ = 0;
  std::uint64_t seen_ = 0;
  ConnectionOrder order_;
  OpenReport report_;
};

}  // namespace discord
