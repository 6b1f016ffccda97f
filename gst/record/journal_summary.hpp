// What is in a journal, and a journal without one speaker.
#pragma once

#include "record/journal_reader.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace discord::record {

// Somebody in a journal: a user, or an SSRC that nobody is known for.
struct JournalSpeakerKey {
  std::uint64_t user_id = 0;
  std::uint32_t ssrc = 0;  // 0 for a user, who may have had many

  friend auto operator<=>(const JournalSpeakerKey&, const JournalSpeakerKey&) = default;
};

struct JournalSpeaker {
  std::string name;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;   // of Opus
  std::int64_t spoken = 0;   // samples, without silence frames
  std::int64_t first = 0;    // where the first packet begins
  std::int64_t end = 0;      // where the last one ends
  std::uint64_t losses = 0;  // gaps
  std::uint64_t lost_packets = 0;
  std::int64_t lost_samples = 0;
};

struct JournalSummary {
  std::optional<JournalSession> session;
  std::map<JournalSpeakerKey, JournalSpeaker> speakers;  // who said at least one packet
  std::map<std::uint64_t, std::string> names;
  std::vector<JournalEvent> marks;
  std::vector<JournalDamage> damage;  // the first `max_damage` stretches
  std::uint64_t damaged_stretches = 0;
  std::uint64_t damaged_bytes = 0;
  std::uint64_t missing_records = 0;
  std::uint64_t records = 0;
  std::uint64_t unknown = 0;
  std::uint64_t dropped = 0;  // packets the disk was too slow for
  bool ended = false;         // in order
  std::int64_t length = 0;    // of every track, samples: the end's, or where the last packet ends

  static constexpr std::size_t max_damage = 100;
  // The file as a whole was a journal.
  bool recognised() const noexcept { return records > 0; }
};

// Attributes packets that came before their user was known. Read the whole file once through
// `learn` before asking.
class JournalIdentities {
 public:
  void learn(const JournalRecord& record);
  JournalSpeakerKey of(std::uint64_t user_id, std::uint32_t ssrc) const;
  // Whether the user had this SSRC at any time.
  bool had(std::uint64_t user_id, std::uint32_t ssrc) const;

 private:
  // Bounded: a hostile journal names at most so many.
  static constexpr std::size_t max_ssrcs = 65536;
  std::map<std::uint32_t, std::vector<std::uint64_t>> users_;  // in order of appearance
};

// `progress` is told how many bytes have been read, now and then. Two passes over the file.
JournalSummary summarise(ByteSpan file, const std::function<void(std::size_t)>& progress = {});
JournalIdentities identities(ByteSpan file);

// Writes the journal anew without a word, name or event of this user: also packets that came on one
// of the user's SSRCs before it was known whose it was. Damaged stretches are left out: nobody
// knows what is in them. `out` gets whole records. Returns how many records of the user there were.
std::uint64_t erase_speaker(ByteSpan file, std::uint64_t user_id, std::uint32_t new_tag,
                            const std::function<void(ByteSpan)>& out);

}  // namespace discord::record
