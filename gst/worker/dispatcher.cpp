// The pool's one thread: reads what workers publish, starts them, watches them, replaces them.
#include "worker/pool.hpp"

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

}  // namespace

void Pool::run() {
  for (;;) {
    read_all();
    const Monotonic now = clock_now();
    watch(now);
    deliver_events();
    Monotonic until;
    {
      Lock lock(mutex_);
      if (stopping_) {
        break;
      }
      until = next_check(now);
    }
    sleep(until);
  }
  Lock lock(mutex_);
  for (const auto& lane : lanes_) {
    lane->lose();
  }
  spare_.reset();
}

std::unique_ptr<WorkerProcess> Pool::spawn(std::string& problem) {
  SpawnSettings settings{config_.program, config_.uid, doorbell_.get()};
  auto worker = WorkerProcess::spawn(settings, problem);
  if (worker) {
    const Configure configure = configure_of(config_.receiver);
    const ByteSpan bytes = bytes_of(configure);
    const MutableByteSpan to = worker->input().reserve(type_of<Input, Configure>(), bytes.size());
    std::copy(bytes.begin(), bytes.end(), to.begin());
    worker->input().publish();
    worker->wake();
  }
  return worker;
}

bool Pool::any_news() {
  return wanted_ || stopping_ || std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) {
           return lane->running() && lane->worker()->output().news();
         });
}

