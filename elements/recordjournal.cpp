// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordjournal.hpp"

#include "elements/cook.hpp"

#include <algorithm>
#include <utility>

namespace discord {

bool RecordJournal::start(const RecordFolder& folder, std::function<JournalTap::Zero()> zero) {
  auto tap = JournalTap::create(element_, pad_, folder, std::move(zero));
  if (!tap.ok()) {
    GST_ELEMENT_ERROR(element_, RESOURCE, OPEN_WRITE, ("%s", tap.error().c_str()), (nullptr));
    return false;
  }
  Lock lock(mutex_);
  tap_ = std::move(tap).value();
  return true;
}

void RecordJournal::mark(const std::string& label) {
  if (const auto journal = tap()) {
    journal->mark(label);
  }
}

std::string RecordJournal::finish(const RecordFolder& folder, const End& end) {
  std::shared_ptr<JournalTap> journal;
  {
    Lock lock(mutex_);
    journal.swap(tap_);
  }
  if (!journal) {
    return {};
  }
  const GstClockTime length = std::max(end.length, journal->length());
  journal->finish(length);
  return end.matroska && length > 0 ? cook(folder, journal->path(), end.keep) : std::string();
}

std::string RecordJournal::cook(const RecordFolder& folder, const std::string& journal,
                                bool keep) const {
  const auto progress = [this](GstProgressType type, const std::string& text) {
    gst_element_post_message(
        element_, gst_message_new_progress(GST_OBJECT(element_), type, "cook", text.c_str()));
  };
  progress(GST_PROGRESS_TYPE_START, "Making the Matroska file");
  const auto cooked = cook_matroska(journal, folder, "recording", [&](double part) {
    progress(GST_PROGRESS_TYPE_CONTINUE,
             "Making the Matroska file: " + std::to_string(static_cast<int>(part * 100)) + " %");
  });
  if (!cooked.ok()) {
    progress(GST_PROGRESS_TYPE_ERROR, cooked.error());
    GST_ELEMENT_WARNING(element_, RESOURCE, WRITE,
                        ("%s The journal %s is kept; discord-recover makes the file from it.",
                         cooked.error().c_str(), journal.c_str()),
                        (nullptr));
    return {};
  }
  progress(GST_PROGRESS_TYPE_COMPLETE, "The Matroska file is complete");
  GstStructure* s = gst_structure_new("discord-file", "path", G_TYPE_STRING, cooked->path.c_str(),
                                      "user-id", G_TYPE_UINT64, G_GUINT64_CONSTANT(0), "ssrc",
                                      G_TYPE_UINT, 0U, "duration", G_TYPE_UINT64, cooked->duration,
                                      "tracks", G_TYPE_UINT, cooked->tracks, nullptr);
  gst_element_post_message(element_, gst_message_new_element(GST_OBJECT(element_), s));
  if (!keep && cooked->damaged == 0) {
    remove_recorded_file(folder, journal);
  }
  return cooked->path.substr(cooked->path.rfind('/') + 1);
}

GstStructure* RecordJournal::stats() const {
  const auto journal = tap();
  return journal ? journal->stats() : nullptr;
}

std::shared_ptr<JournalTap> RecordJournal::tap() const {
  Lock lock(mutex_);
  return tap_;
}

}  // namespace discord
