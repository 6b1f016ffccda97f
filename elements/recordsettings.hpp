// What a recording is asked to be, and whether it can be.
#pragma once

#include "elements/recordfile.hpp"
#include "elements/recordoutput.hpp"

#include <gst/gst.h>
#include <cstdint>
#include <memory>
#include <string>

namespace discord {

// What the properties of the element ask for.
struct RecordSettings {
  std::string location;
  bool flat = false;
  bool matroska = false;  // one file, made of the journal; `format` and `layout` do not matter then
  Format format = Format::wav;
  Layout layout = Layout::Tracks;
  bool from_first = false;
  guint bitrate = default_bitrate;
  bool journal = false;
  std::uint64_t riff_limit = record::default_riff_limit;
  DiskPtr disk = std::make_shared<Disk>();
};

// Whether a recording with these settings can be made; otherwise an error of `element` is on the
// bus.
bool can_record(GstElement* element, const RecordSettings& settings);

// The folder of one recording, made where missing: `name` in the location, or the location itself.
Result<RecordFolder, std::string> folder_for(const RecordSettings& settings,
                                             const std::string& name);

}  // namespace discord
