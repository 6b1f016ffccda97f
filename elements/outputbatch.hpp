// What an element will push, collected under its lock and pushed without it.
#pragma once

#include "discord/gstptr.hpp"

#include <variant>
#include <vector>

namespace discord {

// The buffers of a list that a pad was given.
std::vector<BufferPtr> take_buffers(BufferListPtr list);

// Buffers and events for one source pad, in order, and messages for the bus.
class OutputBatch {
 public:
  void add(BufferPtr buffer) { items_.emplace_back(std::move(buffer)); }
  void add(EventPtr event) { items_.emplace_back(std::move(event)); }
  void add(MessagePtr message) { messages_.push_back(std::move(message)); }
  bool empty() const noexcept { return items_.empty() && messages_.empty(); }

  // Posts the messages on `element` and pushes the rest through `pad`, neighbouring buffers as one
  // list. The caller holds the stream lock of the sink pad and no other. Empty afterwards.
  GstFlowReturn push(GstElement* element, GstPad* pad);

 private:
  std::vector<std::variant<BufferPtr, EventPtr>> items_;
  std::vector<MessagePtr> messages_;
};

}  // namespace discord
