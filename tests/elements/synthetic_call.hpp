// A call of any length without a clock: senders of every habit, as datagrams in the order in which
// they arrive, and the truth about each.
#pragma once

#include "base/bytes.hpp"

#include <opus.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace discord::test {

// How a sender's RTP timestamps behave over a pause.
enum class Stamps { run, freeze, jump, restart };

struct Habit {
  const char* name;
  int frame = 960;  // samples at 48 kHz
  Stamps stamps = Stamps::run;
  double ppm = 0;  // by which the sender's clock is fast
  bool pauses = true;
  bool silence_frames = true;  // five of them after each spurt
};

inline const std::vector<Habit>& habits() {
  static const std::vector<Habit> all = {
      {"run-20", 960, Stamps::run},
      {"freeze-20", 960, Stamps::freeze},
      {"freeze-60-no-silence", 2880, Stamps::freeze, 0, true, false},
      {"jump-40", 1920, Stamps::jump},
      {"restart-20", 960, Stamps::restart},
      {"fast-10", 480, Stamps::run, 200},
      {"slow-20", 960, Stamps::run, -200},
      {"never-pauses-20", 960, Stamps::run, 0, false},
      {"never-pauses-fast-20", 960, Stamps::run, 200, false},
      {"never-pauses-slow-60", 2880, Stamps::run, -200, false},
      {"short-2.5", 120, Stamps::freeze},
      {"long-120", 5760, Stamps::run},
  };
  return all;
}

struct SyntheticPacket {
  std::size_t sender = 0;
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  const Bytes* payload = nullptr;
  double made = 0;     // seconds, true time of its first sample
  double arrival = 0;  // of the packet
  bool silence = false;
  bool lost = false;
};

// Something like speech, so that a position is unmistakable.
inline std::vector<Bytes> speech(int frame, unsigned seed) {
  int error = 0;
  std::unique_ptr<OpusEncoder, void (*)(OpusEncoder*)> encoder(
      opus_encoder_create(48000, 1, frame < 480 ? OPUS_APPLICATION_AUDIO : OPUS_APPLICATION_VOIP,
                          &error),
      opus_encoder_destroy);
  opus_encoder_ctl(encoder.get(), OPUS_SET_BITRATE(frame < 480 ? 64000 : 32000));
  opus_encoder_ctl(encoder.get(), OPUS_SET_COMPLEXITY(1));
  std::mt19937 random(seed);
  std::vector<Bytes> out;
  double low = 0;
  double phase = 0;
  const int count = std::max(8, 2 * 48000 / frame);
  for (int i = 0; i < count; i++) {
    std::vector<std::int16_t> pcm(static_cast<std::size_t>(frame));
    for (auto& v : pcm) {
      low += 0.2 * (static_cast<double>(random() % 20001) - 10000 - low);
      phase += 0.02 + 0.00001 * static_cast<double>(random() % 100);
      v = static_cast<std::int16_t>(
          std::clamp(low * 1.5 + 4000 * std::sin(phase), -32000.0, 32000.0));
    }
    Bytes packet(1500);
    const int size = opus_encode(encoder.get(), pcm.data(), frame, packet.data(), 1500);
    packet.resize(static_cast<std::size_t>(std::max(size, 0)));
    out.push_back(std::move(packet));
  }
  return out;
}

class SyntheticCall {
 public:
  static constexpr double delay = 0.02;  // of the network, at least
  static constexpr double jitter = 0.015;

  SyntheticCall(double seconds, double loss, unsigned seed = 5)
      : seconds_(seconds), loss_(loss), random_(seed) {
    for (std::size_t i = 0; i < habits().size(); i++) {
      const int frame = habits()[i].frame;
      if (!speech_.contains(frame)) {
        speech_[frame] = speech(frame, static_cast<unsigned>(frame));
      }
      Sender s;
      s.next = 0.1 + 0.37 * static_cast<double>(i);
      s.timestamp = random_();
      s.sequence = static_cast<std::uint16_t>(random_());
      s.left = spurt_length(i);
      senders_.push_back(s);
    }
  }

