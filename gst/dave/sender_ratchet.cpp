#include "dave/sender_ratchet.hpp"

#include "mls/crypto.hpp"

#include <algorithm>

namespace discord::dave {
namespace {

constexpr std::size_t next_secret_size = 32;

}  // namespace

KeyChain::KeyChain(const BaseSecret& base) : secret_(ByteSpan(base.view())) {}

MediaKey KeyChain::take() {
  const auto generation = static_cast<std::uint32_t>(next_);
  const SecretBytes key =
      mls::derive_tree_secret(secret_.view(), "key", generation, MediaKey::size);
  secret_ = mls::derive_tree_secret(secret_.view(), "secret", generation, next_secret_size);
  ++next_;
  return MediaKey(ByteSpan(key.view()).first<MediaKey::size>());
}

ReceiveRatchet::ReceiveRatchet(const BaseSecret& base, Time made) : chain_(base), made_(made) {
  generations_.push_back({0, FrameCipher(chain_.take()), std::nullopt});
}

RatchetVerdict ReceiveRatchet::open(const FrameView& frame, MutableByteSpan out, Time now) {
  expire(now);
  const std::uint64_t newest = generations_.back().number;
  const std::uint64_t number =
      unwrap_generation(generations_.front().number, static_cast<std::uint8_t>(frame.nonce >> 24));
  if (number > newest) {
    if (number > newest + max_generation_gap) {
      // The byte of a generation whose keys are gone looks like one far ahead.
      return number > 0xFF ? RatchetVerdict::expired : RatchetVerdict::too_far;
    }
    if (!can_have_begun(number, now)) {
      return RatchetVerdict::too_far;
    }
    KeyChain ahead = chain_;
    while (ahead.next() < number) {
      ahead.take();
    }
    if (!FrameCipher(ahead.take()).open(frame, out)) {
      return RatchetVerdict::bad_tag;
    }
    advance(number, now);
  } else if (!find(number)->cipher.open(frame, out)) {
    return RatchetVerdict::bad_tag;
  }
  const std::uint64_t counter = frame_counter(number, frame.nonce);
  if (!window_.fresh(counter)) {
    return RatchetVerdict::replayed;
  }
  window_.mark(counter);
  last_counter_ = counter;
  return RatchetVerdict::opened;
}

bool ReceiveRatchet::restore(const ReplayWindow& seen, Time now) {
  if (!seen.any()) {
    return true;
  }
  const std::uint64_t number = seen.newest() >> 24;
  if (!can_have_begun(number, now)) {
    return false;
  }
  if (number > generations_.back().number) {
    advance(number, now);
  }
  window_.merge(seen);
  return true;
}

bool ReceiveRatchet::can_have_begun(std::uint64_t generation, Time now) const noexcept {
  return generation_can_have_begun(generation, now - made_);
}

void ReceiveRatchet::advance(std::uint64_t generation, Time now) {
  for (Generation& older : generations_) {
    older.expires = earlier(older.expires, now + ratchet_tail);
  }
  // Keys passed over stay for late frames, as long as the others.
  while (chain_.next() <= generation) {
    const std::uint64_t number = chain_.next();
    generations_.push_back({number, FrameCipher(chain_.take()),
                            number < generation ? Deadline(now + ratchet_tail) : std::nullopt});
  }
}

void ReceiveRatchet::expire(Time now) {
  if (generations_.size() > 1) {
    std::erase_if(generations_,
                  [&](const Generation& g) { return g.expires && *g.expires <= now; });
  }
}

ReceiveRatchet::Generation* ReceiveRatchet::find(std::uint64_t number) noexcept {
  return &generations_[number - generations_.front().number];
}

SendRatchet::SendRatchet(const BaseSecret& base) : chain_(base), cipher_(chain_.take()) {}

std::optional<MutableByteSpan> SendRatchet::seal(ByteSpan plain, std::span<const ClearRange> ranges,
                                                 MutableByteSpan out) {
  // Spent even when sealing fails: a nonce must never come twice.
  skip_to(counter_ + 1);
  return cipher_.seal(plain, static_cast<std::uint32_t>(counter_), ranges, out);
}

void SendRatchet::skip_to(std::uint64_t counter) {
  while (chain_.next() <= counter >> 24) {
    cipher_ = FrameCipher(chain_.take());
  }
  counter_ = std::max(counter_, counter);
}

}  // namespace discord::dave
