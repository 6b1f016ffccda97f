// The frame in front of an MP3 file, which tells its length.
#include "record/mp3file.hpp"

#include <gtest/gtest.h>
#include <random>

namespace {

using namespace discord;
using namespace discord::record;

constexpr std::size_t frame_size = 576;  // 192 kbit/s, 48 kHz
constexpr std::size_t tag_at = 4 + 32;   // MPEG-1, stereo

class Mp3 : public testing::Test {
 protected:
  void append_frame() {
    Bytes frame(frame_size);
    for (std::uint8_t& b : frame) {
      b = static_cast<std::uint8_t>(random_());
    }
    const std::uint8_t header[] = {0xff, 0xfb, 0xb4, 0x00};
    std::copy(std::begin(header), std::end(header), frame.begin());
    append(mp3_.before(frame, file_.size(), 0));
    append(frame);
    apply(mp3_.refresh(file_.size()));
  }
  void append(const Bytes& bytes) {
    file_.insert(file_.end(), bytes.begin(), bytes.end());
    written_ += bytes.size();
  }
  void apply(const Patches& patches) {
    for (const Patch& p : patches) {
      ASSERT_LE(p.offset + p.bytes.size(), file_.size());
      std::copy(p.bytes.begin(), p.bytes.end(),
                file_.begin() + static_cast<std::ptrdiff_t>(p.offset));
      written_ += p.bytes.size();
    }
  }
  std::uint32_t number(std::size_t at) const { return load_be32(file_.data() + tag_at + at); }

  Mp3File mp3_;
  Bytes file_;
  std::uint64_t written_ = 0;

 private:
  std::mt19937 random_{3};
};

TEST_F(Mp3, ItsLengthIsRightBehindEveryFrame) {
  for (std::uint32_t frames = 1; frames <= 3000; frames++) {
    append_frame();
    ASSERT_EQ(number(8), frames);
    ASSERT_EQ(number(12), file_.size());
    ASSERT_EQ(number(120 + 28), file_.size());
  }
  EXPECT_EQ(file_[tag_at + 16 + 50], 128) << "the middle of the sound is the middle of the file";
}

// What is patched piece by piece is what is there when it is written as a whole.
TEST_F(Mp3, PiecesMakeTheWhole) {
  for (int i = 0; i < 500; i++) {
    append_frame();
  }
  Bytes again = file_;
  for (const Patch& p : mp3_.finish(file_.size(), 500 * 1152 - Mp3File::encoder_delay).patches) {
    std::copy(p.bytes.begin(), p.bytes.end(),
              again.begin() + static_cast<std::ptrdiff_t>(p.offset));
  }
  EXPECT_EQ(again, file_);
}

// The tag as a whole behind each frame was a quarter more than the file has.
TEST_F(Mp3, LittleIsWrittenTwice) {
  for (int i = 0; i < 3000; i++) {
    append_frame();
  }
  EXPECT_LT(static_cast<double>(written_), 1.05 * static_cast<double>(file_.size()));
}

}  // namespace
