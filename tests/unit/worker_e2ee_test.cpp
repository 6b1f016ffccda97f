// End-to-end encrypted calls in worker processes, against one receiver in this process.
#include "e2ee_rig.hpp"
#include "pool_rig.hpp"

#include <signal.h>
#include <fstream>
#include <thread>

using namespace discord;
using namespace discord::rig;
using namespace discord::worker;

namespace {

// The keys are stamped on a clock of their own.
constexpr Duration key_clock = 1000s;

std::vector<std::uint64_t> users(std::size_t speakers) {
  std::vector<std::uint64_t> out;
  for (std::uint32_t s = 0; s < speakers; ++s) {
    out.push_back(user_of(1000 + s));
  }
  return out;
}

// One thing after the other: what the control thread says, and datagrams.
struct Step {
  enum class Kind { datagram, map, keys, retire, admit, need_users } kind;
  Time at;
  OnWire datagram = {};
  std::uint32_t ssrc = 0;
  std::uint64_t user = 0;
  dave::MediaKeysPtr keys = {};
  media::Admission admission = media::Admission::allowed;
};
std::vector<Step> steps_of(const std::vector<OnWire>& datagrams) {
  std::vector<Step> out;
  for (const OnWire& d : datagrams) {
    out.push_back({Step::Kind::datagram, d.arrival, d});
  }
  return out;
}
void add(std::vector<Step>& steps, Step step) {
  const auto at =
      std::find_if(steps.begin(), steps.end(), [&](const Step& s) { return s.at >= step.at; });
  steps.insert(at, std::move(step));
}
Step publish(dave::MediaKeysPtr keys, Time at) {
  return {Step::Kind::keys, at, {}, 0, 0, std::move(keys)};
}
Step admit(std::uint32_t ssrc, media::Admission admission, Time at) {
  return {Step::Kind::admit, at, {}, 0, user_of(ssrc), {}, admission};
}
Step map(std::uint32_t ssrc, Time at) {
  return {Step::Kind::map, at, {}, ssrc, user_of(ssrc), {}};
}

struct Outcome {
  Collector out;
  media::Ledger ledger;
  std::vector<media::SpeakerStats> speakers;
};
Outcome in_this_process(const std::vector<Step>& steps, media::ReceiverConfig config = {}) {
  Outcome run;
  media::Receiver receiver(config);
  receiver.set_key(1, mode, key(), Time{}, run.out);
  std::uint64_t id = 0;
  for (const Step& s : steps) {
    switch (s.kind) {
      case Step::Kind::datagram:
        receiver.push(s.datagram.bytes, ++id, s.at, run.out);
        break;
      case Step::Kind::map:
        receiver.map_user(s.ssrc, s.user, s.at, run.out);
        break;
      case Step::Kind::keys:
        receiver.set_media_keys(s.keys, s.at + key_clock, s.at, run.out);
        break;
      case Step::Kind::retire:
        receiver.retire(s.ssrc, s.at, run.out);
        break;
      case Step::Kind::admit:
        receiver.admit(s.user, s.admission, s.at, run.out);
        break;
      case Step::Kind::need_users:
        receiver.need_users(true, s.at, run.out);
        break;
    }
    receiver.clear_finished();
    receiver.clear_touched();
  }
  receiver.drain(steps.back().at, run.out);
  run.ledger = receiver.ledger();
  run.speakers = receiver.speakers();
  return run;
}
template <class Between>
void in_workers(Pool& pool, const std::vector<Step>& steps, Between&& between) {
  pool.set_key(1, mode, key(), Time{});
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    switch (s.kind) {
      case Step::Kind::datagram:
        pool.push(s.datagram.bytes, s.at);
        break;
      case Step::Kind::map:
        pool.map_user(s.ssrc, s.user, s.at);
        break;
      case Step::Kind::keys:
        pool.set_media_keys(s.keys, s.at + key_clock, s.at);
        break;
      case Step::Kind::retire:
        pool.retire(s.ssrc, s.at);
        break;
      case Step::Kind::admit:
        pool.admit(s.user, s.admission, s.at);
        break;
      case Step::Kind::need_users:
        pool.need_users(true, s.at);
        break;
    }
    between(i);
  }
  pool.drain(steps.back().at);
}
void in_workers(Pool& pool, const std::vector<Step>& steps) {
  in_workers(pool, steps, [](std::size_t) {});
}

