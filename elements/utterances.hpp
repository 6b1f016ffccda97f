// What discordutterances does between its pads: tracks of speakers in, finished utterances out.
#pragma once

#include "base/mutex.hpp"
#include "elements/deadlinetimer.hpp"
#include "elements/upstreamtiming.hpp"
#include "elements/utterancequeue.hpp"
#include "elements/utterancetrack.hpp"

#include <gst/gst.h>
#include <atomic>
#include <map>
#include <string>
#include <vector>

namespace discord {

// The meta of an utterance; registered by the element's class.
inline constexpr char meta_name[] = "GstDiscordUtterance";

// What the properties say; times in milliseconds.
struct UtteranceSettings {
  guint rate = 16000;  // Hz
  guint gap = 500;
  guint max_length = 30000;
  guint min_length = 100;
  guint partial_interval = 0;
  guint max_waiting = 64;
};

struct UtteranceSpeaker {
  explicit UtteranceSpeaker(const record::SegmentSettings& s) : track(s) {}
  UtteranceTrack track;
  std::uint32_t ssrc = 0;
  std::uint64_t user_id = 0;
  bool talking = false;  // something is in the track that time can end
};

struct Utterances {
  explicit Utterances(GstElement* owner)
      : element(owner), timer(owner, [this](GstClockTime now) { on_timer(now); }) {}

  GstElement* element;
  GstPad* sinkpad = nullptr;
  GstPad* srcpad = nullptr;

  Mutex mutex;
  UtteranceSettings settings GUARDED_BY(mutex);
  std::map<std::uint64_t, std::string> names GUARDED_BY(mutex);
  std::uint64_t emitted GUARDED_BY(mutex) = 0;
  std::uint64_t partials GUARDED_BY(mutex) = 0;
  std::uint64_t clicks GUARDED_BY(mutex) = 0;

  UtteranceQueue queue;
  std::atomic<bool> want_partials = false;
  std::atomic<GstFlowReturn> flow = GST_FLOW_OK;

  // Stream lock of the sink pad.
  UtteranceSettings active;
  UpstreamTiming timing;
  std::int64_t latency = 0;  // samples
  bool raw = false;
  Time last_arrival{};
  std::int64_t newest = 0;
  std::int64_t looked = 0;
  std::map<std::uint64_t, UtteranceSpeaker> speakers;  // by user, or by SSRC where none is known

  // The task of the source pad.
  bool introduced = false;

  DeadlineTimer timer;

  void reset();
  void begin();
  UtteranceSpeaker* speaker(std::uint32_t ssrc, std::uint64_t user);
  void accept(GstBuffer* buffer);
  void advance(std::int64_t limit);
  void finish();
  void take(UtteranceSpeaker& speaker);
  void on_timer(GstClockTime now);
  GstFlowReturn process(std::vector<BufferPtr> buffers);
  void send();
  void introduce();
  GstStructure* stats() EXCLUDES(mutex);
};

}  // namespace discord
