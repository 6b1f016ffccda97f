// mode.hpp and cipher.hpp: what is sealed here opens here, and every refusal has its cause.
#include "base/hex.hpp"
#include "transport/cipher.hpp"

#include <gtest/gtest.h>

using namespace discord;
using namespace discord::transport;

namespace {

constexpr std::array all_modes = {Mode::aead_aes256_gcm_rtpsize,
                                  Mode::aead_xchacha20_poly1305_rtpsize,
                                  Mode::xsalsa20_poly1305_lite_rtpsize,
                                  Mode::aead_aes256_gcm,
                                  Mode::xsalsa20_poly1305,
                                  Mode::xsalsa20_poly1305_suffix,
                                  Mode::xsalsa20_poly1305_lite};

Key some_key(std::uint8_t seed = 0x40) {
  std::array<std::uint8_t, 32> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(seed + i);
  }
  return Key(bytes);
}

rtp::Header some_header(std::uint16_t sequence = 0x1234) {
  rtp::Header h;
  h.payload_type = 120;
  h.sequence = sequence;
  h.timestamp = 0x01020304;
  h.ssrc = 388120;
  return h;
}

Bytes seal(Cipher& cipher, const rtp::PacketParts& parts, std::uint32_t counter = 42) {
  Bytes out(cipher.sealed_size(parts));
  const auto sealed = cipher.seal_rtp(parts, counter, out);
  EXPECT_TRUE(sealed.ok());
  EXPECT_EQ(sealed->size(), out.size());
  return out;
}

// Seals a packet that no sane sender would write and says why it is refused.
OpenError refusal_of(Mode mode, const std::string& plain_hex) {
  Cipher cipher(mode, some_key());
  const Bytes plain = *from_hex(plain_hex);
  Bytes out(cipher.sealed_size(plain.size()));
  EXPECT_TRUE(cipher.seal_plain_rtp(plain, 1, out).ok());
  return cipher.open_rtp(out).error();
}

const Bytes payload = {0x78, 1, 2, 3, 4, 5};
const Bytes elements = {0x10, 0xB0, 0x90, 0x02};
const std::uint32_t csrc[] = {0x11111111, 0x22222222};

}  // namespace

class EveryMode : public testing::TestWithParam<Mode> {};
INSTANTIATE_TEST_SUITE_P(Modes, EveryMode, testing::ValuesIn(all_modes),
                         [](const testing::TestParamInfo<Mode>& param) {
                           return std::string(to_string(param.param));
                         });

TEST_P(EveryMode, NameAndTraitsAgree) {
  EXPECT_EQ(mode_from_name(to_string(GetParam())), GetParam());
  const auto limits = limits_for(GetParam(), 111);
  Cipher cipher(GetParam(), some_key());
  EXPECT_EQ(limits.min_rtp, cipher.sealed_size(12));
  EXPECT_EQ(limits.min_rtcp, cipher.sealed_size(8));
  EXPECT_EQ(limits.audio_payload_type, 111);
}

TEST_P(EveryMode, RoundTripOfEveryShape) {
  Cipher cipher(GetParam(), some_key());
  for (const bool with_csrc : {false, true}) {
    for (const bool with_extension : {false, true}) {
      for (const std::uint8_t padding : {0, 1, 7, 255}) {
        for (const ByteSpan body : {ByteSpan(payload), ByteSpan()}) {
          rtp::PacketParts parts;
          parts.header = some_header();
          if (with_csrc) {
            parts.csrc = csrc;
          }
          parts.has_extension = with_extension;
          parts.elements = elements;
          parts.payload = body;
          parts.padding = padding;
          Bytes datagram = seal(cipher, parts);
          const auto opened = cipher.open_rtp(datagram);
          ASSERT_TRUE(opened.ok());
          EXPECT_EQ(to_hex(opened->payload), to_hex(body));
          EXPECT_EQ(opened->header.sequence, 0x1234);
          EXPECT_EQ(opened->header.csrc_count, with_csrc ? 2 : 0);
          EXPECT_EQ(opened->header.padding, padding > 0);
          EXPECT_EQ(opened->extension.audio_level.has_value(), with_extension);
          EXPECT_EQ(opened->extension.speaker.value_or(2), 2);
          EXPECT_EQ(opened->packet.size(), rtp::packet_size(parts));
          Bytes plain(rtp::packet_size(parts));
          ASSERT_EQ(rtp::write_packet(parts, plain), plain.size());
          EXPECT_EQ(to_hex(opened->packet), to_hex(plain)) << "the packet is whole and in one run";
        }
      }
    }
  }
}

TEST_P(EveryMode, SealingAWrittenPacketGivesTheSameBytes) {
  Cipher cipher(GetParam(), some_key());
  rtp::PacketParts parts{some_header(), csrc, true, rtp::one_byte_profile, elements, payload, 3};
  Bytes plain(rtp::packet_size(parts));
  ASSERT_EQ(rtp::write_packet(parts, plain), plain.size());
  Bytes out(cipher.sealed_size(plain.size()));
  ASSERT_TRUE(cipher.seal_plain_rtp(plain, 42, out).ok());
  EXPECT_EQ(to_hex(out), to_hex(seal(cipher, parts, 42)));
}

