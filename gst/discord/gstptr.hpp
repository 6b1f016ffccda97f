// Owners for GStreamer and GLib handles: one type a handle, released where it leaves scope.
#pragma once

#include <gst/gst.h>
#include <memory>

namespace discord {

template <auto Release> struct Releaser {
  template <class T> void operator()(T* p) const noexcept { Release(p); }
};

// The unref functions of miniobjects are inline functions or macros, so each gets a plain name.
inline void release_buffer(GstBuffer* p) noexcept {
  gst_buffer_unref(p);
}
inline void release_buffer_list(GstBufferList* p) noexcept {
  gst_buffer_list_unref(p);
}
inline void release_caps(GstCaps* p) noexcept {
  gst_caps_unref(p);
}
inline void release_event(GstEvent* p) noexcept {
  gst_event_unref(p);
}
inline void release_query(GstQuery* p) noexcept {
  gst_query_unref(p);
}
inline void release_context(GstContext* p) noexcept {
  gst_context_unref(p);
}
inline void release_message(GstMessage* p) noexcept {
  gst_message_unref(p);
}
inline void release_object(gpointer p) noexcept {
  gst_object_unref(p);
}
inline void release_gobject(gpointer p) noexcept {
  g_object_unref(p);
}

using BufferPtr = std::unique_ptr<GstBuffer, Releaser<release_buffer>>;
using BufferListPtr = std::unique_ptr<GstBufferList, Releaser<release_buffer_list>>;
using CapsPtr = std::unique_ptr<GstCaps, Releaser<release_caps>>;
using EventPtr = std::unique_ptr<GstEvent, Releaser<release_event>>;
using QueryPtr = std::unique_ptr<GstQuery, Releaser<release_query>>;
using ContextPtr = std::unique_ptr<GstContext, Releaser<release_context>>;
using MessagePtr = std::unique_ptr<GstMessage, Releaser<release_message>>;
using StructurePtr = std::unique_ptr<GstStructure, Releaser<gst_structure_free>>;
using GCharPtr = std::unique_ptr<gchar, Releaser<g_free>>;
using GErrorPtr = std::unique_ptr<GError, Releaser<g_error_free>>;

// For GstObjects (elements, pads, clocks) and for other GObjects.
template <class T> using ObjectPtr = std::unique_ptr<T, Releaser<release_object>>;
template <class T> using GObjectPtr = std::unique_ptr<T, Releaser<release_gobject>>;

template <class T> ObjectPtr<T> ref_object(T* object) {
  return ObjectPtr<T>(static_cast<T*>(gst_object_ref(object)));
}

// A mapped buffer, unmapped at the end of the scope. Test it before use: mapping can fail.
class MappedBuffer {
 public:
  MappedBuffer(GstBuffer* buffer, GstMapFlags flags) noexcept
      : buffer_(buffer), mapped_(gst_buffer_map(buffer, &info_, flags) != FALSE) {}
  ~MappedBuffer() {
    if (mapped_) {
      gst_buffer_unmap(buffer_, &info_);
    }
  }
  MappedBuffer(const MappedBuffer&) = delete;
  MappedBuffer& operator=(const MappedBuffer&) = delete;

  explicit operator bool() const noexcept { return mapped_; }
  guint8* data() const noexcept { return info_.data; }
  gsize size() const noexcept { return info_.size; }

 private:
  GstBuffer* buffer_;
  GstMapInfo info_ = GST_MAP_INFO_INIT;
  bool mapped_;
};

}  // namespace discord
