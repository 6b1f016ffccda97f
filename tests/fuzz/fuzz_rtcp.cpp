// A compound RTCP packet after opening; every view that comes out is read to its end.
#include "rtp/rtcp.hpp"

#include <cstdlib>

using namespace discord;
using namespace discord::rtp;

namespace {

std::uint32_t sum = 0;

void touch(ByteSpan bytes) {
  for (const std::uint8_t b : bytes) {
    sum += b;
  }
}
void touch(const ReportBlocks& blocks) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    sum += blocks.at(i).ssrc + static_cast<std::uint32_t>(blocks.at(i).cumulative_lost);
  }
}

struct Reader {
  void operator()(const SenderReport& p) const { touch(p.blocks); }
  void operator()(const ReceiverReport& p) const { touch(p.blocks); }
  void operator()(const SourceDescription& p) const {
    p.for_each_item([](std::uint32_t, std::uint8_t, ByteSpan text) { touch(text); });
  }
  void operator()(const Bye& p) const {
    for (std::size_t i = 0; i < p.size(); ++i) {
      sum += p.source(i);
    }
    touch(p.reason.value_or(ByteSpan()));
  }
  void operator()(const App& p) const { touch(p.data); }
  void operator()(const RtcpFeedback& p) const { touch(p.control); }
  void operator()(const UnknownRtcp& p) const { touch(p.body); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  CompoundReader reader(ByteSpan(data, size));
  std::size_t packets = 0;
  while (!reader.at_end()) {
    const auto packet = reader.next();
    if (packet.ok()) {
      std::visit(Reader{}, *packet);
    } else if (!reader.at_end()) {
      std::abort();
    }
    if (++packets > size / 4 + 1) {
      std::abort();  // each packet takes at least its header
    }
  }
  return 0;
}