TEST_P(EveryMode, RtcpRoundTrip) {
  Cipher cipher(GetParam(), some_key());
  Bytes compound(128);
  const rtp::ReportBlock block{388120, 1, -2, 3, 4, 5, 6};
  std::size_t size = rtp::write_receiver_report(1, std::span(&block, 1), compound);
  size += rtp::write_sdes_cname(1, "x", MutableByteSpan(compound).subspan(size));
  compound.resize(size);
  Bytes out(cipher.sealed_size(size));
  ASSERT_TRUE(cipher.seal_rtcp(compound, 7, out).ok());
  EXPECT_EQ(to_hex(ByteSpan(out).first(8)), to_hex(ByteSpan(compound).first(8)));
  const auto opened = cipher.open_rtcp(out);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(to_hex(*opened), to_hex(compound));
}

TEST_P(EveryMode, OneCipherForManyPacketsAlsoAfterFailures) {
  Cipher cipher(GetParam(), some_key());
  NonceCounter nonce;
  for (std::uint16_t i = 0; i < 200; ++i) {
    rtp::PacketParts parts;
    parts.header = some_header(i);
    parts.payload = payload;
    const Bytes good = seal(cipher, parts, *nonce.next());
    Bytes bad = good;
    bad[i % 2 == 0 ? 20 : bad.size() - traits(GetParam()).suffix_size - 1] ^= 0x10;
    ASSERT_EQ(cipher.open_rtp(bad).error(), OpenError::not_authentic);
    Bytes cut(good.begin(), good.begin() + 13);
    ASSERT_FALSE(cipher.open_rtp(cut).ok());
    Bytes again = good;
    const auto opened = cipher.open_rtp(again);
    ASSERT_TRUE(opened.ok());
    ASSERT_EQ(opened->header.sequence, i);
    ASSERT_EQ(to_hex(opened->payload), to_hex(payload));
  }
}

TEST_P(EveryMode, AnotherKeyIsNotAuthentic) {
  Cipher ours(GetParam(), some_key());
  Cipher theirs(GetParam(), some_key(0x41));
  rtp::PacketParts parts;
  parts.header = some_header();
  parts.payload = payload;
  Bytes datagram = seal(theirs, parts);
  EXPECT_EQ(ours.open_rtp(datagram).error(), OpenError::not_authentic);
  Bytes compound(8);
  compound[0] = 0x80;
  Bytes out(theirs.sealed_size(8));
  ASSERT_TRUE(theirs.seal_rtcp(compound, 1, out).ok());
  EXPECT_EQ(ours.open_rtcp(out).error(), OpenError::not_authentic);
}

TEST_P(EveryMode, TooShortAndWrongVersion) {
  Cipher cipher(GetParam(), some_key());
  Bytes shortest(traits(GetParam()).min_rtp() - 1);
  shortest[0] = 0x80;
  for (std::size_t size = 0; size <= shortest.size(); ++size) {
    EXPECT_EQ(cipher.open_rtp(MutableByteSpan(shortest).first(size)).error(), OpenError::too_short);
  }
  Bytes report(traits(GetParam()).min_rtcp() - 1);
  report[0] = 0x80;
  for (std::size_t size = 0; size <= report.size(); ++size) {
    EXPECT_EQ(cipher.open_rtcp(MutableByteSpan(report).first(size)).error(), OpenError::too_short);
  }
  Bytes version1(100);
  version1[0] = 0x40;
  EXPECT_EQ(cipher.open_rtp(version1).error(), OpenError::bad_version);
  EXPECT_EQ(cipher.open_rtcp(version1).error(), OpenError::bad_version);
}

TEST_P(EveryMode, ClearPartThatDoesNotFit) {
  Cipher cipher(GetParam(), some_key());
  Bytes cc15(60);
  cc15[0] = 0x8F;
  EXPECT_FALSE(cipher.open_rtp(cc15).ok());
  Bytes no_preamble(14);
  no_preamble[0] = 0x90;
  EXPECT_EQ(cipher.open_rtp(no_preamble).error(), OpenError::too_short);
}

TEST_P(EveryMode, AuthenticButMalformed) {
  const Mode mode = GetParam();
  const std::string rest = "781234010203040005ec18";
  EXPECT_EQ(refusal_of(mode, "90" + rest + "bede000110b090"), OpenError::bad_extension);
  EXPECT_EQ(refusal_of(mode, "90" + rest + "bedeffff10b09000"), OpenError::bad_extension);
  EXPECT_EQ(refusal_of(mode, "a0" + rest), OpenError::bad_padding) << "no byte to count in";
  EXPECT_EQ(refusal_of(mode, "a0" + rest + "aa00"), OpenError::bad_padding);
  EXPECT_EQ(refusal_of(mode, "a0" + rest + "aa03"), OpenError::bad_padding);
  EXPECT_EQ(refusal_of(mode, "b0" + rest + "bede000110b0900203"), OpenError::bad_padding)
      << "padding may not eat extension bytes";
}

