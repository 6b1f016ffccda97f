// Holds the files of a recorded call against what was really sent.
#pragma once

#include "recorded_call.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace discord::e2e {

// Interleaved stereo at 48 kHz.
struct Track {
  std::vector<std::int16_t> samples;
  std::size_t frames() const { return samples.size() / 2; }
};

// Reads any format GStreamer can decode; empty when it cannot.
Track read_track(const std::string& path);

// One spurt, or what one connection brought of it, as it was found in a file.
struct FoundSpurt {
  std::string speaker;
  std::size_t number = 0;
  std::size_t packets = 0;  // that the encoder made, between the first and last one received
  std::size_t lost = 0;     // of these, how many never reached the recorder
  // Samples between where it was found and where its first packets arrived, by the truth.
  std::int64_t lag = 0;
  // The sender's own delay of those packets, by which it may be early: a receiver that knows the
  // sender's clock is right to take it out.
  std::int64_t early = 0;
  // By how many samples the timeline corrected its length; only jitter can explain that.
  std::int64_t moved = 0;
  // With the decode of the very packets that arrived, in which libopus conceals those that did not.
  // It says that the recorder decodes, conceals and places what it was given.
  double correlation = 0;
  // With the decode of all packets: what the loss cost, which no receiver can bring back.
  double loss_free = 0;
};

struct Verdict {
  std::vector<FoundSpurt> spurts;
  std::vector<std::string> problems;  // sentences; empty = everything holds
  std::size_t missing = 0;            // packets that were delivered but did not reach the recorder
  std::size_t frames = 0;             // length of the tracks
};

struct Bounds {
  double correlation = 0.95;
  std::int64_t lag = 960;
  // Where the spurts are depends on when their packets came, which takes a machine that keeps up.
  // Without it the packets and the files are held against each other, not the sound.
  bool places = true;
  // Allows for what the server itself sent late, by its own records, so that a busy machine does
  // not matter. Not for calls whose network is meant to be late.
  bool server_may_be_late = false;
  // The receiver decodes itself, with a new decoder for each SSRC of each connection; otherwise the
  // recorder has one for each user.
  bool decoded = false;
  bool lossy = false;  // MP3: an encoder's delay, the same everywhere, is taken out first
};

// For every speaker of whom anything arrived: one file; all files of equal length; each spurt where
// it belongs; between the spurts as much silence as the timeline says, to one sample.
Verdict examine(const Outcome& outcome, const Bounds& bounds = {});

// One line per spurt on standard output.
void print(const std::string& call, const Verdict& verdict);

}  // namespace discord::e2e
