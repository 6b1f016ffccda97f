// Where in the stream one voice connection ends and the next one begins.
#pragma once

#include "discord/call_state.hpp"
#include "discord/gstptr.hpp"

#include <gst/gst.h>
#include <cstdint>

namespace discord {

// Sticky, so that it reaches also who is linked late: no datagram of this connection, nor of one
// before it, comes any more.
EventPtr connection_left_event(std::uint64_t connection);

// The control thread publishes the next connection while datagrams of the one before are still on
// their way down the stream: its keys must not be used for them. Of one element that opens packets;
// its streaming thread.
class ConnectionOrder {
 public:
  // Whether this view is about packets that come from now on. If not, ask again after `take`.
  bool reached(const CallSnapshot& call) noexcept;
  // True for the event above, which is of no use to anybody further downstream.
  bool take(GstEvent* event) noexcept;
  // Nothing is on its way any more: the next view is applied at once.
  void reset() noexcept { *this = ConnectionOrder(); }

 private:
  std::uint64_t applied_ = 0;
  std::uint64_t left_ = 0;
};

}  // namespace discord