// Found in several libraries: with padding left on, the end-to-end layer looks for its trailer in
// the wrong place and the audio stutters.
TEST_P(EveryMode, PaddingIsCountedInThePlaintextNotInTheDatagram) {
  Cipher cipher(GetParam(), some_key());
  const Bytes frame = {1, 2, 3, 0xFA, 0xFA};
  rtp::PacketParts parts{some_header(), {}, true, rtp::one_byte_profile, elements, frame, 9};
  Bytes datagram = seal(cipher, parts);
  const auto opened = cipher.open_rtp(datagram);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(to_hex(opened->payload), "010203fafa");
}

TEST_P(EveryMode, SealingRefusesWhatItCannotDo) {
  Cipher cipher(GetParam(), some_key());
  rtp::PacketParts parts;
  parts.header = some_header();
  parts.payload = payload;
  Bytes out(512);
  const auto small = MutableByteSpan(out).first(cipher.sealed_size(parts) - 1);
  EXPECT_EQ(cipher.seal_rtp(parts, 1, small).error(), SealError::too_small);
  const std::vector<std::uint32_t> sources(16);
  parts.csrc = sources;
  EXPECT_EQ(cipher.seal_rtp(parts, 1, out).error(), SealError::bad_packet);
  const Bytes eleven(11, 0x80);
  EXPECT_EQ(cipher.seal_plain_rtp(eleven, 1, out).error(), SealError::bad_packet);
  const Bytes twelve(12, 0x80);
  EXPECT_EQ(cipher.seal_plain_rtp(twelve, 1, MutableByteSpan(out).first(12)).error(),
            SealError::too_small);
  const Bytes seven(7, 0x80);
  EXPECT_EQ(cipher.seal_rtcp(seven, 1, out).error(), SealError::bad_packet);
  EXPECT_EQ(cipher.seal_rtcp(twelve, 1, MutableByteSpan(out).first(12)).error(),
            SealError::too_small);
}

TEST_P(EveryMode, MovedCipherKeepsWorking) {
  Cipher first(GetParam(), some_key());
  Cipher second(std::move(first));
  rtp::PacketParts parts;
  parts.header = some_header();
  Bytes datagram = seal(second, parts);
  EXPECT_TRUE(second.open_rtp(datagram).ok());
}

TEST(Cipher, AuthenticatedModesNoticeAChangedHeader) {
  for (const Mode mode : live_modes) {
    Cipher cipher(mode, some_key());
    rtp::PacketParts parts{some_header(), csrc, true, rtp::one_byte_profile, elements, payload, 0};
    const Bytes good = seal(cipher, parts);
    for (std::size_t i = 1; i < 24; ++i) {
      Bytes bad = good;
      bad[i] ^= 1;
      EXPECT_FALSE(cipher.open_rtp(bad).ok()) << to_string(mode) << " byte " << i;
    }
  }
}

TEST(Cipher, PlaintextThatWasNeverAuthenticIsGone) {
  Cipher cipher(Mode::aead_aes256_gcm_rtpsize, some_key());
  rtp::PacketParts parts;
  parts.header = some_header();
  parts.payload = payload;
  Bytes datagram = seal(cipher, parts);
  datagram[datagram.size() - 5] ^= 1;  // the tag's last byte
  ASSERT_EQ(cipher.open_rtp(datagram).error(), OpenError::not_authentic);
  EXPECT_EQ(to_hex(ByteSpan(datagram).subspan(12, payload.size())), "000000000000");
}

TEST(Mode, UnknownNamesAreNotGuessed) {
  EXPECT_FALSE(mode_from_name(""));
  EXPECT_FALSE(mode_from_name("aead_aes256_gcm_rtpsiz"));
  EXPECT_FALSE(mode_from_name("AEAD_AES256_GCM_RTPSIZE"));
}

TEST(OpenErrors, HaveDistinctNames) {
  EXPECT_STREQ(to_string(OpenError::too_short), "too-short");
  EXPECT_STREQ(to_string(OpenError::bad_version), "bad-version");
  EXPECT_STREQ(to_string(OpenError::bad_extension), "bad-extension");
  EXPECT_STREQ(to_string(OpenError::not_authentic), "not-authentic");
  EXPECT_STREQ(to_string(OpenError::bad_padding), "bad-padding");
}

TEST(NonceCounter, SidesNeverMeet) {
  NonceCounter client;
  NonceCounter server(Side::server);
  EXPECT_EQ(client.next(), 0u);
  EXPECT_EQ(client.next(), 1u);
  EXPECT_EQ(server.next(), 0x80000000u);
  EXPECT_EQ(server.next(), 0x80000001u);
}
