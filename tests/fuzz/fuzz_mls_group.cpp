// Proposals, commits and welcomes into a live group, on both sides of authentication. The first
// byte picks the kind; where a signature would stop every mutation, it is made anew here. A refusal
// must leave the group as it was.
#include "tests/unit/mls_forge.hpp"
#include "tests/unit/mls_random.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>

using namespace discord;
using namespace discord::mls;

namespace {

template <class T> T must(Result<T, Error> result) {
  if (!result.ok()) {
    std::abort();
  }
  return std::move(*result);
}

// Four members, one of them blanked again by a commit with a path; an Add and a Remove are queued.
struct World {
  rig::TestRandom random;
  KeyPair service = must(KeyPair::generate(random));
  std::vector<Identity> identities;
  std::vector<OwnKeyPackage> packages;
  std::optional<Group> first;
  std::optional<Group> second;

  World() {
    for (std::uint8_t i = 0; i < 6; ++i) {
      identities.push_back({must(KeyPair::generate(random)), Bytes{i}});
      packages.push_back(must(make_key_package(identities.back(), random)));
    }
    const ExternalSender sender{forge::to_bytes(service.public_key()), {Bytes{9}}};
    first = must(Group::create(identities[0], packages[0], Bytes{1, 2, 3},
                               {make_external_senders({sender})}, random));
    for (std::size_t i = 1; i < 5; ++i) {
      queue(*first, Add{packages[i].key_package});
    }
    const MadeCommit made = must(first->commit(random));
    first->apply(must(first->stage(made.commit)));
    second = must(Group::join(identities[1], packages[1], *made.welcome));
    exchange(Remove{2});
    propose(Add{packages[5].key_package});
    propose(Remove{3});
  }
  void queue(Group& group, const Proposal& proposal) {
    group.queue(must(group.check_proposal(message(group, proposal))));
  }
  // One message for both: its reference covers its signature.
  void propose(const Proposal& proposal) {
    const Bytes bytes = message(*first, proposal);
    first->queue(must(first->check_proposal(bytes)));
    second->queue(must(second->check_proposal(bytes)));
  }
  void exchange(const Proposal& proposal) {
    propose(proposal);
    const MadeCommit made = must(first->commit(random));
    second->apply(must(second->stage(made.commit)));
    first->apply(must(first->stage(made.commit)));
  }
  Bytes message(const Group& group, const Proposal& proposal) {
    return must(make_external_proposal(service, 0, group.group_id(), group.epoch(), proposal));
  }
};

World& world() {
  static World w;
  return w;
}

std::shared_ptr<const LeafNode> sign_again(const LeafNode& leaf, const Identity& identity,
                                           ByteSpan group_id, LeafIndex index) {
  LeafNode changed = leaf;
  changed.signature_key = forge::to_bytes(identity.signature_key.public_key());
  return std::make_shared<const LeafNode>(
      must(sign_leaf(std::move(changed), identity.signature_key, group_id, index)));
}

void sign_package(KeyPackage& package) {
  const Identity& identity = world().identities[2];
  package.leaf = sign_again(*package.leaf, identity, {}, 0);
  Writer content;
  write_unsigned(content, package);
  package.signature =
      must(sign_with_label(identity.signature_key, "KeyPackageTBS", content.view()));
}

// A proposal that was accepted has to lead to a commit that another member accepts.
void try_proposal(ByteSpan bytes) {
  Reader in(bytes);
  Proposal proposal = read_proposal(in);
  in.finish();
  if (!in.ok()) {
    return;
  }
  if (auto* add = std::get_if<Add>(&proposal)) {
    sign_package(add->key_package);
  }
  World& w = world();
  const Bytes message = w.message(*w.first, proposal);
  const Hash before = w.first->state_digest();
  const auto checked = w.first->check_proposal(message);
  if (w.first->state_digest() != before) {
    std::abort();
  }
  if (!checked.ok()) {
    return;
  }
  Group first = *w.first;
  Group second = *w.second;
  first.queue(*checked);
  second.queue(must(second.check_proposal(message)));
  const auto made = first.commit(w.random);
  if (made.ok()) {
    second.stage(made->commit).ok() ? void() : std::abort();
  }
}

// A commit of the first member, judged by the second.
void try_commit(ByteSpan bytes) {
  World& w = world();
  auto commit = parse_commit(bytes);
  if (!commit.ok()) {
    return;
  }
  for (ProposalOrRef& item : commit->proposals) {
    if (auto* ref = std::get_if<ProposalRef>(&item)) {
      const auto& queue = w.second->proposals();
      *ref = queue[(*ref)[0] % queue.size()].ref;
    } else if (auto* proposal = std::get_if<Proposal>(&item)) {
      if (auto* add = std::get_if<Add>(proposal)) {
        sign_package(add->key_package);
      }
    }
  }
  if (commit->path) {
    commit->path->leaf = sign_again(*commit->path->leaf, w.identities[0], w.first->group_id(), 0);
  }
  // As a group that takes proposals by value, so that they are reached.
  const Group judge =
      GroupAccess::make(std::make_shared<const Epoch>(GroupAccess::epoch(*w.second)), {true, true});
  const Group& strict = *w.second;
  for (const Group* group : {&strict, &judge}) {
    const Hash before = group->state_digest();
    static_cast<void>(group->stage(forge::seal_commit(*w.first, *commit)));
    if (group->state_digest() != before) {
      std::abort();
    }
  }
}

void try_raw(const Group& group, ByteSpan bytes) {
  const Hash before = group.state_digest();
  static_cast<void>(group.check_proposal(bytes));
  if (group.stage(bytes).ok() || group.state_digest() != before) {
    std::abort();
  }
}

void try_welcome(ByteSpan bytes, bool raw) {
  World& w = world();
  if (raw) {
    if (Group::join(w.identities[5], w.packages[5], bytes).ok()) {
      std::abort();
    }
    return;
  }
  const Bytes welcome =
      forge::changed_welcome(*w.first, w.packages[5], w.random, [&](forge::WelcomeParts& parts) {
        parts.tree = forge::to_bytes(bytes);
        if (auto tree = RatchetTree::parse(bytes)) {
          parts.info.context.tree_hash = forge::to_bytes(tree->update_hashes());
        }
      });
  if (Group::join(w.identities[5], w.packages[5], welcome).ok()) {
    std::abort();  // no tree that can be built from seeds holds our leaf
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 65536) {
    return 0;
  }
  const ByteSpan bytes(data + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      try_raw(*world().second, bytes);
      break;
    case 1:
      try_proposal(bytes);
      break;
    case 2:
      try_commit(bytes);
      break;
    case 3:
      try_welcome(bytes, false);
      break;
    default:
      try_welcome(bytes, true);
  }
  return 0;
}
