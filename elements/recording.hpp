// One recording of discordrecordsink: its folder, its files, and the thread that opens and closes
// them.
#pragma once

#include "base/mutex.hpp"
#include "discord/call_state.hpp"
#include "discord/gstdiscordsession.h"
#include "elements/jobthread.hpp"
#include "elements/recordbranch.hpp"
#include "elements/recordjournal.hpp"
#include "elements/recordsettings.hpp"

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace discord {

class Recording {
 public:
  // All three outlive this. `last_sink` gets EOS once the stream has ended and every file is
  // complete.
  Recording(GstBin* bin, GstElement* demux, GstElement* last_sink);
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // Makes the folder and starts the thread. `encoder`: the element whose settings every encoder
  // gets, or none. False with an error on the bus.
  bool start(const RecordSettings& settings, GstElement* encoder) EXCLUDES(mutex_);
  // The running time at which the pipeline began to play: time zero of a live recording.
  void played(GstClockTime running_time) EXCLUDES(mutex_);
  // Completes the files when the state goes down without EOS. The streaming thread may still push.
  void finish_files() EXCLUDES(mutex_);
  // Ends the thread. Nothing streams any more.
  void stop() EXCLUDES(mutex_);

  // Streaming thread: the demux has a new pad; the stream has ended.
  void add_speaker(GstPad* pad) EXCLUDES(mutex_);
  void stream_ended(guint32 seqnum) EXCLUDES(mutex_);
  // Takes a message of a branch, which fails or ends alone. False: it concerns the whole and is
  // still the caller's.
  bool take_message(GstMessage* message) EXCLUDES(mutex_);

  // From any thread; before the start they wait for it.
  void mark(const std::string& label) EXCLUDES(mutex_);
  void set_gain(guint64 user, double gain) EXCLUDES(mutex_);

  GstStructure* stats() const EXCLUDES(mutex_);

 private:
  using BranchPtr = std::shared_ptr<RecordBranch>;
  // A track that waits for the disk to take files again.
  struct Waiting {
    ObjectPtr<GstPad> pad;  // none: the mix
    SpeakerLogPtr log;
    unsigned part;
  };

  std::chrono::milliseconds tick() EXCLUDES(mutex_);
  void look_at_disk() EXCLUDES(mutex_);
  void build(const OutputPtr& output) EXCLUDES(mutex_);
  void close(const OutputPtr& output) EXCLUDES(mutex_);
  void end_when_done() EXCLUDES(mutex_);
  void file_failed(const OutputPtr& output) EXCLUDES(mutex_);
  static bool is_full(int error);
  void interrupt(const OutputPtr& output, const std::string& reason) EXCLUDES(mutex_);
  static void count_unwritten(GstPad* pad, const SpeakerLogPtr& log);
  void resume() EXCLUDES(mutex_);
  bool folder_there() EXCLUDES(mutex_);
  // False when its file could not be made.
  bool start_mix(unsigned part, std::int64_t offset) EXCLUDES(mutex_);
  void write_record(bool complete) EXCLUDES(mutex_);
  StructurePtr ledgers();
  void begin_record() EXCLUDES(mutex_);
  void finish_journal() EXCLUDES(mutex_);
  bool is_denied(guint64 user) const;
  void on_news(const CallNews& news) EXCLUDES(mutex_);
  std::int64_t now() const EXCLUDES(mutex_);
  std::shared_ptr<const BranchContext> context() const EXCLUDES(mutex_);
  void note_file(const OutputPtr& output, bool complete);
  OutputSettingsPtr decide_settings() const EXCLUDES(mutex_);
  std::shared_ptr<const BranchContext> common_context() EXCLUDES(mutex_);
  OutputPtr output_of(GstObject* object) const EXCLUDES(mutex_);
  void contain(const OutputPtr& output, GstMessage* message) EXCLUDES(mutex_);
  bool others_go_on(const OutputPtr& output) const EXCLUDES(mutex_);

  GstBin* const bin_;
  GstElement* const last_sink_;
  const ObjectPtr<GstPad> demux_sink_;
  JobThread manager_;
  RecordJournal journal_;

  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::vector<OutputPtr> outputs_ GUARDED_BY(mutex_);
  std::vector<Waiting> waiting_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::optional<guint32> eos_seqnum_ GUARDED_BY(mutex_);
  bool mix_ended_ GUARDED_BY(mutex_) = false;
  bool eos_sent_ GUARDED_BY(mutex_) = false;
  GstClockTime played_at_ GUARDED_BY(mutex_) = GST_CLOCK_TIME_NONE;
  guint files_ GUARDED_BY(mutex_) = 0;
  guint failed_ GUARDED_BY(mutex_) = 0;
  GstClockTime longest_ GUARDED_BY(mutex_) = 0;  // where the last of the complete files ends
  bool waited_for_space_ GUARDED_BY(mutex_) = false;
  std::map<guint64, double> gains_ GUARDED_BY(mutex_);
  std::vector<std::string> early_marks_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;
  // What the first packet decided for all; none before.
  std::shared_ptr<const BranchContext> context_ GUARDED_BY(mutex_);

  // Written while nothing streams.
  RecordSettings settings_;
  ObjectPtr<GstElement> encoder_;
  GObjectPtr<GstDiscordSession> session_;
  std::uint64_t news_id_ = 0;
  std::string started_at_;
  std::string folder_name_;

  // The manager's.
  RecordFolder folder_;
  SessionRecord record_;
  bool record_begun_ = false;
  std::int64_t record_length_ = -1;
  guint64 ledgers_off_ = 0;
  bool matroska_made_ = false;
};

}  // namespace discord
