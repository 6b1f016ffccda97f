// What was really sent: the yardstick a test holds a receiver against.
#pragma once

#include "speaker.hpp"

#include <deque>
#include <nlohmann/json.hpp>
#include <vector>

namespace discord::loopback {

// One RTP packet of a speaker, in order of sending. Times are CLOCK_MONOTONIC nanoseconds.
struct FrameRecord {
  Packet::Kind kind = Packet::Kind::speech;
  std::uint32_t ssrc = 0;
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  int ticks = 0;
  std::size_t spurt = 0;
  std::size_t pcm_frame = 0;  // first frame of the source it encodes
  std::int64_t due_ns = 0;    // when an undisturbed network would have delivered it
  std::int64_t sent_ns = 0;   // just before the first copy left; 0 = none did
  std::int64_t left_ns = 0;   // just after it had left
  bool lost = false;          // dropped by the network model
  bool displaced = false;     // delivered after a later one
  unsigned copies = 0;        // datagrams sent, over all clients; a duplicate counts
  std::size_t clients = 0;    // how many had begun to listen when it was sent, gone ones included
  Bytes opus;                 // empty when `keep_opus` is off, and for pure padding
  Protection protection = Protection::none;
  std::uint64_t group = 0;  // `sealed`: in which group and epoch
  std::uint64_t epoch = 0;
  // Every client it was sent to can have got the Opus out of it, and should have.
  bool openable = false;

  // Whether a client could have received it.
  bool delivered() const noexcept { return copies > 0; }
};

// One spurt as played.
struct SpurtRecord {
  std::size_t number = 0;
  PcmPtr pcm;
  std::size_t first_frame = 0;   // where in `pcm` it begins
  std::size_t frames = 0;        // how much of it
  std::int64_t due_ns = 0;       // of its first packet
  std::int64_t start_ns = 0;     // when its first packet that got through was sent; 0 = none yet
  std::size_t first_record = 0;  // its packets are records [first_record, first_record + records)
  std::size_t records = 0;
};

struct SpeakerTruth {
  std::uint64_t user_id = 0;
  std::string name;
  std::uint32_t ssrc = 0;  // the present one; the records carry each packet's own
  bool finished = false;   // no packet will follow
  std::vector<SpurtRecord> spurts;
  std::deque<FrameRecord> records;

  std::uint64_t packets = 0;     // generated
  std::uint64_t delivered = 0;   // at least one copy left
  std::uint64_t lost = 0;        // by the network model
  std::uint64_t duplicated = 0;  // second copies sent
  std::uint64_t displaced = 0;
  std::uint64_t not_forwarded = 0;  // survived the network, but no client could be sent to
  std::uint64_t samples = 0;        // per channel at 48 kHz, in delivered speech and DTX packets
  // Of the delivered ones that carry something:
  std::uint64_t openable = 0;
  std::uint64_t sealed = 0;        // end-to-end encrypted
  std::uint64_t passthrough = 0;   // not, although they should be
  std::uint64_t forged = 0;        // to be refused
  std::uint64_t replayed = 0;      // to be refused
  std::uint64_t foreign_keys = 0;  // sealed for an epoch that some client was not in
  std::uint64_t unsent = 0;        // generated while the speaker had no key; no part of `packets`
};

// The counters, the spurts and no records: what the program prints.
nlohmann::json summary(const SpeakerTruth& truth);

}  // namespace discord::loopback
