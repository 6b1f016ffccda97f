// `discordworkerdec` between two bare pads: what it costs is neither hidden by a source nor by a
// sink.
#pragma once

#include "base/mutex.hpp"
#include "corpus.hpp"
#include "discord/gstptr.hpp"

#include <condition_variable>
#include <string>

namespace discord::bench {

// Datagrams as a source hands them on: buffer lists of up to 32, made once.
class Lists {
 public:
  Lists(const std::vector<corpus::Datagram>& datagrams, std::size_t each);
  const std::vector<BufferListPtr>& all() const { return lists_; }

 private:
  std::vector<BufferListPtr> lists_;
};

class Chain {
 public:
  // `properties` of the element as gst-launch takes them. Live: the element follows the system
  // clock and never makes the caller wait.
  Chain(const std::string& properties, bool live);
  ~Chain();
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  void push(GstBufferList* list);
  // Sends EOS and waits until it has come through.
  void finish();
  std::uint64_t samples() const;
  std::uint64_t stat(const char* name) const;
  GstClockTime running_time() const;

 private:
  static GstFlowReturn take(GstPad* pad, GstObject* parent, GstBuffer* buffer);
  static gboolean event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean query(GstPad* pad, GstObject* parent, GstQuery* query);

  bool live_;
  ObjectPtr<GstElement> element_;
  ObjectPtr<GstPad> in_;
  ObjectPtr<GstPad> out_;
  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t samples_ = 0;
  bool ended_ GUARDED_BY(mutex_) = false;
};

}  // namespace discord::bench
