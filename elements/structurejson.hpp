// A GstStructure as JSON, for records that programs read.
#pragma once

#include <gst/gst.h>
#include <nlohmann/json_fwd.hpp>

namespace discord {

// Numbers, truth values, texts, and structures and lists of them; what else there may be is left
// out. Ids (a field `user-id` or `...-id`) are texts, since numbers of JavaScript lose their last
// digits.
nlohmann::json json_of(const GstStructure* structure);

}  // namespace discord
