#include "media/timeline.hpp"

#include "rtp/unwrap.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

using namespace discord;
using namespace discord::media;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t ms = 48;  // samples

// A sender, a network and a timeline. Time is counted in samples of the receiver's clock; the
// truth is when a frame was made, and the error is how far its place is from that.
struct Call {
  Timeline timeline{Time(5s)};
  rtp::TimestampUnwrapper unwrap;
  std::mt19937 random{20261123};

  double ppm = 0;                         // of the sender's clock against ours
  std::int64_t jitter = 0;                // samples, uniform from 0
  bool freeze = false;                    // timestamps stand still over a pause
  bool quiet = false;                     // the caller's hint
  std::uint32_t timestamp = 0xFFFFF000u;  // wraps at once

  double truth = 0;  // samples of our clock
  std::int64_t last_end = 0;
  std::int64_t worst = 0;
  std::uint64_t trimmed = 0, lost = 0, paused = 0;
  std::uint64_t largest_step = 0;
  std::uint64_t spurts = 0;
  bool has_lead = false;

  // What the sender does in the meantime: `samples` of its own clock go by.
  void sender_waits(std::int64_t samples, bool timestamps_go_on) {
    truth += static_cast<double>(samples) / (1 + ppm * 1e-6);
    if (timestamps_go_on) {
      timestamp += static_cast<std::uint32_t>(samples);
    }
  }
  void pause(std::int64_t samples) { sender_waits(samples, !freeze); }
  void lose(std::int64_t samples) { sender_waits(samples, true); }

  Placement frame(std::uint32_t duration = 960, std::uint64_t lost_packets = 0,
                  bool silence = false, bool resync = false, std::int64_t delay = -1) {
    if (delay < 0) {
      delay = jitter > 0 ? static_cast<std::int64_t>(random() % static_cast<unsigned>(jitter)) : 0;
    }
    TimelineFrame in;
    in.timestamp = unwrap.unwrap(timestamp);
    in.lost_packets = lost_packets;
    in.arrival = timeline.zero() + duration_from_samples(static_cast<std::int64_t>(truth) + delay);
    in.duration = duration;
    in.silence = silence;
    in.resync = resync;
    in.quiet = quiet;
    const Placement out = timeline.place(in);
    // The invariant of every placement.
    EXPECT_EQ(out.sample, last_end + static_cast<std::int64_t>(out.lost_before + out.pause_before));
    EXPECT_LE(out.trim, duration);
    last_end = out.sample + duration - out.trim;
    EXPECT_EQ(timeline.position(), last_end);

    const std::int64_t start = out.sample - out.trim;
    worst = std::max(worst, std::abs(start - static_cast<std::int64_t>(truth)));
    lost += out.lost_before;
    paused += out.pause_before;
    trimmed += out.trim;
    if (!out.new_spurt && !silence) {
      largest_step = std::max(largest_step, out.pause_before);
      largest_step = std::max<std::uint64_t>(largest_step, out.trim);
    }
    spurts += out.new_spurt ? 1 : 0;
    sender_waits(duration, true);
    return out;
  }
  void talk(int frames, std::uint32_t duration = 960) {
    for (int i = 0; i < frames; ++i) {
      frame(duration);
    }
  }
  void fall_silent(int frames = 5) {
    for (int i = 0; i < frames; ++i) {
      frame(960, 0, true);
    }
  }
};

}  // namespace

TEST(TimelineUnits, ExactOverDays) {
  EXPECT_EQ(samples_from_duration(20ms), 960);
  EXPECT_EQ(samples_from_duration(Duration(10416)), 0);
  EXPECT_EQ(samples_from_duration(Duration(10417)), 1);
  EXPECT_EQ(samples_from_duration(-20ms), -960);
  EXPECT_EQ(duration_from_samples(1), Duration(20833));
  EXPECT_EQ(duration_from_samples(5), Duration(104167));
  EXPECT_EQ(duration_from_samples(48000), 1s);
  for (std::int64_t day = 0; day < 40000; day += 37) {
    const std::int64_t samples = day * 86400 * 48000 + day % 6;
    EXPECT_EQ(samples_from_duration(duration_from_samples(samples)), samples);
    EXPECT_EQ(samples_from_duration(std::chrono::hours(24 * day)), day * 86400 * 48000);
  }
}

