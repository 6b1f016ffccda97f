// Puts what an encoder makes into a file that opens with the right length at any moment.
#pragma once

#include "elements/recordfile.hpp"
#include "record/container.hpp"

#include <sys/types.h>
#include <atomic>
#include <memory>

namespace discord {

// What the operating system does for a recording; a test puts something slow or full in its place.
class Disk {
 public:
  virtual ~Disk() = default;
  // As pwrite(2), errno included.
  virtual ssize_t write(int fd, const void* data, std::size_t size, off_t at);
  // Bytes that may still be written to the file system of this folder.
  virtual std::uint64_t free_bytes(int folder) const;
};
using DiskPtr = std::shared_ptr<Disk>;

// One thread writes; `bytes`, `samples` and `error` are for any.
class TrackWriter {
 public:
  TrackWriter(RecordFile file, std::unique_ptr<record::Container> container, DiskPtr disk);

  // What the file begins with. False as `append`.
  bool begin();
  // Puts a piece at the end and makes the file right. False when it could not be written: nothing
  // of the piece is in the file then, and nothing more is taken.
  bool append(ByteSpan piece, std::uint64_t encoded_samples);
  // Writes over what is there; for encoders that complete their own header.
  bool overwrite(std::uint64_t offset, ByteSpan piece);
  // Once the branch has stopped: the track is `samples` long.
  void finish(std::uint64_t samples);
  // Takes the file away: nothing was recorded.
  void remove() { file_.remove(); }

  const std::string& path() const { return file_.path(); }
  std::uint64_t bytes() const { return size_; }
  // Somebody took the file away.
  bool deleted() const { return file_.deleted(); }
  // Whether more than what comes before the sound is in the file. Once nobody writes.
  bool has_content() const { return container_->has_sound(size_); }
  // Whether the encoder has written anything yet.
  bool begun() const { return size_ > head_; }
  // How much sound is in the file.
  std::uint64_t samples() const { return samples_; }
  // errno of the write that failed, 0 while none has.
  int error() const { return error_; }

 private:
  bool write_at(std::uint64_t at, ByteSpan bytes);
  void apply(const record::Patches& patches);

  RecordFile file_;
  std::unique_ptr<record::Container> container_;
  DiskPtr disk_;
  std::uint64_t head_ = 0;
  std::atomic<std::uint64_t> size_ = 0;
  std::atomic<std::uint64_t> samples_ = 0;
  std::atomic<int> error_ = 0;
};

}  // namespace discord
