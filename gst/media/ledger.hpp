// Where every packet went. Each stage keeps a ledger of its own share, which adds up at every
// instant; folding the stages gives one final cause per packet.
#pragma once

#include <cstdint>

namespace discord::media {

// Audio that never arrived, by what was played instead; counted in frames beside the sum, because
// nothing was received for it.
struct Lost {
  std::uint64_t fec = 0;        // recovered from the packet behind the hole
  std::uint64_t concealed = 0;  // PLC
  std::uint64_t silent = 0;

  friend bool operator==(const Lost&, const Lost&) = default;
};

// Who counts what:
//   Ingress       received, padding_only, duplicate, not_audio, undecryptable, evicted (hold caps,
//                 speaker table), held; `played` and `silence` when it hands a packet on
//   ReorderQueue  late, duplicate (only what Ingress could not see), evicted (a flush);
//                 `played` when it hands a packet on, `in_flight` while it waits in the queue
//   elements      paused, denied, ring_full, skipped, and the `lost` half when they play
// To a stage "played" means handed on: it cannot know more. `then` replaces that by what the next
// stage says about the same packets.
struct Ledger {
  std::uint64_t received = 0;

  std::uint64_t played = 0;
  std::uint64_t silence = 0;       // silence frames, passed on like sound
  std::uint64_t padding_only = 0;  // authentic and empty
  std::uint64_t late = 0;          // its place had been declared lost
  std::uint64_t duplicate = 0;
  std::uint64_t not_audio = 0;  // RTCP, video, keepalives, datagrams of no known kind
  // Undecryptable, by why:
  std::uint64_t no_user = 0;      // nobody said whose SSRC it is while it was held
  std::uint64_t no_key = 0;       // no key came while it was held
  std::uint64_t bad_tag = 0;      // not authentic
  std::uint64_t not_a_frame = 0;  // authentic, but malformed inside
  std::uint64_t replayed = 0;
  std::uint64_t evicted = 0;  // thrown out by a cap or a flush
  std::uint64_t paused = 0;
  std::uint64_t denied = 0;
  std::uint64_t ring_full = 0;
  std::uint64_t skipped = 0;
  // The two that go down again:
  std::uint64_t held = 0;       // waiting for a user or a key
  std::uint64_t in_flight = 0;  // inside a stage, or between two

  Lost lost;

  constexpr std::uint64_t undecryptable() const noexcept {
    return no_user + no_key + bad_tag + not_a_frame + replayed;
  }
  // Of audio: what got through every encryption, whatever became of it then; and what has not.
  constexpr std::uint64_t opened() const noexcept {
    return played + silence + padding_only + late + duplicate + denied;
  }
  constexpr std::uint64_t unopened() const noexcept {
    return no_user + no_key + bad_tag + not_a_frame + held;
  }
  // Packets with a cause, plus those still on their way.
  constexpr std::uint64_t accounted() const noexcept {
    return played + silence + padding_only + late + duplicate + not_audio + undecryptable() +
           evicted + paused + denied + ring_full + skipped + held + in_flight;
  }
  // True at every instant, or somebody lost a packet without saying so.
  constexpr bool adds_up() const noexcept { return received == accounted(); }

  // Adds the same stage's figures for other packets (another speaker, the time before a rejoin).
  Ledger& operator+=(const Ledger& other) noexcept;
  // Folds in the stage behind this one: what this stage handed on is replaced by what became of it
  // there; handed on but not yet received there is in flight.
  Ledger& then(const Ledger& next) noexcept;

  friend bool operator==(const Ledger&, const Ledger&) = default;
};

}  // namespace discord::media
