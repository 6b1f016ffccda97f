// The dispatcher's other duty: workers are started, watched and replaced.
#include "worker/worker_set.hpp"

#include <poll.h>
#include <algorithm>

namespace discord::worker {

namespace {

using namespace std::chrono_literals;

constexpr unsigned poison_packets = 3;
constexpr Duration poison_period = 10s;
constexpr Duration mute_time = 1s;
constexpr std::size_t max_poison = 1024;
// The kernel's killer of processes that take too much memory looks like anybody's SIGKILL.
constexpr unsigned max_futile = 5;
// Programs that end by themselves before any has ever been ready: the next one will, too.
constexpr unsigned max_false_starts = 5;

bool has_ended(const WorkerProcess& worker) noexcept {
  pollfd ended{worker.pidfd(), POLLIN, 0};
  return poll(&ended, 1, 0) > 0;
}

}  // namespace

std::shared_ptr<WorkerProcess> WorkerSet::spawn(std::string& problem) {
  const bool own = place_count_ == 1;
  SpawnSettings settings{config_.program, config_.uid, doorbell_.get(), place_count_};
  std::shared_ptr<WorkerProcess> worker = WorkerProcess::spawn(settings, problem);
  if (worker && own) {
    // So that a spare has made everything before there is anything to do.
    const Configure configure = configure_of(config_.receiver);
    const ByteSpan bytes = bytes_of(configure);
    RingWriter& input = worker->channel(0).input();
    const MutableByteSpan to = input.reserve(type_of<Input, Configure>(), bytes.size());
    std::copy(bytes.begin(), bytes.end(), to.begin());
    input.publish();
    worker->wake();
  }
  return worker;
}

bool WorkerSet::greet(std::size_t index, const Hello& hello) {
  greeted_ = true;
  const pid_t pid = slots_[index].worker->pid();
  for_each_lane(index, [&](std::size_t, PoolSession& session, Lane& lane) {
    if (lane.running()) {
      session.events.push_back({.what = WorkerEvent::What::started,
                                .pid = pid,
                                .reason = describe_parts(hello.missing)});
    }
  });
  if (hello.missing != 0 && config_.require_sandbox) {
    fail("The worker cannot be locked up here (missing: " + describe_parts(hello.missing) +
         "), and that is required.");
    return false;
  }
  return true;
}

void WorkerSet::watch(Monotonic now) {
  while (watch_all(now)) {
    // Without the lock: whoever pushes packets has not the time that a new process takes.
    std::string problem;
    spare_ = spawn(problem);
    if (!spare_) {
      Lock lock(mutex);
      not_started(problem, now);
    }
  }
}

// True when a worker must be made before anything else can be done.
bool WorkerSet::watch_all(Monotonic now) {
  bool spare_wanted = false;
  bool any = false;
  {
    Lock lock(mutex);
    if (failed_ || stopping_) {
      return false;
    }
    wanted_ = false;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      watch_slot(i, now);
    }
    bool waits = false;
    bool starved = false;
    for (std::size_t i = 0; i < slots_.size() && !failed_; ++i) {
      if (!slots_[i].worker && has_work(i)) {
        if (slots_[i].back_off.not_before() <= now) {
          start(i, now);
          starved = starved || !slots_[i].worker;
        }
        waits = waits || !slots_[i].worker;
      } else if (slots_[i].worker) {
        attach(i, now);
      }
      any = any || slots_[i].worker;
      waits = waits || (slots_[i].worker && !slots_[i].proven);
    }
    // Not while somebody waits for another worker's first frame: two that start at once take twice
    // as long, and this thread is held up meanwhile.
    spare_wanted = any && !waits;
    if (starved && !failed_) {
      return true;
    }
  }
  if (!any) {
    spare_.reset();
  }
  keep_spare(spare_wanted, now);
  return false;
}

// Workers that have been lost or are not needed any more: their end is waited for, without the
// lock.
void WorkerSet::bury() {
  std::vector<std::shared_ptr<WorkerProcess>> departed;
  Lock lock(mutex);
  departed.swap(departed_);
}

