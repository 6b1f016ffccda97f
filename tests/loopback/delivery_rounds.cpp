// From proposals to the commit that counts: one round of the delivery service.
#include "delivery_service.hpp"

#include <algorithm>

namespace discord::loopback {
namespace {

constexpr int op_proposals = 27, op_announce_commit = 29, op_welcome = 30;
constexpr std::uint8_t operation_append = 0, operation_revoke = 1;

Bytes with_transition(std::uint16_t id, ByteSpan message) {
  Bytes out(2 + message.size());
  store_be16(out.data(), id);
  std::copy(message.begin(), message.end(), out.begin() + 2);
  return out;
}

bool contains(const std::vector<mls::ProposalRef>& refs, const mls::ProposalRef& ref) {
  return std::find(refs.begin(), refs.end(), ref) != refs.end();
}

}  // namespace

void DeliveryService::revise_proposals() {
  std::set<mls::LeafIndex> removes;
  std::map<mls::Hash, const OfferedPackage*> adds;
  if (group_.founded()) {
    const auto& leaves = group_.leaves();
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (!leaves[i]) {
        continue;
      }
      const std::uint64_t user = leaves[i]->user;
      const auto seat = seats_.find(user);
      if (seat == seats_.end() || seat->second.left_leaf || seat->second.unwanted ||
          (seat->second.failed && seat->second.package) || (revoke_at_ && revoke_user_ == user)) {
        removes.insert(static_cast<mls::LeafIndex>(i));
      }
    }
  }
  bool client = !options_.found_with_client;
  for (const auto& [user, seat] : seats_) {
    if (seat.package) {
      adds.emplace(seat.package->ref, &*seat.package);
      client = client || !seat.speaker;
    }
  }
  if (!group_.founded() && (adds.size() < 2 || !client || founders_missing())) {
    adds.clear();
  }

  const bool was_empty = proposed_.empty();
  bool changed = std::erase_if(proposed_, [&](const Proposed& p) {
                   const bool wanted =
                       p.is_add() ? adds.erase(p.package->ref) > 0 : removes.erase(p.leaf) > 0;
                   if (!wanted) {
                     revoked_.insert(p.ref);
                     ++counters_.revoked;
                   }
                   return !wanted;
                 }) > 0;
  for (const mls::LeafIndex leaf : removes) {
    proposed_.push_back(group_.propose_remove(leaf));
  }
  for (const auto& [ref, package] : adds) {
    proposed_.push_back(group_.propose_add(*package));
  }
  changed = changed || !removes.empty() || !adds.empty();
  if (changed) {
    candidates_.clear();  // they commit something else
    choose_at_.reset();
  }
  if (was_empty && !proposed_.empty()) {
    round_prefer_ = options_.prefer != Prefer::mixed ? options_.prefer
                    : random_.below(2) == 0          ? Prefer::clients
                                                     : Prefer::speakers;
  }
}

bool DeliveryService::founders_missing() const {
  return found_by_ && std::any_of(seats_.begin(), seats_.end(), [](const auto& s) {
           return s.second.described && !s.second.package;
         });
}

void DeliveryService::tell_proposals() {
  for (auto& [user, seat] : seats_) {
    if (!takes_part(user, seat)) {
      continue;
    }
    const std::vector<Proposed> wanted = wanted_of(user);
    mls::Writer gone;
    gone.u8(operation_revoke);
    const std::size_t empty_size = 2;
    gone.vector([&](mls::Writer& list) {
      std::erase_if(seat.told, [&](const mls::ProposalRef& ref) {
        const bool stays = std::any_of(wanted.begin(), wanted.end(),
                                       [&](const Proposed& p) { return p.ref == ref; });
        if (!stays) {
          list.opaque(ref);
        }
        return !stays;
      });
    });
    if (gone.view().size() > empty_size) {
      send(user, op_proposals).body = gone.take();
    }
    mls::Writer added;
    added.u8(operation_append);
    added.vector([&](mls::Writer& list) {
      for (const Proposed& p : wanted) {
        if (!contains(seat.told, p.ref)) {
          list.raw(p.message);
          seat.told.push_back(p.ref);
        }
      }
    });
    if (added.view().size() > empty_size) {
      send(user, op_proposals).body = added.take();
    }
  }
}