// Everybody is known and has a key before the first word.
std::vector<Step> settled_call(std::size_t speakers, std::size_t packets, const Weather& weather,
                               Group& group, Members& members) {
  const auto datagrams =
      call(speakers, packets, weather, 1000, [&](std::uint32_t ssrc, Time, const Bytes& opus) {
        return members.seal(1, user_of(ssrc), opus);
      });
  group.add(users(speakers), Time(key_clock));
  auto steps = steps_of(datagrams);
  for (std::uint32_t s = 0; s < speakers; ++s) {
    add(steps, map(1000 + s, Time{}));
  }
  add(steps, publish(group.keys(), Time{}));
  return steps;
}

const std::vector<Weather> weathers = {Weather{}, Weather{0.1, 0.1, 0, 0, 0ms, 2},
                                       Weather{0.05, 0.7, 0.1, 0.1, 15ms, 3},
                                       Weather{0.5, 0.5, 0.3, 0.3, 60ms, 4}};

}  // namespace

TEST(WorkerE2ee, SameAsInThisProcessForEveryWeather) {
  for (const Weather& weather : weathers) {
    Group group;
    Members members;
    const auto steps = settled_call(10, 100, weather, group, members);
    const Outcome expected = in_this_process(steps);
    ASSERT_EQ(expected.out.tracks.size(), 10u);
    Watcher watcher;
    Pool pool(config(2), watcher);
    in_workers(pool, steps);
    EXPECT_EQ(watcher.failure(), "");
    EXPECT_EQ(watcher.count(WorkerEvent::What::lost), 0u);
    expect_same(expected.out.tracks, watcher.tracks());
    EXPECT_EQ(pool.ledger(), expected.ledger);
  }
}

// Users and keys come after the first words, users one by one, keys in two epochs.
TEST(WorkerE2ee, FirstWordsWaitAsInThisProcess) {
  Members members;
  const auto datagrams = call(12, 60, Weather{0.02, 0.3, 0.1, 0.05, 5ms, 6}, 1000,
                              [&](std::uint32_t ssrc, Time, const Bytes& opus) {
                                return members.seal(ssrc < 1006 ? 1 : 2, user_of(ssrc), opus);
                              });
  Group group;
  auto steps = steps_of(datagrams);
  group.add({}, Time(key_clock));
  group.next = 1;
  add(steps, publish(group.keys(), Time(0ms)));
  group.add({users(6)}, Time(key_clock));
  for (std::uint32_t s = 0; s < 12; ++s) {
    add(steps, map(1000 + s, Time(1050ms) + s * 60ms));
  }
  add(steps, publish(group.keys(), Time(1300ms)));
  group.add(users(12), Time(key_clock + 1600ms));
  add(steps, publish(group.keys(), Time(1600ms)));
  const Outcome expected = in_this_process(steps);
  EXPECT_EQ(expected.ledger.no_key + expected.ledger.no_user, 0u);
  ASSERT_EQ(expected.out.tracks.size(), 12u);
  Watcher watcher;
  Pool pool(config(2), watcher);
  in_workers(pool, steps);
  expect_same(expected.out.tracks, watcher.tracks());
  EXPECT_EQ(pool.ledger(), expected.ledger);
}

TEST(WorkerE2ee, WhatNeverGetsAKeyIsCountedAsInThisProcess) {
  Members members;
  const auto datagrams =
      call(3, 160, Weather{}, 1000, [&](std::uint32_t ssrc, Time, const Bytes& o) {
        return ssrc == 1001 ? o : members.seal(ssrc == 1002 ? 9 : 1, user_of(ssrc), o);
      });
  Group group;
  group.add({user_of(1001), user_of(1002)}, Time(key_clock));
  auto steps = steps_of(datagrams);
  for (std::uint32_t s = 0; s < 3; ++s) {
    add(steps, map(1000 + s, Time{}));
  }
  add(steps, publish(group.keys(), Time{}));
  const Outcome expected = in_this_process(steps);
  Watcher watcher;
  Pool pool(config(), watcher);
  in_workers(pool, steps);
  const media::Ledger ledger = pool.ledger();
  EXPECT_EQ(ledger, expected.ledger);
  EXPECT_GT(ledger.no_key, 100u);       // 1000 has no key
  EXPECT_GT(ledger.not_a_frame, 100u);  // 1001 is in the clear
  EXPECT_GT(ledger.bad_tag, 100u);      // 1002 has another key
  EXPECT_EQ(ledger.played, 0u);
}

