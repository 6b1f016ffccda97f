// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recover/successor.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

namespace recover {

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

}  // namespace

bool wipe(int fd, std::size_t size) {
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

Successor::Successor(int dir, const std::string& name)
    : dir_(dir),
      name_(name),
      own_name_("." + name + "." + std::to_string(std::random_device()()) + ".new"),
      fd_(openat(dir, own_name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 0600)),
      good_(fd_.get() >= 0) {}

Successor::~Successor() {
  if (fd_ && !over_) {
    unlinkat(dir_, own_name_.c_str(), 0);
  }
}

void Successor::write(discord::ByteSpan bytes) {
  good_ = good_ && write_all(fd_.get(), bytes.data(), bytes.size());
}

bool Successor::take_over() {
  over_ = good_ && fdatasync(fd_.get()) == 0 &&
          renameat(dir_, own_name_.c_str(), dir_, name_.c_str()) == 0;
  if (over_) {
    fsync(dir_);
  }
  return over_;
}

}  // namespace recover
