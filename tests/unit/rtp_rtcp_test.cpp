#include "base/hex.hpp"
#include "rtp/rtcp.hpp"

#include <gtest/gtest.h>
#include <string>

using namespace discord;
using namespace discord::rtp;

namespace {

RtcpError refusal(const std::string& hex) {
  const Bytes bytes = *from_hex(hex);
  CompoundReader reader(bytes);
  const auto packet = reader.next();
  EXPECT_TRUE(reader.at_end()) << "after a refusal there is nothing more to trust";
  return packet.error();
}

// The only packet of a compound; the bytes must outlive the views in it.
template <class T> T only(const Bytes& bytes) {
  CompoundReader reader(bytes);
  auto packet = reader.next();
  EXPECT_TRUE(packet.ok());
  EXPECT_TRUE(reader.at_end());
  return std::get<T>(*packet);
}

const ReportBlock block{388120, 12, -5, 0x00011234, 33, 0x89ABCDEF, 0x00010000};

}  // namespace

TEST(Rtcp, ReceiverReportRoundTrip) {
  Bytes out(64);
  const ReportBlock blocks[] = {block, {}};
  const std::size_t size = write_receiver_report(1, blocks, out);
  ASSERT_EQ(size, 56u);
  out.resize(size);
  const auto rr = only<ReceiverReport>(out);
  EXPECT_EQ(rr.ssrc, 1u);
  ASSERT_EQ(rr.blocks.size(), 2u);
  EXPECT_EQ(rr.blocks.at(0), block) << "the 24-bit loss is signed";
  EXPECT_EQ(rr.blocks.at(1), ReportBlock{});
}

TEST(Rtcp, CompoundOfSenderReportAndSdesIsWalkedByLength) {
  Bytes out(128);
  std::size_t size =
      write_sender_report(388120, 0xE957A59B69374BC6, 0x01020304, 1000, 60000, {}, out);
  size += write_sdes_cname(388120, "someone", MutableByteSpan(out).subspan(size));
  out.resize(size);
  CompoundReader reader(out);
  const auto first = reader.next();
  ASSERT_TRUE(first.ok());
  const auto& sr = std::get<SenderReport>(*first);
  EXPECT_EQ(sr.ssrc, 388120u);
  EXPECT_EQ(sr.ntp, 0xE957A59B69374BC6u);
  EXPECT_EQ(sr.rtp_timestamp, 0x01020304u);
  EXPECT_EQ(sr.packet_count, 1000u);
  EXPECT_EQ(sr.octet_count, 60000u);
  EXPECT_EQ(sr.blocks.size(), 0u);
  ASSERT_FALSE(reader.at_end());
  const auto second = reader.next();
  ASSERT_TRUE(second.ok());
  int items = 0;
  std::get<SourceDescription>(*second).for_each_item(
      [&](std::uint32_t ssrc, std::uint8_t type, ByteSpan text) {
        ++items;
        EXPECT_EQ(ssrc, 388120u);
        EXPECT_EQ(type, 1);
        EXPECT_EQ(std::string(text.begin(), text.end()), "someone");
      });
  EXPECT_EQ(items, 1);
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(reader.next().error(), RtcpError::truncated);
}

TEST(Rtcp, SdesTextOfEveryLengthModuloFour) {
  for (std::size_t n = 0; n < 9; ++n) {
    Bytes out(64);
    out.resize(write_sdes_cname(9, std::string(n, 'x'), out));
    ASSERT_GT(out.size(), 0u);
    std::size_t seen = 99;
    only<SourceDescription>(out).for_each_item(
        [&](std::uint32_t, std::uint8_t, ByteSpan text) { seen = text.size(); });
    EXPECT_EQ(seen, n);
  }
}

TEST(Rtcp, SdesWithSeveralChunks) {
  const Bytes bytes = *from_hex(
      "82ca0006"
      "00000001"
      "01016100"
      "00000002"
      "01026263"
      "020064ff"
      "00000000");
  // The second chunk: CNAME "bc", an empty NAME, then an item of 255 bytes that are not there.
  CompoundReader reader(bytes);
  EXPECT_EQ(reader.next().error(), RtcpError::bad_body);
  const Bytes good = *from_hex(
      "82ca0005"
      "00000001"
      "01016100"
      "00000002"
      "01026263"
      "00000000");
  const auto sdes = only<SourceDescription>(good);
  std::string all;
  sdes.for_each_item([&](std::uint32_t ssrc, std::uint8_t, ByteSpan text) {
    all += std::to_string(ssrc) + std::string(text.begin(), text.end());
  });
  EXPECT_EQ(sdes.chunk_count(), 2);
  EXPECT_EQ(all, "1a2bc");
}

