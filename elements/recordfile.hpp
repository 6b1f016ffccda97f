// Folders and files of a recording: created, never overwritten, readable by the owner only.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace discord {

// A file descriptor that closes itself.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A folder, held open, so that files land in it whatever happens to its path meanwhile.
struct RecordFolder {
  UniqueFd fd;
  std::string path;
};

// Opens a folder and makes it, and its parents, with mode 0700 where missing. The error is a
// sentence for the user. Fails too when no file could be created in it.
Result<RecordFolder, std::string> open_record_folder(const std::string& path);

// Makes a new folder in `parent` with mode 0700: `name`, or `name-2` and so on when it exists.
Result<RecordFolder, std::string> make_record_folder(const RecordFolder& parent,
                                                     std::string_view name);

// Whether somebody has taken the folder away meanwhile.
bool folder_is_gone(const RecordFolder& folder);

// Takes the folder away again when nothing is in it.
void remove_if_empty(const RecordFolder& folder);

// Removes a file of this folder, given with any path.
void remove_recorded_file(const RecordFolder& folder, const std::string& path);

// One file of a recording, open for reading and writing.
class RecordFile {
 public:
  // Creates `stem.extension` (or `stem-2.extension`, ...) with mode 0600. Follows no link and
  // never opens what exists. The error is a sentence for the user; `cause` gets its errno.
  static Result<RecordFile, std::string> create(const RecordFolder& folder, std::string_view stem,
                                                std::string_view extension, int* cause = nullptr);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  // Bytes in the file, 0 when that cannot be found out.
  std::uint64_t size() const;

  // Whether somebody has taken the file away; what is written goes nowhere then.
  bool deleted() const;

  // Takes the file away again: nothing was recorded.
  void remove();

 private:
  UniqueFd fd_;
  UniqueFd folder_;
  std::string name_;
  std::string path_;
};

}  // namespace discord
