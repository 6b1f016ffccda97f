// classify.hpp and discovery.hpp: what arrives on the socket before anything is opened.
#include "base/hex.hpp"
#include "rtp/classify.hpp"
#include "rtp/discovery.hpp"

#include <gtest/gtest.h>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace discord;
using namespace discord::rtp;

namespace {

Bytes sealed_like(std::uint8_t first, std::uint8_t second, std::size_t size) {
  Bytes out(size);
  out[0] = first;
  out[1] = second;
  return out;
}

Bytes good_reply() {
  const auto reply = make_discovery_reply(77, "203.0.113.7", 50004);
  return Bytes(reply->begin(), reply->end());
}

DiscoveryError refusal(const Bytes& datagram) {
  return parse_discovery_reply(datagram, 77).error();
}

// The cases of one kind in the shared vectors; empty when there are none here.
nlohmann::json shared_cases(const std::string& kind) {
  const char* folder = std::getenv("DISCORD_SHARED");
  std::ifstream file(std::string(folder ? folder : "") +
                     "/vectors/transport/udp_misc_vectors.json");
  nlohmann::json out = nlohmann::json::array();
  if (file) {
    for (const auto& c : nlohmann::json::parse(file)) {
      if (c["test"] == kind) {
        out.push_back(c);
      }
    }
  }
  return out;
}

}  // namespace

TEST(Classify, LengthComesBeforeTheVersionBits) {
  EXPECT_EQ(classify(*from_hex("8000000000000000")), DatagramKind::keepalive_echo);
  EXPECT_EQ(classify(*from_hex("81c9000000000000")), DatagramKind::keepalive_echo);
  EXPECT_EQ(classify(*from_hex("c90000000000000000")), DatagramKind::keepalive_echo);
  EXPECT_EQ(classify(*from_hex("00003247")), DatagramKind::keepalive_echo);
}

TEST(Classify, PingsAndJunk) {
  EXPECT_EQ(classify(*from_hex("1337f00d00000007")), DatagramKind::ping_reply);
  EXPECT_EQ(classify(*from_hex("1337cafe00000007")), DatagramKind::drop);
  EXPECT_EQ(classify({}), DatagramKind::drop);
  EXPECT_EQ(classify(*from_hex("8078000000")), DatagramKind::drop);
  EXPECT_EQ(classify(sealed_like(0x40, 120, 60)), DatagramKind::drop) << "version 1";
}

TEST(Classify, RtcpIsKnownByTheUnmaskedSecondByte) {
  EXPECT_EQ(classify(sealed_like(0x80, 192, 28)), DatagramKind::rtcp);
  EXPECT_EQ(classify(sealed_like(0x80, 223, 28)), DatagramKind::rtcp);
  EXPECT_EQ(classify(sealed_like(0x80, 191, 32)), DatagramKind::rtp_other);
  EXPECT_EQ(classify(sealed_like(0x80, 224, 32)), DatagramKind::rtp_other);
  EXPECT_EQ(classify(sealed_like(0x80, 72, 32)), DatagramKind::rtp_other)
      << "200 with the top bit masked off is not RTCP";
  EXPECT_EQ(classify(sealed_like(0x80, 200, 27)), DatagramKind::drop);
}

TEST(Classify, AudioIsTheNegotiatedPayloadTypeWithOrWithoutMarker) {
  EXPECT_EQ(classify(sealed_like(0x90, 120, 32)), DatagramKind::rtp_audio);
  EXPECT_EQ(classify(sealed_like(0x90, 0xF8, 32)), DatagramKind::rtp_audio);
  EXPECT_EQ(classify(sealed_like(0x90, 101, 32)), DatagramKind::rtp_other);
  EXPECT_EQ(classify(sealed_like(0x90, 120, 31)), DatagramKind::drop);
  EXPECT_EQ(classify(sealed_like(0x90, 111, 32), {32, 28, 111}), DatagramKind::rtp_audio);
}

TEST(Classify, LimitsAreThoseOfTheMode) {
  EXPECT_EQ(classify(sealed_like(0x80, 120, 51), {52, 48, 120}), DatagramKind::drop);
  EXPECT_EQ(classify(sealed_like(0x80, 120, 52), {52, 48, 120}), DatagramKind::rtp_audio);
  EXPECT_EQ(classify(sealed_like(0x80, 200, 24), {28, 24, 120}), DatagramKind::rtcp);
}