TEST(Rtcp, ByeWithAndWithoutReason) {
  Bytes out(64);
  out.resize(write_bye(5, "moved", out));
  auto bye = only<Bye>(out);
  ASSERT_EQ(bye.size(), 1u);
  EXPECT_EQ(bye.source(0), 5u);
  ASSERT_TRUE(bye.reason);
  EXPECT_EQ(std::string(bye.reason->begin(), bye.reason->end()), "moved");
  out.assign(64, 0);
  out.resize(write_bye(6, "", out));
  bye = only<Bye>(out);
  EXPECT_EQ(bye.source(0), 6u);
  EXPECT_FALSE(bye.reason);
}

TEST(Rtcp, AppFeedbackAndUnknownTypes) {
  const Bytes app = *from_hex(
      "83cc0003"
      "00000007"
      "74657374"
      "01020304");
  const auto a = only<App>(app);
  EXPECT_EQ(a.subtype, 3);
  EXPECT_EQ(a.ssrc, 7u);
  EXPECT_EQ(std::string(a.name.begin(), a.name.end()), "test");
  EXPECT_EQ(to_hex(a.data), "01020304");
  const Bytes nack = *from_hex(
      "81cd0003"
      "00000001"
      "00000002"
      "00050001");
  const auto f = only<RtcpFeedback>(nack);
  EXPECT_EQ(f.type, 205);
  EXPECT_EQ(f.format, 1);
  EXPECT_EQ(f.sender_ssrc, 1u);
  EXPECT_EQ(f.media_ssrc, 2u);
  EXPECT_EQ(to_hex(f.control), "00050001");
  const Bytes xr = *from_hex(
      "80cf0001"
      "00000001");
  EXPECT_EQ(only<UnknownRtcp>(xr).type, 207);
}

TEST(Rtcp, PaddingBelongsToTheLastPacketOnly) {
  const Bytes good = *from_hex(
      "a0c90002"
      "00000001"
      "00000004");
  EXPECT_EQ(only<ReceiverReport>(good).ssrc, 1u);
  EXPECT_EQ(refusal("a0c90002"
                    "00000001"
                    "00000004"
                    "80c90001"
                    "00000002"),
            RtcpError::bad_padding);
  EXPECT_EQ(refusal("a0c90002"
                    "00000001"
                    "00000000"),
            RtcpError::bad_padding);
  EXPECT_EQ(refusal("a0c90002"
                    "00000001"
                    "00000003"),
            RtcpError::bad_padding);
  EXPECT_EQ(refusal("a0c90002"
                    "00000001"
                    "0000000c"),
            RtcpError::bad_padding);
  EXPECT_EQ(refusal("a0c90000"), RtcpError::bad_padding);
}

TEST(Rtcp, RefusesEachFault) {
  EXPECT_EQ(refusal("80c900"), RtcpError::truncated);
  EXPECT_EQ(refusal("80c90002"
                    "00000001"),
            RtcpError::truncated);
  EXPECT_EQ(refusal("80c9ffff"
                    "00000001"),
            RtcpError::truncated);
  EXPECT_EQ(refusal("40c90001"
                    "00000001"),
            RtcpError::bad_version);
  EXPECT_EQ(refusal("80c90000"), RtcpError::bad_body) << "RR without its SSRC";
  EXPECT_EQ(refusal("81c90001"
                    "00000001"),
            RtcpError::bad_body)
      << "one block announced";
  EXPECT_EQ(refusal("80c80001"
                    "00000001"),
            RtcpError::bad_body)
      << "SR without sender info";
  EXPECT_EQ(refusal("82cb0001"
                    "00000001"),
            RtcpError::bad_body)
      << "two sources announced";
  EXPECT_EQ(refusal("81cb0002"
                    "00000001"
                    "04414243"),
            RtcpError::bad_body)
      << "reason too long";
  EXPECT_EQ(refusal("80cc0001"
                    "00000001"),
            RtcpError::bad_body)
      << "APP without a name";
  EXPECT_EQ(refusal("81cd0001"
                    "00000001"),
            RtcpError::bad_body)
      << "feedback without media SSRC";
  EXPECT_EQ(refusal("81ca0001"
                    "00000001"),
            RtcpError::bad_body)
      << "chunk without item list";
  EXPECT_EQ(refusal("81ca0002"
                    "00000001"
                    "01046162"),
            RtcpError::bad_body)
      << "item too long";
  EXPECT_EQ(refusal("81ca0002"
                    "00000001"
                    "01026162"),
            RtcpError::bad_body)
      << "no terminator";
}

TEST(Rtcp, WritersRefuseWhatDoesNotFit) {
  Bytes out(512);
  const std::vector<ReportBlock> many(32);
  EXPECT_EQ(write_receiver_report(1, many, out), 0u);
  EXPECT_EQ(write_receiver_report(1, {}, MutableByteSpan(out).first(7)), 0u);
  EXPECT_EQ(write_sender_report(1, 0, 0, 0, 0, {}, MutableByteSpan(out).first(27)), 0u);
  EXPECT_EQ(write_sdes_cname(1, std::string(256, 'x'), out), 0u);
  EXPECT_EQ(write_bye(1, "abc", MutableByteSpan(out).first(11)), 0u);
}
