// The recorded group of tests/data: needs no files, so it runs everywhere.
#include "tests/data/mls_known_answers.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;

namespace {

Bytes hex(const char* text) {
  return *from_hex(text);
}

}  // namespace

TEST(MlsKnownAnswers, WelcomeThenCommitWithPath) {
  auto package = import_key_package(hex(known::key_package), hex(known::init_private),
                                    hex(known::encryption_private));
  ASSERT_TRUE(package.ok());
  const Identity identity{*KeyPair::from_private(hex(known::signature_private)),
                          package->key_package.leaf->credential.identity};
  auto group = Group::join(identity, *package, hex(known::welcome));
  ASSERT_TRUE(group.ok()) << to_string(group.error());
  EXPECT_EQ(group->own_leaf(), 2u);
  EXPECT_EQ(group->epoch(), 1u);
  EXPECT_EQ(to_hex(group->epoch_authenticator().view()), known::authenticator_1);
  ASSERT_TRUE(rig::queue(*group, hex(known::add)));
  ASSERT_TRUE(rig::queue(*group, hex(known::remove)));
  ASSERT_TRUE(rig::process(*group, hex(known::commit)));
  EXPECT_EQ(to_hex(group->epoch_authenticator().view()), known::authenticator_2);
  EXPECT_EQ(to_hex(group->tree_hash()), known::tree_hash_2);
  EXPECT_EQ(to_hex(group->exporter("label", as_bytes("context"), 16).view()), known::exported_2);
  EXPECT_EQ(group->members().size(), 3u);
}
