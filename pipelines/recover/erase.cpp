// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recover/erase.hpp"

#include "elements/cook.hpp"
#include "elements/recordfile.hpp"
#include "record/journal_summary.hpp"
#include "recover/successor.hpp"

#include <fcntl.h>
#include <glib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <random>

namespace recover {

using namespace discord;

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

  Successor next(dir.get(), name);
  if (!next.good()) {
    return failed("A new journal cannot be made");
  }
  Erased erased;
  erased.damaged = summary.damaged_stretches;
  Bytes waiting;
  const auto flush = [&] {
    next.write(waiting);
    waiting.clear();
  };
  erased.records = record::erase_speaker(
      file->bytes(), user_id, static_cast<std::uint32_t>(std::random_device()()),
      [&](ByteSpan record) {
        waiting.insert(waiting.end(), record.begin(), record.end());
        if (waiting.size() >= (1 << 16)) {
          flush();
        }
      });
  flush();
  if (erased.records == 0) {
    return erased;
  }
  if (!next.take_over()) {
    return failed("The new journal cannot be written");
  }
  erased.overwritten = wipe(old.get(), file->bytes().size());
  return erased;
}

}  // namespace recover
