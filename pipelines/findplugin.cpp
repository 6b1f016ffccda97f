// SPDX-License-Identifier: LGPL-2.1-or-later
#include "findplugin.hpp"

#include <gst/gst.h>

namespace pipelines {

bool find_plugin() {
  const auto there = [] {
    GstElementFactory* factory = gst_element_factory_find("discordrecordsink");
    if (factory != nullptr) {
      gst_object_unref(factory);
    }
    return factory != nullptr;
  };
  if (there()) {
    return true;
  }
  gchar* program = g_file_read_link("/proc/self/exe", nullptr);
  if (program == nullptr) {
    return false;
  }
  gchar* folder = g_path_get_dirname(program);
  gchar* elements = g_build_filename(folder, "..", "elements", nullptr);
  gst_registry_scan_path(gst_registry_get(), elements);
  // Uninstalled, the worker program is where the build left it.
  gchar* worker = g_build_filename(folder, "..", "gst", "worker", "gst-discord-worker", nullptr);
  if (g_file_test(worker, G_FILE_TEST_IS_EXECUTABLE)) {
    g_setenv("GST_DISCORD_WORKER", worker, FALSE);
  }
  g_free(worker);
  g_free(elements);
  g_free(folder);
  g_free(program);
  return there();
}

}  // namespace pipelines
