// The beginning or the end of a talk spurt, as the elements that decrypt tell it.
#pragma once

#include "base/time.hpp"
#include "discord/gstptr.hpp"

#include <cstdint>

namespace discord {

struct SpeakingNews {
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;  // 0: not known
  bool speaking = false;
  Time when{};  // running time
};

// For the bus.
MessagePtr speaking_message(GstElement* element, const SpeakingNews& news);
// The same for whoever has a pad for that speaker downstream.
EventPtr speaking_event(const SpeakingNews& news);

}  // namespace discord