void WorkerSet::watch_slot(std::size_t index, Monotonic now) {
  Slot& slot = slots_[index];
  if (!slot.worker) {
    return;
  }
  if (has_ended(*slot.worker)) {
    if (slot.worker->news()) {
      wanted_ = true;  // what it published before it ended counts: read it first
      return;
    }
    const Ending ending = slot.worker->reap();
    if (slot.leaving && ending.known && ending.signal == 0) {
      for_each_lane(index, [&](std::size_t, PoolSession& session, Lane& lane) {
        if (lane.running()) {
          session.events.push_back({.what = WorkerEvent::What::left, .pid = slot.worker->pid()});
          lane.lose();
        }
      });
      departed_.push_back(std::move(slot.worker));
      slot.leaving = false;
    } else {
      const bool false_start = !greeted_ && ending.known && ending.signal == 0;
      lost(index, ending.text(), ending.blamed(), now);
      if (false_start && !failed_ && ++false_starts_ >= max_false_starts) {
        fail("The worker " + config_.program + " does not start: it has ended " +
             std::to_string(false_starts_) + " times before it was ready, the last time with " +
             ending.text() + ". Is it whole, and are the libraries it needs installed?");
      }
    }
    return;
  }
  bool stuck = false;
  bool idle =
      config_.idle_timeout > 0ns && !slot.leaving && now - slot.started >= config_.idle_timeout;
  Lane* attached = nullptr;
  for_each_lane(index, [&](std::size_t, PoolSession&, Lane& lane) {
    if (!lane.running()) {
      idle = idle && lane.idle();
      return;
    }
    attached = &lane;
    stuck = stuck || (lane.busy() && now - lane.last_progress() >= config_.worker_timeout);
    idle = idle && lane.idle() && !lane.busy() && !lane.deadline() &&
           now - lane.last_progress() >= config_.idle_timeout;
  });
  if (stuck) {
    slot.worker->kill();
    lost(index, "no progress", true, now);
  } else if (idle && attached != nullptr) {
    slot.leaving = true;
    attached->control(Leave{});
    attached->pump(now);
  } else if (idle) {
    departed_.push_back(std::move(slot.worker));  // all of its sessions have ended
  }
}

void WorkerSet::keep_spare(bool wanted, Monotonic now) {
  if (spare_ && has_ended(*spare_)) {
    spare_.reset();
    spare_not_before_ = now + 1s;
  }
  if (config_.keep_spare && wanted && !spare_ && spare_not_before_ <= now) {
    std::string problem;
    spare_ = spawn(problem);
    if (!spare_) {
      spare_not_before_ = now + 10s;  // a replacement will be started when it is needed
    }
  }
}

// The worker is gone, or as good as.
void WorkerSet::lost(std::size_t index, const std::string& why, bool blamed, Monotonic now) {
  Slot& slot = slots_[index];
  const pid_t pid = slot.worker->pid();
  slot.back_off.lived(now - slot.started);
  struct Affected {
    std::size_t place;
    PoolSession* session;
    Lane* lane;
    std::uint64_t suspect;
  };
  std::vector<Affected> affected;
  bool any_suspect = false;
  // Killed from outside again and again before anything was done: it is what it does.
  const bool futile = slot.futile + 1 >= max_futile;
  for_each_lane(index, [&](std::size_t place, PoolSession& session, Lane& lane) {
    if (lane.take_success()) {
      slot.futile = 0;
    }
    if (lane.running()) {
      // It works for one at a time; what it says of others is not believed.
      const std::uint64_t suspect = lane.lose(blamed || futile);
      affected.push_back({place, &session, &lane, any_suspect ? 0 : suspect});
      any_suspect = any_suspect || suspect != 0;
    }
  });
  departed_.push_back(std::move(slot.worker));
  slot.leaving = false;
  slot.lost = now;
  slot.bereft.clear();
  blamed = blamed || (++slot.futile >= max_futile && any_suspect);
  for (const Affected& one : affected) {
    ++one.session->restarts;
    slot.bereft.push_back(one.place);
    const bool its_own = blamed && (one.suspect != 0 || !any_suspect);
    one.session->events.push_back({.what = WorkerEvent::What::lost,
                                   .pid = pid,
                                   .reason = why,
                                   .blamed = its_own,
                                   .ssrc = its_own ? one.lane->ssrc_of(one.suspect) : 0,
                                   .packets_again = one.lane->open_packets()});
    if (blamed && one.suspect != 0) {
      blame(*one.session, *one.lane, one.suspect, now);
    }
  }
  if (blamed) {
    slot.back_off.died(now);
    if (!budget_.spend(now)) {
      fail("Workers have died " + std::to_string(budget_.spent()) +
           " times within a minute, the last one of: " + why + ".");
      return;
    }
  }
  if (!has_work(index)) {
    slot.bereft.clear();  // nobody misses it
  } else if (slot.back_off.not_before() <= now) {
    start(index, now);
  }
}

