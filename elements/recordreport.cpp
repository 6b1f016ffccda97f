// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordreport.hpp"

#include "elements/recordbranch.hpp"
#include "media/timeline.hpp"

#include <algorithm>

GST_DEBUG_CATEGORY_EXTERN(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

namespace discord {

void report_file(GstElement* recorder, const OutputPtr& output) {
  const RecordOutput& b = *output;
  const OutputCounts& c = b.counts();
  StructurePtr ledger(gst_structure_new(
      "ledger", "num-buffers", G_TYPE_UINT64, c.buffers.load(), "num-silence", G_TYPE_UINT64,
      c.silence.load(), "num-lost", G_TYPE_UINT64, c.lost.load(), "num-recovered", G_TYPE_UINT64,
      c.recovered.load(), "num-concealed", G_TYPE_UINT64, c.concealed.load(), "num-gaps",
      G_TYPE_UINT64, c.gaps.load(), "num-dropped", G_TYPE_UINT64, c.dropped.load(), nullptr));
  const auto branch = std::dynamic_pointer_cast<RecordBranch>(output);
  const std::int64_t begin = branch ? branch->begin() : b.offset();
  const std::string verdict = branch ? branch->log()->verdict(nullptr) : std::string();
  GstStructure* s = gst_structure_new(
      "discord-file", "path", G_TYPE_STRING, b.path().c_str(), "user-id", G_TYPE_UINT64,
      b.user_id(), "ssrc", G_TYPE_UINT, b.ssrc(), "duration", G_TYPE_UINT64, b.duration(), "offset",
      G_TYPE_UINT64,
      static_cast<guint64>(media::duration_from_samples(std::max<std::int64_t>(begin, 0)).count()),
      "part", G_TYPE_UINT, b.part(), "mix", G_TYPE_BOOLEAN, gboolean{branch == nullptr}, "verdict",
      G_TYPE_STRING, verdict.c_str(), "ledger", GST_TYPE_STRUCTURE, ledger.get(), nullptr);
  gst_element_post_message(recorder, gst_message_new_element(GST_OBJECT(recorder), s));
}

void report_warning(GstElement* recorder, const std::string& text, const GError* cause,
                    const gchar* debug) {
  const GErrorPtr error(g_error_new_literal(
      cause != nullptr ? cause->domain : GST_RESOURCE_ERROR,
      cause != nullptr ? cause->code : static_cast<gint>(GST_RESOURCE_ERROR_WRITE), text.c_str()));
  GST_WARNING_OBJECT(recorder, "%s (%s)", text.c_str(), debug != nullptr ? debug : "");
  gst_element_post_message(recorder,
                           gst_message_new_warning(GST_OBJECT(recorder), error.get(), debug));
}

void report_stopped(GstElement* recorder, const RecordOutput& b, bool others_go_on,
                    const std::string& reason, const GError* cause, const gchar* debug) {
  report_warning(
      recorder,
      "The recording of " + b.who() + (b.path().empty() ? std::string() : " to " + b.path()) +
          " has stopped; " +
          (others_go_on ? "the other speakers go on. " : "nobody else is being recorded. ") +
          reason,
      cause, debug);
}

GstStructure* file_stats(const RecordOutput& b, guint64 dropped_before) {
  const OutputCounts& c = b.counts();
  return gst_structure_new("file", "user-id", G_TYPE_UINT64, b.user_id(), "ssrc", G_TYPE_UINT,
                           b.ssrc(), "path", G_TYPE_STRING, b.path().c_str(), "bytes",
                           G_TYPE_UINT64, b.bytes(), "num-buffers", G_TYPE_UINT64, c.buffers.load(),
                           "num-lost", G_TYPE_UINT64, c.lost.load(), "num-dropped", G_TYPE_UINT64,
                           dropped_before + c.dropped.load(), nullptr);
}

GstStructure* unwritten_stats(const SpeakerLog::View& v) {
  return gst_structure_new("file", "user-id", G_TYPE_UINT64, v.user, "ssrc", G_TYPE_UINT,
                           v.ssrcs.empty() ? 0U : v.ssrcs.back(), "path", G_TYPE_STRING, "",
                           "bytes", G_TYPE_UINT64, guint64{0}, "num-buffers", G_TYPE_UINT64,
                           v.counts.packets, "num-lost", G_TYPE_UINT64, v.counts.lost,
                           "num-dropped", G_TYPE_UINT64, v.counts.dropped, nullptr);
}

}  // namespace discord
