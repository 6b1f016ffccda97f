#include "base/hex.hpp"
#include "voice/messages.hpp"

#include <gtest/gtest.h>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace discord;
using namespace discord::voice;
using namespace std::chrono_literals;

namespace {

template <class T> std::optional<T> body(const std::string& text) {
  auto message = parse_text(text);
  EXPECT_TRUE(message.ok()) << text;
  if (!message.ok()) {
    return std::nullopt;
  }
  const T* found = std::get_if<T>(&message->body);
  return found == nullptr ? std::nullopt : std::optional<T>(*found);
}

bool malformed(const std::string& text) {
  return body<Malformed>(text).has_value();
}

MessageError error(const std::string& text) {
  auto message = parse_text(text);
  EXPECT_FALSE(message.ok());
  return message.ok() ? MessageError::BadField : message.error();
}

std::string key_json(std::size_t n, const std::string& value = "7") {
  std::string out = "[";
  for (std::size_t i = 0; i < n; ++i) {
    out += (i == 0 ? "" : ",") + value;
  }
  return out + "]";
}

}  // namespace

TEST(VoiceMessages, Refusals) {
  EXPECT_EQ(error("nonsense"), MessageError::NotJson);
  EXPECT_EQ(error("{\"op\":5} x"), MessageError::NotJson);
  EXPECT_EQ(error("{\"op\":1e999}"), MessageError::NotJson);
  EXPECT_EQ(error("[1]"), MessageError::NotObject);
  EXPECT_EQ(error("{\"op\":null}"), MessageError::NoOpcode);
  EXPECT_EQ(error("{\"op\":18446744073709551615}"), MessageError::NoOpcode);
  EXPECT_EQ(error("{\"op\":5,\"d\":" + std::string(32, '[')), MessageError::TooDeep);
  EXPECT_EQ(error(std::string(max_message_size + 1, ' ')), MessageError::TooLarge);
}

TEST(VoiceMessages, DepthCountsBracketsOutsideTextOnly) {
  const std::string brackets(100, '[');
  EXPECT_TRUE(parse_text("{\"op\":99,\"d\":\"\\\"" + brackets + "\"}").ok());
  const std::string deep = std::string(31, '[') + std::string(31, ']');
  EXPECT_TRUE(parse_text("{\"op\":99,\"d\":" + deep + "}").ok());
}

TEST(VoiceMessages, HelloTakesFractionsAndBoundsThem) {
  const auto interval = [](const std::string& d) {
    return body<Hello>("{\"op\":8,\"d\":" + d + "}")->heartbeat_interval;
  };
  EXPECT_EQ(interval(R"({"heartbeat_interval":41250})"), 41250ms);
  EXPECT_EQ(interval(R"({"heartbeat_interval":13750.5})"), 13750500us);
  EXPECT_EQ(interval(R"({"heartbeat_interval":1e300})"), 60s);
  EXPECT_EQ(interval(R"({"heartbeat_interval":0.001})"), 20ms);
  EXPECT_EQ(interval("null"), 13750ms);
  EXPECT_EQ(interval(R"({"heartbeat_interval":null})"), 13750ms);
  for (const char* bad : {"0", "-5", "\"x\"", "[]"}) {
    EXPECT_TRUE(malformed(std::string("{\"op\":8,\"d\":{\"heartbeat_interval\":") + bad + "}}"));
  }
}

TEST(VoiceMessages, ReadyNeedsItsThreeFields) {
  const auto ready = body<Ready>(
      R"({"op":2,"d":{"ssrc":4294967295,"ip":"1.2.3.4","port":65535,"modes":["a",null],"streams":null}})");
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready->ssrc, 4294967295u);
  EXPECT_EQ(ready->port, 65535);
  EXPECT_EQ(ready->modes, std::vector<std::string>{"a"});
  EXPECT_TRUE(body<Ready>(R"({"op":2,"d":{"ssrc":1,"ip":"2001:db8::1","port":1}})"));
  for (const char* d :
       {"null", R"({"ip":"1.2.3.4","port":1})", R"({"ssrc":4294967296,"ip":"1.2.3.4","port":1})",
        R"({"ssrc":-1,"ip":"1.2.3.4","port":1})", R"({"ssrc":1.0,"ip":"1.2.3.4","port":1})",
        R"({"ssrc":1,"ip":null,"port":1})", R"({"ssrc":1,"ip":"host.name","port":1})",
        R"({"ssrc":1,"ip":"1.2.3.4\u0000x","port":1})", R"({"ssrc":1,"ip":"1.2.3.4","port":0})",
        R"({"ssrc":1,"ip":"1.2.3.4","port":65536})", R"({"ssrc":1,"ip":"1.2.3.4","port":"1"})"}) {
    EXPECT_TRUE(malformed(std::string("{\"op\":2,\"d\":") + d + "}")) << d;
  }
}

