// Known answers for the media half of DAVE, so that it is checked where no further vectors are at
// hand.
#pragma once

#include <cstdint>
#include <string_view>

namespace discord::test {

inline constexpr std::string_view dave_ratchet_base = "46a7b7e528bdd94932a301ebfdec1270";
struct DaveGenerationKey {
  unsigned generation;
  std::string_view key;
};
inline constexpr DaveGenerationKey dave_generation_keys[] = {
    {0, "edfe7f489a4394fe5a3f3d2b698fef1b"},   {1, "16d950822de4e411a6d3542bfc5a2d44"},
    {2, "b04b127851b2b0fed807123e65bb6404"},   {5, "d9a70e1fe850556f74b19ecfa5e8cb61"},
    {250, "3f597de6adfbde5f1fff3a2b0ba6e390"}, {256, "409897a9831fd21e52c5204f5d089a12"},
    {300, "88f6f2520250f1e2ef5d3892f16ab2d5"},
};

struct DaveFrame {
  std::string_view name;
  std::string_view base;
  std::string_view frame;
  std::string_view plain;  // "" and not `opened`: refused
  bool opened;
};
inline constexpr DaveFrame dave_frames[] = {
    {"0-byte payload", "bcf68234cb824a8dcdf24fdc1646188e", "4f587b8add403533010cfafa", "", true},
    {"3-byte payload", "bcf68234cb824a8dcdf24fdc1646188e", "f06a85841be709a0ca9b8d030cfafa",
     "ff312c", true},
    {"nonce 16384", "bcf68234cb824a8dcdf24fdc1646188e",
     "aa90c9f597feb01a1c9f0b66494bd746bf5dbf4c6e4e785c8ec2671f40321e0cab9e18d5f7dc765d"
     "476aad39d7ff7b5ee95e53ff3c5ca16d86ff96a623ae04f1e449f6f88080010efafa",
     "9a86029fe6ac5cbcb29b45492bc4eb72b842f9800a9385e85191b883ea2092c962ccb882a2ab7a2a"
     "bc0c54ac248638dd2149c91a5b29f74a6c7af6a5",
     true},
    {"nonce 16777215", "bcf68234cb824a8dcdf24fdc1646188e",
     "04624a3ff51ea1d1a3ed0503b764d4587a5b1c29b4baa264c6624f9917a23d7cef9b890134e1d1c1"
     "eb5c5a94c53003b556aee8885ee0eb00e0e31584d693f2778df22553ffffff070ffafa",
     "8dbe82b02247e409c1563078d1909283480b42e4c40617d071b3a42b3b032980f8c60ef3649849bd"
     "a5c91e73b39e4365c4953880ddb07bd73c59e5e5",
     true},
    {"clear ranges [[2,3],[10,5]]", "0bfcd271f3615eafcf6aec5583015a57",
     "0a568fca76c90af585a942def26e510665e549bc9bb4356aeca19099e4b840368083f88bb56bd4ad"
     "d0ecd16262b9afa0f6195132086a8032a85bfa9a5fdda677bdd0ce3e5698690e0302030a0510fafa",
     "c2908fca763eefd3dbd542def26e51fb8c637f5c1b887c85fd6e76e86618d3b1423cacef0d7f1606"
     "7c626b64524ccf123801aba88f1783603ea828a61cd6847e",
     true},
    {"clear ranges [[0,64]]", "0bfcd271f3615eafcf6aec5583015a57",
     "c2908fca763eefd3dbd542def26e51fb8c637f5c1b887c85fd6e76e86618d3b1423cacef0d7f1606"
     "7c626b64524ccf123801aba88f1783603ea828a61cd6847e7b9978441d6099cc0400400efafa",
     "c2908fca763eefd3dbd542def26e51fb8c637f5c1b887c85fd6e76e86618d3b1423cacef0d7f1606"
     "7c626b64524ccf123801aba88f1783603ea828a61cd6847e",
     true},
    {"unterminated nonce", "0bfcd271f3615eafcf6aec5583015a57",
     "53db7290058228c5aa0a5d1042dc00773d94b57254f7f364c9fb708a8a0cfafa", "", false},
    {"overlapping ranges", "0bfcd271f3615eafcf6aec5583015a57",
     "53db7290058228c5aa0a5d1042dc00773d94b57254f7f364c9fb708a0a0005030210fafa", "", false},
    {"tag changed", "0bfcd271f3615eafcf6aec5583015a57",
     "53db7290058228c5aa0a5d1042dc00773d94b57255f7f364c9fb708a0a0cfafa", "", false},
};

inline constexpr std::string_view dave_authenticator =
    "fce4add329dc0ec8743fb8a3876c6e3b50aacc5c6296240ccd1c758af154288d";
inline constexpr std::string_view dave_privacy_code = "556252310343790411803998124308";

inline constexpr std::string_view dave_key_a =
    "9cd5f8e62a32c5ac076d2d5f4ad1d91445ee4836f98395c679f6ab1d64f4238cfe165fca54e78786"
    "1222a0fcf371b2d31bf1711762dc69e9eddb4c2a72dc4495a1";
inline constexpr std::uint64_t dave_user_a = 158049329150427136u;
inline constexpr std::string_view dave_key_b =
    "ae979ff3e62b1274e2607183e449064b7dea5e801860a83b04bab61a69f44cd10b28399cbeb4e709"
    "61e1adb51a63d635a6f63ac5d11c1447ef94273d65297c6f8f";
inline constexpr std::uint64_t dave_user_b = 18446744073709551615u;
inline constexpr std::string_view dave_pairwise =
    "05e7d833a7b8112fe5addff8c79555ee42fda8643533ef18baf1883f96c4c9fa0d7c80d731aae243"
    "94b3e5830c7dcaeca9ae17e0ae3586f77eeaaef1b582aa79";
inline constexpr std::string_view dave_verification_code =
    "423753412536469364207413887076143365126722764";

}  // namespace discord::test