bool DeliveryService::is_preferred(const Seat& seat) const noexcept {
  return round_prefer_ == Prefer::first || (round_prefer_ == Prefer::speakers) == seat.speaker;
}

bool DeliveryService::has_preferred() const {
  return std::any_of(seats_.begin(), seats_.end(), [&](const auto& s) {
    return takes_part(s.first, s.second) && !s.second.unwanted && is_preferred(s.second);
  });
}

void DeliveryService::arbitrate(Time now) {
  // What is to be revoked must not be committed before.
  if (candidates_.empty() || transition_ || revoke_at_) {
    return;
  }
  auto chosen = std::find_if(candidates_.begin(), candidates_.end(), [&](const CommitBody& c) {
    return is_preferred(seats_.at(c.committer));
  });
  if (chosen == candidates_.end()) {
    if (has_preferred() && (!choose_at_ || now < *choose_at_)) {
      choose_at_ = choose_at_.value_or(now + options_.commit_patience);
      return;
    }
    chosen = candidates_.begin();
  }
  CommitBody commit = std::move(*chosen);
  candidates_.erase(chosen);
  announce(std::move(commit), now);
}

void DeliveryService::announce(CommitBody commit, Time now) {
  const bool founding = !group_.founded();
  const std::vector<Proposed> wanted = wanted_of(commit.committer);
  std::vector<std::uint64_t> stayers;
  if (founding) {
    stayers.push_back(commit.committer);
  } else {
    for (const auto& [user, seat] : seats_) {
      if (takes_part(user, seat)) {
        stayers.push_back(user);
      }
    }
  }
  for (const CommitBody& loser : candidates_) {
    counters_.lost_commits += seats_.at(loser.committer).speaker ? 0 : 1;
  }
  candidates_.clear();
  choose_at_.reset();
  group_.advance(commit, wanted, seats_.at(commit.committer).signature_key);
  last_epoch_ = std::max(last_epoch_, group_.epoch());
  ++counters_.epochs;
  counters_.client_commits += seats_.at(commit.committer).speaker ? 0 : 1;

  Transition transition;
  const bool at_once = founding && !upgrading_ && !refounding_;
  transition.id = at_once ? 0 : new_transition_id();
  const auto deliver = [&](std::uint64_t user, int op, ByteSpan body, bool spoil) {
    Seat& seat = seats_.at(user);
    DaveMessage& m = send(user, op);
    m.transition_id = transition.id;
    m.epoch = group_.epoch();
    m.group = group_.serial();
    m.body = with_transition(transition.id, body);
    if (spoil) {
      m.body.back() ^= 1;
      ++counters_.spoilt;
    } else if (group_.leaf_of(user)) {
      give_keys(seat);
    }
    if (group_.leaf_of(user)) {
      transition.waiting.insert(user);
    }
    seat.told.clear();
    seat.unwanted = false;
    seat.left_leaf = false;
    seat.failed = false;
    seat.package.reset();
  };
  for (const std::uint64_t user : stayers) {
    // A founder knows its commit by its bytes, so a damaged one would not be missed.
    const bool spoil = spoil_commits_ > 0 && !seats_.at(user).speaker && !founding;
    spoil_commits_ -= spoil ? 1 : 0;
    deliver(user, op_announce_commit, commit.commit, spoil);
  }
  for (const Proposed& p : wanted) {
    if (p.is_add()) {
      const bool client = !seats_.at(p.user).speaker;
      const bool spoil = spoil_welcomes_ > 0 && client;
      spoil_welcomes_ -= spoil ? 1 : 0;
      counters_.welcomes += client ? 1 : 0;
      deliver(p.user, op_welcome, commit.welcome, spoil);
    } else if (const auto seat = seats_.find(p.user); seat != seats_.end()) {
      seat->second.left_leaf = false;
    }
  }
  proposed_.clear();
  revoked_.clear();
  refounding_ = false;
  found_by_.reset();
  if (at_once) {
    settle(now);
  } else {
    begin_transition(std::move(transition), now);
  }
}

}  // namespace discord::loopback
