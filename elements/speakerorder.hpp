// The packets of one SSRC as `discordreorder` keeps them: in order, and placed on the timeline.
#pragma once

#include "discord/gstptr.hpp"
#include "elements/outputbatch.hpp"
#include "media/opus_packet.hpp"
#include "media/reorder_queue.hpp"
#include "media/timeline.hpp"
#include "rtp/unwrap.hpp"

#include <cstdint>
#include <functional>

namespace discord {

// An RTP buffer and what must be known of it to place it.
struct RtpPacket {
  BufferPtr buffer;
  std::uint32_t timestamp = 0;
  std::uint32_t duration = 960;  // samples
  bool silence = false;
  bool quiet = false;
};

// Not for two threads at once.
class SpeakerOrder {
 public:
  // `position` turns a running time into a timestamp of the segment.
  using Position = std::function<GstClockTime(Time)>;

  SpeakerOrder(std::uint32_t ssrc, Duration latency) : ssrc_(ssrc), queue_(latency) {}

  void push(RtpPacket packet, std::uint16_t sequence, Time arrival);
  // A number that was spent on a packet without sound.
  void skip(std::uint16_t sequence, Time now);
  // Moves what may leave by `now` into `out`.
  void pop(Time now, OutputBatch& out, const Position& position);
  // What comes next has nothing to do with what came before, but for its place behind it.
  void restart(Time now, OutputBatch& out, const Position& position);
  // Everything, without waiting for anything: the end of the stream.
  void drain(Time now, OutputBatch& out, const Position& position);

  Deadline next_deadline() const { return queue_.next_deadline(); }
  void set_latency(Duration latency) { queue_.set_latency(latency); }

  std::uint32_t ssrc() const noexcept { return ssrc_; }
  std::uint64_t user_id() const noexcept { return user_id_; }
  Time last_arrival() const noexcept { return last_arrival_; }
  std::uint64_t lost() const { return queue_.lost(); }
  std::uint64_t resyncs() const { return queue_.resyncs(); }
  const media::Ledger& ledger() const { return queue_.ledger(); }

 private:
  using Queue = media::ReorderQueue<RtpPacket>;

  Time due(const Queue::Packet& packet) const;
  void emit(Queue::Packet packet, OutputBatch& out, const Position& position);
  void announce_loss(const media::Placement& placement, std::uint64_t packets,
                     std::uint16_t next_sequence, OutputBatch& out, const Position& position);

  std::uint32_t ssrc_;
  std::uint64_t user_id_ = 0;
  Queue queue_;
  media::Timeline timeline_;
  rtp::TimestampUnwrapper timestamps_;
  std::uint64_t missing_ = 0;  // declared lost since the last packet that left
  Time last_arrival_{};
};

}  // namespace discord
