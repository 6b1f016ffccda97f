#include "dave/frame_opener.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace discord::dave {
namespace {

// The refusal that says most, when several keys refused for different reasons.
FrameOutcome worse(FrameOutcome a, RatchetVerdict b) noexcept {
  switch (b) {
    case RatchetVerdict::opened:
    case RatchetVerdict::replayed:
      return FrameOutcome::replayed;
    case RatchetVerdict::too_far:
      return a == FrameOutcome::no_key ? FrameOutcome::too_far : a;
    case RatchetVerdict::expired:
      return a == FrameOutcome::no_key ? FrameOutcome::expired : a;
    case RatchetVerdict::bad_tag:
      break;
  }
  return a == FrameOutcome::replayed ? a : FrameOutcome::bad_tag;
}

OpenedFrame pass(FrameOutcome outcome, MutableByteSpan frame) noexcept {
  return {outcome, frame, 0, 0};
}
OpenedFrame refuse(FrameOutcome outcome) noexcept {
  return {outcome, {}, 0, 0};
}

}  // namespace

const char* to_string(FrameOutcome outcome) noexcept {
  static constexpr std::array<const char*, frame_outcome_count> names{
      "opened",      "silence", "passthrough", "no user", "no key",
      "not a frame", "bad tag", "replayed",    "too far", "expired"};
  return names[static_cast<std::size_t>(outcome)];
}

void FrameOpener::use(MediaKeysPtr keys, Time now) {
  keys_ = std::move(keys);
  ++version_;
  // Senders without any key left are forgotten; the others catch up with their next frame.
  std::erase_if(senders_,
                [&](const auto& entry) { return !keys_ || !keys_->knows(entry.first, now); });
  wants_recovery_.reset();
}

OpenedFrame FrameOpener::open(std::uint64_t user, MutableByteSpan frame, Time now) {
  const OpenedFrame result = judge(user, frame, now);
  ++counts_[static_cast<std::size_t>(result.outcome)];
  return result;
}

OpenedFrame FrameOpener::judge(std::uint64_t user, MutableByteSpan frame, Time now) {
  if (is_silence(frame)) {
    return pass(FrameOutcome::silence, frame);
  }
  const bool passes = keys_ && keys_->passes(now);
  const auto view = parse_frame(frame);
  if (!view) {
    return passes ? pass(FrameOutcome::passthrough, frame) : refuse(FrameOutcome::not_a_frame);
  }
  if (passes && !keys_->active) {
    // Nobody encrypts: it only looks like it.
    return pass(FrameOutcome::passthrough, frame);
  }
  if (user == 0) {
    return refuse(FrameOutcome::no_user);
  }
  Sender* const sender = find(user, now);
  if (sender == nullptr) {
    return refuse(FrameOutcome::no_key);
  }
  const ByteSpan media = view.value().media;
  if (scratch_.size() < media.size()) {
    scratch_.resize(std::max<std::size_t>(media.size(), 2048));
  }
  FrameOutcome refusal = FrameOutcome::no_key;
  for (auto ratchet = sender->ratchets.begin(); ratchet != sender->ratchets.end(); ++ratchet) {
    if (!ratchet->receive) {
      continue;
    }
    const RatchetVerdict verdict = ratchet->receive->open(view.value(), scratch_, now);
    if (verdict != RatchetVerdict::opened) {
      refusal = worse(refusal, verdict);
      continue;
    }
    std::memcpy(frame.data(), scratch_.data(), media.size());
    // This sender has gone on; what it sent before may still be under way for a while.
    for (auto older = ratchet + 1; older != sender->ratchets.end(); ++older) {
      older->expires = earlier(older->expires, now + ratchet_tail);
    }
    sender->failures = 0;
    if (wants_recovery_ == user) {
      wants_recovery_.reset();
    }
    return {FrameOutcome::opened, frame.first(media.size()), ratchet->epoch,
            ratchet->receive->last_counter()};
  }
  if (refusal == FrameOutcome::bad_tag) {
    note_failure(user, *sender, now);
  }
  return refuse(refusal);
}

