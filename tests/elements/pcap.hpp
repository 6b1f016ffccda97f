// Capture files, written as other programs would.
#pragma once

#include "rig.hpp"

namespace discord::test {

inline void put(std::string& out, std::uint32_t value, int bytes, bool big) {
  for (int i = 0; i < bytes; i++) {
    out.push_back(static_cast<char>(value >> (8 * (big ? bytes - 1 - i : i))));
  }
}

// A classic pcap file: Ethernet, IPv4 and UDP around each datagram.
class Capture {
 public:
  Capture() {
    put(file_, 0xA1B2C3D4, 4, false);
    put(file_, 2, 2, false);
    put(file_, 4, 2, false);
    put(file_, 0, 4, false);
    put(file_, 0, 4, false);
    put(file_, 65535, 4, false);
    put(file_, 1, 4, false);  // Ethernet
  }
  void add(int at_ms, const Bytes& datagram) {
    const auto size = static_cast<std::uint32_t>(datagram.size());
    put(file_, static_cast<std::uint32_t>(1'700'000'000 + at_ms / 1000), 4, false);
    put(file_, static_cast<std::uint32_t>(at_ms % 1000 * 1000), 4, false);
    put(file_, 42 + size, 4, false);
    put(file_, 42 + size, 4, false);
    file_ += std::string(12, '\x02');
    put(file_, 0x0800, 2, true);
    put(file_, 0x4500, 2, true);
    put(file_, 28 + size, 2, true);
    put(file_, 0, 4, true);
    put(file_, 0x4011, 2, true);  // TTL 64, UDP
    put(file_, 0, 2, true);
    put(file_, 0x0A000001, 4, true);
    put(file_, 0x0A000002, 4, true);
    put(file_, 50000, 2, true);
    put(file_, 40000, 2, true);
    put(file_, 8 + size, 2, true);
    put(file_, 0, 2, true);
    file_.append(datagram.begin(), datagram.end());
  }
  const std::string& file() const { return file_; }

 private:
  std::string file_;
};

// Half a second of one speaker.
inline std::string pcap_of(Sealer& sealer) {
  Capture capture;
  for (int i = 0; i < 25; i++) {
    capture.add(20 * i, sealer.rtp(static_cast<std::uint16_t>(i), opus_packet()));
  }
  return capture.file();
}

}  // namespace discord::test
