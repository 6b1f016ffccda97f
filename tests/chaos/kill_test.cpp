// Workers are killed at random places of a call of fifty people who read aloud, and nobody loses a
// packet. A short one belongs to every test run; `tests/chaos/run` does a minute of it.
#include "chaos_options.hpp"
#include "corpus.hpp"
#include "tests/unit/pool_rig.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::rig;

namespace {

constexpr std::size_t speakers = 50;
constexpr std::uint32_t first_ssrc = 1000;
constexpr std::size_t second = 50;  // packets

// One frame that was delivered, beside the one of an undisturbed run.
struct Compared {
  double signal = 0;
  double noise = 0;
};

// Runs an undisturbed receiver a little ahead of the pool and compares what comes out.
class Comparison final : public PoolObserver {
 public:
  Comparison() : receiver_(media::ReceiverConfig()) {
    for (std::uint32_t s = 0; s < speakers; ++s) {
      receiver_.map_user(first_ssrc + s, user_of(first_ssrc + s), Time{}, expected_);
    }
    receiver_.set_key(1, mode, corpus::some_key(), Time{}, expected_);
  }

  void expect(const corpus::Datagram& d) {
    Lock lock(mutex_);
    receiver_.push(d.bytes, 1, d.arrival, expected_);
    receiver_.clear_finished();
  }
  void frame(const DecodedFrame& f) override {
    const Frame got = copy(f);
    Lock lock(mutex_);
    auto& waiting = expected_.tracks[f.ssrc];
    const std::size_t index = compared_[f.ssrc].size();
    ++frames_;
    changed_.notify_all();
    if (index >= waiting.size()) {
      ++wrong_;  // more than there should be
      return;
    }
    Frame& want = waiting[index];
    wrong_ += want.sample != got.sample || want.opus != got.opus || want.kind != got.kind ||
              want.user_id != got.user_id || want.pcm.size() != got.pcm.size();
    Compared c;
    for (std::size_t i = 0; i < std::min(want.pcm.size(), got.pcm.size()); ++i) {
      const double a = want.pcm[i];
      const double b = got.pcm[i];
      c.signal += a * a;
      c.noise += (a - b) * (a - b);
    }
    compared_[f.ssrc].push_back(c);
    want = Frame{};  // its sound has been heard
  }
  void speaking(std::uint32_t, std::uint64_t, bool, Time) override {}
  void rtcp(ByteSpan, Time) override {}
  void deadline(Deadline, Deadline) override {}
  void event(const WorkerEvent& event) override {
    Lock lock(mutex_);
    lost_ += event.what == WorkerEvent::What::lost;
    skipped_ += event.what == WorkerEvent::What::skipped;
    blamed_ += event.blamed;
    changed_.notify_all();
  }
  void failed(const std::string& reason) override {
    Lock lock(mutex_);
    failure_ = reason;
    changed_.notify_all();
  }

  // Until so many frames have come; false when nothing moves for long.
  bool wait_for_frames(std::size_t n) {
    Lock lock(mutex_);
    return changed_.wait_for(lock.native(), 60s, [&] {
      return frames_ >= n || !failure_.empty();
    }) && failure_.empty();
  }
  bool wait_for_lost(std::size_t n) {
    Lock lock(mutex_);
    return changed_.wait_for(lock.native(), 60s, [&] { return lost_ >= n; });
  }
  // Of each speaker, the number of frames so far.
  std::vector<std::size_t> positions() {
    Lock lock(mutex_);
    std::vector<std::size_t> out;
    for (std::uint32_t s = 0; s < speakers; ++s) {
      out.push_back(compared_[first_ssrc + s].size());
    }
    return out;
  }
  std::vector<Compared> compared(std::uint32_t ssrc) {
    Lock lock(mutex_);
    return compared_[ssrc];
  }
  std::size_t wrong() const { return wrong_; }
  std::size_t skipped() const { return skipped_; }
  std::size_t blamed() const { return blamed_; }
  std::size_t lost() const { return lost_; }
  const std::string& failure() const { return failure_; }

 private:
  Mutex mutex_;
  std::condition_variable changed_;
  Collector expected_;
  media::Receiver receiver_;
  std::map<std::uint32_t, std::vector<Compared>> compared_;
  std::size_t frames_ = 0;
  std::size_t wrong_ = 0;
  std::size_t lost_ = 0;
  std::size_t skipped_ = 0;
  std::size_t blamed_ = 0;
  std::string failure_;
};

// 10 log10 over the packets from `begin` on; nothing for silence, where the rounding of one sample
// in the last bit would be called noise.
std::optional<double> snr(const std::vector<Compared>& track, std::size_t begin) {
  Compared sum;
  const std::size_t end = std::min(track.size(), begin + second);
  for (std::size_t i = begin; i < end; ++i) {
    sum.signal += track[i].signal;
    sum.noise += track[i].noise;
  }
  constexpr double quiet = 150.0 * 150.0;  // -47 dBFS
  const double samples = 2.0 * 960.0 * static_cast<double>(end - begin);
  if (end < begin + second || sum.signal < quiet * samples || sum.noise == 0) {
    return std::nullopt;
  }
  return 10 * std::log10(sum.signal / sum.noise);
}

}  // namespace

