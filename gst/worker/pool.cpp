#include "worker/pool.hpp"

#include "config.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>

namespace discord::worker {

namespace {

using namespace std::chrono_literals;

Monotonic clock_now() {
  return std::chrono::steady_clock::now();
}

constexpr std::size_t max_pins = 16384;

}  // namespace

std::string find_program() {
  const char* named = secure_getenv("GST_DISCORD_WORKER");
  return named != nullptr && *named != '\0' ? named : WORKER_INSTALL_PATH;
}

Pool::Pool(const PoolConfig& config, PoolObserver& observer)
    : config_(config),
      observer_(observer),
      doorbell_(move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {
  settings_.receiver = config.receiver;
  dispatcher_ = std::thread([this] { run(); });
}

Pool::~Pool() {
  {
    Lock lock(mutex_);
    stopping_ = true;
  }
  ring();
  dispatcher_.join();
}

void Pool::ring() noexcept {
  constexpr std::uint64_t one = 1;
  // Fails only when it has been rung 2^64 times and nobody came.
  [[maybe_unused]] const auto written = ::write(doorbell_.get(), &one, sizeof one);
}

void Pool::set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key,
                   Time now) {
  Lock lock(mutex_);
  settings_.now = std::max(settings_.now, now);
  settings_.key.emplace(CallSettings::KeyOf{generation, mode, key});
  for (const auto& lane : lanes_) {
    lane->send_key();
    lane->pump(clock_now());
  }
}

void Pool::clear_key() {
  Lock lock(mutex_);
  settings_.key.reset();
  for (const auto& lane : lanes_) {
    lane->send_key();
    lane->pump(clock_now());
  }
}

void Pool::map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now) {
  Lock lock(mutex_);
  settings_.now = std::max(settings_.now, now);
  const auto before = settings_.users.find(ssrc);
  if (user_id == 0 || (before != settings_.users.end() && before->second == user_id)) {
    return;
  }
  // A user stays with the worker that knows what it has sent.
  std::optional<std::size_t> home;
  for (const auto& [other, user] : settings_.users) {
    if (user == user_id && pins_.contains(other)) {
      home = pins_.at(other);
    }
  }
  const std::optional<std::size_t> now_at = lane_of(ssrc);
  // As Ingress does: a user has one SSRC, an SSRC one user.
  for (auto it = settings_.users.begin(); it != settings_.users.end();) {
    const auto [other, user] = *it++;
    if ((user == user_id) != (other == ssrc)) {
      forget(other);
    }
  }
  settings_.users[ssrc] = user_id;
  settings_.told_users.insert(user_id);
  const std::size_t where = now_at ? *now_at : home ? *home : least_loaded();
  pin(ssrc, where);
  lanes_[where]->adopt(user_id);
  // All hear it: an SSRC nobody announced may have packets waiting anywhere.
  for (const auto& lane : lanes_) {
    lane->control(MapUser{user_id, to_ns(now), ssrc, 0});
    lane->pump(clock_now());
  }
}

void Pool::forget(std::uint32_t ssrc) {
  settings_.users.erase(ssrc);
  unpin(ssrc);
  for (const auto& lane : lanes_) {
    lane->forget(ssrc);
  }
}

void Pool::retire(std::uint32_t ssrc, Time now) {
  Lock lock(mutex_);
  settings_.now = std::max(settings_.now, now);
  forget(ssrc);
  for (const auto& lane : lanes_) {
    lane->control(Retire{to_ns(now), ssrc, 0});
    lane->pump(clock_now());
  }
}

void Pool::forget_all(Time now) {
  Lock lock(mutex_);
  settings_.now = std::max(settings_.now, now);
  settings_.users.clear();
  pins_.clear();
  poison_.clear();
  for (const auto& lane : lanes_) {
    lane->pinned = 0;
    lane->forget_all();
    lane->control(ForgetAll{to_ns(now)});
    lane->pump(clock_now());
  }
}

void Pool::set_media_keys(dave::MediaKeysPtr keys, Time published, Time now) {
  Lock lock(mutex_);
  settings_.use_keys(std::move(keys), published, now);
  for (const auto& lane : lanes_) {
    lane->send_media_keys();
    lane->pump(clock_now());
  }
}

void Pool::set_times(Duration hold_time, Duration latency) {
  Lock lock(mutex_);
  settings_.receiver.ingress.hold.hold_time = hold_time;
  settings_.receiver.latency = latency;
  for (const auto& lane : lanes_) {
    lane->control(SetTimes{hold_time.count(), latency.count()});
    lane->pump(clock_now());
  }
}

// Where the packets of an SSRC are now: pinned, or held there because nobody has said whose they
// are.
std::optional<std::size_t> Pool::lane_of(std::uint32_t ssrc) const {
  const auto pinned = pins_.find(ssrc);
  if (pinned != pins_.end()) {
    return pinned->second;
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i]->holds_loose(ssrc)) {
      return i;
    }
  }
  return std::nullopt;
}

