// The gateway side of DAVE, opcodes 21 to 31, as a state machine (docs/protocol.md "DAVE opcodes"):
// messages and time in, actions and the next deadline out.
#pragma once

#include "dave/epoch_list.hpp"
#include "dave/member.hpp"

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace discord::dave {

inline constexpr int max_protocol_version = 1;
inline constexpr std::uint8_t opcode_key_package = 26;
inline constexpr std::uint8_t opcode_commit_welcome = 28;

// What the user wants of the encryption.
enum class Policy {
  automatic,  // offered; a call that starts without it is taken as it is, a downgrade is not
  required,   // no call without it
  off,        // not offered
};

// One call, from one Identify of the voice gateway to the next.
struct Call {
  std::uint64_t user = 0;
  std::uint64_t channel = 0;
  // Known to be a stage channel, which may go without encryption. A call that starts without is
  // taken for one.
  bool stage = false;
};

// Text of the voice gateway: opcode 23 or 31.
struct SendText {
  std::string text;
};
// Opcode in the first byte: 26 or 28.
struct SendBinary {
  Bytes bytes;
};
// For everybody who opens media, from now on.
struct PublishKeys {
  MediaKeysPtr keys;
};
// What a user may be told. Comes whenever one of the values has changed.
struct Encryption {
  int version = 0;                     // in force; 0 = the call is not end-to-end encrypted
  std::uint64_t epoch = 0;             // 0 = not in a group
  std::vector<std::uint64_t> members;  // ascending, ourselves included
  std::string privacy_code;            // 30 digits; empty without a group
  friend bool operator==(const Encryption&, const Encryption&) = default;
};
// Something came that was not followed; for the log.
struct Notice {
  int op;
  std::string text;
};
// The call cannot go on under the policy, or the group cannot be had. Nothing comes after it until
// the next `begin`. One sentence for the user.
enum class FailKind { version_refused, downgrade_refused, group_lost, no_randomness };
struct Fail {
  FailKind kind;
  std::string message;
};

using Action = std::variant<SendText, SendBinary, PublishKeys, Encryption, Notice, Fail>;
using Out = std::vector<Action>;

// A downgrade that was prepared but not executed lets plain frames in for so long.
inline constexpr Duration downgrade_patience = std::chrono::seconds(24);
inline constexpr Duration recovery_backoff_max = std::chrono::seconds(60);
// Recoveries in a row, without a group in between, before giving up.
inline constexpr unsigned max_recoveries = 10;
inline constexpr std::size_t max_recognised = 10000;

// Not for two threads at once. `random` outlives it.
class Session {
 public:
  // One signature key for the process, so that other users can recognise it.
  Session(Policy policy, mls::KeyPair signature_key, mls::RandomSource& random);

  // For Identify.
  int offered_version() const noexcept { return policy_ == Policy::off ? 0 : max_protocol_version; }

  // Before each Identify (not before a Resume): everything of the old connection is void.
  void begin(const Call& call, Time now, Out& out);
  // The channel is known to be a stage after all, or not to be one.
  void set_stage(bool stage) noexcept { call_.stage = stage; }

  void on_session_description(int version, Time now, Out& out);                     // 4
  void on_users_joined(std::span<const std::uint64_t> users);                       // 11
  void on_user_left(std::uint64_t user);                                            // 13
  void on_prepare_transition(std::uint16_t id, int version, Time now, Out& out);    // 21
  void on_execute_transition(std::uint16_t id, Time now, Out& out);                 // 22
  void on_prepare_epoch(int version, std::uint64_t epoch, Time now, Out& out);      // 24
  void on_external_sender(ByteSpan body, Time now, Out& out);                       // 25
  void on_proposals(std::uint8_t operation, ByteSpan list, Time now, Out& out);     // 27
  void on_announce_commit(std::uint16_t id, ByteSpan message, Time now, Out& out);  // 29
  void on_welcome(std::uint16_t id, ByteSpan body, Time now, Out& out);             // 30

  // What a FrameOpener asked for: the frames of this user cannot be opened any more.
  void on_undecryptable(std::uint64_t user, Time now, Out& out);

  void on_timer(Time now, Out& out);
  Deadline next_deadline() const noexcept;

  // In force: 0 until a session description says otherwise.
  int version() const noexcept { return version_; }
  bool failed() const noexcept { return failed_; }
  const Member* member() const noexcept { return member_ ? &*member_ : nullptr; }
  bool recovering() const noexcept { return recovery_ != Recovery::none; }

  // How our own frames are to be sent: the base secret of the epoch that was executed last, under
  // its serial; nothing for plain frames. A new serial starts a new SendRatchet.
  struct SendState {
    EpochSerial serial;
    BaseSecret base;
  };
  const std::optional<SendState>& send_state() const noexcept { return sending_; }

 private:
  enum class Recovery {
    none,
    waiting,  // for the back-off to pass; no group, no key package
    asked,    // 31 and a new key package are out
  };
  struct Transition {
    std::uint16_t id;
    int version;
    std::optional<SendState> sending;  // with a new epoch
  };
  static constexpr std::size_t max_transitions = 16;
  static constexpr std::size_t max_early_executes = 8;

  bool refuse_version(int op, int version, Out& out);
  bool downgrade_allowed() const noexcept;
  void become_pending(Time now, Out& out);
  void entered_epoch(std::uint16_t id, Time now, Out& out);
  void remember(Transition transition);
  void execute(const Transition& transition, Time now, Out& out);
  void note_refusal(int op, const MemberFailure& failure, Out& out);
  void recover(std::uint16_t id, std::string_view why, Time now, Out& out);
  void ask_again(Time now, Out& out);
  void publish(Out& out);
  void tell(Out& out);
  void fail(FailKind kind, std::string message, Out& out);

  Policy policy_;
  mls::KeyPair signature_key_;
  mls::RandomSource& random_;
  Call call_;
  std::optional<Member> member_;
  UserSet recognised_;
  EpochList epochs_;
  int version_ = 0;
  int prepared_version_ = 0;  // what the next group is for
  bool described_ = false;    // the session description has come
  bool failed_ = false;
  Deadline downgrade_until_;    // a downgrade was prepared: plain frames pass until then
  Deadline passthrough_until_;  // the tail after an upgrade
  std::deque<Transition> transitions_;
  std::deque<std::pair<std::uint16_t, Time>> early_executes_;  // opcode 22 before its group
  std::optional<SendState> sending_;
  std::uint16_t last_transition_ = 0;  // last one that was not 0
  Encryption told_;
  bool ever_told_ = false;

  Recovery recovery_ = Recovery::none;
  std::uint16_t recovery_transition_ = 0;
  unsigned recoveries_ = 0;  // in a row
  unsigned backoff_step_ = 0;
  Deadline recover_at_;
  Deadline backoff_forgotten_at_;
  Deadline undecryptable_allowed_;
};

}  // namespace discord::dave
