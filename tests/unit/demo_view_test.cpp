// The table of the demo on terminals that are too small for it.
#include "demoview.hpp"

#include <gtest/gtest.h>

namespace {

using Lines = std::vector<std::string>;

TEST(DemoView, ATableOnASmallTerminalIsCutInsteadOfWrapped) {
  EXPECT_EQ(demo::fit({"0123456789", "\xc3\xa4\xc3\xb6\xc3\xbc!", "ab"}, 3, 24),
            (Lines{"012", "\xc3\xa4\xc3\xb6\xc3\xbc", "ab"}));
}

TEST(DemoView, FiftySpeakersOnASmallTerminalDoNotScroll) {
  const Lines lines = {"head", "a", "b", "c", "d", "e", "nobody"};
  EXPECT_EQ(demo::fit(lines, 80, 8), lines);
  EXPECT_EQ(demo::fit(lines, 80, 7),
            (Lines{"head", "a", "b", "c", "         ... and 2 more", "nobody"}));
  EXPECT_EQ(demo::fit(lines, 80, 4), (Lines{"head", "         ... and 5 more", "nobody"}));
}

}  // namespace