// Keys of the next epoch come before senders use them, the old epoch ends later; workers die
// meanwhile.
TEST(WorkerE2ee, TransitionsLoseNothingThoughWorkersDie) {
  Members members;
  const Time change(2000ms);
  const Weather weather{0.03, 0.3, 0.1, 0.02, 10ms, 9};
  const auto datagrams =
      call(6, 140, weather, 1000, [&](std::uint32_t ssrc, Time when, const Bytes& opus) {
        return members.seal(when + Duration(ssrc % 3 * 100ms) < change ? 1 : 2, user_of(ssrc),
                            opus);
      });
  Group group;
  auto steps = steps_of(datagrams);
  for (std::uint32_t s = 0; s < 6; ++s) {
    add(steps, map(1000 + s, Time{}));
  }
  group.add(users(6), Time(key_clock));
  add(steps, publish(group.keys(), Time{}));
  const auto next = group.add(users(6), Time(key_clock + 1500ms));
  add(steps, publish(group.keys(), Time(1500ms)));
  group.epochs.execute(next, Time(key_clock) + 2100ms);
  add(steps, publish(group.keys(), Time(2100ms)));
  const Outcome expected = in_this_process(steps);
  EXPECT_EQ(expected.ledger.undecryptable(), 0u);
  for (unsigned seed = 1; seed <= 3; ++seed) {
    Watcher watcher;
    Pool pool(config(2), watcher);
    in_workers(pool, steps, [&](std::size_t i) {
      if (i % 100 == 33 * seed) {
        watcher.wait_for_frames(i / 2);
        for (const pid_t pid : pool.pids()) {
          kill(pid, SIGKILL);
        }
      }
    });
    EXPECT_GT(watcher.count(WorkerEvent::What::lost), 3u);
    expect_same_places(expected.out.tracks, watcher.tracks());
    EXPECT_EQ(pool.ledger(), expected.ledger);
  }
}

// The last thousand datagrams once more, as they were and as new datagrams around the same frames.
TEST(WorkerE2ee, ReplayAfterAKillIsRefused) {
  Members members;
  struct Kept {
    std::uint32_t ssrc;
    Bytes frame;
  };
  std::vector<Kept> frames;
  const auto datagrams =
      call(8, 140, Weather{}, 1000, [&](std::uint32_t ssrc, Time, const Bytes& opus) {
        frames.push_back({ssrc, members.seal(1, user_of(ssrc), opus)});
        return frames.back().frame;
      });
  Group group;
  group.add(users(8), Time(key_clock));
  auto steps = steps_of(datagrams);
  for (std::uint32_t s = 0; s < 8; ++s) {
    add(steps, map(1000 + s, Time{}));
  }
  add(steps, publish(group.keys(), Time{}));
  Watcher watcher;
  Pool pool(config(2), watcher);
  in_workers(pool, steps);
  const media::Ledger before = pool.ledger();
  ASSERT_EQ(before.played + before.silence, datagrams.size());
  const auto pids = pool.pids();
  ASSERT_FALSE(pids.empty());
  for (const pid_t pid : pids) {
    kill(pid, SIGKILL);
  }
  ASSERT_TRUE(watcher.wait_for(WorkerEvent::What::lost, pids.size()));
  const Time later = datagrams.back().arrival + 1ms;
  const std::size_t count = std::min<std::size_t>(1000, datagrams.size());
  for (std::size_t i = datagrams.size() - count; i < datagrams.size(); ++i) {
    pool.push(datagrams[i].bytes, later);
  }
  pool.drain(later);
  EXPECT_EQ(pool.ledger().duplicate, before.duplicate + count);
  Sealer sealer;
  std::map<std::uint32_t, std::uint16_t> sequence;
  for (std::size_t i = frames.size() - count; i < frames.size(); ++i) {
    const Kept& f = frames[i];
    const std::uint16_t n = sequence[f.ssrc]++;
    pool.push(sealer
                  .seal(f.ssrc, static_cast<std::uint16_t>(20000 + n), 1000000u + n * 960u, f.frame,
                        later)
                  .bytes,
              later);
  }
  pool.drain(later);
  const media::Ledger after = pool.ledger();
  EXPECT_EQ(after.replayed, count);
  EXPECT_EQ(after.played + after.silence, before.played + before.silence);
  EXPECT_TRUE(after.adds_up());
}

