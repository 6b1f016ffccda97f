// Opening what others sealed: the known answers that live here, and the shared vectors.
#include "base/hex.hpp"
#include "tests/data/transport_known_answers.hpp"
#include "transport/cipher.hpp"

#include <gtest/gtest.h>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace discord;
using namespace discord::transport;

namespace {

Key key_from(std::string_view hex) {
  const Bytes bytes = *from_hex(hex);
  return Key(std::span<const std::uint8_t, 32>(bytes.data(), 32));
}

nlohmann::json load() {
  const char* folder = std::getenv("DISCORD_SHARED");
  std::ifstream file(std::string(folder ? folder : "") +
                     "/vectors/transport/transport_vectors.json");
  return file ? nlohmann::json::parse(file) : nlohmann::json::array();
}

struct Vector {
  std::string name;
  nlohmann::json data;
};
void PrintTo(const Vector& v, std::ostream* out) {
  *out << v.name;
}

std::vector<Vector> vectors() {
  std::vector<Vector> out;
  for (auto& v : load()) {
    out.push_back({v["name"].get<std::string>(), v});
  }
  if (out.empty()) {
    out.push_back({"absent", {}});
  }
  return out;
}

}  // namespace

class TransportVector : public testing::TestWithParam<Vector> {};

TEST_P(TransportVector, OpensOrIsRefused) {
  const nlohmann::json& v = GetParam().data;
  if (v.is_null()) {
    GTEST_SKIP() << "the shared vectors are not here";
  }
  const auto mode = mode_from_name(v["mode"].get<std::string>());
  ASSERT_TRUE(mode);
  Cipher cipher(*mode, key_from(v["key_hex"].get<std::string>()));
  Bytes datagram = *from_hex(v["packet_hex"].get<std::string>());
  const bool good = v["expect"] == "ok";
  if (v["kind"] == "rtcp") {
    const auto opened = cipher.open_rtcp(datagram);
    ASSERT_EQ(opened.ok(), good);
    if (good) {
      EXPECT_EQ(to_hex(opened->subspan(8)), v["payload_hex"].get<std::string>());
      EXPECT_EQ((*opened)[0] & 0x1F, v["rtcp"]["count"].get<int>());
      EXPECT_EQ((*opened)[1], v["rtcp"]["pt"].get<int>());
      EXPECT_EQ(load_be16(opened->data() + 2), v["rtcp"]["length_words"].get<int>());
      EXPECT_EQ(load_be32(opened->data() + 4), v["rtcp"]["ssrc"].get<std::uint32_t>());
      for (rtp::CompoundReader reader(*opened); !reader.at_end();) {
        EXPECT_TRUE(reader.next().ok());
      }
    }
    return;
  }
  const auto opened = cipher.open_rtp(datagram);
  ASSERT_EQ(opened.ok(), good);
  if (!good) {
    return;
  }
  EXPECT_EQ(to_hex(opened->payload), v["payload_hex"].get<std::string>());
  EXPECT_EQ(opened->header.ssrc, v["rtp"]["ssrc"].get<std::uint32_t>());
  EXPECT_EQ(opened->header.sequence, v["rtp"]["seq"].get<int>());
  EXPECT_EQ(opened->header.timestamp, v["rtp"]["timestamp"].get<std::uint32_t>());
  EXPECT_EQ(opened->header.payload_type, v["rtp"]["pt"].get<int>());
  EXPECT_EQ(opened->header.marker, v["rtp"]["marker"].get<bool>());
  if (v.contains("extensions") && v["extensions"].is_object()) {
    const auto wanted = [&](const char* id) -> std::optional<std::uint8_t> {
      const auto it = v["extensions"].find(id);
      return it == v["extensions"].end() ? std::nullopt
                                         : std::optional((*from_hex(it->get<std::string>()))[0]);
    };
    EXPECT_EQ(opened->extension.audio_level, wanted("1"));
    EXPECT_EQ(opened->extension.speaker, wanted("9"));
  }
}

INSTANTIATE_TEST_SUITE_P(Shared, TransportVector, testing::ValuesIn(vectors()),
                         [](const testing::TestParamInfo<Vector>& param) {
                           std::string name = param.param.name;
                           for (char& c : name) {
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           }
                           return name;
                         });

TEST(TransportKnownAnswers, Open) {
  for (const test::KnownAnswer& answer : test::known_answers) {
    SCOPED_TRACE(std::string(answer.mode) + "/" + std::string(answer.shape));
    const auto mode = mode_from_name(answer.mode);
    ASSERT_TRUE(mode);
    Cipher cipher(*mode, key_from(answer.key));
    Bytes datagram = *from_hex(answer.datagram);
    if (answer.shape == "rtcp_rr") {
      const auto opened = cipher.open_rtcp(datagram);
      ASSERT_TRUE(opened.ok());
      EXPECT_EQ(to_hex(opened->subspan(8)), answer.payload);
    } else {
      const auto opened = cipher.open_rtp(datagram);
      ASSERT_TRUE(opened.ok());
      EXPECT_EQ(to_hex(opened->payload), answer.payload);
      EXPECT_EQ(opened->header.ssrc, 388120u);
    }
  }
}

TEST(TransportKnownAnswers, AreRefusedWhenAnySealedByteChanges) {
  for (const test::KnownAnswer& answer : test::known_answers) {
    SCOPED_TRACE(std::string(answer.mode) + "/" + std::string(answer.shape));
    Cipher cipher(*mode_from_name(answer.mode), key_from(answer.key));
    const Bytes good = *from_hex(answer.datagram);
    for (std::size_t i = 24; i < good.size(); ++i) {
      Bytes bad = good;
      bad[i] ^= 1;
      const bool opened =
          answer.shape == "rtcp_rr" ? cipher.open_rtcp(bad).ok() : cipher.open_rtp(bad).ok();
      EXPECT_FALSE(opened) << "byte " << i;
    }
  }
}
