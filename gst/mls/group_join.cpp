// Joining by a Welcome (RFC 9420 section 12.4.3.1).
#include "mls/epoch.hpp"
#include "mls/hpke.hpp"

#include <algorithm>

namespace discord::mls {
namespace {

Result<GroupSecrets, Error> open_secrets(const Welcome& welcome, const OwnKeyPackage& own) {
  const Hash ref = key_package_ref(own.encoded);
  const auto entry = std::find_if(
      welcome.secrets.begin(), welcome.secrets.end(), [&](const EncryptedGroupSecrets& e) {
        return std::equal(e.new_member.begin(), e.new_member.end(), ref.begin(), ref.end());
      });
  if (entry == welcome.secrets.end()) {
    return Failure{Error::not_for_us};
  }
  const auto plain =
      decrypt_with_label(own.init_key, "Welcome", welcome.encrypted_group_info, entry->secrets);
  if (!plain) {
    return Failure{plain.error()};
  }
  return parse_group_secrets(plain->view());
}

Result<GroupInfo, Error> open_group_info(const Welcome& welcome, const Secret32& joiner_secret,
                                         const Secret32& psk_secret) {
  const WelcomeKeys keys = make_welcome_keys(joiner_secret, psk_secret);
  const auto plain =
      aead_open(keys.key.view(), keys.nonce.view(), {}, welcome.encrypted_group_info);
  if (!plain) {
    return Failure{plain.error()};
  }
  return parse_group_info(plain->view());
}

// The tree must be the one the context names, and the signer one of its leaves.
std::optional<Error> check_group_info(const GroupInfo& info, RatchetTree& tree) {
  if (!equal_tags(tree.update_hashes(), info.context.tree_hash)) {
    return Error::bad_tree_hash;
  }
  const RatchetTree::LeafPointer& signer = tree.leaf(info.signer);
  if (!signer) {
    return Error::wrong_sender;
  }
  Writer unsigned_info;
  write_unsigned(unsigned_info, info);
  if (!verify_with_label(signer->signature_key, "GroupInfoTBS", unsigned_info.view(),
                         info.signature)) {
    return Error::bad_signature;
  }
  return std::nullopt;
}

std::optional<LeafIndex> find_leaf(const RatchetTree& tree, const LeafNode& own) {
  const Bytes encoded = encode(own);
  for (LeafIndex i = 0; i < tree.leaf_count(); ++i) {
    const RatchetTree::LeafPointer& leaf = tree.leaf(i);
    if (leaf && leaf->encryption_key == own.encryption_key && encode(*leaf) == encoded) {
      return i;
    }
  }
  return std::nullopt;
}

// The keys that a path secret gives: from the lowest common ancestor with the committer upward.
Result<PrivateKeys, Error> keys_from_path(const RatchetTree& tree, LeafIndex committer,
                                          LeafIndex own, const Secret32& path_secret) {
  const auto steps = tree.filtered_path(committer);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (tree_math::is_below(node_of(own), steps[i].node)) {
      auto derived = derive_path(tree, steps, i, path_secret);
      if (!derived) {
        return Failure{derived.error()};
      }
      return std::move(derived->keys);
    }
  }
  return Failure{Error::bad_update_path};
}

}  // namespace

Result<std::shared_ptr<const Epoch>, Error> join_epoch(const Identity& identity,
                                                       const OwnKeyPackage& own,
                                                       const Welcome& welcome,
                                                       const GroupSecrets& group_secrets,
                                                       const Secret32& psk_secret,
                                                       std::optional<ByteSpan> ratchet_tree) {
  auto info = open_group_info(welcome, group_secrets.joiner_secret, psk_secret);
  if (!info) {
    return Failure{info.error()};
  }
  const Extension* inline_tree = find_extension(info->extensions, extension_ratchet_tree);
  if (inline_tree == nullptr && !ratchet_tree) {
    return Failure{Error::missing_tree};
  }
  auto tree =
      RatchetTree::parse(inline_tree != nullptr ? ByteSpan(inline_tree->data) : *ratchet_tree);
  if (!tree) {
    return Failure{tree.error()};
  }
  if (const auto error = check_group_info(*info, *tree)) {
    return Failure{*error};
  }
  const GroupContext& context = info->context;
  Bytes encoded = encode(context);
  const EpochSecrets secrets = make_epoch(group_secrets.joiner_secret, encoded, psk_secret);
  const Hash tag =
      make_confirmation_tag(secrets.confirmation_key, context.confirmed_transcript_hash);
  if (!equal_tags(tag, info->confirmation_tag)) {
    return Failure{Error::bad_confirmation_tag};
  }
  if (const auto error = tree->validate(context.group_id, context.extensions)) {
    return Failure{*error};
  }
  auto senders = external_senders_of(context.extensions);
  if (!senders) {
    return Failure{senders.error()};
  }
  const auto leaf = find_leaf(*tree, *own.key_package.leaf);
  if (!leaf) {
    return Failure{Error::not_for_us};
  }
  PrivateKeys keys;
  if (group_secrets.path_secret) {
    auto learnt = keys_from_path(*tree, info->signer, *leaf, *group_secrets.path_secret);
    if (!learnt) {
      return Failure{learnt.error()};
    }
    keys = std::move(*learnt);
  }
  keys.emplace(node_of(*leaf), own.encryption_key);
  const Hash interim = interim_transcript_hash(context.confirmed_transcript_hash, tag);
  return std::make_shared<const Epoch>(Epoch{identity, std::move(info->context), std::move(encoded),
                                             std::move(*tree), *leaf, std::move(keys), secrets,
                                             interim, std::move(*senders)});
}

Result<Group, Error> Group::join(const Identity& identity, const OwnKeyPackage& own,
                                 ByteSpan welcome_bytes, GroupOptions options,
                                 std::optional<ByteSpan> ratchet_tree) {
  if (!equal_tags(own.key_package.leaf->signature_key, identity.signature_key.public_key())) {
    return Failure{Error::bad_key};
  }
  const auto welcome = parse_welcome(welcome_bytes);
  if (!welcome) {
    return Failure{welcome.error()};
  }
  const auto group_secrets = open_secrets(*welcome, own);
  if (!group_secrets) {
    return Failure{group_secrets.error()};
  }
  auto epoch = join_epoch(identity, own, *welcome, *group_secrets, zero_secret, ratchet_tree);
  if (!epoch) {
    return Failure{epoch.error()};
  }
  return Group(std::move(*epoch), options);
}

}  // namespace discord::mls