// A user who comes back under another SSRC, maybe at another worker, has still sent what it has
// sent.
TEST(WorkerE2ee, FramesOfOneSsrcAreNotOpenedAgainUnderAnother) {
  Members members;
  std::vector<Bytes> frames;
  const auto datagrams = call(1, 60, Weather{}, 1000, [&](std::uint32_t, Time, const Bytes& opus) {
    frames.push_back(members.seal(1, user_of(1000), opus));
    return frames.back();
  });
  Group group;
  group.add(users(20), Time(key_clock));
  Watcher watcher;
  Pool pool(config(2), watcher);
  auto steps = steps_of(datagrams);
  for (std::uint32_t s = 0; s < 20; ++s) {
    add(steps, map(1000 + s, Time{}));
  }
  add(steps, publish(group.keys(), Time{}));
  in_workers(pool, steps);
  const Time later = datagrams.back().arrival + 1s;
  pool.retire(1000, later);
  for (std::uint32_t s = 1; s < 12; ++s) {
    pool.retire(1000 + s, later);  // so that the other worker has fewer
  }
  pool.map_user(5000, user_of(1000), later);
  Sealer sealer;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    pool.push(sealer
                  .seal(5000, static_cast<std::uint16_t>(i), static_cast<std::uint32_t>(i) * 960,
                        frames[i], later)
                  .bytes,
              later);
  }
  pool.drain(later);
  EXPECT_EQ(pool.ledger().replayed, frames.size());
  EXPECT_FALSE(watcher.tracks().contains(5000));
}

// More members than there is room for secrets at once; and none of them stays behind.
TEST(WorkerE2ee, HundredsOfKeysPassThroughOnePageAndAreWiped) {
  Members members;
  std::vector<std::uint64_t> all;
  for (std::uint32_t s = 0; s < 1000; ++s) {
    all.push_back(user_of(1000 + s));
  }
  Group group;
  group.add(all, Time(key_clock));
  group.add(all, Time(key_clock));
  const auto datagrams = call(1, 5, Weather{}, 1999, [&](std::uint32_t ssrc, Time, const Bytes& o) {
    return members.seal(2, user_of(ssrc), o);
  });
  auto steps = steps_of(datagrams);
  add(steps, map(1999, Time{}));
  add(steps, publish(group.keys(), Time{}));
  Watcher watcher;
  Pool pool(config(), watcher);
  in_workers(pool, steps);
  EXPECT_EQ(pool.ledger().played, 5u);
  EXPECT_EQ(watcher.count(WorkerEvent::What::lost), 0u);
  std::ifstream maps("/proc/self/maps");
  std::string line;
  std::size_t seen = 0;
  while (std::getline(maps, line)) {
    if (line.find("discord-worker-input") == std::string::npos ||
        line.find(" 00001000 ") == std::string::npos) {
      continue;
    }
    const auto* memory = reinterpret_cast<const std::uint8_t*>(std::stoull(line, nullptr, 16));
    EXPECT_TRUE(std::all_of(memory, memory + page_size, [](auto b) { return b == 0; }));
    ++seen;
  }
  EXPECT_GE(seen, 1u);
}

TEST(WorkerE2ee, SpeakersRowsAreThoseOfOneReceiver) {
  Group group;
  Members members;
  auto steps = settled_call(4, 80, Weather{0.05, 0.3, 0.1, 0.1, 10ms, 3}, group, members);
  // One more whom nobody announces: held to the end.
  const Time end = steps.back().at;
  Sealer sealer;
  steps.push_back({Step::Kind::datagram, end,
                   sealer.seal(7777, 1, 960, members.seal(1, 1, {0x78, 1, 2}), end)});
  const Outcome expected = in_this_process(steps);
  Watcher watcher;
  Pool pool(config(2), watcher);
  in_workers(pool, steps, [&](std::size_t i) {
    if (i % 50 == 0) {
      EXPECT_TRUE(pool.ledger().adds_up());
      for (const auto& row : pool.speakers()) {
        EXPECT_TRUE(row.ledger.adds_up());
      }
    }
    if (i == steps.size() / 2) {
      watcher.wait_for_frames(i / 2);
      kill(pool.pids().at(0), SIGKILL);
    }
  });
  const auto rows = pool.speakers();
  ASSERT_EQ(rows.size(), expected.speakers.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].ssrc, expected.speakers[i].ssrc);
    EXPECT_EQ(rows[i].user_id, expected.speakers[i].user_id);
    EXPECT_EQ(rows[i].ledger, expected.speakers[i].ledger) << rows[i].ssrc;
    EXPECT_TRUE(rows[i].ledger.adds_up());
  }
}

