// What tests of whole calls need besides the gateway: everybody talks, and many come at once.
#pragma once

#include "dave_rig.hpp"

namespace discord::dave::rig {

// Everybody says something; everybody who shares the sender's epoch has to hear it.
struct Media {
  explicit Media(Gateway& gateway) : g(gateway) {}

  void speak(Client& from) {
    const std::string code = from.sending_code();
    if (code.empty()) {
      return;  // nobody to speak to
    }
    Bytes plain{0x78, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    store_be64(plain.data() + 1, ++words);
    const Bytes frame = from.seal(plain);
    for (Client* to : g.present()) {
      if (to->id == from.id) {
        continue;
      }
      if (words % 20 == 0) {
        // Somebody in between takes the encryption off, or sends nonsense.
        EXPECT_EQ(to->hear(from.id, plain), FrameOutcome::not_a_frame);
        Bytes forged = frame;
        forged[3] ^= 0x80;
        EXPECT_NE(to->hear(from.id, forged), FrameOutcome::opened);
      }
      if (to->told_codes.contains(code)) {
        ASSERT_EQ(to->hear(from.id, frame), FrameOutcome::opened)
            << from.id << " to " << to->id << " at epoch " << g.epoch;
        ASSERT_EQ(to->heard.back(), plain);
        EXPECT_EQ(to->hear(from.id, frame), FrameOutcome::replayed);
        ++good;
      }
    }
  }
  void round() {
    for (Client* c : g.present()) {
      speak(*c);
    }
    g.advance(20ms);
  }

  Gateway& g;
  std::uint64_t words = 0, good = 0;
};

inline void join_many(Gateway& g, std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t id = first; id <= last; ++id) {
    g.join(id);
  }
}

}  // namespace discord::dave::rig
