// SPDX-License-Identifier: LGPL-2.1-or-later
// discord-record: records a voice channel, a file for each speaker.
#include "findplugin.hpp"
#include "record/options.hpp"
#include "record/recorder.hpp"

#include <glib.h>
#include <clocale>

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  std::optional<recorder::Options> options = recorder::parse_options(argc, argv);
  if (!options) {
    return recorder::exit_usage;
  }
  if (!pipelines::find_plugin()) {
    g_printerr(
        "The elements are not found; set GST_PLUGIN_PATH to the folder of "
        "libgstdiscord.so.\n");
    return recorder::exit_failed;
  }
  recorder::Recorder recorder(std::move(*options));
  return recorder.run();
}
