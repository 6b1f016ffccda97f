// What is in a journal, for people and for programs.
#pragma once

#include "record/journal_summary.hpp"

#include <string>

namespace recover {

// A table for a terminal of 80 columns, with a verdict for each speaker.
std::string table(const discord::record::JournalSummary& summary);
// The same as one line of JSON; ids are strings.
std::string json(const discord::record::JournalSummary& summary);
// Whether anything is missing that the recorder had: damage, records cut out, packets dropped.
bool incomplete(const discord::record::JournalSummary& summary);
// "1:02:03.4"
std::string clock_time(std::int64_t samples);

}  // namespace recover
