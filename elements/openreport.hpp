// Tells the source of a call, now and then, how much of the audio could be opened.
#pragma once

#include "base/time.hpp"
#include "discord/call_state.hpp"
#include "media/ledger.hpp"

namespace discord {

// Of one element that opens packets; its streaming thread.
class OpenReport {
 public:
  static constexpr Duration interval = std::chrono::seconds(1);

  // Another ledger, which begins at zero.
  void reset() noexcept { *this = OpenReport(); }
  // Adding a ledger up costs something, so it is not done for each packet.
  bool due(Time now) noexcept {
    if (next_ && now < *next_) {
      return false;
    }
    next_ = now + interval;
    return true;
  }
  void tell(const media::Ledger& ledger, CallState& call) noexcept {
    const std::uint64_t opened = ledger.opened();
    const std::uint64_t unopened = ledger.unopened();
    // What waits may come to be opened, so the second can go down as well.
    call.note_opened(opened > opened_ ? opened - opened_ : 0,
                     unopened > unopened_ ? unopened - unopened_ : 0);
    opened_ = opened;
    unopened_ = unopened;
  }

 private:
  Deadline next_;
  std::uint64_t opened_ = 0;
  std::uint64_t unopened_ = 0;
};

}  // namespace discord
