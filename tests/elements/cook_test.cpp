// The Matroska file of a journal: long silence, large packets, damage and a full disk.
#include "elements/cook.hpp"
#include "record/journal.hpp"
#include "record/opustrack.hpp"
#include "temp_folder.hpp"
#include "track_reader.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <algorithm>
#include <csignal>
#include <fstream>
#include <limits>

namespace {

using namespace discord;
using namespace discord::test;

// A journal, and the Matroska file that is made of it.
class Cook : public testing::Test {
 protected:
  Cook() { encoder_.append(record::JournalSession{}, journal_); }

  void packet(std::uint32_t user, std::int64_t sample, ByteSpan opus) {
    record::JournalPacket p;
    p.sample = sample;
    p.user_id = user;
    p.ssrc = user;
    p.opus = opus;
    encoder_.append(p, journal_);
  }
  void loss(std::uint32_t user, std::int64_t sample) {
    encoder_.append(record::JournalLoss{sample, 960, user, user, 0, 1}, journal_);
  }
  void write() const {
    std::ofstream(temp_.path / "x.journal", std::ios::binary)
        .write(reinterpret_cast<const char*>(journal_.data()),
               static_cast<std::streamsize>(journal_.size()));
  }
  Result<CookedFile, std::string> cook(const std::string& name = "x.journal") const {
    const auto folder = open_record_folder(temp_.path.string());
    return folder.ok() ? cook_matroska(temp_.path / name, *folder, "x") : Failure{folder.error()};
  }

  TempFolder temp_;

 private:
  record::JournalEncoder encoder_{1};
  Bytes journal_;
};

// An hour in which one speaks at the start and one at the end: neither fills the memory.
TEST_F(Cook, TracksOfVeryDifferentTimes) {
  const Bytes opus = {0x78, 1, 2, 3};
  const auto speak = [&](std::uint32_t user, std::int64_t from) {
    for (int i = 0; i < 500; i++) {
      packet(user, from + i * 960, opus);
    }
  };
  const std::int64_t hour = std::int64_t{48000} * 3600;
  speak(7, 0);
  speak(9, hour - 500 * 960);
  write();
  const auto cooked = cook();
  ASSERT_TRUE(cooked.ok()) << cooked.error();
  EXPECT_EQ(cooked->duration, 3600 * GST_SECOND);
  EXPECT_EQ(cooked->tracks, 2u);
  EXPECT_LT(fs::file_size(cooked->path), 3u << 20);
}

// A track that was full waited for the silence of another, which was only made when more had been
// read: the largest packets there are made the recorder wait for ever.
TEST_F(Cook, TheLargestPacketsDoNotWaitForASilentTrack) {
  Bytes opus(1276, 0x55);
  opus[0] = 28 << 3;  // one frame of 2.5 ms
  for (const std::uint32_t user : {7u, 9u}) {
    const std::int64_t seconds = user == 7 ? 1 : 30;
    for (std::int64_t sample = 0; sample < 48000 * seconds; sample += 120) {
      packet(user, sample, opus);
    }
  }
  write();
  const auto cooked = cook();
  ASSERT_TRUE(cooked.ok()) << cooked.error();
  EXPECT_EQ(cooked->duration, 30 * GST_SECOND);
}

// What nobody said was put into one track's queue before the others heard of it: for three days two
// million packets of two bytes, more than 2 GB.
TEST_F(Cook, LongSilenceTakesNoMemory) {
  const Bytes opus = {0x78, 1, 2, 3};
  const std::int64_t pause = std::int64_t{48000} * 3600 * 12;
  for (const std::uint32_t user : {7u, 9u}) {
    packet(user, user == 7 ? 0 : pause, opus);
  }
  // Of a loss that is told of before anybody came so far, likewise.
  loss(7, pause / 2);
  rusage before;
  getrusage(RUSAGE_SELF, &before);
  write();
  const auto cooked = cook();
  ASSERT_TRUE(cooked.ok()) << cooked.error();
  EXPECT_EQ(cooked->duration, 12 * 3600 * GST_SECOND + 20 * GST_MSECOND);
  rusage after;
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 60 << 10) << "kB";
}

// The sink fails in one track's thread; the reader waited for ever for room in another's queue.
TEST_F(Cook, AFullDiskIsToldOf) {
  Bytes opus(100, 0x55);
  opus[0] = 28 << 3;  // 2.5 ms
  for (std::int64_t i = 0; i < 80000; i++) {
    for (const std::uint32_t user : {7u, 9u}) {
      if (user == 9 || i < 400) {
        packet(user, i * 120, opus);
      }
    }
  }
  write();
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {64 << 10, before.rlim_max};
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const auto cooked = cook();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old);
  EXPECT_FALSE(cooked.ok());
  EXPECT_TRUE(temp_.files(".mka").empty()) << "what is half a file is taken away";
}

// A position that damage made is not filled up to.
TEST_F(Cook, APacketOfAnotherCenturyIsLeftOut) {
  const Bytes opus = {0x78, 1, 2, 3};
  constexpr std::int64_t century = std::int64_t{1} << 47;
  for (const std::int64_t sample :
       {std::int64_t{0}, century, std::numeric_limits<std::int64_t>::min(), std::int64_t{960}}) {
    for (const std::uint32_t user : {7u, 9u}) {
      packet(user, sample, opus);
      loss(user, sample);
    }
  }
  write();
  const auto cooked = cook();
  ASSERT_TRUE(cooked.ok()) << cooked.error();
  EXPECT_LT(fs::file_size(cooked->path), 20u << 10);
}

// Of a sender whose clock was 200 ppm fast no packet was ever left out, so that after an hour all
// it said lay 34361 samples late, where the Ogg file of the same call had it in its place.
TEST_F(Cook, AFastSenderThatNeverPausesKeepsItsPlace) {
  constexpr std::int64_t step = 954;  // 6250 ppm: a minute is as telling as half an hour
  std::vector<Bytes> packets;
  for (std::uint32_t i = 0; i < 3000; i++) {
    packets.push_back(
        {0x78, 1, 2, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)});
    packet(7, i * step, packets.back());
  }
  write();
  const auto cooked = cook();
  ASSERT_TRUE(cooked.ok()) << cooked.error();
  auto tracks = read_mka(cooked->path);
  const PacketTrack& track = tracks["user 7"];
  std::size_t found = 0;
  for (const auto& p : track.packets) {
    const auto packet = std::find(packets.begin(), packets.end(), p.bytes);
    if (packet != packets.end()) {
      const std::int64_t place = (packet - packets.begin()) * step;
      EXPECT_LE(std::abs(p.begin - place), record::OpusTrack::most_off + 960);
      found++;
    }
  }
  // What is too much is all that is left out: 6 samples of each packet, less what it may be ahead.
  EXPECT_GE(found, 3000u - 3000 * 6 / 960);
  EXPECT_LT(found, 3000u);
}

TEST_F(Cook, SaysWhatIsNoJournal) {
  std::ofstream(temp_.path / "x.journal") << "no journal at all";
  EXPECT_FALSE(cook().ok());
  EXPECT_FALSE(cook("none").ok());
  fs::create_symlink(temp_.path / "x.journal", temp_.path / "link");
  EXPECT_FALSE(cook("link").ok());
  EXPECT_TRUE(temp_.files(".mka").empty());
}

}  // namespace
