// Judging commits of others (RFC 9420 section 12.4.2).
#include "mls/epoch.hpp"
#include "mls/framing.hpp"

#include <algorithm>

namespace discord::mls {
namespace {

// The proposals a commit names, in its order.
Result<std::vector<const Proposal*>, Error> resolve(const Commit& commit,
                                                    const std::vector<ReceivedProposal>& queue,
                                                    const Extensions& extensions,
                                                    bool allow_inline) {
  std::vector<const Proposal*> out;
  std::vector<bool> used(queue.size());
  for (const ProposalOrRef& item : commit.proposals) {
    if (const auto* ref = std::get_if<ProposalRef>(&item)) {
      const auto found = std::find_if(queue.begin(), queue.end(),
                                      [&](const ReceivedProposal& p) { return p.ref == *ref; });
      if (found == queue.end()) {
        return Failure{Error::unknown_proposal};
      }
      const auto place = static_cast<std::size_t>(found - queue.begin());
      if (used[place]) {
        return Failure{Error::duplicate_proposal};
      }
      used[place] = true;
      out.push_back(&found->proposal);
    } else if (const auto* proposal = std::get_if<Proposal>(&item)) {
      if (!allow_inline) {
        return Failure{Error::inline_proposal};
      }
      if (const auto* add = std::get_if<Add>(proposal)) {
        if (const auto error = check_key_package(add->key_package, extensions)) {
          return Failure{*error};
        }
      }
      out.push_back(proposal);
    }
  }
  return out;
}

}  // namespace

Result<StagedCommit, Error> Group::stage(ByteSpan bytes) const {
  // By its bytes, not by its sender: at epoch 0 every founder is leaf 0 of a group of its own.
  if (pending_ &&
      std::equal(bytes.begin(), bytes.end(), pending_->commit.begin(), pending_->commit.end())) {
    return pending_->staged;
  }
  const auto parsed = parse_public_message(bytes);
  if (!parsed) {
    return Failure{parsed.error()};
  }
  const PublicMessage& message = *parsed;
  const auto* commit = std::get_if<Commit>(&message.content);
  if (commit == nullptr) {
    return Failure{Error::unsupported_message};
  }
  const Epoch& before = *epoch_;
  if (message.group_id != before.context.group_id) {
    return Failure{Error::wrong_group};
  }
  if (message.epoch != before.context.epoch) {
    return Failure{Error::wrong_epoch};
  }
  const LeafIndex committer = message.sender.index;
  if (message.sender.type != SenderType::member || !before.tree.leaf(committer)) {
    return Failure{Error::wrong_sender};
  }
  if (const auto error =
          authenticate(message, before.encoded_context, before.secrets.membership_key,
                       before.tree.leaf(committer)->signature_key)) {
    return Failure{*error};
  }
  if (committer == before.own) {
    return Failure{Error::own_message};
  }

  const auto proposals =
      resolve(*commit, queue_, before.context.extensions, options_.allow_inline_proposals);
  if (!proposals) {
    return Failure{proposals.error()};
  }
  RatchetTree tree = before.tree;
  auto applied = apply_proposals(tree, *proposals, committer, before.own);
  if (!applied) {
    return Failure{applied.error()};
  }
  // RFC 9420 section 12.4: a path, unless there are proposals and all of them are Adds.
  if (!commit->path && (proposals->empty() || !applied->removed.empty())) {
    return Failure{Error::missing_path};
  }

  StagedCommit staged;
  staged.epoch = before.context.epoch + 1;
  staged.committer = committer;
  staged.self_removed = applied->self_removed;
  staged.added = std::move(applied->added);
  staged.removed = std::move(applied->removed);
  staged.base = epoch_;

  PathSecrets secrets;  // without a path: no keys and a commit secret of zeros
  if (commit->path) {
    const auto steps = merge_path(tree, committer, *commit->path, applied->added_leaves,
                                  before.context.group_id, before.context.extensions);
    if (!steps) {
      return Failure{steps.error()};
    }
    if (staged.self_removed) {
      return staged;
    }
    auto opened = decrypt_path(tree, *steps, *commit->path, applied->added_leaves, before.own,
                               before.keys, provisional_context(before, tree));
    if (!opened) {
      return Failure{opened.error()};
    }
    secrets = std::move(*opened);
  }
  const NextEpoch next =
      next_epoch(before, std::move(tree), std::move(secrets.keys), secrets.commit_secret,
                 message.framed_content, message.signature);
  if (!equal_tags(next.confirmation_tag, message.confirmation_tag)) {
    return Failure{Error::bad_confirmation_tag};
  }
  staged.next = next.epoch;
  return staged;
}

}  // namespace discord::mls
