// Whole groups as a passive member sees them: the working group's vectors, and recorded sessions.
#include "mls_forge.hpp"
#include "mls_rig.hpp"

using namespace discord;
using namespace discord::mls;
using rig::bytes_of;

namespace {

// Key packages and welcomes come as MLSMessages in these files.
ByteSpan unwrap(const Bytes& message) {
  return ByteSpan(message).subspan(4);
}

struct Passive {
  Identity identity;
  OwnKeyPackage package;
};

Passive passive_of(const nlohmann::json& v) {
  const Bytes encoded = bytes_of(v["key_package"]);
  auto package =
      import_key_package(unwrap(encoded), bytes_of(v["init_priv"]), bytes_of(v["encryption_priv"]));
  EXPECT_TRUE(package.ok());
  return {{*KeyPair::from_private(bytes_of(v["signature_priv"])),
           package->key_package.leaf->credential.identity},
          std::move(*package)};
}

Result<Group, Error> join_passively(const nlohmann::json& v) {
  const Passive self = passive_of(v);
  const Bytes welcome = bytes_of(v["welcome"]);
  const Bytes tree = bytes_of(v["ratchet_tree"]);
  return Group::join(self.identity, self.package, unwrap(welcome), {true, true},
                     v["ratchet_tree"].is_null() ? std::nullopt : std::optional<ByteSpan>(tree));
}

}  // namespace

TEST(MlsGroupVectors, PassiveClientWelcome) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/passive-client-welcome.json");
  int joined = 0;
  for (const auto& v : vectors) {
    const auto group = join_passively(v);
    if (!v["external_psks"].empty()) {
      ASSERT_FALSE(group.ok());
      EXPECT_EQ(group.error(), Error::unsupported_psk);
      continue;
    }
    ASSERT_TRUE(group.ok()) << to_string(group.error());
    EXPECT_EQ(to_hex(group->epoch_authenticator().view()), v["initial_epoch_authenticator"]);
    ++joined;
  }
  EXPECT_EQ(joined, 4);
}

// Their welcomes want a pre-shared key, which the room refuses. What follows does not, so the key
// is mixed in here, by RFC 9420 section 8.4.
Result<Group, Error> join_with_psk(const nlohmann::json& v) {
  const Passive self = passive_of(v);
  const Bytes message = bytes_of(v["welcome"]);
  const auto welcome = parse_welcome(unwrap(message));
  const Hash ref = key_package_ref(self.package.encoded);
  const auto entry =
      std::find_if(welcome->secrets.begin(), welcome->secrets.end(),
                   [&](const auto& e) { return to_hex(e.new_member) == to_hex(ref); });
  const auto plain = decrypt_with_label(self.package.init_key, "Welcome",
                                        welcome->encrypted_group_info, entry->secrets);
  EXPECT_EQ(parse_group_secrets(plain->view()).error(), Error::unsupported_psk);
  Reader in(plain->view());
  GroupSecrets secrets{Secret32(in.opaque().first<32>()), std::nullopt};
  if (in.optional()) {
    secrets.path_secret = Secret32(in.opaque().first<32>());
  }
  Writer label;
  label.raw(in.opaque());  // the one PreSharedKeyID
  label.u16(0);
  label.u16(1);
  EXPECT_TRUE(in.ok());
  const Secret32 extracted =
      hkdf_extract(zero_secret.view(), bytes_of(v["external_psks"][0]["psk"]));
  const SecretBytes input = expand_with_label(extracted.view(), "derived psk", label.view(), 32);
  const Secret32 psk_secret = hkdf_extract(input.view(), zero_secret.view());
  auto epoch = join_epoch(self.identity, self.package, *welcome, secrets, psk_secret, std::nullopt);
  if (!epoch) {
    return Failure{epoch.error()};
  }
  return GroupAccess::make(std::move(*epoch), {true, true});
}

