// All stages in their order, for all speakers of one session: datagrams in, decoded frames on one
// timeline out.
#pragma once

#include "media/checkpoint.hpp"
#include "media/ingress.hpp"
#include "media/opus_decoder.hpp"
#include "media/packet_store.hpp"
#include "media/reorder_queue.hpp"
#include "media/timeline.hpp"
#include "rtp/unwrap.hpp"

#include <memory>
#include <unordered_map>
#include <vector>

namespace discord::media {

struct ReceiverConfig {
  IngressConfig ingress;
  Duration latency = std::chrono::milliseconds(100);
  Time zero{};  // of the timeline
  // False: authentic Opus, in order and placed, but not decoded; holes are `plc` without samples.
  bool decode = true;
  // Packets that wait, all speakers together; what comes beyond is counted as evicted.
  std::size_t max_packet_bytes = 16 * 1024 * 1024;
};

enum class FrameKind : std::uint8_t { audio, fec, plc, silence };

// Valid during the call that hands it over.
struct DecodedFrame {
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;
  FrameKind kind = FrameKind::audio;
  std::int64_t sample = 0;    // of its first sample since `zero`, at 48 kHz
  std::uint32_t samples = 0;  // per channel, 1-5760
  PcmSpan pcm;                // stereo, interleaved; empty when nothing is decoded
  ByteSpan opus;              // the authentic packet; empty for fec and plc
  std::uint64_t id = 0;       // of the datagram it comes from, or which made the hole known
  std::uint64_t sequence = 0;
  std::uint32_t timestamp = 0;
  bool discont = false;  // the first, or something is missing before it
  bool marker = false;   // as on the wire
  bool resync = false;   // the sender restarted its numbering
  // Of a hole that is not concealed (`decode` is false): packets that are lost, the first of which
  // has `sequence`, and samples of each; `samples` is what is worth concealing.
  std::uint64_t lost_packets = 0;
  std::uint32_t lost_each = 0;
  std::uint8_t audio_level = 255;  // -dBov, 255 = not known
  std::uint8_t speaking_flags = 1;
};

// Must not call back into the receiver, except for what `boundary` allows.
class ReceiverSink {
 public:
  virtual ~ReceiverSink() = default;
  // Per SSRC in the order of the timeline, never overlapping.
  virtual void frame(const DecodedFrame& frame) = 0;
  virtual void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) = 0;
  virtual void rtcp(ByteSpan compound, Time arrival) = 0;
  // The packet of this id is about to be looked at, or decoded.
  virtual void working_on(std::uint64_t id) = 0;
  // Between two packets: `ledger`, `checkpoint`, `touched` and `finished` are consistent.
  virtual void boundary() = 0;
};

