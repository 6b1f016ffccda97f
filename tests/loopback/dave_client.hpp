// A client's side of an end-to-end encrypted call, for the server's own tests: the library's
// session and opener, without anything around them.
#pragma once

#include "speaker_member.hpp"

#include "dave/frame_opener.hpp"

#include <nlohmann/json.hpp>

namespace discord::loopback {

class DaveClient {
 public:
  // `stage`: downgrades are taken.
  DaveClient(std::uint64_t id, std::uint64_t channel, std::uint64_t seed, bool stage = true);

  // After Identify.
  void begin(Time now);
  void described(int version, Time now);
  void joined(const std::vector<std::uint64_t>& users) { session.on_users_joined(users); }
  void left(std::uint64_t other) { session.on_user_left(other); }
  // Opcodes 21 to 30.
  void receive(const DaveMessage& message, Time now);
  // As they come from the wire; what does not concern the encryption is ignored.
  void receive_text(const nlohmann::json& message, Time now);
  void receive_binary(ByteSpan bytes, Time now);
  void on_timer(Time now);

  std::vector<SpeakerMember::Reply> take_replies() { return std::exchange(replies_, {}); }
  static nlohmann::json to_text(const SpeakerMember::Reply& reply);

  // Opens in place.
  dave::OpenedFrame open(std::uint64_t sender, Bytes& frame, Time now) {
    return opener.open(sender, frame, now);
  }

 private:
  SeededRandom random_;

 public:
  const std::uint64_t user;
  dave::Session session;
  dave::FrameOpener opener;
  dave::Encryption encryption;
  std::vector<std::string> notices;
  std::optional<std::string> failure;
  std::vector<int> received;  // opcodes

 private:
  void take(dave::Out out, Time now);

  std::uint64_t channel_;
  bool stage_;
  std::vector<SpeakerMember::Reply> replies_;
};

}  // namespace discord::loopback