TEST(Classify, SharedVectors) {
  const auto cases = shared_cases("classify_client_side");
  if (cases.empty()) {
    GTEST_SKIP() << "the shared vectors are not here";
  }
  for (const auto& c : cases) {
    const Bytes packet = *from_hex(c["packet_hex"].get<std::string>());
    EXPECT_EQ(to_string(classify(packet)), c["expect_class"].get<std::string>()) << c["name"];
    if (c.contains("discovery")) {
      const auto reply = parse_discovery_reply(packet);
      ASSERT_TRUE(reply.ok()) << c["name"];
      EXPECT_EQ(reply->ssrc, c["discovery"]["ssrc"].get<std::uint32_t>());
      EXPECT_EQ(reply->address(), c["discovery"]["address"].get<std::string>());
      EXPECT_EQ(reply->port, c["discovery"]["port"].get<std::uint16_t>());
    }
  }
}

TEST(Discovery, RequestIsZeroBehindTheSsrc) {
  EXPECT_EQ(to_hex(make_discovery_request(0x3247)), "0001004600003247" + std::string(132, '0'));
}

TEST(Discovery, ReadsAReply) {
  const auto reply = parse_discovery_reply(good_reply(), 77);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->ssrc, 77u);
  EXPECT_EQ(reply->address(), "203.0.113.7");
  EXPECT_EQ(reply->port, 50004);
  EXPECT_EQ(classify(good_reply()), DatagramKind::discovery_reply);
}

TEST(Discovery, RefusesEachFault) {
  Bytes b = good_reply();
  b.resize(70);
  EXPECT_EQ(refusal(b), DiscoveryError::bad_size);
  const auto request = make_discovery_request(77);
  EXPECT_EQ(refusal(Bytes(request.begin(), request.end())), DiscoveryError::bad_type);
  b = good_reply();
  b[3] = 66;
  EXPECT_EQ(refusal(b), DiscoveryError::bad_length);
  b = good_reply();
  b[7] = 78;
  EXPECT_EQ(refusal(b), DiscoveryError::wrong_ssrc);
  b = good_reply();
  std::fill(b.begin() + 8, b.begin() + 72, std::uint8_t{'1'});
  EXPECT_EQ(refusal(b), DiscoveryError::unterminated);
  b = good_reply();
  b[72] = b[73] = 0;
  EXPECT_EQ(refusal(b), DiscoveryError::zero_port);
}

TEST(Discovery, RefusesWhatIsNotAnIpv4Literal) {
  for (const std::string text : {"", "1.2.3", "1.2.3.", "1.2.3.256", "1.2.3.4.5", "1.2.3.04",
                                 "1..3.4", "1.2.3.4 ", "not-an-ip", "::1", "1.2.3.1000"}) {
    Bytes b = good_reply();
    std::fill(b.begin() + 8, b.begin() + 72, std::uint8_t{0});
    std::copy(text.begin(), text.end(), b.begin() + 8);
    EXPECT_EQ(refusal(b), DiscoveryError::bad_address) << text;
    EXPECT_FALSE(make_discovery_reply(77, text, 1)) << text;
  }
}

TEST(Discovery, ServerAnswersOnlyACleanRequest) {
  const auto request = make_discovery_request(77);
  Bytes b(request.begin(), request.end());
  EXPECT_EQ(server_side_reply(b, "203.0.113.7", 50004), good_reply());
  EXPECT_FALSE(server_side_reply(b, "not-an-ip", 50004));
  for (const std::size_t at : {0u, 1u, 3u, 8u, 71u, 72u, 73u}) {
    Bytes dirty = b;
    dirty[at] ^= 0xAA;
    EXPECT_FALSE(server_side_reply(dirty, "203.0.113.7", 50004)) << at;
  }
  EXPECT_FALSE(server_side_reply(Bytes(70), "203.0.113.7", 50004));
}

TEST(Ping, TheAnswerEchoesTheSequence) {
  const auto ping = make_ping(0x2A000000);
  EXPECT_EQ(to_hex(ping), "1337cafe2a000000");
  const auto answer = server_side_reply(ping, "203.0.113.7", 50004);
  ASSERT_TRUE(answer);
  EXPECT_EQ(parse_ping_reply(*answer), 0x2A000000u);
  EXPECT_FALSE(parse_ping_reply(ping)) << "our own ping reflected is no answer";
  EXPECT_FALSE(parse_ping_reply(ByteSpan(*answer).first(7)));
}

TEST(Discovery, SharedServerVectors) {
  const auto cases = shared_cases("server_side_reply");
  if (cases.empty()) {
    GTEST_SKIP() << "the shared vectors are not here";
  }
  for (const auto& c : cases) {
    const auto reply =
        server_side_reply(*from_hex(c["packet_hex"].get<std::string>()),
                          c["from_addr"].get<std::string>(), c["from_port"].get<std::uint16_t>());
    if (c["expect_reply_hex"].is_null()) {
      EXPECT_FALSE(reply) << c["name"];
    } else {
      ASSERT_TRUE(reply) << c["name"];
      EXPECT_EQ(to_hex(*reply), c["expect_reply_hex"].get<std::string>()) << c["name"];
    }
  }
}