// Sans-I/O: time is handed in and must not run backwards by more than jitter. A call first does
// everything that was due before it, at the time it was due, so the result does not depend on how
// often `advance` is called. Not for two threads at once.
class Receiver {
 public:
  explicit Receiver(const ReceiverConfig& config);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // See Ingress for these.
  bool set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key, Time now,
               ReceiverSink& sink);
  void clear_key() { ingress_.clear_key(); }
  bool map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now, ReceiverSink& sink);
  void retire(std::uint32_t ssrc, Time now, ReceiverSink& sink);
  void admit(std::uint64_t user_id, Admission admission, Time now, ReceiverSink& sink);
  void need_users(bool needed, Time now, ReceiverSink& sink);
  void forget_all(Time now, ReceiverSink& sink);
  void set_media_keys(dave::MediaKeysPtr keys, Time published, Time now, ReceiverSink& sink);
  void restore_mark(const dave::SenderMark& mark, Time now) { ingress_.restore_mark(mark, now); }
  std::optional<std::uint64_t> take_recovery_request(Time now) noexcept {
    return ingress_.take_recovery_request(now);
  }
  void set_hold_time(Duration hold_time);
  void set_latency(Duration latency);

  // A datagram of any kind, copied. `id` comes back in `finished` once the packet has left.
  void push(ByteSpan datagram, std::uint64_t id, Time arrival, ReceiverSink& sink);
  // Does what is due by `now`.
  void advance(Time now, ReceiverSink& sink);
  // Not later than the next time at which something is due.
  Deadline next_deadline() const noexcept { return earliest_; }
  // End of the stream: whatever waits leaves or is dropped.
  void drain(Time now, ReceiverSink& sink);

  // Ids that have left, until `clear_finished`, which is the caller's to call now and then.
  const std::vector<PacketStore::Finished>& finished() const noexcept { return store_.finished(); }
  void clear_finished() noexcept { store_.clear_finished(); }

  // Every packet has one final cause; adds up between calls and at a boundary.
  Ledger ledger() const;
  std::vector<SpeakerStats> speakers() const;

  // SSRCs whose checkpoint or row has changed since `clear_touched`; a few may come twice or have
  // gone.
  const std::vector<std::uint32_t>& touched() const noexcept { return touched_; }
  void clear_touched() noexcept;
  // False for an SSRC that nobody has been authenticated under, or of whom nothing has left yet.
  bool checkpoint(std::uint32_t ssrc, SpeakerCheckpoint& out) const;
  // The row of statistics of an SSRC; false when there is none.
  bool row(std::uint32_t ssrc, SpeakerStats& out) const;
  // Takes over a speaker that this receiver has not seen. `warm_up` then hands it the speaker's
  // last packets, oldest first. False when it is known already, when there is no room, or when the
  // numbers are impossible.
  bool restore(std::uint32_t ssrc, const SpeakerCheckpoint& from,
               const SequenceHistory::Words& history, Time now);
  void warm_up(std::uint32_t ssrc, ByteSpan opus);

 private:
  struct Item {
    AudioPacket packet;
    PacketStore::Handle handle;
  };
  using Queue = ReorderQueue<Item>;
  struct Track;
  class Adapter;

  Track* track_for(const AudioPacket& packet, Time now, ReceiverSink& sink);
  Track* add_track(std::uint32_t ssrc, Time now, ReceiverSink& sink);
  void remove_track(std::uint32_t ssrc, Time now, ReceiverSink& sink);
  void pop(Track& track, Time now, ReceiverSink& sink);
  void emit(Track& track, Queue::Packet packet, ReceiverSink& sink);
  void fill_hole(Track& track, const Placement& placement, std::uint64_t packets, ByteSpan next,
                 DecodedFrame frame, ReceiverSink& sink);
  void touch(std::uint32_t ssrc);
  void announce_hole(const Placement& placement, std::uint64_t packets, std::uint64_t sequence,
                     DecodedFrame frame, ReceiverSink& sink);
  void due(Deadline deadline) noexcept { earliest_ = earlier(earliest_, deadline); }
  Deadline exact_deadline() const;
  static Time arrival_of(const Track& track, const AudioPacket& packet);
  static Ledger ledger_of(const Track& track);

  ReceiverConfig config_;
  PacketStore store_;
  Ingress<PacketStore::Handle> ingress_;
  // Decoder states of all tracks, in one piece; pages that nobody has used cost nothing.
  struct SlotDeleter {
    void operator()(std::uint8_t* p) const noexcept;
  };
  std::unique_ptr<std::uint8_t[], SlotDeleter> slots_;
  std::vector<std::size_t> free_slots_;
  std::unordered_map<std::uint32_t, std::unique_ptr<Track>> tracks_;
  Ledger departed_;            // of tracks that are gone
  std::uint64_t refused_ = 0;  // datagrams there was no memory for
  std::vector<std::uint32_t> touched_;
  std::vector<std::uint32_t> touched_rows_;  // those of them that have no track
  Deadline earliest_;
  std::vector<std::int16_t> pcm_;
};

}  // namespace discord::media
