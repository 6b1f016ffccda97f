// header.hpp, extension.hpp, packet.hpp and unwrap.hpp.
#include "base/hex.hpp"
#include "rtp/packet.hpp"
#include "rtp/unwrap.hpp"

#include <gtest/gtest.h>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

using namespace discord;
using namespace discord::rtp;

namespace {

Header some_header() {
  Header h;
  h.marker = true;
  h.payload_type = 120;
  h.sequence = 0x1234;
  h.timestamp = 0x01020304;
  h.ssrc = 388120;
  return h;
}

PacketError refusal(const char* hex) {
  return parse_packet(*from_hex(hex)).error();
}

std::map<int, std::string> elements_of(const char* hex, WalkEnd* end = nullptr) {
  std::map<int, std::string> out;
  const Bytes bytes = *from_hex(hex);
  const WalkEnd e = walk_elements(ByteSpan(bytes),
                                  [&](std::uint8_t id, ByteSpan data) { out[id] = to_hex(data); });
  if (end) {
    *end = e;
  }
  return out;
}

constexpr const char* plain_header =
    "8078123401020304"
    "0005ec18";

}  // namespace

TEST(Header, WritesAndReadsEveryField) {
  Header h = some_header();
  h.padding = h.extension = true;
  const std::uint32_t csrc[] = {0x11111111, 0x22222222};
  Bytes out(20);
  ASSERT_EQ(write_header(h, out, csrc), 20u);
  EXPECT_EQ(to_hex(out), "b2f81234010203040005ec181111111122222222");
  const auto back = parse_header(out);
  ASSERT_TRUE(back.ok());
  h.csrc_count = 2;
  EXPECT_EQ(*back, h);
  EXPECT_EQ(header_size(h), 20u);
  EXPECT_EQ(header_size_with_preamble(h), 24u);
}

TEST(Header, RefusesEachFault) {
  const Bytes good = *from_hex(plain_header);
  EXPECT_EQ(parse_header(ByteSpan(good).first(11)).error(), HeaderError::too_short);
  Bytes bad = good;
  bad[0] = 0x40;
  EXPECT_EQ(parse_header(bad).error(), HeaderError::bad_version);
  bad[0] = 0x81;
  EXPECT_EQ(parse_header(bad).error(), HeaderError::too_short) << "one CSRC announced, none there";
}

TEST(Header, WriterRefusesWhatDoesNotFit) {
  Bytes out(200);
  EXPECT_EQ(write_header(some_header(), MutableByteSpan(out).first(11)), 0u);
  const std::vector<std::uint32_t> sources(16);
  EXPECT_EQ(write_header(some_header(), out, sources), 0u);
}

TEST(Packet, RoundTripOfAllParts) {
  const std::uint32_t csrc[] = {7};
  const Bytes elements = *from_hex("10b09002ff");
  const Bytes payload = {1, 2, 3};
  PacketParts parts{some_header(), csrc, true, one_byte_profile, elements, payload, 5};
  Bytes out(packet_size(parts));
  ASSERT_EQ(write_packet(parts, out), out.size());
  const auto packet = parse_packet(out);
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet->header.sequence, 0x1234);
  EXPECT_EQ(packet->header.csrc_count, 1);
  EXPECT_TRUE(packet->header.padding);
  EXPECT_EQ(packet->profile, one_byte_profile);
  EXPECT_EQ(to_hex(packet->elements), "10b09002ff000000");
  EXPECT_EQ(to_hex(packet->payload), "010203");
}

TEST(Packet, WriterRefusesImpossibleParts) {
  const Bytes huge(4 * 65536);
  PacketParts parts{some_header(), {}, true, one_byte_profile, huge, {}, 0};
  Bytes out(packet_size(parts));
  EXPECT_EQ(write_packet(parts, out), 0u);
  parts.elements = {};
  EXPECT_EQ(write_packet(parts, MutableByteSpan(out).first(packet_size(parts) - 1)), 0u);
}

