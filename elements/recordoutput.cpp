// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordoutput.hpp"

namespace discord {

RecordOutput::RecordOutput(GstBin* parent, const std::string& bin_name, OutputSettingsPtr settings,
                           std::int64_t offset, unsigned part)
    : settings_(std::move(settings)), parent_(parent), offset_(offset), part_(part) {
  bin_.reset(GST_ELEMENT(gst_object_ref_sink(gst_bin_new(bin_name.c_str()))));
  // Not a sink in the eyes of the parent: only the permanent sink decides when the whole has ended.
  // Nor a source, though a mix has one: an EOS sent to the pipeline would end the mix before its
  // last seconds, which wait for late words, have reached it.
  gst_bin_set_suppressed_flags(
      GST_BIN(bin_.get()),
      static_cast<GstElementFlags>(GST_ELEMENT_FLAG_SINK | GST_ELEMENT_FLAG_SOURCE));
  gst_element_set_locked_state(bin_.get(), TRUE);
}

std::optional<std::string> RecordOutput::open_file(const RecordFolder& folder,
                                                   const std::string& stem,
                                                   const record::TrackTags& tags) {
  const std::string part = part_ > 1 ? ".part" + std::to_string(part_) : std::string();
  int cause = 0;
  Result<RecordFile, std::string> file =
      RecordFile::create(folder, stem + part, record::extension(settings_->format), &cause);
  if (!file.ok()) {
    open_error_ = cause;
    return file.error();
  }
  const std::string path = file->path();
  auto writer = std::make_shared<TrackWriter>(
      std::move(file).value(),
      record::make_container(settings_->format, tags, settings_->riff_limit), settings_->disk);
  if (!writer->begin()) {
    writer->remove();
    open_error_ = writer->error();
    return "The file " + path + " cannot be written: " + g_strerror(writer->error()) + ".";
  }
  Lock lock(mutex_);
  writer_ = std::move(writer);
  return std::nullopt;
}

void RecordOutput::close() {
  if (closed_.exchange(true)) {
    return;
  }
  give_up();
  unlink();
  gst_element_set_state(bin_.get(), GST_STATE_NULL);
  detach();
  if (GST_OBJECT_PARENT(bin_.get()) == GST_OBJECT(parent_)) {
    gst_bin_remove(parent_, bin_.get());
  }
  const std::shared_ptr<TrackWriter> w = writer();
  if (w) {
    kept_ = w->has_content();
    if (kept_) {
      w->finish(samples());
    } else {
      w->remove();  // nothing of this speaker could be decoded, or nothing written
    }
  }
  if (!kept_ && error() != 0) {
    counts_.dropped = counts_.buffers.load();  // wherever in the branch it was
  }
}

std::shared_ptr<TrackWriter> RecordOutput::writer() const {
  Lock lock(mutex_);
  return writer_;
}

std::string RecordOutput::path() const {
  const std::shared_ptr<TrackWriter> w = writer();
  return w ? w->path() : std::string();
}

std::uint64_t RecordOutput::bytes() const {
  const std::shared_ptr<TrackWriter> w = writer();
  return w ? w->bytes() : 0;
}

std::uint64_t RecordOutput::samples() const {
  const std::shared_ptr<TrackWriter> w = writer();
  return w && w->error() != 0 ? std::min(produced(), w->samples()) : produced();
}

int RecordOutput::error() const {
  const std::shared_ptr<TrackWriter> w = writer();
  return w ? w->error() : open_error_.load();
}

bool RecordOutput::deleted() const {
  const std::shared_ptr<TrackWriter> w = writer();
  return w && w->deleted();
}

}  // namespace discord
