// The receiver behind `discordworkerdec`: in this process, or in workers. The element cannot tell
// which, apart from the thread its observer is called on.
#pragma once

#include "discord/call_state.hpp"
#include "elements/userfilter.hpp"
#include "worker/pool.hpp"

#include <memory>
#include <span>

namespace discord {

// See worker::Pool for the members.
class DecodeEngine {
 public:
  virtual ~DecodeEngine() = default;
  virtual void set_key(std::uint64_t generation, transport::Mode mode, const transport::Key& key,
                       Time now) = 0;
  virtual void clear_key() = 0;
  virtual void map_user(std::uint32_t ssrc, std::uint64_t user_id, Time now) = 0;
  virtual void retire(std::uint32_t ssrc, Time now) = 0;
  virtual void admit(std::uint64_t user_id, media::Admission admission, Time now) = 0;
  virtual void need_users(bool needed, Time now) = 0;
  virtual void forget_all(Time now) = 0;
  virtual void set_media_keys(dave::MediaKeysPtr keys, Time published, Time now) = 0;
  virtual void set_times(Duration hold_time, Duration latency) = 0;
  virtual void push(std::span<const worker::Arrival> datagrams) = 0;
  virtual void advance(Time now) = 0;
  virtual void drain(Time now) = 0;
  virtual Deadline next_deadline() const = 0;
  virtual media::Ledger ledger() const = 0;
  virtual std::vector<media::SpeakerStats> speakers() const = 0;
  virtual std::size_t queued() const = 0;
  virtual std::size_t workers() const = 0;
  virtual unsigned restarts() const = 0;
};

// `observer` outlives the engine. Only the settings of the receiver matter to the local one, which
// calls the observer on the thread that calls it.
std::unique_ptr<DecodeEngine> make_local_engine(const media::ReceiverConfig& config,
                                                worker::PoolObserver& observer);
std::unique_ptr<DecodeEngine> make_worker_engine(const worker::PoolConfig& config,
                                                 worker::PoolObserver& observer);

// Tells an engine what has changed in the call since it was last told, and who is to be heard.
class CallFollower {
 public:
  explicit CallFollower(media::UserRule rule) : rule_(std::move(rule)) {}
  void apply(const CallSnapshot& call, Time now, DecodeEngine& engine);
  // From the next packet on. Gives the names that whoever follows has not been told so far.
  std::vector<EventPtr> use_rule(media::UserRule rule, Time now, DecodeEngine& engine);
  // The rule of the start, for an engine that knows no users.
  void tell_rule(Time now, DecodeEngine& engine) { tell_rule(applied_, now, engine); }

 private:
  void tell_rule(const CallSnapshot& call, Time now, DecodeEngine& engine);

  media::UserRule rule_;
  Admissions admissions_;
  CallSnapshot applied_;
};

}  // namespace discord
