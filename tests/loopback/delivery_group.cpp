#include "delivery_group.hpp"

#include <algorithm>

namespace discord::loopback {
namespace {

constexpr std::string_view gateway_name = "discord-loopback";

Failure<BodyFault> undecodable(std::string text) {
  return {{true, std::move(text)}};
}
Failure<BodyFault> unacceptable(std::string text) {
  return {{false, std::move(text)}};
}

std::string named(const char* what, mls::Error error) {
  return std::string(what) + ": " + mls::to_string(error);
}

}  // namespace

Result<OfferedPackage, BodyFault> read_key_package(std::uint64_t user, ByteSpan body) {
  auto parsed = mls::parse_key_package(body);
  if (!parsed) {
    return undecodable(named("key package", parsed.error()));
  }
  if (const auto error = mls::check_key_package(*parsed, {})) {
    return unacceptable(named("key package", *error));
  }
  const mls::LeafNode& leaf = *parsed->leaf;
  if (leaf.credential.identity.size() != 8 || load_be64(leaf.credential.identity.data()) != user) {
    return unacceptable("key package of another user");
  }
  const std::vector<std::uint16_t> one_version{mls::protocol_version};
  const std::vector<std::uint16_t> one_suite{mls::cipher_suite};
  if (leaf.capabilities.versions != one_version || leaf.capabilities.cipher_suites != one_suite) {
    return unacceptable("key package with other capabilities than version 1 and suite 2");
  }
  if (leaf.lifetime.not_before != 0 || leaf.lifetime.not_after != ~std::uint64_t{0}) {
    return unacceptable("key package that does not live for ever");
  }
  if (!leaf.extensions.empty() || !parsed->extensions.empty()) {
    return unacceptable("key package with extensions");
  }
  return OfferedPackage{user, std::move(*parsed), mls::key_package_ref(body)};
}

Result<CommitBody, BodyFault> read_commit_welcome(std::uint64_t committer, ByteSpan body) {
  mls::Reader reader(body);
  const mls::PublicMessage message = mls::read_public_message(reader);
  if (!reader.ok()) {
    return undecodable(named("commit", reader.error()));
  }
  const auto* commit = std::get_if<mls::Commit>(&message.content);
  if (commit == nullptr) {
    return unacceptable("opcode 28 without a commit");
  }
  CommitBody out;
  out.committer = committer;
  const ByteSpan rest = reader.rest();
  out.commit.assign(body.begin(), body.end() - static_cast<std::ptrdiff_t>(rest.size()));
  out.welcome.assign(rest.begin(), rest.end());
  out.epoch = message.epoch;
  out.sender = message.sender;
  out.group_id = message.group_id;
  for (const mls::ProposalOrRef& item : commit->proposals) {
    const auto* ref = std::get_if<mls::ProposalRef>(&item);
    if (ref == nullptr) {
      return unacceptable("commit with a proposal by value");
    }
    if (!out.refs.insert(*ref).second) {
      return unacceptable("commit that names a proposal twice");
    }
  }
  if (commit->path) {
    out.path_leaf = commit->path->leaf;
  }
  if (!rest.empty()) {
    const auto welcome = mls::parse_welcome(rest);
    if (!welcome) {
      return undecodable(named("welcome", welcome.error()));
    }
    for (const mls::EncryptedGroupSecrets& secrets : welcome->secrets) {
      mls::Hash ref{};
      if (secrets.new_member.size() != ref.size()) {
        return unacceptable("welcome for a reference of the wrong size");
      }
      std::copy(secrets.new_member.begin(), secrets.new_member.end(), ref.begin());
      if (!out.welcomed.insert(ref).second) {
        return unacceptable("welcome that names a key package twice");
      }
    }
  }
  return out;
}

DeliveryGroup::DeliveryGroup(std::uint64_t channel, mls::KeyPair key)
    : group_id_(8), key_(std::move(key)) {
  store_be64(group_id_.data(), channel);
}

Bytes DeliveryGroup::external_sender() const {
  const ByteSpan key = key_.public_key();
  const ByteSpan name = as_bytes(gateway_name);
  return mls::encode(
      mls::ExternalSender{Bytes(key.begin(), key.end()), {Bytes(name.begin(), name.end())}});
}

std::optional<mls::LeafIndex> DeliveryGroup::leaf_of(std::uint64_t user) const noexcept {
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    if (leaves_[i] && leaves_[i]->user == user) {
      return static_cast<mls::LeafIndex>(i);
    }
  }
  return std::nullopt;
}

