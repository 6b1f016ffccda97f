// One of the workers' places in a pool: what the parent knows about the speakers that are pinned to
// it, so that a worker may die at any moment.
#pragma once

#include "worker/process.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

namespace discord::worker {

// The pool's own clock: when workers hang or rest has nothing to do with stream time.
using Monotonic = std::chrono::steady_clock::time_point;

// What every worker of a call is told; a successor too.
struct CallSettings {
  media::ReceiverConfig receiver;
  struct KeyOf {
    std::uint64_t generation;
    transport::Mode mode;
    transport::Key key;
  };
  std::optional<KeyOf> key;
  std::map<std::uint32_t, std::uint64_t> users;
  std::set<std::uint64_t> told_users;  // ever, of this connection; a worker may name no other
  std::map<std::uint64_t, media::Admission> admissions;  // of those who are not just allowed
  bool needs_users = false;
  Time now{};  // latest that was handed in

  // End-to-end encryption: the keys, and their clock, as `media::Ingress` has it.
  dave::MediaKeysPtr keys;
  Duration key_clock{};
  // What the frames that have finished were opened with. Of published epochs and their members
  // only, so it is bounded by them.
  struct Marks {
    std::vector<dave::SenderMark> epochs;
    const void* heard_by = nullptr;  // the lane whose worker knows them
  };
  std::unordered_map<std::uint64_t, Marks> marks;

  std::uint64_t user_of(std::uint32_t ssrc) const noexcept;
  bool is_denied(std::uint32_t ssrc) const noexcept;
  // Takes the keys, and forgets what was about others.
  void use_keys(dave::MediaKeysPtr published, Time on_their_clock, Time at);
  // A frame of `user` has been opened. False when that cannot be; one of an epoch that has been
  // dropped meanwhile is no news.
  bool mark(std::uint64_t user, dave::EpochSerial serial, std::uint64_t counter, Time arrival,
            const void* lane);
};

Configure configure_of(const media::ReceiverConfig& config) noexcept;

// Not for two threads at once; no system call but waking the worker.
class Lane {
 public:
  explicit Lane(CallSettings& settings) : settings_(settings) {}

  static constexpr std::size_t max_open = 8192;
  static constexpr std::size_t max_open_bytes = std::size_t{4} << 20;

  bool running() const noexcept { return worker_ != nullptr; }
  WorkerProcess* worker() const noexcept { return worker_.get(); }

  // Takes a channel of a worker, and tells it everything; first the settings, unless they have been
  // told already (`configured`).
  void start(std::shared_ptr<WorkerProcess> worker, std::size_t channel, bool configured,
             Monotonic now);
  // There will be no other packet: the worker forgets what it knows. False when it cannot be told.
  bool end_session(Monotonic now);
  // After it has ended, or to be rid of it: what it had published has been handled. Returns the id
  // that it was working on and that is still open, else 0.
  // `blamed`: it may be the fault of what it was doing; what it only heard again is then left out.
  std::uint64_t lose(bool blamed = false);
  // Gives a datagram up for good.
  void skip(std::uint64_t id);
  std::uint32_t ssrc_of(std::uint64_t id) const noexcept;
  // How many workers have died of this datagram, this time included.
  unsigned count_death(std::uint64_t id) noexcept;

  // False when there is no room: counted as ring_full.
  bool push(ByteSpan datagram, std::uint32_t ssrc, Time arrival);
  template <class T> void control(const T& value) {
    if (running()) {
      queue(type_of<Input, T>(), bytes_of(value), 0);
    }
  }
  void send_key();
  // Whatever the worker does not have yet of the published epochs, and which are in use.
  void send_media_keys();
  // The user is to be heard here from now on, whoever heard it before.
  void adopt(std::uint64_t user);
  void drain();
  // There will be no other worker: whatever is open is skipped.
  void give_up();
  bool draining() const noexcept { return draining_; }
  void forget(std::uint32_t ssrc);
  void forget_all();
  // As the worker does when it is told that the user is denied: of a speaker from whom nothing has
  // gone on, no row stays. Not `excluded`: it begins anew.
  void exclude(std::uint32_t ssrc, bool excluded);
  // Sends what there is room for, and wakes the worker.
  void pump(Monotonic now);
  // Something has finished since this was asked last.
  bool take_success() noexcept { return std::exchange(success_, false); }
  bool idle() const noexcept { return open_.empty() && pending_.empty() && !draining_; }

  // What a record of the worker means.
  enum class Meaning {
    nothing,
    frame,
    speaking,
    rtcp,
    hello,
    batch,
    drained,
    undecryptable,
    violation,
  };
  // Checks it against what is known here and remembers what a successor will need. `frame` may be
  // delivered to the outside after `Meaning::frame`: its samples are still shared memory, its Opus
  // packet a copy that lives until the next call.
  Meaning handle(const Result<Output, ProtocolError>& output, media::DecodedFrame& frame,
                 Monotonic now);

