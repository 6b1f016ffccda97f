// The MLS working group's interoperability vectors below the level of groups.
#include "mls/framing.hpp"
#include "mls/hpke.hpp"
#include "mls/key_schedule.hpp"
#include "mls/ratchet_tree.hpp"
#include "mls/tree_math.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;
using rig::bytes_of;

namespace {

Secret32 secret_of(const nlohmann::json& hex) {
  return Secret32(ByteSpan(bytes_of(hex)).first<32>());
}

std::string text_of(const nlohmann::json& value) {
  return value.get<std::string>();
}

}  // namespace

TEST(MlsVectors, Deserialization) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/deserialization.json");
  for (const auto& v : vectors) {
    const Bytes header = bytes_of(v["vlbytes_header"]);
    const auto length = v["length"].get<std::size_t>();
    Reader in(header);
    const std::size_t read = in.length();
    if (length > max_message_size) {
      EXPECT_FALSE(in.ok());
      EXPECT_EQ(in.error(), Error::too_large);
    } else {
      EXPECT_TRUE(in.ok());
      EXPECT_EQ(read, length);
      EXPECT_TRUE(in.at_end());
    }
    Writer out;
    out.length(length);
    EXPECT_EQ(to_hex(out.view()), to_hex(header));
  }
}

TEST(MlsVectors, TreeMath) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/tree-math.json");
  for (const auto& v : vectors) {
    const auto leaves = v["n_leaves"].get<std::size_t>();
    ASSERT_EQ(tree_math::node_count(leaves), v["n_nodes"].get<std::size_t>());
    EXPECT_EQ(tree_math::root(leaves), v["root"].get<NodeIndex>());
    for (NodeIndex i = 0; i < tree_math::node_count(leaves); ++i) {
      if (!v["left"][i].is_null()) {
        EXPECT_EQ(tree_math::left(i), v["left"][i].get<NodeIndex>());
        EXPECT_EQ(tree_math::right(i), v["right"][i].get<NodeIndex>());
      } else {
        EXPECT_TRUE(tree_math::is_leaf(i));
      }
      if (!v["parent"][i].is_null()) {
        EXPECT_EQ(tree_math::parent(i), v["parent"][i].get<NodeIndex>());
        EXPECT_EQ(tree_math::sibling(i), v["sibling"][i].get<NodeIndex>());
      } else {
        EXPECT_EQ(i, tree_math::root(leaves));
      }
    }
  }
}

TEST(MlsVectors, CryptoBasics) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/crypto-basics.json");
  for (const auto& v : vectors) {
    const auto& ref = v["ref_hash"];
    EXPECT_EQ(to_hex(ref_hash(text_of(ref["label"]), bytes_of(ref["value"]))), ref["out"]);
    const auto& expand = v["expand_with_label"];
    EXPECT_EQ(to_hex(expand_with_label(bytes_of(expand["secret"]), text_of(expand["label"]),
                                       bytes_of(expand["context"]), expand["length"])
                         .view()),
              expand["out"]);
    const auto& derive = v["derive_secret"];
    EXPECT_EQ(to_hex(derive_secret(bytes_of(derive["secret"]), text_of(derive["label"])).view()),
              derive["out"]);
    const auto& tree = v["derive_tree_secret"];
    EXPECT_EQ(to_hex(derive_tree_secret(bytes_of(tree["secret"]), text_of(tree["label"]),
                                        tree["generation"], tree["length"])
                         .view()),
              tree["out"]);
    const auto& sign = v["sign_with_label"];
    const auto key = KeyPair::from_private(bytes_of(sign["priv"]));
    ASSERT_TRUE(key.ok());
    EXPECT_EQ(to_hex(key->public_key()), sign["pub"]);
    const Bytes content = bytes_of(sign["content"]);
    EXPECT_TRUE(verify_with_label(key->public_key(), text_of(sign["label"]), content,
                                  bytes_of(sign["signature"])));
    EXPECT_TRUE(verify_with_label(key->public_key(), text_of(sign["label"]), content,
                                  *sign_with_label(*key, text_of(sign["label"]), content)));
    const auto& encrypt = v["encrypt_with_label"];
    const auto receiver = KeyPair::from_private(bytes_of(encrypt["priv"]));
    ASSERT_TRUE(receiver.ok());
    const Bytes context = bytes_of(encrypt["context"]);
    const std::string label = text_of(encrypt["label"]);
    const auto opened =
        decrypt_with_label(*receiver, label, context,
                           {bytes_of(encrypt["kem_output"]), bytes_of(encrypt["ciphertext"])});
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(to_hex(opened->view()), encrypt["plaintext"]);
    rig::TestRandom random;
    const auto sealed =
        encrypt_with_label(bytes_of(encrypt["pub"]), label, context, opened->view(), random);
    ASSERT_TRUE(sealed.ok());
    EXPECT_TRUE(*decrypt_with_label(*receiver, label, context, *sealed) == *opened);
  }
}

