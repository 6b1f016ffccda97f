// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/downstream.hpp"

#include "discord/gstptr.hpp"

#include <string_view>

namespace discord {

namespace {

// No pipeline is that deep; a loop of elements would be.
constexpr int max_depth = 64;

std::string_view type_name(GstObject* object) {
  return G_OBJECT_TYPE_NAME(object);
}

std::optional<std::string> search(GstPad* pad, int depth) {
  const ObjectPtr<GstPad> peer(gst_pad_get_peer(pad));
  if (!peer || depth == 0) {
    return std::nullopt;
  }
  if (GST_IS_PROXY_PAD(peer.get())) {
    // Into a bin, or out of one: the pad on the other side of the ghost pad. A bin of ours is a
    // place of its own.
    const ObjectPtr<GstObject> owner(gst_object_get_parent(GST_OBJECT(peer.get())));
    if (owner && type_name(owner.get()).starts_with("GstDiscord")) {
      return std::nullopt;
    }
    const ObjectPtr<GstPad> inner(GST_PAD(gst_proxy_pad_get_internal(GST_PROXY_PAD(peer.get()))));
    return inner ? search(inner.get(), depth - 1) : std::nullopt;
  }
  const ObjectPtr<GstElement> element(gst_pad_get_parent_element(peer.get()));
  if (!element) {
    return std::nullopt;
  }
  const std::string_view type = type_name(GST_OBJECT(element.get()));
  if (type.starts_with("GstDiscord") || type == "GstAppSink" || type == "GstFakeSink") {
    return std::nullopt;
  }
  if (GST_OBJECT_FLAG_IS_SET(element.get(), GST_ELEMENT_FLAG_SINK)) {
    const GCharPtr name(gst_element_get_name(element.get()));
    return std::string(name.get());
  }
  // queue, identity, tee, …: whatever is behind any of its pads.
  std::optional<std::string> found;
  GstIterator* pads = gst_element_iterate_src_pads(element.get());
  GValue item = G_VALUE_INIT;
  while (!found && gst_iterator_next(pads, &item) == GST_ITERATOR_OK) {
    found = search(GST_PAD(g_value_get_object(&item)), depth - 1);
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(pads);
  return found;
}

}  // namespace

std::optional<std::string> sink_of_mixed_up_speakers(GstPad* pad) {
  return search(pad, max_depth);
}

}  // namespace discord
