// The request pad on which an element offers RTCP, beside the media.
#pragma once

#include "discord/gstptr.hpp"

#include <vector>

namespace discord {

// At most one pad, `rtcp_src`. RTCP is on the side: nothing that happens on its branch stops the
// media. `request` and `release` from any thread; the rest from one thread at a time. `media` is a
// pad of the element that carries the media, whose stream and segment those of RTCP are.
class RtcpBranch {
 public:
  explicit RtcpBranch(GstElement* element) : element_(element) {}

  // The new pad, already on the element; nullptr when there is one.
  GstPad* request(GstPadTemplate* templ);
  void release(GstPad* pad);

  // Tells the branch the SEGMENT `event` of `media`, and first what kind of stream it is.
  void segment(GstPad* media, GstEvent* event);
  // Pushes compounds, each one buffer. Without a pad nobody wants them.
  void push(GstPad* media, std::vector<BufferPtr> compounds);

 private:
  ObjectPtr<GstPad> pad();

  GstElement* element_;
  GstPad* pad_ = nullptr;  // object lock of the element; the element owns it
};

}  // namespace discord
