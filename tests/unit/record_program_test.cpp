// What discord-record understands: commands, rules, credentials.
#include "record/commands.hpp"
#include "record/rules.hpp"

#include <gtest/gtest.h>
#include <string>

namespace {

using namespace recorder;

TEST(Commands, EachIsUnderstood) {
  const auto join =
      parse_command(R"({"do":"join","endpoint":"x:443","session_id":"s","token":"t","user_id":"1",)"
                    R"("guild_id":"2","channel_id":"18446744073709551615","extra":[1]})");
  ASSERT_TRUE(join.ok());
  const Credentials& c = std::get<Join>(*join).credentials;
  EXPECT_EQ(c.endpoint, "x:443");
  EXPECT_EQ(c.channel_id, UINT64_MAX);
  EXPECT_TRUE(c.missing().empty());
  EXPECT_EQ(std::get<Mark>(*parse_command(R"({"do":"mark","label":"a"})")).label, "a");
  EXPECT_EQ(std::get<Mark>(*parse_command(R"({"do":"mark"})")).label, "");
  const auto gain = parse_command(R"({"do":"gain","user_id":"7","gain":0.5})");
  ASSERT_TRUE(gain.ok());
  EXPECT_EQ(std::get<Gain>(*gain).user_id, 7u);
  EXPECT_EQ(std::get<Gain>(*gain).gain, 0.5);
  EXPECT_EQ(std::get<Name>(*parse_command(R"({"do":"name","user_id":"7","name":"Ada"})")).name,
            "Ada");
  EXPECT_TRUE(std::holds_alternative<Stats>(*parse_command(R"({"do":"stats"})")));
  EXPECT_TRUE(std::holds_alternative<Stop>(*parse_command(R"({"do":"stop"})")));
}

TEST(Commands, NonsenseIsRefusedWithASentence) {
  for (const std::string line :
       {"", "x", "[]", "{}", "\"stop\"", R"({"do":1})", R"({"do":"dance"})",
        R"({"do":"gain","user_id":"7"})", R"({"do":"gain","user_id":7,"gain":1})",
        R"({"do":"gain","user_id":"7","gain":-1})", R"({"do":"gain","user_id":"7","gain":17})",
        R"({"do":"name","name":"x"})", R"({"do":"join","user_id":1})",
        R"({"do":"join","endpoint":1})", R"({"do":"join","guild_id":"x"})"}) {
    const auto command = parse_command(line);
    ASSERT_FALSE(command.ok()) << line;
    EXPECT_EQ(command.error().back(), '.') << line;
  }
  EXPECT_FALSE(parse_command(R"({"do":"stop","x":")" + std::string(70000, 'x') + "\"}").ok());
}

TEST(Commands, CredentialsSayWhatIsMissing) {
  Credentials c;
  EXPECT_EQ(c.missing().size(), 6u);
  c.bot_token_file = "token";
  EXPECT_EQ(c.missing(), (std::vector<std::string>{"guild-id", "channel-id"}));
}

TEST(Commands, Ids) {
  EXPECT_EQ(parse_id("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "0", "-1", "1x", " 1", "18446744073709551616", "0x1"}) {
    EXPECT_FALSE(parse_id(bad)) << bad;
  }
}

TEST(Rules, Durations) {
  EXPECT_EQ(parse_duration("90"), 90);
  EXPECT_EQ(parse_duration("90s"), 90);
  EXPECT_EQ(parse_duration("1.5"), 1.5);
  EXPECT_EQ(parse_duration("45m"), 2700);
  EXPECT_EQ(parse_duration("2h"), 7200);
  EXPECT_EQ(parse_duration("1:30"), 90);
  EXPECT_EQ(parse_duration("1:30:00"), 5400);
  for (const char* bad : {"", "0", "-1", "x", "1x", "1:60", "1:2:3:4", "1:30m", "1:", ":1", "1e99",
                          "inf", "nan", "10 s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Rules, Sizes) {
  EXPECT_EQ(parse_size("500"), 500u);
  EXPECT_EQ(parse_size("1.5k"), 1500u);
  EXPECT_EQ(parse_size("2M"), 2000000u);
  EXPECT_EQ(parse_size("4G"), 4000000000u);
  for (const char* bad : {"", "0", "-1", "x", "1x", "1MB", "1e30T", "nan"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(Rules, EachEndsTheRecordingAndNoneDoesByDefault) {
  Situation now;
  now.seconds = 1e6;
  now.bytes = 1u << 30;
  now.free_bytes = 0;
  now.empty_since = 0;
  EXPECT_FALSE(reason_to_stop({}, now));
  EXPECT_TRUE(reason_to_stop({.max_seconds = 1e6}, now));
  EXPECT_FALSE(reason_to_stop({.max_seconds = 1e6 + 1}, now));
  EXPECT_TRUE(reason_to_stop({.max_bytes = 1u << 30}, now));
  EXPECT_FALSE(reason_to_stop({.max_bytes = (1u << 30) + 1}, now));
  EXPECT_TRUE(reason_to_stop({.min_free = 1}, now));
  now.free_bytes = 1;
  EXPECT_FALSE(reason_to_stop({.min_free = 1}, now));
  EXPECT_TRUE(reason_to_stop({.empty_seconds = 10}, now));
  now.empty_since = 1e6 - 9;
  EXPECT_FALSE(reason_to_stop({.empty_seconds = 10}, now));
  now.empty_since.reset();
  EXPECT_FALSE(reason_to_stop({.empty_seconds = 10}, now)) << "somebody is there";
}

}  // namespace
