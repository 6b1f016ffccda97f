// What follows an element that gives all speakers on one pad.
#pragma once

#include <gst/gst.h>
#include <optional>
#include <string>

namespace discord {

// The name of a sink behind `pad` that takes the samples of all speakers for one sound, such as
// filesink or autoaudiosink, where no element of ours separates them before. Nothing when one of
// ours follows, when an application takes the buffers itself (appsink, fakesink), or when nothing
// is linked.
std::optional<std::string> sink_of_mixed_up_speakers(GstPad* pad);

}  // namespace discord
