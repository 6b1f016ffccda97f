#include "voice/credentials.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::voice;

TEST(VoiceEndpoint, BecomesAUrl) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"voice1.discord.media", "wss://voice1.discord.media/?v=8"},
      // Discord.Net#3154, discord.py#10210: a dropped port ends in 4006.
      {"voice1.discord.media:2048", "wss://voice1.discord.media:2048/?v=8"},
      {"wss://voice1.discord.media:443", "wss://voice1.discord.media:443/?v=8"},
      {"WSS://voice1.discord.media/", "wss://voice1.discord.media/?v=8"},
      {"ws://127.0.0.1:8080", "ws://127.0.0.1:8080/?v=8"},
      {"ws://127.255.3.9", "ws://127.255.3.9/?v=8"},
      {"ws://[::1]:9", "ws://[::1]:9/?v=8"},
      {"[2001:db8::1]:65535", "wss://[2001:db8::1]:65535/?v=8"},
  };
  for (const auto& [endpoint, url] : cases) {
    const auto result = gateway_url(endpoint);
    ASSERT_TRUE(result.ok()) << endpoint;
    EXPECT_EQ(result.value(), url);
  }
}

TEST(VoiceEndpoint, RefusalsAreTyped) {
  const std::pair<std::string_view, EndpointError> cases[] = {
      {"", EndpointError::Empty},
      {"wss://", EndpointError::Empty},
      {"/", EndpointError::Empty},
      {"https://voice1.discord.media", EndpointError::UnknownScheme},
      {"wss://ws://a", EndpointError::HasPath},
      {"ws://voice1.discord.media", EndpointError::PlainNotLoopback},
      {"ws://localhost:80", EndpointError::PlainNotLoopback},
      {"ws://127.0.0.1.example.org", EndpointError::PlainNotLoopback},
      {"ws://127.1", EndpointError::PlainNotLoopback},
      {"ws://127.0.0.256", EndpointError::PlainNotLoopback},
      {"ws://127.0.0.01", EndpointError::PlainNotLoopback},
      {"ws://127.0.0.1.", EndpointError::PlainNotLoopback},
      {"ws://128.0.0.1", EndpointError::PlainNotLoopback},
      {"ws://[::2]", EndpointError::PlainNotLoopback},
      {"ws://127.0.0.1@evil.example", EndpointError::BadHost},
      {":443", EndpointError::BadHost},
      {"a b", EndpointError::BadHost},
      {"a\r\nHost: b", EndpointError::BadHost},
      {"[]:1", EndpointError::BadHost},
      {"[::1", EndpointError::BadHost},
      {"[::g]", EndpointError::BadHost},
      {"[::1]x", EndpointError::BadPort},
      {"a:", EndpointError::BadPort},
      {"a:0", EndpointError::BadPort},
      {"a:65536", EndpointError::BadPort},
      {"a:+80", EndpointError::BadPort},
      {"a:80x", EndpointError::BadPort},
      {"a/?v=8", EndpointError::HasPath},
      {"a#b", EndpointError::HasPath},
  };
  for (const auto& [endpoint, error] : cases) {
    const auto result = gateway_url(endpoint);
    ASSERT_FALSE(result.ok()) << endpoint << " -> " << result.value();
    EXPECT_EQ(result.error(), error) << endpoint;
    EXPECT_NE(describe(result.error()).find("endpoint"), std::string_view::npos);
  }
}

TEST(VoiceCredentials, GoodOnesHaveNoProblems) {
  EXPECT_EQ(problems({"a:1", "s", SecretString("t"), 1, 2, 0}), "") << "the channel is not needed";
}

TEST(VoiceCredentials, EveryMissingValueIsNamed) {
  const std::string sentence = problems({});
  for (const char* name : {"endpoint", "session-id", "token", "user-id", "guild-id"}) {
    EXPECT_NE(sentence.find(name), std::string::npos) << name << " in " << sentence;
  }
  EXPECT_EQ(sentence.back(), '.');
}

TEST(VoiceCredentials, InvalidTextIsNamedAndTheTokenIsNeverShown) {
  const std::string sentence = problems({"a:1", "se ss", SecretString("to\nken"), 1, 2, 3});
  EXPECT_NE(sentence.find("session-id"), std::string::npos);
  EXPECT_NE(sentence.find("token contains"), std::string::npos);
  EXPECT_EQ(sentence.find("ken contains"), sentence.find("token contains") + 2);
  EXPECT_EQ(sentence.find("to\nken"), std::string::npos);
  EXPECT_NE(problems({"a:1", std::string(5000, 's'), SecretString("t"), 1, 2, 3}), "");
  EXPECT_NE(problems({"ws://a", "s", SecretString("t"), 1, 2, 3}).find("plain"), std::string::npos);
}
