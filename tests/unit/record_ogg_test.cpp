// Where an Ogg track ends.
#include "record/oggfile.hpp"

#include <gtest/gtest.h>

namespace {

using namespace discord;
using namespace discord::record;

class Ogg : public testing::Test {
 protected:
  // A page that ends at `granule`, with a body of its own.
  void append_page(std::uint64_t granule) {
    Bytes page = {'O', 'g', 'g', 'S', 0, 0};
    for (int i = 0; i < 8; i++) {
      page.push_back(static_cast<std::uint8_t>(granule >> (8 * i)));
    }
    page.resize(26, 0);
    page.push_back(1);
    page.push_back(20);
    page.resize(page.size() + 20, static_cast<std::uint8_t>(granule));
    EXPECT_TRUE(ogg_.before(page, file_.size(), 0).empty());
    file_.insert(file_.end(), page.begin(), page.end());
  }
  void finish(std::uint64_t samples) {
    const Ending ending = ogg_.finish(file_.size(), samples);
    for (const Patch& p : ending.patches) {
      std::copy(p.bytes.begin(), p.bytes.end(),
                file_.begin() + static_cast<std::ptrdiff_t>(p.offset));
    }
    file_.resize(ending.size.value_or(file_.size()));
  }
  std::size_t pages() const { return file_.size() / page_size; }
  ByteSpan last_page() const { return ByteSpan(file_).last(page_size); }
  std::uint64_t granule() const {
    std::uint64_t out = 0;
    for (std::size_t i = 8; i-- > 0;) {
      out = out << 8 | last_page()[6 + i];
    }
    return out;
  }
  void expect_whole() const {
    Bytes page(last_page().begin(), last_page().end());
    EXPECT_NE(page[5] & 4, 0) << "the last of its stream";
    const std::uint32_t told =
        page[22] | page[23] << 8 | page[24] << 16 | static_cast<std::uint32_t>(page[25]) << 24;
    std::fill_n(page.begin() + 22, 4, std::uint8_t{0});
    EXPECT_EQ(ogg_checksum(page), told);
  }

  static constexpr std::size_t page_size = 27 + 1 + 20;
  OggFile ogg_;
  Bytes file_;
};

TEST_F(Ogg, ATrackOfTheRightLengthIsLeftAsItIs) {
  for (const std::uint64_t granule : {0, 1920, 3840}) {
    append_page(granule);
  }
  const Bytes before = file_;
  finish(3840);
  EXPECT_EQ(file_, before);
  finish(5000);
  EXPECT_EQ(file_, before);
}

TEST_F(Ogg, TheLastPageIsCut) {
  for (const std::uint64_t granule : {0, 1920, 3840}) {
    append_page(granule);
  }
  finish(2000);
  EXPECT_EQ(pages(), 3u);
  EXPECT_EQ(granule(), 2000u);
  expect_whole();
}

// A sender who is ahead by two packets has a page that lies behind the end as a whole, and the
// track was as long as that.
TEST_F(Ogg, PagesBehindTheEndAreCutOff) {
  for (const std::uint64_t granule : {0, 1920, 3840, 5760, 7680, 9600, 10560}) {
    append_page(granule);
  }
  finish(9000);
  EXPECT_EQ(pages(), 6u);
  EXPECT_EQ(granule(), 9000u);
  expect_whole();
}

TEST_F(Ogg, AnEndBetweenTwoPages) {
  for (const std::uint64_t granule : {0, 1920, 3840, 5760}) {
    append_page(granule);
  }
  finish(3840);
  EXPECT_EQ(pages(), 3u);
  EXPECT_EQ(granule(), 3840u);
  expect_whole();
}

// One page of three packets of 20 ms, the last with two segments.
TEST_F(Ogg, PacketsBehindTheEndAreCutOff) {
  append_page(0);
  append_page(960);
  Bytes page(ByteSpan(file_).last(page_size).begin(), ByteSpan(file_).last(page_size).end());
  page[6] = 3840 & 0xff;
  page[7] = 3840 >> 8;
  page.resize(26);
  const std::uint8_t segments[] = {4, 40, 50, 255, 5};  // how many, and their sizes
  page.insert(page.end(), std::begin(segments), std::end(segments));
  for (const int size : {40, 50, 260}) {
    page.push_back(0x78);  // one frame of 20 ms
    page.resize(page.size() + static_cast<std::size_t>(size) - 1, static_cast<std::uint8_t>(size));
  }
  const std::size_t at = file_.size();
  ogg_.before(page, at, 0);
  file_.insert(file_.end(), page.begin(), page.end());
  finish(2000);
  EXPECT_EQ(file_.size(), at + 27 + 2 + 40 + 50);
  EXPECT_EQ(file_[at + 26], 2);
  EXPECT_EQ(file_[at + 27], 40);
  EXPECT_EQ(file_[at + 28], 50);
  EXPECT_EQ(file_[at + 29], 0x78);
  EXPECT_EQ(file_.back(), 50);
  EXPECT_EQ(file_[at + 6] | file_[at + 7] << 8, 2000);
}

// So far behind nothing of this project is.
TEST_F(Ogg, NothingIsCutFromThePast) {
  for (std::uint64_t granule = 0; granule <= 19200; granule += 1920) {
    append_page(granule);
  }
  const Bytes before = file_;
  finish(1000);
  EXPECT_EQ(file_, before);
}

}  // namespace
