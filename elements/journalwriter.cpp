// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/journalwriter.hpp"

#include <glib.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <random>
#include <utility>

namespace discord {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto closing_time = 10s;
constexpr auto name_interval = 10s;
constexpr std::size_t max_names = 1024;

std::uint32_t random_tag() {
  std::random_device device;
  return static_cast<std::uint32_t>(device());
}

}  // namespace

JournalDisk JournalDisk::real() {
  return {[](int fd, const void* bytes, std::size_t size, std::int64_t at) {
            return pwrite(fd, bytes, size, at);
          },
          [](int fd) { return fdatasync(fd); }};
}

Result<std::unique_ptr<JournalWriter>, std::string> JournalWriter::create(
    const RecordFolder& folder, Settings settings) {
  Result<RecordFile, std::string> file = RecordFile::create(folder, "recording", "journal");
  if (!file.ok()) {
    return Failure{file.error()};
  }
  return std::unique_ptr<JournalWriter>(
      new JournalWriter(std::move(file).value(), std::move(settings)));
}

JournalWriter::JournalWriter(RecordFile file, Settings settings)
    : file_(std::move(file)), settings_(std::move(settings)), encoder_(random_tag()) {
  // Advisory, for whoever wants to rewrite the file; it goes with the descriptor.
  flock(file_.fd(), LOCK_EX | LOCK_NB);
  // Signals are for the application's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

JournalWriter::~JournalWriter() {
  finish(std::nullopt);
}

// --- any thread ---

bool JournalWriter::has_room(std::size_t bytes) {
  return waiting_.size() + in_hand_ + bytes <= settings_.capacity;
}

void JournalWriter::begin(const record::JournalSession& session) {
  Lock lock(mutex_);
  if (!session_) {
    session_ = session;
    encoder_.append(session, waiting_);
    repeat();
    changed_.notify_all();
  }
}

bool JournalWriter::begun() const {
  Lock lock(mutex_);
  return session_.has_value();
}

void JournalWriter::append(const record::JournalPacket& packet) {
  Lock lock(mutex_);
  if (!session_) {
    return;
  }
  last_sample_ = packet.sample;
  if (!has_room(record::journal_head_size + record::journal_max_opus)) {
    dropped_++;
    dropped_unsaid_++;
    return;
  }
  if (dropped_unsaid_ > 0) {
    encoder_.append(record::JournalDropped{packet.sample, std::exchange(dropped_unsaid_, 0)},
                    waiting_);
  }
  const bool first = waiting_.empty();
  encoder_.append(packet, waiting_);
  if (first) {
    changed_.notify_all();
  }
}

template <class Record> void JournalWriter::put(const Record& record) {
  Lock lock(mutex_);
  if (session_ && has_room(record::journal_head_size + record::journal_max_body)) {
    const bool first = waiting_.empty();
    encoder_.append(record, waiting_);
    if (first) {
      changed_.notify_all();
    }
  }
}

void JournalWriter::append(const record::JournalLoss& loss) {
  put(loss);
}

void JournalWriter::append(const record::JournalUser& user) {
  {
    Lock lock(mutex_);
    if (user.user_id != 0 && (names_.size() < max_names || names_.count(user.user_id) != 0)) {
      record::JournalUser& known = names_[user.user_id];
      known.user_id = user.user_id;
      known.ssrc = user.ssrc != 0 ? user.ssrc : known.ssrc;
      known.name = user.name.empty() ? known.name : user.name;
    }
  }
  put(user);
}

void JournalWriter::append(const record::JournalEvent& event) {
  put(event);
}

JournalWriter::Stats JournalWriter::stats() const {
  Lock lock(mutex_);
  Stats stats = written_;
  stats.records = encoder_.records();
  stats.dropped = dropped_;
  return stats;
}

void JournalWriter::finish(std::optional<std::int64_t> length) {
  if (!thread_.joinable()) {
    return;
  }
  bool empty;
  {
    Lock lock(mutex_);
    empty = !session_;
    if (session_) {
      if (dropped_unsaid_ > 0) {
        encoder_.append(record::JournalDropped{last_sample_, std::exchange(dropped_unsaid_, 0)},
                        waiting_);
      }
      if (length) {
        encoder_.append(record::JournalEnd{*length}, waiting_);
      }
    }
    quit_ = true;
    changed_.notify_all();
  }
  thread_.join();
  if (empty) {
    file_.remove();
  }
}

// --- the thread ---

// So that the second half of a file still says what it is.
void JournalWriter::repeat() {
  for (const auto& [id, user] : names_) {
    if (has_room(record::journal_head_size + record::journal_max_body)) {
      encoder_.append(user, waiting_);
    }
  }
}

void JournalWriter::say(bool works, int error) {
  if (!settings_.trouble) {
    return;
  }
  settings_.trouble(works, works ? "The journal " + file_.path() + " is being written again."
                                 : "The journal " + file_.path() +
                                       " cannot be written: " + g_strerror(error) +
                                       ". What arrives waits in memory, as long as that suffices.");
}

bool JournalWriter::write_out(Bytes& bytes) {
  while (partly_ < bytes.size()) {
    const ssize_t n =
        settings_.disk.write(file_.fd(), bytes.data() + partly_, bytes.size() - partly_, offset_);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      const int error = n < 0 ? errno : ENOSPC;
      if (!std::exchange(failing_, true)) {
        say(false, error);
      }
      return false;
    }
    // Goes on exactly here after a failure, so no record is ever torn in the middle of the file.
    offset_ += n;
    partly_ += static_cast<std::size_t>(n);
    unsynced_ = true;
  }
  bytes.clear();
  partly_ = 0;
  if (std::exchange(failing_, false)) {
    say(true, 0);
  }
  return true;
}

void JournalWriter::run() {
  pthread_setname_np(pthread_self(), "discord-journal");
  Bytes hand;
  auto sync_at = Clock::now() + settings_.sync_interval;
  auto names_at = Clock::now() + name_interval;
  auto give_up = Clock::time_point::max();
  Lock lock(mutex_);
  for (;;) {
    if (hand.empty() && waiting_.empty() && !quit_) {
      if (unsynced_) {
        changed_.wait_until(lock.native(), sync_at);
      } else {
        changed_.wait(lock.native());
      }
    }
    if (!quit_) {
      // Gather: one write for what arrives together.
      changed_.wait_for(lock.native(), failing_ ? settings_.sync_interval : settings_.gather);
    } else if (give_up == Clock::time_point::max()) {
      give_up = Clock::now() + closing_time;
    }
    if (Clock::now() >= sync_at && !waiting_.empty() && session_) {
      encoder_.append(*session_, waiting_);
      if (Clock::now() >= names_at) {
        repeat();
        names_at = Clock::now() + name_interval;
      }
    }
    if (hand.empty()) {
      std::swap(hand, waiting_);
      in_hand_ = hand.size();
    }
    const bool last = quit_ && waiting_.empty();
    lock.unlock();
    const bool written = write_out(hand);
    if (unsynced_ && (Clock::now() >= sync_at || (last && written))) {
      if (settings_.disk.sync(file_.fd()) == 0) {
        unsynced_ = false;
        sync_failed_ = false;
      } else if (!std::exchange(sync_failed_, true)) {
        say(false, errno);
      }
      sync_at = Clock::now() + settings_.sync_interval;
    }
    lock.lock();
    in_hand_ = hand.size();
    written_.bytes = static_cast<std::uint64_t>(offset_);
    written_.failing = failing_;
    if (quit_ &&
        ((written && waiting_.empty()) || Clock::now() >= give_up || (!written && failing_))) {
      return;
    }
  }
}

}  // namespace discord
