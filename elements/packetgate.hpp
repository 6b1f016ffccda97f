// media::Ingress on GstBuffers: datagrams in; RTP buffers, RTCP buffers and messages out.
#pragma once

#include "discord/call_state.hpp"
#include "discord/gstptr.hpp"
#include "elements/outputbatch.hpp"
#include "elements/userfilter.hpp"
#include "media/ingress.hpp"

#include <gst/gst.h>

namespace discord {

// A datagram's buffer, mapped for as long as it is held.
class MappedDatagram {
 public:
  // Takes the buffer; test before use.
  explicit MappedDatagram(BufferPtr buffer);
  MappedDatagram(MappedDatagram&& other) noexcept;
  MappedDatagram& operator=(MappedDatagram&& other) noexcept;
  ~MappedDatagram() { unmap(); }

  explicit operator bool() const noexcept { return mapped_; }
  MutableByteSpan bytes() const noexcept { return {map_.data, map_.size}; }
  // Ends the mapping and gives the buffer away.
  BufferPtr release();

 private:
  void unmap();

  BufferPtr buffer_;
  GstMapInfo map_ = GST_MAP_INFO_INIT;
  bool mapped_ = false;
};

struct GateOutput {
  OutputBatch rtp;
  std::vector<BufferPtr> rtcp;
  std::optional<std::uint64_t> undecryptable;  // a user for whom the group should start over
};

// Not for two threads at once: the element serialises with its mutex.
class PacketGate {
 public:
  // `position` turns a running time into a timestamp of the segment.
  using Position = std::function<GstClockTime(Time)>;

  PacketGate(GstElement* element, media::IngressConfig config, media::UserRule rule)
      : element_(element), ingress_(config), rule_(std::move(rule)) {}

  // Brings keys, users and generation up to date with what the control thread published.
  void apply(const CallSnapshot& call, Time now, GateOutput& out, const Position& position);
  // Who is to be heard, from the next packet on.
  void use_rule(media::UserRule rule, Time now, GateOutput& out, const Position& position);
  // A key from properties, for captures.
  void use_key(transport::Mode mode, const transport::Key& key, Time now, GateOutput& out,
               const Position& position);

  void push(BufferPtr datagram, Time arrival, GateOutput& out, const Position& position);
  void on_timer(Time now, GateOutput& out, const Position& position);
  // Forgets every packet, speaker and user; the key stays, and the next `apply` names the users
  // again.
  void flush(Time now, GateOutput& out, const Position& position);
  void forget_key();
  Deadline next_deadline() const { return ingress_.next_deadline(); }

  void set_hold_time(Duration hold_time) { ingress_.set_hold_time(hold_time); }
  media::Ledger ledger() const { return ingress_.ledger(); }
  // The structure of the `stats` property.
  GstStructure* stats() const;

 private:
  class Sink;

  void tell_rule(const CallSnapshot& call, Time now, Sink& sink);

  GstElement* element_;
  media::Ingress<MappedDatagram> ingress_;
  media::UserRule rule_;
  Admissions admissions_;
  CallSnapshot applied_;
  std::uint64_t unmappable_ = 0;
};

}  // namespace discord
