// Makes one Matroska file of a journal.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "elements/recordfile.hpp"
#include "record/journal_summary.hpp"

#include <gst/gst.h>
#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace discord {

// A file in memory, for reading; it may still grow, but not shrink.
class MappedFile {
 public:
  // Follows no link. The error is a sentence.
  static Result<MappedFile, std::string> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();
  ByteSpan bytes() const { return bytes_; }

 private:
  explicit MappedFile(ByteSpan bytes) : bytes_(bytes) {}
  ByteSpan bytes_;
};

struct CookedFile {
  std::string path;
  GstClockTime duration = 0;
  guint tracks = 0;
  std::uint64_t damaged = 0;  // stretches of the journal that could not be read
};

// What a speaker is called in tags and tables: the name, else "user <id>" or "SSRC <n>".
std::string speaker_title(const record::JournalSpeakerKey& key, const std::string& name);

// `<stem>.mka` in `folder`: a track for each speaker, all beginning at zero and of the same length,
// Opus as it came, chapters for marks. `only` names the users that are wanted;
// empty means all. Takes its time; `progress` gets 0 to 1 and is called now and then. The error is
// a sentence, and no file is left.
Result<CookedFile, std::string> cook_matroska(const std::string& journal,
                                              const RecordFolder& folder, std::string_view stem,
                                              const std::function<void(double)>& progress = {},
                                              const std::set<std::uint64_t>& only = {});

}  // namespace discord
