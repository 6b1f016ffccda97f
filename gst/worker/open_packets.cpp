#include "worker/open_packets.hpp"

#include <algorithm>
#include <utility>

namespace discord::worker {

OpenPacket* OpenPackets::add(ByteSpan datagram, std::uint32_t ssrc, Time arrival) {
  if (packets_.size() >= max_packets || bytes_ + datagram.size() > max_bytes) {
    return nullptr;
  }
  OpenPacket packet;
  packet.id = next_id_++;
  if (!spare_.empty()) {
    packet.bytes = std::move(spare_.back());
    spare_.pop_back();
  }
  packet.bytes.assign(datagram.begin(), datagram.end());
  packet.arrival = arrival;
  packet.ssrc = ssrc;
  ++count_;
  bytes_ += packet.bytes.size();
  return &packets_.emplace_back(std::move(packet));
}

OpenPacket* OpenPackets::find(std::uint64_t id) noexcept {
  if (packets_.empty() || id < packets_.front().id || id >= next_id_) {
    return nullptr;
  }
  OpenPacket& packet = packets_[static_cast<std::size_t>(id - packets_.front().id)];
  return packet.done ? nullptr : &packet;
}
const OpenPacket* OpenPackets::find(std::uint64_t id) const noexcept {
  return const_cast<OpenPackets*>(this)->find(id);
}

const OpenPacket* OpenPackets::next(std::uint64_t id) const noexcept {
  if (packets_.empty() || id >= next_id_) {
    return nullptr;
  }
  const std::uint64_t first = packets_.front().id;
  for (std::size_t at = id > first ? static_cast<std::size_t>(id - first) : 0; at < packets_.size();
       ++at) {
    if (!packets_[at].done) {
      return &packets_[at];
    }
  }
  return nullptr;
}

void OpenPackets::close(OpenPacket& packet) {
  packet.done = true;
  --count_;
  bytes_ -= packet.bytes.size();
  packet.bytes.clear();
  spare_.push_back(std::move(packet.bytes));
  while (!packets_.empty() && packets_.front().done) {
    packets_.pop_front();
  }
}

bool OpenPackets::has(std::uint32_t ssrc) const noexcept {
  return std::any_of(packets_.begin(), packets_.end(),
                     [&](const OpenPacket& packet) { return !packet.done && packet.ssrc == ssrc; });
}

}  // namespace discord::worker
