#include "mls/group.hpp"

#include "mls/epoch.hpp"
#include "mls/framing.hpp"

#include <algorithm>

namespace discord::mls {

std::vector<Member> StagedCommit::members_after() const {
  return next ? members_of(next->tree) : std::vector<Member>{};
}

Result<Group, Error> Group::create(const Identity& identity, const OwnKeyPackage& own,
                                   ByteSpan group_id, Extensions extensions, RandomSource& random,
                                   GroupOptions options) {
  const LeafNode& leaf = *own.key_package.leaf;
  if (!equal_tags(leaf.signature_key, identity.signature_key.public_key())) {
    return Failure{Error::bad_key};
  }
  auto senders = external_senders_of(extensions);
  if (!senders) {
    return Failure{senders.error()};
  }
  if (const auto error = check_leaf(leaf, extensions)) {
    return Failure{*error};
  }
  SecretBytes epoch_secret(Secret32::size);
  if (!random.fill(epoch_secret.writable())) {
    return Failure{Error::no_randomness};
  }
  RatchetTree tree(own.key_package.leaf);
  const Hash& tree_hash = tree.update_hashes();
  GroupContext context;
  context.group_id.assign(group_id.begin(), group_id.end());
  context.tree_hash.assign(tree_hash.begin(), tree_hash.end());
  context.extensions = std::move(extensions);
  Bytes encoded = encode(context);
  const EpochSecrets secrets = make_epoch_from(epoch_secret.view());
  // RFC 9420 section 11: the tag stands over the empty transcript hash.
  const Hash tag = make_confirmation_tag(secrets.confirmation_key, {});
  PrivateKeys keys;
  keys.emplace(node_of(0), own.encryption_key);
  return Group(
      std::make_shared<const Epoch>(Epoch{identity, std::move(context), std::move(encoded),
                                          std::move(tree), 0, std::move(keys), secrets,
                                          interim_transcript_hash({}, tag), std::move(*senders)}),
      options);
}

Result<ReceivedProposal, Error> Group::check_proposal(ByteSpan message) const {
  ByteSpan rest = message;
  auto proposal = check_next_proposal(rest);
  if (proposal && !rest.empty()) {
    return Failure{Error::malformed};
  }
  return proposal;
}

Result<ReceivedProposal, Error> Group::check_next_proposal(ByteSpan& rest) const {
  Reader in(rest);
  PublicMessage message = read_public_message(in);
  if (!in.ok()) {
    return Failure{in.error()};
  }
  const std::size_t size = rest.size() - in.remaining();
  rest = in.rest();
  if (size > max_proposal_size) {
    return Failure{Error::too_large};
  }
  auto* proposal = std::get_if<Proposal>(&message.content);
  if (proposal == nullptr) {
    return Failure{Error::unsupported_message};
  }
  const Epoch& epoch = *epoch_;
  if (message.group_id != epoch.context.group_id) {
    return Failure{Error::wrong_group};
  }
  if (message.epoch != epoch.context.epoch) {
    return Failure{Error::wrong_epoch};
  }
  const std::uint32_t index = message.sender.index;
  ByteSpan key;
  if (message.sender.type == SenderType::external && index < epoch.external_senders.size()) {
    key = epoch.external_senders[index].signature_key;
  } else if (message.sender.type == SenderType::member && options_.allow_member_proposals &&
             epoch.tree.leaf(index)) {
    key = epoch.tree.leaf(index)->signature_key;
  } else {
    return Failure{Error::wrong_sender};
  }
  if (const auto error =
          authenticate(message, epoch.encoded_context, epoch.secrets.membership_key, key)) {
    return Failure{*error};
  }
  if (const auto* add = std::get_if<Add>(proposal)) {
    if (const auto error = check_key_package(add->key_package, epoch.context.extensions)) {
      return Failure{*error};
    }
  } else if (const auto* remove = std::get_if<Remove>(proposal)) {
    if (!epoch.tree.leaf(remove->leaf)) {
      return Failure{Error::invalid_proposals};
    }
  }
  return ReceivedProposal{proposal_ref(message.framed_content, message.signature), message.sender,
                          std::move(*proposal), message.epoch};
}

std::optional<Error> Group::queue(ReceivedProposal proposal) {
  if (proposal.epoch != epoch()) {
    return Error::wrong_epoch;
  }
  if (queue_.size() == max_queued) {
    return Error::too_large;
  }
  if (std::any_of(queue_.begin(), queue_.end(),
                  [&](const ReceivedProposal& other) { return other.ref == proposal.ref; })) {
    return Error::duplicate_proposal;
  }
  queue_.push_back(std::move(proposal));
  return std::nullopt;
}

std::optional<Error> Group::revoke(const ProposalRef& ref) {
  const auto found = std::find_if(queue_.begin(), queue_.end(),
                                  [&](const ReceivedProposal& p) { return p.ref == ref; });
  if (found == queue_.end()) {
    return Error::unknown_proposal;
  }
  queue_.erase(found);
  pending_.reset();
  return std::nullopt;
}

bool Group::removes_self() const noexcept {
  return std::any_of(queue_.begin(), queue_.end(), [&](const ReceivedProposal& p) {
    return p.remove() != nullptr && p.remove()->leaf == own_leaf();
  });
}

bool Group::is_pending_commit(ByteSpan message) const noexcept {
  return pending_ && std::ranges::equal(message, pending_->commit);
}

void Group::clear_proposals() noexcept {
  queue_.clear();
  pending_.reset();
}

std::optional<Error> Group::apply(StagedCommit staged) {
  if (!staged.next || staged.base != epoch_) {
    return Error::wrong_epoch;
  }
  epoch_ = std::move(staged.next);
  clear_proposals();
  return std::nullopt;
}

ByteSpan Group::group_id() const noexcept {
  return epoch_->context.group_id;
}
std::uint64_t Group::epoch() const noexcept {
  return epoch_->context.epoch;
}
LeafIndex Group::own_leaf() const noexcept {
  return epoch_->own;
}
const Extensions& Group::extensions() const noexcept {
  return epoch_->context.extensions;
}
std::vector<Member> Group::members() const {
  return members_of(epoch_->tree);
}

std::optional<Member> Group::member(LeafIndex leaf) const {
  if (!epoch_->tree.leaf(leaf)) {
    return std::nullopt;
  }
  return member_of(leaf, *epoch_->tree.leaf(leaf));
}

SecretBytes Group::exporter(std::string_view label, ByteSpan context, std::size_t length) const {
  return export_secret(epoch_->secrets.exporter, label, context, length);
}

const Secret32& Group::epoch_authenticator() const noexcept {
  return epoch_->secrets.epoch_authenticator;
}

ByteSpan Group::tree_hash() const noexcept {
  return epoch_->context.tree_hash;
}

ByteSpan Group::confirmed_transcript_hash() const noexcept {
  return epoch_->context.confirmed_transcript_hash;
}

Hash Group::state_digest() const {
  Writer all;
  all.raw(digest_of(*epoch_));
  for (const ReceivedProposal& proposal : queue_) {
    all.raw(proposal.ref);
    all.u64(proposal.epoch);
    write(all, proposal.sender);
    write(all, proposal.proposal);
  }
  all.u8(pending_ ? 1 : 0);
  if (pending_) {
    all.opaque(pending_->commit);
    all.raw(digest_of(*pending_->staged.next));
  }
  return sha256(all.view());
}

}  // namespace discord::mls
