// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recover/forget.hpp"

#include "elements/cook.hpp"
#include "elements/sessionrecord.hpp"
#include "recover/erase.hpp"
#include "recover/successor.hpp"

#include <fcntl.h>
#include <glib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

namespace recover {

using namespace discord;

namespace {

namespace fs = std::filesystem;

bool has_extension(const fs::path& path, std::initializer_list<const char*> all) {
  return std::any_of(all.begin(), all.end(), [&](const char* e) { return path.extension() == e; });
}

// A file that the recorder named after this user.
bool named_after(const fs::path& path, std::uint64_t user_id) {
  const std::string name = path.filename();
  const std::string id = std::to_string(user_id);
  return has_extension(path, {".wav", ".mp3", ".flac", ".ogg"}) && name.rfind(id, 0) == 0 &&
         (name[id.size()] == '.' || name[id.size()] == '-');
}

class Folder {
 public:
  Folder(fs::path path, Forgotten& out)
      : path_(std::move(path)),
        out_(out),
        dir_(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

  // The files of the user in it, those of these names, and those that hold others too. False, with
  // errno, when one could not be removed.
  bool files(std::uint64_t user_id, const std::set<std::string>& names) {
    std::error_code error;
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(path_, error)) {
      all.push_back(entry.path());
    }
    std::sort(all.begin(), all.end());
    for (const fs::path& path : all) {
      struct stat info;
      if (fstatat(dir_.get(), path.filename().c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
          !S_ISREG(info.st_mode)) {
        continue;
      }
      if (named_after(path, user_id) || names.count(path.filename()) != 0) {
        if (!remove(path)) {
          return false;
        }
      } else if (path.extension() == ".mka" ||
                 (path.filename().string().rfind("mix", 0) == 0 &&
                  has_extension(path, {".wav", ".mp3", ".flac", ".ogg"}))) {
        out_.shared.push_back(path);
      }
    }
    return true;
  }

  // What the session records say without the user, by their names.
  std::vector<std::pair<std::string, SessionWithout>> records(std::uint64_t user_id) const {
    std::vector<std::pair<std::string, SessionWithout>> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(path_, error)) {
      const std::string name = entry.path().filename();
      if (name.rfind("session", 0) != 0 || entry.path().extension() != ".json") {
        continue;
      }
      const auto file = MappedFile::open(entry.path());
      if (!file.ok()) {
        continue;
      }
      const ByteSpan bytes = file->bytes();
      if (auto without = session_without(std::string(bytes.begin(), bytes.end()), user_id)) {
        out.emplace_back(name, std::move(*without));
      }
    }
    return out;
  }

  // False, with errno, when the record is as it was.
  bool replace(const std::string& name, const std::string& text) {
    const UniqueFd old(openat(dir_.get(), name.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info;
    Successor next(dir_.get(), name);
    if (!old || fstat(old.get(), &info) != 0 || !next.good()) {
      return false;
    }
    next.write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    if (!next.take_over()) {
      return false;
    }
    out_.overwritten = wipe(old.get(), static_cast<std::size_t>(info.st_size)) && out_.overwritten;
    out_.records_changed.push_back(path_ / name);
    return true;
  }

 private:
  bool remove(const fs::path& path) {
    const std::string name = path.filename();
    const UniqueFd fd(openat(dir_.get(), name.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info;
    if (!fd || fstat(fd.get(), &info) != 0 || unlinkat(dir_.get(), name.c_str(), 0) != 0) {
      return false;
    }
    out_.overwritten = wipe(fd.get(), static_cast<std::size_t>(info.st_size)) && out_.overwritten;
    out_.removed.push_back(path);
    return true;
  }

  const fs::path path_;
  Forgotten& out_;
  const UniqueFd dir_;
};

}  // namespace

Result<Forgotten, std::string> forget(const std::string& journal, std::uint64_t user_id) {
  fs::path where = fs::path(journal).parent_path();
  where = where.empty() ? "." : where;
  Forgotten out;
  std::error_code error;
  const bool no_journal = !fs::exists(journal, error);
  if (!no_journal) {
    const auto erased = erase(journal, user_id);
    if (!erased.ok()) {
      return Failure{erased.error()};
    }
    out.records = erased->records;
    out.damaged = erased->damaged;
    out.overwritten = erased->overwritten;
  }
  for (const fs::path& path : {where, where / "recovered"}) {
    Folder folder(path, out);
    // The record comes last: it knows which files are the user's.
    const auto records = folder.records(user_id);
    std::set<std::string> names;
    for (const auto& [name, without] : records) {
      names.insert(without.files.begin(), without.files.end());
    }
    if (!folder.files(user_id, names)) {
      return Failure{std::string("A file of the user cannot be removed: ") + g_strerror(errno) +
                     "."};
    }
    for (const auto& [name, without] : records) {
      if (!folder.replace(name, without.text)) {
        return Failure{"The session record " + name + " cannot be written: " + g_strerror(errno) +
                       ". It is as it was."};
      }
    }
  }
  if (out.records == 0 && out.removed.empty() && out.records_changed.empty()) {
    return Failure{no_journal ? "There is no journal " + journal + ", and nothing of a user " +
                                    std::to_string(user_id) + " beside it."
                              : "Nobody with the user id " + std::to_string(user_id) + " is in " +
                                    journal + "; discord-recover --list shows who is."};
  }
  return out;
}

}  // namespace recover