// A packet that was at work when two workers died is given up; a speaker with several of them is
// muted for a while.
void WorkerSet::blame(PoolSession& session, Lane& lane, std::uint64_t id, Monotonic now) {
  const std::uint32_t ssrc = lane.ssrc_of(id);
  if (lane.count_death(id) < 2) {
    return;
  }
  lane.skip(id);
  session.events.push_back({.what = WorkerEvent::What::skipped, .ssrc = ssrc});
  if (session.poison.size() >= max_poison) {
    session.poison.clear();
  }
  PoolSession::Poison& poison = session.poison[ssrc];
  if (poison.packets == 0 || now - poison.since > poison_period) {
    poison.packets = 0;
    poison.since = now;
  }
  if (++poison.packets >= poison_packets) {
    poison.packets = 0;
    poison.muted_until = now + mute_time;
    session.events.push_back({.what = WorkerEvent::What::muted, .ssrc = ssrc});
  }
}

bool WorkerSet::has_work(std::size_t index) const {
  bool out = false;
  for_each_lane(index, [&](std::size_t, PoolSession&, Lane& lane) { out = out || !lane.idle(); });
  return out;
}

// Takes the spare, if there is one.
void WorkerSet::start(std::size_t index, Monotonic now) {
  if (!spare_) {
    return;
  }
  Slot& slot = slots_[index];
  slot.worker = std::move(spare_);
  slot.started = now;
  slot.proven = false;
  attach(index, now);
  for_each_lane(index, [&](std::size_t place, PoolSession& session, Lane& lane) {
    const auto& bereft = slot.bereft;
    if (lane.running() && std::find(bereft.begin(), bereft.end(), place) != bereft.end()) {
      session.events.push_back({.what = WorkerEvent::What::replaced,
                                .pid = slot.worker->pid(),
                                .packets_again = lane.open_packets(),
                                .pause = clock_now() - slot.lost});
    }
  });
  slot.bereft.clear();
}

// No process can be made. All who wait for one have failed at it.
void WorkerSet::not_started(const std::string& problem, Monotonic now) {
  for (std::size_t i = 0; i < slots_.size() && !failed_; ++i) {
    Slot& slot = slots_[i];
    if (slot.worker || !has_work(i) || slot.back_off.not_before() > now) {
      continue;
    }
    slot.back_off.died(now, 10ms);
    if (slot.back_off.in_a_row() >= 5) {
      fail(problem);
    }
  }
}

// Sessions that have something for this worker, and that it does not know yet.
void WorkerSet::attach(std::size_t index, Monotonic now) {
  const Slot& slot = slots_[index];
  if (slot.leaving) {
    return;
  }
  for_each_lane(index, [&](std::size_t place, PoolSession&, Lane& lane) {
    if (!lane.running() && !lane.idle()) {
      lane.start(slot.worker, place, place_count_ == 1, now);
    }
  });
}

void WorkerSet::fail(const std::string& reason) {
  failed_ = true;
  for (Slot& slot : slots_) {
    if (slot.worker) {
      slot.worker->kill();
      departed_.push_back(std::move(slot.worker));
    }
  }
  for (const Place& place : places_) {
    if (place.session) {
      place.session->failure = reason;
      for (const auto& lane : place.session->lanes) {
        if (lane->running()) {
          lane->lose();
        }
        lane->give_up();
      }
    }
  }
  changed.notify_all();
}

// When something must be looked at though nobody rings.
Monotonic WorkerSet::next_check(Monotonic now) const {
  Monotonic next = now + 60s;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (!slot.worker) {
      if (!failed_ && has_work(i)) {
        next = std::min(next, slot.back_off.not_before());
      }
      continue;
    }
    if (config_.idle_timeout > 0ns) {
      next = std::min(next, std::max(slot.started + config_.idle_timeout, now + 1s));
    }
    for_each_lane(i, [&](std::size_t, PoolSession&, Lane& lane) {
      if (lane.running() && lane.busy()) {
        next = std::min(next, lane.last_progress() + config_.worker_timeout);
      } else if (lane.running() && config_.idle_timeout > 0ns && !lane.deadline()) {
        next = std::min(next, lane.last_progress() + config_.idle_timeout);
      }
    });
  }
  for (const Place& place : places_) {
    if (place.session && (!place.session->events.empty() || !place.session->failure.empty())) {
      return now;
    }
  }
  return next;
}

}  // namespace discord::worker
