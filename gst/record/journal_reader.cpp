// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record/journal_reader.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace discord::record {

namespace {

constexpr std::uint8_t sync_first = 0x9a;

// Where a record may begin, from `offset` on; the size of the file where none does.
std::size_t next_sync(ByteSpan file, std::size_t offset) noexcept {
  if (offset >= file.size()) {
    return file.size();
  }
  const void* found = std::memchr(file.data() + offset, sync_first, file.size() - offset);
  return found == nullptr
             ? file.size()
             : static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - file.data());
}

// How many records are missing in front of `number`. One that went backwards says nothing.
std::uint32_t missing(std::optional<std::uint32_t> expected, std::uint32_t number) noexcept {
  const std::uint32_t ahead = expected ? number - *expected : 0;
  return ahead < 0x80000000u ? ahead : 0;
}

}  // namespace

// At the front of the file nobody but the writer wrote. When the front is damaged, the tag that
// accounts for most bytes is the writer's: the others lie inside packets that have it.
std::optional<std::uint32_t> JournalReader::find_tag(ByteSpan file) noexcept {
  if (const auto first = parse_journal_frame(file); first.ok()) {
    return first->tag;
  }
  struct Candidate {
    std::uint32_t tag = 0;
    std::size_t bytes = 0;
  };
  std::array<Candidate, 16> candidates{};
  std::size_t known = 0;
  std::size_t at = next_sync(file, 0);
  while (at < file.size()) {
    const auto frame = parse_journal_frame(file.subspan(at));
    if (!frame.ok()) {
      at = next_sync(file, at + 1);
      continue;
    }
    auto* end = candidates.data() + known;
    auto* c = std::find_if(candidates.data(), end,
                           [&](const Candidate& x) { return x.tag == frame->tag; });
    if (c == end) {
      if (known == candidates.size()) {
        // The least credible makes room.
        c = std::min_element(candidates.data(), end, [](const Candidate& a, const Candidate& b) {
          return a.bytes < b.bytes;
        });
      } else {
        known++;
      }
      *c = {frame->tag, 0};
    }
    c->bytes += frame->size;
    at = next_sync(file, at + frame->size);
  }
  if (known == 0) {
    return std::nullopt;
  }
  return std::max_element(candidates.data(), candidates.data() + known,
                          [](const Candidate& a, const Candidate& b) { return a.bytes < b.bytes; })
      ->tag;
}

JournalReader::JournalReader(ByteSpan file) noexcept : file_(file), tag_(find_tag(file)) {}

JournalItem JournalReader::damaged(JournalError cause) {
  JournalDamage damage;
  damage.offset = offset_;
  damage.cause = cause;
  std::size_t at = file_.size();
  if (tag_) {
    for (at = next_sync(file_, offset_ + 1); at < file_.size(); at = next_sync(file_, at + 1)) {
      if (const auto frame = parse_journal_frame(file_.subspan(at), *tag_); frame.ok()) {
        damage.records = missing(expected_, frame->number);
        expected_ = frame->number;
        break;
      }
    }
  }
  damage.bytes = at - offset_;
  const JournalItem item{offset_, damage.bytes, damage};
  offset_ = at;
  return item;
}

std::optional<JournalItem> JournalReader::next() {
  if (offset_ >= file_.size()) {
    return std::nullopt;
  }
  if (!tag_) {
    return damaged(JournalError::no_sync);
  }
  const auto frame = parse_journal_frame(file_.subspan(offset_), *tag_);
  if (!frame.ok()) {
    return damaged(frame.error());
  }
  if (expected_ && *expected_ != frame->number) {
    const JournalDamage cut{offset_, 0, missing(expected_, frame->number), JournalError::no_sync};
    expected_ = frame->number;
    return JournalItem{offset_, 0, cut};
  }
  expected_ = frame->number + 1;
  const std::size_t offset = offset_;
  offset_ += frame->size;
  auto record = parse_journal_body(*frame);
  if (!record.ok()) {
    return JournalItem{offset, frame->size, JournalDamage{offset, frame->size, 1, record.error()}};
  }
  return JournalItem{offset, frame->size, std::move(record).value()};
}

}  // namespace discord::record
