// The physical limit: the crypto library's own open and `opus_decode` on the same packets, and
// nothing else. What the project costs is the ratio to this.
#pragma once

#include "corpus.hpp"

namespace discord::bench {

// Decodes every datagram and returns the samples that came out (so that nothing is optimised away).
std::uint64_t run_limit(const std::vector<corpus::Datagram>& datagrams, transport::Mode mode);

}  // namespace discord::bench