TEST(Packet, PurePaddingGivesAnEmptyPayload) {
  const auto packet =
      parse_packet(*from_hex("a0781234010203040005ec18000002"
                             "03"));
  ASSERT_TRUE(packet.ok()) << "four bytes, the last three are padding and one is payload";
  EXPECT_EQ(packet->payload.size(), 1u);
  const auto pure = parse_packet(*from_hex("a0781234010203040005ec18000003"));
  ASSERT_TRUE(pure.ok());
  EXPECT_TRUE(pure->payload.empty());
}

TEST(Packet, RefusesEachFault) {
  EXPECT_EQ(refusal("80"), PacketError::too_short);
  EXPECT_EQ(refusal("40781234010203040005ec18"), PacketError::bad_version);
  EXPECT_EQ(refusal("90781234010203040005ec18bede00"), PacketError::too_short);
  EXPECT_EQ(refusal("90781234010203040005ec18bede000110b090"), PacketError::bad_extension);
  EXPECT_EQ(refusal("90781234010203040005ec18bedeffff10b09000"), PacketError::bad_extension);
  EXPECT_EQ(refusal("a0781234010203040005ec18"), PacketError::bad_padding) << "nothing to count in";
  EXPECT_EQ(refusal("a0781234010203040005ec18aa00"), PacketError::bad_padding) << "count 0";
  EXPECT_EQ(refusal("a0781234010203040005ec18aa03"), PacketError::bad_padding) << "3 of 2";
}

TEST(Packet, PaddingMayNotEatTheExtension) {
  EXPECT_EQ(refusal("b0781234010203040005ec18bede000110b0900203"), PacketError::bad_padding);
}

TEST(Packet, AnUnknownProfileIsSkippedByItsLength) {
  const Bytes bytes = *from_hex("90781234010203040005ec1810000001aabbccdd0102");
  const auto packet = parse_packet(bytes);
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet->profile, 0x1000);
  EXPECT_EQ(to_hex(packet->payload), "0102");
}

TEST(Extension, WordsAreNotElements) {
  EXPECT_EQ(elements_of("10b09002"), (std::map<int, std::string>{{1, "b0"}, {9, "02"}}));
  EXPECT_EQ(elements_of("0010b09002000000"), (std::map<int, std::string>{{1, "b0"}, {9, "02"}}));
  EXPECT_EQ(elements_of("1f00112233445566778899aabbccddeeff000000").at(1),
            "00112233445566778899aabbccddeeff");
}

TEST(Extension, FaultsEndTheWalkButKeepWhatCameBefore) {
  WalkEnd end{};
  EXPECT_EQ(elements_of("10b0f0ff90029002", &end).size(), 1u);
  EXPECT_EQ(end, WalkEnd::stopped);
  EXPECT_EQ(elements_of("10b092aa", &end).size(), 1u);
  EXPECT_EQ(end, WalkEnd::overrun);
  EXPECT_EQ(elements_of("10b003aabbccdd00", &end).size(), 1u);
  EXPECT_EQ(end, WalkEnd::illegal);
  EXPECT_EQ(elements_of("", &end).size(), 0u);
  EXPECT_EQ(end, WalkEnd::complete);
  EXPECT_EQ(elements_of("10", &end).size(), 0u);
  EXPECT_EQ(end, WalkEnd::overrun);
}

TEST(Extension, PicksLevelAndSpeaker) {
  const auto ext = parse_audio_extension(one_byte_profile, *from_hex("10b09002"));
  EXPECT_EQ(ext.audio_level, 0xB0);
  EXPECT_EQ(ext.speaker, 0x02);
  EXPECT_EQ(parse_audio_extension(0x1000, *from_hex("10b09002")), AudioExtension{});
  const auto cut = parse_audio_extension(one_byte_profile, *from_hex("10b092aa"));
  EXPECT_EQ(cut.audio_level, 0xB0);
  EXPECT_FALSE(cut.speaker);
}

