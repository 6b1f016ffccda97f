// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordsettings.hpp"

namespace discord {

bool can_record(GstElement* element, const RecordSettings& settings) {
  for (const Need& need :
       settings.matroska ? needs_of_matroska() : needs_of(settings.format, settings.layout)) {
    ObjectPtr<GstElementFactory> factory(gst_element_factory_find(need.factory));
    if (!factory) {
      GST_ELEMENT_ERROR(element, CORE, MISSING_PLUGIN,
                        ("The element %s is missing. On Debian it is in the package %s.",
                         need.factory, need.package),
                        (nullptr));
      return false;
    }
  }
  if (settings.location.empty()) {
    GST_ELEMENT_ERROR(element, RESOURCE, NOT_FOUND,
                      ("No folder to record to. Set location to one; it is created if missing."),
                      (nullptr));
    return false;
  }
  const Result<RecordFolder, std::string> folder = open_record_folder(settings.location);
  if (!folder.ok()) {
    GST_ELEMENT_ERROR(element, RESOURCE, OPEN_WRITE,
                      ("%s Choose a folder you may write to.", folder.error().c_str()),
                      (nullptr));
    return false;
  }
  return true;
}

Result<RecordFolder, std::string> folder_for(const RecordSettings& settings,
                                             const std::string& name) {
  Result<RecordFolder, std::string> folder = open_record_folder(settings.location);
  if (folder.ok() && !settings.flat) {
    folder = make_record_folder(*folder, name);
  }
  return folder;
}

}  // namespace discord
