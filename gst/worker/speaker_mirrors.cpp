#include "worker/speaker_mirrors.hpp"

#include <algorithm>
#include <utility>

namespace discord::worker {

namespace {

media::SpeakerStats row(std::uint32_t ssrc, const Mirror& mirror) {
  media::SpeakerStats out;
  out.ssrc = ssrc;
  out.user_id = mirror.user_id;
  out.speaking = mirror.checkpoint.speaking.speaking != 0;
  if (mirror.checkpoint.audio_level != 255) {
    out.audio_level = mirror.checkpoint.audio_level;
  }
  media::JitterEstimator jitter;
  jitter.restore(mirror.checkpoint.jitter);
  out.jitter = jitter.value();
  out.ledger = mirror.base;
  out.ledger += mirror.current;
  return out;
}

}  // namespace

void Mirror::remember(ByteSpan opus) {
  Bytes into;
  if (last.size() >= media::warm_up_packets) {
    into = std::move(last.front());  // for its memory
    last.pop_front();
  }
  into.assign(opus.begin(), opus.end());
  last.push_back(std::move(into));
}

void Mirror::fold() {
  current.received -= current.held + current.in_flight;
  current.held = current.in_flight = 0;
  base += current;
  current = {};
}

Mirror* SpeakerMirrors::find(std::uint32_t ssrc) noexcept {
  const auto it = mirrors_.find(ssrc);
  return it == mirrors_.end() ? nullptr : &it->second;
}

Mirror& SpeakerMirrors::find_or_add(std::uint32_t ssrc, std::size_t limit) {
  if (Mirror* known = find(ssrc)) {
    return *known;
  }
  if (mirrors_.size() >= limit) {
    const auto idlest =
        std::min_element(mirrors_.begin(), mirrors_.end(), [](const auto& a, const auto& b) {
          return a.second.checkpoint.last_packet < b.second.checkpoint.last_packet;
        });
    depart(idlest->first, idlest->second, &media::Ledger::evicted, limit);
    mirrors_.erase(idlest);
  }
  return mirrors_[ssrc];
}

void SpeakerMirrors::forget(std::uint32_t ssrc, std::size_t limit) {
  if (const auto it = mirrors_.find(ssrc); it != mirrors_.end()) {
    depart(ssrc, it->second, &media::Ledger::no_user, limit);
    mirrors_.erase(it);
  }
}

void SpeakerMirrors::forget_all(std::size_t limit) {
  for (const auto& [ssrc, mirror] : mirrors_) {
    depart(ssrc, mirror, &media::Ledger::evicted, limit);
  }
  mirrors_.clear();
}

void SpeakerMirrors::exclude(std::uint32_t ssrc, bool excluded, std::size_t limit) {
  Mirror* mirror = find(ssrc);
  if (mirror == nullptr || mirror->excluded == excluded) {
    return;
  }
  if (excluded) {
    const media::Ledger counted = row(ssrc, *mirror).ledger;
    if (counted.played + counted.silence > 0) {
      depart(ssrc, *mirror, &media::Ledger::denied, limit);
    }
    mirror->base = mirror->current = {};
    mirror->last.clear();
    mirror->history = {};  // a row that begins anew counts anew
    mirror->complete = false;
  }
  mirror->excluded = excluded;
}

// What still waited for its user is given up with it; what was in order comes out yet.
void SpeakerMirrors::depart(std::uint32_t ssrc, const Mirror& mirror,
                            std::uint64_t media::Ledger::*cause, std::size_t limit) {
  media::SpeakerStats out = row(ssrc, mirror);
  if (out.ledger.received == 0) {
    return;
  }
  out.gone = true;
  out.speaking = false;
  out.ledger.*cause += std::exchange(out.ledger.held, 0);
  out.ledger.played += std::exchange(out.ledger.in_flight, 0);
  departed_.push_back(out);
  if (departed_.size() > limit) {
    departed_.pop_front();
  }
}

void SpeakerMirrors::rows(std::vector<media::SpeakerStats>& out) const {
  out.insert(out.end(), departed_.begin(), departed_.end());
  for (const auto& [ssrc, mirror] : mirrors_) {
    if (!mirror.excluded) {
      out.push_back(row(ssrc, mirror));
    }
  }
}

}  // namespace discord::worker
