// A folder that is gone with the test.
#pragma once

#include <glib.h>
#include <filesystem>
#include <string>
#include <vector>

namespace discord::test {

namespace fs = std::filesystem;

class TempFolder {
 public:
  TempFolder() {
    gchar* made = g_dir_make_tmp("discord-journal-XXXXXX", nullptr);
    path = made;
    g_free(made);
  }
  ~TempFolder() { fs::remove_all(path); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::vector<fs::path> files(const std::string& extension) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file() && entry.path().extension() == extension) {
        found.push_back(entry.path());
      }
    }
    return found;
  }
  fs::path path;
};

}  // namespace discord::test
