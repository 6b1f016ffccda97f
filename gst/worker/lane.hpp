// One of the workers' places in a pool: what the parent knows about the speakers that are pinned to
// it, so that a worker may die at any moment.
#pragma once

#include "worker/call_settings.hpp"
#include "worker/monotonic.hpp"
#include "worker/open_packets.hpp"
#include "worker/process.hpp"
#include "worker/speaker_mirrors.hpp"

#include <cstddef>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

namespace discord::worker {

// Not for two threads at once; no system call but waking the worker.
class Lane {
 public:
  explicit Lane(CallSettings& settings) : settings_(settings) {}

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
  void forget(std::uint32_t ssrc) { mirrors_.forget(ssrc, max_speakers()); }
  void exclude(std::uint32_t ssrc, bool excluded) {
    mirrors_.exclude(ssrc, excluded, max_speakers());
  }
  void forget_all() { mirrors_.forget_all(max_speakers()); }
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
  void speakers(std::vector<media::SpeakerStats>& out) const { mirrors_.rows(out); }
  Deadline deadline() const noexcept { return deadline_; }
  // When it last did something that was asked of it, while there was something to do.
  bool busy() const noexcept { return inputs_done_ < inputs_sent_; }
  // Records that have not been answered, sent or not.
  std::size_t queued() const noexcept {
    return running() ? static_cast<std::size_t>(inputs_sent_ - inputs_done_) + pending_.size()
                     : open_.count();
  }
  // Arrival of the oldest datagram among them.
  Deadline oldest_queued() noexcept;
  // It was read from after a while in which nobody looked: that is no fault of the worker's.
  void heard_from(Monotonic now) noexcept { last_progress_ = now; }
  Monotonic last_progress() const noexcept { return last_progress_; }
  std::size_t speakers() const noexcept { return mirrors_.size(); }
  bool knows(std::uint32_t ssrc) const noexcept { return mirrors_.contains(ssrc); }
  std::size_t open_packets() const noexcept { return open_.count(); }

 private:
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
  void queue_datagram(const OpenPacket& open);
  std::size_t max_speakers() const noexcept { return settings_.receiver.ingress.max_speakers; }
  void introduce(std::uint32_t ssrc, Mirror& mirror);
  bool send(Pending& pending);
  void fold();
  Meaning take(const FrameOut& out, media::DecodedFrame& frame);
  Meaning take(const FinishedOut& out);
  Meaning take(const CheckpointOut& out);
  Meaning take(const RowOut& out);
  Meaning take(const BatchOut& out, Monotonic now);

  CallSettings& settings_;
  std::shared_ptr<WorkerProcess> worker_;
  Channel* channel_ = nullptr;  // of the worker
  OpenPackets open_;
  std::deque<Pending> pending_;
  SpeakerMirrors mirrors_;
  std::vector<std::shared_ptr<const dave::EpochKeys>> epochs_;  // that the worker has
  Time newest_{};                                               // arrival
  std::uint64_t received_ = 0;
  std::uint64_t skipped_ = 0;
  media::Ledger base_;     // of the workers before this one
  media::Ledger current_;  // of this one
  std::uint64_t inputs_sent_ = 0;
  std::uint64_t inputs_done_ = 0;
  std::uint64_t answered_until_ = 0;  // id: those before have been answered by this worker
  bool was_idle_ = false;             // before what is being sent now
  Monotonic last_progress_{};
  std::map<std::uint32_t, std::uint64_t> secret_until_;  // slot: wiped when so many are done
  Deadline deadline_;
  bool draining_ = false;
  bool success_ = false;
  Bytes opus_;
};

}  // namespace discord::worker