// Until a worker rings, one ends, or `until`.
void Pool::sleep(Monotonic until) {
  std::vector<pollfd> fds{{doorbell_.get(), POLLIN, 0}};
  bool news = false;
  {
    Lock lock(mutex_);
    ++nap_;  // odd: ring, please
    for (const auto& lane : lanes_) {
      if (lane->running()) {
        lane->worker()->set_nap(nap_);
        fds.push_back({lane->worker()->pidfd(), POLLIN, 0});
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
  Lock lock(mutex_);
  ++nap_;
  for (const auto& lane : lanes_) {
    if (lane->running()) {
      lane->worker()->set_nap(nap_);
    }
  }
}

void Pool::read_all() {
  std::size_t count = 0;
  {
    Lock lock(mutex_);
    count = lanes_.size();
  }
  for (std::size_t i = 0; i < count; ++i) {
    read(i);
  }
}

// Only this thread ever takes a worker away, so between the locks it is still there.
void Pool::read(std::size_t index) {
  WorkerProcess* worker = nullptr;
  Lane* lane = nullptr;
  Monotonic progress;
  {
    Lock lock(mutex_);
    lane = lanes_[index].get();
    worker = lane->worker();
    progress = lane->last_progress();
  }
  if (worker == nullptr) {
    return;
  }
  RingReader& ring = worker->output();
  // No more than one ring's worth: the others' turn comes.
  std::size_t bytes = 0;
  Taken taken = Taken::some;
  while (taken == Taken::some && bytes < ring_size) {
    std::size_t count = 0;
    {
      Lock lock(mutex_);
      taken = take(index, *lane, *worker, bytes, count);
    }
    for (std::size_t i = 0; i < count; ++i) {
      deliver(deliveries_[i]);
    }
    if (taken == Taken::violation || taken == Taken::refused) {
      break;
    }
    ring.release();
    worker->wake();
  }
  Lock lock(mutex_);
  if (taken == Taken::refused) {
    fail("The worker cannot be locked up here (missing: " + describe_parts(missing_) +
         "), and that is required.");
  } else if (taken == Taken::violation) {
    worker->kill();
    lost(index, "wrong answer", true, clock_now());
  } else if (!ring.sane() || !worker->input().sane()) {
    worker->kill();
    lost(index, "impossible ring", true, clock_now());
  } else {
    if (lane->last_progress() != progress) {
      lane->heard_from(clock_now());  // the observer may have taken its time
    }
    lane->pump(clock_now());  // there may be room for what waited
  }
}

// A part of what there is to read, checked under one lock: taking it for each record, while packets
// are pushed, would put both threads to sleep over and over. Samples stay where they are.
Pool::Taken Pool::take(std::size_t index, Lane& lane, WorkerProcess& worker, std::size_t& bytes,
                       std::size_t& count) {
  RingReader& ring = worker.output();
  const Monotonic now = clock_now();
  for (std::size_t records = 0; records < max_records_at_once; ++records) {
    const auto record = ring.peek();
    if (!record) {
      return Taken::all;
    }
    const auto output = parse_output(record->type, record->body);
    if (count > 0 && output && std::holds_alternative<Drained>(output.value())) {
      return Taken::some;  // whoever waits for it must have heard everything before
    }
    if (count == deliveries_.size()) {
      deliveries_.emplace_back();
    }
    Delivery& delivery = deliveries_[count];
    delivery.meaning = lane.handle(output, delivery.frame, now);
    switch (delivery.meaning) {
      case Lane::Meaning::violation:
        return Taken::violation;
      case Lane::Meaning::frame:
        pin(delivery.frame.ssrc, index);
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
        if (now >= recovery_allowed_) {
          recovery_allowed_ = now + dave::recovery_pause;
          delivery.user_id = std::get<UndecryptableOut>(output.value()).user_id;
          ++count;
        }
        break;
      case Lane::Meaning::batch:
        delivery.next = earliest();
        ++count;
        break;
      case Lane::Meaning::hello: {
        const auto& hello = std::get<Hello>(output.value());
        events_.push_back({.what = WorkerEvent::What::started,
                           .pid = worker.pid(),
                           .reason = describe_parts(hello.missing)});
        missing_ = hello.missing;
        if (hello.missing != 0 && config_.require_sandbox) {
          return Taken::refused;
        }
        break;
      }
      case Lane::Meaning::drained:
        changed_.notify_all();
        break;
      case Lane::Meaning::nothing:
        break;
    }
    bytes += record->body.size() + sizeof(RecordHeader);
    ring.pop();
  }
  return Taken::some;
}

void Pool::deliver(const Delivery& delivery) {
  switch (delivery.meaning) {
    case Lane::Meaning::frame:
      observer_.frame(delivery.frame);
      break;
    case Lane::Meaning::speaking: {
      const SpeakingOut& said = delivery.speaking;
      observer_.speaking(said.ssrc, said.user_id, said.speaking != 0, time_from_ns(said.when));
      break;
    }
    case Lane::Meaning::rtcp:
      observer_.rtcp(delivery.rtcp.compound, time_from_ns(delivery.rtcp.arrival));
      break;
    case Lane::Meaning::undecryptable:
      observer_.undecryptable(delivery.user_id);
      break;
    case Lane::Meaning::batch:
      observer_.deadline(delivery.next);
      break;
    default:
      break;
  }
}

void Pool::watch(Monotonic now) {
  Lock lock(mutex_);
  if (failed_ || stopping_) {
    return;
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = *lanes_[i];
    if (!lane.running()) {
      continue;
    }
    WorkerProcess& worker = *lane.worker();
    pollfd ended{worker.pidfd(), POLLIN, 0};
    if (poll(&ended, 1, 0) > 0) {
      if (worker.output().news()) {
        wanted_ = true;  // what it published before it ended counts: read it first
        continue;
      }
      const Ending ending = worker.reap();
      if (lane.leaving && ending.known && ending.signal == 0) {
        events_.push_back({.what = WorkerEvent::What::left, .pid = worker.pid()});
        lane.lose();
      } else {
        lost(i, ending.text(), ending.blamed(), now);
      }
    } else if (lane.busy() && now - lane.last_progress() >= config_.worker_timeout) {
      worker.kill();
      lost(i, "no progress", true, now);
    } else if (config_.idle_timeout > 0ns && !lane.leaving && lane.idle() && !lane.busy() &&
               !lane.deadline() && now - lane.last_progress() >= config_.idle_timeout) {
      lane.leaving = true;
      lane.control(Leave{});
      lane.pump(now);
    }
  }
  bool waits = false;
  for (const auto& lane : lanes_) {
    if (!lane->running() && !lane->idle() && !failed_) {
      if (lane->not_before <= now) {
        start(*lane, now);
      }
      waits = waits || !lane->running();
    }
  }
  wanted_ = std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) {
    return lane->running() && lane->worker()->output().news();
  });
  const bool any =
      std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->running(); });
  lock.unlock();
  if (spare_) {
    pollfd ended{spare_->pidfd(), POLLIN, 0};
    if (poll(&ended, 1, 0) > 0) {
      spare_.reset();
      spare_not_before_ = now + 1s;
    }
  }
  if (config_.keep_spare && any && !waits && !spare_ && spare_not_before_ <= now) {
    std::string problem;
    spare_ = spawn(problem);
    if (!spare_) {
      spare_not_before_ = now + 10s;  // a replacement will be started when it is needed
    }
  } else if (!any && spare_) {
    spare_.reset();
  }
}

