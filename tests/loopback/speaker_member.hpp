// A speaker's part in an end-to-end encrypted call: a member with a key of its own that seals what
// it says. docs/protocol/dave.md "Opcodes".
#pragma once

#include "delivery_service.hpp"
#include "speaker.hpp"

#include "dave/session.hpp"

namespace discord::loopback {

struct SpeakerDaveOptions {
  // New keys so long after opcode 29 or 30 instead of at 22, as with some libraries. With nothing
  // in between a frame may overtake the receiver's own 29.
  std::optional<Duration> early_epoch;
  double passthrough = 0;  // percent of speech frames that are sent without encryption
};

// Numbers that a seed repeats; for tests only.
class SeededRandom final : public mls::RandomSource {
 public:
  explicit SeededRandom(std::uint64_t seed) : random_(seed) {}
  [[nodiscard]] bool fill(MutableByteSpan out) noexcept override {
    for (std::uint8_t& b : out) {
      b = static_cast<std::uint8_t>(random_.next());
    }
    return true;
  }

 private:
  Random random_;
};

class SpeakerMember {
 public:
  // What it has to say to the delivery service: opcode 26 or 28 with a body, 23 or 31 with an id.
  struct Reply {
    int op = 0;
    Bytes body;
    int transition_id = 0;
  };

  SpeakerMember(std::uint64_t user, std::uint64_t channel, SpeakerDaveOptions options,
                std::uint64_t seed);
  SpeakerMember(const SpeakerMember&) = delete;
  SpeakerMember& operator=(const SpeakerMember&) = delete;

  SpeakerDaveOptions& options() noexcept { return options_; }

  // Has been told the version of the call. Once.
  void begin(int version, const std::vector<std::uint64_t>& present, Time now);
  void joined(std::uint64_t user);
  void left(std::uint64_t user);
  void receive(const DaveMessage& message, Time now);
  void on_timer(Time now);
  Deadline next_deadline() const noexcept { return session_.next_deadline(); }

  std::vector<Reply> take_replies() { return std::exchange(replies_, {}); }
  // What it could not follow.
  std::vector<std::string> take_troubles() { return std::exchange(troubles_, {}); }

  // Replaces the payload by what is sent, and notes in the packet how.
  void seal(Packet& packet, Time now);

  const dave::Session& session() const noexcept { return session_; }

 private:
  // Numbers of an epoch for the record.
  struct EpochName {
    std::uint64_t group = 0;
    std::uint64_t epoch = 0;
    friend bool operator==(const EpochName&, const EpochName&) = default;
  };

  void take(dave::Out out);
  void choose_keys(Time now);

  std::uint64_t user_;
  std::uint64_t channel_;
  SpeakerDaveOptions options_;
  SeededRandom random_;
  Random draws_;
  dave::Session session_;
  std::vector<Reply> replies_;
  std::vector<std::string> troubles_;
  EpochName entered_;  // of the last 29 or 30
  Time entered_at_{};
  std::deque<std::pair<dave::EpochSerial, EpochName>> names_;
  dave::EpochSerial newest_serial_ = 0;
  std::optional<dave::SendRatchet> ratchet_;
  dave::EpochSerial ratchet_serial_ = 0;
  EpochName ratchet_name_;
  Bytes scratch_;
};

}  // namespace discord::loopback
