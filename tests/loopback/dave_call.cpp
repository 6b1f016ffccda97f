#include "dave_call.hpp"

#include "dave/codes.hpp"

#include <algorithm>

namespace discord::loopback {
namespace {

DeliveryOptions for_channel(DeliveryOptions options, std::uint64_t channel) {
  options.channel_id = channel;
  return options;
}

}  // namespace

DaveCall::DaveCall(DaveOptions options, std::uint64_t channel, std::uint64_t seed)
    : options_(options),
      channel_(channel),
      seed_(seed),
      service_(for_channel(options.delivery, channel), seed) {}

void DaveCall::speaker_joined(std::uint64_t user, Time now) {
  for (auto& [other, member] : speakers_) {
    member->joined(user);
  }
  present_.insert(user);
  auto& member = speakers_[user] = std::make_unique<SpeakerMember>(
      user, channel_, options_.speakers, derive_seed(seed_, "member", members_made_++));
  service_.connect(user, true);
  member->begin(service_.version(), {present_.begin(), present_.end()}, now);
  service_.described(user, now);
  pump(now);
}

void DaveCall::speakers_joined(const std::vector<std::uint64_t>& users, Time now) {
  service_.hold();
  for (const std::uint64_t user : users) {
    speaker_joined(user, now);
  }
  service_.release(now);
  pump(now);
}

void DaveCall::client_joined(std::uint64_t user, Time now) {
  for (auto& [other, member] : speakers_) {
    member->joined(user);
  }
  present_.insert(user);
  service_.connect(user, false);
  pump(now);
}

void DaveCall::client_described(std::uint64_t user, Time now) {
  service_.described(user, now);
  pump(now);
}

void DaveCall::left(std::uint64_t user, Time now) {
  if (present_.erase(user) == 0) {
    return;
  }
  speakers_.erase(user);
  for (auto& [other, member] : speakers_) {
    member->left(user);
  }
  service_.disconnect(user, now);
  pump(now);
}

std::optional<DaveRefusal> DaveCall::client_binary(std::uint64_t user, int op, ByteSpan body,
                                                   Time now) {
  auto refusal = op == 26 ? service_.on_key_package(user, body, now)
                          : service_.on_commit_welcome(user, body, now);
  pump(now);
  return refusal;
}

void DaveCall::client_text(std::uint64_t user, int op, int transition_id, Time now) {
  if (op == 23) {
    service_.on_ready(user, transition_id, now);
  } else {
    service_.on_invalid(user, transition_id, now);
  }
  pump(now);
}

void DaveCall::advance(Time now) {
  if (const Deadline next = service_.next_deadline(); next && *next <= now) {
    service_.on_timer(now);
  }
  for (auto& [user, member] : speakers_) {
    if (const Deadline next = member->next_deadline(); next && *next <= now) {
      member->on_timer(now);
    }
  }
  pump(now);
}

Deadline DaveCall::next_deadline() const noexcept {
  Deadline out = service_.next_deadline();
  for (const auto& [user, member] : speakers_) {
    out = earlier(out, member->next_deadline());
  }
  if (!lagging_.empty()) {
    out = earlier(out, lagging_.front().first);
  }
  return out;
}

// Until nobody in this process has anything to say. Messages to one user keep their order; what
// speakers answer to a batch comes after the batch, as if they all sat on the same fast line.
void DaveCall::pump(Time now) {
  for (bool more = true; more;) {
    more = false;
    for (DaveMessage& message : service_.take_messages()) {
      more = true;
      if (const auto speaker = speakers_.find(message.to); speaker != speakers_.end()) {
        speaker->second->receive(message, now);
      } else {
        const bool slow = message.op == 29 || message.op == 30;
        const Time at = slow ? now + options_.commit_lag : now;
        lagging_.emplace_back(lagging_.empty() ? at : std::max(at, lagging_.back().first),
                              std::move(message));
      }
    }
    for (auto& [user, member] : speakers_) {
      for (const SpeakerMember::Reply& reply : member->take_replies()) {
        more = true;
        switch (reply.op) {
          case 23:
            service_.on_ready(user, reply.transition_id, now);
            break;
          case 26:
            service_.on_key_package(user, reply.body, now);
            break;
          case 28:
            service_.on_commit_welcome(user, reply.body, now);
            break;
          default:
            service_.on_invalid(user, reply.transition_id, now);
        }
      }
      for (const std::string& trouble : member->take_troubles()) {
        complaints_.push_back("speaker " + std::to_string(user) + ": " + trouble);
      }
    }
    note_code();
  }
  for (; !lagging_.empty() && lagging_.front().first <= now; lagging_.pop_front()) {
    to_clients_.push_back(std::move(lagging_.front().second));
  }
  for (std::string& complaint : service_.take_complaints()) {
    complaints_.push_back(std::move(complaint));
  }
}

void DaveCall::note_code() {
  const std::uint64_t group = service_.group().serial();
  const std::uint64_t epoch = service_.group().epoch();
  if (epoch == 0 ||
      (!codes_.empty() && codes_.back().group == group && codes_.back().epoch == epoch)) {
    return;
  }
  for (const auto& [user, member] : speakers_) {
    const dave::Member* m = member->session().member();
    if (m == nullptr || !m->established() || m->epoch() != epoch) {
      continue;
    }
    PrivacyCode code{group, epoch, m->privacy_code(), {}};
    for (const dave::GroupMember& one : m->members()) {
      code.members.push_back(one.user);
    }
    std::sort(code.members.begin(), code.members.end());
    codes_.push_back(std::move(code));
    if (codes_.size() > kept_codes) {
      codes_.pop_front();
    }
    return;
  }
}

std::vector<std::string> DaveCall::take_complaints() {
  return std::exchange(complaints_, {});
}

void DaveCall::seal(std::uint64_t user, Packet& packet, Time now) {
  if (const auto speaker = speakers_.find(user); speaker != speakers_.end()) {
    speaker->second->seal(packet, now);
  }
}

void DaveCall::set_speaker_options(const SpeakerDaveOptions& options) {
  options_.speakers = options;
  for (auto& [user, member] : speakers_) {
    member->options() = options;
  }
}

std::optional<std::string> DaveCall::verification_code(std::uint64_t user,
                                                       std::uint64_t other) const {
  const SpeakerMember* one = speaker(user);
  const dave::Member* member = one != nullptr ? one->session().member() : nullptr;
  if (member == nullptr) {
    return std::nullopt;
  }
  for (const dave::GroupMember& m : member->members()) {
    if (m.user == other) {
      return dave::verification_code(member->signature_key().public_key(), user, m.signature_key,
                                     other);
    }
  }
  return std::nullopt;
}

const SpeakerMember* DaveCall::speaker(std::uint64_t user) const noexcept {
  const auto found = speakers_.find(user);
  return found == speakers_.end() ? nullptr : found->second.get();
}

}  // namespace discord::loopback
