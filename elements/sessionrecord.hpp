// What `session.json` beside the files of a recording says: who spoke when, what was lost, who came
// and went.
#pragma once

#include "base/mutex.hpp"
#include "elements/recordfile.hpp"
#include "elements/recordoutput.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace discord {

// One speaker, through all files and SSRCs. Samples count from the start of the recording. Written
// by the streaming thread, read by anyone.
class SpeakerLog {
 public:
  struct File {
    std::string name;
    std::int64_t offset = 0;
    std::uint64_t samples = 0;
    bool complete = false;
  };
  struct Counts {
    guint64 packets = 0;
    guint64 silence = 0;
    guint64 lost = 0;
    guint64 recovered = 0;
    guint64 concealed = 0;
    guint64 dropped = 0;
  };
  using Span = std::pair<std::int64_t, std::int64_t>;

  // Who; called again when more is known.
  void identify(guint64 user, guint32 ssrc, const std::string& name) EXCLUDES(mutex_);
  void packet(std::int64_t begin, std::int64_t end, bool silence) EXCLUDES(mutex_);
  void loss(std::int64_t begin, std::int64_t end) EXCLUDES(mutex_);
  // A file was begun, or is complete.
  void file(const File& file) EXCLUDES(mutex_);
  // It was taken away again, for there is nothing in it.
  void no_file(const std::string& name) EXCLUDES(mutex_);
  void add(const OutputCounts& counts) EXCLUDES(mutex_);
  // Packets came while there was no file.
  void unwritten(guint64 packets) EXCLUDES(mutex_);

  // One line for a person.
  std::string verdict(const OutputCounts* open) const EXCLUDES(mutex_);

  struct View {
    guint64 user = 0;
    std::string name;
    std::vector<guint32> ssrcs;
    std::vector<Span> spurts;
    std::vector<Span> losses;
    std::vector<File> files;
    Counts counts;
  };
  View view() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  View all_ GUARDED_BY(mutex_);
  bool speaking_ GUARDED_BY(mutex_) = false;
};
using SpeakerLogPtr = std::shared_ptr<SpeakerLog>;

// Adds what a file counted up to now.
void add_counts(SpeakerLog::Counts& to, const OutputCounts& counts);

// A session record without one user.
struct SessionWithout {
  std::string text;                // the record anew
  std::vector<std::string> files;  // that were the user's alone, by name
};
// Without the user and all that happened to them, and without speakers nobody knew who had the same
// SSRC. None where this is no session record, or none with the user in it.
std::optional<SessionWithout> session_without(const std::string& text, guint64 user);

class SessionRecord {
 public:
  struct Event {
    std::int64_t sample = 0;
    std::string what;  // joined, left, mark, encryption, disk-full, ...
    guint64 user = 0;
    std::string text;         // label or privacy code
    std::int64_t number = 0;  // version of the encryption
    guint64 epoch = 0;
  };

  // Forgets everything.
  void reset() EXCLUDES(mutex_);
  // Takes a name in the folder. The error is a sentence.
  std::string begin(const RecordFolder& folder, const std::string& started,
                    const OutputSettings& settings) EXCLUDES(mutex_);
  void event(Event event) EXCLUDES(mutex_);
  // Of whom there are events and no sound.
  std::set<guint64> unheard() const EXCLUDES(mutex_);
  // Their events.
  void forget(guint64 user) EXCLUDES(mutex_);
  SpeakerLogPtr speaker() EXCLUDES(mutex_);
  std::vector<SpeakerLogPtr> speakers() const EXCLUDES(mutex_);

  // Writes the file anew, all of it or nothing. `open`: the counts of files not complete yet, by
  // speaker. `ledgers`: what the elements upstream counted, by element; their speakers one by one
  // only in a complete record. False when it could not be written.
  using Open = std::vector<std::pair<SpeakerLogPtr, const OutputCounts*>>;
  bool write(const RecordFolder& folder, std::int64_t length, const Open& open,
             const GstStructure* ledgers, bool complete) EXCLUDES(mutex_);
  std::string name() const EXCLUDES(mutex_);
  std::size_t bytes() const { return bytes_; }

 private:
  mutable Mutex mutex_;
  std::string name_ GUARDED_BY(mutex_);
  std::string started_ GUARDED_BY(mutex_);
  std::string format_ GUARDED_BY(mutex_);
  std::string layout_ GUARDED_BY(mutex_);
  std::string align_ GUARDED_BY(mutex_);
  std::vector<Event> events_ GUARDED_BY(mutex_);
  std::vector<SpeakerLogPtr> speakers_ GUARDED_BY(mutex_);
  std::atomic<std::size_t> bytes_ = 0;
};

}  // namespace discord
