// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/outputbatch.hpp"

#include <utility>

namespace discord {

std::vector<BufferPtr> take_buffers(BufferListPtr list) {
  std::vector<BufferPtr> buffers;
  const guint count = gst_buffer_list_length(list.get());
  buffers.reserve(count);
  for (guint i = 0; i < count; i++) {
    buffers.emplace_back(gst_buffer_ref(gst_buffer_list_get(list.get(), i)));
  }
  // Where nobody else has the list its references end here, so the buffers are writable in place.
  list.reset();
  return buffers;
}

GstFlowReturn OutputBatch::push(GstElement* element, GstPad* pad) {
  // The vectors are moved out first: a message handler may cause the next batch.
  auto messages = std::exchange(messages_, {});
  auto items = std::exchange(items_, {});
  for (MessagePtr& message : messages) {
    gst_element_post_message(element, message.release());
  }
  GstFlowReturn flow = GST_FLOW_OK;
  for (std::size_t i = 0; i < items.size() && flow == GST_FLOW_OK;) {
    if (auto* event = std::get_if<EventPtr>(&items[i])) {
      gst_pad_push_event(pad, event->release());
      i++;
      continue;
    }
    std::size_t end = i + 1;
    while (end < items.size() && std::holds_alternative<BufferPtr>(items[end])) {
      end++;
    }
    if (end == i + 1) {
      flow = gst_pad_push(pad, std::get<BufferPtr>(items[i]).release());
    } else {
      GstBufferList* list = gst_buffer_list_new_sized(static_cast<guint>(end - i));
      for (std::size_t k = i; k < end; k++) {
        gst_buffer_list_add(list, std::get<BufferPtr>(items[k]).release());
      }
      flow = gst_pad_push_list(pad, list);
    }
    i = end;
  }
  return flow;
}

}  // namespace discord
