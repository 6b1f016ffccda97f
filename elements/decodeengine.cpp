// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/decodeengine.hpp"

#include "net/control_thread.hpp"

namespace discord {

namespace {

// Not for two threads at once: the caller's streaming and timer threads share a lock. `ledger` and
// `next_deadline` are called under it as well.
class LocalEngine final : public DecodeEngine, private media::ReceiverSink {
 public:
  LocalEngine(const media::ReceiverConfig& config, worker::PoolObserver& observer)
      : observer_(observer), receiver_(config) {}

  void set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key,
               Time now) override {
    Lock lock(mutex_);
    receiver_.set_key(generation, mode, key, now, *this);
  }
  void clear_key() override {
    Lock lock(mutex_);
    receiver_.clear_key();
  }
  void map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now) override {
    Lock lock(mutex_);
    receiver_.map_user(ssrc, user_id, now, *this);
  }
  void retire(std::uint32_t ssrc, Time now) override {
    Lock lock(mutex_);
    receiver_.retire(ssrc, now, *this);
  }
  void admit(std::uint64_t user_id, media::Admission admission, Time now) override {
    Lock lock(mutex_);
    receiver_.admit(user_id, admission, now, *this);
  }
  void need_users(bool needed, Time now) override {
    Lock lock(mutex_);
    receiver_.need_users(needed, now, *this);
  }
  void forget_all(Time now) override {
    Lock lock(mutex_);
    receiver_.forget_all(now, *this);
  }
  void set_media_keys(dave::MediaKeysPtr keys, Time published, Time now) override {
    Lock lock(mutex_);
    receiver_.set_media_keys(std::move(keys), published, now, *this);
  }
  void set_times(Duration hold_time, Duration latency) override {
    Lock lock(mutex_);
    receiver_.set_hold_time(hold_time);
    receiver_.set_latency(latency);
  }
  void push(std::span<const worker::Arrival> datagrams) override {
    Lock lock(mutex_);
    for (const worker::Arrival& arrival : datagrams) {
      receiver_.push(arrival.datagram, ++last_id_, arrival.when, *this);
      if (const auto user = receiver_.take_recovery_request(arrival.when)) {
        observer_.undecryptable(*user);
      }
      settle();
    }
  }
  void advance(Time now) override {
    Lock lock(mutex_);
    receiver_.advance(now, *this);
    settle();
  }
  void drain(Time now) override {
    Lock lock(mutex_);
    receiver_.drain(now, *this);
    settle();
  }
  Deadline next_deadline() const override {
    Lock lock(mutex_);
    return receiver_.next_deadline();
  }
  media::Ledger ledger() const override {
    Lock lock(mutex_);
    return receiver_.ledger();
  }
  std::vector<media::SpeakerStats> speakers() const override {
    Lock lock(mutex_);
    return receiver_.speakers();
  }
  std::size_t queued() const override { return 0; }
  std::size_t workers() const override { return 0; }
  unsigned restarts() const override { return 0; }

 private:
  // Nobody needs to know what a successor would.
  void settle() REQUIRES(mutex_) {
    receiver_.clear_finished();
    receiver_.clear_touched();
  }

  void frame(const media::DecodedFrame& frame) override { observer_.frame(frame); }
  void speaking(std::uint32_t ssrc, std::uint64_t user_id, bool speaking, Time when) override {
    observer_.speaking(ssrc, user_id, speaking, when);
  }
  void rtcp(ByteSpan compound, Time arrival) override { observer_.rtcp(compound, arrival); }
  void working_on(std::uint64_t) override {}
  void boundary() override {}

  worker::PoolObserver& observer_;
  mutable Mutex mutex_;
  media::Receiver receiver_ GUARDED_BY(mutex_);
  std::uint64_t last_id_ GUARDED_BY(mutex_) = 0;
};

class WorkerEngine final : public DecodeEngine {
 public:
  WorkerEngine(const worker::PoolConfig& config, worker::PoolObserver& observer)
      : pool_(config, observer) {}

  void set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key,
               Time now) override {
    pool_.set_key(generation, mode, key, now);
  }
  void clear_key() override { pool_.clear_key(); }
  void map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now) override {
    pool_.map_user(ssrc, user_id, now);
  }
  void retire(std::uint32_t ssrc, Time now) override { pool_.retire(ssrc, now); }
  void admit(std::uint64_t user_id, media::Admission admission, Time now) override {
    pool_.admit(user_id, admission, now);
  }
  void need_users(bool needed, Time now) override { pool_.need_users(needed, now); }
  void forget_all(Time now) override { pool_.forget_all(now); }
  void set_media_keys(dave::MediaKeysPtr keys, Time published, Time now) override {
    pool_.set_media_keys(std::move(keys), published, now);
  }
  void set_times(Duration hold_time, Duration latency) override {
    pool_.set_times(hold_time, latency);
  }
  void push(std::span<const worker::Arrival> datagrams) override { pool_.push(datagrams); }
  void advance(Time now) override { pool_.advance(now); }
  void drain(Time now) override { pool_.drain(now); }
  Deadline next_deadline() const override { return pool_.next_deadline(); }
  media::Ledger ledger() const override { return pool_.ledger(); }
  std::vector<media::SpeakerStats> speakers() const override { return pool_.speakers(); }
  std::size_t queued() const override { return pool_.queued(); }
  std::size_t workers() const override { return pool_.pids().size(); }
  unsigned restarts() const override { return pool_.restarts(); }

 private:
  worker::Pool pool_;
};

}  // namespace

std::unique_ptr<DecodeEngine> make_local_engine(const media::ReceiverConfig& config,
                                                worker::PoolObserver& observer) {
  return std::make_unique<LocalEngine>(config, observer);
}

std::unique_ptr<DecodeEngine> make_worker_engine(const worker::PoolConfig& config,
                                                 worker::PoolObserver& observer) {
  return std::make_unique<WorkerEngine>(config, observer);
}

void CallFollower::apply(const CallSnapshot& call, Time now, DecodeEngine& engine) {
  if (call.generation != applied_.generation) {
    engine.forget_all(now);
    engine.clear_key();
    admissions_.forget();
    applied_ = CallSnapshot();
    applied_.generation = call.generation;
  }
  for (const auto& [ssrc, user] : applied_.users) {
    if (!call.users.contains(ssrc)) {
      engine.retire(ssrc, now);
    }
  }
  tell_rule(call, now, engine);
  for (const auto& [ssrc, user] : call.users) {
    const auto before = applied_.users.find(ssrc);
    if (before == applied_.users.end() || before->second != user) {
      engine.map_user(ssrc, user, now);
    }
  }
  if (call.key && call.mode && !(applied_.key && *applied_.key == *call.key)) {
    engine.set_key(call.generation, *call.mode, *call.key, now);
  }
  if (call.media_keys != applied_.media_keys) {
    engine.set_media_keys(call.media_keys, net::now(), now);
  }
  applied_ = call;
}

void CallFollower::tell_rule(const CallSnapshot& call, Time now, DecodeEngine& engine) {
  admissions_.apply(
      rule_, call, [&](bool needed) { engine.need_users(needed, now); },
      [&](std::uint64_t user, media::Admission admission) { engine.admit(user, admission, now); });
}

std::vector<EventPtr> CallFollower::use_rule(media::UserRule rule, Time now, DecodeEngine& engine) {
  if (rule == rule_) {
    return {};
  }
  std::vector<EventPtr> names = names_of_newly_heard(rule_, rule, applied_);
  rule_ = std::move(rule);
  tell_rule(applied_, now, engine);
  return names;
}

}  // namespace discord