TEST(MlsGroupVectors, PassiveClientHandlingCommit) {
  LOAD_VECTORS_OR_SKIP(vectors, "mls/passive-client-handling-commit.json");
  std::map<std::string, int> outcomes;
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    const auto& v = vectors[i];
    SCOPED_TRACE(i);
    auto group = join_with_psk(v);
    ASSERT_TRUE(group.ok()) << to_string(group.error());
    EXPECT_EQ(to_hex(group->epoch_authenticator().view()), v["initial_epoch_authenticator"]);
    std::string outcome = "good";
    for (const auto& epoch : v["epochs"]) {
      for (const auto& bytes : epoch["proposals"]) {
        auto proposal = group->check_proposal(bytes_of(bytes));
        if (!proposal) {
          outcome = to_string(proposal.error());
          break;
        }
        EXPECT_EQ(group->queue(std::move(*proposal)), std::nullopt);
      }
      const Hash before = group->state_digest();
      auto staged = group->stage(bytes_of(epoch["commit"]));
      if (!staged) {
        if (outcome == "good") {
          outcome = to_string(staged.error());
        }
        EXPECT_EQ(group->state_digest(), before);
        break;
      }
      EXPECT_EQ(group->apply(std::move(*staged)), std::nullopt);
      EXPECT_EQ(to_hex(group->epoch_authenticator().view()), epoch["epoch_authenticator"]);
    }
    ++outcomes[outcome];
    if (i == 0 || i == 1 || i == 6 || i == 8) {
      EXPECT_EQ(outcome, "good");
    } else {
      EXPECT_EQ(outcome, "unsupported-proposal");
    }
  }
  EXPECT_EQ(outcomes["good"], 4);
}

namespace {

// Follows one member through a recorded session.
void follow(const nlohmann::json& session) {
  std::optional<Group> group;
  std::optional<Passive> self;
  const nlohmann::json* observer = nullptr;
  int epochs = 0;
  for (const auto& step : session["steps"]) {
    SCOPED_TRACE(step["step"].dump());
    const std::string kind = step["kind"];
    const auto user = [&](const char* field) {
      return observer != nullptr &&
             (step[field].is_array() ? std::find(step[field].begin(), step[field].end(),
                                                 (*observer)["user_id"]) != step[field].end()
                                     : step[field] == (*observer)["user_id"]);
    };
    if (kind == "key_package") {
      for (const auto& candidate : session["users"]) {
        const auto& keys = candidate["private"];
        if (candidate["key_package"] == step["body"] && keys.contains("init_priv") &&
            (observer == nullptr || (*observer)["user_id"] == candidate["user_id"])) {
          observer = &candidate;
          const Bytes encoded = bytes_of(candidate["key_package"]);
          auto package = import_key_package(encoded, bytes_of(keys["init_priv"]),
                                            bytes_of(keys["encryption_priv"]));
          ASSERT_TRUE(package.ok());
          self = Passive{{*KeyPair::from_private(bytes_of(keys["signature_priv"])),
                          package->key_package.leaf->credential.identity},
                         std::move(*package)};
          group.reset();
        }
      }
    } else if (kind == "proposals" && user("to") && group) {
      const Bytes body = bytes_of(step["body"]);
      Reader in(ByteSpan(body).subspan(1));
      ByteSpan rest = in.opaque();
      if (body[0] == 0) {
        while (!rest.empty()) {
          auto proposal = group->check_next_proposal(rest);
          ASSERT_TRUE(proposal.ok()) << to_string(proposal.error());
          ASSERT_EQ(group->queue(std::move(*proposal)), std::nullopt);
        }
      } else {
        Reader refs(rest);
        while (!refs.at_end()) {
          ProposalRef ref{};
          const ByteSpan bytes = refs.opaque_of(ref.size());
          std::copy(bytes.begin(), bytes.end(), ref.begin());
          EXPECT_EQ(group->revoke(ref), std::nullopt);
        }
      }
    } else if (kind == "announce_commit" && user("to") && group) {
      const Bytes body = bytes_of(step["body"]);
      auto staged = group->stage(ByteSpan(body).subspan(2));
      ASSERT_TRUE(staged.ok()) << to_string(staged.error());
      if (staged->self_removed) {
        group.reset();
      } else {
        ASSERT_EQ(group->apply(std::move(*staged)), std::nullopt);
      }
    } else if (kind == "welcome" && user("to") && self) {
      const Bytes body = bytes_of(step["body"]);
      auto joined = Group::join(self->identity, self->package, ByteSpan(body).subspan(2));
      ASSERT_TRUE(joined.ok()) << to_string(joined.error());
      group.emplace(std::move(*joined));
    } else if (kind == "epoch" && group && step["epoch"] == group->epoch()) {
      const auto& secrets = step["secrets"];
      EXPECT_EQ(to_hex(group->epoch_authenticator().view()), secrets["epoch_authenticator"]);
      EXPECT_EQ(to_hex(group->tree_hash()), secrets["tree_hash"]);
      ++epochs;
    }
  }
  EXPECT_GT(epochs, 2);
}

}  // namespace

TEST(MlsGroupVectors, RecordedSession) {
  LOAD_VECTORS_OR_SKIP(session, "dave/sessions/dave-n4.json");
  follow(session);
}

TEST(MlsGroupVectors, RecordedChurn) {
  LOAD_VECTORS_OR_SKIP(session, "dave/sessions/dave-churn5x10.json");
  follow(session);
}
