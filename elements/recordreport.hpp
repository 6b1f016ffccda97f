// What a recorder says on the bus about its files.
#pragma once

#include "elements/recordoutput.hpp"
#include "elements/sessionrecord.hpp"

#include <gst/gst.h>
#include <string>

namespace discord {

// The element message `discord-file` of a complete file.
void report_file(GstElement* recorder, const OutputPtr& output);

// A WARNING of the recorder with this sentence, for this reason where there is one.
void report_warning(GstElement* recorder, const std::string& text, const GError* cause = nullptr,
                    const gchar* debug = nullptr);

// That one file has come to its end before the recording. `others_go_on`: somebody is still
// recorded.
void report_stopped(GstElement* recorder, const RecordOutput& output, bool others_go_on,
                    const std::string& reason, const GError* cause = nullptr,
                    const gchar* debug = nullptr);

// One file as `stats` shows it; `dropped_before`: packets that are in none of the files before it.
GstStructure* file_stats(const RecordOutput& output, guint64 dropped_before);
// The same for a speaker who has no file now.
GstStructure* unwritten_stats(const SpeakerLog::View& speaker);

}  // namespace discord