std::vector<std::uint64_t> DeliveryGroup::users() const {
  std::vector<std::uint64_t> out;
  for (const auto& leaf : leaves_) {
    if (leaf) {
      out.push_back(leaf->user);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

Proposed DeliveryGroup::propose(mls::Proposal proposal) const {
  auto message = mls::make_external_proposal(key_, 0, group_id_, epoch_, proposal);
  if (!message) {
    throw std::bad_alloc();  // a good key signs unless memory is short
  }
  Proposed out;
  out.message = std::move(*message);
  const auto parsed = mls::parse_public_message(out.message);
  out.ref = mls::proposal_ref(parsed->framed_content, parsed->signature);
  return out;
}

Proposed DeliveryGroup::propose_add(const OfferedPackage& package) const {
  Proposed out = propose(mls::Add{package.key_package});
  out.user = package.user;
  out.package = package;
  return out;
}

Proposed DeliveryGroup::propose_remove(mls::LeafIndex leaf) const {
  Proposed out = propose(mls::Remove{leaf});
  out.user = leaves_.at(leaf)->user;
  out.leaf = leaf;
  return out;
}

std::optional<std::string> DeliveryGroup::check(const CommitBody& commit,
                                                const std::vector<Proposed>& wanted) const {
  if (commit.group_id != group_id_) {
    return "commit for another group";
  }
  if (commit.epoch != epoch_) {
    return "commit in epoch " + std::to_string(commit.epoch) + " of a group in " +
           std::to_string(epoch_);
  }
  const mls::LeafIndex leaf = founded() ? leaf_of(commit.committer).value_or(mls::max_leaves) : 0;
  if (commit.sender.type != mls::SenderType::member || commit.sender.index != leaf) {
    return "commit that does not come from the sender's leaf";
  }
  std::set<mls::ProposalRef> refs;
  std::set<mls::Hash> joiners;
  bool removes = false;
  for (const Proposed& proposed : wanted) {
    refs.insert(proposed.ref);
    if (proposed.is_add()) {
      joiners.insert(proposed.package->ref);
    } else {
      removes = true;
      if (founded() && proposed.leaf == leaf) {
        return "commit by a member that it removes";
      }
    }
  }
  if (commit.refs != refs) {
    return "commit of " + std::to_string(commit.refs.size()) + " proposals, of which other than " +
           std::to_string(refs.size()) + " are wanted";
  }
  if (removes && !commit.path_leaf) {
    return "commit of a Remove without a path";
  }
  if (commit.welcomed != joiners) {
    return joiners.empty() ? "welcome for nobody" : "welcome that does not fit the Adds";
  }
  if (commit.path_leaf) {
    const mls::LeafNode& node = *commit.path_leaf;
    if (node.source != mls::LeafSource::commit ||
        !mls::verify_leaf_signature(node, group_id_, leaf)) {
      return "path with a leaf that is not signed for this place";
    }
    Bytes identity(8);
    store_be64(identity.data(), commit.committer);
    if (node.credential.identity != identity ||
        (founded() && node.signature_key != leaves_[leaf]->signature_key)) {
      return "path that changes identity or signature key";
    }
  }
  return std::nullopt;
}

void DeliveryGroup::advance(const CommitBody& commit, const std::vector<Proposed>& wanted,
                            ByteSpan founder_key) {
  if (!founded()) {
    leaves_.push_back(Leaf{commit.committer, Bytes(founder_key.begin(), founder_key.end())});
    ++serial_;
  }
  for (const Proposed& proposed : wanted) {
    if (!proposed.is_add()) {
      leaves_[proposed.leaf].reset();
    }
  }
  for (const Proposed& proposed : wanted) {
    if (proposed.is_add()) {
      auto place = std::find(leaves_.begin(), leaves_.end(), std::nullopt);
      if (place == leaves_.end()) {
        place = leaves_.insert(leaves_.end(), std::nullopt);
      }
      *place = Leaf{proposed.user, proposed.package->key_package.leaf->signature_key};
    }
  }
  while (!leaves_.empty() && !leaves_.back()) {
    leaves_.pop_back();
  }
  ++epoch_;
}

void DeliveryGroup::dissolve() noexcept {
  leaves_.clear();
  epoch_ = 0;
}

}  // namespace discord::loopback
