// The DAVE delivery service of one call: opcodes 21 to 31 as the voice gateway plays them, without
// sockets and clocks. docs/protocol.md "DAVE opcodes".
#pragma once

#include "delivery_group.hpp"
#include "random.hpp"

#include "base/time.hpp"

#include <deque>
#include <map>
#include <string>
#include <vector>

namespace discord::loopback {

// Whose commit counts when several are good.
enum class Prefer {
  first,     // whoever comes first
  clients,   // a client's, when one comes in time
  speakers,  // a speaker's of this process
  mixed,     // by the seed, anew for each epoch
};

// By its name; nothing for another word.
std::optional<Prefer> prefer_from(std::string_view name) noexcept;

struct DeliveryOptions {
  std::uint64_t channel_id = 0;
  int version = 0;  // at the start; 1 = end-to-end encrypted
  Prefer prefer = Prefer::mixed;
  // No group before a client is there to found it with.
  bool found_with_client = false;
  Duration commit_patience = std::chrono::seconds(1);  // for the preferred committer
  Duration ready_patience = std::chrono::seconds(2);   // for opcode 23
  Duration execute_delay{0};  // opcode 22 comes that long after 29 and 30 at the earliest
};

// For one user, who is a client or a speaker.
struct DaveMessage {
  std::uint64_t to = 0;
  int op = 0;                       // 21, 22, 24 (text) 25, 27, 29, 30 (binary)
  std::uint16_t transition_id = 0;  // 21 22 29 30
  int version = 0;                  // 21 24
  std::uint64_t epoch = 0;          // 24; of 29 and 30 the one that begins
  std::uint64_t group = 0;          // 29 30: which group, for those who keep the record
  Bytes body;                       // of a binary one, behind the opcode
};

struct DaveCounters {
  int version = 0;          // in force
  std::uint64_t group = 0;  // groups founded
  std::uint64_t epoch = 0;  // of the present group; 0 = none
  std::uint64_t members = 0;
  std::uint64_t epochs = 0;          // begun, over all groups
  std::uint64_t client_commits = 0;  // of these by a client
  std::uint64_t lost_commits = 0;    // good commits of clients that came too late or lost
  std::uint64_t key_packages = 0;    // from clients
  std::uint64_t welcomes = 0;        // to clients
  std::uint64_t transitions = 0;     // that had to be acknowledged
  std::uint64_t executed = 0;        // of these
  std::uint64_t unready = 0;         // executed without the word of a client
  std::uint64_t revoked = 0;         // proposals taken back
  std::uint64_t recoveries = 0;      // opcode 31 from clients
  std::uint64_t spoilt = 0;          // commits and Welcomes to clients that were damaged on purpose
  std::uint64_t resets = 0;          // opcode 24 for a new group
  std::uint64_t refused = 0;         // bodies of clients
  bool settled = false;              // the group is who is here, and nothing is under way
};

// What a client may be closed for.
struct DaveRefusal {
  bool undecodable = false;
  std::string text;
};

class DeliveryService {
 public:
  DeliveryService(DeliveryOptions options, std::uint64_t seed);

  DeliveryOptions& options() noexcept { return options_; }
  // For a session description.
  int version() const noexcept { return version_; }

  // A user is there; `speaker`: one of this process.
  void connect(std::uint64_t user, bool speaker);
  // Has been sent its session description; opcode 25 follows.
  void described(std::uint64_t user, Time now);
  void disconnect(std::uint64_t user, Time now);

  std::optional<DaveRefusal> on_key_package(std::uint64_t user, ByteSpan body, Time now);     // 26
  std::optional<DaveRefusal> on_commit_welcome(std::uint64_t user, ByteSpan body, Time now);  // 28
  void on_ready(std::uint64_t user, int transition, Time now);                                // 23
  void on_invalid(std::uint64_t user, int transition, Time now);                              // 31

  // While held, nothing is proposed: for many who come at once.
  void hold() noexcept { held_ = true; }
  void release(Time now);

  void on_timer(Time now);
  Deadline next_deadline() const noexcept;

