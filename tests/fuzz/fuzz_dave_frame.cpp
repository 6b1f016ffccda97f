// Frames into an opener that has the keys: raw ones, and ones that are sealed here, so that hostile
// footers, nonces and times get past the authentication.
// Input: records of one byte kind, one byte argument, two bytes length, content.
#include "dave/epoch_list.hpp"
#include "dave/frame_opener.hpp"

#include <algorithm>
#include <cstdlib>

using namespace discord;
using namespace discord::dave;

namespace {

BaseSecret base(std::uint8_t epoch, std::uint8_t user) {
  std::array<std::uint8_t, 16> bytes{};
  bytes[0] = epoch;
  bytes[1] = user;
  return BaseSecret(bytes);
}

struct World {
  void publish() {
    auto keys = std::make_shared<MediaKeys>();
    keys->active = active;
    keys->passthrough = passthrough;
    keys->epochs = epochs.entries();
    opener.use(std::move(keys), now);
  }

  void open(std::uint8_t user, Bytes frame, const Bytes* expected) {
    const Bytes before = frame;
    const OpenedFrame opened = opener.open(user, frame, now);
    if (opened.plain.size() > frame.size() ||
        (!opened.deliverable() && (frame != before || !opened.plain.empty())) ||
        (opened.outcome == FrameOutcome::opened && expected != nullptr &&
         !std::ranges::equal(opened.plain, *expected))) {
      std::abort();
    }
    if (opened.outcome == FrameOutcome::opened) {
      Bytes again = before;
      if (opener.open(user, again, now).outcome != FrameOutcome::replayed) {
        std::abort();
      }
    }
  }

  // Content: nonce, number of ranges, pairs of 16-bit numbers, media.
  void seal(std::uint8_t argument, ByteSpan content) {
    ByteReader reader(content);
    const std::uint32_t nonce = reader.u32();
    std::vector<ClearRange> ranges(reader.u8() % 8);
    for (ClearRange& range : ranges) {
      range.offset = reader.u16();
      range.size = reader.u16();
    }
    if (!reader.ok()) {
      return;
    }
    const Bytes plain(reader.rest().begin(), reader.rest().end());
    const auto user = static_cast<std::uint8_t>(argument % 3 + 1);
    KeyChain chain(base(static_cast<std::uint8_t>(epoch - argument / 64), user));
    for (std::uint32_t g = 0; g < nonce >> 28; ++g) {
      chain.take();
    }
    FrameCipher cipher(chain.take());
    Bytes out(plain.size() + frame_max_footer);
    if (const auto frame = cipher.seal(plain, nonce, ranges, out)) {
      open(user, Bytes(frame->begin(), frame->end()), &plain);
    }
  }

  void record(std::uint8_t kind, std::uint8_t argument, ByteSpan content) {
    switch (kind % 7) {
      case 0:
        open(argument % 5, Bytes(content.begin(), content.end()), nullptr);
        break;
      case 1:
      case 2:
        seal(argument, content);
        break;
      case 3:
        now += std::chrono::seconds(content.size() < 4 ? argument : load_be32(content.data()) >> 4);
        static_cast<void>(opener.take_recovery_request(now));
        if (epochs.expire(now)) {
          publish();
        }
        break;
      case 4: {
        std::vector<SenderKey> senders;
        ++epoch;
        for (std::uint8_t user = 1; user <= 3; ++user) {
          if ((argument >> user) & 1) {
            senders.push_back({user, base(epoch, user)});
          }
        }
        last = epochs.add(epoch, std::move(senders), now);
        publish();
        break;
      }
      case 5:
        epochs.execute(last, now);
        active = (argument & 1) == 0;
        passthrough = (argument & 2) != 0;
        publish();
        break;
      case 6: {
        const auto marks = opener.marks();
        if (marks.size() > 3 * max_media_epochs) {
          std::abort();
        }
        opener = FrameOpener();
        publish();
        opener.restore(marks, now);
        break;
      }
    }
  }

  Time now = time_from_ns(1);
  bool active = true, passthrough = false;
  std::uint8_t epoch = 0;
  EpochSerial last = 0;
  EpochList epochs;
  FrameOpener opener;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  World world;
  world.record(4, 0xFF, {});
  ByteReader reader(ByteSpan(data, size));
  for (int i = 0; i < 200 && reader.remaining() >= 4; ++i) {
    const std::uint8_t kind = reader.u8();
    const std::uint8_t argument = reader.u8();
    const std::size_t length = reader.u16();
    world.record(kind, argument, reader.take(std::min(length, reader.remaining())));
  }
  return 0;
}
