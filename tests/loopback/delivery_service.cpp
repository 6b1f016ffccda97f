#include "delivery_service.hpp"

#include <algorithm>
#include <utility>

namespace discord::loopback {
namespace {

constexpr int op_prepare_transition = 21, op_execute_transition = 22, op_prepare_epoch = 24,
              op_external_sender = 25;
constexpr int dave_version = 1;
constexpr std::size_t kept_keys = 64;

mls::KeyPair key_from(std::uint64_t seed) {
  Random random(derive_seed(seed, "external sender"));
  for (;;) {
    std::array<std::uint8_t, mls::private_key_size> scalar{};
    for (std::uint8_t& b : scalar) {
      b = static_cast<std::uint8_t>(random.next());
    }
    if (auto key = mls::KeyPair::from_private(scalar)) {
      return std::move(*key);
    }
  }
}

}  // namespace

std::optional<Prefer> prefer_from(std::string_view name) noexcept {
  constexpr std::pair<std::string_view, Prefer> names[] = {{"first", Prefer::first},
                                                           {"clients", Prefer::clients},
                                                           {"speakers", Prefer::speakers},
                                                           {"mixed", Prefer::mixed}};
  for (const auto& [known, prefer] : names) {
    if (name == known) {
      return prefer;
    }
  }
  return std::nullopt;
}

DeliveryService::DeliveryService(DeliveryOptions options, std::uint64_t seed)
    : options_(options),
      random_(derive_seed(seed, "delivery")),
      group_(options.channel_id, key_from(seed)),
      version_(options.version) {}

DaveMessage& DeliveryService::send(std::uint64_t to, int op) {
  DaveMessage message;
  message.to = to;
  message.op = op;
  out_.push_back(std::move(message));
  return out_.back();
}

void DeliveryService::complain(std::uint64_t user, const std::string& what) {
  complaints_.push_back("user " + std::to_string(user) + ": " + what);
}

// Never 0, which stands for what needs no acknowledgement.
std::uint16_t DeliveryService::new_transition_id() noexcept {
  if (++last_transition_ == 0) {
    ++last_transition_;
  }
  return last_transition_;
}

void DeliveryService::connect(std::uint64_t user, bool speaker) {
  Seat seat;
  seat.speaker = speaker;
  // Somebody who comes back before its old leaf could be removed.
  seat.left_leaf = group_.leaf_of(user).has_value();
  seats_[user] = std::move(seat);
}

void DeliveryService::described(std::uint64_t user, Time) {
  const auto seat = seats_.find(user);
  if (seat == seats_.end() || std::exchange(seat->second.described, true)) {
    return;
  }
  // Not before: @discordjs/voice ignores it until it has its session description.
  if (version_ > 0) {
    send(user, op_external_sender).body = group_.external_sender();
    seat->second.knows_sender = true;
  }
  if (upgrading_) {
    begin_upgrade(user, seat->second);
  } else if (transition_ && transition_->version == 0) {
    DaveMessage& m = send(user, op_prepare_transition);
    m.transition_id = transition_->id;
  }
}

void DeliveryService::disconnect(std::uint64_t user, Time now) {
  if (seats_.erase(user) == 0) {
    return;
  }
  if (revoke_user_ == user) {
    revoke_at_.reset();
  }
  if (seats_.empty()) {
    forget_group();
    transition_.reset();
    if (upgrading_) {
      upgrading_ = false;
      version_ = dave_version;
    }
    return;
  }
  if (transition_) {
    transition_->waiting.erase(user);
    execute_if_due(now);
  }
  settle(now);
}

std::optional<DaveRefusal> DeliveryService::on_key_package(std::uint64_t user, ByteSpan body,
                                                           Time now) {
  const auto it = seats_.find(user);
  if (it == seats_.end()) {
    return std::nullopt;
  }
  Seat& seat = it->second;
  const auto refuse = [&](BodyFault fault) {
    ++counters_.refused;
    complain(user, fault.text);
    return DaveRefusal{fault.undecodable, std::move(fault.text)};
  };
  auto package = read_key_package(user, body);
  if (!package) {
    return refuse(std::move(package.error()));
  }
  if (!used_packages_.insert(package->ref).second) {
    return refuse({false, "key package that was sent before"});
  }
  if (!seat.speaker) {
    ++counters_.key_packages;
  }
  if (version_ == 0 && !upgrading_) {
    complain(user, "key package in a call without end-to-end encryption");
    return std::nullopt;
  }
  if (is_healthy_member(user, seat)) {
    complain(user, "key package of somebody who is in the group");
    return std::nullopt;
  }
  seat.signature_key = package->key_package.leaf->signature_key;
  seat.package = std::move(*package);
  seat.told.clear();
  settle(now);
  return std::nullopt;
}

std::optional<DaveRefusal> DeliveryService::on_commit_welcome(std::uint64_t user, ByteSpan body,
                                                              Time now) {
  const auto it = seats_.find(user);
  if (it == seats_.end()) {
    return std::nullopt;
  }
  const Seat& seat = it->second;
  auto commit = read_commit_welcome(user, body);
  if (!commit) {
    ++counters_.refused;
    complain(user, commit.error().text);
    return DaveRefusal{commit.error().undecodable, commit.error().text};
  }
  const auto lost = [&] {
    counters_.lost_commits += seat.speaker ? 0 : 1;
    return std::nullopt;
  };
  const auto bad = [&](const std::string& why) {
    ++counters_.refused;
    complain(user, why);
    return std::nullopt;
  };
  // What was overtaken by another commit, by a new group or by a revocation is nobody's fault.
  const bool present = takes_part(user, seat) && commit->epoch == group_.epoch();
  if (!present && commit->epoch <= last_epoch_) {
    return lost();
  }
  if (!present) {
    return bad("commit of a group that does not exist");
  }
  if (transition_ || proposed_.empty()) {
    const auto known = [&](const mls::ProposalRef& ref) {
      return revoked_.contains(ref) || std::any_of(proposed_.begin(), proposed_.end(),
                                                   [&](const Proposed& p) { return p.ref == ref; });
    };
    return std::all_of(commit->refs.begin(), commit->refs.end(), known)
               ? lost()
               : bad("commit of what was not proposed");
  }
  const std::vector<Proposed> wanted = wanted_of(user);
  std::size_t current = 0;
  std::size_t past = 0;
  for (const mls::ProposalRef& ref : commit->refs) {
    current +=
        std::any_of(wanted.begin(), wanted.end(), [&](const Proposed& p) { return p.ref == ref; });
    past += revoked_.contains(ref);
  }
  if (current + past == commit->refs.size() && (past > 0 || current < wanted.size())) {
    return lost();
  }
  if (const auto fault = group_.check(*commit, wanted)) {
    return bad(*fault);
  }
  std::erase_if(candidates_, [&](const CommitBody& c) { return c.committer == user; });
  candidates_.push_back(std::move(*commit));
  arbitrate(now);
  return std::nullopt;
}

void DeliveryService::on_ready(std::uint64_t user, int id, Time now) {
  if (!seats_.contains(user)) {
    return;
  }
  if (transition_ && transition_->id == id) {
    if (transition_->waiting.erase(user) == 0) {
      complain(user, "opcode 23 twice for transition " + std::to_string(id));
    }
    execute_if_due(now);
  } else if (id < 1 || id > last_transition_) {
    complain(user, "opcode 23 for transition " + std::to_string(id) + ", which never was");
  }
}

void DeliveryService::on_invalid(std::uint64_t user, int id, Time now) {
  const auto it = seats_.find(user);
  if (it == seats_.end()) {
    return;
  }
  Seat& seat = it->second;
  if (id < 0 || id > last_transition_ || !group_.leaf_of(user) || seat.left_leaf) {
    complain(user, "opcode 31 for transition " + std::to_string(id) + ", which it has no part in");
    return;
  }
  if (seat.speaker) {
    complain(user, "this speaker could not follow transition " + std::to_string(id));
  } else {
    ++counters_.recoveries;
  }
  seat.failed = true;
  seat.package.reset();
  seat.told.clear();
  std::erase(seat.keys, std::pair(group_.serial(), group_.epoch()));
  if (transition_) {
    transition_->waiting.erase(user);
    execute_if_due(now);
  }
  settle(now);
}

bool DeliveryService::is_healthy_member(std::uint64_t user, const Seat& seat) const {
  return takes_part(user, seat) && group_.founded() && !seat.unwanted;
}

bool DeliveryService::takes_part(std::uint64_t user, const Seat& seat) const {
  return group_.founded() ? group_.leaf_of(user) && !seat.failed && !seat.left_leaf
                          : seat.package.has_value();
}

std::vector<Proposed> DeliveryService::wanted_of(std::uint64_t committer) const {
  std::vector<Proposed> out;
  for (const Proposed& p : proposed_) {
    // Founders have themselves in already.
    if (group_.founded() || p.user != committer) {
      out.push_back(p);
    }
  }
  return out;
}

void DeliveryService::settle(Time now) {
  if (transition_ || held_) {
    return;
  }
  if (const auto version = std::exchange(wanted_version_, std::nullopt)) {
    switch_version(*version, now);
  }
  if (transition_ || (version_ == 0 && !upgrading_)) {
    return;
  }
  if (seats_.size() == 1) {
    auto& [user, seat] = *seats_.begin();
    if (group_.founded() && is_healthy_member(user, seat)) {
      // Alone: a new group, in force at once, for whoever comes next.
      forget_group();
      start_group(user, seat);
      send(user, op_prepare_transition).version = dave_version;
    } else if (upgrading_ && seat.described) {
      upgrading_ = false;
      version_ = dave_version;
      send(user, op_prepare_transition).version = dave_version;
    }
    refounding_ = false;
  }
  const bool anybody = std::any_of(seats_.begin(), seats_.end(), [&](const auto& s) {
    return is_healthy_member(s.first, s.second);
  });
  if (group_.founded() && !anybody) {
    // Nobody is left who could commit.
    std::vector<std::uint64_t> restart;
    for (const auto& [user, seat] : seats_) {
      if (takes_part(user, seat)) {
        restart.push_back(user);
      }
    }
    forget_group();
    refounding_ = true;
    found_by_ = now + options_.ready_patience;
    for (const std::uint64_t user : restart) {
      start_group(user, seats_[user]);
    }
  }
  revise_proposals();
  tell_proposals();
}

void DeliveryService::give_keys(Seat& seat) {
  seat.keys.emplace_back(group_.serial(), group_.epoch());
  if (seat.keys.size() > kept_keys) {
    seat.keys.pop_front();
  }
}

void DeliveryService::begin_transition(Transition transition, Time now) {
  transition.not_before = now + options_.execute_delay;
  transition.give_up = now + std::max(options_.ready_patience, options_.execute_delay);
  ++counters_.transitions;
  transition_ = std::move(transition);
}

void DeliveryService::execute_if_due(Time now) {
  if (!transition_ || now < transition_->not_before ||
      (!transition_->waiting.empty() && now < transition_->give_up)) {
    return;
  }
  const Transition done = std::move(*transition_);
  transition_.reset();
  for (const std::uint64_t user : done.waiting) {
    ++counters_.unready;
    complain(user, "was not ready for transition " + std::to_string(done.id));
  }
  for (const auto& [user, seat] : seats_) {
    if (seat.described) {
      send(user, op_execute_transition).transition_id = done.id;
    }
  }
  ++counters_.executed;
  if (done.version == 0) {
    version_ = 0;
    forget_group();
    for (auto& [user, seat] : seats_) {
      seat.package.reset();
    }
  } else if (std::exchange(upgrading_, false)) {
    version_ = dave_version;
  }
  settle(now);
}

void DeliveryService::forget_group() noexcept {
  group_.dissolve();
  proposed_.clear();
  revoked_.clear();
  candidates_.clear();
  choose_at_.reset();
  revoke_at_.reset();
  for (auto& [user, seat] : seats_) {
    seat.told.clear();
    seat.failed = seat.unwanted = seat.left_leaf = false;
  }
}

void DeliveryService::start_group(std::uint64_t user, Seat& seat) {
  seat.package.reset();
  DaveMessage& m = send(user, op_prepare_epoch);
  m.version = dave_version;
  m.epoch = 1;
  ++counters_.resets;
}

void DeliveryService::begin_upgrade(std::uint64_t user, Seat& seat) {
  if (!std::exchange(seat.knows_sender, true)) {
    send(user, op_external_sender).body = group_.external_sender();
  }
  start_group(user, seat);
}

void DeliveryService::switch_version(int version, Time now) {
  if (version == (upgrading_ ? dave_version : version_)) {
    return;
  }
  if (version > 0) {
    upgrading_ = true;
    found_by_ = now + options_.ready_patience;
    for (auto& [user, seat] : seats_) {
      if (seat.described) {
        begin_upgrade(user, seat);
      }
    }
    return;
  }
  if (std::exchange(upgrading_, false)) {
    forget_group();
    return;
  }
  Transition transition;
  transition.id = new_transition_id();
  transition.version = 0;
  for (const auto& [user, seat] : seats_) {
    if (seat.described) {
      transition.waiting.insert(user);
      send(user, op_prepare_transition).transition_id = transition.id;
    }
  }
  begin_transition(std::move(transition), now);
}

std::optional<std::string> DeliveryService::set_version(int version, Time now) {
  if (version < 0 || version > dave_version) {
    return "the version is 0 or 1";
  }
  wanted_version_ = version;
  settle(now);
  return std::nullopt;
}

std::optional<std::string> DeliveryService::restart(Time now) {
  if (!group_.founded() || transition_ || upgrading_) {
    return "there is no settled group";
  }
  std::vector<std::uint64_t> users;
  for (const auto& [user, seat] : seats_) {
    if (seat.described) {
      users.push_back(user);
    }
  }
  forget_group();
  refounding_ = true;
  found_by_ = now + options_.ready_patience;
  for (const std::uint64_t user : users) {
    start_group(user, seats_[user]);
  }
  settle(now);
  return std::nullopt;
}

std::optional<std::string> DeliveryService::remove(std::uint64_t user, Time now) {
  const auto it = seats_.find(user);
  if (it == seats_.end() || !group_.founded() || !is_healthy_member(user, it->second)) {
    return "not in the group";
  }
  it->second.unwanted = true;
  settle(now);
  return std::nullopt;
}

std::optional<std::string> DeliveryService::propose_and_revoke(std::uint64_t user, Duration after,
                                                               Time now) {
  if (!group_.founded() || !group_.leaf_of(user) || revoke_at_) {
    return "not in the group, or one is being revoked";
  }
  if (transition_) {
    return "a transition is under way";
  }
  revoke_user_ = user;
  revoke_at_ = now + after;
  settle(now);
  return std::nullopt;
}

void DeliveryService::release(Time now) {
  held_ = false;
  settle(now);
}

void DeliveryService::on_timer(Time now) {
  if (revoke_at_ && *revoke_at_ <= now) {
    revoke_at_.reset();
    settle(now);
  }
  if (found_by_ && *found_by_ <= now) {
    found_by_.reset();
    settle(now);
  }
  execute_if_due(now);
  arbitrate(now);
}

Deadline DeliveryService::next_deadline() const noexcept {
  Deadline out = earlier(found_by_, revoke_at_);
  out = earlier(out, revoke_at_ ? Deadline() : choose_at_);
  if (transition_) {
    out =
        earlier(out, transition_->waiting.empty() ? transition_->not_before : transition_->give_up);
  }
  return out;
}

bool DeliveryService::is_settled() const {
  if (transition_ || wanted_version_ || upgrading_ || !proposed_.empty()) {
    return false;
  }
  return version_ == 0 || seats_.size() < 2 ||
         (group_.users().size() == seats_.size() &&
          std::all_of(seats_.begin(), seats_.end(),
                      [&](const auto& s) { return is_healthy_member(s.first, s.second); }));
}

DaveCounters DeliveryService::counters() const {
  DaveCounters out = counters_;
  out.version = version_;
  out.group = group_.serial();
  out.epoch = group_.epoch();
  out.members = group_.users().size();
  out.settled = is_settled();
  return out;
}

bool DeliveryService::has_keys(std::uint64_t user, std::uint64_t group, std::uint64_t epoch) const {
  const auto seat = seats_.find(user);
  return seat != seats_.end() && std::find(seat->second.keys.begin(), seat->second.keys.end(),
                                           std::pair(group, epoch)) != seat->second.keys.end();
}

}  // namespace discord::loopback
