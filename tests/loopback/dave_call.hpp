// The end-to-end encryption of one call: the delivery service and the speakers who are members.
// Messages for clients come out; the rest stays inside. Without sockets and clocks.
#pragma once

#include "speaker_member.hpp"

namespace discord::loopback {

struct DaveOptions {
  DeliveryOptions delivery;
  SpeakerDaveOptions speakers;
  // Opcodes 29 and 30 reach clients so much later than speakers, and with them what comes after.
  Duration commit_lag{0};
};

// What the members of one epoch see, to be compared with what a client shows.
struct PrivacyCode {
  std::uint64_t group = 0;
  std::uint64_t epoch = 0;
  std::string code;                    // 30 digits
  std::vector<std::uint64_t> members;  // ascending
};

class DaveCall {
 public:
  DaveCall(DaveOptions options, std::uint64_t channel, std::uint64_t seed);

  DeliveryService& service() noexcept { return service_; }
  const DeliveryService& service() const noexcept { return service_; }
  int version() const noexcept { return service_.version(); }

  // Speakers are told the version at once. Clients have to be told of a speaker (opcode 11 or 13)
  // before what this causes is sent to them.
  void speaker_joined(std::uint64_t user, Time now);
  // All of them in one commit.
  void speakers_joined(const std::vector<std::uint64_t>& users, Time now);
  void client_joined(std::uint64_t user, Time now);
  // The session description has been sent.
  void client_described(std::uint64_t user, Time now);
  void left(std::uint64_t user, Time now);

  // Opcodes 26 and 28; says what the client is to be closed for.
  std::optional<DaveRefusal> client_binary(std::uint64_t user, int op, ByteSpan body, Time now);
  // Opcodes 23 and 31.
  void client_text(std::uint64_t user, int op, int transition_id, Time now);

  void advance(Time now);
  Deadline next_deadline() const noexcept;

  // In order of sending.
  std::vector<DaveMessage> take_messages() { return std::exchange(to_clients_, {}); }
  std::vector<std::string> take_complaints();

  // Encrypts what a speaker says; see SpeakerMember.
  void seal(std::uint64_t user, Packet& packet, Time now);
  // Applies to all speakers from now on.
  void set_speaker_options(const SpeakerDaveOptions& options);
  const SpeakerDaveOptions& speaker_options() const noexcept { return options_.speakers; }
  void set_commit_lag(Duration lag) noexcept { options_.commit_lag = lag; }

  const SpeakerMember* speaker(std::uint64_t user) const noexcept;
  // The digits that a speaker and another member compare, as the speaker works them out; takes
  // about 60 ms. Nothing unless both are in its group.
  std::optional<std::string> verification_code(std::uint64_t speaker, std::uint64_t other) const;
  // Of every epoch that a speaker has seen, oldest first; the last `kept_codes`.
  const std::deque<PrivacyCode>& codes() const noexcept { return codes_; }
  static constexpr std::size_t kept_codes = 1000;

 private:
  void pump(Time now);
  void note_code();

  DaveOptions options_;
  std::uint64_t channel_;
  std::uint64_t seed_;
  std::uint64_t members_made_ = 0;
  DeliveryService service_;
  std::map<std::uint64_t, std::unique_ptr<SpeakerMember>> speakers_;
  std::set<std::uint64_t> present_;
  std::deque<std::pair<Time, DaveMessage>> lagging_;  // for clients, each with its time
  std::vector<DaveMessage> to_clients_;
  std::vector<std::string> complaints_;
  std::deque<PrivacyCode> codes_;
};

}  // namespace discord::loopback