TEST(MlsVectors, KeySchedule) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/key-schedule.json");
  for (const auto& v : vectors) {
    Secret32 init = secret_of(v["initial_init_secret"]);
    GroupContext context;
    context.group_id = bytes_of(v["group_id"]);
    for (const auto& e : v["epochs"]) {
      context.tree_hash = bytes_of(e["tree_hash"]);
      context.confirmed_transcript_hash = bytes_of(e["confirmed_transcript_hash"]);
      const Bytes encoded = encode(context);
      ASSERT_EQ(to_hex(encoded), e["group_context"]);
      EXPECT_EQ(to_hex(encode(*parse_group_context(encoded))), e["group_context"]);
      const Secret32 joiner = make_joiner_secret(init, secret_of(e["commit_secret"]), encoded);
      EXPECT_EQ(to_hex(joiner.view()), e["joiner_secret"]);
      const Secret32 psk = secret_of(e["psk_secret"]);
      const EpochSecrets secrets = make_epoch(joiner, encoded, psk);
      EXPECT_EQ(to_hex(secrets.init.view()), e["init_secret"]);
      EXPECT_EQ(to_hex(secrets.exporter.view()), e["exporter_secret"]);
      EXPECT_EQ(to_hex(secrets.confirmation_key.view()), e["confirmation_key"]);
      EXPECT_EQ(to_hex(secrets.membership_key.view()), e["membership_key"]);
      EXPECT_EQ(to_hex(secrets.epoch_authenticator.view()), e["epoch_authenticator"]);
      const WelcomeKeys keys = make_welcome_keys(joiner, psk);
      const Bytes welcome = bytes_of(e["welcome_secret"]);
      EXPECT_TRUE(keys.key == expand_with_label(welcome, "key", {}, 16));
      EXPECT_TRUE(keys.nonce == expand_with_label(welcome, "nonce", {}, 12));
      const auto& exporter = e["exporter"];
      EXPECT_EQ(to_hex(export_secret(secrets.exporter, text_of(exporter["label"]),
                                     bytes_of(exporter["context"]), exporter["length"])
                           .view()),
                exporter["secret"]);
      init = secrets.init;
      ++context.epoch;
    }
  }
}

TEST(MlsVectors, TranscriptHashes) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/transcript-hashes.json");
  for (const auto& v : vectors) {
    // As an MLSMessage: the version in front, an empty membership tag behind.
    Bytes bytes = {0, 1};
    const Bytes content = bytes_of(v["authenticated_content"]);
    bytes.insert(bytes.end(), content.begin(), content.end());
    bytes.push_back(0);
    const auto message = parse_public_message(bytes);
    ASSERT_TRUE(message.ok()) << to_string(message.error());
    const Hash confirmed = confirmed_transcript_hash(bytes_of(v["interim_transcript_hash_before"]),
                                                     message->framed_content, message->signature);
    EXPECT_EQ(to_hex(confirmed), v["confirmed_transcript_hash_after"]);
    EXPECT_EQ(to_hex(make_confirmation_tag(secret_of(v["confirmation_key"]), confirmed)),
              to_hex(message->confirmation_tag));
    EXPECT_EQ(to_hex(interim_transcript_hash(confirmed, message->confirmation_tag)),
              v["interim_transcript_hash_after"]);
  }
}

