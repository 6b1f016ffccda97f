// The journal of a recording: what was heard, as it came, in records that survive each other's
// damage. Byte layout and reasons: docs/design/journal.md.
#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace discord::record {

inline constexpr std::size_t journal_head_size = 20;
inline constexpr std::size_t journal_max_body = 4096;
inline constexpr std::size_t journal_max_opus = 2048;
inline constexpr std::size_t journal_max_text = 1024;
inline constexpr std::uint8_t journal_version = 1;

// All positions are samples at 48 kHz since the zero of the recording; negative ones are possible
// for what came before it. Ids are 0 where nothing is known.

// First in the file and repeated, so that it outlives the front of the file.
struct JournalSession {
  std::uint8_t version = journal_version;
  std::array<std::uint8_t, 16> id{};  // of the recording, random
  std::int64_t zero_utc_ns = 0;       // wall clock at position 0, since 1970
  std::uint64_t guild_id = 0;
  std::uint64_t channel_id = 0;
  std::string software;

  friend bool operator==(const JournalSession&, const JournalSession&) = default;
};

// An Opus packet that has been authenticated and opened.
struct JournalPacket {
  std::int64_t sample = 0;   // where on the timeline its frame begins
  std::int64_t arrival = 0;  // when it came, on the same scale
  std::uint64_t user_id = 0;
  std::uint32_t ssrc = 0;
  std::uint32_t timestamp = 0;  // RTP
  std::uint16_t sequence = 0;   // RTP
  bool silence = false;         // F8 FF FE and its like
  bool quiet = false;           // by the level its sender told: nobody hears when it is left out
  ByteSpan opus;                // 1 to journal_max_opus bytes, in the memory of the reader's file
};

// Packets that never came.
struct JournalLoss {
  std::int64_t sample = 0;
  std::uint32_t samples = 0;
  std::uint64_t user_id = 0;
  std::uint32_t ssrc = 0;
  std::uint16_t sequence = 0;  // of the first
  std::uint32_t packets = 1;   // how many; 0 where a record before this one counts them

  friend bool operator==(const JournalLoss&, const JournalLoss&) = default;
};

// Who is who: an SSRC's user, a user's name, or both. `ssrc` 0: no news of an SSRC.
struct JournalUser {
  std::uint64_t user_id = 0;
  std::uint32_t ssrc = 0;
  std::string name;

  friend bool operator==(const JournalUser&, const JournalUser&) = default;
};

enum class JournalEventKind : std::uint8_t {
  mark = 1,    // text: label
  joined = 2,  // the user came into the call
  left = 3,
  speaking = 4,    // a talk spurt begins
  silent = 5,      // and ends
  encryption = 6,  // value: MLS epoch, 0 = not end-to-end encrypted; text: privacy code
  note = 7,        // text, for people
};

struct JournalEvent {
  JournalEventKind kind = JournalEventKind::note;
  std::int64_t sample = 0;
  std::uint64_t user_id = 0;
  std::uint32_t ssrc = 0;
  std::uint64_t value = 0;
  std::string text;

  friend bool operator==(const JournalEvent&, const JournalEvent&) = default;
};

// Packets that came and are not in the journal, because the disk could not keep up.
struct JournalDropped {
  std::int64_t sample = 0;
  std::uint64_t packets = 0;

  friend bool operator==(const JournalDropped&, const JournalDropped&) = default;
};

// The recording ended in order, and this is how long every track is.
struct JournalEnd {
  std::int64_t sample = 0;

  friend bool operator==(const JournalEnd&, const JournalEnd&) = default;
};

// Whole, and of a type that a later version knows.
struct JournalUnknown {
  std::uint8_t type = 0;
};

using JournalRecord = std::variant<JournalSession, JournalPacket, JournalLoss, JournalUser,
                                   JournalEvent, JournalDropped, JournalEnd, JournalUnknown>;

enum class JournalError {
  truncated,  // the bytes end inside the record
  no_sync,    // no record begins here
  foreign,    // a record, of another journal
  reserved,   // a bit that has no meaning yet is set
  too_long,   // more than journal_max_body
  bad_checksum,
  bad_body,  // whole, and its content is shorter than its type says, or out of range
};
const char* to_string(JournalError error) noexcept;

// A record whose checksum is right.
struct JournalFrame {
  std::uint32_t tag = 0;
  std::uint8_t type = 0;
  std::uint32_t number = 0;
  ByteSpan body;
  std::size_t size = 0;  // with its head
};

// The record at the front of `bytes`; with a tag, only of the journal that has it.
Result<JournalFrame, JournalError> parse_journal_frame(ByteSpan bytes) noexcept;
Result<JournalFrame, JournalError> parse_journal_frame(ByteSpan bytes, std::uint32_t tag) noexcept;
// Its content. The packet's Opus bytes stay where they are.
Result<JournalRecord, JournalError> parse_journal_body(const JournalFrame& frame);

// Turns records into bytes. `tag` is random: it keeps what a speaker says from being taken for
// records when damage makes a reader look for the next one.
class JournalEncoder {
 public:
  explicit JournalEncoder(std::uint32_t tag) noexcept : tag_(tag) {}

  // Each appends one record. Text is cut at journal_max_text bytes. A packet that is empty or too
  // long is refused: nothing is appended.
  void append(const JournalSession& session, Bytes& out);
  bool append(const JournalPacket& packet, Bytes& out);
  void append(const JournalLoss& loss, Bytes& out);
  void append(const JournalUser& user, Bytes& out);
  void append(const JournalEvent& event, Bytes& out);
  void append(const JournalDropped& dropped, Bytes& out);
  void append(const JournalEnd& end, Bytes& out);

  std::uint32_t tag() const noexcept { return tag_; }
  std::uint32_t records() const noexcept { return number_; }

 private:
  class Draft;

  std::uint32_t tag_;
  std::uint32_t number_ = 0;
};

}  // namespace discord::record
