#include "worker/worker_set.hpp"

#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <map>

namespace discord::worker {

namespace {

// Sets that can be joined, by name.
struct Registry {
  Mutex mutex;
  std::map<std::string, std::vector<std::weak_ptr<WorkerSet>>> sets GUARDED_BY(mutex);
};
Registry& registry() {
  static Registry all;
  return all;
}

}  // namespace

std::shared_ptr<WorkerSet> WorkerSet::join(const PoolConfig& config, PoolObserver& observer,
                                           std::size_t& place) {
  const auto enter = [&](WorkerSet& set) {
    Lock lock(set.mutex);
    for (std::size_t i = 0; i < set.place_count_ && !set.failed_; ++i) {
      if (!set.places_[i].used) {
        set.places_[i].used = true;
        set.places_[i].session = std::make_unique<PoolSession>(config.receiver, observer);
        place = i;
        return true;
      }
    }
    return false;
  };
  const auto make = [&](std::size_t places) {
    std::shared_ptr<WorkerSet> set(new WorkerSet(config, places));
    enter(*set);
    return set;
  };
  if (config.name.empty()) {
    return make(1);
  }
  Lock lock(registry().mutex);
  auto& sets = registry().sets[config.name];
  std::erase_if(sets, [](const auto& set) { return set.expired(); });
  for (const auto& known : sets) {
    if (auto set = known.lock(); set && enter(*set)) {
      return set;
    }
  }
  auto set = make(max_channels);
  sets.push_back(set);
  return set;
}

WorkerSet::WorkerSet(const PoolConfig& config, std::size_t places)
    : config_(config),
      doorbell_(move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))),
      place_count_(places),
      places_(places),
      budget_(config.max_restarts) {
  dispatcher_ = std::thread([this] { run(); });
}

WorkerSet::~WorkerSet() {
  {
    Lock lock(mutex);
    stopping_ = true;
  }
  ring();
  dispatcher_.join();
}

void WorkerSet::leave(std::size_t place) {
  Lock lock(mutex);
  std::unique_ptr<PoolSession> session = std::move(places_[place].session);
  const Monotonic now = clock_now();
  for (const auto& lane : session->lanes) {
    // A worker that others use goes on without the keys of this one; if it cannot even be told, it
    // does not go on.
    if (lane->running() && place_count_ > 1 && !lane->end_session(now)) {
      lane->worker()->kill();
    }
  }
  unpin_all(*session);
  changed.wait(lock.native(), [&] { return calling_ != place; });
}

void WorkerSet::ring() noexcept {
  constexpr std::uint64_t one = 1;
  // Fails only when it has been rung 2^64 times and nobody came.
  [[maybe_unused]] const auto written = ::write(doorbell_.get(), &one, sizeof one);
}

std::size_t WorkerSet::least_loaded(PoolSession& session) {
  if (slots_.empty()) {
    slots_.emplace_back();
  }
  auto least = std::min_element(slots_.begin(), slots_.end(),
                                [](const auto& a, const auto& b) { return a.pinned < b.pinned; });
  if (least->pinned >= speakers_per_worker && slots_.size() < config_.max_workers) {
    slots_.emplace_back();
    least = slots_.end() - 1;
  }
  const auto index = static_cast<std::size_t>(least - slots_.begin());
  while (session.lanes.size() <= index) {
    session.lanes.push_back(std::make_unique<Lane>(session.settings));
  }
  return index;
}

void WorkerSet::pin(PoolSession& session, std::uint32_t ssrc, std::size_t worker) {
  if (session.pins.contains(ssrc)) {
    return;
  }
  const auto claimed = session.claims.find(ssrc);
  if (claimed != session.claims.end()) {
    --slots_[claimed->second].pinned;
    session.claims.erase(claimed);
  }
  if (session.pins.size() < max_pins) {
    session.pins.emplace(ssrc, worker);
    ++slots_[worker].pinned;
  }
}

void WorkerSet::claim(PoolSession& session, std::uint32_t ssrc, std::size_t worker) {
  if (session.claims.size() < max_claims) {
    session.claims.emplace(ssrc, worker);
    ++slots_[worker].pinned;
  }
}

void WorkerSet::unpin(PoolSession& session, std::uint32_t ssrc) {
  for (auto* table : {&session.pins, &session.claims}) {
    const auto it = table->find(ssrc);
    if (it != table->end()) {
      --slots_[it->second].pinned;
      table->erase(it);
    }
  }
}

void WorkerSet::unpin_all(PoolSession& session) {
  for (auto* table : {&session.pins, &session.claims}) {
    for (const auto& [ssrc, worker] : *table) {
      --slots_[worker].pinned;
    }
    table->clear();
  }
}

std::vector<pid_t> WorkerSet::pids() const {
  std::vector<pid_t> out;
  for (const Slot& slot : slots_) {
    if (slot.worker) {
      out.push_back(slot.worker->pid());
    }
  }
  return out;
}

}  // namespace discord::worker
