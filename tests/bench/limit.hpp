// The physical limit: the crypto library's own open and `opus_decode` on the same packets, and
// nothing else. What the project costs is the ratio to this.
#pragma once

#include "corpus.hpp"

#include <memory>

namespace discord::bench {

// libcrypto's or libsodium's own open, with `corpus::some_key` and a context made once.
class BareOpener {
 public:
  explicit BareOpener(transport::Mode mode);
  ~BareOpener();
  BareOpener(const BareOpener&) = delete;
  BareOpener& operator=(const BareOpener&) = delete;

  // Decrypts the Opus packet of a datagram into `out` and returns its size.
  std::size_t open(const Bytes& datagram, std::uint8_t* out);

 private:
  struct Context;
  const transport::Mode mode_;
  const std::unique_ptr<Context> context_;
};

// Decodes every datagram and returns the samples that came out (so that nothing is optimised away).
std::uint64_t run_limit(const std::vector<corpus::Datagram>& datagrams, transport::Mode mode);

}  // namespace discord::bench