TEST(MlsVectors, MessageProtectionOfPublicMessages) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/message-protection.json");
  for (const auto& v : vectors) {
    GroupContext context;
    context.group_id = bytes_of(v["group_id"]);
    context.epoch = v["epoch"];
    context.tree_hash = bytes_of(v["tree_hash"]);
    context.confirmed_transcript_hash = bytes_of(v["confirmed_transcript_hash"]);
    const Bytes encoded = encode(context);
    const Secret32 membership_key = secret_of(v["membership_key"]);
    const Bytes public_key = bytes_of(v["signature_pub"]);

    const auto proposal = parse_public_message(bytes_of(v["proposal_pub"]));
    ASSERT_TRUE(proposal.ok());
    EXPECT_EQ(authenticate(*proposal, encoded, membership_key, public_key), std::nullopt);
    EXPECT_EQ(to_hex(encode(std::get<Proposal>(proposal->content))), v["proposal"]);
    PublicMessage bad = *proposal;
    bad.membership_tag[3] ^= 1;
    EXPECT_EQ(authenticate(bad, encoded, membership_key, public_key), Error::bad_membership_tag);

    // The commit carries a pre-shared key proposal, which is outside the subset; its protection is
    // not.
    const Bytes bytes = bytes_of(v["commit_pub"]);
    const auto refused = parse_public_message(bytes);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error(), Error::unsupported_proposal);
    const std::size_t framed_size = 33 + 8 + 5 + 1 + 1 + bytes_of(v["commit"]).size();
    PublicMessage commit;
    commit.content = Commit{};
    const ByteSpan framed = ByteSpan(bytes).subspan(4, framed_size);
    commit.framed_content = rig::to_bytes(framed);
    Reader rest(ByteSpan(bytes).subspan(4 + framed_size));
    commit.signature = rig::to_bytes(rest.opaque());
    commit.confirmation_tag = rig::to_bytes(rest.opaque());
    commit.membership_tag = rig::to_bytes(rest.opaque());
    rest.finish();
    ASSERT_TRUE(rest.ok());
    EXPECT_EQ(authenticate(commit, encoded, membership_key, public_key), std::nullopt);
    commit.signature.back() ^= 1;
    EXPECT_EQ(authenticate(commit, encoded, membership_key, public_key), Error::bad_membership_tag);
  }
}

TEST(MlsVectors, Welcome) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/welcome.json");
  for (const auto& v : vectors) {
    // Both come as MLSMessages.
    const Bytes package = bytes_of(v["key_package"]);
    const Bytes message = bytes_of(v["welcome"]);
    const auto welcome = parse_welcome(ByteSpan(message).subspan(4));
    ASSERT_TRUE(welcome.ok());
    EXPECT_EQ(to_hex(encode(*welcome)), to_hex(ByteSpan(message).subspan(4)));
    const Hash ref = key_package_ref(ByteSpan(package).subspan(4));
    ASSERT_EQ(to_hex(welcome->secrets[0].new_member), to_hex(ref));
    const auto secrets_bytes =
        decrypt_with_label(*KeyPair::from_private(bytes_of(v["init_priv"])), "Welcome",
                           welcome->encrypted_group_info, welcome->secrets[0].secrets);
    ASSERT_TRUE(secrets_bytes.ok());
    const auto secrets = parse_group_secrets(secrets_bytes->view());
    ASSERT_TRUE(secrets.ok());
    const WelcomeKeys keys = make_welcome_keys(secrets->joiner_secret);
    const auto info_bytes =
        aead_open(keys.key.view(), keys.nonce.view(), {}, welcome->encrypted_group_info);
    ASSERT_TRUE(info_bytes.ok());
    const auto info = parse_group_info(info_bytes->view());
    ASSERT_TRUE(info.ok());
    Writer unsigned_info;
    write_unsigned(unsigned_info, *info);
    EXPECT_TRUE(verify_with_label(bytes_of(v["signer_pub"]), "GroupInfoTBS", unsigned_info.view(),
                                  info->signature));
    const EpochSecrets epoch = make_epoch(secrets->joiner_secret, encode(info->context));
    EXPECT_EQ(to_hex(make_confirmation_tag(epoch.confirmation_key,
                                           info->context.confirmed_transcript_hash)),
              to_hex(info->confirmation_tag));
  }
}