// The lane's worker is gone, or as good as.
void Pool::lost(std::size_t index, const std::string& why, bool blamed, Monotonic now) {
  Lane& lane = *lanes_[index];
  WorkerEvent event{.what = WorkerEvent::What::lost,
                    .pid = lane.worker()->pid(),
                    .reason = why,
                    .blamed = blamed};
  if (now - lane.started > good_time) {
    lane.blamed_in_a_row = 0;
  }
  // Killed from outside again and again before anything was done: it is what it does.
  const bool at_work = lane.worker()->working_on() != 0;
  blamed = blamed || (at_work && ++lane.futile >= max_futile);
  event.blamed = blamed;
  const std::uint64_t suspect = lane.lose(blamed);
  ++restarts_;
  event.packets_again = lane.open_packets();
  if (blamed) {
    event.ssrc = lane.ssrc_of(suspect);
    events_.push_back(event);
    if (suspect != 0) {
      blame(lane, suspect, now);
    }
    ++lane.blamed_in_a_row;
    lane.not_before = now + back_off(lane.blamed_in_a_row);
    blamed_.push_back(now);
    while (!blamed_.empty() && now - blamed_.front() > budget_period) {
      blamed_.pop_front();
    }
    if (blamed_.size() > config_.max_restarts) {
      fail("Workers have died " + std::to_string(blamed_.size()) +
           " times within a minute, the last one of: " + why + ".");
      return;
    }
  } else {
    events_.push_back(event);
  }
  if (!lane.idle() && lane.not_before <= now) {
    start(lane, now);
    if (lane.running()) {
      events_.push_back({.what = WorkerEvent::What::replaced,
                         .pid = lane.worker()->pid(),
                         .packets_again = lane.open_packets(),
                         .pause = clock_now() - now});
    }
  }
}

// A packet that was at work when two workers died is given up; a speaker with several of them is
// muted for a while.
void Pool::blame(Lane& lane, std::uint64_t id, Monotonic now) {
  const std::uint32_t ssrc = lane.ssrc_of(id);
  if (lane.count_death(id) < 2) {
    return;
  }
  lane.skip(id);
  events_.push_back({.what = WorkerEvent::What::skipped, .ssrc = ssrc});
  if (poison_.size() >= max_poison) {
    poison_.clear();
  }
  Poison& poison = poison_[ssrc];
  if (poison.packets == 0 || now - poison.since > poison_period) {
    poison.packets = 0;
    poison.since = now;
  }
  if (++poison.packets >= poison_packets) {
    poison.packets = 0;
    poison.muted_until = now + mute_time;
    events_.push_back({.what = WorkerEvent::What::muted, .ssrc = ssrc});
  }
}

void Pool::start(Lane& lane, Monotonic now) {
  std::string problem;
  std::unique_ptr<WorkerProcess> worker = std::move(spare_);
  if (!worker) {
    worker = spawn(problem);
  }
  if (worker) {
    lane.start(std::move(worker), now);
    return;
  }
  ++lane.blamed_in_a_row;
  lane.not_before = now + std::max<Duration>(back_off(lane.blamed_in_a_row), 10ms);
  if (lane.blamed_in_a_row >= 5) {
    fail(problem);
  }
}

void Pool::fail(const std::string& reason) {
  failed_ = true;
  failure_ = reason;
  for (const auto& lane : lanes_) {
    if (lane->running()) {
      lane->worker()->kill();
      lane->lose();
    }
    lane->give_up();
  }
  changed_.notify_all();
}

void Pool::deliver_events() {
  std::vector<WorkerEvent> events;
  std::string failure;
  {
    Lock lock(mutex_);
    events.swap(events_);
    failure.swap(failure_);
  }
  for (const WorkerEvent& event : events) {
    observer_.event(event);
  }
  if (!failure.empty()) {
    observer_.failed(failure);
  }
}

// When something must be looked at though nobody rings.
Monotonic Pool::next_check(Monotonic now) const {
  Monotonic next = now + 60s;
  for (const auto& lane : lanes_) {
    if (!lane->running()) {
      if (!lane->idle() && !failed_) {
        next = std::min(next, lane->not_before);
      }
    } else if (lane->busy()) {
      next = std::min(next, lane->last_progress() + config_.worker_timeout);
    } else if (config_.idle_timeout > 0ns && !lane->deadline()) {
      next = std::min(next, lane->last_progress() + config_.idle_timeout);
    }
  }
  return events_.empty() ? next : now;
}

}  // namespace discord::worker
