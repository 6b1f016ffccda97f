// One session's view of its workers.
#include "worker/pool.hpp"

#include "config.h"
#include "worker/worker_set.hpp"

#include <algorithm>
#include <cstdlib>

namespace discord::worker {

namespace {

// Where the packets of an SSRC go: to the worker that has authenticated it, or that has been sent
// the first of them.
std::optional<std::size_t> where(const PoolSession& session, std::uint32_t ssrc) {
  for (const auto* table : {&session.pins, &session.claims}) {
    if (const auto it = table->find(ssrc); it != table->end()) {
      return it->second;
    }
  }
  return std::nullopt;
}

void exclude(PoolSession& session, std::uint32_t ssrc, bool excluded) {
  for (const auto& lane : session.lanes) {
    lane->exclude(ssrc, excluded);
  }
}

void forget(WorkerSet& set, PoolSession& session, std::uint32_t ssrc) REQUIRES(set.mutex) {
  session.settings.users.erase(ssrc);
  set.unpin(session, ssrc);
  for (const auto& lane : session.lanes) {
    lane->forget(ssrc);
  }
}

// Finds the datagram's lane, which sends it when it is pumped.
void accept(WorkerSet& set, PoolSession& s, const Arrival& arrival, Monotonic now)
    REQUIRES(set.mutex) {
  const ByteSpan datagram = arrival.datagram;
  s.settings.now = std::max(s.settings.now, arrival.when);
  // RTCP has its SSRC in front, RTP behind the timestamp.
  const bool rtcp = datagram.size() > 1 && datagram[1] >= 200 && datagram[1] <= 207;
  const std::size_t at = rtcp ? 4 : 8;
  const std::uint32_t ssrc =
      datagram.size() >= at + 4 ? load_be32(datagram.data() + at) : std::uint32_t{0};
  if (set.failed()) {
    ++s.skipped;
    return;
  }
  if (!s.poison.empty()) {
    const auto bad = s.poison.find(ssrc);
    if (bad != s.poison.end() && bad->second.muted_until > now) {
      ++s.skipped;
      return;
    }
  }
  std::optional<std::size_t> lane_index = where(s, ssrc);
  if (!lane_index) {
    lane_index = set.least_loaded(s);
    if (rtcp) {
      lane_index = ssrc * std::size_t{2654435761} % s.lanes.size();
    } else {
      set.claim(s, ssrc, *lane_index);
      lane_index = where(s, ssrc).value_or(ssrc * std::size_t{2654435761} % s.lanes.size());
    }
  }
  if (datagram.size() > max_datagram || !s.lanes[*lane_index]->push(datagram, ssrc, arrival.when)) {
    ++s.ring_full;
  }
}

}  // namespace

std::string find_program() {
  const char* named = secure_getenv("GST_DISCORD_WORKER");
  return named != nullptr && *named != '\0' ? named : WORKER_INSTALL_PATH;
}

Pool::Pool(const PoolConfig& config, PoolObserver& observer)
    : set_(WorkerSet::join(config, observer, place_)) {}

Pool::~Pool() {
  set_->leave(place_);
}

void Pool::set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key,
                   Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  s.settings.key.emplace(CallSettings::KeyOf{generation, mode, key});
  for (const auto& lane : s.lanes) {
    lane->send_key();
    lane->pump(clock_now());
  }
}

void Pool::clear_key() {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.key.reset();
  for (const auto& lane : s.lanes) {
    lane->send_key();
    lane->pump(clock_now());
  }
}

void Pool::map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  const auto before = s.settings.users.find(ssrc);
  if (user_id == 0 || (before != s.settings.users.end() && before->second == user_id)) {
    return;
  }
  // A user stays with the worker that knows what it has sent.
  std::optional<std::size_t> home;
  for (const auto& [other, user] : s.settings.users) {
    if (user == user_id) {
      home = where(s, other);
    }
  }
  const std::optional<std::size_t> now_at = where(s, ssrc);
  // As Ingress does: a user has one SSRC, an SSRC one user.
  for (auto it = s.settings.users.begin(); it != s.settings.users.end();) {
    const auto [other, user] = *it++;
    if ((user == user_id) != (other == ssrc)) {
      forget(*set_, s, other);
    }
  }
  s.settings.users[ssrc] = user_id;
  s.settings.told_users.insert(user_id);
  if (s.settings.is_denied(ssrc)) {
    exclude(s, ssrc, true);
  }
  const std::size_t lane = now_at ? *now_at : home ? *home : set_->least_loaded(s);
  set_->pin(s, ssrc, lane);
  s.lanes[lane]->adopt(user_id);
  // All hear it: an SSRC nobody announced may have packets waiting anywhere.
  for (const auto& each : s.lanes) {
    each->control(MapUser{user_id, to_ns(now), ssrc, 0});
    each->pump(clock_now());
  }
}

