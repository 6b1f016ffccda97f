// The one thread of a set of workers: reads what they publish, starts them, watches them, replaces
// them.
#include "worker/worker_set.hpp"

#include <poll.h>
#include <unistd.h>
#include <algorithm>

namespace discord::worker {

namespace {

using namespace std::chrono_literals;

Monotonic clock_now() {
  return std::chrono::steady_clock::now();
}

constexpr Duration budget_period = 60s;
constexpr Duration good_time = 10s;  // without a blamed death: the back-off starts anew
constexpr unsigned poison_packets = 3;
constexpr Duration poison_period = 10s;
constexpr Duration mute_time = 1s;
constexpr std::size_t max_poison = 1024;
// The kernel's killer of processes that take too much memory looks like anybody's SIGKILL.
constexpr unsigned max_futile = 5;
// A worker's batch has fewer; nobody who pushes waits for long.
constexpr std::size_t max_records_at_once = 128;

Duration back_off(unsigned in_a_row) noexcept {
  return in_a_row <= 2 ? 0ms : std::min<Duration>(5ms * (1 << std::min(in_a_row - 3, 8U)), 1000ms);
}

bool has_ended(const WorkerProcess& worker) noexcept {
  pollfd ended{worker.pidfd(), POLLIN, 0};
  return poll(&ended, 1, 0) > 0;
}

}  // namespace

void WorkerSet::run() {
  for (;;) {
    read_all();
    const Monotonic now = clock_now();
    watch(now);
    deliver_events();
    Monotonic until;
    {
      Lock lock(mutex);
      if (stopping_) {
        break;
      }
      until = next_check(now);
    }
    sleep(until);
  }
  Lock lock(mutex);
  slots_.clear();
  spare_.reset();
}

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

bool WorkerSet::any_news() {
  return wanted_ || stopping_ || std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
           return slot.worker && slot.worker->news();
         });
}

// Until a worker rings, one ends, or `until`.
void WorkerSet::sleep(Monotonic until) {
  std::vector<pollfd> fds{{doorbell_.get(), POLLIN, 0}};
  bool news = false;
  {
    Lock lock(mutex);
    ++nap_;  // odd: ring, please
    for (const Slot& slot : slots_) {
      if (slot.worker) {
        slot.worker->set_nap(nap_);
        fds.push_back({slot.worker->pidfd(), POLLIN, 0});
      }
    }
    // Either we see what was published, or the publisher sees that we nap (see `Sleeper`).
    std::atomic_thread_fence(std::memory_order_seq_cst);
    news = any_news();
  }
  if (spare_) {
    fds.push_back({spare_->pidfd(), POLLIN, 0});
  }
  if (!news) {
    const auto left = std::max<Duration>(until - clock_now(), 0ns);
    const timespec timeout{static_cast<time_t>(left / 1s), static_cast<long>((left % 1s).count())};
    ppoll(fds.data(), fds.size(), &timeout, nullptr);
  }
  std::uint64_t rings = 0;
  [[maybe_unused]] const auto got = ::read(doorbell_.get(), &rings, sizeof rings);
  Lock lock(mutex);
  ++nap_;
  for (const Slot& slot : slots_) {
    if (slot.worker) {
      slot.worker->set_nap(nap_);
    }
  }
}

void WorkerSet::read_all() {
  std::size_t count = 0;
  {
    Lock lock(mutex);
    count = slots_.size();
  }
  for (std::size_t i = 0; i < count; ++i) {
    read(i);
  }
}

// Only this thread ever takes a worker away, so between the locks it is still there.
void WorkerSet::read(std::size_t index) {
  std::shared_ptr<WorkerProcess> worker;
  std::vector<Monotonic> progress;
  {
    Lock lock(mutex);
    worker = slots_[index].worker;
    for (std::size_t place = 0; place < place_count_; ++place) {
      const PoolSession* session = places_[place].session.get();
      const Lane* lane = session != nullptr ? session->lane(index) : nullptr;
      progress.push_back(lane != nullptr ? lane->last_progress() : Monotonic{});
    }
  }
  if (!worker) {
    return;
  }
  for (std::size_t place = 0; place < worker->channels(); ++place) {
    if (!read_channel(index, place, *worker)) {
      return;
    }
  }
  Lock lock(mutex);
  if (!worker->sane()) {
    worker->kill();
    lost(index, "impossible ring", true, clock_now());
    return;
  }
  for_each_lane(index, [&](std::size_t place, PoolSession&, Lane& lane) {
    if (lane.take_success()) {
      slots_[index].futile = 0;
    }
    if (lane.last_progress() != progress[place]) {
      lane.heard_from(clock_now());  // the observer may have taken its time
    }
    lane.pump(clock_now());  // there may be room for what waited
  });
}

