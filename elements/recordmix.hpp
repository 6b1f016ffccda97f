// The mix of a recording: what all branches bring, to one file.
#pragma once

#include "elements/recordoutput.hpp"
#include "record/mixer.hpp"

#include <gst/app/gstappsrc.h>
#include <map>

namespace discord {

// `appsrc ! encoder ! file`.
class MixOutput final : public RecordOutput {
 public:
  MixOutput(GstBin* parent, OutputSettingsPtr settings, std::int64_t offset, unsigned part);
  ~MixOutput() override { close(); }

  std::optional<std::string> build(const RecordFolder& folder,
                                   std::function<void()> failed) override;
  void push(const std::vector<std::int16_t>& pcm);
  void end();

  std::string name() const override { return "mix"; }
  std::string who() const override { return "the mix"; }

 private:
  std::uint64_t produced() const override { return samples_; }

  GstAppSrc* source_ = nullptr;  // of the bin
  std::atomic<std::uint64_t> samples_ = 0;
};

// Where the branches bring their samples. For any thread.
class RecordMix {
 public:
  using Id = record::Mixer::Id;

  // How far behind the newest packet the mix is written, since the first words of somebody whose
  // key comes late may still arrive.
  static constexpr std::int64_t behind = 48000 * 22 / 10;

  void set_output(std::shared_ptr<MixOutput> output) EXCLUDES(mutex_);
  void set_gain(guint64 user, double gain) EXCLUDES(mutex_);

  Id open(guint64 user) EXCLUDES(mutex_);
  // The user of a track became known.
  void identify(Id id, guint64 user) EXCLUDES(mutex_);
  void close(Id id) EXCLUDES(mutex_);
  void samples(Id id, std::int64_t at, std::span<const std::int16_t> pcm, std::int64_t newest)
      EXCLUDES(mutex_);
  // The recording is `length` samples long and nobody brings more.
  void end(std::int64_t length) EXCLUDES(mutex_);

  std::int64_t position() const EXCLUDES(mutex_);
  std::uint64_t late() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  record::Mixer mixer_ GUARDED_BY(mutex_);
  std::map<Id, guint64> users_ GUARDED_BY(mutex_);
  std::map<guint64, double> gains_ GUARDED_BY(mutex_);
  Id next_ GUARDED_BY(mutex_) = 1;
  std::shared_ptr<MixOutput> output_ GUARDED_BY(mutex_);
};

}  // namespace discord