TEST(Extension, SpeakingFlags) {
  EXPECT_EQ(speaking_flags(0x02), 1);
  EXPECT_EQ(speaking_flags(0x01), 5) << "priority implies voice";
  EXPECT_EQ(speaking_flags(0x03), 5);
  EXPECT_EQ(speaking_flags(0x04), 2);
  EXPECT_EQ(speaking_flags(0x00), 1);
  EXPECT_EQ(speaking_flags(0x06), 3);
  EXPECT_EQ(speaking_flags(std::nullopt), 1);
  EXPECT_EQ(speaking_flags(0xF8), 1) << "unknown bits alone are no statement";
}

TEST(Extension, SharedVectors) {
  const char* folder = std::getenv("DISCORD_SHARED");
  std::ifstream file(std::string(folder ? folder : "") +
                     "/vectors/transport/udp_misc_vectors.json");
  if (!file) {
    GTEST_SKIP() << "the shared vectors are not here";
  }
  for (const auto& c : nlohmann::json::parse(file)) {
    if (c["test"] == "speaking_ext_to_flags") {
      EXPECT_EQ(speaking_flags((*from_hex(c["ext_byte_hex"].get<std::string>()))[0]),
                c["expect_flags"].get<int>())
          << c["name"];
    } else if (c["test"] == "bede_elements") {
      WalkEnd end{};
      const auto found = elements_of(c["elements_hex"].get<std::string>().c_str(), &end);
      if (c["expect"].is_object()) {
        std::map<int, std::string> wanted;
        for (const auto& [id, value] : c["expect"].items()) {
          wanted[std::stoi(id)] = value.get<std::string>();
        }
        EXPECT_EQ(found, wanted) << c["name"];
      } else {
        EXPECT_TRUE(end == WalkEnd::overrun || end == WalkEnd::illegal) << c["name"];
      }
    }
  }
}

TEST(Unwrap, FollowsAWrapAndLateOnesAcrossIt) {
  SequenceUnwrapper u;
  const auto first = u.unwrap(65534);
  EXPECT_EQ(first & 0xFFFF, 65534u);
  EXPECT_EQ(u.unwrap(1), first + 3);
  EXPECT_EQ(u.unwrap(65535), first + 1) << "late, from before the wrap";
  EXPECT_EQ(u.highest(), first + 3) << "a late packet must not drag the reference back";
  EXPECT_EQ(u.unwrap(2), first + 4);
}

TEST(Unwrap, EarlierThanTheFirstStaysAboveZero) {
  SequenceUnwrapper u;
  const auto first = u.unwrap(0);
  EXPECT_EQ(u.unwrap(65535), first - 1);
  EXPECT_EQ(u.unwrap(0x8000), first - 0x8000) << "half way counts as earlier";
  EXPECT_EQ(u.unwrap(0x7FFF), first + 0x7FFF);
}

TEST(Unwrap, PeekChangesNothingAndResetForgets) {
  SequenceUnwrapper u;
  EXPECT_EQ(u.peek(5), SequenceUnwrapper::origin + 5);
  EXPECT_FALSE(u.highest());
  u.unwrap(60000);
  u.unwrap(10);
  EXPECT_EQ(u.peek(11), SequenceUnwrapper::origin + 65536 + 11);
  EXPECT_EQ(u.highest(), SequenceUnwrapper::origin + 65536 + 10);
  u.reset();
  EXPECT_EQ(u.unwrap(11), SequenceUnwrapper::origin + 11);
}

TEST(Unwrap, TimestampsOverManyWraps) {
  TimestampUnwrapper u;
  std::uint32_t wire = 0xFFFFFF00;
  const auto first = u.unwrap(wire);
  std::uint64_t expected = first;
  for (int i = 0; i < 20; ++i) {
    wire += 0x7FFFFFFF;
    expected += 0x7FFFFFFF;
    ASSERT_EQ(u.unwrap(wire), expected);
    ASSERT_EQ(static_cast<std::uint32_t>(expected), wire);
  }
}