  // Received, and what became of it.
  media::Ledger ledger() const noexcept;
  // A row for each speaker.
  void speakers(std::vector<media::SpeakerStats>& out) const;
  Deadline deadline() const noexcept { return deadline_; }
  // When it last did something that was asked of it, while there was something to do.
  bool busy() const noexcept { return inputs_done_ < inputs_sent_; }
  // Records that have not been answered, sent or not.
  std::size_t queued() const noexcept {
    return running() ? static_cast<std::size_t>(inputs_sent_ - inputs_done_) + pending_.size()
                     : open_count_;
  }
  // It was read from after a while in which nobody looked: that is no fault of the worker's.
  void heard_from(Monotonic now) noexcept { last_progress_ = now; }
  Monotonic last_progress() const noexcept { return last_progress_; }
  std::size_t speakers() const noexcept { return mirrors_.size(); }
  bool knows(std::uint32_t ssrc) const noexcept { return mirrors_.contains(ssrc); }
  std::size_t open_packets() const noexcept { return open_count_; }

 private:
  struct Open {
    std::uint64_t id = 0;
    Bytes bytes;
    Time arrival{};
    std::uint32_t ssrc = 0;
    std::uint8_t deaths = 0;
    std::uint8_t frames = 0;  // brought forth by this worker
    bool delivered = false;   // by a predecessor
    bool done = false;
  };
  struct Mirror {
    media::SpeakerCheckpoint checkpoint;
    media::SequenceHistory history;
    std::deque<Bytes> last;  // Opus packets
    std::int64_t end = 0;    // of the last frame that was delivered
    bool known = true;       // to the worker
    bool complete = false;   // there is a checkpoint
    bool excluded = false;   // only for what is still in order; there is no row of it
    std::uint64_t user_id = 0;
    media::Ledger current;  // of this worker
    media::Ledger base;     // of those before; and what was skipped
  };
  struct Pending {
    std::uint32_t type = 0;
    Bytes body;
    std::uint64_t id = 0;  // of a datagram, whose bytes are with `open_`
    // For the secrets page, where it gets a slot when it is sent, and where in the body that goes.
    SecretBytes secret = {};
    std::size_t slot_at = 0;
  };

  void queue(std::uint32_t type, ByteSpan body, std::uint64_t id);
  void queue(Pending pending);
  template <class T> void control_with_secret(const T& value, SecretBytes secret) {
    const ByteSpan bytes = bytes_of(value);
    queue({type_of<Input, T>(), Bytes(bytes.begin(), bytes.end()), 0, std::move(secret),
           offsetof(T, slot)});
  }
  void send_marks(std::uint64_t user, const CallSettings::Marks& marks);
  void queue_datagram(const Open& open);
  Mirror& add_mirror(std::uint32_t ssrc);
  void introduce(std::uint32_t ssrc, Mirror& mirror);
  bool send(Pending& pending);
  Open* find(std::uint64_t id) noexcept;
  const Open* find(std::uint64_t id) const noexcept;
  void close(Open& open);
  void fold();
  Meaning take(const FrameOut& out, media::DecodedFrame& frame);
  Meaning take(const FinishedOut& out);
  Meaning take(const CheckpointOut& out);
  Meaning take(const RowOut& out);
  bool has_open(std::uint32_t ssrc) const;
  static void fold(Mirror& mirror);
  media::SpeakerStats row(std::uint32_t ssrc, const Mirror& mirror) const;
  void depart(std::uint32_t ssrc, const Mirror& mirror, std::uint64_t media::Ledger::*cause);
  Meaning take(const BatchOut& out, Monotonic now);

  CallSettings& settings_;
  std::shared_ptr<WorkerProcess> worker_;
  Channel* channel_ = nullptr;  // of the worker
  std::deque<Open> open_;       // ascending by id, those in front not done
  std::size_t open_count_ = 0;
  std::size_t open_bytes_ = 0;
  std::uint64_t next_id_ = 1;
  std::vector<Bytes> spare_bytes_;
  std::deque<Pending> pending_;
  std::unordered_map<std::uint32_t, Mirror> mirrors_;
  std::deque<media::SpeakerStats> departed_;
  std::vector<std::shared_ptr<const dave::EpochKeys>> epochs_;  // that the worker has
  Time newest_{};                                               // arrival
  std::uint64_t received_ = 0;
  std::uint64_t skipped_ = 0;
  media::Ledger base_;     // of the workers before this one
  media::Ledger current_;  // of this one
  std::uint64_t inputs_sent_ = 0;
  std::uint64_t inputs_done_ = 0;
  bool was_idle_ = false;  // before what is being sent now
  Monotonic last_progress_{};
  std::map<std::uint32_t, std::uint64_t> secret_until_;  // slot: wiped when so many are done
  Deadline deadline_;
  bool draining_ = false;
  bool success_ = false;
  Bytes opus_;
};

}  // namespace discord::worker