TEST(Timeline, FirstFrameIsWhereItArrived) {
  Call call;
  call.pause(48000 * 3);
  const Placement first = call.frame();
  EXPECT_EQ(first.sample, 48000 * 3);
  EXPECT_TRUE(first.new_spurt);
  EXPECT_EQ(first.pause_before, 48000u * 3);
  EXPECT_EQ(call.timeline.time_of(first.sample), Time(8s));
}

TEST(Timeline, WhatArrivedBeforeTheZeroLandsOnIt) {
  Timeline timeline(Time(10s));
  EXPECT_EQ(timeline.place({.timestamp = 5, .arrival = Time(9s)}).sample, 0);
}

TEST(Timeline, ContiguousFramesTouchEachOther) {
  Call call;
  call.frame();
  for (int i = 0; i < 1000; ++i) {
    const Placement p = call.frame();
    ASSERT_EQ(p.pause_before + p.lost_before + p.trim, 0u);
    ASSERT_FALSE(p.new_spurt);
  }
}

TEST(Timeline, JitterDoesNotMoveFramesInsideASpurt) {
  Call call;
  call.jitter = 8 * ms;
  call.talk(500);
  EXPECT_EQ(call.paused, static_cast<std::uint64_t>(call.last_end) - 500 * 960)
      << "only what was before the first frame";
  EXPECT_LE(call.worst, call.jitter);
}

// seed: silence frames moved the timeline but wrote nothing; 100 spurts lost 10 s.
TEST(Timeline, Seed4SilenceFramesTakeTheirTime) {
  for (const bool freeze : {false, true}) {
    Call call;
    call.freeze = freeze;
    for (int spurt = 0; spurt < 100; ++spurt) {
      call.talk(50);
      call.fall_silent();
      call.pause(48000);
    }
    EXPECT_LE(call.worst, 960) << freeze;
    EXPECT_EQ(call.lost, 0u);
    EXPECT_EQ(call.spurts, 100u);
  }
}

// seed: the gap was reckoned with 20 ms whatever the packet held; 6 s became 9.96 s.
TEST(Timeline, Seed5SixtyMillisecondPackets) {
  Call call;
  call.talk(100, 2880);
  EXPECT_EQ(call.last_end, 100 * 2880);
  EXPECT_EQ(call.worst, 0);
}

TEST(Timeline, MixedFrameDurations) {
  Call call;
  const std::uint32_t durations[] = {120, 240, 480, 960, 1920, 2880, 3840, 4800, 5760};
  for (int i = 0; i < 5000; ++i) {
    call.frame(durations[call.random() % 9]);
  }
  EXPECT_EQ(call.worst, 0);
  EXPECT_EQ(call.trimmed + call.paused, 0u);
}

// seed: each file began with its user's first packet, so tracks could not be aligned.
TEST(Timeline, Seed6CommonStart) {
  Call early, late;
  early.talk(10);
  late.pause(48000 * 100);
  EXPECT_EQ(late.frame().sample - early.timeline.position(), 48000 * 100 - 9600);
}

// seed: a timestamp reset asked for 2^32 samples of silence in one piece.
TEST(Timeline, Seed14TimestampResetIsNotSilence) {
  for (const std::uint32_t restart : {0u, 5u, 0x7FFFFFFFu, 0x80000000u, 0xFFFF0000u}) {
    Call call;
    call.talk(100);
    call.timestamp += restart - 70000;
    const Placement p = call.frame();
    EXPECT_TRUE(p.new_spurt);
    EXPECT_LE(p.pause_before, 960u);
    call.talk(100);
    EXPECT_LE(call.worst, 960);
  }
}

TEST(Timeline, WrapOfTheTimestamp) {
  Call call;
  call.timestamp = 0xFFFFFFFFu - 960 * 50;
  call.talk(200);
  EXPECT_EQ(call.spurts, 1u);
  EXPECT_EQ(call.worst, 0);
}

