#include "worker/call_settings.hpp"

#include <algorithm>
#include <utility>

namespace discord::worker {

Configure configure_of(const media::ReceiverConfig& config) noexcept {
  Configure out;
  out.max_speakers = config.ingress.max_speakers;
  out.hold_time = config.ingress.hold.hold_time.count();
  out.hold_bytes_per_ssrc = config.ingress.hold.bytes_per_ssrc;
  out.hold_bytes_total = config.ingress.hold.bytes_total;
  out.max_packet_bytes = config.max_packet_bytes;
  out.latency = config.latency.count();
  out.zero = to_ns(config.zero);
  out.audio_payload_type = config.ingress.audio_payload_type;
  out.decode = config.decode ? 1 : 0;
  return out;
}

std::uint64_t CallSettings::user_of(std::uint32_t ssrc) const noexcept {
  const auto it = users.find(ssrc);
  return it == users.end() ? 0 : it->second;
}

bool CallSettings::is_denied(std::uint32_t ssrc) const noexcept {
  const auto it = admissions.find(user_of(ssrc));
  return it != admissions.end() && it->second == media::Admission::denied;
}

void CallSettings::use_keys(dave::MediaKeysPtr published, Time on_their_clock, Time at) {
  now = std::max(now, at);
  keys = std::move(published);
  key_clock = on_their_clock - at;
  const auto dropped = [this](const dave::SenderMark& mark) {
    return !keys || std::none_of(keys->epochs.begin(), keys->epochs.end(), [&](const auto& entry) {
      return entry.keys->serial == mark.epoch;
    });
  };
  for (auto it = marks.begin(); it != marks.end();) {
    std::erase_if(it->second.epochs, dropped);
    it = it->second.epochs.empty() ? marks.erase(it) : std::next(it);
  }
}

bool CallSettings::mark(std::uint64_t user, dave::EpochSerial serial, std::uint64_t counter,
                        Time arrival, const void* lane) {
  const auto published = [&] {
    if (keys) {
      for (const auto& entry : keys->epochs) {
        if (entry.keys->serial == serial && entry.keys->find(user) != nullptr) {
          return entry.keys.get();
        }
      }
    }
    return static_cast<const dave::EpochKeys*>(nullptr);
  }();
  if (user == 0 || published == nullptr) {
    return true;
  }
  if (!dave::generation_can_have_begun(counter >> 24, now + key_clock - published->made)) {
    return false;
  }
  Marks& of_user = marks[user];
  of_user.heard_by = lane;
  const auto mark_of = [&](dave::EpochSerial epoch) -> dave::SenderMark& {
    for (dave::SenderMark& known : of_user.epochs) {
      if (known.epoch == epoch) {
        return known;
      }
    }
    return of_user.epochs.emplace_back(dave::SenderMark{user, epoch, {}, false, std::nullopt});
  };
  const bool first = std::none_of(of_user.epochs.begin(), of_user.epochs.end(),
                                  [&](const auto& m) { return m.epoch == serial; });
  mark_of(serial).window.mark(counter);
  if (first) {
    // Whoever has gone on leaves the epochs before, as FrameOpener has it.
    for (const auto& entry : keys->epochs) {
      if (entry.keys->serial < serial && entry.keys->find(user) != nullptr) {
        dave::SenderMark& older = mark_of(entry.keys->serial);
        older.expires = earlier(older.expires, arrival + key_clock + dave::ratchet_tail);
      }
    }
  }
  return true;
}

}  // namespace discord::worker