// One is denied from the start, one in the middle and then allowed again, one only after its
// packets have come; for one it takes a while to be decided.
TEST(WorkerE2ee, WhoIsHeardIsTheSameAsInThisProcess) {
  Group group;
  Members members;
  auto steps = settled_call(5, 80, Weather{0.05, 0.3, 0.1, 0.1, 10ms, 3}, group, members);
  std::erase_if(steps, [](const Step& s) { return s.kind == Step::Kind::map && s.ssrc == 1002; });
  using media::Admission;
  for (Step first :
       {admit(1000, Admission::denied, Time{}), admit(1003, Admission::undecided, Time{}),
        Step{Step::Kind::need_users, Time{}}}) {
    steps.insert(steps.begin(), std::move(first));
  }
  const Time start = steps[steps.size() / 4].at;
  add(steps, map(1002, start));
  add(steps, admit(1002, Admission::denied, start));
  add(steps, admit(1003, Admission::allowed, start));
  add(steps, admit(1001, Admission::denied, start + 200ms));
  add(steps, admit(1001, Admission::allowed, start + 600ms));
  const Outcome expected = in_this_process(steps);
  ASSERT_EQ(expected.out.tracks.size(), 3u);
  EXPECT_GT(expected.ledger.denied, 150u);
  for (const bool killed : {false, true}) {
    SCOPED_TRACE(killed);
    Watcher watcher;
    Pool pool(config(2), watcher);
    in_workers(pool, steps, [&](std::size_t i) {
      // As in a live call: what was before a change has been answered when it comes.
      const bool change = i + 1 < steps.size() && steps[i + 1].kind == Step::Kind::admit;
      if (change || i == steps.size() * 3 / 4) {
        while (pool.queued() > 0) {
          std::this_thread::yield();
        }
      }
      if (killed && i == steps.size() * 3 / 4) {
        for (const pid_t pid : pool.pids()) {
          kill(pid, SIGKILL);
        }
      }
    });
    const auto tracks = watcher.tracks();
    expect_same_places(expected.out.tracks, tracks);
    EXPECT_EQ(pool.ledger(), expected.ledger);
    std::set<std::uint64_t> seen;
    for (const auto& row : pool.speakers()) {
      seen.insert(row.user_id);
      EXPECT_TRUE(row.ledger.adds_up());
    }
    EXPECT_EQ(seen, (std::set{user_of(1001), user_of(1003), user_of(1004)}));
  }
}

// Without decoding: a hole is one report with what was lost, and then the packet behind it.
TEST(WorkerE2ee, HolesAreToldWhereNothingIsDecoded) {
  Group group;
  Members members;
  auto steps = settled_call(2, 60, Weather{0.1, 0.3, 0.1, 0, 5ms, 5}, group, members);
  media::ReceiverConfig receiver;
  receiver.decode = false;
  const Outcome expected = in_this_process(steps, receiver);
  std::size_t holes = 0;
  for (const auto& [ssrc, frames] : expected.out.tracks) {
    for (const Frame& f : frames) {
      holes += f.kind == FrameKind::plc;
      EXPECT_EQ(f.kind == FrameKind::plc, f.opus.empty());
    }
  }
  EXPECT_GT(holes, 3u);
  PoolConfig pool_config = config();
  pool_config.receiver = receiver;
  Watcher watcher;
  Pool pool(pool_config, watcher);
  in_workers(pool, steps);
  expect_same(expected.out.tracks, watcher.tracks());
}

// Frames that fail for seconds: the group's owner is asked, once a minute at most, whatever a
// worker says.
TEST(WorkerE2ee, LongFailureAsksForRecoveryOnce) {
  Members members;
  const auto datagrams = call(
      1, 140, Weather{}, 1000,
      [&](std::uint32_t ssrc, Time, const Bytes& o) { return members.seal(9, user_of(ssrc), o); });
  Group group;
  group.add(users(1), Time(key_clock));
  auto steps = steps_of(datagrams);
  add(steps, map(1000, Time{}));
  add(steps, publish(group.keys(), Time{}));
  Watcher watcher;
  Pool pool(config(), watcher);
  in_workers(pool, steps);
  EXPECT_EQ(watcher.undecryptable_users(), (std::vector<std::uint64_t>{user_of(1000)}));
}
