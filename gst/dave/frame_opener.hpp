// The media side of DAVE: opens frames with the keys that were published last, and remembers what
// it has opened. Knows nothing of groups, so it runs on a media thread or in a worker process.
#pragma once

#include "dave/media_keys.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

namespace discord::dave {

enum class FrameOutcome {
  opened,       // authentic; the plain bytes are at the front of the frame
  silence,      // the server's silence frame, as it came
  passthrough,  // not encrypted, and for now that is allowed; as it came
  // Refusals. The frame is as it came.
  no_user,      // nobody is known to have sent it
  no_key,       // no key of this user is known: it may wait for one
  not_a_frame,  // not encrypted, outside a transition
  bad_tag,      // not sealed with a key of this user
  replayed,     // authentic, but opened before or too old to tell
  too_far,      // of a generation that cannot have begun
  expired,      // of a generation whose keys are gone
};
inline constexpr std::size_t frame_outcome_count = 10;
const char* to_string(FrameOutcome outcome) noexcept;

struct OpenedFrame {
  FrameOutcome outcome = FrameOutcome::no_key;
  MutableByteSpan plain;      // of the first three outcomes; into the frame that was given
  EpochSerial epoch = 0;      // `opened`: under whose keys
  std::uint64_t counter = 0;  // `opened`: the sender's count of frames in that epoch

  bool deliverable() const noexcept { return outcome <= FrameOutcome::passthrough; }
  // May open once its user or a key is known.
  bool lacks_key() const noexcept {
    return outcome == FrameOutcome::no_user || outcome == FrameOutcome::no_key;
  }
  // No key that is known has made it; one of an epoch that is still to come may have.
  bool unauthentic() const noexcept {
    return outcome == FrameOutcome::bad_tag || outcome == FrameOutcome::too_far ||
           outcome == FrameOutcome::expired;
  }
};

// What one sender has been heard with in one epoch, for a successor.
struct SenderMark {
  std::uint64_t user = 0;
  EpochSerial epoch = 0;
  ReplayWindow window;
  bool over = false;  // the sender has long gone on: nothing of this epoch opens any more
  Deadline expires;   // the sender has gone on: nothing opens from then on
};

// When failures of one sender mean that the keys are wrong rather than a few frames.
inline constexpr unsigned recovery_failures = 36;
inline constexpr Duration recovery_age = std::chrono::seconds(2);
inline constexpr Duration recovery_pause = std::chrono::minutes(1);

// Not for two threads at once. Memory is bounded by the members of the published epochs.
class FrameOpener {
 public:
  // The keys to use from now on. Senders that are still in an epoch keep their state.
  void use(MediaKeysPtr keys, Time now);

  // Judges and opens one frame in place. `user` is 0 when it is not known.
  OpenedFrame open(std::uint64_t user, MutableByteSpan frame, Time now);

  // Whether a frame of this user would find a key; else it may wait for `use`.
  bool knows(std::uint64_t user, Time now) const noexcept {
    return keys_ && keys_->knows(user, now);
  }
  // Whether frames need a user and a key at all.
  bool active() const noexcept { return keys_ && keys_->active; }

  // A member of the newest epoch whose well-formed frames have all failed, more than
  // `recovery_failures` of them over more than `recovery_age`: the group's owner should start over.
  // At most one in `recovery_pause`; asking clears it.
  std::optional<std::uint64_t> take_recovery_request(Time now) noexcept;

  // For a successor, which uses the same keys first: it will not open again what this one has.
  std::vector<SenderMark> marks() const;
  void restore(const std::vector<SenderMark>& marks, Time now);
  void restore(const SenderMark& mark, Time now);

  std::uint64_t count(FrameOutcome outcome) const noexcept {
    return counts_[static_cast<std::size_t>(outcome)];
  }

 private:
  struct Ratchet {
    EpochSerial epoch;
    // Empty once expired. The entry stays as long as the epoch is published: a ratchet made anew
    // would have forgotten what it has opened.
    std::optional<ReceiveRatchet> receive;
    Deadline expires;
  };
  struct Sender {
    std::uint64_t version = 0;      // of the keys these ratchets were made from
    std::vector<Ratchet> ratchets;  // newest first
    unsigned failures = 0;          // in a row
    Time first_failure{};
  };

  Sender* find(std::uint64_t user, Time now);
  void update(Sender& sender, std::uint64_t user, Time now);
  OpenedFrame judge(std::uint64_t user, MutableByteSpan frame, Time now);
  void note_failure(std::uint64_t user, Sender& sender, Time now) noexcept;

  MediaKeysPtr keys_;
  std::uint64_t version_ = 0;
  std::unordered_map<std::uint64_t, Sender> senders_;
  Bytes scratch_;  // a failed try must leave the frame as it was for the next key
  std::array<std::uint64_t, frame_outcome_count> counts_{};
  std::optional<std::uint64_t> wants_recovery_;
  Deadline recovery_allowed_;
};

}  // namespace discord::dave