TEST(MlsVectors, Messages) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/messages.json");
  std::size_t commits = 0;
  std::size_t leaves_out = 0;
  const auto expect_same = [](const auto& parsed, ByteSpan bytes) {
    ASSERT_TRUE(parsed.ok()) << to_string(parsed.error());
    EXPECT_EQ(to_hex(encode(*parsed)), to_hex(bytes));
  };
  for (const auto& v : vectors) {
    // The suites of these messages vary: what names another suite is refused for that.
    const auto check = [&](const char* name, std::size_t skip, auto&& parse) {
      const Bytes all = bytes_of(v[name]);
      const ByteSpan bytes = ByteSpan(all).subspan(skip);
      const auto parsed = parse(bytes);
      if (!parsed.ok() && (parsed.error() == Error::unsupported_suite ||
                           parsed.error() == Error::unsupported_credential ||
                           parsed.error() == Error::unsupported_proposal ||
                           parsed.error() == Error::unsupported_psk)) {
        ++leaves_out;
        return;
      }
      SCOPED_TRACE(name);
      expect_same(parsed, bytes);
      ++commits;
      for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        EXPECT_FALSE(parse(bytes.first(cut)).ok());
      }
    };
    check("mls_welcome", 4, parse_welcome);
    check("mls_group_info", 4, parse_group_info);
    check("mls_key_package", 4, parse_key_package);
    check("commit", 0, parse_commit);
    const auto proposal = [](ByteSpan bytes) -> Result<Proposal, Error> {
      Reader in(bytes);
      Proposal out = read_proposal(in);
      in.finish();
      if (!in.ok()) {
        return Failure{in.error()};
      }
      return out;
    };
    // These come without the type in front.
    for (const auto& [name, type] : {std::pair{"add_proposal", 1}, {"remove_proposal", 3}}) {
      Bytes bytes = {0, static_cast<std::uint8_t>(type)};
      const Bytes body = bytes_of(v[name]);
      bytes.insert(bytes.end(), body.begin(), body.end());
      const auto parsed = proposal(bytes);
      if (parsed.ok()) {
        EXPECT_EQ(to_hex(encode(*parsed)), to_hex(bytes));
        ++commits;
      }
    }
    for (const std::uint8_t type : {0, 2, 4, 5, 6, 7, 8, 255}) {
      const auto refused = proposal(Bytes{0, type, 0, 0, 0, 0});
      ASSERT_FALSE(refused.ok());
      EXPECT_EQ(refused.error(), Error::unsupported_proposal);
    }
    const auto application = parse_public_message(bytes_of(v["public_message_application"]));
    ASSERT_FALSE(application.ok());
    EXPECT_EQ(application.error(), Error::unsupported_message);
    const auto sealed = parse_public_message(bytes_of(v["private_message"]));
    ASSERT_FALSE(sealed.ok());
    EXPECT_EQ(sealed.error(), Error::unsupported_message);
  }
  EXPECT_GT(commits, 0u);
  RecordProperty("read", static_cast<int>(commits));
  RecordProperty("outside_the_subset", static_cast<int>(leaves_out));
}
