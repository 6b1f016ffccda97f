// The journal of one recording, and the Matroska file that is made of it.
#pragma once

#include "base/mutex.hpp"
#include "elements/journaltap.hpp"
#include "elements/recordfile.hpp"

#include <memory>
#include <string>

namespace discord {

class RecordJournal {
 public:
  // Both outlive this: whose messages these are, and the pad whose stream is written down.
  RecordJournal(GstElement* element, GstPad* pad) : element_(element), pad_(pad) {}
  RecordJournal(const RecordJournal&) = delete;
  RecordJournal& operator=(const RecordJournal&) = delete;

  // Takes a file in the folder. False with an error on the bus. `zero` is asked once, in the
  // streaming thread.
  bool start(const RecordFolder& folder, std::function<JournalTap::Zero()> zero) EXCLUDES(mutex_);
  // Any thread; nothing without a journal.
  void mark(const std::string& label) EXCLUDES(mutex_);
  // Completes the journal, not in the streaming thread; the second time nothing happens.
  // `matroska`: makes `recording.mka` in the folder of it, with progress on the bus, and removes
  // the journal unless it is to be kept or something in it cannot be read. Its name is returned;
  // empty: none was made.
  struct End {
    GstClockTime length = 0;  // of the recording, as far as its files know
    bool matroska = false;
    bool keep = true;
  };
  std::string finish(const RecordFolder& folder, const End& end) EXCLUDES(mutex_);
  // A structure `journal`, or null without one.
  GstStructure* stats() const EXCLUDES(mutex_);

 private:
  std::shared_ptr<JournalTap> tap() const EXCLUDES(mutex_);
  std::string cook(const RecordFolder& folder, const std::string& journal, bool keep) const;

  GstElement* const element_;
  GstPad* const pad_;
  mutable Mutex mutex_;
  std::shared_ptr<JournalTap> tap_ GUARDED_BY(mutex_);
};

}  // namespace discord
