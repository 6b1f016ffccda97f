// A whole voice session under hostile text, binary frames, datagrams, closes and time.
// Input: records of one byte kind, two bytes length, content.
#include "rtp/discovery.hpp"
#include "voice/session.hpp"

#include <cstdlib>

using namespace discord;
using namespace discord::voice;

namespace {

struct World {
  World(bool prime, bool can_renew)
      : session({"h:1", "s", SecretString("t"), 1, 2, 3},
                Options{.prime = prime, .can_renew = can_renew}, [this] { return ++nonce; }) {}

  void record(std::uint8_t kind, ByteSpan content) {
    const Generation socket = session.socket_generation();
    const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
    switch (kind % 10) {
      case 0:
      case 1:
        session.on_text(socket, text, now, out);
        break;
      case 2:
        session.on_binary(socket, content, now, out);
        break;
      case 3:
        session.on_datagram(session.media_generation(), content, now, out);
        break;
      case 4:
        session.on_socket_closed(
            socket, content.size() < 2 ? std::nullopt : std::optional(load_be16(content.data())),
            text, now, out);
        break;
      case 5:
        session.on_socket_error(
            socket, static_cast<SocketError>(content.empty() ? 0 : content[0] % 4), text, now, out);
        break;
      case 6:
        now += std::chrono::milliseconds(content.size() < 2 ? 1 : load_be16(content.data()));
        session.on_timer(now, out);
        break;
      case 7:
        session.on_socket_open(socket, now, out);
        break;
      case 8:
        session.on_datagram(session.media_generation(),
                            *rtp::make_discovery_reply(session.ssrc(), "192.0.2.1", 9), now, out);
        break;
      case 9:
        session.renew({"h:2", "s", SecretString("t"), 1, 2, 3}, now, out);
        break;
    }
    check();
  }

  // What must hold whatever came in.
  void check() {
    for (const Action& action : out) {
      sockets += std::holds_alternative<OpenUdp>(action);
      sockets -= std::holds_alternative<CloseUdp>(action);
      const bool failed = std::holds_alternative<Fail>(action);
      if (failed && session.state() != State::Failed) {
        std::abort();
      }
    }
    out.clear();
    const State state = session.state();
    const bool over = state == State::Failed || state == State::Stopped;
    if (sockets < 0 || sockets > 1 || (over && (sockets != 0 || session.next_deadline())) ||
        (!over && !session.next_deadline()) || session.last_seq() < -1 ||
        session.last_seq() > 65535) {
      std::abort();
    }
  }

  std::uint64_t nonce = 0;
  int sockets = 0;
  Time now = time_from_ns(0);
  Out out;
  Session session;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader reader(ByteSpan(data, size));
  const std::uint8_t flags = reader.u8();
  World world((flags & 1) != 0, (flags & 2) != 0);
  world.session.start(world.now, world.out);
  world.check();
  while (reader.ok() && reader.remaining() >= 3) {
    const std::uint8_t kind = reader.u8();
    const std::size_t length = reader.u16();
    world.record(kind, reader.take(std::min(length, reader.remaining())));
  }
  world.session.stop(world.now, world.out);
  world.check();
  return 0;
}
