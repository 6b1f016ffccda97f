// A file that takes the place of another one, of whose bytes nothing is to be left.
#pragma once

#include "base/bytes.hpp"
#include "elements/recordfile.hpp"

#include <cstddef>
#include <string>

namespace recover {

// Overwrites the first `size` bytes with zeros and syncs. File systems that copy on write keep the
// old ones all the same.
bool wipe(int fd, std::size_t size);

class Successor {
 public:
  // Beside `name` in the folder `dir`, both of which outlive this; check good() before use.
  Successor(int dir, const std::string& name);
  // Takes itself away again unless it has taken over.
  ~Successor();
  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;

  bool good() const { return good_; }
  void write(discord::ByteSpan bytes);
  // Syncs, and puts itself in the place of the other in one step. False, with errno, when that or
  // anything written before did not work: the other is as it was.
  bool take_over();

 private:
  const int dir_;
  const std::string name_;
  const std::string own_name_;
  discord::UniqueFd fd_;
  bool good_ = false;
  bool over_ = false;
};

}  // namespace recover
