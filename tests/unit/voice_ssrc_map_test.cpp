#include "voice/ssrc_map.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;

namespace {

struct SsrcMapTest : testing::Test {
  SsrcMapTest() { map.reset(3, 1000); }
  template <class A> std::vector<A> all() const {
    std::vector<A> found;
    for (const Action& action : out) {
      if (const A* a = std::get_if<A>(&action)) {
        found.push_back(*a);
      }
    }
    return found;
  }
  SsrcMap map;
  Out out;
  Time now = time_from_ns(5'000'000'000);
};

}  // namespace

TEST_F(SsrcMapTest, AnnouncementMapsOnceAndJoins) {
  map.announced(50, 5, now, out);
  map.announced(50, 5, now, out);
  ASSERT_EQ(all<MapSsrc>().size(), 1u);
  EXPECT_EQ(all<MapSsrc>()[0].generation, 3u);
  EXPECT_EQ(all<UserJoined>().size(), 1u);
  EXPECT_EQ(map.user_of(50), 5u);
  EXPECT_EQ(map.ssrc_of(5), 50u);
}

TEST_F(SsrcMapTest, SsrcZeroSaysNothing) {
  map.announced(0, 5, now, out);
  EXPECT_TRUE(out.empty());
}

TEST_F(SsrcMapTest, NewSsrcRetiresTheOldOneAfterTheGrace) {
  map.announced(50, 5, now, out);
  map.announced(51, 5, now, out);
  EXPECT_EQ(map.user_of(50), 5u) << "buffered packets still find their user";
  EXPECT_EQ(map.ssrc_of(5), 51u);
  ASSERT_TRUE(map.next_deadline());
  EXPECT_EQ(*map.next_deadline(), now + 1s);
  map.on_timer(now + 999ms, out);
  EXPECT_TRUE(all<RetireSsrc>().empty());
  map.on_timer(now + 1s, out);
  ASSERT_EQ(all<RetireSsrc>().size(), 1u);
  EXPECT_EQ(all<RetireSsrc>()[0].ssrc, 50u);
  EXPECT_EQ(all<RetireSsrc>()[0].user, 5u);
  EXPECT_FALSE(map.user_of(50));
  EXPECT_EQ(map.user_of(51), 5u);
  EXPECT_FALSE(map.next_deadline());
}

// JDA refuses a second owner, disco#57 keeps the first: speech goes to somebody who is gone.
TEST_F(SsrcMapTest, SsrcOfAnotherUserIsReplaced) {
  map.announced(50, 5, now, out);
  map.announced(50, 6, now, out);
  EXPECT_EQ(map.user_of(50), 6u);
  EXPECT_FALSE(map.ssrc_of(5));
  EXPECT_EQ(all<MapSsrc>().back().user, 6u);
  map.left(5, now, out);
  map.on_timer(now + 2s, out);
  EXPECT_EQ(map.user_of(50), 6u) << "the former owner's leaving must not take it away";
}

TEST_F(SsrcMapTest, ReuseWithinTheGraceIsNotRetired) {
  map.announced(50, 5, now, out);
  map.left(5, now, out);
  map.announced(50, 6, now + 500ms, out);
  map.on_timer(now + 2s, out);
  EXPECT_TRUE(all<RetireSsrc>().empty());
  EXPECT_EQ(map.user_of(50), 6u);
}

TEST_F(SsrcMapTest, RejoinWithTheSameSsrcWithinTheGraceIsNotRetired) {
  map.announced(50, 5, now, out);
  map.left(5, now, out);
  map.announced(50, 5, now + 500ms, out);
  map.on_timer(now + 2s, out);
  EXPECT_TRUE(all<RetireSsrc>().empty());
  EXPECT_EQ(map.ssrc_of(5), 50u);
  EXPECT_EQ(all<UserJoined>().size(), 2u);
}

TEST_F(SsrcMapTest, GoingBackToTheFormerSsrcRetiresTheOther) {
  map.announced(50, 5, now, out);
  map.announced(51, 5, now, out);
  map.announced(50, 5, now, out);
  map.on_timer(now + 1s, out);
  EXPECT_EQ(map.user_of(50), 5u);
  EXPECT_EQ(map.ssrc_of(5), 50u);
  EXPECT_FALSE(map.user_of(51));
}

TEST_F(SsrcMapTest, LeavingAnnouncesOnceAndRetires) {
  map.joined(5, out);
  map.announced(50, 5, now, out);
  map.left(5, now, out);
  map.left(5, now, out);
  EXPECT_EQ(all<UserJoined>().size(), 1u);
  EXPECT_EQ(all<UserLeft>().size(), 1u);
  EXPECT_FALSE(map.is_present(5));
  map.on_timer(now + 1s, out);
  EXPECT_EQ(all<RetireSsrc>().size(), 1u);
}

TEST_F(SsrcMapTest, OwnUserNeitherJoinsNorLeaves) {
  map.set_own(77, out);
  map.joined(1000, out);
  map.announced(77, 1000, now, out);
  map.left(1000, now, out);
  map.on_timer(now + 2s, out);
  EXPECT_EQ(map.user_of(77), 1000u);
  EXPECT_EQ(out.size(), 1u) << "only the mapping";
}

TEST_F(SsrcMapTest, VideoListIsReplacedAndGoesWithTheUser) {
  const std::uint32_t first[] = {60, 61};
  const std::uint32_t second[] = {62};
  map.video(5, first);
  EXPECT_TRUE(map.is_video(61));
  map.video(5, second);
  EXPECT_FALSE(map.is_video(61));
  EXPECT_TRUE(map.is_video(62));
  map.left(5, now, out);
  EXPECT_FALSE(map.is_video(62));
}

TEST_F(SsrcMapTest, ResetForgetsEverything) {
  map.announced(50, 5, now, out);
  map.left(5, now, out);
  map.reset(4, 1000);
  EXPECT_FALSE(map.user_of(50));
  EXPECT_FALSE(map.next_deadline());
  EXPECT_EQ(map.users(), 0u);
  map.announced(50, 6, now, out);
  EXPECT_EQ(all<MapSsrc>().back().generation, 4u);
}

TEST_F(SsrcMapTest, IsBounded) {
  for (std::uint32_t i = 1; i <= SsrcMap::max_ssrcs + 10; ++i) {
    map.announced(i, 100000 + i, now, out);
    map.video(100000 + i, std::span(&i, 1));
  }
  EXPECT_EQ(map.size(), SsrcMap::max_ssrcs);
  EXPECT_EQ(map.users(), SsrcMap::max_users);
  EXPECT_EQ(map.overflows(), 30u);
}
