// What the parent knows of the speakers that a worker serves: enough for a successor to go on, and
// their rows of statistics.
#pragma once

#include "media/receiver.hpp"

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

namespace discord::worker {

struct Mirror {
  media::SpeakerCheckpoint checkpoint;
  media::SequenceHistory history;
  std::deque<Bytes> last;  // Opus packets
  std::int64_t end = 0;    // of the last frame that was delivered
  bool known = true;       // to the worker
  bool complete = false;   // there is a checkpoint
  bool excluded = false;   // nobody wants to hear it: only for what is still in order, no row
  std::uint64_t user_id = 0;
  media::Ledger current;  // of this worker
  media::Ledger base;     // of those before; and what was skipped

  // Remembers an Opus packet for a successor's decoder, and forgets the oldest.
  void remember(ByteSpan opus);
  // The worker is gone: what it had counted stays, what it had not finished its successor counts.
  void fold();
};

class SpeakerMirrors {
 public:
  // Null when nothing is known of it.
  Mirror* find(std::uint32_t ssrc) noexcept;
  bool contains(std::uint32_t ssrc) const noexcept { return mirrors_.contains(ssrc); }
  std::size_t size() const noexcept { return mirrors_.size(); }
  // Keeps no more speakers than `limit`, as a worker does; the longest idle one makes room.
  Mirror& find_or_add(std::uint32_t ssrc, std::size_t limit);
  // The row stays for the record; `limit` of them at most.
  void forget(std::uint32_t ssrc, std::size_t limit);
  void forget_all(std::size_t limit);
  // As the worker does when it is told that the user is denied: the row departs, and if nothing has
  // gone on there is none. Not `excluded`: it begins anew.
  void exclude(std::uint32_t ssrc, bool excluded, std::size_t limit);
  // A row for each speaker, those that have gone first.
  void rows(std::vector<media::SpeakerStats>& out) const;

  auto begin() noexcept { return mirrors_.begin(); }
  auto end() noexcept { return mirrors_.end(); }

 private:
  void depart(std::uint32_t ssrc, const Mirror& mirror, std::uint64_t media::Ledger::*cause,
              std::size_t limit);

  std::unordered_map<std::uint32_t, Mirror> mirrors_;
  std::deque<media::SpeakerStats> departed_;
};

}  // namespace discord::worker