// A simple bot freezes its timestamps: without anchors it drifts earlier with every pause.
TEST(Timeline, FreezeOverPausesForAnHour) {
  Call call;
  call.freeze = true;
  call.jitter = 15 * ms;
  while (call.truth < 48000.0 * 3600) {
    call.talk(static_cast<int>(20 + call.random() % 200));
    call.fall_silent(static_cast<int>(2 + call.random() % 4));
    call.pause(static_cast<std::int64_t>(100 * ms + call.random() % 480000));
  }
  EXPECT_LE(call.worst, 960 + call.jitter);
  EXPECT_EQ(call.lost, 0u);
}

TEST(Timeline, FrozenPauseOfAnHour) {
  Call call;
  call.freeze = true;
  call.talk(100);
  call.pause(std::int64_t{48000} * 3600);
  const Placement p = call.frame();
  EXPECT_EQ(p.pause_before, 48000u * 3600);
  EXPECT_TRUE(p.new_spurt);
}

TEST(Timeline, PauseBeyondHalfTheTimestampRange) {
  Call call;
  call.talk(100);
  call.pause(std::int64_t{48000} * 3600 * 15);
  call.talk(100);
  EXPECT_LE(call.worst, 960);
}

TEST(Timeline, AdvanceOverPausesForAnHourWithJitter) {
  for (const std::int64_t jitter : {0 * ms, 15 * ms, 60 * ms}) {
    Call call;
    call.jitter = jitter;
    while (call.truth < 48000.0 * 3600) {
      call.talk(static_cast<int>(20 + call.random() % 200));
      call.fall_silent();
      call.pause(static_cast<std::int64_t>(call.random() % 480000));
    }
    EXPECT_LE(call.worst, 960 + jitter);
    EXPECT_EQ(call.lost, 0u);
  }
}

TEST(Timeline, DriftForAnHourInOneSpurt) {
  for (const double ppm : {-200.0, 200.0}) {
    for (const bool quiet : {false, true}) {
      Call call;
      call.ppm = ppm;
      call.jitter = 5 * ms;
      call.quiet = quiet;
      call.talk(180000);
      EXPECT_LE(call.worst, 960 + call.jitter) << ppm;
      EXPECT_LE(call.largest_step, 120u) << "steps of at most 2.5 ms";
      EXPECT_EQ(call.spurts, 1u);
      // 200 ppm of an hour are 720 ms, by which the clocks really differ.
      EXPECT_NEAR(static_cast<double>(ppm < 0 ? call.paused : call.trimmed), 34560, 1200) << ppm;
    }
  }
}

TEST(Timeline, DriftForAnHourWithPauses) {
  for (const double ppm : {-200.0, 200.0}) {
    for (const bool freeze : {false, true}) {
      Call call;
      call.ppm = ppm;
      call.freeze = freeze;
      call.jitter = 5 * ms;
      while (call.truth < 48000.0 * 3600) {
        call.talk(500);
        call.fall_silent();
        call.pause(static_cast<std::int64_t>(300 * ms + call.random() % 96000));
      }
      EXPECT_LE(call.worst, 960 + call.jitter) << ppm << freeze;
      EXPECT_EQ(call.largest_step, 0u) << "silence is enough to take it up";
    }
  }
}

TEST(Timeline, DriftInEndlessSilenceFrames) {
  Call call;
  call.ppm = 200;
  for (int i = 0; i < 180000; ++i) {
    call.frame(960, 0, true);
  }
  EXPECT_LE(call.worst, 960);
}

TEST(Timeline, SmallDriftInsideASpurtIsLeftAlone) {
  Call call;
  call.ppm = 200;
  call.quiet = true;
  call.talk(2000);  // 8 ms
  EXPECT_EQ(call.trimmed, 0u);
}