TEST(VoiceMessages, SessionDescriptionNeedsAWholeKey) {
  const auto make = [](const std::string& key, const std::string& rest = "") {
    return "{\"op\":4,\"d\":{\"mode\":\"m\",\"secret_key\":" + key + rest + "}}";
  };
  const auto good = body<SessionDescription>(make(key_json(32), ",\"dave_protocol_version\":1"));
  ASSERT_TRUE(good);
  EXPECT_EQ(good->mode, "m");
  EXPECT_EQ(good->key.view()[0], 7);
  EXPECT_EQ(good->dave_protocol_version, 1);
  EXPECT_EQ(body<SessionDescription>(make(key_json(32)))->dave_protocol_version, 0);
  EXPECT_EQ(body<SessionDescription>(make(key_json(32), ",\"dave_protocol_version\":null"))
                ->dave_protocol_version,
            0);
  EXPECT_TRUE(malformed(make(key_json(31))));
  EXPECT_TRUE(malformed(make(key_json(33))));
  EXPECT_TRUE(malformed(make(key_json(32, "256"))));
  EXPECT_TRUE(malformed(make(key_json(32, "-1"))));
  EXPECT_TRUE(malformed(make(key_json(32, "1.0"))));
  EXPECT_TRUE(malformed(make(key_json(32, "null"))));
  EXPECT_TRUE(malformed(make("null")));
  EXPECT_TRUE(malformed(make("\"" + std::string(32, 'k') + "\"")));
  EXPECT_TRUE(malformed(make(key_json(32), ",\"dave_protocol_version\":\"1\"")));
  EXPECT_TRUE(malformed("{\"op\":4,\"d\":{\"secret_key\":" + key_json(32) + "}}"));
}

TEST(VoiceMessages, PeopleAndNulls) {
  EXPECT_EQ(body<Speaking>(R"({"op":5,"d":{"user_id":"18446744073709551615","ssrc":3}})")->user,
            18446744073709551615u);
  EXPECT_EQ(body<Speaking>(R"({"op":5,"d":{"user_id":"1","ssrc":null}})")->ssrc, 0u);
  EXPECT_TRUE(malformed(R"({"op":5,"d":{"ssrc":3}})"));
  EXPECT_TRUE(malformed(R"({"op":5,"d":{"user_id":1,"ssrc":3}})"));
  EXPECT_TRUE(malformed(R"({"op":5,"d":{"user_id":"1","ssrc":"3"}})"));
  EXPECT_EQ(body<ClientsConnect>(R"({"op":11,"d":{"user_ids":null}})")->users.size(), 0u);
  const auto some = body<ClientsConnect>(R"({"op":11,"d":{"user_ids":["4",null,"x",7,"5"]}})");
  EXPECT_EQ(some->users, (std::vector<std::uint64_t>{4, 5}));
  EXPECT_EQ(some->skipped, 3u);
  EXPECT_TRUE(malformed(R"({"op":11,"d":{"user_ids":"4"}})"));
  EXPECT_EQ(body<ClientDisconnect>(R"({"op":13,"d":{"user_id":"4"}})")->user, 4u);
  EXPECT_TRUE(malformed(R"({"op":13,"d":{"user_id":null}})"));
  EXPECT_FALSE(body<ClientFlags>(R"({"op":18,"d":{"user_id":"4","flags":null}})")->flags);
  EXPECT_EQ(body<ClientFlags>(R"({"op":18,"d":{"user_id":"4","flags":6}})")->flags, 6);
  EXPECT_TRUE(malformed(R"({"op":18,"d":{"user_id":"4","flags":"6"}})"));
  EXPECT_FALSE(body<ClientPlatform>(R"({"op":20,"d":{"user_id":"4"}})")->platform);
  EXPECT_EQ(body<ClientPlatform>(R"({"op":20,"d":{"user_id":"4","platform":0}})")->platform, 0);
  EXPECT_TRUE(malformed(R"({"op":20,"d":{"platform":0}})"));
}

TEST(VoiceMessages, VideoListsEverySsrcThatIsNotAudio) {
  const auto on = body<Video>(
      R"({"op":12,"d":{"user_id":"4","audio_ssrc":9,"video_ssrc":10,"streams":[)"
      R"({"ssrc":10,"rtx_ssrc":11,"active":true},{"ssrc":12,"rtx_ssrc":0,"active":false},null]}})");
  ASSERT_TRUE(on);
  EXPECT_EQ(on->audio_ssrc, 9u);
  EXPECT_EQ(on->video_ssrcs, (std::vector<std::uint32_t>{10, 10, 11, 12}));
  EXPECT_TRUE(on->active);
  const auto off = body<Video>(
      R"({"op":12,"d":{"user_id":"4","audio_ssrc":null,"video_ssrc":0,"streams":[{"active":false}]}})");
  EXPECT_EQ(off->audio_ssrc, 0u);
  EXPECT_FALSE(off->active);
  EXPECT_TRUE(body<Video>(R"({"op":12,"d":{"user_id":"4","video_ssrc":5,"streams":[]}})")->active);
  EXPECT_TRUE(malformed(R"({"op":12,"d":{"audio_ssrc":1}})"));
  EXPECT_TRUE(malformed(R"({"op":12,"d":{"user_id":"4","audio_ssrc":"1"}})"));
}

