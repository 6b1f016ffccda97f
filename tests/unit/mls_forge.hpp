// Messages that are authentic and wrong all the same: what a member, or the delivery service, could
// send. For tests of the mls room and its fuzz targets.
#pragma once

#include "mls/epoch.hpp"
#include "mls/framing.hpp"
#include "mls/hpke.hpp"

#include <functional>

namespace discord::mls {

struct GroupAccess {
  static Group make(std::shared_ptr<const Epoch> epoch, GroupOptions options) {
    return Group(std::move(epoch), options);
  }
  static const Epoch& epoch(const Group& group) { return *group.epoch_; }
};

namespace forge {

inline Bytes to_bytes(ByteSpan bytes) {
  return Bytes(bytes.begin(), bytes.end());
}

// A commit of this content by the member `from`, with good signature and membership tag. The
// confirmation tag is `tag`, or garbage.
inline Bytes seal_commit(const Group& from, const Commit& commit, std::optional<Hash> tag = {},
                         std::optional<Sender> sender = {}) {
  const Epoch& epoch = GroupAccess::epoch(from);
  const Bytes framed = frame(epoch.context.group_id, epoch.context.epoch,
                             sender.value_or(Sender{SenderType::member, epoch.own}), commit);
  const Bytes content = signed_content(framed, epoch.encoded_context);
  const Bytes signature =
      *sign_with_label(epoch.identity.signature_key, "FramedContentTBS", content);
  const Hash confirmation = tag.value_or(Hash{});
  const Hash membership =
      make_membership_tag(epoch.secrets.membership_key, content, signature, confirmation);
  return assemble(framed, signature, confirmation, membership);
}

// The commit that `from` would make now, changed before it is signed.
inline Bytes changed_commit(Group from, RandomSource& random,
                            const std::function<void(Commit&)>& change, bool force_path = false) {
  const auto made = from.commit(random, force_path);
  Commit commit = std::get<Commit>(parse_public_message(made->commit)->content);
  change(commit);
  return seal_commit(from, commit);
}

// A proposal by member `from`, with good signature and membership tag.
inline Bytes member_proposal(const Group& from, const Proposal& proposal) {
  const Epoch& epoch = GroupAccess::epoch(from);
  const Bytes framed =
      frame(epoch.context.group_id, epoch.context.epoch, {SenderType::member, epoch.own}, proposal);
  const Bytes content = signed_content(framed, epoch.encoded_context);
  const Bytes signature =
      *sign_with_label(epoch.identity.signature_key, "FramedContentTBS", content);
  return assemble(
      framed, signature, std::nullopt,
      make_membership_tag(epoch.secrets.membership_key, content, signature, std::nullopt));
}

// Signs both halves of a key package anew after the changes.
inline KeyPackage changed_package(const OwnKeyPackage& own, const KeyPair& key,
                                  const std::function<void(LeafNode&)>& change_leaf,
                                  const std::function<void(KeyPackage&)>& change_package = {}) {
  KeyPackage package = own.key_package;
  LeafNode leaf = *package.leaf;
  if (change_leaf) {
    change_leaf(leaf);
  }
  package.leaf = std::make_shared<const LeafNode>(*sign_leaf(std::move(leaf), key, {}, 0));
  if (change_package) {
    change_package(package);
  }
  Writer content;
  write_unsigned(content, package);
  package.signature = *sign_with_label(key, "KeyPackageTBS", content.view());
  return package;
}

// What goes into a welcome, before it is signed and sealed.
struct WelcomeParts {
  GroupInfo info;
  Bytes tree;  // becomes the ratchet_tree extension, unless empty
  GroupSecrets secrets;
  bool good_tag = true;  // make the confirmation tag fit the context
  bool good_signature = true;
};

// A welcome into the present epoch of `from` for one receiver, changed before it is signed. The
// joiner secret is invented, so the receiver's epoch is one nobody else shares.
inline Bytes changed_welcome(const Group& from, const OwnKeyPackage& to, RandomSource& random,
                             const std::function<void(WelcomeParts&)>& change = {}) {
  const Epoch& epoch = GroupAccess::epoch(from);
  WelcomeParts parts;
  parts.info.context = epoch.context;
  parts.info.signer = epoch.own;
  Writer tree;
  epoch.tree.write(tree);
  parts.tree = tree.take();
  if (change) {
    change(parts);
  }
  const WelcomeKeys keys = make_welcome_keys(parts.secrets.joiner_secret);
  if (!parts.tree.empty()) {
    parts.info.extensions.push_back({extension_ratchet_tree, parts.tree});
  }
  if (parts.good_tag) {
    const EpochSecrets secrets =
        make_epoch(parts.secrets.joiner_secret, encode(parts.info.context));
    const Hash tag = make_confirmation_tag(secrets.confirmation_key,
                                           parts.info.context.confirmed_transcript_hash);
    parts.info.confirmation_tag = to_bytes(tag);
  }
  Writer content;
  write_unsigned(content, parts.info);
  parts.info.signature =
      *sign_with_label(epoch.identity.signature_key, "GroupInfoTBS", content.view());
  if (!parts.good_signature) {
    parts.info.signature.back() ^= 1;
  }
  Welcome welcome;
  welcome.encrypted_group_info =
      *aead_seal(keys.key.view(), keys.nonce.view(), {}, encode(parts.info));
  const Hash ref = key_package_ref(to.encoded);
  welcome.secrets.push_back({to_bytes(ref), *encrypt_with_label(to.init_key.public_key(), "Welcome",
                                                                welcome.encrypted_group_info,
                                                                encode(parts.secrets), random)});
  return encode(welcome);
}

}  // namespace forge
}  // namespace discord::mls
