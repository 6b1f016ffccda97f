// One speaker's way to a file inside discordrecordsink.
#pragma once

#include "base/mutex.hpp"
#include "discord/gstptr.hpp"
#include "elements/recordfile.hpp"

#include <atomic>
#include <optional>
#include <string>
#include <vector>

namespace discord {

enum class RecordFormat { Wav, Mp3, Mka };

struct BranchSettings {
  RecordFormat format = RecordFormat::Wav;
  unsigned bitrate = 128;  // kbit/s, for lossy formats
  GstClockTime zero = 0;   // running time at which every track starts
  bool live = false;       // a live stream is never held up: a full queue drops
};

// What the ledger of a file counts; written by the streaming thread, read by anyone.
struct BranchCounts {
  std::atomic<guint64> buffers = 0;
  std::atomic<guint64> lost = 0;
  std::atomic<guint64> gaps = 0;
  std::atomic<guint64> dropped = 0;
};

// A bin `queue ! ... ! fdsink` behind one pad of the demux. The queue exists from the first packet;
// the rest is made by build() on another thread, because opening a file can take as long as the
// disk likes. The state of the bin is its own (locked), so that a recording drains while the
// pipeline is paused or going down.
class RecordBranch {
 public:
  // The elements a format needs: element, Debian package.
  struct Need {
    const char* factory;
    const char* package;
  };
  static std::vector<Need> needs(RecordFormat format);
  static const char* extension(RecordFormat format);

  // Streaming thread. Adds the bin with its queue to `parent`, links `pad` to it.
  RecordBranch(GstBin* parent, GstPad* pad, const BranchSettings& settings);
  ~RecordBranch();
  RecordBranch(const RecordBranch&) = delete;
  RecordBranch& operator=(const RecordBranch&) = delete;

  // Creates the file and the elements, and lets the data go. The error is a sentence.
  std::optional<std::string> build(const RecordFolder& folder);
  // Stops the branch, takes it out of the parent and completes the file. Not on a thread of the
  // branch. After this only the accessors below. `complete`: the end of the stream came through,
  // so the encoder has finished the file itself.
  void close(bool complete) EXCLUDES(mutex_);
  // From any thread: what arrives from now on is thrown away, for the branch is broken. True for
  // the first caller.
  bool give_up() { return !given_up_.exchange(true); }
  bool given_up() const { return given_up_; }

  GstElement* bin() const { return bin_.get(); }
  guint32 ssrc() const { return ssrc_; }
  guint64 user_id() const;
  // Empty before the file exists.
  std::string path() const EXCLUDES(mutex_);
  std::uint64_t bytes() const EXCLUDES(mutex_);
  // Makes a WAV file playable as it is now.
  void refresh_header() const EXCLUDES(mutex_);
  // Of the track, from zero.
  GstClockTime duration() const;
  // Once closed: whether there is a file.
  bool closed() const { return closed_; }
  bool kept() const { return kept_; }
  const BranchCounts& counts() const { return counts_; }
  // For messages: the user's id or the SSRC.
  std::string who() const;

 private:
  static GstPadProbeReturn on_input(GstPad* pad, GstPadProbeInfo* info, gpointer self);
  static GstPadProbeReturn on_samples(GstPad* pad, GstPadProbeInfo* info, gpointer self);
  static GstPadProbeReturn on_decoder_input(GstPad* pad, GstPadProbeInfo* info, gpointer dec);
  static GstPadProbeReturn hold(GstPad*, GstPadProbeInfo*, gpointer) { return GST_PAD_PROBE_OK; }
  GstPadProbeReturn filter(GstPadProbeInfo* info);
  GstEvent* from_zero(GstEvent* event) const;
  bool queue_full() const;
  std::string stem() const;

  const BranchSettings settings_;
  GstBin* const parent_;
  ObjectPtr<GstPad> demux_pad_;
  ObjectPtr<GstElement> bin_;
  GstElement* queue_ = nullptr;
  gulong hold_id_ = 0;
  guint32 ssrc_ = 0;
  bool raw_ = false;
  bool warned_full_ = false;
  std::atomic<bool> closed_ = false;
  std::atomic<bool> kept_ = false;
  std::atomic<bool> given_up_ = false;
  BranchCounts counts_;
  std::atomic<guint64> samples_ = 0;  // that left audiorate

  mutable Mutex mutex_;
  std::optional<RecordFile> file_ GUARDED_BY(mutex_);
  bool ending_ GUARDED_BY(mutex_) = false;
};

}  // namespace discord
