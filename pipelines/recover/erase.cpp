// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recover/erase.hpp"

#include "elements/cook.hpp"
#include "elements/recordfile.hpp"
#include "record/journal_summary.hpp"

#include <fcntl.h>
#include <glib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

namespace recover {

using namespace discord;

namespace {

bool write_all(int fd, const std::uint8_t* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, bytes, size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool overwrite(int fd, std::size_t size) {
  const std::vector<std::uint8_t> zeros(1 << 16, 0);
  if (lseek(fd, 0, SEEK_SET) != 0) {
    return false;
  }
  while (size > 0) {
    const std::size_t n = std::min(size, zeros.size());
    if (!write_all(fd, zeros.data(), n)) {
      return false;
    }
    size -= n;
  }
  return fdatasync(fd) == 0;
}

}  // namespace

Result<Erased, std::string> erase(const std::string& journal, std::uint64_t user_id) {
  const auto failed = [&](const std::string& what) {
    return Failure{what + ": " + g_strerror(errno) + ". The journal " + journal + " is as it was."};
  };
  const std::size_t slash = journal.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : journal.substr(0, slash + 1);
  const std::string name = journal.substr(slash == std::string::npos ? 0 : slash + 1);
  const UniqueFd dir(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) {
    return failed("The folder " + folder + " cannot be opened");
  }
  const UniqueFd old(openat(dir.get(), name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!old) {
    return failed("The journal cannot be opened");
  }
  if (flock(old.get(), LOCK_EX | LOCK_NB) != 0) {
    return Failure{"The journal " + journal + " is still being written; stop the recording first."};
  }
  auto file = MappedFile::open(journal);
  if (!file.ok()) {
    return Failure{file.error()};
  }
  const record::JournalSummary summary = record::summarise(file->bytes());
  if (!summary.recognised()) {
    return Failure{"The file " + journal + " is no journal, or nothing is left of it."};
  }

  std::random_device random;
  const std::string next = "." + name + "." + std::to_string(random()) + ".new";
  UniqueFd out(
      openat(dir.get(), next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) {
    return failed("A new journal cannot be made");
  }
  bool written = true;
  Erased erased;
  erased.damaged = summary.damaged_stretches;
  Bytes waiting;
  const auto flush = [&] {
    written = written && write_all(out.get(), waiting.data(), waiting.size());
    waiting.clear();
  };
  erased.records = record::erase_speaker(
      file->bytes(), user_id, static_cast<std::uint32_t>(random()), [&](ByteSpan record) {
        waiting.insert(waiting.end(), record.begin(), record.end());
        if (waiting.size() >= (1 << 16)) {
          flush();
        }
      });
  flush();
  if (erased.records == 0) {
    unlinkat(dir.get(), next.c_str(), 0);
    return Failure{"Nobody with the user id " + std::to_string(user_id) + " is in " + journal +
                   "; discord-recover --list shows who is."};
  }
  if (!written || fdatasync(out.get()) != 0 ||
      renameat(dir.get(), next.c_str(), dir.get(), name.c_str()) != 0) {
    const auto problem = failed("The new journal cannot be written");
    unlinkat(dir.get(), next.c_str(), 0);
    return problem;
  }
  fsync(dir.get());
  erased.overwritten = overwrite(old.get(), file->bytes().size());
  return erased;
}

}  // namespace recover
