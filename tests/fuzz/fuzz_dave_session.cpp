// All opcodes of the DAVE gateway, users and time into one session.
// Input: one byte policy, then records of one byte kind, two bytes argument, two bytes length,
// content.
#include "dave/session.hpp"

#include <algorithm>
#include <cstdlib>

using namespace discord;
using namespace discord::dave;

namespace {

struct World {
  explicit World(std::uint8_t flags)
      : session(static_cast<Policy>(flags % 3), *mls::KeyPair::generate(random), random) {
    session.begin({1, 77, (flags & 4) != 0}, now, out);
    check();
  }

  void record(std::uint8_t kind, std::uint16_t argument, ByteSpan content) {
    const auto small = static_cast<int>(argument & 3) - 1;
    const bool was_failed = session.failed();
    switch (kind % 12) {
      case 0:
        session.on_session_description(small, now, out);
        break;
      case 1: {
        std::vector<std::uint64_t> users;
        for (const std::uint8_t byte : content) {
          users.push_back(byte);
        }
        session.on_users_joined(users);
        break;
      }
      case 2:
        session.on_user_left(argument);
        break;
      case 3:
        session.on_prepare_transition(argument >> 2 & 7, small, now, out);
        break;
      case 4:
        session.on_execute_transition(argument >> 2 & 7, now, out);
        break;
      case 5:
        session.on_prepare_epoch(small, argument >> 2 & 3, now, out);
        break;
      case 6:
        session.on_external_sender(content, now, out);
        break;
      case 7:
        session.on_proposals(static_cast<std::uint8_t>(argument & 3), content, now, out);
        break;
      case 8:
        session.on_announce_commit(argument & 7, content, now, out);
        break;
      case 9:
        session.on_welcome(argument & 7, content, now, out);
        break;
      case 10:
        now += std::chrono::milliseconds(argument);
        session.on_timer(now, out);
        if (session.next_deadline() && *session.next_deadline() <= now) {
          std::abort();  // would spin
        }
        break;
      case 11:
        session.on_undecryptable(argument, now, out);
        break;
    }
    if (was_failed && !out.empty()) {
      std::abort();
    }
    check();
  }

  void check() {
    bool failed = false;
    for (const Action& action : out) {
      if (failed) {
        std::abort();  // nothing comes after a failure
      }
      failed = std::holds_alternative<Fail>(action);
      if (const auto* publish = std::get_if<PublishKeys>(&action);
          publish != nullptr && publish->keys->epochs.size() > max_media_epochs) {
        std::abort();
      }
    }
    if (failed != (session.failed() && !out.empty()) || out.size() > 64) {
      std::abort();
    }
    out.clear();
  }

  mls::SystemRandom random;
  Time now = time_from_ns(1);
  Out out;
  Session session;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader reader(ByteSpan(data, size));
  World world(reader.u8());
  for (int i = 0; i < 100 && reader.remaining() >= 5; ++i) {
    const std::uint8_t kind = reader.u8();
    const std::uint16_t argument = reader.u16();
    const std::size_t length = reader.u16();
    world.record(kind, argument, reader.take(std::min(length, reader.remaining())));
  }
  return 0;
}
