// What comes out of discordvoicebin: the elements behind its decoder, and its pads.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"

#include <map>

typedef enum {
  GST_DISCORD_VOICE_OUTPUT_RAW,
  GST_DISCORD_VOICE_OUTPUT_OPUS,
  GST_DISCORD_VOICE_OUTPUT_MIX,
} GstDiscordVoiceOutput;

namespace discord {

// Pads come and go under the stream lock of the demux inside; everything else belongs to whoever
// holds the bin's state lock, unless it says otherwise.
class VoiceOutput {
 public:
  // `bin` outlives this and contains `decoder`; `demux` is in it only where there is a pad a
  // speaker, and keeps its properties otherwise.
  VoiceOutput(GstBin* bin, GstElement* decoder, GstElement* demux);
  ~VoiceOutput();
  VoiceOutput(const VoiceOutput&) = delete;
  VoiceOutput& operator=(const VoiceOutput&) = delete;

  // Replaces what there is. While nothing flows.
  void build(GstDiscordVoiceOutput kind);
  GstDiscordVoiceOutput kind() const noexcept { return kind_; }
  // False after an error: an element of somebody else's is not installed.
  bool possible() const;
  // Around each run.
  void start();
  void stop();
  // Statistics of what is behind the decoder. Any thread.
  StructurePtr stats() const EXCLUDES(mutex_);

 private:
  // From a pad of the demux to a pad of the bin.
  struct Branch {
    ObjectPtr<GstPad> pad;
    ObjectPtr<GstElement> depayloader;  // these two for Opus
    ObjectPtr<GstElement> parser;
  };

  void build_mix();
  void build_speakers();
  void remove(GstElement* element);
  // A pad of the bin; `speaker` may be null.
  GstPad* show(const char* name, GstPad* target, GstPad* speaker);
  void add_speaker(GstPad* speaker);
  void remove_speaker(GstPad* speaker);
  void ended(GstEvent* eos);
  void name_mix(GstPad* pad, GstPadProbeInfo* info);

  static void on_pad_added(GstElement* demux, GstPad* pad, gpointer self);
  static void on_pad_removed(GstElement* demux, GstPad* pad, gpointer self);
  static GstPadProbeReturn on_demux_event(GstPad* pad, GstPadProbeInfo* info, gpointer self);
  static GstPadProbeReturn on_mix(GstPad* pad, GstPadProbeInfo* info, gpointer self);

  GstBin* const bin_;
  GstElement* const decoder_;
  const ObjectPtr<GstElement> demux_;
  GstDiscordVoiceOutput kind_ = GST_DISCORD_VOICE_OUTPUT_RAW;
  bool built_ = false;

  GstElement* end_ = nullptr;  // where there is a pad a speaker: a sink that gets the end
  ObjectPtr<GstPad> mix_pad_;
  ObjectPtr<GstStreamCollection> mix_streams_;  // streaming thread of the mix
  // Of the streaming thread of the demux while it runs.
  std::map<GstPad*, Branch> branches_;
  bool anybody_ = false;
  ObjectPtr<GstPad> nobody_;

  mutable Mutex mutex_;
  // demux or mix
  ObjectPtr<GstElement> last_ GUARDED_BY(mutex_);
};

}  // namespace discord
