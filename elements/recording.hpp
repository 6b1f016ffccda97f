// One recording of discordrecordsink: its folder, its branches, and the thread that opens and
// closes their files.
#pragma once

#include "base/mutex.hpp"
#include "elements/journaltap.hpp"
#include "elements/recordbranch.hpp"
#include "elements/recordfile.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace discord {

// What the properties of the element ask for.
struct RecordSettings {
  std::string location;
  bool flat = false;
  RecordFormat format = RecordFormat::Wav;
  guint bitrate = 128;
  bool journal = false;
};

class Recording {
 public:
  // All three outlive this. `last_sink` gets EOS once the stream has ended and every file is
  // complete.
  Recording(GstBin* bin, GstElement* demux, GstElement* last_sink);
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // Whether a recording with these settings can be made; otherwise an error is on the bus.
  bool possible(const RecordSettings& settings) const;
  // Makes the folder and starts the thread. False with an error on the bus.
  bool start(const RecordSettings& settings) EXCLUDES(mutex_);
  // The running time at which the pipeline began to play: time zero of a live recording.
  void played(GstClockTime running_time) EXCLUDES(mutex_);
  // Completes the files when the state goes down without EOS. The streaming thread may still push.
  void finish_files() EXCLUDES(mutex_);
  // Ends the thread. Nothing streams any more.
  void stop() EXCLUDES(mutex_);

  // Streaming thread: the demux has a new pad; the stream has ended.
  void add_speaker(GstPad* pad) EXCLUDES(mutex_);
  void stream_ended(guint32 seqnum) EXCLUDES(mutex_);
  // Any thread: notes this moment in the journal.
  void mark(const std::string& label) EXCLUDES(mutex_);
  // Takes a message of a branch, which fails or ends alone. False: it concerns the whole and is
  // still the caller's.
  bool take_message(GstMessage* message) EXCLUDES(mutex_);

  GstStructure* stats() const EXCLUDES(mutex_);

 private:
  using BranchPtr = std::shared_ptr<RecordBranch>;

  static gpointer manager_main(gpointer self);
  void manage() EXCLUDES(mutex_);
  void post_job(std::function<void()> job) EXCLUDES(mutex_);
  void build_branch(const BranchPtr& branch) EXCLUDES(mutex_);
  void close_branch(const BranchPtr& branch, bool complete) EXCLUDES(mutex_);
  void end_when_done() EXCLUDES(mutex_);
  bool start_journal(const RecordSettings& settings);
  void finish_journal() EXCLUDES(mutex_);
  void cook(const std::string& journal) EXCLUDES(mutex_);
  const BranchSettings& common_settings() EXCLUDES(mutex_);
  BranchSettings decide_settings() const EXCLUDES(mutex_);
  BranchPtr branch_of(GstObject* object) const EXCLUDES(mutex_);
  void contain(const BranchPtr& branch, GstMessage* message) EXCLUDES(mutex_);
  void warn(const RecordBranch& branch, const GError* cause, const std::string& reason,
            const gchar* debug) const;
  void post_file_message(const RecordBranch& branch) const;

  GstBin* const bin_;
  GstElement* const demux_;
  GstElement* const last_sink_;

  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::vector<BranchPtr> branches_ GUARDED_BY(mutex_);
  std::deque<std::function<void()>> jobs_ GUARDED_BY(mutex_);
  bool quit_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::optional<guint32> eos_seqnum_ GUARDED_BY(mutex_);
  bool eos_sent_ GUARDED_BY(mutex_) = false;
  GstClockTime played_at_ GUARDED_BY(mutex_) = GST_CLOCK_TIME_NONE;
  guint files_ GUARDED_BY(mutex_) = 0;
  guint failed_ GUARDED_BY(mutex_) = 0;
  GstClockTime longest_ GUARDED_BY(mutex_) = 0;  // of the tracks that are complete

  // Written while nothing streams.
  RecordSettings settings_;
  RecordFolder folder_;
  GThread* manager_ = nullptr;

  // Streaming thread only: what the first speaker decided for all.
  std::optional<BranchSettings> branch_settings_;

  std::shared_ptr<JournalTap> journal_ GUARDED_BY(mutex_);
};

}  // namespace discord
