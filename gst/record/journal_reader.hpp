// Reads a journal to its end, whatever has become of it.
#pragma once

#include "record/journal.hpp"

#include <cstdint>
#include <optional>
#include <variant>

namespace discord::record {

// A stretch that gave no record, or records that are missing although nothing is damaged.
struct JournalDamage {
  std::size_t offset = 0;
  std::size_t bytes = 0;      // 0: something was cut out here
  std::uint32_t records = 0;  // missing by number; 0 where nothing behind it says
  JournalError cause = JournalError::no_sync;
};

struct JournalItem {
  std::size_t offset = 0;
  std::size_t size = 0;
  std::variant<JournalRecord, JournalDamage> what;
};

// A record is found again wherever it is whole: neither damage in front of it nor a missing start
// of the file hides it. Time is linear in the size of the file.
class JournalReader {
 public:
  // `file` outlives the reader, and the packets it gives.
  explicit JournalReader(ByteSpan file) noexcept;

  // The next record or damaged stretch, in the order of the file; none at its end.
  std::optional<JournalItem> next();

  // Whether the file is a journal at all: one record is enough.
  bool recognised() const noexcept { return tag_.has_value(); }
  std::size_t offset() const noexcept { return offset_; }

 private:
  static std::optional<std::uint32_t> find_tag(ByteSpan file) noexcept;
  JournalItem damaged(JournalError cause);

  ByteSpan file_;
  std::optional<std::uint32_t> tag_;
  std::size_t offset_ = 0;
  std::optional<std::uint32_t> expected_;  // number of the next record
};

}  // namespace discord::record