  // The next packet by arrival, lost ones too; false at the end.
  bool next(SyntheticPacket& out) {
    // A packet can be overtaken by those made within the jitter after it.
    while (made_until_ <= seconds_ &&
           (waiting_.empty() || waiting_.front().arrival > made_until_ + delay)) {
      make();
    }
    if (waiting_.empty()) {
      return false;
    }
    std::pop_heap(waiting_.begin(), waiting_.end(), later);
    out = waiting_.back();
    waiting_.pop_back();
    return true;
  }

  static std::uint32_t ssrc(std::size_t sender) {
    return 1000 + static_cast<std::uint32_t>(sender);
  }

 private:
  struct Sender {
    double next = 0;  // true time of the next frame
    std::uint32_t timestamp = 0;
    std::uint16_t sequence = 0;
    int left = 0;     // frames of the spurt
    int silence = 0;  // silence frames still to send
    std::size_t piece = 0;
  };

  static bool later(const SyntheticPacket& a, const SyntheticPacket& b) {
    return a.arrival > b.arrival;
  }
  double unit() { return static_cast<double>(random_() % 1000001) / 1e6; }
  int spurt_length(std::size_t i) {
    return static_cast<int>((0.3 + 4 * unit()) * 48000 / habits()[i].frame) + 1;
  }

  void make() {
    std::size_t who = 0;
    for (std::size_t i = 1; i < senders_.size(); i++) {
      who = senders_[i].next < senders_[who].next ? i : who;
    }
    Sender& s = senders_[who];
    const Habit& h = habits()[who];
    made_until_ = s.next;
    if (s.next > seconds_) {
      return;
    }
    const double rate = 48000 * (1 + h.ppm * 1e-6);
    SyntheticPacket p;
    p.sender = who;
    p.sequence = s.sequence++;
    p.timestamp = s.timestamp;
    p.made = s.next;
    p.arrival = s.next + delay + jitter * unit();
    p.silence = s.left == 0;
    static const Bytes silence = {0xf8, 0xff, 0xfe};
    p.payload = p.silence ? &silence : &speech_[h.frame][s.piece++ % speech_[h.frame].size()];
    p.lost = unit() < loss_;
    waiting_.push_back(p);
    std::push_heap(waiting_.begin(), waiting_.end(), later);
    const int samples = p.silence ? 960 : h.frame;
    s.timestamp += static_cast<std::uint32_t>(samples);
    s.next += samples / rate;
    if (!h.pauses) {
      return;
    }
    if (p.silence) {
      s.silence--;
    } else if (--s.left == 0 && h.silence_frames) {
      s.silence = 5;
    }
    if (s.left == 0 && s.silence == 0) {
      pause(who, rate);
    }
  }

  void pause(std::size_t who, double rate) {
    Sender& s = senders_[who];
    const double length = std::round((0.4 + 5 * unit() * unit()) * 50) / 50;
    s.next += length;
    s.left = spurt_length(who);
    switch (habits()[who].stamps) {
      case Stamps::run:
        s.timestamp += static_cast<std::uint32_t>(std::llround(length * rate));
        break;
      case Stamps::freeze:
        break;
      case Stamps::jump:
        s.timestamp += random_();
        break;
      case Stamps::restart:
        s.timestamp += static_cast<std::uint32_t>(std::llround(length * rate));
        if (random_() % 4 == 0) {
          s.timestamp = random_();
          s.sequence = static_cast<std::uint16_t>(random_());
        }
        break;
    }
  }

  double seconds_;
  double loss_;
  std::mt19937 random_;
  std::map<int, std::vector<Bytes>> speech_;
  std::vector<Sender> senders_;
  std::vector<SyntheticPacket> waiting_;
  double made_until_ = 0;
};

}  // namespace discord::test
