// Everything that reaches an audio bot's socket besides audio: video, RTCP, forgeries.
#pragma once

#include "call.hpp"
#include "forwarder.hpp"

namespace discord::loopback {

struct NoiseOptions {
  bool video = false;  // pt 101 with an SSRC of its own, 30 frames a second
  Duration rtcp{0};    // > 0: RR, and SR with SDES for each speaker, so often
  double forged = 0;   // datagrams a second that look like a speaker's but do not open
};

// Sends noise to every started client of one call. Deterministic in what it sends.
class Noise {
 public:
  Noise(NoiseOptions options, std::uint64_t seed) : options_(options), random_(seed) {}

  NoiseOptions& options() noexcept { return options_; }
  Deadline next_deadline(const Call& call) const noexcept;
  void advance(Call& call, Forwarder& forwarder, Time now);

  // `count` forged datagrams at once: right form, a speaker's SSRC, any sequence, a bad tag.
  std::uint64_t forge(Call& call, Forwarder& forwarder, std::uint64_t count, Time now);

 private:
  void send_video(Call& call, Forwarder& forwarder, Time now);
  void send_rtcp(Call& call, Forwarder& forwarder, Time now);

  NoiseOptions options_;
  Random random_;
  std::optional<Time> next_video_;
  std::optional<Time> next_rtcp_;
  std::optional<Time> next_forged_;
  std::uint16_t video_sequence_ = 65000;
  std::uint32_t video_timestamp_ = 0xFFFF0000;
};

}  // namespace discord::loopback