TEST(Chaos, KillOfARandomWorkerEvery100MsLosesNoPacket) {
  const std::size_t seconds = chaos::seconds();
  const auto talks = corpus::speech(10, seconds * second);
  if (!talks) {
    GTEST_SKIP() << talks.error();
  }
  const auto datagrams =
      corpus::call(*talks, speakers, seconds * second, mode, corpus::some_key(), first_ssrc);
  Comparison comparison;
  PoolConfig settings = config(4);
  settings.worker_timeout = 30s;
  Pool pool(settings, comparison);
  announce(pool, speakers);
  pool.set_key(1, mode, corpus::some_key(), Time{});

  std::mt19937 random(chaos::seed());
  std::vector<std::vector<std::size_t>> kills;  // where each speaker was
  pid_t spared = 0;  // the first worker: its speakers must notice nothing
  constexpr std::size_t a_tenth = speakers * 5;
  std::size_t replayed = 0;
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    comparison.expect(datagrams[i]);
    pool.push(datagrams[i].bytes, datagrams[i].arrival);
    if (i % a_tenth == a_tenth / 2) {
      // So that the next kill finds workers which have done something since the last.
      ASSERT_TRUE(comparison.wait_for_frames(i + 1)) << comparison.failure();
      spared = spared != 0 ? spared : pool.pids().at(0);
    }
    if (i % a_tenth == a_tenth - 1 && i > second * speakers) {
      auto pids = pool.pids();
      std::erase(pids, spared);
      ASSERT_FALSE(pids.empty());
      kills.push_back(comparison.positions());
      ASSERT_EQ(kill(pids[random() % pids.size()], SIGKILL), 0);
      if (kills.size() % 10 == 0) {
        // What was authentic before the kill is a replay after it, whoever looks at it.
        for (std::size_t n = i + 1 - 1000; n <= i; ++n) {
          pool.push(datagrams[n].bytes, datagrams[i].arrival);
          ++replayed;
        }
      }
    }
  }
  pool.drain(datagrams.back().arrival);
  EXPECT_TRUE(comparison.wait_for_lost(kills.size()));
  EXPECT_EQ(comparison.failure(), "");
  EXPECT_EQ(comparison.lost(), kills.size());
  EXPECT_EQ(comparison.blamed(), 0u);
  EXPECT_EQ(comparison.skipped(), 0u);
  EXPECT_EQ(comparison.wrong(), 0u) << "frames at another place, or of another packet";
  const media::Ledger ledger = pool.ledger();
  EXPECT_TRUE(ledger.adds_up());
  EXPECT_EQ(ledger.received, datagrams.size() + replayed);
  EXPECT_EQ(ledger.played, datagrams.size()) << "every packet that was delivered was decoded, once";
  EXPECT_EQ(ledger.duplicate, replayed) << "no replay was accepted";

  std::size_t identical = 0;
  std::size_t count = 0;
  double sum = 0;
  double worst = 1000;
  for (std::uint32_t s = 0; s < speakers; ++s) {
    const auto track = comparison.compared(first_ssrc + s);
    const bool same =
        std::all_of(track.begin(), track.end(), [](const Compared& c) { return c.noise == 0; });
    identical += same;
    EXPECT_TRUE(s >= 8 || same) << "speaker " << s << " is the spared worker's";
    for (const auto& positions : kills) {
      if (const auto db = snr(track, positions[s])) {
        sum += *db;
        worst = std::min(worst, *db);
        ++count;
      }
    }
  }
  ASSERT_GT(count, 0u);
  const double mean = sum / static_cast<double>(count);
  std::printf(
      "%zu kills in %zu s of a call of %zu: %zu datagrams, all decoded once; %zu replayed, none "
      "accepted; %zu speakers bit-identical; %zu seconds after a kill that differ at all: SNR mean "
      "%.1f dB, worst %.1f dB\n",
      kills.size(), seconds, speakers, datagrams.size(), replayed, identical, count, mean, worst);
  EXPECT_GE(mean, 60);
  EXPECT_GE(worst, 45);
}
