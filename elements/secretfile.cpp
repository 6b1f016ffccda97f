// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/secretfile.hpp"

#include "net/udp_socket.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace discord {

namespace {

std::string_view strip(std::string_view text) {
  const auto trim = [&text](std::string_view what) {
    const auto first = text.find_first_not_of(what);
    const auto last = text.find_last_not_of(what);
    text =
        first == std::string_view::npos ? std::string_view() : text.substr(first, last - first + 1);
  };
  trim(" \t\r\n");
  trim("\"'");
  constexpr std::string_view prefix = "Bot ";
  if (text.starts_with(prefix)) {
    text.remove_prefix(prefix.size());
  }
  trim(" \t\r\n\"'");
  return text;
}

}  // namespace

SecretFile read_secret_file(const std::string& path) {
  SecretFile out;
  const net::FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    out.problem = "The file " + path + " cannot be read: " + std::strerror(errno) + ".";
    return out;
  }
  // A secret is short; whatever is longer is some other file.
  std::array<char, 4096> bytes;
  std::size_t size = 0;
  ssize_t got = 0;
  // A pipe (a shell's process substitution) gives its content in pieces.
  while (size < bytes.size() &&
         ((got = ::read(fd.get(), bytes.data() + size, bytes.size() - size)) > 0 ||
          (got < 0 && errno == EINTR))) {
    size += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  }
  if (got < 0) {
    out.problem = "The file " + path + " cannot be read: " + std::strerror(errno) + ".";
  } else if (size == bytes.size()) {
    out.problem = "The file " + path + " is too long to hold a secret.";
  } else {
    out.secret = SecretString(std::string(strip({bytes.data(), size})));
    if (out.secret.empty()) {
      out.problem = "The file " + path + " is empty.";
    }
  }
  sodium_memzero(bytes.data(), bytes.size());
  struct stat info {};
  if (::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0) {
    out.warning = "Other users of this machine can read " + path + "; run: chmod 600 " + path;
  }
  return out;
}

}  // namespace discord
