// The programs of the build folder find the plugin next to themselves.
#pragma once

namespace pipelines {

// Makes the elements of this project known when GStreamer does not find them by itself: looks in
// ../elements, seen from the program. True when they are there.
bool find_plugin();

}  // namespace pipelines
