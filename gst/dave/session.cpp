#include "dave/session.hpp"

#include "dave/frame_opener.hpp"

#include <algorithm>
#include <utility>

namespace discord::dave {
namespace {

constexpr int op_prepare_transition = 21, op_execute_transition = 22, op_prepare_epoch = 24,
              op_external_sender = 25, op_proposals = 27, op_announce_commit = 29, op_welcome = 30;
constexpr std::uint64_t first_epoch = 1;
// How long an early opcode 22 waits for its group.
constexpr Duration early_execute_life = std::chrono::seconds(10);

std::string ready_text(std::uint16_t id) {
  return R"({"op":23,"d":{"transition_id":)" + std::to_string(id) + "}}";
}
std::string invalid_text(std::uint16_t id) {
  return R"({"op":31,"d":{"transition_id":)" + std::to_string(id) + "}}";
}
SendBinary binary(std::uint8_t op, ByteSpan body) {
  Bytes bytes{op};
  bytes.insert(bytes.end(), body.begin(), body.end());
  return {std::move(bytes)};
}

}  // namespace

Session::Session(Policy policy, mls::KeyPair signature_key, mls::RandomSource& random)
    : policy_(policy), signature_key_(std::move(signature_key)), random_(random) {}

void Session::begin(const Call& call, Time, Out& out) {
  call_ = call;
  member_.emplace(call.user, call.channel, signature_key_, random_);
  recognised_.clear();
  epochs_.clear();
  version_ = prepared_version_ = 0;
  described_ = failed_ = false;
  downgrade_until_.reset();
  passthrough_until_.reset();
  transitions_.clear();
  early_executes_.clear();
  sending_.reset();
  last_transition_ = 0;
  recovery_ = Recovery::none;
  recoveries_ = backoff_step_ = 0;
  recover_at_.reset();
  backoff_forgotten_at_.reset();
  undecryptable_allowed_.reset();
  ever_told_ = false;
  publish(out);
}

void Session::on_session_description(int version, Time now, Out& out) {
  if (!member_ || failed_) {
    return;
  }
  if (version == 0 && policy_ == Policy::required) {
    fail(FailKind::version_refused,
         "This call is not end-to-end encrypted, and e2ee=required asks for that. Use e2ee=auto to "
         "take part anyway.",
         out);
    return;
  }
  if (version < 0 || version > offered_version()) {
    fail(FailKind::version_refused,
         policy_ == Policy::off
             ? "This call is end-to-end encrypted, and e2ee=off rules that out. Use e2ee=auto."
             : "The server chose version " + std::to_string(version) +
                   " of the end-to-end encryption, which this program does not know.",
         out);
    return;
  }
  described_ = true;
  version_ = prepared_version_ = version;
  epochs_.clear();
  transitions_.clear();
  sending_.reset();
  downgrade_until_.reset();
  passthrough_until_.reset();
  if (version > 0) {
    become_pending(now, out);
    return;
  }
  // Nothing but a stage may be without encryption, so one is what this call is, whatever was known
  // of its channel: it may go up and down again.
  call_.stage = true;
  member_->leave();
  publish(out);
  tell(out);
}

void Session::on_users_joined(std::span<const std::uint64_t> users) {
  for (const std::uint64_t user : users) {
    if (recognised_.size() < max_recognised) {
      recognised_.insert(user);
    }
  }
}

void Session::on_user_left(std::uint64_t user) {
  // Its media keys stay until the commit that removes it is executed: last words are under way.
  recognised_.erase(user);
}

bool Session::downgrade_allowed() const noexcept {
  return policy_ == Policy::off || version_ == 0 || (policy_ == Policy::automatic && call_.stage);
}

bool Session::refuse_version(int op, int version, Out& out) {
  if (version >= 0 && version <= offered_version()) {
    return false;
  }
  out.push_back(Notice{op, "version " + std::to_string(version) + " was not offered"});
  return true;
}

void Session::on_prepare_transition(std::uint16_t id, int version, Time now, Out& out) {
  if (!member_ || failed_ || refuse_version(op_prepare_transition, version, out)) {
    return;
  }
  if (version == 0 && !downgrade_allowed()) {
    if (id == 0) {
      execute({id, version, std::nullopt}, now, out);
      return;
    }
    // No opcode 23: without our word the gateway may still go on, and then opcode 22 ends the call.
    remember({id, version, std::nullopt});
    out.push_back(Notice{op_prepare_transition, "a downgrade to no encryption is not accepted"});
    return;
  }
  if (id == 0) {
    execute({id, version, std::nullopt}, now, out);
    return;
  }
  remember({id, version, std::nullopt});
  if (version == 0 && version_ > 0) {
    // Others may switch before us.
    downgrade_until_ = now + downgrade_patience;
    publish(out);
  }
  out.push_back(SendText{ready_text(id)});
}

void Session::on_execute_transition(std::uint16_t id, Time now, Out& out) {
  if (!member_ || failed_) {
    return;
  }
  const auto known = std::find_if(transitions_.begin(), transitions_.end(),
                                  [&](const Transition& t) { return t.id == id; });
  if (known == transitions_.end()) {
    early_executes_.emplace_back(id, now);
    if (early_executes_.size() > max_early_executes) {
      early_executes_.pop_front();
    }
    out.push_back(Notice{op_execute_transition, "unknown transition " + std::to_string(id)});
    return;
  }
  const Transition transition = *known;
  transitions_.erase(known);
  execute(transition, now, out);
}

void Session::on_prepare_epoch(int version, std::uint64_t epoch, Time now, Out& out) {
  if (!member_ || failed_ || refuse_version(op_prepare_epoch, version, out)) {
    return;
  }
  if (version == 0) {
    out.push_back(Notice{op_prepare_epoch, "an epoch of version 0"});
    return;
  }
  prepared_version_ = version;
  if (epoch == first_epoch) {
    // Whatever this group had gone through, the next one is another. The keys of its media stay
    // until the new ones are in use.
    recovery_ = Recovery::none;
    recover_at_.reset();
    become_pending(now, out);
  }
}

void Session::on_external_sender(ByteSpan body, Time, Out& out) {
  if (!member_ || failed_) {
    return;
  }
  // May come before the session description; the member keeps it until there is a group to found.
  if (const auto failure = member_->set_external_sender(body)) {
    note_refusal(op_external_sender, *failure, out);
  }
}

void Session::on_proposals(std::uint8_t operation, ByteSpan list, Time, Out& out) {
  if (!member_ || failed_) {
    return;
  }
  const auto body = member_->proposals(operation, list, recognised_);
  if (!body) {
    note_refusal(op_proposals, body.error(), out);
  } else if (body.value()) {
    out.push_back(binary(opcode_commit_welcome, *body.value()));
  }
}

void Session::on_announce_commit(std::uint16_t id, ByteSpan message, Time now, Out& out) {
  if (!member_ || failed_) {
    return;
  }
  const auto outcome = member_->commit(message);
  if (outcome && outcome.value() == CommitOutcome::advanced) {
    entered_epoch(id, now, out);
    return;
  }
  if (outcome) {
    // Put out of the group, but still in the call: ready to be taken in again.
    become_pending(now, out);
    return;
  }
  note_refusal(op_announce_commit, outcome.error(), out);
  switch (outcome.error().kind) {
    case MemberError::stale:            // replayed over a resumed connection
    case MemberError::not_for_pending:  // the Welcome is still to come
    case MemberError::no_group:
      return;
    default:
      recover(id, describe(outcome.error()), now, out);
  }
}

void Session::on_welcome(std::uint16_t id, ByteSpan body, Time now, Out& out) {
  if (!member_ || failed_) {
    return;
  }
  const auto failure = member_->welcome(body);
  if (!failure) {
    for (const GroupMember& member : member_->members()) {
      if (member.user != call_.user && !recognised_.contains(member.user)) {
        out.push_back(
            Notice{op_welcome, "user " + std::to_string(member.user) + " was not announced"});
      }
    }
    entered_epoch(id, now, out);
    return;
  }
  note_refusal(op_welcome, *failure, out);
  switch (failure->kind) {
    case MemberError::established:     // replayed over a resumed connection
    case MemberError::no_key_package:  // a recovery is under way already
      return;
    default:
      recover(id, describe(*failure), now, out);
  }
}

void Session::become_pending(Time now, Out& out) {
  auto key_package = member_->start_over();
  if (!key_package) {
    if (key_package.error().cause == mls::Error::no_randomness) {
      fail(FailKind::no_randomness, "The system has no random numbers for new keys.", out);
    } else {
      recover(recovery_transition_, describe(key_package.error()), now, out);
    }
    return;
  }
  // Prepared epochs of the old group will never be ours to send in.
  std::erase_if(transitions_, [](const Transition& t) { return t.sending.has_value(); });
  out.push_back(binary(opcode_key_package, key_package.value()));
  publish(out);
  tell(out);
}

void Session::entered_epoch(std::uint16_t id, Time now, Out& out) {
  recovery_ = Recovery::none;
  recover_at_.reset();
  recoveries_ = 0;
  const EpochSerial serial = epochs_.add(member_->epoch(), member_->sender_keys(), now);
  const Transition transition{id, prepared_version_,
                              SendState{serial, *member_->base_secret(call_.user)}};
  if (id == 0) {
    execute(transition, now, out);
    return;
  }
  last_transition_ = id;
  remember(transition);
  publish(out);
  tell(out);
  out.push_back(SendText{ready_text(id)});
  const auto early =
      std::find_if(early_executes_.begin(), early_executes_.end(), [&](const auto& entry) {
        return entry.first == id && now - entry.second < early_execute_life;
      });
  if (early != early_executes_.end()) {
    early_executes_.erase(early);
    on_execute_transition(id, now, out);
  }
}

void Session::remember(Transition transition) {
  std::erase_if(transitions_, [&](const Transition& t) { return t.id == transition.id; });
  transitions_.push_back(std::move(transition));
  if (transitions_.size() > max_transitions) {
    transitions_.pop_front();
  }
}

void Session::execute(const Transition& transition, Time now, Out& out) {
  if (transition.version == 0 && version_ > 0) {
    if (!downgrade_allowed()) {
      fail(FailKind::downgrade_refused,
           policy_ == Policy::required
               ? "The call has been switched to no end-to-end encryption, which e2ee=required does "
                 "not accept."
               : "The call has been switched to no end-to-end encryption in the middle, which only "
                 "a stage channel may do. Join again to take part without it.",
           out);
      return;
    }
    member_->leave();
    epochs_.execute_none(now);
    sending_.reset();
    transitions_.clear();
    prepared_version_ = 0;
    recovery_ = Recovery::none;
    recover_at_.reset();
    passthrough_until_.reset();
  } else if (transition.version > 0) {
    if (version_ == 0 || downgrade_until_) {
      passthrough_until_ = now + ratchet_tail;
    }
    if (transition.sending) {
      epochs_.execute(transition.sending->serial, now);
      // A newer epoch may have been executed before.
      if (!sending_ || sending_->serial < transition.sending->serial) {
        sending_ = transition.sending;
      }
    }
  }
  downgrade_until_.reset();
  version_ = transition.version;
  publish(out);
  tell(out);
}

void Session::note_refusal(int op, const MemberFailure& failure, Out& out) {
  out.push_back(Notice{op, describe(failure)});
}

// One recovery at a time. The first is at once; each further one waits twice as long, because a
// server that cannot be understood would otherwise be asked in a circle.
void Session::recover(std::uint16_t id, std::string_view why, Time now, Out& out) {
  if (recovery_ == Recovery::waiting) {
    return;
  }
  if (++recoveries_ > max_recoveries) {
    fail(FailKind::group_lost,
         "The end-to-end encrypted group could not be entered after " +
             std::to_string(max_recoveries) + " tries (" + std::string(why) + "). Join again.",
         out);
    return;
  }
  if (backoff_forgotten_at_ && now >= *backoff_forgotten_at_) {
    backoff_step_ = 0;
  }
  recovery_transition_ = id;
  recovery_ = Recovery::waiting;
  const Duration wait =
      backoff_step_ == 0
          ? Duration(0)
          : std::min<Duration>(std::chrono::seconds(1u << std::min(backoff_step_ - 1, 6u)),
                               recovery_backoff_max);
  ++backoff_step_;
  recover_at_ = now + wait;
  backoff_forgotten_at_ = now + wait + recovery_backoff_max;
  if (wait == Duration(0)) {
    ask_again(now, out);
  } else {
    member_->leave();
    publish(out);
    tell(out);
  }
}

void Session::ask_again(Time now, Out& out) {
  recovery_ = Recovery::asked;
  recover_at_.reset();
  out.push_back(SendText{invalid_text(recovery_transition_)});
  become_pending(now, out);
}

void Session::on_undecryptable(std::uint64_t user, Time now, Out& out) {
  if (!member_ || failed_ || !member_->established() || recovery_ != Recovery::none ||
      last_transition_ == 0 || (undecryptable_allowed_ && now < *undecryptable_allowed_)) {
    return;
  }
  const auto& entries = epochs_.entries();
  if (entries.empty() || entries.front().keys->find(user) == nullptr) {
    return;
  }
  undecryptable_allowed_ = now + recovery_pause;
  out.push_back(
      Notice{op_announce_commit, "frames of user " + std::to_string(user) + " cannot be opened"});
  recover(last_transition_, "frames of a member cannot be opened", now, out);
}

void Session::on_timer(Time now, Out& out) {
  if (!member_ || failed_) {
    return;
  }
  if (recover_at_ && *recover_at_ <= now) {
    ask_again(now, out);
  }
  bool changed = epochs_.expire(now);
  for (Deadline* const tail : {&passthrough_until_, &downgrade_until_}) {
    if (*tail && **tail <= now) {
      tail->reset();
      changed = true;
    }
  }
  if (changed) {
    publish(out);
  }
}

Deadline Session::next_deadline() const noexcept {
  return failed_ || !member_ ? std::nullopt
                             : earlier(earlier(recover_at_, epochs_.next_deadline()),
                                       earlier(passthrough_until_, downgrade_until_));
}

void Session::publish(Out& out) {
  auto keys = std::make_shared<MediaKeys>();
  keys->epochs = epochs_.entries();
  // Until the description comes, everything waits; a group on its way up counts as encryption. A
  // call that was refused keeps asking for keys, which there are none of: what comes until the
  // connection is closed is not heard.
  keys->active =
      failed_ || !described_ || version_ > 0 || prepared_version_ > 0 || !epochs_.empty();
  keys->passthrough =
      described_ && !failed_ && (version_ == 0 || downgrade_until_ || passthrough_until_);
  if (version_ > 0) {
    keys->passthrough_until = downgrade_until_ ? downgrade_until_ : passthrough_until_;
  }
  out.push_back(PublishKeys{std::move(keys)});
}

void Session::tell(Out& out) {
  if (failed_) {
    return;
  }
  Encryption now;
  now.version = version_;
  now.epoch = member_->epoch();
  for (const GroupMember& member : member_->members()) {
    now.members.push_back(member.user);
  }
  std::ranges::sort(now.members);
  now.privacy_code = member_->privacy_code();
  if (!ever_told_ || now != told_) {
    ever_told_ = true;
    told_ = now;
    out.push_back(std::move(now));
  }
}

void Session::fail(FailKind kind, std::string message, Out& out) {
  failed_ = true;
  member_->leave();
  epochs_.clear();
  transitions_.clear();
  sending_.reset();
  recovery_ = Recovery::none;
  recover_at_.reset();
  publish(out);
  out.push_back(Fail{kind, std::move(message)});
}

}  // namespace discord::dave
