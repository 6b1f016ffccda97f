// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/trackwriter.hpp"

#include <sys/statvfs.h>
#include <unistd.h>
#include <cerrno>

namespace discord {

ssize_t Disk::write(int fd, const void* data, std::size_t size, off_t at) {
  return pwrite(fd, data, size, at);
}

std::uint64_t Disk::free_bytes(int folder) const {
  struct statvfs info;
  return fstatvfs(folder, &info) == 0 ? std::uint64_t{info.f_bavail} * info.f_frsize : 0;
}

TrackWriter::TrackWriter(RecordFile file, std::unique_ptr<record::Container> container,
                         DiskPtr disk)
    : file_(std::move(file)), container_(std::move(container)), disk_(std::move(disk)) {}

bool TrackWriter::write_at(std::uint64_t at, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t n = disk_->write(file_.fd(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      error_ = n == 0 ? ENOSPC : errno;
      return false;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    at += static_cast<std::uint64_t>(n);
  }
  return true;
}

bool TrackWriter::begin() {
  const Bytes head = container_->head();
  if (!write_at(0, head)) {
    return false;
  }
  size_ = head_ = head.size();
  return true;
}

bool TrackWriter::append(ByteSpan piece, std::uint64_t encoded_samples) {
  if (error_ != 0) {
    return false;
  }
  const std::uint64_t before = size_;
  const Bytes front = container_->before(piece, before, encoded_samples);
  if (!write_at(before, front) || !write_at(before + front.size(), piece)) {
    // A frame that is cut in the middle would make readers complain about the whole file.
    if (ftruncate(file_.fd(), static_cast<off_t>(before)) != 0 && errno == EINTR) {
      (void)!ftruncate(file_.fd(), static_cast<off_t>(before));
    }
    return false;
  }
  size_ = before + front.size() + piece.size();
  samples_ = container_->samples(size_);
  apply(container_->refresh(size_));
  return error_ == 0;
}

bool TrackWriter::overwrite(std::uint64_t offset, ByteSpan piece) {
  if (error_ != 0 || offset + piece.size() > size_) {
    return false;
  }
  container_->overwritten(offset, piece);
  return write_at(offset, piece);
}

void TrackWriter::finish(std::uint64_t samples) {
  // Also after a failure: what is patched has its place on the disk already.
  const record::Ending ending = container_->finish(size_, samples);
  apply(ending.patches);
  if (ending.size && *ending.size < size_ &&
      ftruncate(file_.fd(), static_cast<off_t>(*ending.size)) == 0) {
    size_ = *ending.size;
  }
}

void TrackWriter::apply(const record::Patches& patches) {
  for (const record::Patch& p : patches) {
    if (p.offset + p.bytes.size() <= size_) {
      write_at(p.offset, p.bytes);
    }
  }
}

}  // namespace discord
