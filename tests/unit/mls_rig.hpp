// Parties and a delivery service for the tests of the mls room.
#pragma once

#include "base/hex.hpp"
#include "mls/framing.hpp"
#include "mls/group.hpp"
#include "tests/unit/mls_random.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace discord::mls::rig {

inline Bytes to_bytes(ByteSpan bytes) {
  return Bytes(bytes.begin(), bytes.end());
}

inline Bytes name_bytes(std::uint64_t id) {
  Bytes out(8);
  store_be64(out.data(), id);
  return out;
}

struct Party {
  Identity identity;
  OwnKeyPackage package;
  std::optional<Group> group;

  Party(std::uint64_t id, RandomSource& random)
      : Party(Identity{std::move(*KeyPair::generate(random)), name_bytes(id)}, random) {}
  Party(Identity who, RandomSource& random)
      : identity(std::move(who)), package(std::move(*make_key_package(identity, random))) {}
  void renew(RandomSource& random) { package = std::move(*make_key_package(identity, random)); }
};

// Sends proposals as external sender 0 of the group whose id is `group_id`.
struct Service {
  explicit Service(RandomSource& random) : key(std::move(*KeyPair::generate(random))) {}

  KeyPair key;
  Bytes group_id = {1, 2, 3, 4, 5, 6, 7, 8};

  ExternalSender sender() const { return {to_bytes(key.public_key()), {to_bytes(as_bytes("gw"))}}; }
  Extensions extensions() const { return {make_external_senders({sender()})}; }
  Bytes add(std::uint64_t epoch, const OwnKeyPackage& package) const {
    return propose(epoch, Add{package.key_package});
  }
  Bytes remove(std::uint64_t epoch, LeafIndex leaf) const { return propose(epoch, Remove{leaf}); }
  Bytes propose(std::uint64_t epoch, const Proposal& proposal) const {
    return *make_external_proposal(key, 0, group_id, epoch, proposal);
  }
  void found(Party& party, RandomSource& random) const {
    auto group = Group::create(party.identity, party.package, group_id, extensions(), random);
    ASSERT_TRUE(group.ok()) << to_string(group.error());
    party.group.emplace(std::move(*group));
  }
};

// Authenticates and queues.
inline ::testing::AssertionResult queue(Group& group, ByteSpan message) {
  auto proposal = group.check_proposal(message);
  if (!proposal) {
    return ::testing::AssertionFailure() << to_string(proposal.error());
  }
  if (const auto error = group.queue(std::move(*proposal))) {
    return ::testing::AssertionFailure() << to_string(*error);
  }
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult process(Group& group, ByteSpan message) {
  auto staged = group.stage(message);
  if (!staged) {
    return ::testing::AssertionFailure() << to_string(staged.error());
  }
  if (const auto error = group.apply(std::move(*staged))) {
    return ::testing::AssertionFailure() << to_string(*error);
  }
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult join(Party& party, ByteSpan welcome) {
  auto group = Group::join(party.identity, party.package, welcome);
  if (!group) {
    return ::testing::AssertionFailure() << to_string(group.error());
  }
  party.group.emplace(std::move(*group));
  return ::testing::AssertionSuccess();
}

// Founded by the first of `size` parties, who adds the others in one commit without a path.
struct Crowd {
  explicit Crowd(std::size_t size, std::uint64_t seed = 1) : random(seed), service(random) {
    for (std::size_t i = 0; i < size; ++i) {
      parties.push_back(std::make_unique<Party>(100 + i, random));
    }
    service.found(*parties[0], random);
    if (size == 1) {
      return;
    }
    Group& founder = *parties[0]->group;
    for (std::size_t i = 1; i < size; ++i) {
      EXPECT_TRUE(queue(founder, service.add(0, parties[i]->package)));
    }
    auto made = founder.commit(random);
    EXPECT_TRUE(made.ok());
    welcome = *made->welcome;
    EXPECT_TRUE(process(founder, made->commit));
    for (std::size_t i = 1; i < size; ++i) {
      EXPECT_TRUE(join(*parties[i], welcome));
    }
  }

  Group& group(std::size_t i) { return *parties[i]->group; }
  // To everybody who is in the group.
  void propose(ByteSpan message) {
    for (auto& party : parties) {
      if (party->group) {
        EXPECT_TRUE(queue(*party->group, message));
      }
    }
  }
  void expect_agreement() const {
    const Group* first = nullptr;
    for (const auto& party : parties) {
      if (!party->group) {
        continue;
      }
      const Group& group = *party->group;
      if (first == nullptr) {
        first = &group;
      }
      EXPECT_EQ(group.epoch(), first->epoch());
      EXPECT_TRUE(group.epoch_authenticator() == first->epoch_authenticator());
      EXPECT_EQ(to_hex(group.tree_hash()), to_hex(first->tree_hash()));
      EXPECT_EQ(group.members(), first->members());
      EXPECT_EQ(to_hex(group.exporter("label", as_bytes("context"), 16).view()),
                to_hex(first->exporter("label", as_bytes("context"), 16).view()));
      EXPECT_EQ(group.member(group.own_leaf())->identity, party->identity.identity);
    }
  }

  TestRandom random;
  Service service;
  std::vector<std::unique_ptr<Party>> parties;
  Bytes welcome;
};

// Shared vectors of this name; null when they are not here.
inline nlohmann::json load_vectors(const std::string& path) {
  const char* folder = std::getenv("DISCORD_SHARED");
  std::ifstream file(std::string(folder ? folder : "") + "/vectors/" + path);
  return file ? nlohmann::json::parse(file) : nlohmann::json();
}

inline Bytes bytes_of(const nlohmann::json& hex) {
  return hex.is_null() ? Bytes() : *from_hex(hex.get<std::string>());
}

}  // namespace discord::mls::rig

#define LOAD_VECTORS_OR_SKIP(name, path)               \
  const nlohmann::json name = rig::load_vectors(path); \
  if (name.is_null()) {                                \
    GTEST_SKIP() << "the shared vectors are not here"; \
  }                                                    \
  static_assert(true)