// False when the worker has been lost over it, or everything has failed.
bool WorkerSet::read_channel(std::size_t index, std::size_t place, WorkerProcess& worker) {
  RingReader& ring = worker.channel(place).output();
  // No more than one ring's worth: the others' turn comes.
  std::size_t bytes = 0;
  Taken taken = Taken::some;
  while (taken == Taken::some && bytes < ring_size) {
    std::size_t count = 0;
    const std::size_t before = bytes;
    PoolObserver* observer = nullptr;
    {
      Lock lock(mutex);
      taken = take(index, place, worker, bytes, count);
      if (count > 0) {
        observer = &places_[place].session->observer;
        calling_ = place;
      }
    }
    if (observer != nullptr) {
      for (std::size_t i = 0; i < count; ++i) {
        deliver(*observer, deliveries_[i]);
      }
      called(place);
    }
    if (taken == Taken::violation) {
      Lock lock(mutex);
      worker.kill();
      lost(index, "wrong answer", true, clock_now());
    }
    if (taken == Taken::violation || taken == Taken::refused) {
      return false;
    }
    if (bytes != before) {
      ring.release();
      worker.wake();  // it may wait for room
    }
  }
  return true;
}

// A part of what there is to read, checked under one lock: taking it for each record, while packets
// are pushed, would put both threads to sleep over and over. Samples stay where they are.
WorkerSet::Taken WorkerSet::take(std::size_t index, std::size_t place, WorkerProcess& worker,
                                 std::size_t& bytes, std::size_t& count) {
  RingReader& ring = worker.channel(place).output();
  PoolSession* session = places_[place].session.get();
  Lane* lane = session != nullptr ? session->lane(index) : nullptr;
  if (lane != nullptr && lane->worker() != &worker) {
    lane = nullptr;
  }
  const Monotonic now = clock_now();
  for (std::size_t records = 0; records < max_records_at_once; ++records) {
    const auto record = ring.peek();
    if (!record) {
      return Taken::all;
    }
    const auto output = parse_output(record->type, record->body);
    const Hello* hello = output ? std::get_if<Hello>(&output.value()) : nullptr;
    const bool drained = output && std::holds_alternative<Drained>(output.value());
    if (count > 0 && (hello != nullptr || drained)) {
      return Taken::some;  // whoever waits for it must have heard everything before
    }
    if (count == deliveries_.size()) {
      deliveries_.emplace_back();
    }
    Delivery& delivery = deliveries_[count];
    delivery.meaning = Lane::Meaning::nothing;
    if (hello != nullptr && place == 0 && hello->version == protocol_version) {
      if (!greet(index, *hello)) {
        return Taken::refused;
      }
    } else if (lane != nullptr) {
      delivery.meaning = lane->handle(output, delivery.frame, now);
    } else if (!places_[place].used || hello != nullptr) {
      delivery.meaning = Lane::Meaning::violation;
    }  // else the session has ended: nobody's
    switch (delivery.meaning) {
      case Lane::Meaning::violation:
      case Lane::Meaning::hello:
        return Taken::violation;
      case Lane::Meaning::frame:
        pin(*session, delivery.frame.ssrc, index);
        // The lane's own copy lives until the next record only.
        delivery.opus.assign(delivery.frame.opus.begin(), delivery.frame.opus.end());
        delivery.frame.opus = delivery.opus;
        ++count;
        break;
      case Lane::Meaning::speaking:
        delivery.speaking = std::get<SpeakingOut>(output.value());
        ++count;
        break;
      case Lane::Meaning::rtcp:
        delivery.rtcp = std::get<RtcpOut>(output.value());
        ++count;
        break;
      case Lane::Meaning::undecryptable:
        // No oftener than one receiver would ask, whatever workers say.
        if (now >= session->recovery_allowed) {
          session->recovery_allowed = now + dave::recovery_pause;
          delivery.user_id = std::get<UndecryptableOut>(output.value()).user_id;
          ++count;
        }
        break;
      case Lane::Meaning::batch:
        delivery.next = session->deadline();
        ++count;
        break;
      case Lane::Meaning::drained:
        changed.notify_all();
        break;
      case Lane::Meaning::nothing:
        break;
    }
    bytes += record->body.size() + sizeof(RecordHeader);
    ring.pop();
  }
  return Taken::some;
}

void WorkerSet::deliver(PoolObserver& observer, const Delivery& delivery) {
  switch (delivery.meaning) {
    case Lane::Meaning::frame:
      observer.frame(delivery.frame);
      break;
    case Lane::Meaning::speaking: {
      const SpeakingOut& said = delivery.speaking;
      observer.speaking(said.ssrc, said.user_id, said.speaking != 0, time_from_ns(said.when));
      break;
    }
    case Lane::Meaning::rtcp:
      observer.rtcp(delivery.rtcp.compound, time_from_ns(delivery.rtcp.arrival));
      break;
    case Lane::Meaning::undecryptable:
      observer.undecryptable(delivery.user_id);
      break;
    case Lane::Meaning::batch:
      observer.deadline(delivery.next);
      break;
    default:
      break;
  }
}

