// Writes the journal of a recording to its file, on a thread of its own.
#pragma once

#include "base/mutex.hpp"
#include "elements/recordfile.hpp"
#include "record/journal.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace discord {

// How it reaches the disk; tests put a slow or full one in its place. Errors as in errno.
struct JournalDisk {
  std::function<ssize_t(int fd, const void* bytes, std::size_t size, std::int64_t at)> write;
  std::function<int(int fd)> sync;
  static JournalDisk real();
};

// Whoever appends never waits for the disk: what has not been written lies in a buffer, and when
// that is full, packets are dropped and counted. All methods may be called from any thread.
class JournalWriter {
 public:
  struct Settings {
    std::size_t capacity = 8 << 20;                 // bytes that wait for the disk
    std::chrono::milliseconds gather{20};           // between two writes
    std::chrono::milliseconds sync_interval{1000};  // and two syncs; also between tries
    JournalDisk disk = JournalDisk::real();
    // A sentence when writing fails for the first time, and when it works again. Called on the
    // thread of the writer.
    std::function<void(bool works, const std::string& sentence)> trouble;
  };
  struct Stats {
    std::uint64_t bytes = 0;  // written
    std::uint64_t records = 0;
    std::uint64_t dropped = 0;  // packets
    bool failing = false;
  };

  // Creates `recording.journal` in `folder` and starts the thread. The error is a sentence.
  static Result<std::unique_ptr<JournalWriter>, std::string> create(const RecordFolder& folder,
                                                                    Settings settings);
  // Finishes without an end, when nobody has.
  ~JournalWriter();
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;

  // First of all, and once: what comes before it is not written.
  void begin(const record::JournalSession& session) EXCLUDES(mutex_);
  bool begun() const EXCLUDES(mutex_);
  void append(const record::JournalPacket& packet) EXCLUDES(mutex_);
  void append(const record::JournalLoss& loss) EXCLUDES(mutex_);
  void append(const record::JournalUser& user) EXCLUDES(mutex_);
  void append(const record::JournalEvent& event) EXCLUDES(mutex_);

  // Writes what is left and the length of the tracks, syncs, and ends the thread. Waits for the
  // disk, ten seconds at most. A journal without a session is removed. Further calls do nothing.
  void finish(std::optional<std::int64_t> length) EXCLUDES(mutex_);

  const std::string& path() const { return file_.path(); }
  Stats stats() const EXCLUDES(mutex_);

 private:
  JournalWriter(RecordFile file, Settings settings);

  template <class Record> void put(const Record& record) EXCLUDES(mutex_);
  bool has_room(std::size_t bytes) REQUIRES(mutex_);
  void repeat() REQUIRES(mutex_);
  void run() EXCLUDES(mutex_);
  // True when all of `bytes` is in the file.
  bool write_out(Bytes& bytes);
  void say(bool works, int error);

  RecordFile file_;
  const Settings settings_;

  mutable Mutex mutex_;
  std::condition_variable changed_;
  record::JournalEncoder encoder_ GUARDED_BY(mutex_);
  Bytes waiting_ GUARDED_BY(mutex_);
  std::size_t in_hand_ GUARDED_BY(mutex_) = 0;  // bytes the thread holds
  std::optional<record::JournalSession> session_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, record::JournalUser> names_ GUARDED_BY(mutex_);
  std::uint64_t dropped_ GUARDED_BY(mutex_) = 0;
  std::uint64_t dropped_unsaid_ GUARDED_BY(mutex_) = 0;
  std::int64_t last_sample_ GUARDED_BY(mutex_) = 0;
  Stats written_ GUARDED_BY(mutex_);
  bool quit_ GUARDED_BY(mutex_) = false;

  // Of the thread.
  std::int64_t offset_ = 0;
  std::size_t partly_ = 0;  // bytes at the front of what it holds that are in the file already
  bool failing_ = false;
  bool unsynced_ = false;
  bool sync_failed_ = false;

  std::thread thread_;
};

}  // namespace discord