FrameOpener::Sender* FrameOpener::find(std::uint64_t user, Time now) {
  auto it = senders_.find(user);
  if (it == senders_.end()) {
    if (!knows(user, now)) {
      return nullptr;
    }
    it = senders_.try_emplace(user).first;
  }
  Sender& sender = it->second;
  if (sender.version != version_) {
    update(sender, user, now);
  }
  bool any = false;
  for (Ratchet& ratchet : sender.ratchets) {
    if (ratchet.expires && *ratchet.expires <= now) {
      ratchet.receive.reset();
    }
    any = any || ratchet.receive;
  }
  return any ? &sender : nullptr;
}

void FrameOpener::update(Sender& sender, std::uint64_t user, Time now) {
  std::vector<Ratchet> ratchets;
  for (const MediaKeys::Entry& entry : keys_->epochs) {
    const SenderKey* const key = entry.keys->find(user);
    if (key == nullptr) {
      continue;
    }
    const auto known =
        std::find_if(sender.ratchets.begin(), sender.ratchets.end(),
                     [&](const Ratchet& r) { return r.epoch == entry.keys->serial; });
    if (known != sender.ratchets.end()) {
      known->expires = earlier(known->expires, entry.expires);
      ratchets.push_back(std::move(*known));
    } else if (!entry.expires || now < *entry.expires) {
      ratchets.push_back(
          {entry.keys->serial, ReceiveRatchet(key->base, entry.keys->made), entry.expires});
    }
  }
  sender.ratchets = std::move(ratchets);
  sender.version = version_;
  // New keys deserve a new chance.
  sender.failures = 0;
}

void FrameOpener::note_failure(std::uint64_t user, Sender& sender, Time now) noexcept {
  if (keys_->epochs.empty() || keys_->epochs.front().keys->find(user) == nullptr) {
    return;  // has left the group: the frames will end by themselves
  }
  if (sender.failures++ == 0) {
    sender.first_failure = now;
  }
  if (sender.failures > recovery_failures && now - sender.first_failure > recovery_age) {
    wants_recovery_ = user;
  }
}

std::optional<std::uint64_t> FrameOpener::take_recovery_request(Time now) noexcept {
  if (!wants_recovery_ || (recovery_allowed_ && now < *recovery_allowed_)) {
    return std::nullopt;
  }
  recovery_allowed_ = now + recovery_pause;
  const auto it = senders_.find(*wants_recovery_);
  if (it != senders_.end()) {
    it->second.failures = 0;
  }
  return std::exchange(wants_recovery_, std::nullopt);
}

std::vector<SenderMark> FrameOpener::marks() const {
  std::vector<SenderMark> out;
  for (const auto& [user, sender] : senders_) {
    for (const Ratchet& ratchet : sender.ratchets) {
      if (!ratchet.receive) {
        out.push_back({user, ratchet.epoch, {}, true, std::nullopt});
      } else if (ratchet.receive->window().any() || ratchet.expires) {
        out.push_back({user, ratchet.epoch, ratchet.receive->window(), false, ratchet.expires});
      }
    }
  }
  return out;
}

void FrameOpener::restore(const std::vector<SenderMark>& marks, Time now) {
  for (const SenderMark& mark : marks) {
    restore(mark, now);
  }
}

void FrameOpener::restore(const SenderMark& mark, Time now) {
  Sender* const sender = find(mark.user, now);
  if (sender == nullptr) {
    return;
  }
  for (Ratchet& ratchet : sender->ratchets) {
    if (ratchet.epoch != mark.epoch || !ratchet.receive) {
      continue;
    }
    ratchet.expires = earlier(ratchet.expires, mark.expires);
    if (mark.over || (ratchet.expires && *ratchet.expires <= now)) {
      ratchet.expires = earlier(ratchet.expires, now);
      ratchet.receive.reset();
    } else {
      ratchet.receive->restore(mark.window, now);
    }
  }
}

}  // namespace discord::dave