TEST(VoiceMessages, OtherOpcodes) {
  EXPECT_TRUE(body<HeartbeatRequest>(R"({"op":3})"));
  EXPECT_TRUE(body<Resumed>(R"({"op":9,"d":null})"));
  EXPECT_EQ(body<HeartbeatAck>(R"({"op":6,"d":{"t":5}})")->t, 5u);
  EXPECT_FALSE(body<HeartbeatAck>(R"({"op":6,"d":5})")->t);
  for (const int op : {14, 15, 16, 17, 19, 21, 22, 24, 31}) {
    EXPECT_EQ(body<Ignored>("{\"op\":" + std::to_string(op) + "}")->op, op);
  }
  for (const int op : {-1, 0, 1, 7, 10, 32, 99}) {
    EXPECT_EQ(body<Unknown>("{\"op\":" + std::to_string(op) + "}")->op, op);
  }
}

TEST(VoiceMessages, SnowflakesAreDecimalAndNotZero) {
  EXPECT_EQ(parse_snowflake("9007199254740993"), 9007199254740993u) << "not exact as a double";
  for (const char* bad : {"", "0", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1e3"}) {
    EXPECT_FALSE(parse_snowflake(bad)) << bad;
  }
}

TEST(VoiceMessages, WhatIsSentIsJsonWhateverTheValuesHold) {
  Credentials odd{"e", "s\"\\\x01", SecretString("t\"\n"), 1, 18446744073709551615u, 0};
  const auto identify = nlohmann::json::parse(build_identify(odd, 1).reveal());
  EXPECT_EQ(identify["d"]["session_id"], "s\"\\\x01");
  EXPECT_EQ(identify["d"]["token"], "t\"\n");
  EXPECT_EQ(identify["d"]["server_id"], "18446744073709551615");
  EXPECT_EQ(identify["d"]["max_dave_protocol_version"], 1);
  EXPECT_FALSE(identify["d"].contains("channel_id")) << "that is version 9";
  const auto resume = nlohmann::json::parse(build_resume(odd, -1).reveal());
  EXPECT_EQ(resume["d"]["seq_ack"], -1);
  EXPECT_FALSE(resume["d"].contains("user_id"));
}

TEST(VoiceMessages, SharedFramingVectors) {
  const char* shared = std::getenv("DISCORD_SHARED");
  std::ifstream file(std::string(shared == nullptr ? "" : shared) +
                     "/vectors/transport/udp_misc_vectors.json");
  if (!file) {
    GTEST_SKIP() << "the shared vectors are not there (DISCORD_SHARED)";
  }
  int seen = 0;
  for (const auto& v : nlohmann::json::parse(file)) {
    SCOPED_TRACE(v["name"].get<std::string>());
    if (v["test"] == "ws_json_seq") {
      ++seen;
      auto message = parse_text(v["frame"].get<std::string>());
      ASSERT_TRUE(message.ok());
      EXPECT_EQ(message->seq.value_or(v["prev_seq"].get<std::uint16_t>()), v["expect_seq"]);
    } else if (v["test"] == "ws_binary_server_frame") {
      ++seen;
      const Bytes frame = *from_hex(v["frame_hex"].get<std::string>());
      auto message = parse_binary(frame);
      ASSERT_EQ(message.ok(), v["expect"] != "error");
      if (!message.ok()) {
        EXPECT_EQ(message.error(), MessageError::Short);
        continue;
      }
      const auto& e = v["expect"];
      EXPECT_EQ(message->seq, e["seq"]);
      EXPECT_EQ(message->op, e["op"]);
      EXPECT_EQ(to_hex(message->payload), e["payload_hex"]);
      EXPECT_EQ(message->transition_id.has_value(), e.contains("transition_id"));
      EXPECT_EQ(message->operation.has_value(), e.contains("operation"));
      if (e.contains("transition_id")) {
        EXPECT_EQ(*message->transition_id, e["transition_id"]);
      }
      if (e.contains("operation")) {
        EXPECT_EQ(*message->operation, e["operation"]);
      }
    }
  }
  EXPECT_EQ(seen, 11);
}
