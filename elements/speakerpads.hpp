// The speakers of discordssrcdemux and their pads: who gets a packet, what each pad was told, how
// far it has come, and what its peer answered.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/speakertable.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace discord {

// Settings, counters and set_embedded() are for any thread; everything else runs under the stream
// lock of the sink pad, which the tick takes too.
class SpeakerPads {
 public:
  struct Settings {
    GroupBy group_by = GroupBy::User;
    guint max_speakers = 256;
    guint idle_timeout_ms = 0;
  };

  struct Stats {
    guint64 packets = 0;
    guint64 malformed = 0;
    guint64 too_many = 0;
    guint64 lost = 0;
    guint64 lost_unknown = 0;
    guint64 gaps = 0;
    guint64 dead_pad = 0;
    guint64 removed = 0;
    guint speakers = 0;
  };

  // The least that a quiet pad is brought forward by.
  static constexpr GstClockTime tick = 100 * GST_MSECOND;

  // `element` outlives this; `src_event` becomes the event function of each pad.
  SpeakerPads(GstElement* element, GstPadEventFunction src_event);
  ~SpeakerPads();
  SpeakerPads(const SpeakerPads&) = delete;
  SpeakerPads& operator=(const SpeakerPads&) = delete;

  Settings settings() const EXCLUDES(mutex_);
  template <class F> void configure(F&& change) EXCLUDES(mutex_) {
    Lock lock(mutex_);
    change(settings_);
  }
  Stats stats() const EXCLUDES(mutex_);
  // Speakers that lead nowhere or fail never end the stream, and an end without any is no error.
  void set_embedded(bool embedded) { embedded_ = embedded; }
  bool embedded() const { return embedded_; }
  // Nobody selects among the streams: no collection of them is told.
  void set_unselected(bool unselected) { unselected_ = unselected; }

  // Before the first data and after the last: reset() forgets times and counters, clear() takes
  // every pad away.
  void reset();
  void clear();

  void stream_start(const gchar* id, guint group_id);
  void caps(GstCaps* caps);
  void segment(GstEvent* event);
  // What of a flush concerns the pads: they may be pushed to again, and time starts anew.
  void flush_stop();
  void push_to_all(GstEvent* event);
  // `GstRTPPacketLost`, to the speaker it concerns.
  void lost(EventPtr event);
  // `discord-user-info` (user-id: guint64, display-name: string): how a name reaches the pads, also
  // that of somebody who has no pad yet.
  void user_info(const GstEvent* event);
  // `discord-speaking` (ssrc, user-id, speaking): also of somebody whose first packet is on its
  // way.
  void speaking(const GstEvent* event);
  // A gap of the whole stream: time passes for everybody.
  void time_passed(GstClockTime from, GstClockTime duration);
  // Brings every track to the same end, then the event to every pad.
  void eos(EventPtr event);

  void push(BufferPtr buffer);
  void push(BufferListPtr list);

  // Brings every quiet pad up to what a stream `behind` the clock cannot deliver any more, and
  // removes those idle for too long. From `now` where there is a clock; behind a file nothing but
  // the other speakers says how far time has come.
  void fill_gaps_by_clock(GstClockTime now, GstClockTime latency);
  void fill_gaps_by_progress(GstClockTime latency);

  const GstSegment& current_segment() const { return segment_; }
  // The flow of the whole from the flows of the pads: fine while one is.
  GstFlowReturn flow() const;

 private:
  struct Speaker;
  struct Identity;

  bool speaks(std::uint32_t ssrc, std::uint64_t user_id) const;
  const gchar* name_of(std::uint64_t user_id) const;  // null while unknown
  std::optional<Identity> identify(GstBuffer* buffer) const;
  Speaker* speaker_of(GstBuffer* buffer, const Settings& settings);
  Speaker* add(GroupBy by, guint32 ssrc, guint64 user_id);
  void remove(Speaker* speaker, bool with_eos);
  std::string free_pad_name(guint32 ssrc) const;
  GstEvent* stream_start_event(const Speaker& s) const;
  CapsPtr out_caps() const;
  void tell_collection();
  void advance(Speaker& s, GstClockTime end);
  void note_flow(Speaker& s, GstFlowReturn flow);
  void push_gap(Speaker& s, GstClockTime from, GstClockTime until);
  void fill_gaps(GstClockTime limit);
  template <class F> void count(F&& change) EXCLUDES(mutex_) {
    Lock lock(mutex_);
    change(stats_);
  }

  GstElement* const element_;
  const GstPadEventFunction src_event_;

  SpeakerTable<Speaker> speakers_;
  GstSegment segment_;
  CapsPtr caps_;
  bool raw_ = false;
  std::string parent_stream_id_;
  guint group_id_ = GST_GROUP_ID_INVALID;
  GstClockTime newest_ = GST_CLOCK_TIME_NONE;      // furthest position of any speaker
  GstClockTime last_limit_ = GST_CLOCK_TIME_NONE;  // furthest GAP limit so far
  bool warned_too_many_ = false;
  std::vector<Speaker*> parts_;  // who has packets in the list that is being split
  std::map<std::uint64_t, std::string> names_;
  std::map<std::uint32_t, std::uint64_t> speaking_;  // SSRC and user of each talk spurt
  std::atomic<bool> embedded_ = false;
  std::atomic<bool> unselected_ = false;

  mutable Mutex mutex_;
  Settings settings_ GUARDED_BY(mutex_);
  Stats stats_ GUARDED_BY(mutex_);
};

}  // namespace discord
