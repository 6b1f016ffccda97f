#include "network_model.hpp"

#include "call.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::loopback;
using namespace std::chrono_literals;

namespace {

std::vector<Fate> fates(const NetworkOptions& options, std::uint64_t seed, int count = 20000) {
  NetworkModel model(options, seed);
  std::vector<Fate> out;
  for (int i = 0; i < count; ++i) {
    out.push_back(model.next(i * 20ms));
  }
  return out;
}

double share_lost(const std::vector<Fate>& all) {
  return 100.0 *
         static_cast<double>(
             std::count_if(all.begin(), all.end(), [](const Fate& f) { return f.lost; })) /
         static_cast<double>(all.size());
}

}  // namespace

TEST(NetworkModel, IsTransparentByDefault) {
  int i = 0;
  for (const Fate& f : fates({}, 1, 100)) {
    EXPECT_FALSE(f.lost);
    EXPECT_FALSE(f.duplicate_at);
    EXPECT_EQ(f.at, Duration(i++ * 20ms));
  }
}

TEST(NetworkModel, RepeatsWithItsSeed) {
  NetworkOptions o;
  o.loss = 10;
  o.jitter = 30ms;
  o.duplicate = 5;
  o.reorder = 5;
  const auto a = fates(o, 4);
  const auto b = fates(o, 4);
  const auto c = fates(o, 5);
  int different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].lost, b[i].lost);
    EXPECT_EQ(a[i].at, b[i].at);
    EXPECT_EQ(a[i].duplicate_at, b[i].duplicate_at);
    different += a[i].lost != c[i].lost;
  }
  EXPECT_GT(different, 0);
}

TEST(NetworkModel, RatesAreWhatWasAsked) {
  NetworkOptions o;
  o.loss = 10;
  EXPECT_NEAR(share_lost(fates(o, 1)), 10, 1);
  o.loss_burst = 4;
  const auto bursts = fates(o, 1);
  EXPECT_NEAR(share_lost(bursts), 10, 1.5);
  int runs = 0;
  int lost = 0;
  for (std::size_t i = 1; i < bursts.size(); ++i) {
    runs += bursts[i].lost && !bursts[i - 1].lost;
    lost += bursts[i].lost;
  }
  EXPECT_NEAR(static_cast<double>(lost) / runs, 4, 0.6);
  o.loss = 100;
  EXPECT_EQ(share_lost(fates(o, 1)), 100);
}

TEST(NetworkModel, AChangedRateKeepsTheOtherDraws) {
  NetworkOptions o;
  o.loss = 10;
  const auto plain = fates(o, 8);
  o.duplicate = 50;
  o.jitter = 10ms;
  const auto more = fates(o, 8);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    ASSERT_EQ(plain[i].lost, more[i].lost) << i;
  }
}

TEST(NetworkModel, JitterKeepsTheOrderAndReorderDoesNot) {
  NetworkOptions o;
  o.jitter = 100ms;
  const auto jittered = fates(o, 2);
  for (std::size_t i = 1; i < jittered.size(); ++i) {
    ASSERT_GE(jittered[i].at, jittered[i - 1].at);
  }
  o.jitter = 0ms;
  o.reorder = 10;
  const auto displaced = fates(o, 2);
  int overtaken = 0;
  for (std::size_t i = 1; i < displaced.size(); ++i) {
    overtaken += displaced[i].at < displaced[i - 1].at;
  }
  EXPECT_NEAR(overtaken, 1800, 250) << "10 % of 20000, fewer where two neighbours are late";
}

TEST(Call, BooksEveryPacketExactlyOnce) {
  auto pcm = std::make_shared<Pcm>();
  pcm->samples.assign(sample_rate * 2, 1000);
  CallOptions options;
  options.guild_id = 1;
  options.network.loss = 15;
  options.network.reorder = 15;
  options.network.duplicate = 15;
  for (std::uint64_t user = 1; user <= 3; ++user) {
    TalkerOptions t;
    t.speaker.user_id = user;
    t.speaker.ssrc = static_cast<std::uint32_t>(user);
    t.speaker.spurts = {{pcm, 0ms, 0, 0}};
    options.talkers.push_back(t);
  }
  Call call(options, 3);
  EXPECT_FALSE(call.next_deadline());
  Time now = time_from_ns(1'000'000'000);
  call.start(now);
  std::uint64_t forwarded = 0;
  while (!call.finished()) {
    const Deadline next = call.next_deadline();
    ASSERT_TRUE(next);
    ASSERT_GE(*next, now) << "time never runs backwards";
    now = *next;
    call.advance(now, [&](const Packet&) {
      ++forwarded;
      return 1u;
    });
  }
  std::uint64_t delivered = 0;
  for (const auto& t : call.talkers()) {
    const SpeakerTruth& truth = t->truth;
    EXPECT_EQ(truth.packets, truth.delivered + truth.lost);
    EXPECT_EQ(truth.records.size(), truth.packets);
    EXPECT_GT(truth.displaced, 0u);
    EXPECT_GT(truth.lost, 0u);
    delivered += truth.delivered + truth.duplicated;
    std::uint64_t copies = 0;
    for (const FrameRecord& r : truth.records) {
      copies += r.copies;
      EXPECT_EQ(r.lost, r.copies == 0);
    }
    EXPECT_EQ(copies, truth.delivered + truth.duplicated);
  }
  EXPECT_EQ(delivered, forwarded);
}
