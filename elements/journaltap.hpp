// What goes into the journal of a recording, taken from the stream in front of its demux.
#pragma once

#include "discord/gstptr.hpp"
#include "elements/journalwriter.hpp"

#include <gst/gst.h>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace discord {

// Opus packets come from RTP, or from the meta of decoded frames. Custom events, out of band or in
// the stream, tell of people (`discord-user-info`, `discord-user-joined`, `discord-user-left`) and
// of the encryption (`discord-e2ee`).
class JournalTap {
 public:
  // What the first packet decides.
  struct Zero {
    GstClockTime running_time = 0;  // of position 0
    bool live = false;
  };
  // `pad` is a sink pad of `owner` or of something in it, in READY. `zero` is asked once, in the
  // streaming thread. The error is a sentence.
  static Result<std::unique_ptr<JournalTap>, std::string> create(GstElement* owner, GstPad* pad,
                                                                 const RecordFolder& folder,
                                                                 std::function<Zero()> zero);
  ~JournalTap();
  JournalTap(const JournalTap&) = delete;
  JournalTap& operator=(const JournalTap&) = delete;

  // Any thread.
  void mark(const std::string& label);
  // Not in the streaming thread: it waits for the disk. `length` of the tracks, where it is known;
  // a journal without it was cut off. Only the first call does something.
  void finish(std::optional<GstClockTime> length);
  // Where the last packet ends.
  GstClockTime length() const;

  const std::string& path() const { return writer_->path(); }
  // A structure `journal` with `path`, `bytes`, `num-records`, `num-dropped`, `failing`.
  GstStructure* stats() const;

 private:
  struct Voice;

  JournalTap(GstElement* owner, GstPad* pad, std::function<Zero()> zero);
  static GstPadProbeReturn on_data(GstPad* pad, GstPadProbeInfo* info, gpointer self);
  void buffer(GstBuffer* buffer);
  void event(GstEvent* event);
  struct Early;
  void told(const GstStructure* structure);
  Early early(record::JournalEvent event) const;
  void happened(Early happening) EXCLUDES(mutex_);
  void named(guint64 user, const std::string& name) EXCLUDES(mutex_);
  void came_or_went(guint64 user, Early happening) EXCLUDES(mutex_);
  // The name of somebody whose first packet is here.
  std::string heard(guint64 user) EXCLUDES(mutex_);
  void lost(const GstStructure* structure);
  void start() EXCLUDES(mutex_);
  // Position of a time in the stream; none outside the segment.
  std::optional<std::int64_t> position(GstClockTime stream_time) const;
  std::int64_t now() const;
  void voice(const record::JournalPacket& packet, std::int64_t duration);

  GstElement* const owner_;
  ObjectPtr<GstPad> pad_;
  const std::function<Zero()> ask_zero_;
  gulong probe_ = 0;
  std::unique_ptr<JournalWriter> writer_;
  std::atomic<bool> finished_ = false;

  struct Early {
    GstClockTime running_time;
    record::JournalEvent event;
  };
  // Nothing of somebody is written as long as they may turn out not to be heard, and no name of
  // somebody who says nothing.
  struct Person {
    std::string name;
    bool heard = false;
    std::vector<Early> waiting;
  };
  Mutex mutex_;
  std::vector<Early> early_ GUARDED_BY(mutex_);
  std::map<guint64, Person> people_ GUARDED_BY(mutex_);

  // Of the streaming thread; the zero is read by others once `started_` is set.
  GstSegment segment_;
  bool raw_ = false;
  Zero zero_;
  std::atomic<bool> started_ = false;
  std::map<std::uint32_t, Voice> voices_;
  std::atomic<std::int64_t> end_ = 0;
};

}  // namespace discord