// Nobody is being called any more; whoever wants to leave may.
void WorkerSet::called(std::size_t place) {
  Lock lock(mutex);
  calling_ = nobody;
  if (!places_[place].session) {
    changed.notify_all();
  }
}

bool WorkerSet::greet(std::size_t index, const Hello& hello) {
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
  bool spare_wanted = false;
  {
    Lock lock(mutex);
    if (failed_ || stopping_) {
      return;
    }
    wanted_ = false;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      watch_slot(i, now);
    }
    bool waits = false;
    bool any = false;
    for (std::size_t i = 0; i < slots_.size() && !failed_; ++i) {
      if (!slots_[i].worker && has_work(i)) {
        if (slots_[i].not_before <= now) {
          start(i, now);
        }
        waits = waits || !slots_[i].worker;
      } else if (slots_[i].worker) {
        attach(i, now);
      }
      any = any || slots_[i].worker;
    }
    spare_wanted = any && !waits;
    if (!any) {
      spare_.reset();
    }
  }
  keep_spare(spare_wanted, now);
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
      slot.worker.reset();
      slot.leaving = false;
    } else {
      lost(index, ending.text(), ending.blamed(), now);
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
    slot.worker.reset();  // all of its sessions have ended
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
  if (now - slot.started > good_time) {
    slot.blamed_in_a_row = 0;
  }
  struct Affected {
    PoolSession* session;
    Lane* lane;
    std::uint64_t suspect;
  };
  std::vector<Affected> affected;
  bool any_suspect = false;
  // Killed from outside again and again before anything was done: it is what it does.
  const bool futile = slot.futile + 1 >= max_futile;
  for_each_lane(index, [&](std::size_t, PoolSession& session, Lane& lane) {
    if (lane.take_success()) {
      slot.futile = 0;
    }
    if (lane.running()) {
      // It works for one at a time; what it says of others is not believed.
      const std::uint64_t suspect = lane.lose(blamed || futile);
      affected.push_back({&session, &lane, any_suspect ? 0 : suspect});
      any_suspect = any_suspect || suspect != 0;
    }
  });
  slot.worker.reset();
  slot.leaving = false;
  blamed = blamed || (++slot.futile >= max_futile && any_suspect);
  for (const Affected& one : affected) {
    ++one.session->restarts;
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
    ++slot.blamed_in_a_row;
    slot.not_before = now + back_off(slot.blamed_in_a_row);
    blamed_.push_back(now);
    while (!blamed_.empty() && now - blamed_.front() > budget_period) {
      blamed_.pop_front();
    }
    if (blamed_.size() > config_.max_restarts) {
      fail("Workers have died " + std::to_string(blamed_.size()) +
           " times within a minute, the last one of: " + why + ".");
      return;
    }
  }
  if (has_work(index) && slot.not_before <= now) {
    start(index, now);
    for (const Affected& one : affected) {
      if (one.lane->running()) {
        one.session->events.push_back({.what = WorkerEvent::What::replaced,
                                       .pid = slot.worker->pid(),
                                       .packets_again = one.lane->open_packets(),
                                       .pause = clock_now() - now});
      }
    }
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

void WorkerSet::start(std::size_t index, Monotonic now) {
  Slot& slot = slots_[index];
  std::string problem;
  slot.worker = std::move(spare_);
  if (!slot.worker) {
    slot.worker = spawn(problem);
  }
  if (slot.worker) {
    slot.started = now;
    attach(index, now);
    return;
  }
  ++slot.blamed_in_a_row;
  slot.not_before = now + std::max<Duration>(back_off(slot.blamed_in_a_row), 10ms);
  if (slot.blamed_in_a_row >= 5) {
    fail(problem);
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
      slot.worker.reset();
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

void WorkerSet::deliver_events() {
  for (std::size_t place = 0; place < place_count_; ++place) {
    std::vector<WorkerEvent> events;
    std::string failure;
    PoolObserver* observer = nullptr;
    {
      Lock lock(mutex);
      PoolSession* session = places_[place].session.get();
      if (session == nullptr || (session->events.empty() && session->failure.empty())) {
        continue;
      }
      events.swap(session->events);
      failure.swap(session->failure);
      observer = &session->observer;
      calling_ = place;
    }
    for (const WorkerEvent& event : events) {
      observer->event(event);
    }
    if (!failure.empty()) {
      observer->failed(failure);
    }
    called(place);
  }
}

// When something must be looked at though nobody rings.
Monotonic WorkerSet::next_check(Monotonic now) const {
  Monotonic next = now + 60s;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (!slot.worker) {
      if (!failed_ && has_work(i)) {
        next = std::min(next, slot.not_before);
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
