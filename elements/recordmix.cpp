// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordmix.hpp"

#include "elements/gstdiscordtracksink.h"
#include "media/timeline.hpp"

namespace discord {

namespace {

constexpr guint64 most_waiting = 48000 * 4 * 20;  // bytes; 20 seconds

GstClockTime time_of(std::uint64_t samples) {
  return static_cast<GstClockTime>(
      media::duration_from_samples(static_cast<std::int64_t>(samples)).count());
}

}  // namespace

MixOutput::MixOutput(GstBin* parent, OutputSettingsPtr settings, std::int64_t offset, unsigned part)
    : RecordOutput(parent, "mix_" + std::to_string(part), std::move(settings), offset, part) {}

std::optional<std::string> MixOutput::build(const RecordFolder& folder,
                                            std::function<void()> failed) {
  if (auto problem = open_file(folder, "mix", {"mix", "", ""})) {
    return problem;
  }
  Chain chain(GST_BIN(bin_.get()));
  GstElement* source = chain.add("appsrc");
  if (source != nullptr) {
    source_ = GST_APP_SRC(source);
    const CapsPtr caps(
        gst_caps_from_string("audio/x-raw, format=S16LE, rate=48000, channels=2, "
                             "layout=interleaved, channel-mask=(bitmask)0x3"));
    g_object_set(source, "caps", caps.get(), "format", GST_FORMAT_TIME, "is-live", FALSE,
                 "max-bytes", most_waiting, "block", gboolean{!settings_->live}, nullptr);
  }
  add_encoder(chain, settings_->format, settings_->encoder.get(),
              make_track_sink(writer(), std::move(failed)));
  gst_bin_add(parent_, bin_.get());
  gst_element_set_state(bin_.get(), GST_STATE_PLAYING);
  return chain.start();
}

void MixOutput::push(const std::vector<std::int16_t>& pcm) {
  if (given_up() || source_ == nullptr || pcm.empty()) {
    return;
  }
  if (settings_->live && gst_app_src_get_current_level_bytes(source_) >= most_waiting) {
    counts_.dropped++;
    return;
  }
  BufferPtr buffer(gst_buffer_new_memdup(pcm.data(), pcm.size() * sizeof(std::int16_t)));
  GST_BUFFER_PTS(buffer.get()) = time_of(samples_);
  samples_ += pcm.size() / 2;
  GST_BUFFER_DURATION(buffer.get()) = time_of(samples_) - GST_BUFFER_PTS(buffer.get());
  counts_.buffers++;
  gst_app_src_push_buffer(source_, buffer.release());
}

void MixOutput::end() {
  if (source_ != nullptr) {
    gst_app_src_end_of_stream(source_);
  }
}

void RecordMix::set_output(std::shared_ptr<MixOutput> output) {
  Lock lock(mutex_);
  output_ = std::move(output);
}

void RecordMix::set_gain(guint64 user, double gain) {
  Lock lock(mutex_);
  gains_[user] = gain;
  for (const auto& [id, owner] : users_) {
    if (owner == user) {
      mixer_.set_gain(id, gain);
    }
  }
}

RecordMix::Id RecordMix::open(guint64 user) {
  Lock lock(mutex_);
  const Id id = next_++;
  mixer_.open(id);
  users_[id] = user;
  if (const auto gain = gains_.find(user); gain != gains_.end()) {
    mixer_.set_gain(id, gain->second);
  }
  return id;
}

void RecordMix::identify(Id id, guint64 user) {
  Lock lock(mutex_);
  const auto known = users_.find(id);
  if (known == users_.end() || known->second == user) {
    return;
  }
  known->second = user;
  if (const auto gain = gains_.find(user); gain != gains_.end()) {
    mixer_.set_gain(id, gain->second);
  }
}

void RecordMix::close(Id id) {
  Lock lock(mutex_);
  mixer_.close(id);
  users_.erase(id);
}

void RecordMix::samples(Id id, std::int64_t at, std::span<const std::int16_t> pcm,
                        std::int64_t newest) {
  Lock lock(mutex_);
  mixer_.add(id, at, pcm);
  std::vector<std::int16_t> out;
  mixer_.take(std::min(mixer_.complete(), newest - behind), out);
  // Under the lock, so that pieces stay in order.
  if (output_) {
    output_->push(out);
  }
}

void RecordMix::end(std::int64_t length) {
  Lock lock(mutex_);
  std::vector<std::int16_t> out;
  mixer_.drain(length, out);
  if (output_) {
    output_->push(out);
    output_->end();
  }
}

std::int64_t RecordMix::position() const {
  Lock lock(mutex_);
  return mixer_.position();
}

std::uint64_t RecordMix::late() const {
  Lock lock(mutex_);
  return mixer_.late();
}

}  // namespace discord