  // On command; what has to wait for a transition happens after it. They say why not, or nothing.
  std::optional<std::string> set_version(int version, Time now);
  // Everybody starts over with a new group.
  std::optional<std::string> restart(Time now);
  // Puts somebody out of the group who is taken in again as soon as it offers a key package.
  std::optional<std::string> remove(std::uint64_t user, Time now);
  // Proposes to remove this member, lets members commit that, and takes it back.
  std::optional<std::string> propose_and_revoke(std::uint64_t user, Duration after, Time now);
  // So many of the next opcodes 29 or 30 to clients are damaged.
  void spoil_commits(unsigned count) noexcept { spoil_commits_ = count; }
  void spoil_welcomes(unsigned count) noexcept { spoil_welcomes_ = count; }

  std::vector<DaveMessage> take_messages() { return std::exchange(out_, {}); }
  std::vector<std::string> take_complaints() { return std::exchange(complaints_, {}); }

  const DeliveryGroup& group() const noexcept { return group_; }
  DaveCounters counters() const;
  // Whether this user has been given the keys of that epoch.
  bool has_keys(std::uint64_t user, std::uint64_t group, std::uint64_t epoch) const;

 private:
  struct Seat {
    bool speaker = false;
    bool described = false;
    bool knows_sender = false;
    bool failed = false;     // could not follow: to be removed and added anew
    bool unwanted = false;   // to be removed on command
    bool left_leaf = false;  // the leaf is of its time before it left and came back
    std::optional<OfferedPackage> package;
    Bytes signature_key;                                       // of the last key package
    std::vector<mls::ProposalRef> told;                        // proposals it knows of
    std::deque<std::pair<std::uint64_t, std::uint64_t>> keys;  // group and epoch, newest last
  };
  struct Transition {
    std::uint16_t id = 0;
    std::optional<int> version;  // what it switches to, when it does
    std::set<std::uint64_t> waiting;
    Time not_before{};
    Time give_up{};
  };

  DaveMessage& send(std::uint64_t to, int op);
  void complain(std::uint64_t user, const std::string& what);
  std::uint16_t new_transition_id() noexcept;
  // Brings what is proposed in line with who is here, as far as nothing else is under way.
  void settle(Time now);
  bool is_healthy_member(std::uint64_t user, const Seat& seat) const;
  // Members, or before the founding everybody who has offered a key package.
  bool takes_part(std::uint64_t user, const Seat& seat) const;
  void revise_proposals();
  // A group for those who talk already is not founded before all of them have offered a package.
  bool founders_missing() const;
  void tell_proposals();
  std::vector<Proposed> wanted_of(std::uint64_t committer) const;
  bool is_settled() const;
  // Picks a commit when it is time.
  void arbitrate(Time now);
  bool is_preferred(const Seat& seat) const noexcept;
  bool has_preferred() const;
  void announce(CommitBody commit, Time now);
  void give_keys(Seat& seat);
  void begin_transition(Transition transition, Time now);
  void execute_if_due(Time now);
  void forget_group() noexcept;
  // Opcode 24: this user is to become pending.
  void start_group(std::uint64_t user, Seat& seat);
  void switch_version(int version, Time now);
  void begin_upgrade(std::uint64_t user, Seat& seat);

  DeliveryOptions options_;
  Random random_;
  DeliveryGroup group_;
  int version_;
  bool held_ = false;
  bool upgrading_ = false;   // version 1 comes into force with the next group
  bool refounding_ = false;  // the next group replaces one whose media keys are still in use
  std::optional<int> wanted_version_;
  std::map<std::uint64_t, Seat> seats_;
  std::vector<Proposed> proposed_;
  std::set<mls::ProposalRef> revoked_;  // in this epoch
  std::vector<CommitBody> candidates_;
  Prefer round_prefer_ = Prefer::first;
  bool round_open_ = false;
  Deadline choose_at_;
  Deadline found_by_;   // when it is founded with whoever is ready
  Deadline revoke_at_;  // of a Remove that is proposed to be taken back
  std::uint64_t revoke_user_ = 0;
  std::optional<Transition> transition_;
  std::uint16_t last_transition_ = 0;
  std::uint64_t last_epoch_ = 0;  // highest number of any group so far
  std::set<mls::Hash> used_packages_;
  unsigned spoil_commits_ = 0;
  unsigned spoil_welcomes_ = 0;
  std::vector<DaveMessage> out_;
  std::vector<std::string> complaints_;
  DaveCounters counters_;
};

}  // namespace discord::loopback
