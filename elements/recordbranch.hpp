// One speaker's way to a file, to the mix, or to both, inside discordrecordsink.
#pragma once

#include "elements/branchthread.hpp"
#include "elements/gstdiscordopusfill.h"
#include "elements/recordmix.hpp"
#include "elements/recordoutput.hpp"
#include "elements/sessionrecord.hpp"

namespace discord {

// What all branches of a recording share.
struct BranchContext {
  OutputSettingsPtr settings;
  std::shared_ptr<RecordMix> mix;  // none without one
  // Who writes where Opus passes through and nothing is decoded: all tracks in turn.
  std::shared_ptr<BranchTurns> turns;
  // The furthest sample that anybody has reached, counted from the start of the recording.
  std::shared_ptr<std::atomic<std::int64_t>> newest;
};

// A bin `queue ! ... ! file` behind one pad of the demux; a mere end where the file is made of the
// journal, so that there is a session record of everybody all the same. The queue, or the filler
// with its feed where Opus only passes through, exists from the first packet; the rest is made by
// build() on another thread, because opening a file can take as long as the disk likes.
class RecordBranch final : public RecordOutput {
 public:
  // 30 seconds of 20 ms packets: longer than any disk worth recording to stalls.
  static constexpr guint queue_buffers = 1500;

  // Adds the bin with its queue to `parent` and links `pad` to it; data may be flowing.
  RecordBranch(GstBin* parent, GstPad* pad, const BranchContext& context, SpeakerLogPtr log,
               std::int64_t offset, unsigned part);
  ~RecordBranch() override { close(); }

  std::optional<std::string> build(const RecordFolder& folder,
                                   std::function<void()> failed) override;

  GstPad* pad() const { return demux_pad_.get(); }
  const SpeakerLogPtr& log() const { return log_; }
  // Where the file begins on the recording's timeline: its offset, or with align=speaker where the
  // speaker's first packet lies.
  std::int64_t begin() const;

  guint32 ssrc() const override { return ssrc_; }
  guint64 user_id() const override;
  std::string name() const override;
  std::string who() const override;

 private:
  static GstPadProbeReturn on_input(GstPad* pad, GstPadProbeInfo* info, gpointer self);
  std::function<void()> stopping(std::function<void()> failed);
  static GstPadProbeReturn on_samples(GstPad* pad, GstPadProbeInfo* info, gpointer self);
  static GstPadProbeReturn hold(GstPad*, GstPadProbeInfo*, gpointer) { return GST_PAD_PROBE_OK; }
  GstPadProbeReturn filter(GstPadProbeInfo* info);
  GstPadProbeReturn filter_event(GstPadProbeInfo* info);
  void note(GstBuffer* buffer);
  void note_loss(const GstStructure* lost);
  std::int64_t session_sample(GstClockTime pts) const;
  void reached(std::int64_t sample);
  GstEvent* from_zero(GstEvent* event);
  GstEvent* with_user(GstEvent* event) const;
  bool queue_full() const;
  std::string stem() const;
  // Whether the filler takes the queue's place.
  bool passes_only() const { return context_.turns != nullptr; }
  std::uint64_t produced() const override;
  GstElement* make_entry();
  GstElement* make_queue();
  GstElement* make_fill();
  void unlink() override;
  void detach() override;

  const BranchContext context_;
  const SpeakerLogPtr log_;
  ObjectPtr<GstPad> demux_pad_;
  GstElement* entry_ = nullptr;         // the queue, the filler, or the end
  ObjectPtr<GstDiscordOpusFill> fill_;  // where Opus passes through
  gulong hold_id_ = 0;
  guint32 ssrc_ = 0;
  bool raw_ = false;
  RecordMix::Id mix_id_ = 0;

  // Streaming thread in front of the queue.
  bool warned_full_ = false;
  GstSegment segment_;
  guint64 known_user_ = 0;
  guint32 known_ssrc_ = 0;
  std::atomic<std::int64_t> first_ = -1;  // session sample of the first packet

  std::atomic<GstClockTime> origin_ = 0;    // timestamp at which the track starts
  std::atomic<std::uint64_t> samples_ = 0;  // that left audiorate
};

}  // namespace discord