void Pool::retire(std::uint32_t ssrc, Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  forget(*set_, s, ssrc);
  for (const auto& lane : s.lanes) {
    lane->control(Retire{to_ns(now), ssrc, 0});
    lane->pump(clock_now());
  }
}

void Pool::admit(std::uint64_t user_id, media::Admission admission, Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  if (admission == media::Admission::allowed) {
    s.settings.admissions.erase(user_id);
  } else {
    s.settings.admissions[user_id] = admission;
  }
  for (const auto& [ssrc, user] : s.settings.users) {
    if (user == user_id) {
      exclude(s, ssrc, admission == media::Admission::denied);
    }
  }
  for (const auto& lane : s.lanes) {
    lane->control(Admit{user_id, to_ns(now), static_cast<std::uint32_t>(admission), 0});
    lane->pump(clock_now());
  }
}

void Pool::need_users(bool needed, Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  s.settings.needs_users = needed;
  for (const auto& lane : s.lanes) {
    lane->control(NeedUsers{to_ns(now), needed ? 1u : 0u, 0});
    lane->pump(clock_now());
  }
}

void Pool::forget_all(Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  s.settings.users.clear();
  s.settings.admissions.clear();
  set_->unpin_all(s);
  s.poison.clear();
  for (const auto& lane : s.lanes) {
    lane->forget_all();
    lane->control(ForgetAll{to_ns(now)});
    lane->pump(clock_now());
  }
}

void Pool::set_media_keys(dave::MediaKeysPtr keys, Time published, Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.use_keys(std::move(keys), published, now);
  for (const auto& lane : s.lanes) {
    lane->send_media_keys();
    lane->pump(clock_now());
  }
}

void Pool::set_times(Duration hold_time, Duration latency) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.receiver.ingress.hold.hold_time = hold_time;
  s.settings.receiver.latency = latency;
  for (const auto& lane : s.lanes) {
    lane->control(SetTimes{hold_time.count(), latency.count()});
    lane->pump(clock_now());
  }
}

void Pool::push(ByteSpan datagram, Time arrival) {
  const Arrival one{datagram, arrival};
  push(std::span(&one, 1));
}

void Pool::push(std::span<const Arrival> datagrams) {
  bool start = false;
  {
    Lock lock(set_->mutex);
    PoolSession& s = set_->session(place_);
    const Monotonic now = clock_now();
    for (const Arrival& arrival : datagrams) {
      accept(*set_, s, arrival, now);
    }
    for (const auto& lane : s.lanes) {
      lane->pump(now);
      start = start || (!lane->running() && !lane->idle());
    }
    start = start && !set_->failed() && set_->want();
  }
  if (start) {
    set_->ring();
  }
}

void Pool::advance(Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  for (const auto& lane : s.lanes) {
    const Deadline due = lane->deadline();
    if (due && *due <= now) {
      lane->control(Advance{to_ns(now)});
      lane->pump(clock_now());
    }
  }
}

void Pool::drain(Time now) {
  Lock lock(set_->mutex);
  PoolSession& s = set_->session(place_);
  s.settings.now = std::max(s.settings.now, now);
  for (const auto& lane : s.lanes) {
    if (lane->running() || !lane->idle()) {
      lane->drain();
      lane->pump(clock_now());
    }
  }
  set_->want();
  set_->ring();
  set_->changed.wait(lock.native(), [this, &s] {
    // What comes after a failure must not overtake the news of it.
    return set_->failed() ? set_->failure_told(place_)
                          : std::none_of(s.lanes.begin(), s.lanes.end(),
                                         [](const auto& lane) { return lane->draining(); });
  });
}

Deadline Pool::next_deadline() const {
  Lock lock(set_->mutex);
  return set_->session(place_).deadline();
}

media::Ledger Pool::ledger() const {
  Lock lock(set_->mutex);
  const PoolSession& s = set_->session(place_);
  media::Ledger out;
  for (const auto& lane : s.lanes) {
    out += lane->ledger();
  }
  out.received += s.ring_full + s.skipped;
  out.ring_full += s.ring_full;
  out.skipped += s.skipped;
  return out;
}

std::vector<media::SpeakerStats> Pool::speakers() const {
  std::vector<media::SpeakerStats> out;
  {
    Lock lock(set_->mutex);
    for (const auto& lane : set_->session(place_).lanes) {
      lane->speakers(out);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.gone != b.gone ? a.gone : !a.gone && a.ssrc < b.ssrc;
  });
  return out;
}

std::size_t Pool::queued() const {
  Lock lock(set_->mutex);
  std::size_t out = 0;
  for (const auto& lane : set_->session(place_).lanes) {
    out += lane->queued();
  }
  return set_->failed() ? 0 : out;
}

std::vector<pid_t> Pool::pids() const {
  Lock lock(set_->mutex);
  return set_->pids();
}

unsigned Pool::restarts() const {
  Lock lock(set_->mutex);
  return set_->session(place_).restarts;
}

}  // namespace discord::worker
