// What a worker process costs beyond the packets: time to wake, to start, to be replaced; memory.
#pragma once

#include "corpus.hpp"

namespace discord::bench {

struct Usage {
  double cpu = 0;   // seconds, of this process and of children that have been reaped
  double wall = 0;  // seconds
  double naps = 0;  // times a thread went to sleep, of the same
};
Usage usage();

// Each prints one table.
void hop_latency(const std::vector<corpus::Talk>& talks);
void start_and_replace(const std::vector<corpus::Talk>& talks);
void memory_and_threads(const std::vector<corpus::Talk>& talks);

}  // namespace discord::bench
