// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/recordfile.hpp"

#include "elements/recordname.hpp"

#include <fcntl.h>
#include <glib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>

namespace discord {

namespace {

constexpr unsigned max_attempts = 1000;

std::string because(const std::string& what, int error) {
  return what + ": " + g_strerror(error) + ".";
}

// mkdir -p: each missing part with 0700; parts that exist are left as they are.
int make_folders(const std::string& path) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      // A parent that may not be written to can still contain the next part.
      struct stat info;
      if (stat(part.c_str(), &info) != 0) {
        return errno;
      }
    }
    if (slash == std::string::npos) {
      return 0;
    }
  }
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

Result<RecordFolder, std::string> open_record_folder(const std::string& path) {
  if (const int error = make_folders(path); error != 0) {
    return Failure{because("The folder " + path + " cannot be created", error)};
  }
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    return Failure{because("The folder " + path + " cannot be opened", errno)};
  }
  if (faccessat(fd.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    return Failure{because("The folder " + path + " cannot be written to", errno)};
  }
  return RecordFolder{std::move(fd), path};
}

Result<RecordFolder, std::string> make_record_folder(const RecordFolder& parent,
                                                     std::string_view name) {
  for (unsigned attempt = 1; attempt <= max_attempts; attempt++) {
    const std::string candidate = numbered_name(name, "", attempt);
    if (mkdirat(parent.fd.get(), candidate.c_str(), 0700) == 0) {
      UniqueFd fd(openat(parent.fd.get(), candidate.c_str(),
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!fd) {
        return Failure{
            because("The folder " + parent.path + "/" + candidate + " cannot be opened", errno)};
      }
      return RecordFolder{std::move(fd), parent.path + "/" + candidate};
    }
    if (errno != EEXIST) {
      return Failure{
          because("The folder " + parent.path + "/" + candidate + " cannot be created", errno)};
    }
  }
  return Failure{"There are too many folders named " + std::string(name) + " in " + parent.path +
                 "."};
}

bool folder_is_gone(const RecordFolder& folder) {
  struct stat info;
  return fstat(folder.fd.get(), &info) != 0 || info.st_nlink == 0;
}

void remove_if_empty(const RecordFolder& folder) {
  rmdir(folder.path.c_str());  // refuses a folder with something in it
}

void remove_recorded_file(const RecordFolder& folder, const std::string& path) {
  unlinkat(folder.fd.get(), path.substr(path.rfind('/') + 1).c_str(), 0);
}

Result<RecordFile, std::string> RecordFile::create(const RecordFolder& folder,
                                                   std::string_view stem,
                                                   std::string_view extension, int* cause) {
  for (unsigned attempt = 1; attempt <= max_attempts; attempt++) {
    const std::string name = numbered_name(stem, extension, attempt);
    UniqueFd fd(openat(folder.fd.get(), name.c_str(),
                       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd) {
      RecordFile file;
      file.fd_ = std::move(fd);
      file.folder_ = UniqueFd(fcntl(folder.fd.get(), F_DUPFD_CLOEXEC, 0));
      file.name_ = name;
      file.path_ = folder.path + "/" + name;
      return file;
    }
    if (const int error = errno; error != EEXIST) {
      if (cause != nullptr) {
        *cause = error;
      }
      return Failure{because("The file " + folder.path + "/" + name + " cannot be created", error)};
    }
  }
  return Failure{"There are too many files named " + std::string(stem) + " in " + folder.path +
                 "."};
}

std::uint64_t RecordFile::size() const {
  struct stat info;
  return fstat(fd_.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

bool RecordFile::deleted() const {
  struct stat info;
  return fstat(fd_.get(), &info) == 0 && info.st_nlink == 0;
}

void RecordFile::remove() {
  if (folder_ && !name_.empty()) {
    unlinkat(folder_.get(), name_.c_str(), 0);
  }
}

}  // namespace discord