TEST(Timeline, LossLastsAsLongAsTheTimestampsSay) {
  Call call;
  call.talk(10);
  call.lose(960 * 3);
  const Placement p = call.frame(960, 3);
  EXPECT_EQ(p.lost_before, 2880u);
  EXPECT_EQ(p.pause_before, 0u);
  EXPECT_FALSE(p.new_spurt);
  call.lose(1200);  // 2.5, 2.5 and 20 ms
  EXPECT_EQ(call.frame(960, 3).lost_before, 1200u);
  EXPECT_EQ(call.worst, 0);
}

TEST(Timeline, ContiguousSequenceAndATimeJumpIsAPause) {
  Call call;
  call.talk(10);
  call.pause(48000);
  const Placement p = call.frame();
  EXPECT_EQ(p.lost_before, 0u);
  EXPECT_EQ(p.pause_before, 48000u);
  EXPECT_TRUE(p.new_spurt);
}

TEST(Timeline, LossAtTheStartOfASpurtIsNotAsLongAsThePause) {
  Call call;
  call.talk(10);
  call.pause(480000);
  call.lose(960);
  const Placement p = call.frame(960, 1);
  EXPECT_EQ(p.lost_before, 960u);
  EXPECT_EQ(p.pause_before, 480000u);
}

TEST(Timeline, LossWithoutRoomInTimeTakesNone) {
  // The last silence frames were lost, and the timestamp stood still.
  Call call;
  call.freeze = true;
  call.talk(10);
  call.frame(960, 3);
  EXPECT_EQ(call.lost, 0u);
}

TEST(Timeline, AnAbsurdLossCannotFillHours) {
  Timeline timeline;
  timeline.place({.timestamp = 1 << 20, .arrival = Time(1s)});
  const Placement p = timeline.place({.timestamp = (1 << 20) + 960 * 1000001ull,
                                      .lost_packets = 1000000,
                                      .arrival = Time(1020ms)});
  EXPECT_LE(p.sample, 48000 * 2);
}

TEST(Timeline, RestartIsAnchoredToArrival) {
  Call call;
  call.talk(50);
  call.timestamp = 12345;
  const Placement p = call.frame(960, 0, false, true);
  EXPECT_TRUE(p.new_spurt);
  EXPECT_EQ(p.lost_before, 0u);
  call.talk(50);
  EXPECT_LE(call.worst, 960);
}

TEST(Timeline, AStallIsTakenBackInTheNextSilence) {
  Call call;
  call.talk(50);
  // The network stands still for 300 ms, then delivers everything at once.
  for (std::int64_t i = 0; i < 15; ++i) {
    call.frame(960, 0, false, false, (15 - i) * 960);
  }
  EXPECT_LE(call.worst, 15 * 960);
  call.talk(20);
  call.fall_silent();
  call.pause(48000);
  call.worst = 0;
  call.talk(50);
  EXPECT_LE(call.worst, 960);
}

TEST(Timeline, AFloodCannotRunFarAhead) {
  Timeline timeline;
  std::uint64_t timestamp = 1 << 20;
  for (int i = 0; i < 100000; ++i, timestamp += 5760) {
    timeline.place({.timestamp = timestamp, .arrival = Time(1s + i * 1us), .duration = 5760});
    ASSERT_LE(timeline.position(), 48000 * 12);
  }
  // And time passing makes it usable again.
  const Placement p = timeline.place({.timestamp = timestamp, .arrival = Time(60s)});
  EXPECT_EQ(p.sample, 48000 * 60);
  EXPECT_EQ(p.trim, 0u);
}

TEST(Timeline, TimestampsThatLieAboutTheDuration) {
  // 950 a packet, 960 in it: the sound is 1 % longer than the timestamps say.
  Timeline timeline;
  std::int64_t end = 0;
  for (int i = 0; i < 5000; ++i) {
    const Placement p = timeline.place({.timestamp = 100000 + 950ull * static_cast<unsigned>(i),
                                        .arrival = Time(1s + duration_from_samples(950 * i)),
                                        .quiet = true});
    ASSERT_GE(p.sample, end);
    end = timeline.position();
    ASSERT_LE(std::abs(p.sample - (48000 + 950 * i)), 1200);
  }
}
