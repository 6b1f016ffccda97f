// What arrives on the socket, before anything is opened: classify, discovery, pings.
#include "rtp/classify.hpp"
#include "rtp/discovery.hpp"

#include <cstdlib>

using namespace discord;
using namespace discord::rtp;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  const DatagramKind kind = classify(bytes);
  const auto reply = parse_discovery_reply(bytes);
  if ((kind == DatagramKind::discovery_reply) != reply.ok()) {
    std::abort();
  }
  // Whatever was accepted must be what a server writes for it.
  if (reply.ok() && !make_discovery_reply(reply->ssrc, reply->address(), reply->port)) {
    std::abort();
  }
  if ((kind == DatagramKind::ping_reply) != parse_ping_reply(bytes).has_value()) {
    std::abort();
  }
  const auto answer = server_side_reply(bytes, "203.0.113.7", 50004);
  if (answer && answer->size() != size) {
    std::abort();
  }
  return 0;
}
