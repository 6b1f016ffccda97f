// Making commits and welcomes (RFC 9420 sections 12.4.1 and 12.4.3.1).
#include "mls/epoch.hpp"
#include "mls/framing.hpp"
#include "mls/hpke.hpp"

#include <algorithm>

namespace discord::mls {
namespace {

Result<Bytes, Error> make_welcome(const NextEpoch& next, const Applied& applied,
                                  const std::optional<OwnPath>& path, RandomSource& random) {
  const Epoch& epoch = *next.epoch;
  GroupInfo info;
  info.context = epoch.context;
  Writer tree;
  epoch.tree.write(tree);
  info.extensions.push_back({extension_ratchet_tree, tree.take()});
  info.confirmation_tag.assign(next.confirmation_tag.begin(), next.confirmation_tag.end());
  info.signer = epoch.own;
  Writer unsigned_info;
  write_unsigned(unsigned_info, info);
  auto signature =
      sign_with_label(epoch.identity.signature_key, "GroupInfoTBS", unsigned_info.view());
  if (!signature) {
    return Failure{signature.error()};
  }
  info.signature = std::move(*signature);

  Welcome welcome;
  const WelcomeKeys keys = make_welcome_keys(next.joiner_secret);
  auto sealed_info = aead_seal(keys.key.view(), keys.nonce.view(), {}, encode(info));
  if (!sealed_info) {
    return Failure{sealed_info.error()};
  }
  welcome.encrypted_group_info = std::move(*sealed_info);
  for (std::size_t i = 0; i < applied.added_packages.size(); ++i) {
    GroupSecrets secrets{next.joiner_secret, std::nullopt};
    if (path) {
      const auto above =
          std::find_if(path->steps.begin(), path->steps.end(), [&](const auto& step) {
            return tree_math::is_below(node_of(applied.added_leaves[i]), step.node);
          });
      secrets.path_secret = path->secrets[static_cast<std::size_t>(above - path->steps.begin())];
    }
    Writer plain;
    plain.reserve(80);
    write(plain, secrets);
    const KeyPackage& key_package = *applied.added_packages[i];
    auto sealed = encrypt_with_label(key_package.init_key, "Welcome", welcome.encrypted_group_info,
                                     plain.view(), random);
    plain.wipe();
    if (!sealed) {
      return Failure{sealed.error()};
    }
    const Hash ref = key_package_ref(encode(key_package));
    welcome.secrets.push_back({Bytes(ref.begin(), ref.end()), std::move(*sealed)});
  }
  return encode(welcome);
}

}  // namespace

Result<MadeCommit, Error> Group::commit(RandomSource& random, bool force_path) {
  if (queue_.empty() && !force_path) {
    return Failure{Error::no_proposals};
  }
  const Epoch& before = *epoch_;
  Commit commit;
  std::vector<const Proposal*> proposals;
  for (const ReceivedProposal& received : queue_) {
    commit.proposals.emplace_back(received.ref);
    proposals.push_back(&received.proposal);
  }
  RatchetTree tree = before.tree;
  auto applied = apply_proposals(tree, proposals, before.own, before.own);
  if (!applied) {
    return Failure{applied.error()};
  }

  std::optional<OwnPath> path;
  if (force_path || !applied->removed.empty()) {
    auto made =
        make_path(tree, before.own, before.identity.signature_key, before.context.group_id, random);
    if (!made) {
      return Failure{made.error()};
    }
    auto encrypted =
        encrypt_path(tree, *made, provisional_context(before, tree), applied->added_leaves, random);
    if (!encrypted) {
      return Failure{encrypted.error()};
    }
    commit.path = std::move(*encrypted);
    path = std::move(*made);
  }

  const Bytes framed = frame(before.context.group_id, before.context.epoch,
                             {SenderType::member, before.own}, commit);
  const Bytes content = signed_content(framed, before.encoded_context);
  const auto signature =
      sign_with_label(before.identity.signature_key, "FramedContentTBS", content);
  if (!signature) {
    return Failure{signature.error()};
  }
  const NextEpoch next = next_epoch(before, std::move(tree), path ? path->keys : PrivateKeys{},
                                    path ? path->commit_secret : zero_secret, framed, *signature);
  const Hash membership_tag = make_membership_tag(before.secrets.membership_key, content,
                                                  *signature, next.confirmation_tag);
  MadeCommit made;
  made.commit = assemble(framed, *signature, next.confirmation_tag, membership_tag);
  if (!applied->added.empty()) {
    auto welcome = make_welcome(next, *applied, path, random);
    if (!welcome) {
      return Failure{welcome.error()};
    }
    made.welcome = std::move(*welcome);
  }
  StagedCommit staged;
  staged.epoch = next.epoch->context.epoch;
  staged.committer = before.own;
  staged.own = true;
  staged.added = std::move(applied->added);
  staged.removed = std::move(applied->removed);
  staged.base = epoch_;
  staged.next = next.epoch;
  pending_ = Pending{made.commit, std::move(staged)};
  return made;
}

}  // namespace discord::mls
