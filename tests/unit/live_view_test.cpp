// The table of a recording on terminals that are too small for it.
#include "liveview.hpp"

#include <gtest/gtest.h>

namespace {

using Lines = std::vector<std::string>;

TEST(LiveView, ATableOnASmallTerminalIsCutInsteadOfWrapped) {
  EXPECT_EQ(pipelines::fit({"0123456789", "\xc3\xa4\xc3\xb6\xc3\xbc!", "ab"}, 3, 24),
            (Lines{"012", "\xc3\xa4\xc3\xb6\xc3\xbc", "ab"}));
}

TEST(LiveView, FiftySpeakersOnASmallTerminalDoNotScroll) {
  const Lines lines = {"head", "a", "b", "c", "d", "e", "nobody"};
  EXPECT_EQ(pipelines::fit(lines, 80, 8), lines);
  EXPECT_EQ(pipelines::fit(lines, 80, 7),
            (Lines{"head", "a", "b", "c", "         ... and 2 more", "nobody"}));
  EXPECT_EQ(pipelines::fit(lines, 80, 4), (Lines{"head", "         ... and 5 more", "nobody"}));
}

TEST(LiveView, TheTableFitsEightyColumns) {
  pipelines::View view(
      {{200000000000000001u, std::string(300, 'x')}, {2, "\xe6\xbc\xa2\xe5\xad\x97"}});
  view.set_speaking(2, true);
  view.set_encryption("end-to-end encrypted, epoch 12");
  view.update({});
  for (const std::string& line : view.table(360000)) {
    EXPECT_LE(g_utf8_strlen(line.c_str(), -1), 80) << line;
  }
}

TEST(LiveView, ALevelHasItsUnit) {
  pipelines::Row row;
  row.speaking = true;
  row.level = 17;
  EXPECT_EQ(pipelines::level_bar(row), "########..  -17 dB");
  row.level = 127;
  EXPECT_EQ(pipelines::level_bar(row), ".......... -127 dB");
  row.speaking = false;
  EXPECT_EQ(pipelines::level_bar(row), "..........");
}

// What a file had before the disk was full counts on when its speaker has a new part.
TEST(LiveView, AllPartsOfASpeakerAreCounted) {
  pipelines::Row row;
  row.files = {{"7.wav", 1000}, {"7.part2.wav", 500}};
  EXPECT_EQ(row.bytes(), 1500u);
}

TEST(LiveView, ANameMovesNoCursor) {
  EXPECT_EQ(pipelines::human_name("a\x1b[2Jb\n\xff", 12), "a[2Jb\xef\xbf\xbd      ");
  EXPECT_EQ(pipelines::human_name("\xe6\xbc\xa2\xe5\xad\x97", 3), "\xe6\xbc\xa2 ")
      << "wide letters";
}

}  // namespace
