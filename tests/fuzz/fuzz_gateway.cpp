// A whole main gateway session under hostile text, closes and time.
// Input: records of one byte kind, two bytes length, content.
#include "base/bytes.hpp"
#include "voice/main_gateway.hpp"

#include <cstdlib>

using namespace discord;
using namespace discord::voice;

namespace {

struct World {
  World() : gateway({SecretString("t"), "", {}, {}}, [this] { return ++nonce; }) {}

  void record(std::uint8_t kind, ByteSpan content) {
    const Generation socket = gateway.socket_generation();
    const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
    const std::uint16_t number = content.size() < 2 ? 0 : load_be16(content.data());
    switch (kind % 10) {
      case 0:
      case 1:
      case 2:
        gateway.on_text(socket, text, now, out);
        break;
      case 3:
        gateway.on_socket_closed(socket, number == 0 ? std::nullopt : std::optional(number), text,
                                 now, out);
        break;
      case 4:
        gateway.on_socket_error(
            socket, static_cast<SocketError>(content.empty() ? 0 : content[0] % 5), text, now, out);
        break;
      case 5:
        now += std::chrono::milliseconds(1 + number);
        gateway.on_timer(now, out);
        break;
      case 6:
        gateway.on_socket_open(socket, now, out);
        break;
      case 7:
        seat = gateway.join({1, number, true, false, false}, now, out);
        break;
      case 8:
        gateway.change(seat, {1, number, number % 2 == 0, false, false}, now, out);
        gateway.want_name(seat, number, now, out);
        break;
      case 9:
        number % 2 == 0 ? gateway.renew(seat, now, out) : gateway.leave(seat, now, out);
        break;
    }
    check();
  }

  // What must hold whatever came in.
  void check() {
    for (const gateway::Action& action : out) {
      const auto* failed = std::get_if<gateway::SeatFailed>(&action);
      const auto* given = std::get_if<gateway::SeatCredentials>(&action);
      if ((failed != nullptr && failed->message.empty()) ||
          (given != nullptr &&
           (given->credentials.endpoint.empty() || given->credentials.token.empty()))) {
        std::abort();
      }
    }
    out.clear();
    const bool over =
        gateway.state() == gateway::State::Failed || gateway.state() == gateway::State::Stopped;
    if (gateway.seats() > 1 || (over && (gateway.next_deadline() || gateway.seats() != 0)) ||
        (!over && !gateway.next_deadline() && gateway.state() != gateway::State::Ready)) {
      std::abort();
    }
  }

  std::uint64_t nonce = 0;
  gateway::SeatId seat = 0;
  Time now = time_from_ns(0);
  gateway::Out out;
  MainGateway gateway;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader reader(ByteSpan(data, size));
  World world;
  world.gateway.start(world.now, 1'800'000'000, world.out);
  world.check();
  while (reader.ok() && reader.remaining() >= 3) {
    const std::uint8_t kind = reader.u8();
    const std::size_t length = reader.u16();
    world.record(kind, reader.take(std::min(length, reader.remaining())));
  }
  world.gateway.stop(world.now, world.out);
  world.check();
  return 0;
}
