// What every file of a recording has in common: a bin of its own state, a writer, and a fate.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/recordchain.hpp"
#include "elements/trackwriter.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace discord {

// How the files of a recording are made; the same for all of them.
struct OutputSettings {
  Format format = Format::wav;
  Layout layout = Layout::Tracks;
  ObjectPtr<GstElement> encoder;  // whose settings are copied; none where nothing is encoded
  unsigned bitrate = default_bitrate;
  bool from_first = false;  // align=speaker
  bool matroska = false;    // no file for each: one is made of the journal at the end
  bool live = false;        // a live stream is never held up: a full queue drops
  GstClockTime zero = 0;    // running time at which the recording starts
  std::uint64_t riff_limit = record::default_riff_limit;
  DiskPtr disk;
};
using OutputSettingsPtr = std::shared_ptr<const OutputSettings>;

// What the ledger of a file counts; written by the streaming thread, read by anyone.
struct OutputCounts {
  std::atomic<guint64> buffers = 0;
  std::atomic<guint64> silence = 0;    // of these, that say nothing
  std::atomic<guint64> lost = 0;       // announced
  std::atomic<guint64> recovered = 0;  // lost frames that came decoded: FEC
  std::atomic<guint64> concealed = 0;  // PLC
  std::atomic<guint64> gaps = 0;
  std::atomic<guint64> dropped = 0;
};

class RecordOutput : public std::enable_shared_from_this<RecordOutput> {
 public:
  // `offset`: samples between the start of the recording and that of this file; `part` counts from
  // 1. `bin` is added to `parent`, with a state of its own, so that a recording drains while the
  // pipeline is paused or going down.
  RecordOutput(GstBin* parent, const std::string& bin_name, OutputSettingsPtr settings,
               std::int64_t offset, unsigned part);
  virtual ~RecordOutput() = default;
  RecordOutput(const RecordOutput&) = delete;
  RecordOutput& operator=(const RecordOutput&) = delete;

  // Creates the file and the elements, and lets the data go. The error is a sentence. `failed` is
  // called in a streaming thread when the file cannot be written any more.
  virtual std::optional<std::string> build(const RecordFolder& folder,
                                           std::function<void()> failed) = 0;
  // Stops the branch, takes it out of the parent and completes the file. Not on a thread of the
  // branch. After this only the accessors below.
  void close() EXCLUDES(mutex_);

  // From any thread: what arrives from now on is thrown away, for the branch is broken. True for
  // the first caller.
  bool give_up() { return !given_up_.exchange(true); }
  bool given_up() const { return given_up_; }
  bool closed() const { return closed_; }
  // Once closed: whether there is a file.
  bool kept() const { return kept_; }

  GstElement* bin() const { return bin_.get(); }
  // Empty before the file exists.
  std::string path() const EXCLUDES(mutex_);
  std::uint64_t bytes() const EXCLUDES(mutex_);
  // errno of what ended the writing, or kept it from beginning; or 0.
  int error() const EXCLUDES(mutex_);
  // Somebody took the file away.
  bool deleted() const EXCLUDES(mutex_);
  const OutputCounts& counts() const { return counts_; }
  std::int64_t offset() const { return offset_; }
  unsigned part() const { return part_; }

  // Of the track; of one that could not be written on, what is in the file.
  std::uint64_t samples() const EXCLUDES(mutex_);
  GstClockTime duration() const { return gst_util_uint64_scale(samples(), GST_SECOND, 48000); }
  virtual guint32 ssrc() const { return 0; }
  virtual guint64 user_id() const { return 0; }
  virtual std::string name() const { return {}; }
  // For messages: the user's id or the SSRC.
  virtual std::string who() const = 0;

 protected:
  virtual std::uint64_t produced() const = 0;  // samples
  // Before the bin stops: nothing more comes to it, for what a stopped one refuses nobody counts.
  virtual void unlink() {}
  // The last call before the bin goes.
  virtual void detach() {}
  std::optional<std::string> open_file(const RecordFolder& folder, const std::string& stem,
                                       const record::TrackTags& tags) EXCLUDES(mutex_);
  std::shared_ptr<TrackWriter> writer() const EXCLUDES(mutex_);

  const OutputSettingsPtr settings_;
  GstBin* const parent_;
  const std::int64_t offset_;
  const unsigned part_;
  ObjectPtr<GstElement> bin_;
  OutputCounts counts_;

 private:
  std::atomic<bool> closed_ = false;
  std::atomic<bool> kept_ = false;
  std::atomic<bool> given_up_ = false;
  std::atomic<int> open_error_ = 0;
  mutable Mutex mutex_;
  std::shared_ptr<TrackWriter> writer_ GUARDED_BY(mutex_);
};
using OutputPtr = std::shared_ptr<RecordOutput>;

}  // namespace discord
