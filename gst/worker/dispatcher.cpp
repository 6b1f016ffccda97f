// The one thread of a set of workers: reads what they publish, and tells whom it concerns.
#include "worker/worker_set.hpp"

#include <poll.h>
#include <unistd.h>
#include <algorithm>

namespace discord::worker {

namespace {

using namespace std::chrono_literals;

// A worker's batch has fewer; nobody who pushes waits for long.
constexpr std::size_t max_records_at_once = 128;

}  // namespace

void WorkerSet::run() {
  for (;;) {
    read_all();
    const Monotonic now = clock_now();
    watch(now);
    bury();
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
  std::vector<Slot> slots;
  {
    Lock lock(mutex);
    slots.swap(slots_);
  }
  bury();
  spare_.reset();
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
      slots_[index].proven = true;
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
        delivery.unsettled = session->unsettled();
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
      observer.deadline(delivery.next, delivery.unsettled);
      break;
    default:
      break;
  }
}

// Nobody is being called any more; whoever wants to leave may.
void WorkerSet::called(std::size_t place) {
  Lock lock(mutex);
  calling_ = nobody;
  if (!places_[place].session || failed_) {
    changed.notify_all();
  }
}

void WorkerSet::deliver_events() {
  for (std::size_t place = 0; place < place_count_; ++place) {
    std::vector<WorkerEvent> events;
    std::string failure;
    PoolObserver* observer = nullptr;
    Deadline next;
    Deadline unsettled;
    {
      Lock lock(mutex);
      PoolSession* session = places_[place].session.get();
      if (session == nullptr || (session->events.empty() && session->failure.empty())) {
        continue;
      }
      events.swap(session->events);
      failure.swap(session->failure);
      observer = &session->observer;
      next = session->deadline();
      unsettled = session->unsettled();
      calling_ = place;
    }
    for (const WorkerEvent& event : events) {
      observer->event(event);
    }
    // A packet that is skipped ends no batch, and may have been the last that was waited for.
    observer->deadline(next, unsettled);
    if (!failure.empty()) {
      observer->failed(failure);
    }
    called(place);
  }
}

}  // namespace discord::worker
