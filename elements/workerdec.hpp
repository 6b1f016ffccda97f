// What `discordworkerdec` does between its pads: feeds a `DecodeEngine` and hands on what it
// brings.
#pragma once

#include "base/mutex.hpp"
#include "elements/callview.hpp"
#include "elements/deadlinetimer.hpp"
#include "elements/decodeengine.hpp"
#include "elements/decodeoutput.hpp"
#include "elements/ownkey.hpp"
#include "elements/rtcpbranch.hpp"
#include "elements/upstreamtiming.hpp"
#include "elements/userfilter.hpp"
#include "elements/workersettings.hpp"

#include <atomic>
#include <memory>
#include <vector>

namespace discord {

struct WorkerDec {
  explicit WorkerDec(GstElement* owner)
      : element(owner),
        own_key(owner),
        filter(owner),
        call([this] { timer.kick(); }),
        rtcp(owner),
        timer(owner, [this](GstClockTime now) { on_timer(now); }),
        output(
            owner, [this](Time due) { arm(due); },
            [this](std::uint64_t user) {
              undecryptable = user;
              timer.kick();
            }) {}

  GstElement* element;
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;

  WorkerSettings settings;  // object lock
  OwnKeyProperties own_key;
  UserFilter filter;

  // Stream lock of the sink pad.
  UpstreamTiming timing;
  Time last_arrival{};
  Time last_stats{};
  std::uint64_t seen_rule = 0;
  CallView call;
  CallFollower follower{media::UserRule()};

  RtcpBranch rtcp;  // task of the source pad
  DeadlineTimer timer;
  DecodeOutput output;
  std::atomic<GstFlowReturn> flow{GST_FLOW_OK};
  // Without workers the streaming thread decodes and pushes itself, as decoders do: handing each
  // frame to a thread of ours would cost a tenth of the decoding.
  std::atomic<bool> same_thread{false};
  std::atomic<std::uint64_t> undecryptable{0};  // a user for whom the group should start over

  Mutex mutex;
  // Destroyed without the lock: it waits for threads that call us.
  std::shared_ptr<DecodeEngine> engine GUARDED_BY(mutex);
  // Of the engine before.
  media::Ledger last_ledger GUARDED_BY(mutex);
  std::vector<media::SpeakerStats> last_speakers GUARDED_BY(mutex);

  std::shared_ptr<DecodeEngine> current() EXCLUDES(mutex) {
    Lock lock(mutex);
    return engine;
  }
  void arm(Time due) {
    timer.arm_no_later(static_cast<GstClockTime>(std::max<std::int64_t>(to_ns(due), 0)));
  }
  void on_timer(GstClockTime now);
  void start_engine() EXCLUDES(mutex);
  void stop_engine() EXCLUDES(mutex);
  void find_call();
  void synchronise(DecodeEngine& e, Time now);
  void ask_for_recovery();
  bool news() const;
  void hand_over(DecodeEngine& e, const std::vector<BufferPtr>& datagrams);
  GstFlowReturn process(std::vector<BufferPtr> datagrams);
  void warn_of_strangers();
  void post_stats() EXCLUDES(mutex);
  WorkerSettings current_settings() const;
  bool push_item(DecodeOutput::Item item);
  void hand_on();
  GstStructure* stats() EXCLUDES(mutex);
};

}  // namespace discord