// Another one is begun when all have their share, of those who are pinned and of those whose first
// packets are still open.
std::size_t Pool::least_loaded() {
  if (lanes_.empty()) {
    lanes_.push_back(std::make_unique<Lane>(settings_));
  }
  const auto least =
      std::min_element(lanes_.begin(), lanes_.end(),
                       [](const auto& a, const auto& b) { return a->load() < b->load(); });
  if ((*least)->load() >= speakers_per_worker && lanes_.size() < config_.max_workers) {
    lanes_.push_back(std::make_unique<Lane>(settings_));
    return lanes_.size() - 1;
  }
  return static_cast<std::size_t>(least - lanes_.begin());
}

void Pool::pin(std::uint32_t ssrc, std::size_t lane) {
  if (pins_.size() < max_pins && pins_.emplace(ssrc, lane).second) {
    ++lanes_[lane]->pinned;
  }
}

void Pool::unpin(std::uint32_t ssrc) {
  const auto it = pins_.find(ssrc);
  if (it != pins_.end()) {
    --lanes_[it->second]->pinned;
    pins_.erase(it);
  }
}

void Pool::push(ByteSpan datagram, Time arrival) {
  bool start = false;
  {
    Lock lock(mutex_);
    settings_.now = std::max(settings_.now, arrival);
    // RTCP has its SSRC in front, RTP behind the timestamp.
    const bool rtcp = datagram.size() > 1 && datagram[1] >= 200 && datagram[1] <= 207;
    const std::size_t at = rtcp ? 4 : 8;
    const std::uint32_t ssrc =
        datagram.size() >= at + 4 ? load_be32(datagram.data() + at) : std::uint32_t{0};
    if (failed_) {
      ++skipped_;
      return;
    }
    if (!poison_.empty()) {
      const auto bad = poison_.find(ssrc);
      if (bad != poison_.end() && bad->second.muted_until > clock_now()) {
        ++skipped_;
        return;
      }
    }
    // One that nobody announced is the least loaded worker's, without an entry until a worker has
    // authenticated it: its open packets keep the next ones there.
    const std::optional<std::size_t> known = lane_of(ssrc);
    Lane& lane = *lanes_[known ? *known : least_loaded()];
    if (datagram.size() > max_datagram ||
        !lane.push(datagram, ssrc, arrival, !pins_.contains(ssrc))) {
      ++ring_full_;
      return;
    }
    lane.pump(clock_now());
    if (!lane.running() && !wanted_) {
      wanted_ = start = true;
    }
  }
  if (start) {
    ring();
  }
}

void Pool::advance(Time now) {
  Lock lock(mutex_);
  settings_.now = std::max(settings_.now, now);
  for (const auto& lane : lanes_) {
    const Deadline due = lane->deadline();
    if (due && *due <= now) {
      lane->control(Advance{to_ns(now)});
      lane->pump(clock_now());
    }
  }
}

void Pool::drain(Time now) {
  Lock lock(mutex_);
  settings_.now = std::max(settings_.now, now);
  for (const auto& lane : lanes_) {
    if (lane->running() || !lane->idle()) {
      lane->drain();
      lane->pump(clock_now());
    }
  }
  wanted_ = true;
  ring();
  changed_.wait(lock.native(), [this] {
    return failed_ || std::none_of(lanes_.begin(), lanes_.end(),
                                   [](const auto& lane) { return lane->draining(); });
  });
}

Deadline Pool::next_deadline() const {
  Lock lock(mutex_);
  return earliest();
}

Deadline Pool::earliest() const {
  Deadline first;
  for (const auto& lane : lanes_) {
    first = earlier(first, lane->deadline());
  }
  return first;
}

media::Ledger Pool::ledger() const {
  Lock lock(mutex_);
  media::Ledger out;
  for (const auto& lane : lanes_) {
    out += lane->ledger();
  }
  out.received += ring_full_ + skipped_;
  out.ring_full += ring_full_;
  out.skipped += skipped_;
  return out;
}

std::vector<media::SpeakerStats> Pool::speakers() const {
  std::vector<media::SpeakerStats> out;
  {
    Lock lock(mutex_);
    for (const auto& lane : lanes_) {
      lane->speakers(out);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.gone != b.gone ? a.gone : !a.gone && a.ssrc < b.ssrc;
  });
  return out;
}

std::size_t Pool::queued() const {
  Lock lock(mutex_);
  std::size_t out = 0;
  for (const auto& lane : lanes_) {
    out += lane->queued();
  }
  return failed_ ? 0 : out;
}

std::vector<pid_t> Pool::pids() const {
  Lock lock(mutex_);
  std::vector<pid_t> out;
  for (const auto& lane : lanes_) {
    if (lane->running()) {
      out.push_back(lane->worker()->pid());
    }
  }
  return out;
}

unsigned Pool::restarts() const {
  Lock lock(mutex_);
  return restarts_;
}

}  // namespace discord::worker
