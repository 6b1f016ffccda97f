// What a receiver keeps for each speaker; for its own parts only.
#pragma once

#include "media/receiver.hpp"

namespace discord::media {

struct Receiver::Track {
  Track(std::uint32_t of, std::size_t slot_index, MutableByteSpan memory,
        const ReceiverConfig& config)
      : ssrc(of), slot(slot_index), queue(config.latency), timeline(config.zero), decoder(memory) {}

  std::uint32_t ssrc;
  std::size_t slot;
  std::uint64_t serial = 0;  // of the row in the speaker table it belongs to
  std::uint64_t user_id = 0;
  Queue queue;
  Timeline timeline;
  rtp::TimestampUnwrapper timestamps;
  SpeakerDecoder decoder;
  std::uint64_t missing = 0;   // declared lost since the last frame
  std::uint64_t silences = 0;  // of those the queue calls played
  std::uint64_t broken = 0;    // likewise
  Lost lost;
  Time last_packet{};
  bool restarted = false;  // somebody else has this SSRC now
  bool touched = false;
};

}  // namespace discord::media
